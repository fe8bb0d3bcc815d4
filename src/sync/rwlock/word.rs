//! The word of a reader-writer lock.
//!
//! ```text
//!   bit 31: WRITER     bit 30: WAITERS     bits 29 .. 0: how many readers hold the lock
//! ```
//!
//! `WAITERS` is set whenever the queue of waiters is not empty; it may be left over when that has
//! become empty. It is changed under the queue's lock only. While it is set, the fast way in fails
//! for readers too: so a stream of readers does not keep a waiting writer out. Whoever opens the
//! lock sees every waiter that has announced itself, as announcing and opening are changes to one
//! word, in one order.

use crate::primitive::{AtomicU32, Ordering};

const FREE: u32 = 0;
const WRITER: u32 = 1 << 31;
const WAITERS: u32 = 1 << 30;
const READERS: u32 = WAITERS - 1;

/// How the lock is held, or wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Read,
    Write,
}

pub(super) struct Word {
    word: AtomicU32,
}

impl Word {
    constructor! {
        pub(super) const fn new() -> Word {
            Word { word: AtomicU32::new(FREE) }
        }
    }

    /// Takes the lock for reading if nobody writes or waits.
    #[inline]
    pub(super) fn read(&self) -> bool {
        let mut seen = self.word.load(Ordering::Relaxed);
        while seen & (WRITER | WAITERS) == 0 {
            match self.exchange(seen, with_reader(seen)) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Takes the free lock for writing if nobody waits.
    #[inline]
    pub(super) fn write(&self) -> bool {
        self.exchange(FREE, WRITER).is_ok()
    }

    /// Takes the lock if its holders allow it, whoever waits.
    pub(super) fn lock_past(&self, mode: Mode) -> bool {
        let mut seen = self.word.load(Ordering::Relaxed);
        while let Some(next) = entered(seen, mode) {
            match self.exchange(seen, next) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Under the queue's lock: notes that somebody will wait. False if the lock could be taken
    /// after all: then it is. A reader does not take it if `others` wait.
    pub(super) fn announce(&self, mode: Mode, others: bool) -> bool {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let entered = entered(seen, mode).filter(|_| mode == Mode::Write || !others);
            match self.exchange(seen, entered.unwrap_or(seen | WAITERS)) {
                Ok(_) => return entered.is_none(),
                Err(now) => seen = now,
            }
        }
    }

    /// Opens a reader's lock. True if it was the last one and somebody may wait.
    #[inline]
    pub(super) fn unlock_read(&self) -> bool {
        let before = self.word.fetch_sub(1, Ordering::Release);
        debug_assert!(before & READERS > 0 && before & WRITER == 0);
        before == WAITERS + 1
    }

    /// Opens the writer's lock. True if somebody may wait.
    #[inline]
    pub(super) fn unlock_write(&self) -> bool {
        let before = self.word.fetch_sub(WRITER, Ordering::Release);
        debug_assert!(before & WRITER != 0 && before & READERS == 0);
        before != WRITER
    }

    /// Whether the lock could be taken at this moment.
    pub(super) fn admits(&self, mode: Mode) -> bool {
        entered(self.word.load(Ordering::Relaxed), mode).is_some()
    }

    /// Under the queue's lock: notes that the queue is empty.
    pub(super) fn clear_waiters(&self) {
        self.word.fetch_and(!WAITERS, Ordering::Relaxed);
    }

    #[inline]
    fn exchange(&self, seen: u32, next: u32) -> Result<u32, u32> {
        // Release too: one who takes the lock for a waiter hands on what earlier holders wrote.
        self.word.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed)
    }
}

/// The word after one more has entered, if the holders allow it.
#[inline]
fn entered(seen: u32, mode: Mode) -> Option<u32> {
    match mode {
        Mode::Read if seen & WRITER == 0 => Some(with_reader(seen)),
        Mode::Write if seen & (WRITER | READERS) == 0 => Some(seen | WRITER),
        _ => None,
    }
}

#[inline]
fn with_reader(seen: u32) -> u32 {
    assert!(seen & READERS < READERS, "too many readers of a lock");
    seen + 1
}
