//! Sockets, as the kernel has them: one function per call.
//!
//! Nothing here waits (sockets are made non-blocking) and nothing retries: EAGAIN and EINTR are the
//! caller's, who tries again when the reactor says so. Descriptors come as numbers, because the
//! same functions serve the library's own sockets and the hooks' foreign ones; a bad number is
//! EBADF.

use super::{cvt, cvt_count, real};
use libc::{c_int, c_void, iovec, msghdr, socklen_t};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

pub(crate) use super::address::SocketAddress;

/// Most parts of one readv or writev: IOV_MAX, limits.h(0p). More are moved by the next call.
const PARTS_MAX: usize = 1024;

/// How far a connect came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connect {
    /// The socket is connected.
    Done,
    /// It goes on by itself; when the socket is writable, [`take_error`] tells the outcome.
    InProgress,
}

/// A stream socket of `family` (AF_INET, AF_INET6, AF_UNIX), non-blocking and close-on-exec.
///
/// # Errors
/// EMFILE, ENFILE, ENOMEM, or EAFNOSUPPORT for a family that this kernel lacks.
pub(crate) fn stream(family: c_int) -> io::Result<OwnedFd> {
    create(family, libc::SOCK_STREAM)
}

/// A datagram socket of `family`, non-blocking and close-on-exec.
///
/// # Errors
/// As [`stream`].
#[cfg(test)]
pub(crate) fn datagram(family: c_int) -> io::Result<OwnedFd> {
    create(family, libc::SOCK_DGRAM)
}

/// Gives the socket its own address.
///
/// # Errors
/// EADDRINUSE, EADDRNOTAVAIL, EACCES, EBADF, ENOTSOCK.
pub(crate) fn bind(fd: RawFd, address: &SocketAddress) -> io::Result<()> {
    // SAFETY: the address is readable for its length.
    cvt(unsafe { libc::bind(fd, address.as_ptr(), address.length()) }).map(drop)
}

/// Starts accepting, with room for `backlog` connections that nobody accepted yet.
///
/// # Errors
/// EADDRINUSE, EBADF, ENOTSOCK.
pub(crate) fn listen(fd: RawFd, backlog: c_int) -> io::Result<()> {
    // SAFETY: no memory of ours is involved.
    cvt(unsafe { libc::listen(fd, backlog) }).map(drop)
}

/// Takes the next connection, non-blocking and close-on-exec, with the peer's address.
///
/// # Errors
/// EAGAIN: none waits. ECONNABORTED: it is gone again. EMFILE, ENFILE: no descriptor left; it waits
/// on.
pub(crate) fn accept4(fd: RawFd) -> io::Result<(OwnedFd, SocketAddress)> {
    let mut peer = SocketAddress::room();
    let (address, length) = peer.as_mut_ptrs();
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: both pointers lead into `peer`, which stays in place through the call, and the length
    // there is the room there is.
    let accepted = cvt(unsafe { real::accept4(fd, address, length, flags) })?;
    // SAFETY: the descriptor was made by the line above and has no other owner.
    Ok((unsafe { OwnedFd::from_raw_fd(accepted) }, peer))
}

/// Connects, or starts to.
///
/// EINTR counts as in progress: connect(2) goes on by itself after a signal, and must not be called
/// again.
///
/// # Errors
/// ECONNREFUSED and the like, when known at once. EAGAIN on a Unix socket: the listener's backlog
/// is full, and nothing is in progress.
pub(crate) fn connect(fd: RawFd, address: &SocketAddress) -> io::Result<Connect> {
    // SAFETY: the address is readable for its length.
    match cvt(unsafe { real::connect(fd, address.as_ptr(), address.length()) }) {
        Ok(_) => Ok(Connect::Done),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {
            Ok(Connect::InProgress)
        }
        Err(error) => Err(error),
    }
}

/// Receives up to `buffer.len()` bytes; 0 is the end of a stream, or an empty datagram.
///
/// # Errors
/// EAGAIN: nothing is there. ECONNRESET, ENOTCONN, EBADF, ...
pub(crate) fn recv(fd: RawFd, buffer: &mut [u8], flags: c_int) -> io::Result<usize> {
    let (place, bytes) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `place` is writable for `bytes`.
    cvt_count(unsafe { real::recv(fd, place, bytes, flags) })
}

