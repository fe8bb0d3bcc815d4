//! UDP.

use super::address::{ToSocketAddrs, each_address};
use super::socket::Socket;
use super::traits::{socket_methods, socket_traits, timeout_methods};
use crate::scheduler::readiness::Direction;
use crate::sys;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// A UDP socket: [`std::net::UdpSocket`] whose waits let other coroutines run.
///
/// ```
/// use cove::net::UdpSocket;
/// cove::run(|| {
///     let near = UdpSocket::bind("127.0.0.1:0")?;
///     let far = UdpSocket::bind("127.0.0.1:0")?;
///     let to = far.local_addr()?;
///     let receiver = cove::spawn(move || {
///         let mut buffer = [0; 16];
///         let (bytes, from) = far.recv_from(&mut buffer)?;
///         far.send_to(&buffer[..bytes], from)
///     });
///     near.send_to(b"ping", to)?;
///     let mut buffer = [0; 16];
///     assert_eq!(near.recv_from(&mut buffer)?, (4, to));
///     assert_eq!(receiver.join().unwrap()?, 4);
///     Ok::<_, std::io::Error>(())
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct UdpSocket {
    socket: Socket<std::net::UdpSocket>,
}

socket_traits!(UdpSocket, std::net::UdpSocket);

impl UdpSocket {
    /// A socket at the first of the addresses that can be bound.
    ///
    /// ```
    /// use cove::net::UdpSocket;
    /// let socket = UdpSocket::bind("127.0.0.1:0")?; // The kernel chooses a free port.
    /// assert_ne!(socket.local_addr()?.port(), 0);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// That of the last address.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        let std = each_address(addr, |addr| std::net::UdpSocket::bind(addr))?;
        Ok(UdpSocket { socket: Socket::prepare(std)? })
    }

    /// Receives a datagram and its sender's address; what does not fit into `buf` is lost.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UdpSocket;
    /// let near = UdpSocket::bind("127.0.0.1:0")?;
    /// let far = UdpSocket::bind("127.0.0.1:0")?;
    /// near.send_to(b"hello", far.local_addr()?)?;
    /// let mut buffer = [0; 3];
    /// assert_eq!(far.recv_from(&mut buffer)?, (3, near.local_addr()?));
    /// assert_eq!(&buffer, b"hel"); // The rest is lost.
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
    /// use cove::net::UdpSocket;
    /// let near = UdpSocket::bind("127.0.0.1:0")?;
    /// let far = UdpSocket::bind("127.0.0.1:0")?;
    /// near.send_to(b"hello", far.local_addr()?)?;
    /// let mut buffer = [0; 8];
    /// assert_eq!(far.peek_from(&mut buffer)?, far.recv_from(&mut buffer)?);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from_with(buf, libc::MSG_PEEK)
    }

    fn recv_from_with(&self, buf: &mut [u8], flags: i32) -> io::Result<(usize, SocketAddr)> {
        let (bytes, from) = self.socket.receive(|fd| sys::socket::recvfrom(fd, buf, flags))?;
        Ok((bytes, from.to_inet()?))
    }

    /// Sends a datagram to the first of the addresses.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UdpSocket;
    /// let near = UdpSocket::bind("127.0.0.1:0")?;
    /// let far = UdpSocket::bind("127.0.0.1:0")?;
    /// assert_eq!(near.send_to(b"hello", far.local_addr()?)?, 5);
    /// assert_eq!(far.recv(&mut [0; 8])?, 5);
    /// // More than a datagram can hold:
    /// assert!(near.send_to(&[0; 70_000], far.local_addr()?).is_err());
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// EMSGSIZE for a datagram that is too long; `InvalidInput` when there is no address.
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let Some(address) = addr.to_socket_addrs()?.next() else {
            let message = "no addresses to send data to";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        let address = sys::socket::SocketAddress::from_inet(&address);
        self.socket.transmit(|fd| sys::socket::sendto(fd, buf, 0, &address))
    }

    /// Sets the address that `send` sends to, and the only one that is received from.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UdpSocket;
    /// let near = UdpSocket::bind("127.0.0.1:0")?;
    /// let far = UdpSocket::bind("127.0.0.1:0")?;
    /// near.connect(far.local_addr()?)?;
    /// assert_eq!(near.peer_addr()?, far.local_addr()?);
    /// assert_eq!(near.send(b"hello")?, 5);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// That of the last address.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        each_address(addr, |addr| self.socket.std()?.connect(addr))
    }

    /// Sends a datagram to the connected address.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UdpSocket;
    /// let near = UdpSocket::bind("127.0.0.1:0")?;
    /// let far = UdpSocket::bind("127.0.0.1:0")?;
    /// near.connect(far.local_addr()?)?;
    /// far.connect(near.local_addr()?)?;
    /// assert_eq!(near.send(b"hello")?, 5);
    /// assert_eq!(far.recv(&mut [0; 8])?, 5);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// ECONNREFUSED when an earlier one found nobody.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.write(buf)
    }

    /// Receives a datagram from the connected address; what does not fit into `buf` is lost.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UdpSocket;
    /// let near = UdpSocket::bind("127.0.0.1:0")?;
    /// let far = UdpSocket::bind("127.0.0.1:0")?;
    /// near.connect(far.local_addr()?)?;
    /// far.connect(near.local_addr()?)?;
    /// let receiver = cove::spawn(move || {
    ///     let mut buffer = [0; 8];
    ///     far.recv(&mut buffer).map(|bytes| buffer[..bytes].to_vec())
    /// });
    /// near.send(b"hello")?;
    /// assert_eq!(receiver.join().unwrap()?, b"hello");
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// ECONNREFUSED when an earlier one that was sent found nobody; `WouldBlock` when the read
    /// time-out passes.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buf)
    }

    /// As [`recv`](Self::recv), but the datagram stays for the next receive.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::net::UdpSocket;
    /// let near = UdpSocket::bind("127.0.0.1:0")?;
    /// let far = UdpSocket::bind("127.0.0.1:0")?;
    /// near.connect(far.local_addr()?)?;
    /// far.connect(near.local_addr()?)?;
    /// near.send(b"hello")?;
    /// assert_eq!(far.peek(&mut [0; 8])?, 5);
    /// assert_eq!(far.recv(&mut [0; 8])?, 5);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(buf)
    }

    /// The connected address.
    ///
    /// ```
    /// use cove::net::UdpSocket;
    /// let near = UdpSocket::bind("127.0.0.1:0")?;
    /// let far = UdpSocket::bind("127.0.0.1:0")?;
    /// assert_eq!(near.peer_addr().unwrap_err().kind(), std::io::ErrorKind::NotConnected);
    /// near.connect(far.local_addr()?)?;
    /// assert_eq!(near.peer_addr()?, far.local_addr()?);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// ENOTCONN when there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.peer_addr()
    }

    /// The socket's own address.
    ///
    /// ```
    /// use cove::net::UdpSocket;
    /// let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    /// assert!(socket.local_addr()?.ip().is_loopback());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.local_addr()
    }

    socket_methods!(
        "use cove::net::UdpSocket;\n\
         let socket = UdpSocket::bind(\"127.0.0.1:0\")?;",
        "socket.peek(&mut [0; 1])"
    );
    timeout_methods!(
        "use cove::net::UdpSocket;\n\
         let socket = UdpSocket::bind(\"127.0.0.1:0\")?;"
    );
}

