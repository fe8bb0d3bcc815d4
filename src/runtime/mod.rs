//! The runtime: its workers, what can be set, how it starts and ends.
//!
//! ```text
//!   thread that calls `run`        threads of the runtime
//!   +-----------------------+      +-----------+   +-----------+
//!   | worker 0              |      | worker 1  |   | worker 2  |   each: scheduler, reactor,
//!   | root coroutine, others|      | coroutines|   | coroutines|   timers, stacks of its own
//!   +-----------------------+      +-----------+   +-----------+
//!        ^ inbox, queue                ^               ^
//!        +-----------------------------+---------------+---- RuntimeHandle (any thread)
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `builder.rs` | what can be set, and the checks of it |
//! | `workers.rs` | the threads of the workers other than the first |
//! | `handle.rs` | reaching the workers from anywhere |
//! | `remote.rs` | closures on their way to a worker, and their results on the way back |
//! | `shutdown.rs` | ending, and what did not end in time |

mod builder;
mod handle;
mod remote;
mod shutdown;
mod workers;

#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use handle::{RuntimeHandle, runtime_handle};
pub use remote::RemoteJoinHandle;
pub use shutdown::ShutdownError;

use crate::scheduler::Scheduler;
use crate::scheduler::crew::Crew;
use crate::stack::{self, StackConfig};
use crate::sys::thread::CpuSet;
use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use workers::Threads;

/// Runs `function` as the first coroutine of a new runtime on this thread, and returns what it
/// returns. Coroutines that are left then are cancelled and unwound.
///
/// ```
/// let sum = cove::run(|| {
///     let two = cove::spawn(|| 2);
///     40 + two.join().unwrap()
/// });
/// assert_eq!(sum, 42);
/// ```
///
/// # Panics
/// With the panic of `function`; inside a runtime; and when the runtime cannot be made, which
/// [`Builder::build`] returns as an error instead.
#[track_caller]
pub fn run<T>(function: impl FnOnce() -> T) -> T {
    let runtime = match Builder::new().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("cannot start a runtime: {error}"),
    };
    // Ended before the panic goes on, so that destructors of its coroutines do not see one.
    let result = catch_unwind(AssertUnwindSafe(|| runtime.run(function)));
    drop(runtime);
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

/// A runtime: the calling thread as its first worker, and the threads of the others.
///
/// Coroutines outlive a [`run`](Runtime::run), and go on in the next one (those of the first
/// worker: the others never stop). Dropping the runtime cancels all of them, unwinds them, and
/// waits for its threads. A coroutine that computes without ever waiting keeps it from ending; see
/// [`shutdown_timeout`](Runtime::shutdown_timeout).
///
/// ```
/// let runtime = cove::Builder::new().build()?;
/// let (sender, receiver) = std::sync::mpsc::channel();
/// runtime.run(|| {
///     cove::spawn(move || {
///         cove::task::park();
///         sender.send("unparked").unwrap();
///     })
///     .task()
/// })
/// .unpark();
/// runtime.run(cove::task::yield_now);
/// assert_eq!(receiver.recv()?, "unparked");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Forking
/// After fork(2) in a coroutine, the child has that coroutine and no other: those of its thread are
/// abandoned, that is, never run and never dropped, and joining one gives
/// [`Cancelled`](crate::task::Cancelled); other workers do not exist. Timers, descriptors, blocking
/// work, new coroutines and channels between those can be used as before, and nothing that the
/// child does reaches the parent's runtime; locks and channels on which others may have been
/// waiting cannot, as after any fork. If the coroutine is not the root, the child exits when it has
/// ended, and what it has spawned with it. A runtime whose thread forks outside `run` has no
/// coroutines in the child, and can run new ones.
pub struct Runtime {
    scheduler: ManuallyDrop<Box<Scheduler>>,
    crew: Arc<Crew>,
    threads: Threads,
    /// What the first worker's thread may run on when the runtime is gone.
    cpus: Option<CpuSet>,
    /// The thread's pool of stacks was set up for this runtime.
    own_stacks: bool,
    ended: bool,
}

impl Runtime {
    /// Runs `function` as the root coroutine, on the calling thread's own stack, and returns what
    /// it returns; other coroutines stand still from then on until the next `run`.
    ///
    /// ```
    /// let runtime = cove::Builder::new().build()?;
    /// let mut runs = 0;
    /// runtime.run(|| runs += 1);
    /// assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
    ///     runtime.run(|| panic!("comes out of run"))
    /// }))
    /// .is_err());
    /// runtime.run(|| runs += 1);
    /// assert_eq!(runs, 2);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Panics
    /// With the panic of `function`, after which the runtime can be used as before; and inside a
    /// runtime.
    #[track_caller]
    pub fn run<T>(&self, function: impl FnOnce() -> T) -> T {
        self.scheduler.enter(function)
    }

    /// A handle by which other threads, and coroutines, reach the runtime.
    ///
    /// ```
    /// let runtime = cove::Builder::new().workers(2).build()?;
    /// let handle = runtime.handle();
    /// assert_eq!(handle.spawn_on(1, || 6 * 7).join().unwrap(), 42);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn handle(&self) -> RuntimeHandle {
        RuntimeHandle::new(self.crew.clone())
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("workers", &self.crew.len())
            .field("coroutines_of_worker_0", &self.scheduler.live())
            .finish()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Without a deadline everything ends, or this waits for ever.
        let _ = self.end(crate::scheduler::wait::NEVER);
        if let Some(cpus) = self.cpus {
            // Processors may have gone meanwhile; the thread then stays where it is.
            let _ = cpus.apply();
        }
        if self.own_stacks {
            stack::set_pool_config(StackConfig::default());
        }
    }
}
