//! TCP connections.

use super::address::{ToSocketAddrs, each_address};
use super::socket::Socket;
use super::traits::{socket_methods, socket_traits, stream_traits, timeout_methods};
use crate::scheduler::readiness::Direction;
use crate::sys;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A TCP connection: [`std::net::TcpStream`] whose waits let other coroutines run.
///
/// It may be used by several coroutines of a thread at once (`&TcpStream` reads and writes), and
/// may move to another thread. Outside a runtime its operations block the thread.
///
/// ```
/// use std::io::{Read, Write};
/// use cove::net::{TcpListener, TcpStream};
///
/// cove::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     let server = cove::spawn(move || {
///         let (mut stream, _peer) = listener.accept()?;
///         std::io::copy(&mut stream.try_clone()?, &mut stream)
///     });
///     let mut stream = TcpStream::connect(address)?;
///     stream.write_all(b"hello")?;
///     stream.shutdown(std::net::Shutdown::Write)?;
///     let mut echo = String::new();
///     stream.read_to_string(&mut echo)?;
///     assert_eq!(echo, "hello");
///     assert_eq!(server.join().unwrap()?, 5);
///     Ok::<_, std::io::Error>(())
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct TcpStream {
    socket: Socket<std::net::TcpStream>,
}

socket_traits!(TcpStream, std::net::TcpStream);
stream_traits!(TcpStream, &TcpStream);

