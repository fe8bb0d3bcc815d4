//! Socket addresses between std's types and the kernel's.
//!
//! ```text
//! SocketAddress   family | port, address, ... or path       | unused          |
//!                 <--------------- length ----------------->
//!                 <------------------ sockaddr_storage (128 bytes) ----------->
//! ```
//!
//! For a Unix address, `length` tells the three kinds apart (unix(7)): it ends after the family
//! (unnamed), the path begins with a zero byte (abstract), or it is a path with a zero at its end.

use libc::{c_char, sa_family_t, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage};
use libc::{sockaddr_un, socklen_t};
use std::ffi::OsStr;
use std::io;
use std::mem::{self, offset_of};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net;

/// Bytes of a Unix address before its path.
const PATH_OFFSET: usize = offset_of!(sockaddr_un, sun_path);

/// An address of any family, as the kernel reads and writes it.
#[derive(Clone, Copy)]
pub(crate) struct SocketAddress {
    storage: sockaddr_storage,
    /// Bytes of `storage` that count; at most its size.
    length: socklen_t,
}

impl SocketAddress {
    /// Room for any address, to be filled by the kernel.
    pub(super) fn room() -> SocketAddress {
        // SAFETY: sockaddr_storage is integers only, for which zeroes are valid.
        let storage = unsafe { mem::zeroed() };
        SocketAddress { storage, length: size_of::<sockaddr_storage>() as socklen_t }
    }

