//! The handle of a spawned coroutine.

use super::Handle;
use crate::scheduler::spawn::RawHandle;
use crate::scheduler::wait::{NEVER, WaitKind};
use std::marker::PhantomData;
use std::thread;

/// The right to join a coroutine; dropping it detaches the coroutine, which goes on.
///
/// ```
/// cove::run(|| {
///     let handle = cove::spawn(|| std::rc::Rc::new(42)); // Need not be `Send`.
///     assert_eq!(*handle.join().unwrap(), 42);
/// });
/// ```
///
/// It stays on its thread:
///
/// ```compile_fail
/// cove::run(|| {
///     let handle = cove::spawn(|| std::rc::Rc::new(1));
///     std::thread::spawn(move || handle.join());
/// });
/// ```
pub struct JoinHandle<T> {
    raw: RawHandle,
    /// Brings back a `T`; not `Send`, not `Sync`.
    shape: PhantomData<(*mut (), T)>,
}

impl<T> JoinHandle<T> {
    /// # Safety
    /// `raw` is the handle of a task that was spawned with a result of type `T`.
    #[inline]
    pub(super) unsafe fn new(raw: RawHandle) -> JoinHandle<T> {
        JoinHandle { raw, shape: PhantomData }
    }

    /// Waits for the coroutine to end and brings back its result.
    ///
    /// ```
    /// cove::run(|| {
    ///     assert_eq!(cove::spawn(|| 6 * 7).join().unwrap(), 42);
    ///     let payload = cove::spawn(|| panic!("comes out of join")).join().unwrap_err();
    ///     assert_eq!(payload.downcast_ref(), Some(&"comes out of join"));
    /// });
    /// ```
    ///
    /// # Errors
    /// The payload of its panic; [`Cancelled`](super::Cancelled); or, for one on a shared stack,
    /// [`Evicted`](super::Evicted).
    ///
    /// # Panics
    /// When called outside the runtime that runs the coroutine while that is unfinished, or by the
    /// coroutine itself. Unwinds when the caller is cancelled; the coroutine is then detached.
    #[inline]
    pub fn join(self) -> thread::Result<T> {
        self.raw.wait(WaitKind::Join, NEVER);
        // SAFETY: the type is that of `new`.
        unsafe { self.raw.take() }
    }

    /// Whether the coroutine has ended, so that `join` would not wait.
    ///
    /// ```
    /// cove::run(|| {
    ///     let handle = cove::spawn(|| ());
    ///     assert!(!handle.is_finished());
    ///     cove::task::yield_now();
    ///     assert!(handle.is_finished());
    /// });
    /// ```
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.raw.is_finished()
    }

    /// Makes the coroutine's present wait and every later one end by unwinding; one that has not
    /// started never runs. Does not wait for it. A finished coroutine keeps its result.
    ///
    /// ```
    /// cove::run(|| {
    ///     let parked = cove::spawn(cove::task::park);
    ///     parked.cancel();
    ///     assert!(parked.join().unwrap_err().is::<cove::task::Cancelled>());
    /// });
    /// ```
    #[inline]
    pub fn cancel(&self) {
        self.raw.cancel();
    }

    /// A handle to the coroutine that other threads may have: its name, its id, `unpark`.
    ///
    /// ```
    /// cove::run(|| {
    ///     let parked = cove::spawn(cove::task::park);
    ///     parked.task().unpark();
    ///     parked.join().unwrap();
    /// });
    /// ```
    pub fn task(&self) -> Handle {
        Handle::of(self.raw.task())
    }
}

impl<T> std::fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.raw.task().id)
            .field("finished", &self.is_finished())
            .finish()
    }
}
