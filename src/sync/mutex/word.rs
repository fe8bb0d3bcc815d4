//! The word of a mutex: who may take it and who must announce that it waits.
//!
//! ```text
//!              lock                          announce
//!    FREE <------------> LOCKED --------------------------> LOCKED|WAITERS
//!      ^      unlock        ^                                   |     ^
//!      |                    | lock_past                         |     | lock_past, announce
//!      |                    |                          release  |     |
//!      +--------------------+----- (no waiter is left) <--------+-> WAITERS
//! ```
//!
//! `WAITERS` is set whenever the queue of waiters is not empty; it may be left over when that has
//! become empty. It is changed only by who holds the queue's own lock. While it is set, the fast
//! ways in and out fail: so whoever opens the lock sees every waiter that has announced itself, as
//! announcing and opening are changes to one word, in one order.

use crate::primitive::{AtomicU32, Ordering};

const FREE: u32 = 0;
const LOCKED: u32 = 1;
const WAITERS: u32 = 2;

pub(super) struct Word {
    word: AtomicU32,
}

impl Word {
    constructor! {
        pub(super) const fn new() -> Word {
            Word { word: AtomicU32::new(FREE) }
        }
    }

    /// Takes a free lock for which nobody waits.
    #[inline]
    pub(super) fn lock(&self) -> bool {
        self.word.compare_exchange(FREE, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes a free lock, whoever waits for it.
    pub(super) fn lock_past(&self) -> bool {
        let mut seen = self.word.load(Ordering::Relaxed);
        while seen & LOCKED == 0 {
            let (taken, acquire) = (seen | LOCKED, Ordering::Acquire);
            match self.word.compare_exchange(seen, taken, acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Opens the lock if nobody waits for it. The caller holds it.
    #[inline]
    pub(super) fn unlock(&self) -> bool {
        self.word.compare_exchange(LOCKED, FREE, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Notes that somebody will wait. False if the lock was free: then it is taken instead.
    ///
    /// The caller holds the lock of the queue, and enters the queue before it opens that.
    pub(super) fn announce(&self) -> bool {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            if seen == LOCKED | WAITERS {
                return true;
            }
            let free = seen & LOCKED == 0;
            let next = if free { seen | LOCKED } else { seen | WAITERS };
            match self.word.compare_exchange(seen, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return !free,
                Err(now) => seen = now,
            }
        }
    }

    /// Opens the lock. The caller holds it, and the lock of the queue; `waiters` says whether there
    /// is anybody left in the queue.
    pub(super) fn release(&self, waiters: bool) {
        // With both locks held and WAITERS set, nobody else changes the word. Without it, the only
        // changes possible are those of holders, and the caller is the holder.
        debug_assert!(self.word.load(Ordering::Relaxed) & LOCKED != 0);
        self.word.store(if waiters { WAITERS } else { FREE }, Ordering::Release);
    }
}
