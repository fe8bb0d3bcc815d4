//! What [`Once`](super::Once) and the cells share: one runs, the others wait.
//!
//! ```text
//!   INCOMPLETE ---> RUNNING ---> COMPLETE          (for good)
//!       ^             |  ^
//!       +-------------+  +------ POISONED
//!        failed, or unwound  ----^
//! ```
//!
//! `RUNNING` is entered and left under the queue's lock only, and who leaves it wakes all: a woken
//! one looks again, and runs itself if the other failed. So nothing is lost with a waiter that is
//! cancelled.

use crate::primitive::{AtomicU32, Ordering, SpinLock};
use crate::scheduler::wait::{NEVER, WaitKind, WaitQueue, wait};

pub(in crate::sync) const INCOMPLETE: u32 = 0;
pub(in crate::sync) const RUNNING: u32 = 1;
pub(in crate::sync) const COMPLETE: u32 = 2;
pub(in crate::sync) const POISONED: u32 = 3;

pub(in crate::sync) struct RawOnce {
    state: AtomicU32,
    waiters: SpinLock<WaitQueue>,
}

impl RawOnce {
    constructor! {
        pub(in crate::sync) const fn new() -> RawOnce {
            let (state, waiters) = (AtomicU32::new(INCOMPLETE), SpinLock::new(WaitQueue::new()));
            RawOnce { state, waiters }
        }
    }

    constructor! {
        /// One that has run already.
        pub(in crate::sync) const fn completed() -> RawOnce {
            let (state, waiters) = (AtomicU32::new(COMPLETE), SpinLock::new(WaitQueue::new()));
            RawOnce { state, waiters }
        }
    }

    /// The state. After `COMPLETE`, what the one that ran has written is visible.
    #[inline]
    pub(in crate::sync) fn state(&self) -> u32 {
        self.state.load(Ordering::Acquire)
    }

    /// Begins anew; nobody can be waiting.
    pub(in crate::sync) fn reset(&mut self) {
        self.state.store(INCOMPLETE, Ordering::Relaxed);
    }

    /// Unless it is complete, waits for who runs, or runs `function` with the state before it. If
    /// that says false, nothing has run; if it unwinds, `unwound` is the state from then on.
    ///
    /// None if it was complete or has become so.
    pub(in crate::sync) fn run<T>(
        &self,
        unwound: u32,
        function: impl FnOnce(u32) -> (bool, T),
    ) -> Option<T> {
        if self.state() == COMPLETE {
            return None;
        }
        let before = self.enter()?;
        let mut leave = Leave { once: self, state: unwound };
        let (done, value) = function(before);
        leave.state = if done { COMPLETE } else { before };
        Some(value)
    }

    /// Becomes the one that runs; tells the state before. None if it is complete.
    #[cold]
    fn enter(&self) -> Option<u32> {
        loop {
            let queue = self.waiters.lock();
            match self.state() {
                COMPLETE => return None,
                RUNNING => {
                    wait(&self.waiters, queue, |q| q, WaitKind::Once, 0, NEVER);
                }
                before => {
                    self.state.store(RUNNING, Ordering::Relaxed);
                    return Some(before);
                }
            }
        }
    }
}

/// Ends the running, by whatever way, and wakes who waits for that.
struct Leave<'a> {
    once: &'a RawOnce,
    state: u32,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut queue = self.once.waiters.lock();
        self.once.state.store(self.state, Ordering::Release);
        let wakeups = queue.wake_all();
        drop(queue);
        wakeups.send();
    }
}
