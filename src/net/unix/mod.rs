//! Unix sockets: the counterparts of [`std::os::unix::net`], with std's [`SocketAddr`].
//!
//! The kernel does not announce when the full queue of *somebody else's* socket has room again:
//! that of a listener at which `connect` knocks, that of a receiver to whom an unconnected datagram
//! socket sends. Those two calls are repeated, after pauses of 50 us to 10 ms.

mod datagram;
mod listener;
mod stream;

pub use datagram::UnixDatagram;
pub use listener::{Incoming, UnixListener};
pub use std::os::unix::net::SocketAddr;
pub use stream::UnixStream;
