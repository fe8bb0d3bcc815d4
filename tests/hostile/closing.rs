//! Descriptors that are closed while others wait for them: by the sockets' own `close`, and behind
//! the runtime's back.

use crate::child;
use crate::holdings::{Holdings, yield_until};
use crate::waits::descriptors::{fill, tcp_pair};
use crate::waits::wait_for;
use cove::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use cove::task::{self, Cancelled};
use cove::time::{self, Duration};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::rc::Rc;

const EBADF: Option<i32> = Some(libc::EBADF);

/// Spawns `count` coroutines that wait as `shown`, closes, and finds that each got EBADF.
fn close_under(
    shown: &str,
    operation: impl Fn() -> io::Result<()> + Clone + 'static,
    close: impl FnOnce(),
) {
    let waiting: Vec<_> = (0..20).map(|_| cove::spawn(operation.clone())).collect();
    waiting.iter().for_each(|waiting| wait_for(&waiting.task(), shown));
    close();
    for waiting in waiting {
        let error = waiting.join().expect("no panic").expect_err("closed");
        assert_eq!(error.raw_os_error(), EBADF);
    }
    assert_eq!(operation().expect_err("closed").raw_os_error(), EBADF);
}

/// Goal: `close` ends every wait with EBADF, and every later operation; neighbours are left alone.
/// Method: 20 waiters of each direction and kind of socket; a neighbour reads meanwhile.
#[test]
fn closing_wakes_all_who_wait() {
    child::in_runtime("closing::closing_wakes_all_who_wait", || {
        let (neighbour, mut neighbours_peer) = tcp_pair();
        let neighbour = cove::spawn(move || {
            let mut byte = [0];
            (&neighbour).read(&mut byte).map(|count| (count, byte[0]))
        });
        for _ in 0..2 {
            let (near, _far) = tcp_pair();
            fill(&near, |mode| near.set_nonblocking(mode));
            let near = Rc::new(near);
            let [reading, writing] = [near.clone(), near.clone()];
            let writer = cove::spawn(move || (&*writing).write_all(&vec![0; 64 << 20]));
            wait_for(&writer.task(), "writing");
            close_under("reading", move || (&*reading).read(&mut [0]).map(drop), || near.close());
            let error = writer.join().expect("no panic").expect_err("closed");
            assert_eq!(error.raw_os_error(), EBADF);
            let listener = Rc::new(TcpListener::bind("127.0.0.1:0").expect("a listener"));
            let accepting = listener.clone();
            let accept = move || accepting.accept().map(drop);
            close_under("reading", accept, || listener.close());
            let socket = Rc::new(UdpSocket::bind("127.0.0.1:0").expect("a socket"));
            let receiving = socket.clone();
            let receive = move || receiving.recv(&mut [0]).map(drop);
            close_under("reading", receive, || socket.close());
        }
        neighbours_peer.write_all(b"n").expect("sent");
        let read = neighbour.join().expect("no panic").expect("a byte");
        assert_eq!(read, (1, b'n'));
    });
}

/// Goal: closing one of two clones leaves the other at work. Method: both wait; one is closed.
#[test]
fn closing_a_clone_leaves_the_other() {
    child::in_runtime("closing::closing_a_clone_leaves_the_other", || {
        let (near, mut far) = tcp_pair();
        let twin = near.try_clone().expect("a clone");
        let near = Rc::new(near);
        let closed = near.clone();
        let other = cove::spawn(move || {
            let mut bytes = [0; 4];
            (&twin).read_exact(&mut bytes).map(|()| bytes)
        });
        wait_for(&other.task(), "reading");
        close_under("reading", move || (&*closed).read(&mut [0]).map(drop), || near.close());
        far.write_all(b"twin").expect("sent");
        assert_eq!(&other.join().expect("no panic").expect("bytes"), b"twin");
    });
}

/// What is left behind when a number changes hands: whoever waits for the old file, and the old
/// socket, whose destructor would close the new file.
struct Usurped {
    waiting: cove::JoinHandle<io::Result<usize>>,
    old: Rc<ManuallyDrop<TcpStream>>,
    fd: RawFd,
}

impl Usurped {
    /// A coroutine waits to read; the peer's end is leaked, so that it stays silent.
    fn new() -> Usurped {
        let (near, far) = tcp_pair();
        let _ = far.into_raw_fd();
        let fd = near.as_raw_fd();
        let old = Rc::new(ManuallyDrop::new(near));
        let reading = old.clone();
        let waiting = cove::spawn(move || (&**reading).read(&mut [0; 64]));
        wait_for(&waiting.task(), "reading");
        Usurped { waiting, old, fd }
    }

    /// A connected pair of which the first has the number, which it takes without a word.
    fn pair(&self) -> (UnixStream, UnixStream) {
        let (near, far) = UnixStream::pair().expect("a pair");
        let near = near.into_raw_fd();
        // SAFETY: the numbers are this test's; what becomes of the old owner of the second is the
        // question here. The new owner is its only one that will close it.
        unsafe {
            assert_eq!(libc::dup2(near, self.fd), self.fd);
            assert_eq!(libc::close(near), 0);
            (UnixStream::from_raw_fd(self.fd), far)
        }
    }
}

