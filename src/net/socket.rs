//! What all sockets share: std's own type, made non-blocking, with its place in the reactor.
//!
//! Calls that may wait go through [`Socket::receive`] and [`Socket::transmit`] and their kin; all
//! others are std's, reached through [`Socket::std`]. Time-outs and the non-blocking mode that the
//! user sees are kept here; to the kernel the socket is non-blocking throughout.

use crate::scheduler::readiness::{self, Direction, Registration};
use crate::sys;
use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::OnceLock;
use std::time::Duration;

/// What it says of the time when a transfer moves less than was asked for.
pub(super) enum Short {
    /// Nothing: datagrams have their own length.
    Nothing,
    /// That no more can be moved at the time: true of TCP.
    Drained,
    /// The same, except behind a passed descriptor or credentials: true of Unix streams.
    DrainedUnlessCut,
}

/// One of std's socket types.
pub(super) trait Std: AsFd + From<OwnedFd> + Into<OwnedFd> {
    const SHORT: Short = Short::Nothing;
}

impl Std for std::net::TcpListener {}
impl Std for std::net::UdpSocket {}
impl Std for std::os::unix::net::UnixListener {}
impl Std for UnixDatagram {}

impl Std for std::net::TcpStream {
    const SHORT: Short = Short::Drained;
}

impl Std for std::os::unix::net::UnixStream {
    const SHORT: Short = Short::DrainedUnlessCut;
}

/// One of std's sockets, in use by coroutines.
pub(super) struct Socket<S> {
    /// Before the socket: its end may need the descriptor, so it is dropped first.
    registration: Registration,
    std: S,
    timeouts: [Cell<Option<Duration>>; 2],
    /// Operations give `WouldBlock` instead of waiting.
    nonblocking: Cell<bool>,
}

// A panic in the middle of an operation leaves nothing half-done in here.
impl<S> UnwindSafe for Socket<S> {}
impl<S> RefUnwindSafe for Socket<S> {}

impl<S: Std> Socket<S> {
    /// Takes a socket that is non-blocking already.
    pub(super) fn new(std: S) -> Socket<S> {
        Socket {
            registration: Registration::new(),
            std,
            timeouts: [Cell::new(None), Cell::new(None)],
            nonblocking: Cell::new(false),
        }
    }

    /// Makes a socket non-blocking.
    pub(super) fn prepare(std: S) -> io::Result<Socket<S>> {
        sys::socket::set_nonblocking(std.as_fd().as_raw_fd(), true)?;
        Ok(Socket::new(std))
    }

    /// Takes over a socket as it is, with its time-outs. What fails here is a descriptor with which
    /// nothing can be done, and whose operations say so.
    pub(super) fn adopt(std: S) -> Socket<S> {
        let fd = std.as_fd().as_raw_fd();
        let _ = sys::socket::set_nonblocking(fd, true);
        let timeouts = sys::socket::timeouts(fd).unwrap_or_default();
        Socket { timeouts: timeouts.map(Cell::new), ..Socket::new(std) }
    }

    /// Gives std's socket back as its user knows it: blocking if it was, with its time-outs.
    pub(super) fn into_std(self) -> S {
        let fd = self.raw();
        self.registration.leave();
        if self.registration.check_open().is_ok() {
            // As in `adopt`: these fail for what is no socket only.
            let _ = sys::socket::set_nonblocking(fd, self.nonblocking.get());
            let timeouts = [self.timeout(Direction::Read), self.timeout(Direction::Write)];
            if timeouts != [None; 2] {
                let _ = sys::socket::set_timeouts(fd, timeouts);
            }
        }
        self.std
    }

    /// A second descriptor of the same open file.
    pub(super) fn try_clone(&self) -> io::Result<Socket<S>> {
        self.registration.check_open()?;
        let twin = Socket {
            timeouts: self.timeouts.clone(),
            nonblocking: self.nonblocking.clone(),
            ..Socket::new(S::from(self.std.as_fd().try_clone_to_owned()?))
        };
        self.registration.mark_duplicated();
        twin.registration.mark_duplicated();
        Ok(twin)
    }

    /// std's socket, for calls that do not wait.
    ///
    /// # Errors
    /// EBADF after [`close`](Self::close).
    pub(super) fn std(&self) -> io::Result<&S> {
        self.registration.check_open()?;
        Ok(&self.std)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.std.as_fd()
    }

    #[inline]
    pub(super) fn raw(&self) -> RawFd {
        self.std.as_fd().as_raw_fd()
    }

