//! The right to the value of a locked mutex.

use super::{Mutex, RawMutex};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::LockResult;
use std::thread;

/// The value of a locked [`Mutex`]; dropping it unlocks.
///
/// ```
/// let mutex = cove::sync::Mutex::new(1);
/// let mut guard = mutex.lock().unwrap();
/// *guard += 1;
/// assert!(mutex.try_lock().is_err());
/// drop(guard);
/// assert_eq!(*mutex.lock().unwrap(), 2);
/// ```
///
/// It stays on its thread, as std's does:
///
/// ```compile_fail
/// let mutex = cove::sync::Mutex::new(0);
/// let guard = mutex.lock().unwrap();
/// std::thread::scope(|scope| {
///     scope.spawn(move || drop(guard));
/// });
/// ```
#[must_use = "if unused, the mutex is unlocked at once"]
#[clippy::has_significant_drop]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// Whether the thread was unwinding already when the lock was taken.
    unwinding: bool,
    on_this_thread: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the value, and that only.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The guard of a lock that was just taken.
    ///
    /// # Safety
    /// The caller holds the lock, and has no other guard of it.
    #[inline]
    pub(super) unsafe fn new(mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        MutexGuard { mutex, unwinding: thread::panicking(), on_this_thread: PhantomData }
    }

    /// The lock that the guard holds. Not a method, or it would hide one of the value's.
    pub(in crate::sync) fn raw(guard: &Self) -> &'a RawMutex {
        &guard.mutex.raw
    }

    /// The guard, or the error with the guard if the mutex is poisoned.
    pub(in crate::sync) fn check(guard: Self) -> LockResult<Self> {
        guard.mutex.poison.wrap(guard)
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock, and is borrowed exclusively.
        unsafe { &mut *self.mutex.data.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.poison.leave(self.unwinding);
        // SAFETY: the guard holds the lock and ends here.
        unsafe { self.mutex.raw.unlock() };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
