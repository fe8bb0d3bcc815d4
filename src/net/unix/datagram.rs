//! Unix datagrams.

use super::SocketAddr;
use crate::net::socket::Socket;
use crate::net::traits::{socket_methods, socket_traits, timeout_methods};
use crate::scheduler::readiness::Direction;
use crate::sys;
use std::io;
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::path::Path;

/// A Unix datagram socket: [`std::os::unix::net::UnixDatagram`] whose waits let other coroutines
/// run.
///
/// ```
/// use cove::net::UnixDatagram;
/// cove::run(|| {
///     let (near, far) = UnixDatagram::pair()?;
///     let receiver = cove::spawn(move || {
///         let mut buffer = [0; 16];
///         far.recv(&mut buffer)
///     });
///     near.send(b"hello")?;
///     assert_eq!(receiver.join().unwrap()?, 5);
///     Ok::<_, std::io::Error>(())
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct UnixDatagram {
    socket: Socket<std::os::unix::net::UnixDatagram>,
}

socket_traits!(UnixDatagram, std::os::unix::net::UnixDatagram);

impl UnixDatagram {
    /// A socket at a path, where a socket file is made.
    ///
    /// ```
    /// use cove::net::UnixDatagram;
    /// # let name = format!("cove-bind-datagram-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let socket = UnixDatagram::bind(&path)?;
    /// assert_eq!(socket.local_addr()?.as_pathname(), Some(path.as_path()));
    /// assert!(UnixDatagram::bind(&path).is_err()); // The file stays until it is removed.
    /// std::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// EADDRINUSE: the file exists.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::prepare(std::os::unix::net::UnixDatagram::bind(path)?)
    }

    /// A socket at an address, which may be an abstract name.
    ///
    /// ```
    /// use cove::net::unix::{SocketAddr, UnixDatagram};
    /// use std::os::linux::net::SocketAddrExt;
    /// let name = format!("cove-bind-datagram-{}", std::process::id());
    /// let address = SocketAddr::from_abstract_name(name)?;
    /// let socket = UnixDatagram::bind_addr(&address)?;
    /// assert_eq!(socket.local_addr()?.as_abstract_name(), address.as_abstract_name());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// EADDRINUSE.
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::prepare(std::os::unix::net::UnixDatagram::bind_addr(socket_addr)?)
    }

    /// A socket without an address.
    ///
    /// ```
    /// use cove::net::UnixDatagram;
    /// let socket = UnixDatagram::unbound()?;
    /// assert!(socket.local_addr()?.is_unnamed());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::prepare(std::os::unix::net::UnixDatagram::unbound()?)
    }

    /// Two sockets that are connected to each other.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UnixDatagram;
    /// let (near, far) = UnixDatagram::pair()?;
    /// near.send(b"one")?;
    /// near.send(b"two")?;
    /// let mut buffer = [0; 8];
    /// assert_eq!((far.recv(&mut buffer)?, &buffer[..3]), (3, &b"one"[..])); // Each by itself.
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (near, far) = std::os::unix::net::UnixDatagram::pair()?;
        Ok((UnixDatagram::prepare(near)?, UnixDatagram::prepare(far)?))
    }

    fn prepare(std: std::os::unix::net::UnixDatagram) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { socket: Socket::prepare(std)? })
    }

    /// Sets the path that `send` sends to, and the only one that is received from.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UnixDatagram;
    /// # let name = format!("cove-connect-datagram-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let receiver = UnixDatagram::bind(&path)?;
    /// let sender = UnixDatagram::unbound()?;
    /// sender.connect(&path)?;
    /// sender.send(b"hello")?;
    /// assert_eq!(receiver.recv(&mut [0; 8])?, 5);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// ENOENT, ECONNREFUSED: nobody is there.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.socket.std()?.connect(path)
    }

    /// As [`connect`](Self::connect), with an address, which may be an abstract name.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::unix::{SocketAddr, UnixDatagram};
    /// use std::os::linux::net::SocketAddrExt;
    /// let name = format!("cove-connect-datagram-{}", std::process::id());
    /// let address = SocketAddr::from_abstract_name(name)?;
    /// let receiver = UnixDatagram::bind_addr(&address)?;
    /// let sender = UnixDatagram::unbound()?;
    /// sender.connect_addr(&address)?;
    /// sender.send(b"hello")?;
    /// assert_eq!(receiver.recv(&mut [0; 8])?, 5);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// ECONNREFUSED: nobody is there.
    pub fn connect_addr(&self, socket_addr: &SocketAddr) -> io::Result<()> {
        self.socket.std()?.connect_addr(socket_addr)
    }

    /// Receives a datagram and its sender's address; what does not fit into `buf` is lost.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UnixDatagram;
    /// # let name = format!("cove-recv-from-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let receiver = UnixDatagram::bind(&path)?;
    /// UnixDatagram::unbound()?.send_to(b"hello", &path)?;
    /// let mut buffer = [0; 8];
    /// let (bytes, from) = receiver.recv_from(&mut buffer)?;
    /// assert_eq!(&buffer[..bytes], b"hello");
    /// assert!(from.is_unnamed()); // The sender was not bound.
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` when the read time-out passes.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from_with(buf, 0)
    }

    /// As [`recv_from`](Self::recv_from), but the datagram stays for the next receive.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UnixDatagram;
    /// let (near, far) = UnixDatagram::pair()?;
    /// near.send(b"hello")?;
    /// assert_eq!(far.peek_from(&mut [0; 8])?.0, 5);
    /// assert_eq!(far.recv_from(&mut [0; 8])?.0, 5);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from_with(buf, libc::MSG_PEEK)
    }

    fn recv_from_with(&self, buf: &mut [u8], flags: i32) -> io::Result<(usize, SocketAddr)> {
        let received = self.receive(|fd| sys::socket::recvfrom(fd, buf, flags))?;
        let Some((bytes, from)) = received else {
            return Ok((0, SocketAddr::from_pathname("")?));
        };
        // An unbound sender's address comes with no family at all.
        let from = match from.family() {
            libc::AF_UNSPEC => SocketAddr::from_pathname("")?,
            _ => from.to_unix()?,
        };
        Ok((bytes, from))
    }

    /// Runs an operation that receives; none if the socket was shut down for that and is empty. Of
    /// such a datagram socket the kernel tells only those who block: for others it is like any
    /// empty one (unix_dgram_recvmsg in net/unix/af_unix.c).
    fn receive<T>(
        &self,
        mut operation: impl FnMut(RawFd) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        self.socket.receive(|fd| match operation(fd) {
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock
                    && !self.socket.is_nonblocking()
                    && sys::socket::is_shut_for_reading(fd) =>
            {
                Ok(None)
            }
            outcome => outcome.map(Some),
        })
    }

    /// Receives a datagram; what does not fit into `buf` is lost.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UnixDatagram;
    /// let (near, far) = UnixDatagram::pair()?;
    /// let receiver = cove::spawn(move || {
    ///     let mut buffer = [0; 3];
    ///     far.recv(&mut buffer).map(|bytes| buffer[..bytes].to_vec())
    /// });
    /// near.send(b"hello")?;
    /// assert_eq!(receiver.join().unwrap()?, b"hel"); // The rest is lost.
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` when the read time-out passes.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(|fd| sys::socket::recv(fd, buf, 0)).map(Option::unwrap_or_default)
    }

    /// As [`recv`](Self::recv), but the datagram stays for the next receive.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UnixDatagram;
    /// let (near, far) = UnixDatagram::pair()?;
    /// near.send(b"hello")?;
    /// assert_eq!(far.peek(&mut [0; 8])?, 5);
    /// assert_eq!(far.recv(&mut [0; 8])?, 5);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(|fd| sys::socket::peek(fd, buf)).map(Option::unwrap_or_default)
    }

    /// Sends a datagram to a path; waits while its receiver's queue is full.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UnixDatagram;
    /// # let name = format!("cove-send-to-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let receiver = UnixDatagram::bind(&path)?;
    /// let sender = UnixDatagram::unbound()?;
    /// assert_eq!(sender.send_to(b"hello", &path)?, 5);
    /// assert_eq!(receiver.recv(&mut [0; 8])?, 5);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// ENOENT, ECONNREFUSED: nobody is there.
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.send_to_addr(buf, &SocketAddr::from_pathname(path)?)
    }

    /// As [`send_to`](Self::send_to), with an address, which may be an abstract name.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::unix::{SocketAddr, UnixDatagram};
    /// use std::os::linux::net::SocketAddrExt;
    /// let name = format!("cove-send-to-addr-{}", std::process::id());
    /// let address = SocketAddr::from_abstract_name(name)?;
    /// let receiver = UnixDatagram::bind_addr(&address)?;
    /// assert_eq!(UnixDatagram::unbound()?.send_to_addr(b"hello", &address)?, 5);
    /// assert_eq!(receiver.recv(&mut [0; 8])?, 5);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// ECONNREFUSED: nobody is there.
    pub fn send_to_addr(&self, buf: &[u8], socket_addr: &SocketAddr) -> io::Result<usize> {
        let address = sys::socket::SocketAddress::from_unix(socket_addr)?;
        self.socket.transmit_retrying(|fd| sys::socket::sendto(fd, buf, 0, &address))
    }

    /// Sends a datagram to the connected address; waits while its receiver's queue is full.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UnixDatagram;
    /// let (near, far) = UnixDatagram::pair()?;
    /// let sender = cove::spawn(move || (0..1000).all(|_| near.send(b"x").is_ok()));
    /// for _ in 0..1000 {
    ///     assert_eq!(far.recv(&mut [0; 8])?, 1);
    /// }
    /// assert!(sender.join().unwrap()); // It waited whenever the queue was full.
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// ENOTCONN when there is none; ECONNREFUSED when it is gone.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.write(buf)
    }

    /// The socket's own address.
    ///
    /// ```
    /// use cove::net::UnixDatagram;
    /// # let name = format!("cove-datagram-address-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let socket = UnixDatagram::bind(&path)?;
    /// assert_eq!(socket.local_addr()?.as_pathname(), Some(path.as_path()));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.local_addr()
    }

    /// The connected address.
    ///
    /// ```
    /// use cove::net::UnixDatagram;
    /// # let name = format!("cove-datagram-peer-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let (receiver, sender) = (UnixDatagram::bind(&path)?, UnixDatagram::unbound()?);
    /// assert!(sender.peer_addr().is_err());
    /// sender.connect(&path)?;
    /// assert_eq!(sender.peer_addr()?.as_pathname(), Some(path.as_path()));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// ENOTCONN when there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.peer_addr()
    }

    /// Ends one direction or both; our own waits end. Receiving then gives 0 bytes.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UnixDatagram;
    /// let (near, far) = UnixDatagram::pair()?;
    /// near.shutdown(std::net::Shutdown::Write)?;
    /// assert_eq!(near.send(b"hello").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    /// assert_eq!(far.send(b"hello")?, 5); // The other direction is open.
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// ENOTCONN when it is not connected.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.std()?.shutdown(how)
    }

    socket_methods!(
        "use cove::net::UnixDatagram;\n\
         let (socket, _peer) = UnixDatagram::pair()?;",
        "socket.peek(&mut [0; 1])"
    );
    timeout_methods!(
        "use cove::net::UnixDatagram;\n\
         let (socket, _peer) = UnixDatagram::pair()?;"
    );
}
