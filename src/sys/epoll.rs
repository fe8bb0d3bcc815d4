//! epoll: which descriptors are ready, with waits precise to the nanosecond.
//!
//! A descriptor is registered with an [`Interest`] and a `u64` token; [`Epoll::wait`] hands back
//! the token with a [`Readiness`]. What a token means is the caller's business.
//!
//! Waits use `epoll_pwait2` (Linux 5.11), whose time-out has nanoseconds. Where it does not exist
//! (older kernels, qemu-user, seccomp filters that predate it) the instance remembers that and uses
//! `epoll_wait` with the time-out rounded *up* to milliseconds, so that a wait never ends early for
//! lack of resolution.

use super::{clock, cvt, process, real};
use std::io;
use std::ops::BitOr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// What to be told about a descriptor; a set, joined with `|`.
///
/// Errors and hang-ups are always reported (epoll_ctl(2)) and need no interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest(u32);

impl Interest {
    /// Bytes, connections or an end of file can be read.
    pub(crate) const READABLE: Interest = Interest(libc::EPOLLIN as u32);
    /// Bytes can be written.
    pub(crate) const WRITABLE: Interest = Interest(libc::EPOLLOUT as u32);
    /// The peer has shut down its writing half.
    pub(crate) const READ_CLOSED: Interest = Interest(libc::EPOLLRDHUP as u32);
    /// Out-of-band data, or an exceptional condition.
    pub(crate) const PRIORITY: Interest = Interest(libc::EPOLLPRI as u32);
    /// Report changes instead of states.
    pub(crate) const EDGE: Interest = Interest(libc::EPOLLET as u32);
    /// Report once, then stay silent until modified.
    #[cfg(test)]
    pub(crate) const ONE_SHOT: Interest = Interest(libc::EPOLLONESHOT as u32);
}

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

/// What the kernel reported of a descriptor: the EPOLL bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Readiness(u32);

impl Readiness {
    /// A read makes progress: data, end of file, a hang-up or an error to collect.
    pub(crate) fn is_readable(self) -> bool {
        self.has(libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// A write makes progress: room, a hang-up or an error to collect.
    pub(crate) fn is_writable(self) -> bool {
        self.has(libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// The peer will send no more.
    pub(crate) fn is_read_closed(self) -> bool {
        self.has(libc::EPOLLRDHUP | libc::EPOLLHUP)
    }

    /// Both halves are closed.
    pub(crate) fn is_hung_up(self) -> bool {
        self.has(libc::EPOLLHUP)
    }

    /// An error waits to be collected.
    pub(crate) fn is_error(self) -> bool {
        self.has(libc::EPOLLERR)
    }

    /// Out-of-band data, or an exceptional condition.
    pub(crate) fn is_priority(self) -> bool {
        self.has(libc::EPOLLPRI)
    }

    fn has(self, any: libc::c_int) -> bool {
        self.0 & any as u32 != 0
    }
}

/// One report of the kernel.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Event(libc::epoll_event);

impl Event {
    /// A place for the kernel to write a report into.
    pub(crate) const EMPTY: Event = Event(libc::epoll_event { events: 0, u64: 0 });

    /// The token that the descriptor was registered with.
    pub(crate) fn token(&self) -> u64 {
        self.0.u64
    }

    /// What it is ready for.
    pub(crate) fn readiness(&self) -> Readiness {
        Readiness(self.0.events)
    }
}

/// An epoll instance, close-on-exec.
#[derive(Debug)]
pub(crate) struct Epoll {
    fd: OwnedFd,
    /// Whether `epoll_pwait2` may be tried; cleared for good when the kernel refuses it.
    precise: AtomicBool,
}

impl Epoll {
    /// A new instance that watches nothing.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM: no descriptor or memory left.
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: epoll_create1 takes no memory of ours.
        let fd = cvt(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was made by the line above and has no other owner.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { fd, precise: AtomicBool::new(true) })
    }

    /// Puts a new instance, which watches nothing, in this one's place, under the same number: in a
    /// forked child, which shares this one with its parent. Async-signal-safe.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn replace(&self) -> io::Result<()> {
        // SAFETY: epoll_create1 takes no memory of ours.
        process::replace(self.as_raw_fd(), || unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
    }

    /// Watches `fd`.
    ///
    /// # Errors
    /// EEXIST: watched already. EPERM: a descriptor that is always ready (a regular file). EBADF.
    /// ENOSPC: the user's limit of watches (`fs.epoll.max_user_watches`).
    pub(crate) fn add(&self, fd: RawFd, interest: Interest, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest, token)
    }

    /// Replaces interest and token; re-arms a ONE_SHOT interest and reports a present state once
    /// more.
    ///
    /// # Errors
    /// ENOENT: not watched. EBADF.
    pub(crate) fn modify(&self, fd: RawFd, interest: Interest, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest, token)
    }

    /// Stops watching `fd`. Closing the last descriptor of an open file does so as well.
    ///
    /// # Errors
    /// ENOENT: not watched. EBADF.
    pub(crate) fn delete(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, Interest(0), 0)
    }

