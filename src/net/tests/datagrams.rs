//! Datagrams over UDP and Unix sockets.

use super::{kind, number, unix_address};
use crate::net::{UdpSocket, UnixDatagram};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

fn udp() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").expect("a socket")
}

#[test]
fn udp_carries_datagrams_and_senders() {
    // Goal: recv_from, peek_from, send_to, with waits. Method: an echo, cut to a small buffer.
    crate::run(|| {
        let (near, far) = (udp(), udp());
        let [here, there] = [&near, &far].map(|socket| socket.local_addr().expect("address"));
        let echo = crate::spawn(move || {
            let mut buffer = [0; 3];
            assert_eq!(far.peek_from(&mut buffer).expect("peek"), (3, here));
            let (bytes, from) = far.recv_from(&mut buffer).expect("recv");
            far.send_to(&buffer[..bytes], from).expect("send")
        });
        crate::task::yield_now();
        assert_eq!(near.send_to(b"hello", there).expect("send"), 5);
        let mut buffer = [0; 16];
        assert_eq!(near.recv_from(&mut buffer).expect("recv"), (3, there));
        assert_eq!(&buffer[..3], b"hel");
        assert_eq!(echo.join().expect("echo"), 3);
        assert_eq!(kind(near.send_to(b"x", &[][..])), Some(io::ErrorKind::InvalidInput));
        assert_eq!(number(near.send_to(&vec![0; 70_000], there)), Some(libc::EMSGSIZE));
    });
}

#[test]
fn udp_connects() {
    // Goal: connect, send, recv, peek, and the error of a peer that is gone. Method: two connected
    // sockets; one is dropped while the other waits.
    crate::run(|| {
        let (near, far) = (udp(), udp());
        near.connect(far.local_addr().expect("address")).expect("connect");
        far.connect(near.local_addr().expect("address")).expect("connect");
        assert_eq!(near.peer_addr().ok(), far.local_addr().ok());
        near.send(b"").expect("an empty datagram");
        near.send(b"hello").expect("send");
        let mut buffer = [0; 16];
        assert_eq!(far.recv(&mut buffer).expect("recv"), 0);
        assert_eq!(far.peek(&mut buffer).expect("peek"), 5);
        assert_eq!(far.recv(&mut buffer).expect("recv"), 5);
        crate::scope(|scope| {
            let waiting = scope.spawn(|| near.recv(&mut [0; 8]));
            crate::task::yield_now();
            drop(far);
            near.send(b"anybody?").expect("send");
            let refused = waiting.join().expect("waiting");
            assert_eq!(kind(refused), Some(io::ErrorKind::ConnectionRefused));
        });
    });
}

#[test]
fn udp_options_pass_through() {
    // Goal: std's options. Method: set, get; join a group and leave it, where there is one.
    let socket = udp();
    socket.set_broadcast(true).expect("set");
    socket.set_ttl(33).expect("set");
    socket.set_multicast_loop_v4(false).expect("set");
    socket.set_multicast_ttl_v4(7).expect("set");
    assert!(socket.broadcast().expect("get") && !socket.multicast_loop_v4().expect("get"));
    assert_eq!((socket.ttl().ok(), socket.multicast_ttl_v4().ok()), (Some(33), Some(7)));
    let (group, any) = (Ipv4Addr::new(224, 0, 0, 251), Ipv4Addr::LOCALHOST);
    match socket.join_multicast_v4(&group, &any) {
        Ok(()) => socket.leave_multicast_v4(&group, &any).expect("leave"),
        Err(error) => println!("skipped IPv4 groups: {error}"),
    }
    let Ok(socket) = UdpSocket::bind("[::1]:0") else { return println!("skipped IPv6") };
    socket.set_multicast_loop_v6(false).expect("set");
    assert!(!socket.multicast_loop_v6().expect("get"));
    let group = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0xfb);
    match socket.join_multicast_v6(&group, 1) {
        Ok(()) => socket.leave_multicast_v6(&group, 1).expect("leave"),
        Err(error) => println!("skipped IPv6 groups: {error}"),
    }
}

#[test]
fn unix_datagrams_know_their_senders() {
    // Goal: bound, unbound and paired sockets. Method: a datagram by each.
    crate::run(|| {
        let address = unix_address();
        let bound = UnixDatagram::bind_addr(&address).expect("bind");
        let unbound = UnixDatagram::unbound().expect("unbound");
        unbound.send_to_addr(b"one", &address).expect("send");
        let mut buffer = [0; 16];
        let (bytes, from) = bound.recv_from(&mut buffer).expect("recv");
        assert!(bytes == 3 && from.is_unnamed());
        bound.send_to_addr(b"self", &address).expect("send");
        assert_eq!(bound.peek_from(&mut buffer).expect("peek").0, 4);
        let (bytes, from) = bound.recv_from(&mut buffer).expect("recv");
        assert_eq!((bytes, from.is_unnamed()), (4, false));
        unbound.connect_addr(&address).expect("connect");
        assert!(!unbound.peer_addr().expect("peer").is_unnamed());
        unbound.send(b"three").expect("send");
        assert_eq!(bound.peek(&mut buffer).expect("peek"), 5);
        assert_eq!(bound.recv(&mut buffer).expect("recv"), 5);
        let path = std::env::temp_dir().join(format!("cove-dgram-{}", std::process::id()));
        let named = UnixDatagram::bind(&path).expect("bind");
        unbound.send_to(b"by path", &path).expect("send");
        let received = named.recv(&mut buffer);
        std::fs::remove_file(&path).expect("remove");
        assert_eq!(received.expect("recv"), 7);
    });
}

/// Sends many datagrams by `send` while `receiver` reads; all arrive, in order.
fn flood(receiver: &UnixDatagram, send: impl Fn(&[u8]) -> io::Result<usize>) {
    const MESSAGES: u32 = 500;
    crate::scope(|scope| {
        let reader = scope.spawn(|| {
            for n in 0..MESSAGES {
                let mut number = [0; 4];
                assert_eq!(receiver.recv(&mut number).expect("recv"), 4);
                assert_eq!(u32::from_ne_bytes(number), n);
                crate::task::yield_now();
            }
        });
        for n in 0..MESSAGES {
            assert_eq!(send(&n.to_ne_bytes()).expect("send"), 4);
        }
        reader.join().expect("reader");
    });
}

#[test]
fn unix_senders_wait_while_the_receiver_is_full() {
    // Goal: no datagram is refused or lost, whether the kernel announces room (connected) or not
    // (unconnected). Method: more messages than the queue holds.
    crate::run(|| {
        let address = unix_address();
        let receiver = UnixDatagram::bind_addr(&address).expect("bind");
        let sender = UnixDatagram::unbound().expect("unbound");
        flood(&receiver, |bytes| sender.send_to_addr(bytes, &address));
        sender.connect_addr(&address).expect("connect");
        flood(&receiver, |bytes| sender.send(bytes));
        sender.set_write_timeout(Some(std::time::Duration::from_millis(1))).expect("a time-out");
        while sender.send(b"x").is_ok() {}
        let other = UnixDatagram::unbound().expect("unbound");
        other.set_nonblocking(true).expect("non-blocking");
        let full = other.send_to_addr(b"x", &address);
        assert_eq!(kind(full), Some(io::ErrorKind::WouldBlock));
    });
}
