//! Unix stream connections.

use super::SocketAddr;
use crate::net::socket::Socket;
use crate::net::traits::{socket_methods, socket_traits, stream_traits, timeout_methods};
use crate::scheduler::readiness::{self, Direction};
use crate::sys;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// A Unix stream connection: [`std::os::unix::net::UnixStream`] whose waits let other coroutines
/// run.
///
/// ```
/// use std::io::{Read, Write};
/// use cove::net::UnixStream;
/// cove::run(|| {
///     let (mut near, mut far) = UnixStream::pair()?;
///     let reader = cove::spawn(move || {
///         let mut text = String::new();
///         far.read_to_string(&mut text).map(|_| text)
///     });
///     near.write_all(b"hello")?;
///     drop(near);
///     assert_eq!(reader.join().unwrap()?, "hello");
///     Ok::<_, std::io::Error>(())
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct UnixStream {
    socket: Socket<std::os::unix::net::UnixStream>,
}

socket_traits!(UnixStream, std::os::unix::net::UnixStream);
stream_traits!(UnixStream, &UnixStream);

impl UnixStream {
    /// Connects to the listener at a path; waits while its queue is full.
    ///
    /// # Errors
    /// ENOENT, ECONNREFUSED: nobody listens there.
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Connects to the listener at an address, which may be an abstract name.
    ///
    /// # Errors
    /// ECONNREFUSED: nobody listens there.
    pub fn connect_addr(socket_addr: &SocketAddr) -> io::Result<UnixStream> {
        let address = sys::socket::SocketAddress::from_unix(socket_addr)?;
        let fd = sys::socket::stream(address.family())?;
        // EAGAIN: the listener's queue is full. Otherwise a Unix connect is done when it returns.
        readiness::retry(|| u64::MAX, || sys::socket::connect(fd.as_raw_fd(), &address))?;
        Ok(UnixStream::accepted(fd))
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (near, far) = std::os::unix::net::UnixStream::pair()?;
        let [near, far] = [Socket::prepare(near)?, Socket::prepare(far)?];
        Ok((UnixStream { socket: near }, UnixStream { socket: far }))
    }

    /// A connection that is non-blocking already.
    pub(super) fn accepted(fd: OwnedFd) -> UnixStream {
        UnixStream { socket: Socket::new(fd.into()) }
    }

    /// The socket's own address.
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.local_addr()
    }

    /// The peer's address.
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.peer_addr()
    }

    /// Ends one direction or both: the peer reads an end of file, our own waits end.
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.std()?.shutdown(how)
    }

    /// Receives without taking: the next read sees the same bytes.
    ///
    /// # Errors
    /// Those of a read.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(buf)
    }

    socket_methods!();
    timeout_methods!();
}
