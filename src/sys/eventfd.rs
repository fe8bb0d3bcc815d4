//! eventfd: the bell that wakes a thread out of its reactor.

use super::{cvt, cvt_count, process, real};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A counter behind a descriptor, non-blocking and close-on-exec: readable while somebody has rung.
#[derive(Debug)]
pub(crate) struct EventFd {
    fd: OwnedFd,
}

impl EventFd {
    /// A bell that has not been rung.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM: no descriptor or memory left.
    pub(crate) fn new() -> io::Result<EventFd> {
        // SAFETY: eventfd takes no memory of ours.
        let fd = cvt(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
        // SAFETY: the descriptor was made by the line above and has no other owner.
        Ok(EventFd { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Puts a new bell, which has not been rung, in this one's place, under the same number: in a
    /// forked child, which shares this one with its parent. Async-signal-safe.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn replace(&self) -> io::Result<()> {
        // SAFETY: eventfd takes no memory of ours.
        let make = || unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        process::replace(self.as_raw_fd(), make)
    }

    /// Makes the descriptor readable. Any thread may ring, as often as it likes.
    ///
    /// # Errors
    /// None in practice. EAGAIN (2^64 - 2 rings not drained) is success: it is rung already.
    pub(crate) fn ring(&self) -> io::Result<()> {
        let once = 1_u64.to_ne_bytes();
        // SAFETY: `once` is readable for its eight bytes.
        let written = unsafe { real::write(self.as_raw_fd(), once.as_ptr().cast(), once.len()) };
        match cvt_count(written) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
            Ok(bytes) => {
                assert_eq!(bytes, once.len(), "eventfd(2) writes eight bytes or none");
                Ok(())
            }
        }
    }

    /// Makes the descriptor unreadable again, and returns how often it was rung since the last
    /// time.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn drain(&self) -> io::Result<u64> {
        let mut rings = [0_u8; 8];
        // SAFETY: `rings` is writable for its eight bytes.
        let read = unsafe { real::read(self.as_raw_fd(), rings.as_mut_ptr().cast(), rings.len()) };
        match cvt_count(read) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
            Ok(bytes) => {
                assert_eq!(bytes, rings.len(), "eventfd(2) reads eight bytes or none");
                Ok(u64::from_ne_bytes(rings))
            }
        }
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_add_up_until_drained() {
        // Goal: the count of rings, and silence after. Method: ring from two threads, drain twice.
        let bell = EventFd::new().expect("an eventfd");
        assert_eq!(bell.drain().expect("drain"), 0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| bell.ring().expect("ring"));
            }
        });
        assert_eq!(bell.drain().expect("drain"), 2);
        assert_eq!(bell.drain().expect("drain"), 0);
    }

    #[test]
    fn ringing_a_full_counter_succeeds() {
        // Goal: EAGAIN is not an error of ring. Method: fill the counter to its documented maximum.
        let bell = EventFd::new().expect("an eventfd");
        let most = u64::MAX - 1;
        // SAFETY: `most` is readable for its eight bytes.
        let written = unsafe { real::write(bell.as_raw_fd(), (&raw const most).cast(), 8) };
        assert_eq!(written, 8);
        bell.ring().expect("a full counter is rung");
        assert_eq!(bell.drain().expect("drain"), most);
    }
}
