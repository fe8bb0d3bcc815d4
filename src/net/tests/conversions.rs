//! To and from std's types and bare descriptors.

use super::{tcp_pair, unix_pair};
use crate::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

/// Whether O_NONBLOCK is set.
fn is_nonblocking(fd: &impl AsRawFd) -> bool {
    // SAFETY: F_GETFL takes no memory of ours.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    assert!(flags >= 0);
    flags & libc::O_NONBLOCK != 0
}

#[test]
fn std_types_come_and_go_with_mode_and_timeouts() {
    // Goal: what std's user set is kept on the way in and out. Method: there and back.
    if std::env::var_os("COVE_EMULATED").is_some() {
        return println!("skipped: qemu does not tell of timeouts that it was given");
    }
    let std = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let timeouts = (Some(Duration::from_millis(1500)), Some(Duration::from_secs(3)));
    std.set_read_timeout(timeouts.0).expect("set");
    std.set_write_timeout(timeouts.1).expect("set");
    let address = std.local_addr().expect("address");
    let socket = UdpSocket::from(std);
    assert!(is_nonblocking(&socket));
    assert_eq!((socket.read_timeout().ok(), socket.write_timeout().ok()), {
        (Some(timeouts.0), Some(timeouts.1))
    });
    let new = Some(Duration::from_micros(2_500_001));
    socket.set_read_timeout(new).expect("set");
    let std = std::net::UdpSocket::from(socket);
    assert!(!is_nonblocking(&std) && std.local_addr().ok() == Some(address));
    assert!(std.read_timeout().expect("get") >= new, "rounded up to the kernel's ticks");
    let socket = UdpSocket::from(std);
    socket.set_nonblocking(true).expect("set");
    assert!(is_nonblocking(&std::net::UdpSocket::from(socket)));
}

#[test]
fn every_type_converts() {
    // Goal: each of the conversions exists and keeps the descriptor. Method: through all of them.
    macro_rules! convert {
        ($type:ty, $std:ty, $socket:expr) => {{
            let socket: $type = $socket;
            let number = socket.as_fd().as_raw_fd();
            assert!(format!("{socket:?}").contains(&number.to_string()));
            let fd = OwnedFd::from(<$type>::from(<$std>::from(socket)));
            let raw = <$type>::from(fd).into_raw_fd();
            assert_eq!(raw, number);
            // SAFETY: the descriptor was given up a line above.
            let socket = unsafe { <$type>::from_raw_fd(raw) };
            assert!(is_nonblocking(&socket) && socket.take_error().expect("get").is_none());
        }};
    }
    convert!(TcpStream, std::net::TcpStream, tcp_pair().0);
    convert!(TcpListener, std::net::TcpListener, super::listener().0);
    convert!(UdpSocket, std::net::UdpSocket, UdpSocket::bind("127.0.0.1:0").expect("bind"));
    convert!(UnixStream, std::os::unix::net::UnixStream, unix_pair().0);
    convert!(UnixListener, std::os::unix::net::UnixListener, super::unix_listener().0);
    convert!(UnixDatagram, std::os::unix::net::UnixDatagram, UnixDatagram::pair().expect("pair").0);
}

#[test]
fn a_stream_that_has_waited_can_leave_and_return() {
    // Goal: the registration ends with the wrapper. Method: wait, take the wrapper off, use std's
    // calls, put a wrapper on again, wait.
    crate::run(|| {
        let (mut near, mut far) = unix_pair();
        for _ in 0..3 {
            let reader = crate::spawn(move || near.read(&mut [0; 8]).map(|_| near));
            crate::task::yield_now();
            far.write_all(b"x").expect("write");
            let waited = reader.join().expect("reader").expect("read");
            let mut std = std::os::unix::net::UnixStream::from(waited);
            far.write_all(b"y").expect("write");
            assert_eq!(std.read(&mut [0; 8]).expect("read"), 1);
            near = UnixStream::from(std);
        }
    });
}

#[test]
fn sockets_are_send_and_stay_usable_after_a_panic() {
    // Goal: the auto traits of std's types, but for Sync. Method: the compiler.
    fn check<T: Send + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    check::<TcpListener>();
    check::<TcpStream>();
    check::<UdpSocket>();
    check::<UnixListener>();
    check::<UnixStream>();
    check::<UnixDatagram>();
}

#[test]
fn tcp_options_pass_through() {
    // Goal: std's options. Method: set, get.
    crate::run(|| {
        let (near, _far) = tcp_pair();
        near.set_nodelay(true).expect("set");
        near.set_ttl(33).expect("set");
        assert!(near.nodelay().expect("get"));
        assert_eq!(near.ttl().expect("get"), 33);
        assert_eq!(near.linger().expect("get"), None);
        near.set_linger(Some(Duration::from_secs(2))).expect("set");
        assert_eq!(near.linger().expect("get"), Some(Duration::from_secs(2)));
        near.set_linger(None).expect("set");
        assert_eq!(near.linger().expect("get"), None);
        let (listener, _) = super::listener();
        listener.set_ttl(44).expect("set");
        assert_eq!(listener.ttl().expect("get"), 44);
        assert!(listener.take_error().expect("get").is_none());
    });
}