/// Declares std's options, which pass through: the setter's and the getter's name, the type, and
/// what is set; for the example, the address that the socket is bound to and a value that is not
/// the default.
macro_rules! options {
    ($($set:ident, $get:ident: $type:ty, $what:literal, $address:literal, $value:literal;)*) => {
        impl UdpSocket {
            $(
                #[doc = concat!("Sets ", $what, ".")]
                ///
                /// ```
                #[doc = concat!("# let ip = cove::net::UdpSocket::bind(\"", $address, "\");")]
                /// # if ip.is_err() { return Ok(()) } // IPv6 may be switched off.
                #[doc = concat!("let socket = cove::net::UdpSocket::bind(\"", $address, "\")?;")]
                #[doc = concat!("socket.", stringify!($set), "(", $value, ")?;")]
                #[doc = concat!("assert_eq!(socket.", stringify!($get), "()?, ", $value, ");")]
                /// # Ok::<_, std::io::Error>(())
                /// ```
                ///
                /// # Errors
                /// Those of setsockopt(2).
                pub fn $set(&self, value: $type) -> io::Result<()> {
                    self.socket.std()?.$set(value)
                }

                #[doc = concat!("Tells ", $what, ".")]
                #[doc = concat!("See [`Self::", stringify!($set), "`] for an example.")]
                ///
                /// # Errors
                /// Those of getsockopt(2).
                pub fn $get(&self) -> io::Result<$type> {
                    self.socket.std()?.$get()
                }
            )*
        }
    };
}

options! {
    set_broadcast, broadcast: bool,
        "whether datagrams may go to a broadcast address", "127.0.0.1:0", true;
    set_ttl, ttl: u32,
        "the time-to-live of datagrams", "127.0.0.1:0", 32;
    set_multicast_loop_v4, multicast_loop_v4: bool,
        "whether our own IPv4 multicasts come back", "127.0.0.1:0", false;
    set_multicast_ttl_v4, multicast_ttl_v4: u32,
        "the time-to-live of IPv4 multicasts", "127.0.0.1:0", 8;
    set_multicast_loop_v6, multicast_loop_v6: bool,
        "whether our own IPv6 multicasts come back", "[::1]:0", false;
}

impl UdpSocket {
    /// Joins an IPv4 multicast group: from now on, what is sent to it and comes in by the interface
    /// with the given address is received.
    ///
    /// ```
    /// use cove::net::UdpSocket;
    /// use std::net::Ipv4Addr;
    /// let socket = UdpSocket::bind("0.0.0.0:0")?;
    /// let group = Ipv4Addr::new(239, 255, 1, 2);
    /// socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
    /// assert!(socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).is_err()); // It has.
    /// socket.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket.std()?.join_multicast_v4(multiaddr, interface)
    }

    /// Joins an IPv6 multicast group: from now on, what is sent to it and comes in by the interface
    /// with the given index is received.
    ///
    /// ```
    /// use cove::net::UdpSocket;
    /// # if UdpSocket::bind("[::1]:0").is_err() { return Ok(()) } // IPv6 may be switched off.
    /// let socket = UdpSocket::bind("[::]:0")?;
    /// let group = "ff01::1:2".parse().unwrap();
    /// socket.join_multicast_v6(&group, 1)?; // 1 is the loopback interface.
    /// socket.leave_multicast_v6(&group, 1)?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket.std()?.join_multicast_v6(multiaddr, interface)
    }

    /// Leaves a group that [`join_multicast_v4`](Self::join_multicast_v4) joined.
    /// See [`join_multicast_v4`](Self::join_multicast_v4) for an example.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket.std()?.leave_multicast_v4(multiaddr, interface)
    }

    /// Leaves a group that [`join_multicast_v6`](Self::join_multicast_v6) joined.
    /// See [`join_multicast_v6`](Self::join_multicast_v6) for an example.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket.std()?.leave_multicast_v6(multiaddr, interface)
    }
}
