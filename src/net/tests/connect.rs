//! Connecting: refused, several addresses, too late, cancelled, a full queue.

use super::{kind, listener, number, unix_address};
use crate::net::{SocketAddr, TcpListener, TcpStream, UnixListener, UnixStream};
use crate::sys;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// A port that is taken, at which nobody listens.
fn deaf() -> (std::os::fd::OwnedFd, SocketAddr) {
    let any = sys::socket::SocketAddress::from_inet(&([127, 0, 0, 1], 0).into());
    let socket = sys::socket::stream(libc::AF_INET).expect("a socket");
    sys::socket::bind(socket.as_raw_fd(), &any).expect("bind");
    let socket = std::net::TcpListener::from(socket);
    let address = socket.local_addr().expect("its address");
    (socket.into(), address)
}

/// A listener that is full: it ignores the next connection. The streams fill its queue.
fn full() -> (TcpListener, SocketAddr, Vec<TcpStream>) {
    let (listener, address) = listener();
    // A second listen(2) changes the limit; the queue holds one more than that.
    sys::socket::listen(listener.as_raw_fd(), 0).expect("listen");
    let filling = TcpStream::connect(address).expect("connect");
    (listener, address, vec![filling])
}

#[test]
fn a_refused_connection_is_an_error() {
    // Goal: the outcome of a connect that goes on in the background. Method: a port at which nobody
    // listens.
    crate::run(|| {
        let (_deaf, address) = deaf();
        assert_eq!(kind(TcpStream::connect(address)), Some(io::ErrorKind::ConnectionRefused));
        let timely = TcpStream::connect_timeout(&address, Duration::from_secs(60));
        assert_eq!(kind(timely), Some(io::ErrorKind::ConnectionRefused));
        let nobody = UnixStream::connect_addr(&unix_address());
        assert_eq!(kind(nobody), Some(io::ErrorKind::ConnectionRefused));
        let missing = UnixStream::connect("/nonexistent/socket");
        assert_eq!(kind(missing), Some(io::ErrorKind::NotFound));
    });
}

#[test]
fn addresses_are_tried_in_turn() {
    // Goal: the first that answers. Method: a deaf one before a good one; none; only deaf ones.
    crate::run(|| {
        let (_deaf, dead) = deaf();
        let (listener, good) = listener();
        let stream = TcpStream::connect(&[dead, good][..]).expect("the second");
        assert_eq!(stream.peer_addr().expect("peer"), good);
        let (accepted, from) = listener.accept().expect("accept");
        assert_eq!(from, stream.local_addr().expect("local"));
        assert_eq!(accepted.peer_addr().expect("peer"), from);
        let refused = TcpStream::connect(&[dead, dead][..]);
        assert_eq!(kind(refused), Some(io::ErrorKind::ConnectionRefused));
        assert_eq!(kind(TcpStream::connect(&[][..])), Some(io::ErrorKind::InvalidInput));
    });
}

#[test]
fn a_connect_gives_up_when_its_time_is_over() {
    // Goal: TimedOut, by connect_timeout and by a scope, in time. Method: a listener that is full.
    crate::run(|| {
        let (_listener, address, _filling) = full();
        let timeout = Duration::from_millis(20);
        let begun = Instant::now();
        let late = TcpStream::connect_timeout(&address, timeout);
        assert_eq!(kind(late), Some(io::ErrorKind::TimedOut));
        assert!(begun.elapsed() >= timeout);
        let scoped = crate::time::timeout(timeout, || kind(TcpStream::connect(address)));
        assert_eq!(scoped, Ok(Some(io::ErrorKind::TimedOut)));
        let zero = TcpStream::connect_timeout(&address, Duration::ZERO);
        assert_eq!(kind(zero), Some(io::ErrorKind::InvalidInput));
    });
}

#[test]
fn a_connect_can_be_cancelled() {
    // Goal: the attempt ends and its descriptor is closed. Method: a listener that is full; count
    // the descriptors registered before and after.
    crate::run(|| {
        let (_listener, address, _filling) = full();
        let scheduler = crate::scheduler::Scheduler::current().expect("a scheduler");
        // SAFETY: the reactor is borrowed for this call only.
        let registered = || unsafe { (*scheduler.reactor.get()).len() };
        let before = registered();
        let connecting = crate::spawn(move || TcpStream::connect(address));
        crate::task::yield_now();
        assert_eq!(registered(), before + 1);
        connecting.cancel();
        assert!(connecting.join().expect_err("cancelled").is::<crate::task::Cancelled>());
        assert_eq!(registered(), before);
    });
}

#[test]
fn a_unix_connect_waits_while_the_queue_is_full() {
    // Goal: what would be EAGAIN is a wait, as with a blocking socket. Method: a queue of one, many
    // who knock, then an acceptor.
    crate::run(|| {
        let address = unix_address();
        let listener = UnixListener::bind_addr(&address).expect("a listener");
        sys::socket::listen(listener.as_raw_fd(), 0).expect("listen");
        crate::scope(|scope| {
            let clients: Vec<_> =
                (0..5).map(|_| scope.spawn(|| UnixStream::connect_addr(&address))).collect();
            crate::task::yield_now();
            let late = crate::time::timeout(Duration::from_millis(2), || {
                number(UnixStream::connect_addr(&address).map(drop)).is_none()
            });
            assert_eq!(late, Ok(true), "TimedOut has no number");
            let accepted: Vec<_> = listener.incoming().take(5).collect();
            assert!(accepted.iter().all(Result::is_ok));
            for client in clients {
                client.join().expect("client").expect("connect");
            }
        });
    });
}
