//! TCP, UDP and Unix sockets whose waits let other coroutines run; names and behaviour are those of
//! [`std::net`] and [`std::os::unix::net`].
//!
//! A program that gives each connection a thread becomes one that gives each a coroutine by
//! changing its imports; what holds no state (addresses, [`Shutdown`]) is std's own. What there is
//! besides:
//!
//! - [`TcpListener::bind_reuse_port`], for one listener per thread;
//! - `close(&self)` on every socket, which ends the waits of others;
//! - a wait inside a deadline scope ends with an error of kind `TimedOut`.
//!
//! Sockets are `Send` but not `Sync`: several coroutines of a thread may use one at the same time,
//! by reference or in an `Rc`; other threads need a `try_clone`. Outside a runtime all of it works
//! too, and blocks the thread.
//!
//! An operation is tried before anybody waits, and a stream that is known to be empty is not read
//! once more to find that out: an echo over TCP costs one `recv` and one `send`.
//!
//! ```
//! use cove::net::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//! use std::time::Duration;
//!
//! cove::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     cove::spawn(move || listener.accept()?.0.write_all(b"hello"));
//!     let mut stream = TcpStream::connect(address)?;
//!     let mut text = String::new();
//!     // However many reads it takes:
//!     cove::time::timeout(Duration::from_secs(5), || stream.read_to_string(&mut text))??;
//!     assert_eq!(text, "hello");
//!     Ok::<_, std::io::Error>(())
//! })?;
//! # Ok::<_, std::io::Error>(())
//! ```

mod address;
mod socket;
mod tcp_listener;
mod tcp_stream;
mod traits;
mod udp;
pub mod unix;

#[cfg(test)]
mod tests;

pub use address::ToSocketAddrs;
pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
};
pub use tcp_listener::{Incoming, TcpListener};
pub use tcp_stream::TcpStream;
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixListener, UnixStream};
