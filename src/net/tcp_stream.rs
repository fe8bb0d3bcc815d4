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
    /// # Errors
    /// ENOTCONN when it is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.peer_addr()
    }

    /// The connection's own address.
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.local_addr()
    }

    /// Ends one direction or both: the peer reads an end of file, our own waits end.
    ///
    /// # Errors
    /// ENOTCONN when the peer is gone.
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

    /// Sets TCP_NODELAY: small writes leave at once.
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.std()?.set_nodelay(nodelay)
    }

    /// Whether small writes leave at once.
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
    /// # Errors
    /// EBADF after `close`.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.socket.std()?;
        sys::socket::set_linger(self.socket.raw(), linger)
    }

    /// What closing does with unsent bytes.
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.socket.std()?;
        sys::socket::linger(self.socket.raw())
    }

    /// Sets the time-to-live of packets.
    ///
    /// # Errors
    /// `InvalidInput` for zero or more than 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.std()?.set_ttl(ttl)
    }

    /// The time-to-live of packets.
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.std()?.ttl()
    }

    socket_methods!();
    timeout_methods!();
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
