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
    /// ```
    /// # cove::run(|| {
    /// use cove::net::{UnixListener, UnixStream};
    /// # let name = format!("cove-connect-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let error = UnixStream::connect(&path).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// let listener = UnixListener::bind(&path)?;
    /// assert!(UnixStream::connect(&path).is_ok()); // Nobody need have accepted yet.
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// ENOENT, ECONNREFUSED: nobody listens there.
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Connects to the listener at an address, which may be an abstract name.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::unix::{SocketAddr, UnixListener, UnixStream};
    /// use std::os::linux::net::SocketAddrExt;
    /// let name = format!("cove-connect-{}", std::process::id());
    /// let address = SocketAddr::from_abstract_name(name)?;
    /// let listener = UnixListener::bind_addr(&address)?;
    /// let stream = UnixStream::connect_addr(&address)?;
    /// assert_eq!(stream.peer_addr()?.as_abstract_name(), address.as_abstract_name());
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
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
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UnixStream;
    /// use std::io::{Read, Write};
    /// let (mut near, mut far) = UnixStream::pair()?;
    /// near.write_all(b"hello")?;
    /// let mut buffer = [0; 5];
    /// far.read_exact(&mut buffer)?;
    /// assert_eq!(&buffer, b"hello");
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
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
    /// ```
    /// use cove::net::UnixStream;
    /// let (near, _far) = UnixStream::pair()?;
    /// assert!(near.local_addr()?.is_unnamed());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.local_addr()
    }

    /// The peer's address.
    ///
    /// ```
    /// use cove::net::{UnixListener, UnixStream};
    /// # let name = format!("cove-stream-peer-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let listener = UnixListener::bind(&path)?;
    /// let stream = UnixStream::connect(&path)?;
    /// assert_eq!(stream.peer_addr()?.as_pathname(), Some(path.as_path()));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.peer_addr()
    }

    /// Ends one direction or both: the peer reads an end of file, our own waits end.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UnixStream;
    /// use std::io::{Read, Write};
    /// let (near, mut far) = UnixStream::pair()?;
    /// near.shutdown(std::net::Shutdown::Write)?;
    /// assert_eq!(far.read(&mut [0; 8])?, 0);
    /// assert_eq!(far.write(b"hello")?, 5); // The other direction is open.
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.std()?.shutdown(how)
    }

    /// Receives without taking: the next read sees the same bytes.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UnixStream;
    /// use std::io::{Read, Write};
    /// let (mut near, mut far) = UnixStream::pair()?;
    /// near.write_all(b"!")?;
    /// let mut byte = [0];
    /// assert_eq!(far.peek(&mut byte)?, 1);
    /// assert_eq!((byte, far.read(&mut byte)?), (*b"!", 1));
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of a read.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(buf)
    }

    socket_methods!(
        "use cove::net::UnixStream;\n\
         let (socket, _peer) = UnixStream::pair()?;",
        "socket.peek(&mut [0; 1])"
    );
    timeout_methods!(
        "use cove::net::UnixStream;\n\
         let (socket, _peer) = UnixStream::pair()?;"
    );
}
