//! Coroutines of the runtime: spawning, joining, naming, cancelling, yielding.
//!
//! The names are those of [`std::thread`], and so is the behaviour where nothing else is said: a
//! handle that is dropped detaches its coroutine, a panic comes out of `join` as an error, `park`
//! and `unpark` share one token.
//!
//! ```
//! cove::run(|| {
//!     let worker = cove::spawn(|| {
//!         cove::task::park();
//!         "unparked"
//!     });
//!     worker.task().unpark();
//!     assert_eq!(worker.join().unwrap(), "unparked");
//! });
//! ```
//!
//! # Cancelling
//! [`JoinHandle::cancel`] makes the coroutine's present wait, and every later one, end by
//! unwinding: destructors run, and `join` returns an error that holds [`Cancelled`]. A coroutine
//! that has not started never runs. One that computes without waiting is not interrupted.
//!
//! # Destructors that wait
//! While a coroutine unwinds, because it panics or is cancelled, a wait in one of its destructors
//! keeps the whole thread: no other coroutine of the thread runs until it is over (std counts
//! panics by thread, so another one would see itself panicking). Timers, descriptors and other
//! threads can end such a wait; another coroutine of the thread cannot. So a destructor must not
//! lock a [`Mutex`](crate::sync::Mutex) that one of them may hold over a wait, join one, or open a
//! [`scope()`]: it would wait for ever. Use `try_lock`, or leave the work to a coroutine that is
//! there for it, by a channel without a bound. A wait of this kind that has lasted for five seconds
//! is told of on stderr, with the name of the coroutine and what it waits for.

mod blocking;
mod builder;
mod current;
mod join;
mod scope;

pub use crate::inspect::{CoroutineDump, Dump, Frame, StackDump, StackKind, State, dump};
pub use crate::scheduler::unwind::{Cancelled, Evicted};
pub(crate) use blocking::blocking_io;
pub use blocking::{BlockingLimits, blocking, configure_blocking, try_blocking};
pub use builder::Builder;
pub use current::{Handle, current, park, park_timeout, try_current, yield_now};
pub use join::JoinHandle;
pub use scope::{Scope, ScopedJoinHandle, scope};

/// Spawns a coroutine on this thread's runtime: [`std::thread::spawn`], but neither closure nor
/// result need be `Send`. Cost: about 30 ns and the first touch of the stack.
///
/// ```
/// let sum = cove::run(|| {
///     let coroutines: Vec<_> = (0..100).map(|n| cove::spawn(move || n * n)).collect();
///     coroutines.into_iter().map(|coroutine| coroutine.join().unwrap()).sum::<i32>()
/// });
/// assert_eq!(sum, 328_350);
/// ```
///
/// # Panics
/// Outside a runtime, and when no stack can be had; [`Builder::spawn`] returns that as an error.
#[inline]
#[track_caller]
pub fn spawn<F, T>(function: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    match Builder::new().spawn(function) {
        Ok(handle) => handle,
        Err(error) => panic!("cannot spawn a coroutine: {error}"),
    }
}

#[cfg(test)]
mod tests;
