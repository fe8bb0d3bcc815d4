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
    /// ```
    /// # cove::run(|| {
    /// use cove::net::{UnixListener, UnixStream};
    /// # let name = format!("cove-bind-listener-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let listener = UnixListener::bind(&path)?;
    /// let stream = UnixStream::connect(&path)?;
    /// assert_eq!(stream.peer_addr()?.as_pathname(), Some(path.as_path()));
    /// std::fs::remove_file(&path)?; // Nobody else does.
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// EADDRINUSE: the file exists.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        let std = std::os::unix::net::UnixListener::bind(path)?;
        Ok(UnixListener { socket: Socket::prepare(std)? })
    }

    /// Listens at an address, which may be an abstract name.
    ///
    /// ```
    /// use cove::net::unix::{SocketAddr, UnixListener};
    /// use std::os::linux::net::SocketAddrExt;
    /// let name = format!("cove-bind-listener-{}", std::process::id());
    /// let address = SocketAddr::from_abstract_name(name)?;
    /// let listener = UnixListener::bind_addr(&address)?;
    /// let error = UnixListener::bind_addr(&address).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// EADDRINUSE.
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixListener> {
        let std = std::os::unix::net::UnixListener::bind_addr(socket_addr)?;
        Ok(UnixListener { socket: Socket::prepare(std)? })
    }

    /// Waits for the next connection. Any number of coroutines may wait at once.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::{UnixListener, UnixStream};
    /// # let name = format!("cove-accept-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let listener = UnixListener::bind(&path)?;
    /// let stream = UnixStream::connect(&path)?;
    /// let (_accepted, peer) = listener.accept()?;
    /// assert!(peer.is_unnamed()); // As clients mostly are.
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// EMFILE, ENFILE: no descriptor is left; see [`TcpListener::accept`](crate::net::TcpListener).
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (fd, peer) = self.socket.accept()?;
        Ok((UnixStream::accepted(fd), peer.to_unix()?))
    }

    /// The connections as an endless iterator.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::{UnixListener, UnixStream};
    /// # let name = format!("cove-incoming-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let listener = UnixListener::bind(&path)?;
    /// let clients = [UnixStream::connect(&path)?, UnixStream::connect(&path)?];
    /// assert_eq!(listener.incoming().take(2).filter(Result::is_ok).count(), 2);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The address that is listened at.
    ///
    /// ```
    /// use cove::net::UnixListener;
    /// # let name = format!("cove-listener-address-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let listener = UnixListener::bind(&path)?;
    /// assert_eq!(listener.local_addr()?.as_pathname(), Some(path.as_path()));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.local_addr()
    }

    socket_methods!(
        "use cove::net::unix::{SocketAddr, UnixListener};\n\
         # use std::os::linux::net::SocketAddrExt;\n\
         # let name = format!(\"cove-listener-{}\", std::process::id());\n\
         # let address = SocketAddr::from_abstract_name(name)?;\n\
         let socket = UnixListener::bind_addr(&address)?;",
        "socket.accept()"
    );
}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}

/// The connections of a [`UnixListener`]. See [`UnixListener::incoming`] for an example.
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
