//! When descriptors run out.

use super::{listener, number};
use crate::net::{TcpStream, UdpSocket};
use crate::sys;
use std::cell::Cell;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;

/// Runs one test of this program in a process of its own, where `variable` is set.
pub(super) fn in_a_child(test: &str, variable: &str) {
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    let output = child.args([test, "--exact"]).env(variable, "1").output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Lets this process have `count` descriptors.
fn limit_descriptors(count: u64) {
    let limit = libc::rlimit { rlim_cur: count, rlim_max: count };
    // SAFETY: the structure is readable.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}

/// Opens sockets until there is no descriptor left.
fn take_all() -> Vec<UdpSocket> {
    std::iter::from_fn(|| UdpSocket::bind("127.0.0.1:0").ok()).collect()
}

/// Starts connecting, with the descriptor that dropping `room` leaves free.
fn begin_connect(room: UdpSocket, address: &SocketAddr) -> OwnedFd {
    drop(room);
    let fd = sys::socket::stream(libc::AF_INET).expect("a socket");
    let address = sys::socket::SocketAddress::from_inet(address);
    sys::socket::connect(fd.as_raw_fd(), &address).expect("connect");
    fd
}

#[test]
fn accept_works_again_when_descriptors_are_free() {
    // Goal: running out loses no connection and puts nobody to sleep over one. Method: in a child
    // with few descriptors, three wait in accept; connections come when none is left for them: all
    // get EMFILE; with descriptors free, each accept gets its connection, without another event.
    const CHILD: &str = "COVE_TEST_EMFILE";
    if std::env::var_os(CHILD).is_none() {
        let test = "net::tests::limits::accept_works_again_when_descriptors_are_free";
        return in_a_child(test, CHILD);
    }
    limit_descriptors(64);
    crate::run(|| {
        let (listener, address) = listener();
        let errors = Cell::new(0);
        let accept = || {
            loop {
                match listener.accept() {
                    Ok((stream, _)) => return stream,
                    Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EMFILE)),
                }
                errors.set(errors.get() + 1);
                crate::task::park();
            }
        };
        crate::scope(|scope| {
            let acceptors = [(); 3].map(|()| scope.spawn(accept));
            crate::task::yield_now();
            let mut all = take_all();
            let clients =
                [(); 3].map(|()| begin_connect(all.pop().expect("there were plenty"), &address));
            assert_eq!(number(UdpSocket::bind("127.0.0.1:0")), Some(libc::EMFILE));
            while errors.get() < 3 {
                crate::task::yield_now();
            }
            drop(all);
            for acceptor in &acceptors {
                acceptor.task().unpark();
            }
            for acceptor in acceptors {
                acceptor.join().expect("acceptor");
            }
            assert_eq!((errors.get(), clients.len()), (3, 3));
        });
        TcpStream::connect(address).expect("the listener goes on");
    });
}