    /// Waits until something is ready, and returns how many of `events` were filled.
    ///
    /// `timeout_ns`: `None` waits without limit, `Some(0)` only looks. A signal ends the wait with
    /// `Ok(0)`, as if the time were up; the caller looks at its clock in any case.
    ///
    /// # Errors
    /// Only programmer errors remain: EBADF, EFAULT, EINVAL.
    pub(crate) fn wait(&self, events: &mut [Event], timeout_ns: Option<u64>) -> io::Result<usize> {
        assert!(!events.is_empty(), "epoll_wait(2) wants room for an event");
        let filled = if self.precise.load(Ordering::Relaxed) {
            match self.wait_precise(events, timeout_ns) {
                // ENOSYS: before Linux 5.11, or qemu-user. EPERM: a seccomp filter that does not
                // know the call; epoll itself never says EPERM to a wait.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.precise.store(false, Ordering::Relaxed);
                    self.wait_coarse(events, timeout_ns)
                }
                waited => waited,
            }
        } else {
            self.wait_coarse(events, timeout_ns)
        };
        match filled {
            Ok(count) => {
                assert!(count as usize <= events.len(), "the kernel filled what it was given");
                Ok(count as usize)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn control(&self, op: libc::c_int, fd: RawFd, what: Interest, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: what.0, u64: token };
        // SAFETY: `event` lives through the call, which only reads it.
        cvt(unsafe { libc::epoll_ctl(self.as_raw_fd(), op, fd, &raw mut event) }).map(drop)
    }

    fn wait_precise(&self, events: &mut [Event], timeout_ns: Option<u64>) -> io::Result<i32> {
        let timeout = timeout_ns.map(clock::timespec);
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        let (room, max) = room(events);
        // SAFETY: `room` is writable for `max` events, `Event` is a transparent epoll_event; the
        // time-out is null or lives until the call returns; a null mask leaves the signals alone.
        cvt(unsafe { real::epoll_pwait2(self.as_raw_fd(), room, max, timeout, ptr::null()) })
    }

    fn wait_coarse(&self, events: &mut [Event], timeout_ns: Option<u64>) -> io::Result<i32> {
        let (room, max) = room(events);
        let timeout_ms = timeout_ns.map_or(-1, milliseconds_up);
        // SAFETY: `room` is writable for `max` events, and `Event` is a transparent epoll_event.
        cvt(unsafe { real::epoll_wait(self.as_raw_fd(), room, max, timeout_ms) })
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// `ns` in milliseconds, rounded up. More than `i32` holds (24 days) is a shorter wait, which then
/// ends with no event, as any wait may.
fn milliseconds_up(ns: u64) -> i32 {
    i32::try_from(ns.div_ceil(NANOSECONDS_PER_MILLISECOND)).unwrap_or(i32::MAX)
}

/// The slice as the kernel takes it; longer than `i32` holds is used in part.
fn room(events: &mut [Event]) -> (*mut libc::epoll_event, i32) {
    let max = i32::try_from(events.len()).unwrap_or(i32::MAX);
    (events.as_mut_ptr().cast(), max)
}

#[cfg(test)]
mod tests {
    use super::super::eventfd::EventFd;
    use super::*;
    use std::io::Write;
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    fn os_error<T>(result: io::Result<T>) -> Option<i32> {
        result.err().and_then(|error| error.raw_os_error())
    }

    /// Both ways to wait, so that each test covers both.
    fn instances() -> [Epoll; 2] {
        let [precise, coarse] = [0, 1].map(|_| Epoll::new().expect("an epoll instance"));
        coarse.precise.store(false, Ordering::Relaxed);
        [precise, coarse]
    }

    #[test]
    fn ready_descriptor_comes_back_with_its_token() {
        // Goal: registration, token and readiness agree. Method: a socket pair, one end written to.
        for epoll in instances() {
            let (near, mut far) = UnixStream::pair().expect("a socket pair");
            let both = Interest::READABLE | Interest::WRITABLE | Interest::READ_CLOSED;
            epoll.add(near.as_raw_fd(), both | Interest::EDGE, u64::MAX - 1).expect("add");
            let mut events = [Event::EMPTY; 4];
            assert_eq!(epoll.wait(&mut events, None).expect("wait"), 1);
            assert_eq!(events[0].token(), u64::MAX - 1);
            assert!(events[0].readiness().is_writable() && !events[0].readiness().is_readable());
            // An edge is reported once, and again on the next change.
            assert_eq!(epoll.wait(&mut events, Some(0)).expect("wait"), 0);
            far.write_all(b"x").expect("write");
            assert_eq!(epoll.wait(&mut events, None).expect("wait"), 1);
            assert!(events[0].readiness().is_readable());
            far.shutdown(Shutdown::Both).expect("shutdown");
            assert_eq!(epoll.wait(&mut events, None).expect("wait"), 1);
            assert!(events[0].readiness().is_read_closed() && events[0].readiness().is_hung_up());
        }
    }

    #[test]
    fn time_out_is_never_early() {
        // Goal: nanoseconds are honoured, or rounded up. Method: odd time-outs against the clock.
        for epoll in instances() {
            for timeout_ns in [0, 1, 150_001, 1_000_001, 2_999_999] {
                let start = clock::monotonic_ns();
                let waited = epoll.wait(&mut [Event::EMPTY], Some(timeout_ns));
                let passed = clock::monotonic_ns() - start;
                assert_eq!(waited.expect("wait"), 0);
                assert!(passed >= timeout_ns, "{timeout_ns} ns asked, {passed} ns passed");
            }
        }
    }

    #[test]
    fn milliseconds_round_up_and_saturate() {
        // Goal: the fall-back never waits too little by rounding. Method: the edges.
        assert_eq!(milliseconds_up(0), 0);
        assert_eq!(milliseconds_up(1), 1);
        assert_eq!(milliseconds_up(1_000_000), 1);
        assert_eq!(milliseconds_up(1_000_001), 2);
        assert_eq!(milliseconds_up(u64::MAX), i32::MAX);
    }

    #[test]
    fn modified_and_deleted_registrations_take_effect() {
        // Goal: modify replaces the token and re-arms, delete silences. Method: a rung eventfd.
        for epoll in instances() {
            let bell = EventFd::new().expect("an eventfd");
            bell.ring().expect("ring");
            let once = Interest::READABLE | Interest::ONE_SHOT;
            epoll.add(bell.as_raw_fd(), once, 1).expect("add");
            let mut events = [Event::EMPTY; 2];
            assert_eq!(epoll.wait(&mut events, None).expect("wait"), 1);
            assert_eq!(epoll.wait(&mut events, Some(0)).expect("wait"), 0);
            epoll.modify(bell.as_raw_fd(), once, 2).expect("modify");
            assert_eq!(epoll.wait(&mut events, None).expect("wait"), 1);
            assert_eq!(events[0].token(), 2);
            epoll.modify(bell.as_raw_fd(), Interest::READABLE, 3).expect("modify");
            epoll.delete(bell.as_raw_fd()).expect("delete");
            assert_eq!(epoll.wait(&mut events, Some(0)).expect("wait"), 0);
        }
    }

    #[test]
    fn wrong_descriptors_are_errors() {
        // Goal: each misuse has its errno. Method: a bad number, a double add, a regular file.
        let epoll = Epoll::new().expect("an epoll instance");
        let bell = EventFd::new().expect("an eventfd");
        let file = std::fs::File::open("/proc/self/exe").expect("the test's own file");
        assert_eq!(os_error(epoll.add(-1, Interest::READABLE, 0)), Some(libc::EBADF));
        assert_eq!(os_error(epoll.delete(bell.as_raw_fd())), Some(libc::ENOENT));
        assert_eq!(os_error(epoll.modify(bell.as_raw_fd(), Interest::EDGE, 0)), Some(libc::ENOENT));
        epoll.add(bell.as_raw_fd(), Interest::READABLE, 0).expect("add");
        assert_eq!(os_error(epoll.add(bell.as_raw_fd(), Interest::EDGE, 0)), Some(libc::EEXIST));
        assert_eq!(os_error(epoll.add(file.as_raw_fd(), Interest::EDGE, 0)), Some(libc::EPERM));
    }

    #[test]
    fn instance_is_close_on_exec() {
        // Goal: children inherit nothing. Method: ask for the descriptor's flags.
        let epoll = Epoll::new().expect("an epoll instance");
        // SAFETY: F_GETFD takes no memory of ours.
        let flags = cvt(unsafe { libc::fcntl(epoll.as_raw_fd(), libc::F_GETFD) }).expect("flags");
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    }
}