    #[inline]
    fn operate<T>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(RawFd) -> io::Result<T>,
    ) -> io::Result<T> {
        let fd = self.raw();
        if self.nonblocking.get() {
            self.registration.check_open()?;
            return operation(fd);
        }
        let deadline = || self.deadline_ns(direction);
        self.registration.run(fd, direction, deadline, || operation(fd))
    }

    /// Runs a transfer of up to `wanted` bytes, which tells how many it moved and whether it was
    /// cut short by something else than a lack of bytes or room.
    #[inline]
    fn transfer(
        &self,
        direction: Direction,
        wanted: usize,
        mut operation: impl FnMut(RawFd) -> io::Result<(usize, bool)>,
    ) -> io::Result<usize> {
        if matches!(S::SHORT, Short::Nothing) || self.nonblocking.get() {
            return self.operate(direction, |fd| operation(fd).map(|(moved, _)| moved));
        }
        let (fd, deadline) = (self.raw(), || self.deadline_ns(direction));
        self.registration.run_draining(fd, direction, deadline, || {
            let (moved, cut) = operation(fd)?;
            Ok((moved, moved != 0 && moved < wanted && !cut))
        })
    }

    /// Runs an operation that may have to wait until the socket is readable.
    #[inline]
    pub(super) fn receive<T>(
        &self,
        operation: impl FnMut(RawFd) -> io::Result<T>,
    ) -> io::Result<T> {
        self.operate(Direction::Read, operation)
    }

    /// Runs an operation that may have to wait until the socket is writable.
    #[inline]
    pub(super) fn transmit<T>(
        &self,
        operation: impl FnMut(RawFd) -> io::Result<T>,
    ) -> io::Result<T> {
        self.operate(Direction::Write, operation)
    }

    /// As [`transmit`](Self::transmit), for an operation whose readiness the kernel does not
    /// announce.
    pub(super) fn transmit_retrying<T>(
        &self,
        mut operation: impl FnMut(RawFd) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut attempt = || {
            self.registration.check_open()?;
            operation(self.raw())
        };
        if self.nonblocking.get() {
            return attempt();
        }
        readiness::retry(|| self.deadline_ns(Direction::Write), attempt)
    }

    /// Takes the next connection; interruptions are retried, as std does.
    pub(super) fn accept(&self) -> io::Result<(OwnedFd, sys::socket::SocketAddress)> {
        loop {
            match self.receive(sys::socket::accept4) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    #[inline]
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if matches!(S::SHORT, Short::DrainedUnlessCut) {
            return self.read_vectored(&mut [IoSliceMut::new(buffer)]);
        }
        let wanted = buffer.len();
        self.transfer(Direction::Read, wanted, |fd| Ok((sys::socket::recv(fd, buffer, 0)?, false)))
    }

    #[inline]
    pub(super) fn read_vectored(&self, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let wanted = parts.iter().map(|part| part.len()).sum();
        if wanted == 0 {
            // As readv(2); recvmsg(2) would wait for bytes all the same.
            return self.registration.check_open().map(|()| 0);
        }
        self.transfer(Direction::Read, wanted, |fd| match S::SHORT {
            Short::DrainedUnlessCut => sys::socket::recv_parts(fd, parts),
            _ => Ok((sys::socket::readv(fd, parts)?, false)),
        })
    }

    pub(super) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(|fd| sys::socket::peek(fd, buffer))
    }

    #[inline]
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.transfer(Direction::Write, bytes.len(), |fd| {
            Ok((sys::socket::send(fd, bytes, 0)?, false))
        })
    }

    pub(super) fn write_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let wanted = parts.iter().map(|part| part.len()).sum();
        self.transfer(Direction::Write, wanted, |fd| Ok((sys::socket::writev(fd, parts)?, false)))
    }

    /// When an operation that begins to wait now gives up.
    #[cold]
    pub(super) fn deadline_ns(&self, direction: Direction) -> u64 {
        self.timeout(direction).map_or(u64::MAX, sys::clock::deadline_ns)
    }

    pub(super) fn timeout(&self, direction: Direction) -> Option<Duration> {
        self.timeouts[direction as usize].get()
    }

    /// Bounds each wait of a direction.
    ///
    /// # Errors
    /// `InvalidInput` for zero, as std.
    pub(super) fn set_timeout(
        &self,
        direction: Direction,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.registration.check_open()?;
        if timeout == Some(Duration::ZERO) {
            let message = "cannot set a 0 duration timeout";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.timeouts[direction as usize].set(timeout);
        Ok(())
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.registration.check_open()?;
        self.nonblocking.set(nonblocking);
        Ok(())
    }

    pub(super) fn is_nonblocking(&self) -> bool {
        self.nonblocking.get()
    }

    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.registration.check_open()?;
        sys::socket::take_error(self.raw())
    }

    /// Ends every wait with EBADF, and every later operation. The open file is closed now, but the
    /// number stays taken, by an inert socket, until `self` is dropped: whoever still holds it
    /// reaches no stranger's descriptor.
    pub(super) fn close(&self) {
        if self.registration.check_open().is_err() {
            return;
        }
        self.registration.close();
        // Without a descriptor for the inert socket, the open file is closed when `self` is
        // dropped.
        if let Some(inert) = inert() {
            let _ = sys::socket::replace(self.raw(), inert.as_fd());
        }
    }
}

/// A socket that no one can reach, made once for the process.
fn inert() -> Option<&'static UnixDatagram> {
    static INERT: OnceLock<UnixDatagram> = OnceLock::new();
    if INERT.get().is_none() {
        let made = UnixDatagram::unbound().ok()?;
        made.set_nonblocking(true).ok()?;
        // Another thread may have been faster; then its socket is as good.
        let _ = INERT.set(made);
    }
    INERT.get()
}

impl<S: fmt::Debug> fmt::Debug for Socket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.std.fmt(f)
    }
}
