//! The sockets, on the loopback interface.

mod addresses;
mod close;
mod connect;
mod conversions;
mod datagrams;
mod deadlines;
mod ends;
mod limits;
mod sharing;
mod transfer;

use super::{TcpListener, TcpStream, UnixListener, UnixStream};
use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::sync::atomic::{AtomicU32, Ordering};

/// A listener at a port of its own, and its address.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

/// Two connected TCP streams: who connected, who accepted.
fn tcp_pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listener();
    let near = TcpStream::connect(address).expect("connect");
    let (far, _) = listener.accept().expect("accept");
    (near, far)
}

/// Two connected Unix streams.
fn unix_pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a pair")
}

/// An abstract Unix address that nobody else uses.
fn unix_address() -> super::unix::SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("cove-net-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    super::unix::SocketAddr::from_abstract_name(name).expect("a name")
}

/// A Unix listener at an address of its own, and that.
fn unix_listener() -> (UnixListener, super::unix::SocketAddr) {
    let address = unix_address();
    (UnixListener::bind_addr(&address).expect("a listener"), address)
}

/// The kind of error that `result` holds.
fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

/// The number of the error that `result` holds.
fn number<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}
