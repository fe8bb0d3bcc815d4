//! The right to the value of a lock that is held for writing.

use super::RwLock;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::thread;

/// Exclusive access to the value of an [`RwLock`]; dropping it unlocks. It stays on its thread.
///
/// ```
/// let lock = cove::sync::RwLock::new(1);
/// let mut guard = lock.write().unwrap();
/// *guard += 1;
/// assert!(lock.try_read().is_err());
/// drop(guard);
/// assert_eq!(*lock.read().unwrap(), 2);
/// ```
#[must_use = "if unused, the lock is unlocked at once"]
#[clippy::has_significant_drop]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    /// Whether the thread was unwinding already when the lock was taken.
    unwinding: bool,
    on_this_thread: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the value, and that only.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// The guard of a lock that was just taken.
    ///
    /// # Safety
    /// The caller holds the lock for writing, and has no other guard of it.
    #[inline]
    pub(super) unsafe fn new(lock: &'a RwLock<T>) -> RwLockWriteGuard<'a, T> {
        RwLockWriteGuard { lock, unwinding: thread::panicking(), on_this_thread: PhantomData }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock for writing, and is borrowed exclusively.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.poison.leave(self.unwinding);
        // SAFETY: the guard holds the lock for writing and ends here.
        unsafe { self.lock.raw.unlock_write() };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
