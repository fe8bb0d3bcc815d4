//! A counter of permits: [`Semaphore`].

mod permit;
mod raw;

#[cfg(test)]
mod tests;

use crate::scheduler::wait::NEVER;
use crate::sys;
pub use permit::{OwnedSemaphorePermit, SemaphorePermit};
use raw::{PERMITS_MAX, RawSemaphore};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

/// A number of permits, to be taken and given back: it limits how many do something at a time.
///
/// Permits go to those who wait in the order of their coming. Cost, when nobody waits: one atomic
/// exchange to take and one addition to give back.
///
/// ```
/// use cove::sync::Semaphore;
///
/// static CONNECTIONS: Semaphore = Semaphore::new(2);
/// cove::run(|| {
///     cove::scope(|scope| {
///         for _ in 0..10 {
///             scope.spawn(|| {
///                 let _permit = CONNECTIONS.acquire();
///                 cove::task::yield_now(); // never more than two are here
///             });
///         }
///     });
/// });
/// assert_eq!(CONNECTIONS.available_permits(), 2);
/// ```
pub struct Semaphore {
    raw: RawSemaphore,
}

impl UnwindSafe for Semaphore {}
impl RefUnwindSafe for Semaphore {}

impl Semaphore {
    /// The most permits that a semaphore can have.
    ///
    /// ```
    /// use cove::sync::Semaphore;
    /// let semaphore = Semaphore::new(Semaphore::MAX_PERMITS);
    /// assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
    /// ```
    pub const MAX_PERMITS: usize = PERMITS_MAX as usize;

    constructor! {
        /// A semaphore with `permits` free permits.
        ///
        /// ```
        /// let semaphore = cove::sync::Semaphore::new(3);
        /// assert_eq!(semaphore.available_permits(), 3);
        /// ```
        ///
        /// # Panics
        /// If there are more than [`MAX_PERMITS`](Self::MAX_PERMITS).
        pub const fn new(permits: usize) -> Semaphore {
            assert!(permits <= Semaphore::MAX_PERMITS, "a semaphore has too many permits");
            Semaphore { raw: RawSemaphore::new(permits as u32) }
        }
    }

    /// The number of permits that are free at this moment.
    ///
    /// ```
    /// let semaphore = cove::sync::Semaphore::new(3);
    /// let permit = semaphore.acquire();
    /// assert_eq!(semaphore.available_permits(), 2);
    /// drop(permit);
    /// assert_eq!(semaphore.available_permits(), 3);
    /// ```
    pub fn available_permits(&self) -> usize {
        self.raw.permits.free() as usize
    }

    /// Takes a permit; waits until there is one.
    ///
    /// ```
    /// let semaphore = cove::sync::Semaphore::new(1);
    /// cove::run(|| {
    ///     cove::scope(|scope| {
    ///         let permit = semaphore.acquire();
    ///         let other = scope.spawn(|| drop(semaphore.acquire())); // It waits.
    ///         cove::task::yield_now();
    ///         assert!(!other.is_finished());
    ///         drop(permit);
    ///         other.join().unwrap();
    ///     });
    /// });
    /// ```
    #[inline]
    pub fn acquire(&self) -> SemaphorePermit<'_> {
        self.acquire_many(1)
    }

    /// Takes `permits` permits at once; waits until there are so many.
    ///
    /// ```
    /// let semaphore = cove::sync::Semaphore::new(3);
    /// let _two = semaphore.acquire_many(2);
    /// assert_eq!(semaphore.available_permits(), 1);
    /// ```
    ///
    /// # Panics
    /// If there are more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    #[inline]
    pub fn acquire_many(&self, permits: u32) -> SemaphorePermit<'_> {
        check(permits);
        self.raw.acquire(permits, NEVER);
        SemaphorePermit::new(self, permits)
    }

    /// Takes a permit; waits for at most `timeout` until there is one.
    ///
    /// ```
    /// let semaphore = cove::sync::Semaphore::new(0);
    /// assert!(semaphore.acquire_timeout(std::time::Duration::from_millis(1)).is_none());
    /// ```
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<SemaphorePermit<'_>> {
        let deadline_ns = sys::clock::deadline_ns(timeout);
        self.raw.acquire(1, deadline_ns).then(|| SemaphorePermit::new(self, 1))
    }

    /// Takes a permit if there is one and nobody waits for it.
    ///
    /// ```
    /// let semaphore = cove::sync::Semaphore::new(1);
    /// let permit = semaphore.try_acquire();
    /// assert!(permit.is_some() && semaphore.try_acquire().is_none());
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `permits` permits if there are so many and nobody waits for any.
    ///
    /// ```
    /// let semaphore = cove::sync::Semaphore::new(3);
    /// assert!(semaphore.try_acquire_many(4).is_none());
    /// assert_eq!(semaphore.try_acquire_many(3).unwrap().permits(), 3);
    /// ```
    ///
    /// # Panics
    /// If there are more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    #[inline]
    pub fn try_acquire_many(&self, permits: u32) -> Option<SemaphorePermit<'_>> {
        check(permits);
        self.raw.try_acquire(permits).then(|| SemaphorePermit::new(self, permits))
    }

    /// As [`acquire`](Self::acquire), with a permit that keeps the semaphore alive: it may move
    /// into a coroutine that is spawned once there is room for it.
    ///
    /// ```
    /// use cove::sync::{Arc, Semaphore};
    ///
    /// cove::run(|| {
    ///     let room = Arc::new(Semaphore::new(2));
    ///     for _ in 0..10 {
    ///         let permit = room.acquire_owned(); // no more than two coroutines exist
    ///         cove::spawn(move || drop(permit));
    ///     }
    /// });
    /// ```
    pub fn acquire_owned(self: &Arc<Self>) -> OwnedSemaphorePermit {
        self.raw.acquire(1, NEVER);
        OwnedSemaphorePermit::new(self.clone())
    }

    /// Adds permits.
    ///
    /// ```
    /// let semaphore = cove::sync::Semaphore::new(0);
    /// semaphore.add_permits(2);
    /// assert_eq!(semaphore.available_permits(), 2);
    /// ```
    ///
    /// # Panics
    /// If there are more than [`MAX_PERMITS`](Self::MAX_PERMITS) then.
    pub fn add_permits(&self, permits: usize) {
        assert!(permits <= Semaphore::MAX_PERMITS, "a semaphore has too many permits");
        self.raw.release(permits as u32);
    }
}

#[inline]
fn check(permits: u32) {
    assert!(permits <= PERMITS_MAX, "more permits than a semaphore can have");
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available_permits", &self.available_permits()).finish()
    }
}
