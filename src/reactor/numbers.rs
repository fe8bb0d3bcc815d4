//! Which source has which descriptor's number.
//!
//! The system gives a number to somebody else as soon as it is closed, also if that happens behind
//! our back. The source that had the number before is then of no use, and must neither see events
//! nor end the registration of the new one; so the reactor asks here who had it.

use std::io;
use std::os::fd::RawFd;

/// No source.
const NONE: u32 = u32::MAX;

/// The sources' indices by descriptor.
pub(super) struct Numbers {
    holders: Vec<u32>,
}

impl Numbers {
    pub(super) const fn new() -> Numbers {
        Numbers { holders: Vec::new() }
    }

    /// Makes room for `fd`.
    pub(super) fn reserve(&mut self, fd: RawFd) -> io::Result<()> {
        let length = usize::try_from(fd).map_err(|_| io::ErrorKind::InvalidInput)? + 1;
        if length > self.holders.len() {
            let more = length - self.holders.len();
            self.holders.try_reserve(more).map_err(|_| io::ErrorKind::OutOfMemory)?;
            self.holders.resize(length, NONE);
        }
        Ok(())
    }

    /// Notes that `fd`, for which there is room, is the source `index`'s, and tells whose it was.
    pub(super) fn give(&mut self, fd: RawFd, index: u32) -> Option<u32> {
        let before = std::mem::replace(&mut self.holders[fd as usize], index);
        (before != NONE).then_some(before)
    }

    /// Notes that `fd` is not the source `index`'s any more.
    pub(super) fn take(&mut self, fd: RawFd, index: u32) {
        let holder = &mut self.holders[fd as usize];
        if *holder == index {
            *holder = NONE;
        }
    }

    /// Forgets all sources.
    pub(super) fn clear(&mut self) {
        self.holders.fill(NONE);
    }
}
