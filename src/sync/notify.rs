//! Notifications without a value: [`Notify`].

#[cfg(all(test, not(loom)))]
mod tests;

use crate::primitive::{AtomicU32, Ordering, SpinLock};
use crate::scheduler::wait::{NEVER, WaitKind, WaitQueue, Waited, wait};
use crate::sys;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

/// Wakes one waiter for each notification, or keeps one notification for the next to come.
///
/// Notifications that nobody waited for do not add up: any number of them lets one waiter through.
///
/// ```
/// use cove::sync::{Arc, Notify};
///
/// cove::run(|| {
///     let full = Arc::new(Notify::new());
///     let waiter = full.clone();
///     let drain = cove::spawn(move || waiter.wait());
///     full.notify_one(); // before or after the wait begins: it ends
///     drain.join().unwrap();
/// });
/// ```
pub struct Notify {
    state: AtomicU32,
    waiters: SpinLock<WaitQueue>,
}

/// No notification is kept, nobody waits.
const EMPTY: u32 = 0;
/// A notification is kept, nobody waits.
const KEPT: u32 = 1;
/// Somebody may wait. This state is entered and left under the queue's lock only.
const WAITED_FOR: u32 = 2;

impl UnwindSafe for Notify {}
impl RefUnwindSafe for Notify {}

impl Notify {
    constructor! {
        /// A `Notify` that keeps no notification yet.
        ///
        /// ```
        /// let notify = cove::sync::Notify::new();
        /// assert!(!notify.wait_timeout(std::time::Duration::ZERO));
        /// ```
        pub const fn new() -> Notify {
            Notify { state: AtomicU32::new(EMPTY), waiters: SpinLock::new(WaitQueue::new()) }
        }
    }

    /// Waits for a notification; returns at once if one was kept.
    ///
    /// ```
    /// let notify = cove::sync::Notify::new();
    /// notify.notify_one();
    /// notify.wait();
    /// ```
    #[inline]
    pub fn wait(&self) {
        self.wait_until(NEVER);
    }

    /// As [`wait`](Self::wait), for at most `timeout`. False if no notification came.
    ///
    /// ```
    /// let notify = cove::sync::Notify::new();
    /// assert!(!notify.wait_timeout(std::time::Duration::from_millis(1)));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(sys::clock::deadline_ns(timeout))
    }

    #[inline]
    fn wait_until(&self, deadline_ns: u64) -> bool {
        self.exchange(KEPT, EMPTY) || self.wait_contended(deadline_ns)
    }

    #[cold]
    fn wait_contended(&self, deadline_ns: u64) -> bool {
        let queue = self.waiters.lock();
        if self.state.load(Ordering::Relaxed) != WAITED_FOR {
            while !self.exchange(EMPTY, WAITED_FOR) {
                if self.exchange(KEPT, EMPTY) {
                    return true;
                }
            }
        }
        let kind = WaitKind::Notify;
        wait(&self.waiters, queue, |q| q, kind, 0, deadline_ns) == Waited::Notified
    }

    /// Wakes the one who has waited longest; if nobody waits, lets the next one through.
    ///
    /// ```
    /// let notify = cove::sync::Notify::new();
    /// notify.notify_one();
    /// notify.notify_one(); // The two do not add up:
    /// notify.wait();
    /// assert!(!notify.wait_timeout(std::time::Duration::ZERO));
    /// ```
    #[inline]
    pub fn notify_one(&self) {
        // An exchange even if a notification is kept: what was written before this notification
        // must be seen by whoever takes it.
        if !self.exchange(EMPTY, KEPT) && !self.exchange(KEPT, KEPT) {
            self.notify_contended();
        }
    }

    #[cold]
    fn notify_contended(&self) {
        let mut queue = self.waiters.lock();
        let Some(wakeup) = queue.notify_one_with(0) else {
            // Also instead of a WAITED_FOR that was left over by one who did not wait to the end.
            self.state.swap(KEPT, Ordering::AcqRel);
            return;
        };
        if queue.is_empty() {
            self.state.store(EMPTY, Ordering::Relaxed);
        }
        drop(queue);
        wakeup.send();
    }

    /// Wakes all who wait now. Keeps nothing for those to come.
    ///
    /// ```
    /// let notify = cove::sync::Notify::new();
    /// notify.notify_all();
    /// assert!(!notify.wait_timeout(std::time::Duration::ZERO));
    /// ```
    pub fn notify_all(&self) {
        let mut queue = self.waiters.lock();
        let wakeups = queue.wake_all();
        if self.state.load(Ordering::Relaxed) == WAITED_FOR {
            self.state.store(EMPTY, Ordering::Relaxed);
        }
        drop(queue);
        wakeups.send();
    }

    #[inline]
    fn exchange(&self, from: u32, to: u32) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

impl Default for Notify {
    fn default() -> Notify {
        Notify::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.state.load(Ordering::Relaxed) == KEPT;
        f.debug_struct("Notify").field("kept", &kept).finish()
    }
}