/// Receives without taking: the next [`recv`] sees the same bytes.
///
/// # Errors
/// As [`recv`].
pub(crate) fn peek(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    recv(fd, buffer, libc::MSG_PEEK)
}

/// Sends up to `buffer.len()` bytes. A closed peer is EPIPE, never SIGPIPE.
///
/// # Errors
/// EAGAIN: no room. EPIPE, ECONNRESET, EBADF, ...
pub(crate) fn send(fd: RawFd, buffer: &[u8], flags: c_int) -> io::Result<usize> {
    let flags = flags | libc::MSG_NOSIGNAL;
    // SAFETY: the buffer is readable for its length.
    cvt_count(unsafe { real::send(fd, buffer.as_ptr().cast(), buffer.len(), flags) })
}

/// Receives a datagram and its sender's address; what does not fit into `buffer` is lost.
///
/// # Errors
/// As [`recv`].
pub(crate) fn recvfrom(
    fd: RawFd,
    buffer: &mut [u8],
    flags: c_int,
) -> io::Result<(usize, SocketAddress)> {
    let mut sender = SocketAddress::room();
    let (address, length) = sender.as_mut_ptrs();
    let (place, bytes) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `place` is writable for `bytes`; the other two pointers lead into `sender`, which
    // stays in place through the call, and the length there is the room there is.
    let received = cvt_count(unsafe { real::recvfrom(fd, place, bytes, flags, address, length) })?;
    Ok((received, sender))
}

/// Sends a datagram to `address`.
///
/// # Errors
/// As [`send`]; EMSGSIZE for a datagram that is too long.
pub(crate) fn sendto(
    fd: RawFd,
    buffer: &[u8],
    flags: c_int,
    address: &SocketAddress,
) -> io::Result<usize> {
    let (place, bytes) = (buffer.as_ptr().cast(), buffer.len());
    let (to, length) = (address.as_ptr(), address.length());
    // SAFETY: the buffer and the address are readable for their lengths.
    cvt_count(unsafe { real::sendto(fd, place, bytes, flags | libc::MSG_NOSIGNAL, to, length) })
}

/// Reads into several buffers, one after the other; up to 1,024 of them.
///
/// # Errors
/// As [`recv`].
pub(crate) fn readv(fd: RawFd, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let count = parts.len().min(PARTS_MAX) as c_int;
    // SAFETY: IoSliceMut is an iovec in memory, by its documentation, and leads to a writable
    // buffer.
    cvt_count(unsafe { real::readv(fd, parts.as_mut_ptr().cast::<iovec>(), count) })
}

