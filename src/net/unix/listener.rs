//! Listening for Unix stream connections.

use super::{SocketAddr, UnixStream};
use crate::net::socket::Socket;
use crate::net::traits::{socket_methods, socket_traits};
use std::io;
use std::iter::FusedIterator;
use std::path::Path;

/// Listens for Unix stream connections: [`std::os::unix::net::UnixListener`] whose waits let other
/// coroutines run.
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::linux::net::SocketAddrExt;
/// use cove::net::unix::{SocketAddr, UnixListener, UnixStream};
/// cove::run(|| {
///     let name = format!("cove-example-{}", std::process::id());
///     let address = SocketAddr::from_abstract_name(name)?;
///     let listener = UnixListener::bind_addr(&address)?;
///     cove::spawn(move || listener.accept()?.0.write_all(b"welcome"));
///     let mut text = String::new();
///     UnixStream::connect_addr(&address)?.read_to_string(&mut text)?;
///     assert_eq!(text, "welcome");
///     Ok::<_, std::io::Error>(())
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct UnixListener {
    socket: Socket<std::os::unix::net::UnixListener>,
}

socket_traits!(UnixListener, std::os::unix::net::UnixListener);

impl UnixListener {
    /// Listens at a path, where a socket file is made.
    ///
    /// # Errors
    /// EADDRINUSE: the file exists.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        let std = std::os::unix::net::UnixListener::bind(path)?;
        Ok(UnixListener { socket: Socket::prepare(std)? })
    }

    /// Listens at an address, which may be an abstract name.
    ///
    /// # Errors
    /// EADDRINUSE.
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixListener> {
        let std = std::os::unix::net::UnixListener::bind_addr(socket_addr)?;
        Ok(UnixListener { socket: Socket::prepare(std)? })
    }

    /// Waits for the next connection. Any number of coroutines may wait at once.
    ///
    /// # Errors
    /// EMFILE, ENFILE: no descriptor is left; see [`TcpListener::accept`](crate::net::TcpListener).
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (fd, peer) = self.socket.accept()?;
        Ok((UnixStream::accepted(fd), peer.to_unix()?))
    }

    /// The connections as an endless iterator.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The address that is listened at.
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.local_addr()
    }

    socket_methods!();
}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}

/// The connections of a [`UnixListener`]; see [`UnixListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<UnixStream>;

    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
