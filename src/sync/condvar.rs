//! Waiting for a change of what a mutex guards: [`Condvar`].

mod timeout;

#[cfg(all(test, not(loom)))]
mod tests;

use super::mutex::MutexGuard;
use crate::primitive::SpinLock;
use crate::scheduler::Scheduler;
use crate::scheduler::wait::{NEVER, WaitKind, WaitQueue, Waited, wait_for_answer};
use crate::sys;
use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LockResult, PoisonError};
use std::time::Duration;
pub use timeout::WaitTimeoutResult;

/// [`std::sync::Condvar`], for coroutines.
///
/// A waiter is in the queue before its mutex opens; so who changes the guarded value under the
/// mutex and notifies afterwards, with the mutex open or not, reaches everybody who saw the old
/// value. A notification whose waiter is cancelled before it has the mutex back goes to another.
///
/// A cancelled wait unwinds without the mutex, which is therefore not poisoned by it.
///
/// ```
/// use cove::sync::{Arc, Condvar, Mutex};
///
/// let received = cove::run(|| {
///     let shared = Arc::new((Mutex::new(None), Condvar::new()));
///     let sender = shared.clone();
///     std::thread::spawn(move || {
///         *sender.0.lock().unwrap() = Some("from a plain thread");
///         sender.1.notify_one();
///     });
///     let (value, changed) = &*shared;
///     let mut value = changed.wait_while(value.lock().unwrap(), |value| value.is_none()).unwrap();
///     value.take()
/// });
/// assert_eq!(received, Some("from a plain thread"));
/// ```
pub struct Condvar {
    /// False only if nobody waits. Set before the waiter's mutex opens: a notifier that changed the
    /// value after that has had the mutex since, and so sees it.
    occupied: AtomicBool,
    waiters: SpinLock<WaitQueue>,
}

impl UnwindSafe for Condvar {}
impl RefUnwindSafe for Condvar {}

impl Condvar {
    constructor! {
        /// A condition variable for which nobody waits.
        ///
        /// ```
        /// static CHANGED: cove::sync::Condvar = cove::sync::Condvar::new();
        /// CHANGED.notify_all();
        /// ```
        pub const fn new() -> Condvar {
            Condvar { occupied: AtomicBool::new(false), waiters: SpinLock::new(WaitQueue::new()) }
        }
    }

