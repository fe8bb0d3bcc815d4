//! Unix datagrams.

use super::SocketAddr;
use crate::net::socket::Socket;
use crate::net::traits::{socket_methods, socket_traits, timeout_methods};
use crate::scheduler::readiness::Direction;
use crate::sys;
use std::io;
use std::net::Shutdown;
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
    /// # Errors
    /// EADDRINUSE: the file exists.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::prepare(std::os::unix::net::UnixDatagram::bind(path)?)
    }

    /// A socket at an address, which may be an abstract name.
    ///
    /// # Errors
    /// EADDRINUSE.
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::prepare(std::os::unix::net::UnixDatagram::bind_addr(socket_addr)?)
    }

    /// A socket without an address.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::prepare(std::os::unix::net::UnixDatagram::unbound()?)
    }

    /// Two sockets that are connected to each other.
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
    /// # Errors
    /// ENOENT, ECONNREFUSED: nobody is there.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.socket.std()?.connect(path)
    }

    /// As [`connect`](Self::connect), with an address, which may be an abstract name.
    ///
    /// # Errors
    /// ECONNREFUSED: nobody is there.
    pub fn connect_addr(&self, socket_addr: &SocketAddr) -> io::Result<()> {
        self.socket.std()?.connect_addr(socket_addr)
    }

    /// Receives a datagram and its sender's address; what does not fit into `buf` is lost.
    ///
    /// # Errors
    /// `WouldBlock` when the read time-out passes.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from_with(buf, 0)
    }

    /// As [`recv_from`](Self::recv_from), but the datagram stays for the next receive.
    ///
    /// # Errors
    /// As there.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from_with(buf, libc::MSG_PEEK)
    }

    fn recv_from_with(&self, buf: &mut [u8], flags: i32) -> io::Result<(usize, SocketAddr)> {
        let (bytes, from) = self.socket.receive(|fd| sys::socket::recvfrom(fd, buf, flags))?;
        // An unbound sender's address comes with no family at all.
        let from = match from.family() {
            libc::AF_UNSPEC => SocketAddr::from_pathname("")?,
            _ => from.to_unix()?,
        };
        Ok((bytes, from))
    }

    /// Receives a datagram; what does not fit into `buf` is lost.
    ///
    /// # Errors
    /// `WouldBlock` when the read time-out passes.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buf)
    }

    /// As [`recv`](Self::recv), but the datagram stays for the next receive.
    ///
    /// # Errors
    /// As there.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(buf)
    }

    /// Sends a datagram to a path; waits while its receiver's queue is full.
    ///
    /// # Errors
    /// ENOENT, ECONNREFUSED: nobody is there.
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.send_to_addr(buf, &SocketAddr::from_pathname(path)?)
    }

    /// As [`send_to`](Self::send_to), with an address, which may be an abstract name.
    ///
    /// # Errors
    /// ECONNREFUSED: nobody is there.
    pub fn send_to_addr(&self, buf: &[u8], socket_addr: &SocketAddr) -> io::Result<usize> {
        let address = sys::socket::SocketAddress::from_unix(socket_addr)?;
        self.socket.transmit_retrying(|fd| sys::socket::sendto(fd, buf, 0, &address))
    }

    /// Sends a datagram to the connected address; waits while its receiver's queue is full.
    ///
    /// # Errors
    /// ENOTCONN when there is none; ECONNREFUSED when it is gone.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.write(buf)
    }

    /// The socket's own address.
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.local_addr()
    }

    /// The connected address.
    ///
    /// # Errors
    /// ENOTCONN when there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.peer_addr()
    }

    /// Ends one direction or both; our own waits end.
    ///
    /// # Errors
    /// ENOTCONN when it is not connected.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.std()?.shutdown(how)
    }

    socket_methods!();
    timeout_methods!();
}
