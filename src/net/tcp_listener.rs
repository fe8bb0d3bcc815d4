//! Listening for TCP connections.

use super::address::{ToSocketAddrs, each_address};
use super::socket::Socket;
use super::tcp_stream::TcpStream;
use super::traits::{socket_methods, socket_traits};
use crate::sys;
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

/// Connections that nobody has accepted yet: as many as the kernel allows, which cuts this to
/// `net.core.somaxconn`.
const BACKLOG_MAX: i32 = i32::MAX;

/// Listens for TCP connections: [`std::net::TcpListener`] whose waits let other coroutines run.
///
/// ```
/// use std::io::{Read, Write};
/// use cove::net::{TcpListener, TcpStream};
///
/// cove::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     cove::spawn(move || {
///         for stream in listener.incoming() {
///             let mut stream = stream?;
///             cove::spawn(move || stream.write_all(b"welcome"));
///         }
///         Ok::<_, std::io::Error>(())
///     });
///     for _ in 0..3 {
///         let mut text = String::new();
///         TcpStream::connect(address)?.read_to_string(&mut text)?;
///         assert_eq!(text, "welcome");
///     }
///     Ok::<_, std::io::Error>(())
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct TcpListener {
    socket: Socket<std::net::TcpListener>,
}

socket_traits!(TcpListener, std::net::TcpListener);

impl TcpListener {
    /// Listens at the first of the addresses that can be bound.
    ///
    /// ```
    /// use cove::net::TcpListener;
    /// let listener = TcpListener::bind("127.0.0.1:0")?; // The kernel chooses a free port.
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// assert!(TcpListener::bind(listener.local_addr()?).is_err());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// That of the last address.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        let std = each_address(addr, |addr| std::net::TcpListener::bind(addr))?;
        Ok(TcpListener { socket: Socket::prepare(std)? })
    }

    /// As [`bind`](Self::bind), at an address that others of the same user may listen at in the
    /// same way (SO_REUSEPORT): the kernel spreads the connections over them, so that each thread's
    /// runtime has a listener and a share of its own.
    ///
    /// ```
    /// use cove::net::TcpListener;
    /// let first = TcpListener::bind_reuse_port("127.0.0.1:0")?;
    /// let second = TcpListener::bind_reuse_port(first.local_addr()?)?;
    /// assert_eq!(first.local_addr()?, second.local_addr()?);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// That of the last address.
    pub fn bind_reuse_port<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        each_address(addr, |addr| {
            let address = sys::socket::SocketAddress::from_inet(addr);
            let socket = sys::socket::stream(address.family())?;
            let fd = socket.as_raw_fd();
            sys::socket::set_reuse_addr(fd, true)?;
            sys::socket::set_reuse_port(fd, true)?;
            sys::socket::bind(fd, &address)?;
            sys::socket::listen(fd, BACKLOG_MAX)?;
            Ok(TcpListener { socket: Socket::new(socket.into()) })
        })
    }

    /// Waits for the next connection. Any number of coroutines may wait at once.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::{TcpListener, TcpStream};
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stream = TcpStream::connect(listener.local_addr()?)?;
    /// let (_accepted, peer) = listener.accept()?;
    /// assert_eq!(peer, stream.local_addr()?);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// ECONNABORTED: the connection is gone again. EMFILE, ENFILE: no descriptor is left; the
    /// connection stays where it is, and an `accept` after one was closed gets it. Everybody who
    /// waits gets such an error, as threads do.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (fd, peer) = self.socket.accept()?;
        Ok((TcpStream::accepted(fd), peer.to_inet()?))
    }

    /// The connections as an endless iterator.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::{TcpListener, TcpStream};
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let clients = cove::spawn(move || [(); 2].map(|()| TcpStream::connect(address).is_ok()));
    /// assert_eq!(listener.incoming().take(2).filter(Result::is_ok).count(), 2);
    /// assert_eq!(clients.join().unwrap(), [true, true]);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The address that is listened at.
    ///
    /// ```
    /// use cove::net::TcpListener;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// assert!(listener.local_addr()?.ip().is_loopback());
    /// listener.close();
    /// assert!(listener.local_addr().is_err());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.local_addr()
    }

    /// Sets the time-to-live of the packets of connections accepted from now on.
    ///
    /// ```
    /// use cove::net::TcpListener;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// listener.set_ttl(32)?;
    /// assert_eq!(listener.ttl()?, 32);
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
        "use cove::net::TcpListener;\n\
         let socket = TcpListener::bind(\"127.0.0.1:0\")?;",
        "socket.accept()"
    );
}

/// The connections of a [`TcpListener`]. See [`TcpListener::incoming`] for an example.
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
