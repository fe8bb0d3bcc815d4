//! From what names an address to the addresses, without stopping the thread for a name server.

use crate::task::blocking_io;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::{iter, option, slice, vec};

/// What socket addresses can be made of: [`std::net::ToSocketAddrs`], for the same types, but names
/// are looked up on the pool for blocking work while only the coroutine waits. Literal addresses
/// need no look-up.
///
/// For a type that implements only std's trait, pass `&addrs[..]` with the addresses collected.
///
/// ```
/// use cove::net::ToSocketAddrs;
/// cove::run(|| {
///     assert_eq!("127.0.0.1:80".to_socket_addrs()?.next(), Some(([127, 0, 0, 1], 80).into()));
///     assert!("localhost:80".to_socket_addrs()?.all(|address| address.ip().is_loopback()));
///     Ok::<_, std::io::Error>(())
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
pub trait ToSocketAddrs {
    /// The addresses, in the order in which to try them.
    type Iter: Iterator<Item = SocketAddr>;

    /// The addresses that `self` stands for.
    ///
    /// # Errors
    /// Those of the look-up; `InvalidInput` for a text that is neither an address nor `host:port`;
    /// `TimedOut` when the enclosing deadline scope ends first.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

/// Declares types that stand for one address each, by `Into<SocketAddr>`.
macro_rules! single_address {
    ($($type:ty),*) => {
        $(impl ToSocketAddrs for $type {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                Ok(Some((*self).into()).into_iter())
            }
        })*
    };
}

single_address!(SocketAddr, SocketAddrV4, SocketAddrV6);
single_address!((IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, port)].into_iter()),
            Err(_) => look_up((host.to_owned(), port)),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (&*self.0, self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        match self.parse() {
            Ok(address) => Ok(vec![address].into_iter()),
            Err(_) => look_up(self.to_owned()),
        }
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Cloned<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().cloned())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

/// Asks std, on a thread where that may take its time.
fn look_up<A>(name: A) -> io::Result<vec::IntoIter<SocketAddr>>
where
    A: std::net::ToSocketAddrs<Iter = vec::IntoIter<SocketAddr>> + Send + 'static,
{
    blocking_io(move || name.to_socket_addrs())
}

/// Runs `function` with one address after the other until it succeeds with one.
///
/// # Errors
/// That of the last address; `InvalidInput` if there is none.
pub(super) fn each_address<A: ToSocketAddrs, T>(
    addresses: A,
    mut function: impl FnMut(&SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for address in addresses.to_socket_addrs()? {
        match function(&address) {
            Ok(made) => return Ok(made),
            Err(error) => last = Some(error),
        }
    }
    let none = || io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses");
    Err(last.unwrap_or_else(none))
}