    /// Unlocks the mutex, waits for a notification, and locks the mutex again.
    ///
    /// # Errors
    /// If the mutex is poisoned when it is locked again; the error holds the guard.
    ///
    /// ```
    /// # use cove::sync::{Condvar, Mutex};
    /// cove::run(|| {
    ///     let (ready, changed) = (Mutex::new(false), Condvar::new());
    ///     cove::scope(|scope| {
    ///         scope.spawn(|| {
    ///             *ready.lock().unwrap() = true;
    ///             changed.notify_one();
    ///         });
    ///         let mut guard = ready.lock().unwrap();
    ///         while !*guard {
    ///             guard = changed.wait(guard).unwrap();
    ///         }
    ///     });
    /// });
    /// ```
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_until(guard, NEVER).0
    }

    /// Waits as long as `condition` holds for the guarded value.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// ```
    /// # use cove::sync::{Condvar, Mutex};
    /// let (pending, changed) = (Mutex::new(0), Condvar::new());
    /// let guard = changed.wait_while(pending.lock().unwrap(), |pending| *pending > 0).unwrap();
    /// assert_eq!(*guard, 0);
    /// ```
    pub fn wait_while<'a, T: ?Sized, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut *guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait`](Self::wait), for at most `timeout` (the time to lock the mutex again comes on
    /// top).
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// ```
    /// # use cove::sync::{Condvar, Mutex};
    /// # use std::time::Duration;
    /// let (value, changed) = (Mutex::new(()), Condvar::new());
    /// let timeout = Duration::from_millis(1);
    /// let (_guard, result) = changed.wait_timeout(value.lock().unwrap(), timeout).unwrap();
    /// assert!(result.timed_out());
    /// ```
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let (guard, waited) = self.wait_until(guard, sys::clock::deadline_ns(timeout));
        let result = WaitTimeoutResult::new(waited == Waited::TimedOut);
        match guard {
            Ok(guard) => Ok((guard, result)),
            Err(poisoned) => Err(PoisonError::new((poisoned.into_inner(), result))),
        }
    }

    /// Waits as long as `condition` holds for the guarded value, for at most `timeout`. The result
    /// says that the time is up only if the condition still held then.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// ```
    /// # use cove::sync::{Condvar, Mutex};
    /// # use std::time::Duration;
    /// let (pending, changed) = (Mutex::new(1), Condvar::new());
    /// let timeout = Duration::from_millis(1);
    /// let guard = pending.lock().unwrap();
    /// let (guard, result) = changed.wait_timeout_while(guard, timeout, |n| *n > 0).unwrap();
    /// assert!(result.timed_out() && *guard == 1);
    /// ```
    pub fn wait_timeout_while<'a, T: ?Sized, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        let deadline_ns = sys::clock::deadline_ns(timeout);
        let mut timed_out = false;
        loop {
            if !condition(&mut *guard) {
                return Ok((guard, WaitTimeoutResult::new(false)));
            }
            if timed_out {
                return Ok((guard, WaitTimeoutResult::new(true)));
            }
            let (outcome, waited) = self.wait_until(guard, deadline_ns);
            timed_out = waited == Waited::TimedOut;
            guard = match outcome {
                Ok(guard) => guard,
                Err(poisoned) => {
                    let result = WaitTimeoutResult::new(timed_out);
                    return Err(PoisonError::new((poisoned.into_inner(), result)));
                }
            };
        }
    }

    /// Wakes the coroutine or thread that has waited longest, if any waits.
    ///
    /// ```
    /// cove::sync::Condvar::new().notify_one(); // nobody waits: nothing happens
    /// ```
    #[inline]
    pub fn notify_one(&self) {
        if self.occupied.load(Ordering::Relaxed) {
            self.wake(1);
        }
    }

    /// Wakes all who wait.
    ///
    /// ```
    /// cove::sync::Condvar::new().notify_all();
    /// ```
    #[inline]
    pub fn notify_all(&self) {
        if self.occupied.load(Ordering::Relaxed) {
            self.wake(usize::MAX);
        }
    }

    #[cold]
    fn wake(&self, count_max: usize) {
        let mut queue = self.waiters.lock();
        let mut last = None;
        for _ in 0..count_max {
            let Some(wakeup) = queue.notify_one_with(thread_mark()) else { break };
            if let Some(earlier) = last.replace(wakeup) {
                earlier.send();
            }
        }
        if queue.is_empty() {
            self.occupied.store(false, Ordering::Relaxed);
        }
        drop(queue);
        if let Some(wakeup) = last {
            wakeup.send();
        }
    }

    fn wait_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline_ns: u64,
    ) -> (LockResult<MutexGuard<'a, T>>, Waited) {
        // Not dropped if a wait below unwinds: the mutex is not held then.
        let guard = ManuallyDrop::new(guard);
        let mutex = MutexGuard::raw(&guard);
        let queue = self.waiters.lock();
        self.occupied.store(true, Ordering::Relaxed);
        // Notifiers that find the mutex open wait at the queue's lock until this waiter is in it.
        // SAFETY: the guard holds the lock, and is not used until it holds it again.
        unsafe { mutex.unlock() };
        let kind = WaitKind::Condvar;
        let (waited, notifier) = wait_for_answer(&self.waiters, queue, |q| q, kind, 0, deadline_ns);
        let pass_on = PassOn { condvar: self, notified: waited == Waited::Notified };
        // Many notify before they open the mutex. One on another thread is about to do that.
        if waited == Waited::Notified && notifier != thread_mark() {
            mutex.lock_soon();
        } else {
            mutex.lock();
        }
        std::mem::forget(pass_on);
        (MutexGuard::check(ManuallyDrop::into_inner(guard)), waited)
    }
}

/// Tells the runtimes of threads apart, if not for certain; plain threads are all the same.
fn thread_mark() -> u32 {
    (Scheduler::current_pointer() as usize >> 6) as u32
}

/// Passes a notification on if its receiver unwinds before it has the mutex, and thus before it can
/// act on it.
struct PassOn<'a> {
    condvar: &'a Condvar,
    notified: bool,
}

impl Drop for PassOn<'_> {
    fn drop(&mut self) {
        if self.notified {
            self.condvar.notify_one();
        }
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
