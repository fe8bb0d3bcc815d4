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
    /// # Errors
    /// That of the last address.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        let std = each_address(addr, |addr| std::net::UdpSocket::bind(addr))?;
        Ok(UdpSocket { socket: Socket::prepare(std)? })
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
        Ok((bytes, from.to_inet()?))
    }

    /// Sends a datagram to the first of the addresses.
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
    /// # Errors
    /// That of the last address.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        each_address(addr, |addr| self.socket.std()?.connect(addr))
    }

    /// Sends a datagram to the connected address.
    ///
    /// # Errors
    /// ECONNREFUSED when an earlier one found nobody.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.write(buf)
    }

    /// Receives a datagram from the connected address; what does not fit into `buf` is lost.
    ///
    /// # Errors
    /// ECONNREFUSED when an earlier one that was sent found nobody; `WouldBlock` when the read
    /// time-out passes.
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

    /// The connected address.
    ///
    /// # Errors
    /// ENOTCONN when there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.peer_addr()
    }

    /// The socket's own address.
    ///
    /// # Errors
    /// EBADF after `close`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.std()?.local_addr()
    }

    socket_methods!();
    timeout_methods!();
}

/// Declares std's options, which pass through: the setter's and the getter's name, the type, and
/// what is set.
macro_rules! options {
    ($($set:ident, $get:ident: $type:ty, $what:literal;)*) => {
        impl UdpSocket {
            $(
                #[doc = concat!("Sets ", $what, ".")]
                ///
                /// # Errors
                /// Those of setsockopt(2).
                pub fn $set(&self, value: $type) -> io::Result<()> {
                    self.socket.std()?.$set(value)
                }

                #[doc = concat!("Tells ", $what, ".")]
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
    set_broadcast, broadcast: bool, "whether datagrams may go to a broadcast address";
    set_ttl, ttl: u32, "the time-to-live of datagrams";
    set_multicast_loop_v4, multicast_loop_v4: bool, "whether our own IPv4 multicasts come back";
    set_multicast_ttl_v4, multicast_ttl_v4: u32, "the time-to-live of IPv4 multicasts";
    set_multicast_loop_v6, multicast_loop_v6: bool, "whether our own IPv6 multicasts come back";
}

impl UdpSocket {
    /// Receives what is sent to an IPv4 multicast group, by the interface with the given address.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket.std()?.join_multicast_v4(multiaddr, interface)
    }

    /// Receives what is sent to an IPv6 multicast group, by the interface with the given index.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket.std()?.join_multicast_v6(multiaddr, interface)
    }

    /// Undoes [`join_multicast_v4`](Self::join_multicast_v4).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket.std()?.leave_multicast_v4(multiaddr, interface)
    }

    /// Undoes [`join_multicast_v6`](Self::join_multicast_v6).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket.std()?.leave_multicast_v6(multiaddr, interface)
    }
}
