//! The reactor over real descriptors, with bare links for waiters.

use super::*;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

/// A reactor with what it is polled with.
struct Bench {
    epoll: Epoll,
    bell: EventFd,
    reactor: Reactor,
}

impl Bench {
    fn new() -> Bench {
        let (epoll, bell) = (Epoll::new().expect("epoll"), EventFd::new().expect("an eventfd"));
        let reactor = Reactor::new(&epoll, &bell).expect("a reactor");
        Bench { epoll, bell, reactor }
    }

    fn register(&mut self, fd: &impl AsRawFd) -> Token {
        let displaced = |_| unreachable!("no number changes hands here");
        self.reactor.register(&self.epoll, fd.as_raw_fd(), displaced).expect("register")
    }

    /// Takes all events; returns who was woken, in order.
    fn poll(&mut self) -> Vec<NonNull<Link>> {
        let mut woken = Vec::new();
        while self
            .reactor
            .poll(&self.epoll, &self.bell, Some(0), |link| woken.push(link))
            .expect("poll")
            != 0
        {}
        woken
    }

    fn enqueue(&mut self, token: Token, direction: Direction, link: &Link) -> bool {
        // SAFETY: the tests keep their links until the bench is gone, and use each once.
        unsafe { self.reactor.enqueue(token, direction, NonNull::from(link)) }
    }
}

fn pair() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a socket pair");
    near.set_nonblocking(true).expect("non-blocking");
    (near, far)
}

#[test]
fn an_event_wakes_the_first_waiter_of_its_side_only() {
    // Goal: no herd. Method: three readers and a writer, one byte.
    let links = [const { Link::new() }; 4];
    let mut bench = Bench::new();
    let (near, mut far) = pair();
    let token = bench.register(&near);
    assert!(bench.poll().is_empty(), "the writable edge finds nobody");
    for link in &links[..3] {
        assert!(bench.enqueue(token, Direction::Read, link));
    }
    far.write_all(b"x").expect("write");
    assert_eq!(bench.poll(), [NonNull::from(&links[0])]);
    assert!(bench.poll().is_empty());
    assert_eq!(bench.reactor.next_waiter(token, Direction::Read), Some(NonNull::from(&links[1])));
    assert_eq!(bench.reactor.next_waiter(token, Direction::Write), None);
    // SAFETY: the link stands in that queue.
    unsafe { bench.reactor.remove(token, Direction::Read, NonNull::from(&links[2])) };
    assert_eq!(bench.reactor.next_waiter(token, Direction::Read), None);
}

#[test]
fn a_side_is_dry_from_failure_or_short_transfer_until_the_next_event() {
    // Goal: the state machine of the module's picture. Method: each arrow once.
    let link = Link::new();
    let mut bench = Bench::new();
    let (near, mut far) = pair();
    let token = bench.register(&near);
    assert!(!bench.reactor.is_dry(token, Direction::Read), "nothing is known at first");
    assert!(bench.reactor.drained(token, Direction::Read));
    assert!(bench.reactor.is_dry(token, Direction::Read));
    assert!(!bench.reactor.is_dry(token, Direction::Write));
    far.write_all(b"x").expect("write");
    assert!(bench.poll().is_empty());
    assert!(
        !bench.reactor.is_dry(token, Direction::Read),
        "an event that nobody waited for counts"
    );
    assert!(bench.enqueue(token, Direction::Read, &link));
    assert!(bench.reactor.is_dry(token, Direction::Read));
    far.write_all(b"x").expect("write");
    assert_eq!(bench.poll(), [NonNull::from(&link)]);
    assert!(!bench.reactor.is_dry(token, Direction::Read));
}

#[test]
fn data_and_end_in_one_event_leave_the_side_wary() {
    // Goal: the end of a stream is not slept through. Method: the peer writes and shuts down before
    // the reactor looks, so that one event tells of both; then a short read.
    let mut bench = Bench::new();
    let (mut near, mut far) = pair();
    let token = bench.register(&near);
    far.write_all(b"x").expect("write");
    far.shutdown(Shutdown::Write).expect("shutdown");
    bench.poll();
    assert_eq!(near.read(&mut [0; 8]).expect("read"), 1);
    assert!(!bench.reactor.drained(token, Direction::Read));
    assert!(!bench.reactor.is_dry(token, Direction::Read));
    assert!(bench.poll().is_empty(), "no other event comes");
}

