//! A value that many watch: receivers see the latest one, and are told when it changes.
//!
//! For configuration, state and shutdown signals. Unlike a channel's queue it keeps one value: who
//! looks late misses what came in between, never the last.
//!
//! ```
//! use cove::sync::watch;
//!
//! cove::run(|| {
//!     let (tx, rx) = watch::channel("starting");
//!     let watcher = cove::spawn(move || {
//!         let mut seen = vec![*rx.borrow_and_update()];
//!         while rx.changed().is_ok() {
//!             seen.push(*rx.borrow_and_update());
//!         }
//!         seen
//!     });
//!     cove::task::yield_now();
//!     tx.send("running").unwrap();
//!     cove::task::yield_now();
//!     tx.send("stopping").unwrap();
//!     drop(tx);
//!     assert_eq!(watcher.join().unwrap(), ["starting", "running", "stopping"]);
//! });
//! ```
//!
//! What `borrow` returns keeps senders waiting until it is dropped. So a coroutine must not send
//! while it holds one itself.

mod cell;

use super::select::{Place, Selectable, sealed};
use crate::scheduler::wait::{NEVER, WaitKind, Waited, wait};
use cell::{Cell, Reading};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
pub use std::sync::mpsc::{RecvError, SendError};

#[cfg(test)]
mod tests;

/// Makes a watch that holds `initial`, which its receiver counts as seen.
///
/// ```
/// let (tx, rx) = cove::sync::watch::channel(1);
/// assert_eq!(*rx.borrow(), 1);
/// tx.send(2).unwrap();
/// assert_eq!(*rx.borrow(), 2);
/// ```
pub fn channel<T>(initial: T) -> (Sender<T>, Receiver<T>) {
    let cell = Arc::new(Cell::new(initial));
    (Sender { cell: cell.clone() }, Receiver { cell, seen: AtomicU64::new(0) })
}

/// The end that changes the value; clones change the same one. See [`Sender::send`] for an example.
pub struct Sender<T> {
    cell: Arc<Cell<T>>,
}

