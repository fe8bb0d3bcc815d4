//! Poisoning, as std does it: a lock remembers that somebody unwound while holding it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LockResult, PoisonError};
use std::thread;

/// A lock's memory of an unwinding. Written by the holder only, before it opens the lock; the lock
/// itself orders that before what the next holder reads.
pub(super) struct Poison {
    poisoned: AtomicBool,
}

impl Poison {
    pub(super) const fn new() -> Poison {
        Poison { poisoned: AtomicBool::new(false) }
    }

    #[inline]
    pub(super) fn get(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    pub(super) fn clear(&self) {
        self.poisoned.store(false, Ordering::Relaxed);
    }

    /// Poisons if an unwinding has begun since the lock was taken, when `unwinding` told whether
    /// there was one already.
    #[inline]
    pub(super) fn leave(&self, unwinding: bool) {
        if !unwinding && thread::panicking() {
            self.poisoned.store(true, Ordering::Relaxed);
        }
    }

    /// Wraps what the lock gives access to.
    #[inline]
    pub(super) fn wrap<G>(&self, access: G) -> LockResult<G> {
        if self.get() { Err(PoisonError::new(access)) } else { Ok(access) }
    }
}