/// Reads ten messages, one after the other, each after a wait.
fn exchange(near: UnixStream, mut far: UnixStream) {
    let received = Rc::new(Cell::new(0_u8));
    let count = received.clone();
    let reader = cove::spawn(move || {
        let mut byte = [0];
        while (&near).read(&mut byte).expect("bytes") == 1 {
            assert_eq!(byte[0], count.get());
            count.set(byte[0] + 1);
        }
        near
    });
    for message in 0..10 {
        wait_for(&reader.task(), "reading");
        far.write_all(&[message]).expect("sent");
        yield_until(|| received.get() == message + 1);
    }
    drop(far);
    drop(reader.join().expect("no panic"));
}

/// Goal: a number that was closed behind the runtime's back and serves again: the new owner gets
/// its events and all its bytes, the old waiter none of them, and it can be cancelled. Method:
/// dup2(2) closes it without a word; messages.
#[test]
fn reused_number_serves_its_new_owner() {
    child::in_runtime("closing::reused_number_serves_its_new_owner", || {
        let usurped = Usurped::new();
        let (near, far) = usurped.pair();
        exchange(near, far);
        usurped.waiting.cancel();
        match usurped.waiting.join() {
            Err(payload) => assert!(payload.is::<Cancelled>()),
            Ok(result) => assert_eq!(result.expect_err("no bytes").raw_os_error(), EBADF),
        }
        assert_eq!(cove::metrics().live, 0);
    });
}

/// Goal: the same if the old file lives on under another number and still gets data, whose events
/// the kernel goes on to send. Method: a duplicate keeps it open.
#[test]
fn reused_number_gets_no_events_of_the_old_file() {
    child::in_runtime("closing::reused_number_gets_no_events_of_the_old_file", || {
        let (old, mut peer) = tcp_pair();
        let duplicate = std::os::fd::AsFd::as_fd(&old).try_clone_to_owned().expect("a clone");
        let fd = old.as_raw_fd();
        let old = Rc::new(ManuallyDrop::new(old));
        let reading = old.clone();
        let waiting = cove::spawn(move || (&**reading).read(&mut [0; 64]));
        wait_for(&waiting.task(), "reading");
        let usurped = Usurped { waiting, old, fd };
        let (near, mut far) = usurped.pair();
        let new = cove::spawn(move || {
            let mut bytes = [0; 3];
            (&near).read_exact(&mut bytes).map(|()| bytes)
        });
        wait_for(&new.task(), "reading");
        peer.write_all(b"for the old file").expect("sent");
        far.write_all(b"new").expect("sent");
        assert_eq!(&new.join().expect("no panic").expect("bytes"), b"new");
        usurped.waiting.cancel();
        drop(usurped.waiting.join());
        let mut bytes = [0; 16];
        let mut duplicate = std::net::TcpStream::from(duplicate);
        duplicate.set_nonblocking(true).expect("a mode");
        assert_eq!(duplicate.read(&mut bytes).expect("bytes"), 16);
        assert_eq!(&bytes, b"for the old file");
    });
}

/// Goal: the old owner, taking its leave, does not take the new owner's registration along. Method:
/// the old socket is turned into its number while the new one waits.
#[test]
fn leave_of_the_old_owner_is_no_concern_of_the_new_one() {
    child::in_runtime("closing::leave_of_the_old_owner_is_no_concern_of_the_new_one", || {
        let usurped = Usurped::new();
        let (near, mut far) = usurped.pair();
        let Usurped { waiting, old, fd } = usurped;
        let new = cove::spawn(move || {
            let mut bytes = [0; 3];
            (&near).read_exact(&mut bytes).map(|()| bytes)
        });
        wait_for(&new.task(), "reading");
        waiting.cancel();
        drop(waiting.join());
        let old = Rc::into_inner(old).expect("the last");
        assert_eq!(ManuallyDrop::into_inner(old).into_raw_fd(), fd);
        // SAFETY: fcntl(2) with these touches no memory of ours. The mode went with the leave.
        assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) }, 0);
        far.write_all(b"new").expect("sent");
        let read = time::timeout(Duration::from_secs(10), || new.join());
        assert_eq!(&read.expect("in time").expect("no panic").expect("bytes"), b"new");
    });
}

/// Goal: numbers that serve again and again belong to one at a time. Method: sockets that are
/// closed, dropped, cancelled in mid-wait; holdings at the end.
#[test]
fn numbers_that_change_hands_leak_nothing() {
    child::in_runtime("closing::numbers_that_change_hands_leak_nothing", || {
        let round = || {
            let before = cove::metrics().descriptors;
            for way in 0..300 {
                let (near, mut far) = tcp_pair();
                let near = Rc::new(near);
                let reading = near.clone();
                let waiting = cove::spawn(move || (&*reading).read(&mut [0; 8]));
                task::yield_now();
                match way % 4 {
                    0 => near.close(),
                    1 => waiting.cancel(),
                    2 => far.write_all(b"8 bytes.").expect("sent"),
                    _ => drop(far),
                }
                drop(near);
                drop(waiting.join());
            }
            assert_eq!(cove::metrics().descriptors, before);
        };
        round();
        let before = Holdings::now();
        round();
        assert_eq!(before, Holdings::now());
    });
}