impl<T> Sender<T> {
    /// Replaces the value and tells all receivers.
    ///
    /// ```
    /// let (tx, rx) = cove::sync::watch::channel(1);
    /// tx.send(2).unwrap();
    /// drop(rx);
    /// assert_eq!(tx.send(3).unwrap_err().0, 3);
    /// ```
    ///
    /// # Errors
    /// When there is no receiver; the error holds the value, and the old one stays.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.receiver_count() == 0 {
            return Err(SendError(value));
        }
        self.send_replace(value);
        Ok(())
    }

    /// Replaces the value, whether there are receivers or not, and returns the old one.
    ///
    /// ```
    /// let (tx, _) = cove::sync::watch::channel(1);
    /// assert_eq!(tx.send_replace(2), 1);
    /// ```
    pub fn send_replace(&self, value: T) -> T {
        let mut writing = self.cell.write();
        writing.is_changed = true;
        std::mem::replace(writing.value(), value)
    }

    /// Changes the value in place and tells all receivers. If `modify` panics they are not told.
    ///
    /// ```
    /// let (tx, rx) = cove::sync::watch::channel(vec![1]);
    /// tx.send_modify(|list| list.push(2));
    /// assert_eq!(*rx.borrow(), [1, 2]);
    /// ```
    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    /// Changes the value in place, and tells all receivers if `modify` returns true; returns that.
    ///
    /// ```
    /// let (tx, rx) = cove::sync::watch::channel(1);
    /// let count_to_two = |value: &mut i32| {
    ///     *value += i32::from(*value < 2);
    ///     *value < 2
    /// };
    /// assert!(!tx.send_if_modified(count_to_two));
    /// assert_eq!(rx.has_changed(), Ok(false));
    /// assert_eq!(*rx.borrow(), 2);
    /// ```
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let mut writing = self.cell.write();
        writing.is_changed = modify(writing.value());
        writing.is_changed
    }

    /// Looks at the value.
    ///
    /// ```
    /// let (tx, _) = cove::sync::watch::channel(1);
    /// assert_eq!(*tx.borrow(), 1);
    /// ```
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref { reading: self.cell.read() }
    }

    /// Makes a receiver, which counts the present value as seen.
    ///
    /// ```
    /// let (tx, _) = cove::sync::watch::channel(1);
    /// let rx = tx.subscribe();
    /// tx.send(2).unwrap();
    /// assert_eq!(rx.has_changed(), Ok(true));
    /// ```
    pub fn subscribe(&self) -> Receiver<T> {
        let mut state = self.cell.state.lock();
        state.receivers += 1;
        Receiver { cell: self.cell.clone(), seen: AtomicU64::new(state.version) }
    }

    /// The number of receivers.
    ///
    /// ```
    /// let (tx, rx) = cove::sync::watch::channel(1);
    /// let _other = rx.clone();
    /// assert_eq!(tx.receiver_count(), 2);
    /// ```
    pub fn receiver_count(&self) -> usize {
        self.cell.state.lock().receivers
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.cell.state.lock().senders += 1;
        Sender { cell: self.cell.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.cell.state.lock();
        state.senders -= 1;
        if state.senders == 0 {
            let wakeups = state.watchers.wake_all();
            drop(state);
            wakeups.send();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// The end that watches. A clone has seen what the original had seen.
/// See [`Receiver::borrow`] for an example.
pub struct Receiver<T> {
    cell: Arc<Cell<T>>,
    /// The version that counts as seen. It orders nothing; the lock does.
    seen: AtomicU64,
}

impl<T> Receiver<T> {
    /// Looks at the value, without marking it as seen.
    ///
    /// ```
    /// let (tx, rx) = cove::sync::watch::channel(1);
    /// tx.send(2).unwrap();
    /// assert_eq!(*rx.borrow(), 2);
    /// assert_eq!(rx.has_changed(), Ok(true));
    /// ```
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref { reading: self.cell.read() }
    }

    /// Looks at the value and marks it as seen.
    ///
    /// ```
    /// let (tx, rx) = cove::sync::watch::channel(1);
    /// tx.send(2).unwrap();
    /// assert_eq!(*rx.borrow_and_update(), 2);
    /// assert_eq!(rx.has_changed(), Ok(false));
    /// ```
    pub fn borrow_and_update(&self) -> Ref<'_, T> {
        let reading = self.cell.read();
        self.seen.store(reading.version, Ordering::Relaxed);
        Ref { reading }
    }

    /// Whether there is a value that this receiver has not seen.
    ///
    /// ```
    /// let (tx, rx) = cove::sync::watch::channel(1);
    /// assert_eq!(rx.has_changed(), Ok(false));
    /// tx.send(2).unwrap();
    /// assert_eq!(rx.has_changed(), Ok(true));
    /// ```
    ///
    /// # Errors
    /// When the last value has been seen and all senders are gone.
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        let state = self.cell.state.lock();
        let is_new = state.version != self.seen.load(Ordering::Relaxed);
        if !is_new && state.senders == 0 { Err(RecvError) } else { Ok(is_new) }
    }

    /// Waits for a value that this receiver has not seen, and marks it as seen.
    ///
    /// ```
    /// cove::run(|| {
    ///     let (tx, rx) = cove::sync::watch::channel(1);
    ///     cove::spawn(move || tx.send(2));
    ///     rx.changed().unwrap();
    ///     assert_eq!(*rx.borrow(), 2);
    ///     assert!(rx.changed().is_err());
    /// });
    /// ```
    ///
    /// # Errors
    /// When there is none and all senders are gone.
    pub fn changed(&self) -> Result<(), RecvError> {
        loop {
            if let Some(outcome) = self.attempt() {
                return outcome;
            }
            let state = self.cell.state.lock();
            if state.version != self.seen.load(Ordering::Relaxed) || state.senders == 0 {
                continue;
            }
            let (lock, kind) = (&self.cell.state, WaitKind::Watch);
            let waited = wait(lock, state, |state| &mut state.watchers, kind, 0, NEVER);
            debug_assert_eq!(waited, Waited::Notified);
        }
    }

    /// Waits until `predicate` holds for the value, the present one first, and marks it as seen.
    ///
    /// ```
    /// cove::run(|| {
    ///     let (tx, rx) = cove::sync::watch::channel(0);
    ///     let counter = cove::spawn(move || {
    ///         for _ in 0..5 {
    ///             tx.send_modify(|count| *count += 1);
    ///             cove::task::yield_now();
    ///         }
    ///     });
    ///     assert!(*rx.wait_for(|count| *count >= 3).unwrap() >= 3);
    ///     counter.join().unwrap();
    /// });
    /// ```
    ///
    /// # Errors
    /// When it does not hold for the last value and all senders are gone.
    pub fn wait_for(&self, mut predicate: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, RecvError> {
        loop {
            let value = self.borrow_and_update();
            if predicate(&value) {
                return Ok(value);
            }
            drop(value);
            self.changed()?;
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.cell.state.lock().receivers += 1;
        let seen = AtomicU64::new(self.seen.load(Ordering::Relaxed));
        Receiver { cell: self.cell.clone(), seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.cell.state.lock().receivers -= 1;
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// The value of a watch, which does not change while this exists: senders wait.
/// See [`Receiver::borrow`] for an example.
pub struct Ref<'a, T> {
    reading: Reading<'a, T>,
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.reading.value()
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> sealed::Sealed for Receiver<T> {}

/// As [`Receiver::changed`].
impl<T> Selectable for Receiver<T> {
    type Output = Result<(), RecvError>;

    fn attempt(&self) -> Option<Self::Output> {
        let state = self.cell.state.lock();
        if state.version != self.seen.load(Ordering::Relaxed) {
            self.seen.store(state.version, Ordering::Relaxed);
            return Some(Ok(()));
        }
        (state.senders == 0).then_some(Err(RecvError))
    }

    unsafe fn enter(&self, place: Place<'_>) -> bool {
        let mut state = self.cell.state.lock();
        if state.version != self.seen.load(Ordering::Relaxed) || state.senders == 0 {
            return false;
        }
        // SAFETY: as the caller says.
        unsafe { state.watchers.push(&place.0.waiter) };
        true
    }

    unsafe fn leave(&self, place: Place<'_>) {
        // SAFETY: as the caller says.
        unsafe { self.cell.state.lock().watchers.remove(&place.0.waiter) };
    }
}
