//! Time-outs of sockets and deadline scopes.

use super::{kind, listener, tcp_pair, unix_pair};
use crate::net::{UdpSocket, UnixDatagram};
use crate::time::timeout;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(5);

#[test]
fn a_socket_timeout_is_would_block_and_leaves_the_socket_usable() {
    // Goal: std's kind of error, in time, and no data lost. Method: each kind of wait without
    // anything to get; then data.
    crate::run(|| {
        let would_block = Some(io::ErrorKind::WouldBlock);
        let (mut near, mut far) = tcp_pair();
        near.set_read_timeout(Some(SOON)).expect("a time-out");
        assert_eq!(near.read_timeout().expect("it"), Some(SOON));
        for _ in 0..3 {
            let begun = Instant::now();
            assert_eq!(kind(near.read(&mut [0; 8])), would_block);
            assert!(begun.elapsed() >= SOON);
        }
        assert_eq!(kind(near.peek(&mut [0; 8])), would_block);
        far.write_all(b"abc").expect("write");
        assert_eq!(near.read(&mut [0; 8]).expect("read"), 3);
        near.set_write_timeout(Some(SOON)).expect("a time-out");
        assert_eq!(kind(near.write_all(&vec![0; 20_000_000])), would_block);
        let (near, _far) = unix_pair();
        near.set_read_timeout(Some(SOON)).expect("a time-out");
        assert_eq!(kind((&near).read(&mut [0; 8])), would_block);
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        udp.set_read_timeout(Some(SOON)).expect("a time-out");
        assert_eq!(kind(udp.recv_from(&mut [0; 8])), would_block);
        let (near, _far) = UnixDatagram::pair().expect("a pair");
        near.set_read_timeout(Some(SOON)).expect("a time-out");
        assert_eq!(kind(near.recv(&mut [0; 8])), would_block);
    });
}

#[test]
fn a_zero_timeout_is_refused() {
    // Goal: as std. Method: both directions; the old value stays.
    let (near, _far) = unix_pair();
    near.set_read_timeout(Some(SOON)).expect("a time-out");
    let invalid = Some(io::ErrorKind::InvalidInput);
    assert_eq!(kind(near.set_read_timeout(Some(Duration::ZERO))), invalid);
    assert_eq!(kind(near.set_write_timeout(Some(Duration::ZERO))), invalid);
    assert_eq!(near.read_timeout().expect("it"), Some(SOON));
    assert_eq!(near.write_timeout().expect("it"), None);
}

#[test]
fn a_deadline_scope_is_timed_out() {
    // Goal: the scope's deadline reaches reads, writes and accepts, and is told apart. Method: each
    // in a scope that ends soon, with longer time-outs of the socket's own.
    crate::run(|| {
        let timed_out = Ok(Some(io::ErrorKind::TimedOut));
        let (near, _far) = tcp_pair();
        near.set_read_timeout(Some(Duration::from_secs(3600))).expect("a time-out");
        assert_eq!(timeout(SOON, || kind((&near).read(&mut [0; 8]))), timed_out);
        let all = vec![0; 20_000_000];
        assert_eq!(timeout(SOON, || kind((&near).write_all(&all))), timed_out);
        let (listener, _) = listener();
        assert_eq!(timeout(SOON, || kind(listener.accept())), timed_out);
        near.set_read_timeout(Some(SOON)).expect("a time-out");
        let scoped = timeout(Duration::from_secs(3600), || kind((&near).read(&mut [0; 8])));
        assert_eq!(scoped, Ok(Some(io::ErrorKind::WouldBlock)));
    });
}

#[test]
fn a_timer_and_an_event_at_once_lose_nothing() {
    // Goal: a wait that times out while its event is under way gives its turn to nobody and takes
    // no data with it. Method: reads with the shortest time-out against a slow writer; all bytes
    // arrive.
    crate::run(|| {
        let (near, mut far) = tcp_pair();
        near.set_read_timeout(Some(Duration::from_nanos(1))).expect("a time-out");
        let writer = crate::spawn(move || {
            for _ in 0..200 {
                far.write_all(b"x").expect("write");
                crate::time::sleep(Duration::from_micros(20));
            }
        });
        let mut got = 0;
        loop {
            match (&near).read(&mut [0; 8]) {
                Ok(0) => break,
                Ok(bytes) => got += bytes,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!(got, 200);
        writer.join().expect("writer");
    });
}
