//! What addresses are made of.

use super::{kind, listener};
use crate::net::{TcpStream, ToSocketAddrs};
use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// All the addresses of `from`, which std must agree with.
fn all<A: ToSocketAddrs + std::net::ToSocketAddrs>(from: A) -> Vec<SocketAddr> {
    let ours: Vec<_> = ToSocketAddrs::to_socket_addrs(&from).expect("addresses").collect();
    let std = std::net::ToSocketAddrs::to_socket_addrs(&from).expect("addresses");
    assert_eq!(ours, std.collect::<Vec<_>>());
    ours
}

#[test]
fn every_form_agrees_with_std() {
    // Goal: the same types as std's trait, the same answers. Method: each of them.
    let (v4, v6) = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    let address = SocketAddr::from((v4, 80));
    assert_eq!(all(address), [address]);
    assert_eq!(all(SocketAddrV4::new(v4, 80)), [address]);
    all(SocketAddrV6::new(v6, 80, 1, 2));
    assert_eq!(all((v4, 80)), [address]);
    all((v6, 80));
    assert_eq!(all((IpAddr::from(v4), 80)), [address]);
    assert_eq!(all(("127.0.0.1", 80)), [address]);
    assert_eq!(all(("127.0.0.1".to_owned(), 80)), [address]);
    assert_eq!(all("127.0.0.1:80"), [address]);
    assert_eq!(all("[::1]:80".to_owned()).len(), 1);
    assert_eq!(all(&[address, address][..]), [address, address]);
    crate::run(|| assert!(all("localhost:80").contains(&address)));
}

#[test]
fn what_is_no_address_is_invalid() {
    // Goal: std's errors come through the pool. Method: no port, a bad port, no such name.
    crate::run(|| {
        let invalid = Some(io::ErrorKind::InvalidInput);
        assert_eq!(kind("localhost".to_socket_addrs()), invalid);
        assert_eq!(kind("localhost:port".to_socket_addrs()), invalid);
        assert!("no such name.invalid:80".to_socket_addrs().is_err());
    });
}

#[test]
fn others_run_while_a_name_is_looked_up() {
    // Goal: the thread does not stop for a name server. Method: another coroutine gets a turn
    // before the connect by name is through.
    crate::run(|| {
        let (listener, address) = listener();
        let turns = std::rc::Rc::new(Cell::new(0));
        let count = turns.clone();
        let other = crate::spawn(move || count.set(count.get() + 1));
        let stream = TcpStream::connect(("localhost", address.port())).expect("connect");
        assert_eq!(turns.get(), 1);
        other.join().expect("other");
        assert_eq!(stream.peer_addr().expect("peer").port(), address.port());
        listener.accept().expect("accept");
    });
}
