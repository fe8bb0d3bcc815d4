//! Permits: each is given back when it is dropped.

use super::Semaphore;
use std::sync::Arc;

/// Permits of a [`Semaphore`], given back when dropped.
///
/// ```
/// let semaphore = cove::sync::Semaphore::new(2);
/// let permit = semaphore.acquire_many(2);
/// assert!(semaphore.try_acquire().is_none());
/// drop(permit);
/// assert!(semaphore.try_acquire().is_some());
/// ```
#[must_use = "if unused, the permits are given back at once"]
#[clippy::has_significant_drop]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    permits: u32,
}

impl<'a> SemaphorePermit<'a> {
    #[inline]
    pub(super) fn new(semaphore: &'a Semaphore, permits: u32) -> SemaphorePermit<'a> {
        SemaphorePermit { semaphore, permits }
    }

    /// How many permits these are.
    ///
    /// ```
    /// let semaphore = cove::sync::Semaphore::new(3);
    /// assert_eq!(semaphore.acquire_many(2).permits(), 2);
    /// ```
    pub fn permits(&self) -> usize {
        self.permits as usize
    }

    /// Never gives the permits back.
    ///
    /// ```
    /// let semaphore = cove::sync::Semaphore::new(2);
    /// semaphore.acquire().forget();
    /// assert_eq!(semaphore.available_permits(), 1);
    /// ```
    pub fn forget(mut self) {
        self.permits = 0;
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.permits > 0 {
            self.semaphore.raw.release(self.permits);
        }
    }
}

/// A permit of a shared [`Semaphore`], given back when dropped.
///
/// ```
/// use cove::sync::{Arc, Semaphore};
/// let semaphore = Arc::new(Semaphore::new(1));
/// let permit = semaphore.acquire_owned();
/// let thread = std::thread::spawn(move || drop(permit));
/// drop(semaphore.acquire()); // When the thread has dropped its permit.
/// thread.join().unwrap();
/// ```
#[must_use = "if unused, the permit is given back at once"]
#[clippy::has_significant_drop]
#[derive(Debug)]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
}

impl OwnedSemaphorePermit {
    pub(super) fn new(semaphore: Arc<Semaphore>) -> OwnedSemaphorePermit {
        OwnedSemaphorePermit { semaphore }
    }

    /// The semaphore that the permit is of.
    ///
    /// ```
    /// use cove::sync::{Arc, Semaphore};
    /// let semaphore = Arc::new(Semaphore::new(1));
    /// assert!(Arc::ptr_eq(semaphore.acquire_owned().semaphore(), &semaphore));
    /// ```
    pub fn semaphore(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }
}

impl Drop for OwnedSemaphorePermit {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.raw.release(1);
    }
}
