//! Mutual exclusion: [`Mutex`].

mod guard;
mod raw;
mod word;

#[cfg(test)]
mod tests;

use super::poison::Poison;
pub use guard::MutexGuard;
pub(super) use raw::RawMutex;
use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};

/// [`std::sync::Mutex`], for coroutines: who waits for it lets others run, and who holds it may
/// yield, sleep or do I/O meanwhile.
///
/// A holder that unlocks and locks again at once may get it again before those who wait, but passes
/// over each of them only once: then the lock is handed to the one that has waited longest.
///
/// Cost, when nobody else wants it: one atomic exchange to lock and one to unlock.
///
/// ```
/// use cove::sync::Mutex;
///
/// static VISITS: Mutex<u32> = Mutex::new(0);
/// cove::run(|| {
///     let other = cove::spawn(|| *VISITS.lock().unwrap() += 1);
///     let mut visits = VISITS.lock().unwrap();
///     let before = *visits;
///     cove::task::yield_now(); // the other coroutine runs, and waits
///     *visits = before + 1;
///     drop(visits);
///     other.join().unwrap();
/// });
/// assert_eq!(*VISITS.lock().unwrap(), 2);
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    poison: Poison,
    data: UnsafeCell<T>,
}

// SAFETY: the lock gives the data to one holder at a time, which amounts to sending it to the
// holder's thread.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: a shared mutex gives the data to one thread at a time, which amounts to sending it.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

impl<T> Mutex<T> {
    constructor! {
        /// A mutex around `value`, unlocked.
        ///
        /// ```
        /// static COUNT: cove::sync::Mutex<u32> = cove::sync::Mutex::new(0);
        /// assert_eq!(*COUNT.lock().unwrap(), 0);
        /// ```
        #[inline]
        pub const fn new(value: T) -> Mutex<T> {
            Mutex { raw: RawMutex::new(), poison: Poison::new(), data: UnsafeCell::new(value) }
        }
    }

    /// The value.
    ///
    /// # Errors
    /// If the mutex is poisoned; the error holds the value.
    ///
    /// ```
    /// assert_eq!(cove::sync::Mutex::new(1).into_inner().unwrap(), 1);
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.poison.get();
        let value = self.data.into_inner();
        if poisoned { Err(PoisonError::new(value)) } else { Ok(value) }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock; waits until it is free. A holder that locks again waits for itself, for
    /// ever.
    ///
    /// # Errors
    /// If the mutex is poisoned; the error holds the guard.
    ///
    /// ```
    /// let mutex = cove::sync::Mutex::new(1);
    /// *mutex.lock().unwrap() += 1;
    /// assert_eq!(*mutex.lock().unwrap(), 2);
    /// ```
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.raw.lock();
        // SAFETY: locked in the line above.
        self.poison.wrap(unsafe { MutexGuard::new(self) })
    }

    /// Takes the lock if it is free; does not wait.
    ///
    /// # Errors
    /// `WouldBlock` if it is not free, `Poisoned` (with the guard) if the mutex is poisoned.
    ///
    /// ```
    /// let mutex = cove::sync::Mutex::new(1);
    /// let guard = mutex.try_lock().unwrap();
    /// assert!(mutex.try_lock().is_err());
    /// drop(guard);
    /// assert!(mutex.try_lock().is_ok());
    /// ```
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if !self.raw.try_lock() {
            return Err(TryLockError::WouldBlock);
        }
        // SAFETY: locked above.
        Ok(self.poison.wrap(unsafe { MutexGuard::new(self) })?)
    }

    /// Whether somebody has unwound while holding the lock.
    ///
    /// ```
    /// let mutex = cove::sync::Mutex::new(1);
    /// let _ = std::panic::catch_unwind(|| {
    ///     let _guard = mutex.lock();
    ///     panic!("half done");
    /// });
    /// assert!(mutex.is_poisoned());
    /// mutex.clear_poison();
    /// assert!(mutex.lock().is_ok());
    /// ```
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poison.get()
    }

    /// Declares the value sound again: `lock` succeeds from now on.
    ///
    /// ```
    /// let mutex = cove::sync::Mutex::new(1);
    /// mutex.clear_poison();
    /// assert!(!mutex.is_poisoned());
    /// ```
    #[inline]
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// The value, without locking: the exclusive borrow shows that nobody else has it.
    ///
    /// # Errors
    /// If the mutex is poisoned; the error holds the reference.
    ///
    /// ```
    /// let mut mutex = cove::sync::Mutex::new(1);
    /// *mutex.get_mut().unwrap() = 2;
    /// assert_eq!(*mutex.lock().unwrap(), 2);
    /// ```
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let poisoned = self.poison.get();
        let value = self.data.get_mut();
        if poisoned { Err(PoisonError::new(value)) } else { Ok(value) }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shape = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => shape.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => shape.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => shape.field("data", &format_args!("<locked>")),
        };
        shape.field("poisoned", &self.poison.get()).finish_non_exhaustive()
    }
}
