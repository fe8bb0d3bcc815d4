//! Tests of sockets: real ones, over loopback and Unix pairs, waiting by poll(2).

use super::super::signal::SignalMask;
use super::*;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixListener, UnixStream};

fn os_error<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

fn loopback() -> SocketAddress {
    SocketAddress::from_inet(&SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// Waits until poll(2) sees `events`; the kernel says when, and no time passes otherwise.
fn wait(fd: RawFd, events: libc::c_short) {
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: `entry` is one pollfd and lives through the call.
    assert_eq!(cvt(unsafe { real::poll(&mut entry, 1, -1) }).expect("poll"), 1);
}

#[test]
fn connection_over_loopback_moves_bytes_both_ways() {
    // Goal: the whole life of a TCP connection. Method: each call once, waiting by poll.
    let listener = stream(libc::AF_INET).expect("a socket");
    set_reuse_addr(listener.as_raw_fd(), true).expect("reuse");
    bind(listener.as_raw_fd(), &loopback()).expect("bind");
    listen(listener.as_raw_fd(), 16).expect("listen");
    assert_eq!(os_error(accept4(listener.as_raw_fd())), Some(libc::EAGAIN));
    let listener = TcpListener::from(listener);
    let address = listener.local_addr().expect("its address");

    let client = stream(libc::AF_INET).expect("a socket");
    let to = SocketAddress::from_inet(&address);
    if connect(client.as_raw_fd(), &to).expect("connect") == Connect::InProgress {
        wait(client.as_raw_fd(), libc::POLLOUT);
    }
    assert!(take_error(client.as_raw_fd()).expect("SO_ERROR").is_none());
    wait(listener.as_raw_fd(), libc::POLLIN);
    let (server, peer) = accept4(listener.as_raw_fd()).expect("accept");
    let client = TcpStream::from(client);
    assert_eq!(peer.to_inet().expect("internet"), client.local_addr().expect("its address"));

    let mut buffer = [0; 8];
    assert_eq!(os_error(recv(server.as_raw_fd(), &mut buffer, 0)), Some(libc::EAGAIN));
    let parts = [IoSlice::new(b"one"), IoSlice::new(b"two")];
    assert_eq!(writev(client.as_raw_fd(), &parts).expect("writev"), 6);
    wait(server.as_raw_fd(), libc::POLLIN);
    assert_eq!(peek(server.as_raw_fd(), &mut buffer[..4]).expect("peek"), 4);
    let (mut first, mut second) = ([0; 1], [0; 7]);
    let mut parts = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    assert_eq!(readv(server.as_raw_fd(), &mut parts).expect("readv"), 6);
    assert_eq!((&first, &second[..5]), (b"o", &b"netwo"[..]));
    assert_eq!(send(server.as_raw_fd(), b"back", 0).expect("send"), 4);
    wait(client.as_raw_fd(), libc::POLLIN);
    assert_eq!(recv(client.as_raw_fd(), &mut buffer, 0).expect("recv"), 4);
    TcpStream::from(server).shutdown(Shutdown::Both).expect("shutdown");
    wait(client.as_raw_fd(), libc::POLLIN);
    assert_eq!(recv(client.as_raw_fd(), &mut buffer, 0).expect("end of stream"), 0);
}

#[test]
fn refused_connection_waits_at_the_socket_or_fails_at_once() {
    // Goal: the outcome of an asynchronous connect. Method: a port that is taken by a socket
    // which does not listen, so that nobody else can come to listen there.
    let deaf = stream(libc::AF_INET).expect("a socket");
    bind(deaf.as_raw_fd(), &loopback()).expect("bind");
    let deaf = TcpListener::from(deaf);
    let to = SocketAddress::from_inet(&deaf.local_addr().expect("its address"));
    let client = stream(libc::AF_INET).expect("a socket");
    let error = match connect(client.as_raw_fd(), &to) {
        Err(error) => Some(error),
        Ok(_) => {
            wait(client.as_raw_fd(), libc::POLLOUT);
            take_error(client.as_raw_fd()).expect("SO_ERROR")
        }
    };
    assert_eq!(error.and_then(|error| error.raw_os_error()), Some(libc::ECONNREFUSED));
    assert!(take_error(client.as_raw_fd()).expect("SO_ERROR").is_none());
}

#[test]
fn datagrams_carry_their_sender() {
    // Goal: sendto and recvfrom. Method: two sockets of our own, over IPv4 and, where it
    // exists, IPv6.
    for any in ["127.0.0.1:0", "[::1]:0"] {
        let any: SocketAddr = any.parse().expect("an address");
        let raw = SocketAddress::from_inet(&any);
        let [near, far] = [0, 1].map(|_| datagram(raw.family()).expect("a socket"));
        if bind(near.as_raw_fd(), &raw).is_err() {
            println!("skipped {any}: no such address here");
            continue;
        }
        bind(far.as_raw_fd(), &raw).expect("bind");
        let [near, far] = [near, far].map(UdpSocket::from);
        let to = SocketAddress::from_inet(&far.local_addr().expect("its address"));
        assert_eq!(sendto(near.as_raw_fd(), b"hello", 0, &to).expect("sendto"), 5);
        wait(far.as_raw_fd(), libc::POLLIN);
        let mut buffer = [0; 3];
        let (bytes, from) = recvfrom(far.as_raw_fd(), &mut buffer, 0).expect("recvfrom");
        assert_eq!((bytes, &buffer), (3, b"hel"));
        assert_eq!(from.to_inet().ok(), near.local_addr().ok());
    }
}

#[test]
fn unix_sockets_connect_by_abstract_name() {
    // Goal: Unix addresses reach the kernel and come back. Method: a name that is this test's
    // own.
    let name = format!("cove-sys-socket-{}", std::process::id());
    let address = net::SocketAddr::from_abstract_name(&name).expect("a name");
    let address = SocketAddress::from_unix(&address).expect("it fits");
    let listener = stream(libc::AF_UNIX).expect("a socket");
    bind(listener.as_raw_fd(), &address).expect("bind");
    listen(listener.as_raw_fd(), 1).expect("listen");
    let client = stream(libc::AF_UNIX).expect("a socket");
    assert_eq!(connect(client.as_raw_fd(), &address).expect("connect"), Connect::Done);
    let (_server, peer) = accept4(listener.as_raw_fd()).expect("accept");
    assert!(peer.to_unix().expect("unix").is_unnamed());
    let listener = UnixListener::from(listener);
    let local = listener.local_addr().expect("its address");
    assert_eq!(local.as_abstract_name(), Some(name.as_bytes()));
}

#[test]
fn two_listeners_share_a_port_only_when_both_ask() {
    // Goal: SO_REUSEPORT works and its absence is noticed. Method: bind three times.
    let [first, second, third] = [0, 1, 2].map(|_| stream(libc::AF_INET).expect("a socket"));
    set_reuse_port(first.as_raw_fd(), true).expect("reuse");
    set_reuse_port(second.as_raw_fd(), true).expect("reuse");
    bind(first.as_raw_fd(), &loopback()).expect("bind");
    let first = TcpListener::from(first);
    let same = SocketAddress::from_inet(&first.local_addr().expect("its address"));
    bind(second.as_raw_fd(), &same).expect("bind");
    assert_eq!(os_error(bind(third.as_raw_fd(), &same)), Some(libc::EADDRINUSE));
}

#[test]
fn closed_peer_is_an_error_and_no_signal() {
    // Goal: MSG_NOSIGNAL on every sender. Method: block SIGPIPE, since a blocked signal is kept
    // even where it is ignored, and look what is pending for this thread; write(2), last, shows
    // that it would be.
    // Shut down and not dropped: a child that another test forks may hold a copy for a moment.
    let (near, far) = UnixStream::pair().expect("a socket pair");
    far.shutdown(Shutdown::Both).expect("shutdown");
    let before = SignalMask::empty().with(libc::SIGPIPE).block().expect("block");
    assert_eq!(os_error(send(near.as_raw_fd(), b"x", 0)), Some(libc::EPIPE));
    assert_eq!(os_error(writev(near.as_raw_fd(), &[IoSlice::new(b"x")])), Some(libc::EPIPE));
    assert!(!is_pending(libc::SIGPIPE));
    // SAFETY: one byte is readable.
    assert_eq!(unsafe { real::write(near.as_raw_fd(), b"x".as_ptr().cast(), 1) }, -1);
    assert!(is_pending(libc::SIGPIPE));
    before.set().expect("the mask as it was");
}

fn is_pending(signal: c_int) -> bool {
    let mut pending = std::mem::MaybeUninit::uninit();
    // SAFETY: sigpending initialises the set, which sigismember only reads.
    unsafe {
        assert_eq!(libc::sigpending(pending.as_mut_ptr()), 0);
        libc::sigismember(pending.as_ptr(), signal) == 1
    }
}

#[test]
fn blocking_mode_is_set_and_cleared() {
    // Goal: O_NONBLOCK follows. Method: ask the kernel for the flags.
    let (near, _far) = UnixStream::pair().expect("a socket pair");
    for on in [true, false] {
        set_nonblocking(near.as_raw_fd(), on).expect("FIONBIO");
        // SAFETY: F_GETFL takes no memory of ours.
        let flags = cvt(unsafe { libc::fcntl(near.as_raw_fd(), libc::F_GETFL) });
        assert_eq!(flags.expect("flags") & libc::O_NONBLOCK != 0, on);
    }
}

#[test]
fn bad_descriptors_are_ebadf_everywhere() {
    // Goal: no function panics or hides an error. Method: -1, which is never open.
    let (mut byte, to) = ([0], loopback());
    assert_eq!(os_error(bind(-1, &to)), Some(libc::EBADF));
    assert_eq!(os_error(listen(-1, 1)), Some(libc::EBADF));
    assert_eq!(os_error(accept4(-1)), Some(libc::EBADF));
    assert_eq!(os_error(connect(-1, &to)), Some(libc::EBADF));
    assert_eq!(os_error(recv(-1, &mut byte, 0)), Some(libc::EBADF));
    assert_eq!(os_error(peek(-1, &mut byte)), Some(libc::EBADF));
    assert_eq!(os_error(send(-1, &byte, 0)), Some(libc::EBADF));
    assert_eq!(os_error(recvfrom(-1, &mut byte, 0)), Some(libc::EBADF));
    assert_eq!(os_error(sendto(-1, &byte, 0, &to)), Some(libc::EBADF));
    assert_eq!(os_error(readv(-1, &mut [IoSliceMut::new(&mut byte)])), Some(libc::EBADF));
    assert_eq!(os_error(writev(-1, &[IoSlice::new(&byte)])), Some(libc::EBADF));
    assert_eq!(os_error(take_error(-1)), Some(libc::EBADF));
    assert_eq!(os_error(set_reuse_port(-1, true)), Some(libc::EBADF));
    assert_eq!(os_error(set_nonblocking(-1, true)), Some(libc::EBADF));
    assert_eq!(os_error(stream(-1)), Some(libc::EAFNOSUPPORT));
}
