//! Datagrams: UDP and Unix.

use super::super::log::Log;
use super::net::UdpSocket;
use super::unix::{SocketAddr as UnixAddr, UnixDatagram};
use crate::support::Scratch;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::time::Duration;

/// As short as a wait that is to end may be.
const MOMENT: Duration = Duration::from_millis(1);

pub(crate) fn udp(log: &mut Log) {
    let one = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let two = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let of_one = one.local_addr().expect("its address");
    let of_two = two.local_addr().expect("its address");
    let mut buffer = [0; 8];
    log.outcome(UdpSocket::bind(of_one).map(drop));
    log.outcome(one.send(b"nowhere"));
    log.outcome(one.peer_addr());
    log.outcome(one.send_to(b"first", of_two));
    log.outcome(one.send_to(b"", of_two));
    log.outcome(one.send_to(b"much too long", of_two));
    log.outcome(two.peek_from(&mut buffer).map(|(count, from)| (count, from == of_one)));
    log.outcome(two.recv_from(&mut buffer).map(|(count, from)| (count, from == of_one)));
    log.value(buffer);
    log.outcome(two.recv_from(&mut buffer).map(|(count, from)| (count, from == of_one)));
    log.outcome(two.recv(&mut buffer));
    log.value(buffer);
    log.outcome(two.connect(of_one));
    log.outcome(two.peer_addr().map(|peer| peer == of_one));
    log.outcome(two.send(b"back"));
    log.outcome(one.peek(&mut buffer));
    log.outcome(one.recv(&mut buffer));
    log.outcome(two.set_read_timeout(Some(MOMENT)));
    log.outcome(two.recv(&mut buffer));
    log.outcome(two.set_read_timeout(Some(Duration::ZERO)));
    log.outcome(two.set_write_timeout(Some(Duration::from_secs(9))));
    log.outcome(two.write_timeout());
    log.outcome(two.set_nonblocking(true));
    log.outcome(two.recv_from(&mut buffer).map(drop));
    log.outcome(two.set_nonblocking(false));
    let clone = two.try_clone().expect("a clone");
    log.outcome(clone.local_addr().map(|address| address == of_two));
    // To a port that nobody has: the error comes with a later call.
    drop(one);
    log.outcome(two.send(b"gone"));
    log.outcome(two.set_read_timeout(None));
    log.outcome(two.recv(&mut buffer));
    log.outcome(two.take_error().map(|error| error.is_none()));
    let nowhere: &[SocketAddr] = &[];
    log.outcome(two.send_to(b"x", nowhere));
    log.outcome(UdpSocket::bind(nowhere).map(drop));
}

pub(crate) fn udp_options(log: &mut Log) {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    log.outcome(socket.broadcast());
    let port = socket.local_addr().expect("its address").port();
    log.outcome(socket.send_to(b"x", (Ipv4Addr::BROADCAST, port)).map(drop).map_err(|error| {
        // Where no route leads there, another error comes first.
        std::io::Error::from(error.kind())
    }));
    log.outcome(socket.set_broadcast(true));
    log.outcome(socket.broadcast());
    log.outcome(socket.set_ttl(77));
    log.outcome(socket.ttl());
    log.outcome(socket.multicast_loop_v4());
    log.outcome(socket.set_multicast_loop_v4(false));
    log.outcome(socket.multicast_loop_v4());
    log.outcome(socket.multicast_ttl_v4());
    log.outcome(socket.set_multicast_ttl_v4(3));
    log.outcome(socket.multicast_ttl_v4());
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let interface = Ipv4Addr::LOCALHOST;
    log.outcome(socket.leave_multicast_v4(&group, &interface));
    log.outcome(socket.join_multicast_v4(&group, &interface));
    log.outcome(socket.join_multicast_v4(&group, &interface));
    log.outcome(socket.leave_multicast_v4(&group, &interface));
    log.outcome(socket.join_multicast_v4(&interface, &interface));
    log.outcome(socket.join_multicast_v6(&Ipv6Addr::LOCALHOST, 0));
    // Machines without IPv6 exist: then both say so.
    match UdpSocket::bind("[::1]:0") {
        Err(error) => log.value(error.kind()),
        Ok(socket) => {
            log.outcome(socket.multicast_loop_v6());
            log.outcome(socket.set_multicast_loop_v6(false));
            log.outcome(socket.multicast_loop_v6());
            log.outcome(socket.leave_multicast_v6(&Ipv6Addr::LOCALHOST, 0));
            log.outcome(socket.local_addr().map(|address| address.ip()));
        }
    }
}

pub(crate) fn unix_datagrams(log: &mut Log) {
    let (near, far) = UnixDatagram::pair().expect("a pair");
    let mut buffer = [0; 8];
    log.outcome(near.send(b"one"));
    log.outcome(near.send(b""));
    log.outcome(near.send(b"much too long"));
    log.outcome(far.recv(&mut buffer));
    log.outcome(far.recv(&mut buffer));
    log.outcome(far.recv_from(&mut buffer).map(|(count, from)| (count, from.is_unnamed())));
    log.value(buffer);
    log.outcome(far.set_read_timeout(Some(MOMENT)));
    log.outcome(far.recv(&mut buffer));
    log.outcome(near.shutdown(Shutdown::Both));
    log.outcome(near.send(b"x"));
    log.outcome(near.recv(&mut buffer));
    drop(near);
    log.outcome(far.send(b"x"));

    let scratch = Scratch::new();
    let (path, other) = (scratch.path("a"), scratch.path("b"));
    let one = UnixDatagram::bind(&path).expect("a socket");
    log.outcome(UnixDatagram::bind(&path).map(drop));
    let two = UnixDatagram::unbound().expect("a socket");
    log.outcome(two.local_addr().map(|address| address.is_unnamed()));
    log.outcome(two.send(b"nowhere"));
    log.outcome(two.send_to(b"no such", &other));
    log.outcome(two.send_to(b"by path", &path));
    log.outcome(one.recv_from(&mut buffer).map(|(count, from)| (count, from.is_unnamed())));
    log.outcome(two.connect(&other));
    log.outcome(two.connect(&path));
    log.outcome(two.peer_addr().map(|peer| peer.as_pathname() == Some(&path)));
    log.outcome(two.send(b"again"));
    log.outcome(one.recv(&mut buffer));
    let name = format!("cove-api-{}", scratch.root().display());
    let address = UnixAddr::from_abstract_name(name.as_bytes()).expect("a name");
    let hidden = UnixDatagram::bind_addr(&address).expect("a socket");
    log.outcome(two.send_to_addr(b"by name", &address));
    log.outcome(hidden.recv(&mut buffer));
    log.outcome(hidden.send_to(b"back", &path));
    let sender = one.recv_from(&mut buffer).map(|(_, from)| from);
    log.outcome(sender.map(|from| from.as_abstract_name() == Some(name.as_bytes())));
    log.outcome(two.connect_addr(&address));
    log.outcome(two.send(b"x"));
}
