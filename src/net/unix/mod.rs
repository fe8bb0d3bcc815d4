//! Unix sockets: the counterparts of [`std::os::unix::net`], with std's [`SocketAddr`].
//!
//! The kernel does not announce when the full queue of *somebody else's* socket has room again:
//! that of a listener at which `connect` knocks, that of a receiver to whom an unconnected datagram
//! socket sends. Those two calls are repeated, after pauses of 50 us to 10 ms.
//!
//! ```
//! use cove::net::unix::UnixStream;
//! use std::io::{Read, Write};
//!
//! cove::run(|| {
//!     let (mut near, mut far) = UnixStream::pair()?;
//!     cove::spawn(move || far.write_all(b"across"));
//!     let mut text = String::new();
//!     near.read_to_string(&mut text)?;
//!     assert_eq!(text, "across");
//!     Ok::<_, std::io::Error>(())
//! })?;
//! # Ok::<_, std::io::Error>(())
//! ```

mod datagram;
mod listener;
mod stream;

pub use datagram::UnixDatagram;
pub use listener::{Incoming, UnixListener};
pub use std::os::unix::net::SocketAddr;
pub use stream::UnixStream;