    /// The kernel's form of an internet address.
    pub(crate) fn from_inet(address: &SocketAddr) -> SocketAddress {
        match address {
            SocketAddr::V4(v4) => SocketAddress::from_parts(
                sockaddr_in {
                    sin_family: libc::AF_INET as sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                },
                size_of::<sockaddr_in>(),
            ),
            SocketAddr::V6(v6) => SocketAddress::from_parts(
                sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                },
                size_of::<sockaddr_in6>(),
            ),
        }
    }

    /// The kernel's form of a Unix address: a path, an abstract name, or unnamed.
    ///
    /// # Errors
    /// InvalidInput for a name that does not fit; std's own constructors make none.
    pub(crate) fn from_unix(address: &net::SocketAddr) -> io::Result<SocketAddress> {
        let mut name = Vec::with_capacity(size_of::<sockaddr_un>() - PATH_OFFSET);
        if let Some(path) = address.as_pathname() {
            name.extend_from_slice(path.as_os_str().as_bytes());
            name.push(0);
        } else if let Some(abstract_name) = address.as_abstract_name() {
            name.push(0);
            name.extend_from_slice(abstract_name);
        }
        // SAFETY: sockaddr_un is integers only, for which zeroes are valid.
        let mut unix: sockaddr_un = unsafe { mem::zeroed() };
        if name.len() > unix.sun_path.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        unix.sun_family = libc::AF_UNIX as sa_family_t;
        for (place, byte) in unix.sun_path.iter_mut().zip(&name) {
            *place = *byte as c_char;
        }
        Ok(SocketAddress::from_parts(unix, PATH_OFFSET + name.len()))
    }

    /// std's form of an internet address.
    ///
    /// # Errors
    /// InvalidInput when this is no internet address.
    pub(crate) fn to_inet(self) -> io::Result<SocketAddr> {
        if let Some(v4) = self.as_family::<sockaddr_in>(libc::AF_INET) {
            let ip = v4.sin_addr.s_addr.to_ne_bytes().into();
            return Ok(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into());
        }
        let v6 =
            self.as_family::<sockaddr_in6>(libc::AF_INET6).ok_or(io::ErrorKind::InvalidInput)?;
        let (ip, port) = (v6.sin6_addr.s6_addr.into(), u16::from_be(v6.sin6_port));
        Ok(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
    }

    /// std's form of a Unix address.
    ///
    /// # Errors
    /// InvalidInput when this is no Unix address, or one with a path that std cannot hold.
    pub(crate) fn to_unix(self) -> io::Result<net::SocketAddr> {
        if self.family() != libc::AF_UNIX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let name = self.bytes().get(PATH_OFFSET..).unwrap_or_default();
        match name {
            [0, abstract_name @ ..] => net::SocketAddr::from_abstract_name(abstract_name),
            path => {
                // The kernel counts the zero at the end or not; std's empty path is its unnamed
                // one.
                let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
                net::SocketAddr::from_pathname(OsStr::from_bytes(&path[..end]))
            }
        }
    }

    /// AF_INET, AF_INET6, AF_UNIX, ...; AF_UNSPEC when the kernel gave no address.
    pub(crate) fn family(&self) -> libc::c_int {
        if (self.length as usize) < size_of::<sa_family_t>() {
            return libc::AF_UNSPEC;
        }
        self.storage.ss_family.into()
    }

    /// Where the kernel reads the address.
    pub(crate) fn as_ptr(&self) -> *const sockaddr {
        (&raw const self.storage).cast()
    }

    /// Bytes to read at [`SocketAddress::as_ptr`].
    pub(crate) fn length(&self) -> socklen_t {
        self.length
    }

    /// Where the kernel writes an address and its length; the pointers are valid as long as `self`
    /// stays in its place.
    pub(super) fn as_mut_ptrs(&mut self) -> (*mut sockaddr, *mut socklen_t) {
        ((&raw mut self.storage).cast(), &raw mut self.length)
    }

    fn from_parts<T: Copy>(address: T, length: usize) -> SocketAddress {
        const { assert!(size_of::<T>() <= size_of::<sockaddr_storage>()) };
        const { assert!(align_of::<T>() <= align_of::<sockaddr_storage>()) };
        assert!(length <= size_of::<T>(), "an address ends within its structure");
        let mut made = SocketAddress::room();
        // SAFETY: the storage has room and alignment for T, as asserted at compile time.
        unsafe { (&raw mut made.storage).cast::<T>().write(address) };
        made.length = length as socklen_t;
        made
    }

    /// The address as `T`, if it is of that family and long enough. `T` is a `sockaddr` structure:
    /// integers only.
    fn as_family<T: Copy>(&self, family: libc::c_int) -> Option<T> {
        const { assert!(size_of::<T>() <= size_of::<sockaddr_storage>()) };
        if self.family() != family || (self.length as usize) < size_of::<T>() {
            return None;
        }
        // SAFETY: the storage is initialised throughout, large enough for T, and holds a T, as its
        // family says.
        Some(unsafe { (&raw const self.storage).cast::<T>().read_unaligned() })
    }

    fn bytes(&self) -> &[u8] {
        // The kernel reports the true length of an address that it had to cut short.
        let length = (self.length as usize).min(size_of::<sockaddr_storage>());
        // SAFETY: the storage is initialised throughout, `length` is within it, and the slice
        // borrows self.
        unsafe { std::slice::from_raw_parts((&raw const self.storage).cast(), length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internet_addresses_survive_the_round_trip() {
        // Goal: every field, in the right byte order. Method: both families, with all fields set.
        let scoped = SocketAddrV6::new("fe80::1:2".parse().expect("an address"), 443, 7, 3);
        let plain: SocketAddr = "192.0.2.1:8080".parse().expect("an address");
        for address in [plain, scoped.into()] {
            let raw = SocketAddress::from_inet(&address);
            assert_eq!(raw.to_inet().expect("internet"), address);
            assert!(raw.to_unix().is_err());
        }
        let raw = SocketAddress::from_inet(&plain);
        assert_eq!((raw.family(), raw.length()), (libc::AF_INET, 16));
        assert_eq!(raw.bytes()[2..8], [0x1f, 0x90, 192, 0, 2, 1]);
    }

    #[test]
    fn the_three_kinds_of_unix_address_survive_the_round_trip() {
        // Goal: paths, abstract names and no name stay apart. Method: each kind, and the longest of
        // each.
        let path = "/tmp/".to_owned() + &"x".repeat(102);
        for name in ["/run/cove.sock", path.as_str()] {
            let address = net::SocketAddr::from_pathname(name).expect("a path");
            let raw = SocketAddress::from_unix(&address).expect("it fits");
            assert_eq!(raw.length() as usize, PATH_OFFSET + name.len() + 1);
            let back = raw.to_unix().expect("unix");
            assert_eq!(back.as_pathname(), address.as_pathname());
        }
        for name in [&b"cove"[..], &[7; 107], b"a\0b"] {
            let address = net::SocketAddr::from_abstract_name(name).expect("a name");
            let raw = SocketAddress::from_unix(&address).expect("it fits");
            assert_eq!(raw.to_unix().expect("unix").as_abstract_name(), Some(name));
            assert!(raw.to_inet().is_err());
        }
        let unnamed = net::SocketAddr::from_pathname("").expect("unnamed");
        let raw = SocketAddress::from_unix(&unnamed).expect("it fits");
        assert_eq!(raw.length() as usize, PATH_OFFSET);
        assert!(raw.to_unix().expect("unix").is_unnamed());
    }

    #[test]
    fn addresses_cut_short_are_errors() {
        // Goal: nothing beyond the length is believed. Method: shorten a valid address.
        let address: SocketAddr = "[::1]:1".parse().expect("an address");
        let mut raw = SocketAddress::from_inet(&address);
        raw.length -= 1;
        assert!(raw.to_inet().is_err());
        raw.length = 0;
        assert_eq!(raw.family(), libc::AF_UNSPEC);
        assert!(raw.to_inet().is_err() && raw.to_unix().is_err());
    }
}
