//! Registrations with bare descriptors.

use super::*;
use std::cell::Cell;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

fn never() -> u64 {
    NEVER
}

fn pair() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a socket pair");
    near.set_nonblocking(true).expect("non-blocking");
    (near, far)
}

#[test]
fn a_drained_stream_is_not_tried_again_before_its_event() {
    // Goal: two calls for a request, not three. Method: count the tries of a reader that takes
    // three messages with room to spare, each written when it waits.
    crate::run(|| {
        let (near, mut far) = pair();
        let tries = Rc::new(Cell::new(0));
        let count = tries.clone();
        let reader = crate::spawn(move || {
            let (place, fd) = (Registration::new(), near.as_raw_fd());
            for _ in 0..3 {
                let read = || {
                    count.set(count.get() + 1);
                    (&near).read(&mut [0; 8]).map(|bytes| (bytes, bytes < 8))
                };
                let moved = place.run_draining(fd, Direction::Read, never, read);
                assert_eq!(moved.expect("read"), 2);
            }
        });
        for done in 0..3 {
            crate::task::yield_now();
            assert_eq!(tries.get(), 1 + done, "one to find nothing, then one for each message");
            far.write_all(b"ab").expect("write");
            while tries.get() == 1 + done {
                crate::task::yield_now();
            }
        }
        reader.join().expect("reader");
    });
}

#[test]
fn nobody_sleeps_while_a_message_is_left() {
    // Goal: the turn is passed on. Method: several readers wait, several messages come at once, as
    // one edge.
    crate::run(|| {
        let (near, far) = std::os::unix::net::UnixDatagram::pair().expect("a socket pair");
        near.set_nonblocking(true).expect("non-blocking");
        let place = Registration::new();
        let got = Cell::new(0);
        crate::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    let fd = near.as_raw_fd();
                    let recv = || near.recv(&mut [0; 8]);
                    place.run(fd, Direction::Read, never, recv).expect("recv");
                    got.set(got.get() + 1);
                });
            }
            crate::task::yield_now();
            for _ in 0..5 {
                far.send(b"x").expect("send");
            }
        });
        assert_eq!(got.get(), 5);
    });
}

#[test]
fn a_busy_descriptor_lets_others_run() {
    // Goal: a peer that is always ahead does not keep the thread. Method: an operation that always
    // succeeds, next to a coroutine that wants a descriptor's event, and one that is ready.
    crate::run(|| {
        let (near, mut far) = pair();
        let done = Rc::new(Cell::new(false));
        let seen = done.clone();
        let reader = crate::spawn(move || {
            let fd = near.as_raw_fd();
            let read = || (&near).read(&mut [0; 8]);
            let moved = Registration::new().run(fd, Direction::Read, never, read);
            seen.set(moved.is_ok());
        });
        crate::task::yield_now();
        far.write_all(b"x").expect("write");
        let place = Registration::new();
        let mut operations = 0;
        while !done.get() {
            operations += 1;
            assert!(operations < 10 * STREAK_MAX, "the reader never runs");
            place.run(far.as_raw_fd(), Direction::Write, never, || Ok(())).expect("always ready");
        }
        reader.join().expect("reader");
    });
}

#[test]
fn deadlines_of_the_wait_and_of_the_scope_differ_in_their_error() {
    // Goal: WouldBlock for one's own, TimedOut for the scope's. Method: both, each the earlier one.
    crate::run(|| {
        let (near, _far) = pair();
        let place = Registration::new();
        let task = Scheduler::current().expect("a scheduler").current_task();
        let soon = || sys::clock::monotonic_ns() + 1_000_000;
        let empty = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let wait = |scope_ns, own_ns| {
            task.change_extra(|extra| extra.scope_deadline_ns = scope_ns);
            let waited = place.run(near.as_raw_fd(), Direction::Read, || own_ns, empty);
            task.change_extra(|extra| extra.scope_deadline_ns = None);
            waited.map_err(|error| error.kind())
        };
        assert_eq!(wait(None, soon()), Err(io::ErrorKind::WouldBlock));
        assert_eq!(wait(Some(soon()), NEVER), Err(io::ErrorKind::TimedOut));
        assert_eq!(wait(Some(NEVER - 1), soon()), Err(io::ErrorKind::WouldBlock));
        assert_eq!(wait(Some(soon()), NEVER - 1), Err(io::ErrorKind::TimedOut));
        let pause = |scope_ns, own_ns| {
            task.change_extra(|extra| extra.scope_deadline_ns = scope_ns);
            let waited = retry(|| own_ns, empty);
            task.change_extra(|extra| extra.scope_deadline_ns = None);
            waited.map_err(|error| error.kind())
        };
        assert_eq!(pause(None, soon()), Err(io::ErrorKind::WouldBlock));
        assert_eq!(pause(Some(soon()), NEVER), Err(io::ErrorKind::TimedOut));
    });
}

#[test]
fn a_cancelled_wait_leaves_the_queue() {
    // Goal: a waiter's link does not outlive its wait. Method: cancel the first of two readers,
    // then write: the second gets it.
    crate::run(|| {
        let (near, mut far) = pair();
        let place = Rc::new((Registration::new(), near));
        let read = |place: Rc<(Registration, UnixStream)>| {
            crate::spawn(move || {
                let (registration, near) = &*place;
                let read = || (&*near).read(&mut [0; 8]);
                registration.run(near.as_raw_fd(), Direction::Read, never, read)
            })
        };
        let [first, second] = [read(place.clone()), read(place.clone())];
        crate::task::yield_now();
        first.cancel();
        assert!(first.join().expect_err("cancelled").is::<crate::task::Cancelled>());
        far.write_all(b"xyz").expect("write");
        assert_eq!(second.join().expect("second").expect("read"), 3);
    });
}

#[test]
fn retry_pauses_until_the_operation_succeeds() {
    // Goal: operations without an event get done, in coroutines and on plain threads. Method: one
    // that succeeds the fifth time.
    let fifth = || {
        let mut tries = 0;
        retry(never, move || {
            tries += 1;
            if tries == 5 { Ok(tries) } else { Err(io::ErrorKind::WouldBlock.into()) }
        })
    };
    assert_eq!(fifth().expect("on a thread"), 5);
    assert_eq!(crate::run(fifth).expect("in a coroutine"), 5);
    let refused = retry(never, || Err::<(), _>(io::ErrorKind::AddrInUse.into()));
    assert_eq!(refused.map_err(|error| error.kind()), Err(io::ErrorKind::AddrInUse));
}