/// As [`readv`], and tells whether something besides bytes came and was thrown away (descriptors,
/// or credentials: MSG_CTRUNC). A Unix stream stops short behind such, although there may be more.
///
/// # Errors
/// As [`recv`].
pub(crate) fn recv_parts(fd: RawFd, parts: &mut [IoSliceMut<'_>]) -> io::Result<(usize, bool)> {
    // SAFETY: zeroes are a valid msghdr, as in `writev`.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_mut_ptr().cast::<iovec>();
    message.msg_iovlen = parts.len().min(PARTS_MAX) as _;
    // SAFETY: IoSliceMut is an iovec in memory, by its documentation, and leads to a writable
    // buffer; everything else is null.
    let bytes = unsafe { recvmsg(fd, &mut message, 0) }?;
    Ok((bytes, message.msg_flags & libc::MSG_CTRUNC != 0))
}

/// Writes several buffers, one after the other; up to 1,024 of them.
///
/// This is `sendmsg` and not `writev`, which has no flags: a closed peer is EPIPE, never SIGPIPE.
///
/// # Errors
/// As [`send`]; ENOTSOCK for what is no socket.
pub(crate) fn writev(fd: RawFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: zeroes are a valid msghdr (null pointers of no length); its padding differs between
    // libc implementations, so it has no literal.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_ptr().cast::<iovec>().cast_mut();
    message.msg_iovlen = parts.len().min(PARTS_MAX) as _;
    // SAFETY: IoSlice is an iovec in memory, by its documentation, and leads to a readable buffer;
    // sendmsg writes to none of this.
    unsafe { sendmsg(fd, &message, 0) }
}

/// Receives a message: bytes, sender, control messages.
///
/// # Safety
/// Every pointer in `message` is null with length zero, or leads to that much writable memory.
///
/// # Errors
/// As [`recv`].
pub(crate) unsafe fn recvmsg(fd: RawFd, message: &mut msghdr, flags: c_int) -> io::Result<usize> {
    // SAFETY: `message` is a reference, and what it leads to is the caller's promise.
    cvt_count(unsafe { real::recvmsg(fd, message, flags | libc::MSG_CMSG_CLOEXEC) })
}

/// Sends a message: bytes, address, control messages. A closed peer is EPIPE, never SIGPIPE.
///
/// # Safety
/// Every pointer in `message` is null with length zero, or leads to that much readable memory.
///
/// # Errors
/// As [`send`].
pub(crate) unsafe fn sendmsg(fd: RawFd, message: &msghdr, flags: c_int) -> io::Result<usize> {
    // SAFETY: `message` is a reference, and what it leads to is the caller's promise.
    cvt_count(unsafe { real::sendmsg(fd, message, flags | libc::MSG_NOSIGNAL) })
}

/// Takes the error that waits at the socket (SO_ERROR), which then has none; `None` is no error.
///
/// # Errors
/// EBADF, ENOTSOCK: about the call, and not the waiting error.
pub(crate) fn take_error(fd: RawFd) -> io::Result<Option<io::Error>> {
    let error: c_int = option(fd, libc::SO_ERROR)?;
    Ok((error != 0).then(|| io::Error::from_raw_os_error(error)))
}

/// Lets several sockets listen on one address; the kernel spreads connections over them.
///
/// # Errors
/// EBADF, ENOTSOCK.
pub(crate) fn set_reuse_port(fd: RawFd, on: bool) -> io::Result<()> {
    set_flag(fd, libc::SO_REUSEPORT, on)
}

/// Lets a server bind while connections of its predecessor linger.
///
/// # Errors
/// EBADF, ENOTSOCK.
pub(crate) fn set_reuse_addr(fd: RawFd, on: bool) -> io::Result<()> {
    set_flag(fd, libc::SO_REUSEADDR, on)
}

/// Sets O_NONBLOCK of the open file, which every duplicate of the descriptor shares.
///
/// # Errors
/// EBADF.
pub(crate) fn set_nonblocking(fd: RawFd, on: bool) -> io::Result<()> {
    let mut value = c_int::from(on);
    // SAFETY: FIONBIO reads an int, and `value` lives through the call.
    cvt(unsafe { libc::ioctl(fd, libc::FIONBIO, &raw mut value) }).map(drop)
}

/// Lets `fd` stand for the open file of `with`. What it stood for is closed, if this was its last
/// descriptor; the number is never free in between.
///
/// # Errors
/// EBADF. EBUSY is a race with an open in another thread, of which dup2(2) warns.
pub(crate) fn replace(fd: RawFd, with: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no memory of ours is involved.
    cvt(unsafe { libc::dup3(with.as_raw_fd(), fd, libc::O_CLOEXEC) }).map(drop)
}

/// How long closing waits for unsent bytes (SO_LINGER); `None`: it does not wait.
///
/// # Errors
/// EBADF, ENOTSOCK.
pub(crate) fn linger(fd: RawFd) -> io::Result<Option<Duration>> {
    let linger: libc::linger = option(fd, libc::SO_LINGER)?;
    Ok((linger.l_onoff != 0).then(|| Duration::from_secs(linger.l_linger as u64)))
}

/// Sets SO_LINGER, in whole seconds.
///
/// # Errors
/// As [`linger`].
pub(crate) fn set_linger(fd: RawFd, linger: Option<Duration>) -> io::Result<()> {
    let seconds = linger.unwrap_or_default().as_secs();
    let value = libc::linger {
        l_onoff: linger.is_some().into(),
        l_linger: c_int::try_from(seconds).unwrap_or(c_int::MAX),
    };
    set_option(fd, libc::SO_LINGER, value)
}

/// The time-outs that the kernel applies to receiving and sending (SO_RCVTIMEO, SO_SNDTIMEO), if
/// the socket blocks.
///
/// # Errors
/// EBADF, ENOTSOCK.
pub(crate) fn timeouts(fd: RawFd) -> io::Result<[Option<Duration>; 2]> {
    let read = |name| -> io::Result<_> {
        let time: libc::timeval = option(fd, name)?;
        let (seconds, micros) = (time.tv_sec as u64, time.tv_usec as u32);
        let timeout = Duration::new(seconds, micros * 1000);
        Ok((!timeout.is_zero()).then_some(timeout))
    };
    Ok([read(libc::SO_RCVTIMEO)?, read(libc::SO_SNDTIMEO)?])
}

/// Sets the kernel's time-outs, rounded up to microseconds.
///
/// # Errors
/// EBADF, ENOTSOCK.
pub(crate) fn set_timeouts(fd: RawFd, timeouts: [Option<Duration>; 2]) -> io::Result<()> {
    for (name, timeout) in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO].into_iter().zip(timeouts) {
        let micros = timeout.unwrap_or_default().as_nanos().div_ceil(1000);
        let seconds = libc::time_t::try_from(micros / 1_000_000).unwrap_or(libc::time_t::MAX);
        let micros = (micros % 1_000_000) as libc::suseconds_t;
        set_option(fd, name, libc::timeval { tv_sec: seconds, tv_usec: micros })?;
    }
    Ok(())
}

