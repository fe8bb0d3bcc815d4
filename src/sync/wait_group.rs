//! Waiting until everybody is done: [`WaitGroup`].

#[cfg(all(test, not(loom)))]
mod tests;

use crate::primitive::{AtomicUsize, Ordering, SpinLock};
use crate::scheduler::wait::{NEVER, WaitKind, WaitQueue, wait};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// Lets one wait until all clones of it are gone, each of which stands for work to be done.
///
/// ```
/// let done = cove::run(|| {
///     let group = cove::sync::WaitGroup::new();
///     let done = std::rc::Rc::new(std::cell::Cell::new(0));
///     for _ in 0..10 {
///         let (group, done) = (group.clone(), done.clone());
///         cove::spawn(move || {
///             done.set(done.get() + 1);
///             drop(group); // or let it go out of scope: also when the coroutine panics
///         });
///     }
///     group.wait();
///     done.get()
/// });
/// assert_eq!(done, 10);
/// ```
pub struct WaitGroup {
    inner: Arc<Inner>,
}

struct Inner {
    /// How many clones there are that do not wait.
    pending: AtomicUsize,
    waiters: SpinLock<WaitQueue>,
}

impl UnwindSafe for WaitGroup {}
impl RefUnwindSafe for WaitGroup {}

impl WaitGroup {
    /// A group of one.
    ///
    /// ```
    /// cove::sync::WaitGroup::new().wait(); // There is nobody else: at once.
    /// ```
    pub fn new() -> WaitGroup {
        let (pending, waiters) = (AtomicUsize::new(1), SpinLock::new(WaitQueue::new()));
        WaitGroup { inner: Arc::new(Inner { pending, waiters }) }
    }

    /// Drops this member and waits until all others are gone or wait too.
    ///
    /// ```
    /// let group = cove::sync::WaitGroup::new();
    /// let member = group.clone();
    /// std::thread::spawn(move || drop(member));
    /// group.wait();
    /// ```
    pub fn wait(self) {
        let inner = self.inner.clone();
        drop(self);
        // Nobody joins a group that has become empty, so this ends for good.
        while inner.pending.load(Ordering::Acquire) > 0 {
            let queue = inner.waiters.lock();
            if inner.pending.load(Ordering::Acquire) > 0 {
                wait(&inner.waiters, queue, |q| q, WaitKind::WaitGroup, 0, NEVER);
            }
        }
    }
}

impl Clone for WaitGroup {
    fn clone(&self) -> WaitGroup {
        // Relaxed: whoever drops the clone does so after this.
        self.inner.pending.fetch_add(1, Ordering::Relaxed);
        WaitGroup { inner: self.inner.clone() }
    }
}

impl Drop for WaitGroup {
    fn drop(&mut self) {
        if self.inner.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            // A waiter has looked at the count under this lock, and is in the queue or has seen 0.
            let wakeups = self.inner.waiters.lock().wake_all();
            wakeups.send();
        }
    }
}

impl Default for WaitGroup {
    fn default() -> WaitGroup {
        WaitGroup::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending = self.inner.pending.load(Ordering::Relaxed);
        f.debug_struct("WaitGroup").field("pending", &pending).finish()
    }
}