impl TcpStream {
    /// Connects to the first of the addresses that answers.
    ///
    /// ```
    /// use cove::net::{TcpListener, TcpStream};
    /// cove::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let stream = TcpStream::connect(("localhost", listener.local_addr()?.port()))?;
    ///     assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// That of the last address.
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        each_address(addr, |addr| connect(addr, None))
    }

    /// Connects to one address, within `timeout`.
    ///
    /// ```
    /// use cove::net::{TcpListener, TcpStream};
    /// use std::time::Duration;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    /// assert_eq!(stream.peer_addr()?, address);
    /// let refused = TcpStream::connect_timeout(&address, Duration::ZERO).unwrap_err();
    /// assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TimedOut` when the time passes; `InvalidInput` for a zero duration.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        connect(addr, Some(timeout))
    }

    /// A connection that `accept4` has just made.
    pub(super) fn accepted(fd: OwnedFd) -> TcpStream {
        TcpStream { socket: Socket::new(fd.into()) }
    }

    /// The peer's address.
    ///
    /// ```
    /// use cove::net::{TcpListener, TcpStream};
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stream = TcpStream::connect(listener.local_addr()?)?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// ENOTCONN when it is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.peer_addr()
    }

    /// The connection's own address.
    ///
    /// ```
    /// use cove::net::{TcpListener, TcpStream};
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stream = TcpStream::connect(listener.local_addr()?)?;
    /// assert_eq!(stream.local_addr()?, listener.accept()?.1);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.local_addr()
    }

    /// Ends one direction or both: after `Write` the peer reads an end of file, after `Read` we do;
    /// whoever waits for that direction is woken.
    ///
    /// ```
    /// # cove::run(|| {
    /// use std::io::{Read, Write};
    /// use cove::net::{TcpListener, TcpStream};
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut stream = TcpStream::connect(listener.local_addr()?)?;
    /// let (mut peer, _) = listener.accept()?;
    /// stream.write_all(b"that is all")?;
    /// stream.shutdown(std::net::Shutdown::Write)?;
    /// let mut text = String::new();
    /// peer.read_to_string(&mut text)?; // Up to the end that the shutdown made.
    /// assert_eq!(text, "that is all");
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// ENOTCONN when the peer is gone.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.std()?.shutdown(how)
    }

    /// Receives without taking: the next read sees the same bytes.
    ///
    /// ```
    /// # cove::run(|| {
    /// use std::io::{Read, Write};
    /// use cove::net::{TcpListener, TcpStream};
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut stream = TcpStream::connect(listener.local_addr()?)?;
    /// listener.accept()?.0.write_all(b"!")?;
    /// let mut byte = [0];
    /// assert_eq!(stream.peek(&mut byte)?, 1);
    /// assert_eq!((byte, stream.read(&mut byte)?), (*b"!", 1));
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of a read.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(buf)
    }

    /// Sets TCP_NODELAY: small writes leave at once.
    ///
    /// ```
    /// use cove::net::{TcpListener, TcpStream};
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stream = TcpStream::connect(listener.local_addr()?)?;
    /// assert!(!stream.nodelay()?);
    /// stream.set_nodelay(true)?;
    /// assert!(stream.nodelay()?);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.std()?.set_nodelay(nodelay)
    }

    /// Whether small writes leave at once. See [`set_nodelay`](Self::set_nodelay) for an example.
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket.std()?.nodelay()
    }

    /// Sets what closing does with unsent bytes (SO_LINGER, whole seconds): `None`, they are sent
    /// in the background; zero, they are thrown away and the peer sees a reset. A longer time makes
    /// dropping the stream block its thread.
    ///
    /// ```
    /// use std::io::Read;
    /// use cove::net::{TcpListener, TcpStream};
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stream = TcpStream::connect(listener.local_addr()?)?;
    /// let (mut peer, _) = listener.accept()?;
    /// stream.set_linger(Some(std::time::Duration::ZERO))?;
    /// assert_eq!(stream.linger()?, Some(std::time::Duration::ZERO));
    /// drop(stream);
    /// let error = peer.read(&mut [0; 1]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.socket.std()?;
        sys::socket::set_linger(self.socket.raw(), linger)
    }

    /// What closing does with unsent bytes. See [`set_linger`](Self::set_linger) for an example.
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.socket.std()?;
        sys::socket::linger(self.socket.raw())
    }

    /// Sets the time-to-live of packets.
    ///
    /// ```
    /// use cove::net::{TcpListener, TcpStream};
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stream = TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_ttl(32)?;
    /// assert_eq!(stream.ttl()?, 32);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for zero or more than 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.std()?.set_ttl(ttl)
    }

    /// The time-to-live of packets. See [`set_ttl`](Self::set_ttl) for an example.
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.std()?.ttl()
    }

    socket_methods!(
        "use cove::net::{TcpListener, TcpStream};\n\
         let listener = TcpListener::bind(\"127.0.0.1:0\")?;\n\
         let socket = TcpStream::connect(listener.local_addr()?)?;",
        "socket.peek(&mut [0; 1])"
    );
    timeout_methods!(
        "use cove::net::{TcpListener, TcpStream};\n\
         let listener = TcpListener::bind(\"127.0.0.1:0\")?;\n\
         let socket = TcpStream::connect(listener.local_addr()?)?;"
    );
}

/// Connects to one address. The socket dies with the attempt.
fn connect(addr: &SocketAddr, timeout: Option<Duration>) -> io::Result<TcpStream> {
    if timeout == Some(Duration::ZERO) {
        let message = "cannot set a 0 duration timeout";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let address = sys::socket::SocketAddress::from_inet(addr);
    let socket = Socket::new(sys::socket::stream(address.family())?.into());
    socket.set_timeout(Direction::Write, timeout)?;
    let mut begun = false;
    // Called again, connect(2) tells how the attempt that it began stands.
    let attempt = |fd| match sys::socket::connect(fd, &address) {
        Ok(sys::socket::Connect::Done) => Ok(Ok(())),
        Ok(sys::socket::Connect::InProgress) => {
            begun = true;
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) if begun && error.raw_os_error() == Some(libc::EALREADY) => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) if begun && error.raw_os_error() == Some(libc::EISCONN) => Ok(Ok(())),
        // EAGAIN among them, which here means that no port is left: nothing to wait for.
        Err(error) => Ok(Err(error)),
    };
    match socket.transmit(attempt) {
        Ok(outcome) => outcome?,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out"));
        }
        Err(error) => return Err(error),
    }
    socket.set_timeout(Direction::Write, None)?;
    Ok(TcpStream { socket })
}
