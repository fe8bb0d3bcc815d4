//! Reaching a runtime's workers from anywhere.

use super::remote::{self, RemoteJoinHandle};
use crate::scheduler::Scheduler;
use crate::scheduler::crew::Crew;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// Reaches the workers of a [`Runtime`](super::Runtime), from any thread, for as long as one likes.
///
/// Closures travel before they start; a coroutine that runs stays on its worker. Each worker keeps
/// at most 65,536 closures that have not started; who brings more waits until one has, a coroutine
/// as well as a plain thread. (The thread of the first worker, between two `run`s, never waits.)
///
/// Once the runtime has ended, closures are dropped and their joins give
/// [`Cancelled`](crate::task::Cancelled). The same holds in a forked child for a handle from before
/// the fork; [`runtime_handle`] gives one that works.
///
/// ```
/// let runtime = cove::Builder::new().workers(2).build()?;
/// let handle = runtime.handle();
/// let thread = std::thread::spawn(move || handle.spawn_on(1, || 6 * 7).join().unwrap());
/// assert_eq!(thread.join().unwrap(), 42);
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct RuntimeHandle {
    crew: Arc<Crew>,
}

/// The handle of the runtime that the caller is in. As [`RuntimeHandle::current`].
///
/// ```
/// assert_eq!(cove::run(|| cove::runtime_handle().workers()), 1);
/// ```
///
/// # Panics
/// Outside a runtime.
#[track_caller]
pub fn runtime_handle() -> RuntimeHandle {
    RuntimeHandle::current()
}

/// Whatever panics leaves the workers as they were: nothing of the caller's runs while their queues
/// are changed.
impl UnwindSafe for RuntimeHandle {}

/// As for [`UnwindSafe`].
impl RefUnwindSafe for RuntimeHandle {}

impl RuntimeHandle {
    pub(super) fn new(crew: Arc<Crew>) -> RuntimeHandle {
        RuntimeHandle { crew }
    }

    /// The handle of the runtime that the caller is in.
    /// See [`runtime_handle`] for an example.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn current() -> RuntimeHandle {
        RuntimeHandle::try_current().expect("the caller is not in a runtime")
    }

    /// The handle of the runtime that the caller is in, or none outside one.
    ///
    /// ```
    /// assert!(cove::RuntimeHandle::try_current().is_none());
    /// ```
    pub fn try_current() -> Option<RuntimeHandle> {
        Scheduler::current()?.crew().map(|(crew, _)| RuntimeHandle { crew })
    }

    /// The number of workers. They are numbered from 0; the thread that calls `run` is worker 0.
    ///
    /// ```
    /// let runtime = cove::Builder::new().workers(3).build()?;
    /// assert_eq!(runtime.handle().workers(), 3);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn workers(&self) -> usize {
        self.crew.len()
    }

    /// The worker of this runtime that the caller is on, if it is on one.
    ///
    /// ```
    /// let runtime = cove::Builder::new().workers(3).build()?;
    /// let handle = runtime.handle();
    /// assert_eq!(handle.worker(), None);
    /// let there = handle.clone();
    /// assert_eq!(handle.spawn_on(2, move || there.worker()).join().unwrap(), Some(2));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn worker(&self) -> Option<usize> {
        let (crew, index) = Scheduler::current()?.crew()?;
        Arc::ptr_eq(&crew, &self.crew).then_some(index)
    }

    /// Runs `function` as a coroutine of whichever worker comes first: the caller's own, or one
    /// that has nothing else to do.
    ///
    /// ```
    /// let runtime = cove::Builder::new().workers(2).build()?;
    /// let sum: u64 = runtime.run(|| {
    ///     let handle = cove::runtime_handle();
    ///     let parts: Vec<_> = (0..8).map(|n| handle.spawn(move || n * n)).collect();
    ///     parts.into_iter().map(|part| part.join().unwrap()).sum()
    /// });
    /// assert_eq!(sum, 140);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// Waits for room if the queue is full. A coroutine that is cancelled meanwhile unwinds.
    pub fn spawn<F, T>(&self, function: F) -> RemoteJoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (ticket, handle) = remote::new(function);
        self.crew.push(ticket);
        handle
    }

    /// Runs `function` as a coroutine of `worker`. Closures that one thread sends to one worker
    /// start in the order in which they were sent.
    ///
    /// Waits for room if the worker has too many that it has not started. A coroutine that is
    /// cancelled meanwhile unwinds.
    ///
    /// ```
    /// let runtime = cove::Builder::new().workers(2).build()?;
    /// let handle = runtime.handle().spawn_on(1, || cove::spawn(|| "inner").join().unwrap());
    /// assert_eq!(handle.join().unwrap(), "inner");
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such worker.
    #[track_caller]
    pub fn spawn_on<F, T>(&self, worker: usize, function: F) -> RemoteJoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        assert!(worker < self.workers(), "worker {worker} of a runtime with {}", self.workers());
        let (ticket, handle) = remote::new(function);
        self.crew.send(worker, ticket);
        handle
    }

    /// Runs `function` as one coroutine on each worker, with the worker's number: for a listener
    /// per worker, say, which share an address by `SO_REUSEPORT`. The handles are in the workers'
    /// order.
    ///
    /// ```
    /// let runtime = cove::Builder::new().workers(3).build()?;
    /// let handles = runtime.run(|| cove::runtime_handle().run_on_each(|worker| worker * 10));
    /// let mut results = Vec::new();
    /// for handle in handles.into_iter().skip(1) {
    ///     results.push(handle.join().unwrap());
    /// }
    /// assert_eq!(results, [10, 20]);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn run_on_each<F, T>(&self, function: F) -> Vec<RemoteJoinHandle<T>>
    where
        F: Fn(usize) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        let function = Arc::new(function);
        let on = |worker| {
            let function = function.clone();
            self.spawn_on(worker, move || function(worker))
        };
        (0..self.workers()).map(on).collect()
    }
}

impl fmt::Debug for RuntimeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeHandle").field("workers", &self.workers()).finish()
    }
}
