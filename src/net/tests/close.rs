//! `close`: whoever waits is woken, the open file ends at once, the number stays safe.

use super::{kind, listener, number, tcp_pair, unix_pair};
use crate::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};

const BAD: Option<i32> = Some(libc::EBADF);

#[test]
fn close_wakes_readers_writers_and_acceptors() {
    // Goal: every kind of waiter ends with EBADF. Method: two of each wait while their socket is
    // closed.
    crate::run(|| {
        let (near, _far) = tcp_pair();
        let (listener, _) = listener();
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let (datagram, _other) = UnixDatagram::pair().expect("a pair");
        crate::scope(|scope| {
            let mut waiters = Vec::new();
            for _ in 0..2 {
                waiters.push(scope.spawn(|| number((&near).read(&mut [0; 8]))));
                waiters.push(scope.spawn(|| number((&near).write_all(&vec![0; 20_000_000]))));
                waiters.push(scope.spawn(|| number(listener.accept())));
                waiters.push(scope.spawn(|| number(udp.recv_from(&mut [0; 8]))));
                waiters.push(scope.spawn(|| number(datagram.recv(&mut [0; 8]))));
            }
            crate::task::yield_now();
            near.close();
            listener.close();
            udp.close();
            datagram.close();
            for waiter in waiters {
                assert_eq!(waiter.join().expect("waiter"), BAD);
            }
        });
    });
}

#[test]
fn operations_after_close_fail() {
    // Goal: EBADF from everything, not the inert socket's answers. Method: each kind of method.
    crate::run(|| {
        let (near, _far) = tcp_pair();
        near.set_nonblocking(true).expect("non-blocking");
        near.close();
        near.close();
        assert_eq!(number((&near).read(&mut [0; 8])), BAD);
        assert_eq!(number((&near).write(b"x")), BAD);
        assert_eq!(number(near.peek(&mut [0; 8])), BAD);
        assert_eq!(number(near.local_addr()), BAD);
        assert_eq!(number(near.try_clone()), BAD);
        assert_eq!(number(near.take_error()), BAD);
        assert_eq!(number(near.set_nodelay(true)), BAD);
        assert_eq!(number(near.set_nonblocking(false)), BAD);
        assert_eq!(number(near.set_read_timeout(None)), BAD);
        let datagram = UnixDatagram::unbound().expect("a socket");
        datagram.close();
        assert_eq!(number(datagram.send_to(b"x", "/nonexistent")), BAD);
    });
}

#[test]
fn the_open_file_ends_at_once() {
    // Goal: the peer sees the end, the port is free, although the handles live on. Method: close,
    // then look from outside.
    crate::run(|| {
        let (near, mut far) = tcp_pair();
        near.close();
        assert_eq!(far.read(&mut [0; 8]).expect("read"), 0);
        let (listener, address) = listener();
        listener.close();
        assert_eq!(kind(TcpStream::connect(address)), Some(io::ErrorKind::ConnectionRefused));
        TcpListener::bind(address).expect("the port is free");
        let unix = super::unix_address();
        let listener = UnixListener::bind_addr(&unix).expect("a listener");
        listener.close();
        UnixListener::bind_addr(&unix).expect("the name is free");
    });
}

#[test]
fn the_number_leads_to_no_stranger_until_the_handle_is_dropped() {
    // Goal: borrowed descriptors stay valid. Method: close, open others, use the old number.
    crate::run(|| {
        let (near, _far) = tcp_pair();
        let borrowed = near.as_fd();
        near.close();
        let (other, mut other_far) = unix_pair();
        assert_ne!(other.as_raw_fd(), borrowed.as_raw_fd());
        other_far.write_all(b"x").expect("write");
        // SAFETY: a writable byte.
        let read = unsafe { libc::recv(borrowed.as_raw_fd(), [0_u8].as_mut_ptr().cast(), 1, 0) };
        assert_eq!(read, -1);
    });
}

#[test]
fn a_clone_survives() {
    // Goal: close is for one handle. Method: a reader waits on each; one handle is closed.
    crate::run(|| {
        let (near, mut far) = tcp_pair();
        let clone = near.try_clone().expect("a clone");
        crate::scope(|scope| {
            let closed = scope.spawn(|| number((&near).read(&mut [0; 8])));
            let alive = scope.spawn(|| (&clone).read(&mut [0; 8]));
            crate::task::yield_now();
            near.close();
            assert_eq!(closed.join().expect("closed"), BAD);
            assert!(!alive.is_finished());
            far.write_all(b"ab").expect("write");
            assert_eq!(alive.join().expect("alive").expect("read"), 2);
        });
    });
}

#[test]
fn a_number_that_is_used_again_gets_its_own_events() {
    // Goal: generations. Method: sockets that have waited are dropped with events under way, by
    // their peers' last writes; new ones at the same numbers wait for bytes of their own.
    crate::run(|| {
        let mut last = None;
        let mut again = 0;
        for _ in 0..200 {
            let (near, far) = unix_pair();
            again += usize::from(last == Some(near.as_raw_fd()));
            last = Some(near.as_raw_fd());
            let reader = crate::spawn(move || {
                let mut byte = [0];
                (&near).read_exact(&mut byte).map(|()| (near, byte[0]))
            });
            crate::task::yield_now();
            assert!(!reader.is_finished(), "woken by an event of the past");
            (&far).write_all(b"a").expect("write");
            let (near, byte) = reader.join().expect("reader").expect("read");
            assert_eq!(byte, b'a');
            (&far).write_all(b"an event that nobody fetches").expect("write");
            drop(near);
        }
        assert!(again > 100, "the kernel gives the lowest number");
    });
}
