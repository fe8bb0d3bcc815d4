//! Shared or exclusive access: [`RwLock`].

mod raw;
mod read_guard;
mod word;
mod write_guard;

#[cfg(test)]
mod tests;

use super::poison::Poison;
use raw::RawRwLock;
pub use read_guard::RwLockReadGuard;
use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};
pub use write_guard::RwLockWriteGuard;

/// [`std::sync::RwLock`], for coroutines: any number of readers at a time, or one writer.
///
/// Those who wait get the lock in the order of their coming, but that one who comes when it opens
/// may pass over each of them once. A reader that comes while a writer waits waits behind it, so a
/// coroutine must not lock for reading again while it reads: with a writer in between, it would
/// wait for itself.
///
/// Cost, when nobody else wants it: one atomic exchange to lock and one to unlock.
///
/// ```
/// use cove::sync::RwLock;
///
/// static NAMES: RwLock<Vec<String>> = RwLock::new(Vec::new());
/// cove::run(|| {
///     let writer = cove::spawn(|| NAMES.write().unwrap().push("first".into()));
///     writer.join().unwrap();
///     let (one, two) = (NAMES.read().unwrap(), NAMES.read().unwrap());
///     assert_eq!(one[0], two[0]);
/// });
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    poison: Poison,
    data: UnsafeCell<T>,
}

// SAFETY: whoever holds the lock for writing has the data alone, as if it were sent to its thread.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: writers get the data alone, which amounts to sending it; and readers share the data, for
// which it must be `Sync`.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

impl<T> RwLock<T> {
    constructor! {
        /// A lock around `value`, unlocked.
        ///
        /// ```
        /// static LIMIT: cove::sync::RwLock<u32> = cove::sync::RwLock::new(10);
        /// assert_eq!(*LIMIT.read().unwrap(), 10);
        /// ```
        #[inline]
        pub const fn new(value: T) -> RwLock<T> {
            RwLock { raw: RawRwLock::new(), poison: Poison::new(), data: UnsafeCell::new(value) }
        }
    }

    /// The value.
    ///
    /// # Errors
    /// If the lock is poisoned; the error holds the value.
    ///
    /// ```
    /// assert_eq!(cove::sync::RwLock::new(1).into_inner().unwrap(), 1);
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.poison.get();
        let value = self.data.into_inner();
        if poisoned { Err(PoisonError::new(value)) } else { Ok(value) }
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock for reading; waits until nobody writes, and no writer came before.
    ///
    /// # Errors
    /// If the lock is poisoned; the error holds the guard.
    ///
    /// # Panics
    /// If there are more than a billion readers.
    ///
    /// ```
    /// let lock = cove::sync::RwLock::new(1);
    /// let (one, two) = (lock.read().unwrap(), lock.read().unwrap());
    /// assert_eq!(*one + *two, 2);
    /// ```
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        self.raw.read();
        // SAFETY: locked for reading in the line above.
        self.poison.wrap(unsafe { RwLockReadGuard::new(self) })
    }

    /// Takes the lock for writing; waits until nobody else holds it.
    ///
    /// # Errors
    /// If the lock is poisoned; the error holds the guard.
    ///
    /// ```
    /// let lock = cove::sync::RwLock::new(1);
    /// *lock.write().unwrap() += 1;
    /// assert_eq!(*lock.read().unwrap(), 2);
    /// ```
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.raw.write();
        // SAFETY: locked for writing in the line above.
        self.poison.wrap(unsafe { RwLockWriteGuard::new(self) })
    }

    /// Takes the lock for reading if nobody writes and nobody waits; does not wait itself.
    ///
    /// # Errors
    /// `WouldBlock` if it is not to be had, `Poisoned` (with the guard) if the lock is poisoned.
    ///
    /// ```
    /// let lock = cove::sync::RwLock::new(1);
    /// let guard = lock.write().unwrap();
    /// assert!(lock.try_read().is_err());
    /// drop(guard);
    /// assert!(lock.try_read().is_ok());
    /// ```
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if !self.raw.try_read() {
            return Err(TryLockError::WouldBlock);
        }
        // SAFETY: locked for reading above.
        Ok(self.poison.wrap(unsafe { RwLockReadGuard::new(self) })?)
    }

    /// Takes the lock for writing if nobody holds it; does not wait.
    ///
    /// # Errors
    /// `WouldBlock` if it is not to be had, `Poisoned` (with the guard) if the lock is poisoned.
    ///
    /// ```
    /// let lock = cove::sync::RwLock::new(1);
    /// let guard = lock.read().unwrap();
    /// assert!(lock.try_write().is_err());
    /// drop(guard);
    /// assert!(lock.try_write().is_ok());
    /// ```
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if !self.raw.try_write() {
            return Err(TryLockError::WouldBlock);
        }
        // SAFETY: locked for writing above.
        Ok(self.poison.wrap(unsafe { RwLockWriteGuard::new(self) })?)
    }

    /// Whether somebody has unwound while holding the lock for writing.
    ///
    /// ```
    /// let lock = cove::sync::RwLock::new(1);
    /// let _ = std::panic::catch_unwind(|| {
    ///     let _guard = lock.write();
    ///     panic!("half done");
    /// });
    /// assert!(lock.is_poisoned());
    /// lock.clear_poison();
    /// assert!(lock.read().is_ok());
    /// ```
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poison.get()
    }

    /// Declares the value sound again: locking succeeds from now on.
    ///
    /// ```
    /// let lock = cove::sync::RwLock::new(1);
    /// lock.clear_poison();
    /// assert!(!lock.is_poisoned());
    /// ```
    #[inline]
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// The value, without locking: the exclusive borrow shows that nobody else has it.
    ///
    /// # Errors
    /// If the lock is poisoned; the error holds the reference.
    ///
    /// ```
    /// let mut lock = cove::sync::RwLock::new(1);
    /// *lock.get_mut().unwrap() = 2;
    /// assert_eq!(*lock.read().unwrap(), 2);
    /// ```
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let poisoned = self.poison.get();
        let value = self.data.get_mut();
        if poisoned { Err(PoisonError::new(value)) } else { Ok(value) }
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shape = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => shape.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => shape.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => shape.field("data", &format_args!("<locked>")),
        };
        shape.field("poisoned", &self.poison.get()).finish_non_exhaustive()
    }
}