fn create(family: c_int, kind: c_int) -> io::Result<OwnedFd> {
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no memory of ours is involved.
    let fd = cvt(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: the descriptor was made by the line above and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set_flag(fd: RawFd, name: c_int, on: bool) -> io::Result<()> {
    set_option(fd, name, c_int::from(on))
}

/// Reads an option of SOL_SOCKET. `T` is the structure of integers that socket(7) names for it.
fn option<T: Copy>(fd: RawFd, name: c_int) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut bytes = size_of::<T>() as socklen_t;
    // SAFETY: `value` is writable for `bytes`, and both live through the call.
    cvt(unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, name, value.as_mut_ptr().cast(), &raw mut bytes)
    })?;
    // SAFETY: integers, zero at first and then what the kernel wrote, are a valid T.
    Ok(unsafe { value.assume_init() })
}

/// Writes an option of SOL_SOCKET; `T` as in [`option`].
fn set_option<T: Copy>(fd: RawFd, name: c_int, value: T) -> io::Result<()> {
    let (place, bytes) = ((&raw const value).cast::<c_void>(), size_of::<T>() as socklen_t);
    // SAFETY: `place` is readable for `bytes` through the call.
    cvt(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, name, place, bytes) }).map(drop)
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;

/// The error number of an operation on a descriptor that is closed.
pub(crate) const BAD_DESCRIPTOR: i32 = libc::EBADF;

/// Blocks the calling thread until `fd` is readable (or `writable`), in error or hung up; false
/// when `timeout_ns` passes first. Interruptions are retried with what is left of the time.
pub(crate) fn wait_ready(fd: RawFd, writable: bool, timeout_ns: Option<u64>) -> io::Result<bool> {
    let deadline_ns = timeout_ns.map(|ns| super::clock::monotonic_ns().saturating_add(ns));
    let events = if writable { libc::POLLOUT } else { libc::POLLIN };
    loop {
        let timeout_ms = match deadline_ns {
            None => -1,
            Some(deadline_ns) => {
                let left_ns = deadline_ns.saturating_sub(super::clock::monotonic_ns());
                c_int::try_from(left_ns.div_ceil(1_000_000)).unwrap_or(c_int::MAX)
            }
        };
        let mut entry = libc::pollfd { fd, events, revents: 0 };
        // SAFETY: one entry, writable for the call.
        match super::cvt(unsafe { super::real::poll(&mut entry, 1, timeout_ms) }) {
            Ok(0) if timeout_ms != c_int::MAX => return Ok(false),
            Ok(0) => {}
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether shutdown(2) has ended the receiving side.
pub(crate) fn is_shut_for_reading(fd: RawFd) -> bool {
    let mut entry = libc::pollfd { fd, events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: one entry, writable for the call.
    let outcome = super::cvt(unsafe { super::real::poll(&mut entry, 1, 0) });
    outcome.is_ok() && entry.revents & libc::POLLRDHUP != 0
}