#[test]
fn urgent_data_leaves_the_side_wary() {
    // Goal: reads stop short at the urgent mark, with more behind it. Method: urgent data over TCP.
    let mut bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let far = TcpStream::connect(listener.local_addr().expect("its address")).expect("connect");
    let (near, _) = listener.accept().expect("accept");
    let token = bench.register(&near);
    bench.poll();
    // SAFETY: one readable byte.
    let sent = unsafe { libc::send(far.as_raw_fd(), [1_u8].as_ptr().cast(), 1, libc::MSG_OOB) };
    assert_eq!(sent, 1);
    while bench.reactor.drained(token, Direction::Read) {
        bench.poll();
    }
}

#[test]
fn a_hang_up_wakes_both_sides() {
    // Goal: nobody sleeps on a dead connection. Method: a reader and a writer, the peer gone.
    let links = [const { Link::new() }; 2];
    let mut bench = Bench::new();
    let (near, far) = pair();
    let token = bench.register(&near);
    bench.poll();
    assert!(bench.enqueue(token, Direction::Read, &links[0]));
    assert!(bench.enqueue(token, Direction::Write, &links[1]));
    drop(far);
    assert_eq!(bench.poll(), [NonNull::from(&links[0]), NonNull::from(&links[1])]);
    assert!(!bench.reactor.drained(token, Direction::Write));
}

#[test]
fn events_of_a_released_source_reach_nobody() {
    // Goal: generations guard a place that is used again. Method: a duplicate keeps the first open
    // file and its registration alive; the source is released, its place taken by another.
    let link = Link::new();
    let mut bench = Bench::new();
    let (near, mut far) = pair();
    let duplicate = near.try_clone().expect("a duplicate");
    let stale = bench.register(&near);
    bench.poll();
    bench.reactor.release(stale.0);
    assert!(bench.reactor.is_idle() && !bench.reactor.knows(stale));
    drop(near);
    let (other, _other_far) = pair();
    let fresh = bench.register(&other);
    assert_eq!((fresh.index(), bench.reactor.len()), (stale.index(), 1));
    assert_ne!(fresh, stale);
    bench.poll();
    assert!(bench.enqueue(fresh, Direction::Read, &link));
    far.write_all(b"x").expect("write");
    assert!(bench.poll().is_empty(), "the event is for a source that is gone");
    assert!(!bench.enqueue(stale, Direction::Read, &Link::new()));
    assert!(!bench.reactor.is_dry(stale, Direction::Read));
    assert_eq!(bench.reactor.next_waiter(stale, Direction::Read), None);
    bench.reactor.release(stale.0);
    assert_eq!(bench.reactor.len(), 1, "releasing twice does nothing");
    assert_eq!(bench.reactor.next_waiter(fresh, Direction::Read), Some(NonNull::from(&link)));
    drop(duplicate);
}

#[test]
fn registering_an_open_file_again_at_its_number_takes_over() {
    // Goal: a wrapper that was taken off and put on again works. Method: register, release without
    // telling the kernel, register.
    let link = Link::new();
    let mut bench = Bench::new();
    let (near, mut far) = pair();
    let first = bench.register(&near);
    bench.reactor.release(first.0);
    let second = bench.register(&near);
    bench.poll();
    assert!(bench.enqueue(second, Direction::Read, &link));
    far.write_all(b"x").expect("write");
    assert_eq!(bench.poll(), [NonNull::from(&link)]);
}

#[test]
fn a_register_that_fails_changes_nothing() {
    // Goal: no place is lost. Method: what epoll refuses, then what it takes.
    let mut bench = Bench::new();
    let file = std::fs::File::open("/proc/self/exe").expect("the test's own file");
    for _ in 0..3 {
        let refused = bench.reactor.register(&bench.epoll, file.as_raw_fd(), drop);
        assert_eq!(refused.map_err(|error| error.raw_os_error()), Err(Some(libc::EPERM)));
    }
    let (near, far) = pair();
    assert_eq!((bench.register(&near).index(), bench.register(&far).index()), (0, 1));
    assert_eq!(
        bench.reactor.descriptors().collect::<Vec<_>>(),
        [near.as_raw_fd(), far.as_raw_fd()]
    );
    bench.reactor.reset();
    assert!(bench.reactor.is_idle());
}

#[test]
fn the_bell_ends_a_sleep_and_is_drained() {
    // Goal: other threads can wake the sleeper, once. Method: ring before and across a poll.
    let mut bench = Bench::new();
    bench.bell.ring().expect("ring");
    let mut poll = |timeout_ns| bench.reactor.poll(&bench.epoll, &bench.bell, timeout_ns, |_| ());
    assert_eq!(poll(None).expect("poll"), 1);
    assert_eq!(poll(Some(0)).expect("poll"), 0);
}
