//! [`std::sync`] for coroutines: the same names and the same behaviour, but who must wait lets the
//! other coroutines of its thread run.
//!
//! Everything here works between the coroutines of one thread, between threads that each run a
//! runtime, and for plain threads without one, in any mixture.
//!
//! ```
//! use cove::sync::{Arc, Mutex};
//!
//! let total = cove::run(|| {
//!     let total = Arc::new(Mutex::new(0));
//!     let coroutines: Vec<_> = (1..=10)
//!         .map(|n| {
//!             let total = total.clone();
//!             cove::spawn(move || {
//!                 let mut total = total.lock().unwrap();
//!                 let before = *total;
//!                 cove::task::yield_now(); // the lock stays held: no update is lost
//!                 *total = before + n;
//!             })
//!         })
//!         .collect();
//!     coroutines.into_iter().for_each(|coroutine| coroutine.join().unwrap());
//!     let total = *total.lock().unwrap();
//!     total
//! });
//! assert_eq!(total, 55);
//! ```
//!
//! # Why not std's
//! A [`std::sync::Mutex`] blocks the thread. If one coroutine holds it and yields, and another one
//! of the same thread locks it, then the thread waits for a coroutine that only this thread could
//! run: for ever. std's types are right for sections that never yield; these are right always.
//!
//! # Cancellation and deadlines
//! Every wait here ends by unwinding when its coroutine is cancelled or a deadline scope around it
//! runs out. What had been handed to the waiter by then is kept: a coroutine that was given a lock
//! or a permit returns with it and unwinds in its next wait. What it cannot keep goes on to the
//! next waiter. Plain threads cannot be cancelled.
//!
//! # Poisoning
//! As in std, a [`Mutex`] or a [`RwLock`] held for writing is poisoned when its guard is dropped by
//! unwinding. Cancellation and deadline scopes unwind too, in the midst of a critical section if it
//! waits for something, so they poison as a panic does.
//!
//! # Destructors
//! While a coroutine unwinds, no other one of its thread runs. A destructor that waits then for
//! something that only a coroutine of the same thread can give waits for ever.

/// Declares a const constructor; one that is not const for loom, whose atomics are not.
macro_rules! constructor {
    ($(#[$attribute:meta])* $visibility:vis const fn $($rest:tt)*) => {
        #[cfg(not(all(loom, test)))]
        $(#[$attribute])*
        $visibility const fn $($rest)*

        #[cfg(all(loom, test))]
        $(#[$attribute])*
        $visibility fn $($rest)*
    };
}

mod barrier;
mod condvar;
mod lazy_lock;
pub mod mpsc;
mod mutex;
mod notify;
mod once;
mod once_cell;
pub mod oneshot;
mod poison;
mod rwlock;
pub mod select;
mod semaphore;
mod wait_group;
pub mod watch;

#[cfg(test)]
mod tests;

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use lazy_lock::LazyLock;
pub use mutex::{Mutex, MutexGuard};
pub use notify::Notify;
pub use once::{Once, OnceState};
pub use once_cell::{OnceCell, OnceCell as OnceLock};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};
pub use wait_group::WaitGroup;
