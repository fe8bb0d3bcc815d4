//! Work that blocks, on the process's bounded pool of threads, while only its coroutine waits.
//!
//! Job and coroutine share a [`Slot`] behind an `Arc`: the job puts its outcome there and wakes the
//! coroutine through its remote name; the coroutine takes the outcome out. Neither has a pointer
//! into the other's stack, so a coroutine that is cancelled, or whose stack is put away, just
//! leaves its half behind.

use crate::primitive::SpinLock;
use crate::scheduler::pool::{self, Job, PoolError};
use crate::scheduler::task::Woken;
use crate::scheduler::wait::{self, NEVER, WaitKind, WaitQueue, Waited};
use crate::scheduler::{Scheduler, unwind};
use crate::sys;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How long a coroutine waits before it offers its job to a full queue again. A queue is full when
/// tens of thousands of jobs wait, so a job that comes a millisecond late loses nothing.
const RETRY_NS: u64 = 1_000_000;

/// How large the process's pool of threads for blocking work may grow.
///
/// ```
/// use cove::task::{BlockingLimits, configure_blocking};
/// configure_blocking(BlockingLimits { threads_max: 64, ..BlockingLimits::default() });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockingLimits {
    /// Most threads at a time, at least 1. Default: four for each core, and 8 at least.
    pub threads_max: usize,
    /// Time after which an idle thread ends. Default: 10 seconds.
    pub idle: Duration,
    /// Most jobs that wait while every thread is busy, at least 1; a coroutine that brings one more
    /// waits for room. Default: 65,536.
    pub queue_max: usize,
}

impl Default for BlockingLimits {
    fn default() -> BlockingLimits {
        let pool::PoolLimits { threads_max, idle_ms, queue_max } = pool::PoolLimits::default();
        BlockingLimits { threads_max, idle: Duration::from_millis(idle_ms), queue_max }
    }
}

/// Changes the limits of the pool, which all runtimes of the process share. Threads above a lowered
/// limit end after the job that they are in.
/// See [`BlockingLimits`] for an example.
///
/// # Panics
/// If `threads_max` or `queue_max` is 0.
pub fn configure_blocking(limits: BlockingLimits) {
    let idle_ms = u64::try_from(limits.idle.as_millis()).unwrap_or(u64::MAX);
    let BlockingLimits { threads_max, queue_max, .. } = limits;
    pool::configure(pool::PoolLimits { threads_max, idle_ms, queue_max });
}

/// Runs `function` on a thread of the process's pool, while this coroutine, and no other, waits:
/// for files, name lookup, closures that compute for long. A panic of `function` goes on here.
///
/// While the pool's queue is full, the coroutine waits for room. Outside a runtime `function` runs
/// on the calling thread. Cost: two allocations and two thread switches, some 3 us with an
/// idle processor.
///
/// ```
/// let sum: u64 = cove::run(|| cove::task::blocking(|| (1..=1000).sum()));
/// assert_eq!(sum, 500_500);
/// ```
///
/// # Cancelling
/// If the waiting coroutine is cancelled, or its deadline scope ends, it unwinds at once;
/// `function` is detached: it runs to its end all the same, and its result is dropped, on the
/// pool's thread.
///
/// # Panics
/// With the panic of `function`; and if the pool has no thread and none can be started, which
/// [`try_blocking`] returns as an error.
#[track_caller]
pub fn blocking<F, T>(function: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match try_blocking(function) {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// As [`blocking`], with an error if `function` could not be run.
///
/// ```
/// let name = cove::run(|| cove::task::try_blocking(|| std::env::temp_dir()))?;
/// assert!(name.is_absolute());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The system's reason why no thread could be started, if the pool has none. `function` is dropped.
///
/// # Panics
/// With the panic of `function`.
pub fn try_blocking<F, T>(function: F) -> io::Result<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    run(function, NEVER)
}

/// As [`try_blocking`] for input and output: when the enclosing deadline scope ends, it returns
/// `TimedOut`, as other such waits do, instead of unwinding.
pub(crate) fn blocking_io<F, T>(function: F) -> io::Result<T>
where
    F: FnOnce() -> io::Result<T> + Send + 'static,
    T: Send + 'static,
{
    let scope_ns = scheduler().map_or(NEVER, |it| it.current_task().scope_deadline_ns());
    run(function, scope_ns)?
}

/// The scheduler, if a coroutine of it is running.
fn scheduler<'a>() -> Option<&'a Scheduler> {
    Scheduler::current().filter(|scheduler| !scheduler.is_in_loop())
}

/// What a job leaves for its coroutine.
struct Slot<T> {
    outcome: Option<thread::Result<T>>,
    /// The coroutine, while it waits.
    queue: WaitQueue,
}

/// Runs `function` on the pool; `TimedOut` when `deadline_ns` passes first.
fn run<F, T>(function: F, deadline_ns: u64) -> io::Result<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let Some(scheduler) = scheduler() else { return Ok(function()) };
    if scheduler.current_task().is_cancelled() && !thread::panicking() {
        unwind::cancelled();
    }
    let slot = Arc::new(SpinLock::new(Slot { outcome: None, queue: WaitQueue::new() }));
    let of_job = slot.clone();
    let job = Box::new(move || {
        let outcome = catch_unwind(AssertUnwindSafe(function));
        let mut slot = of_job.lock();
        slot.outcome = Some(outcome);
        let wakeups = slot.queue.wake_all();
        drop(slot);
        wakeups.send();
    });
    submit(scheduler, job, deadline_ns)?;
    loop {
        let mut guard = slot.lock();
        if let Some(outcome) = guard.outcome.take() {
            drop(guard);
            return outcome.map_err(|panic| resume_unwind(panic));
        }
        let kind = WaitKind::Blocking;
        match wait::wait(&slot, guard, |slot| &mut slot.queue, kind, 0, deadline_ns) {
            Waited::Notified => {}
            Waited::TimedOut => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Hands `job` to the pool, waiting while its queue is full.
fn submit(scheduler: &Scheduler, mut job: Job, deadline_ns: u64) -> io::Result<()> {
    loop {
        match pool::submit(job) {
            Ok(()) => return Ok(()),
            Err(full @ PoolError::QueueFull { .. }) => job = full.into_job(),
            Err(error) => return Err(error.into()),
        }
        let now_ns = sys::clock::monotonic_ns();
        if now_ns >= deadline_ns {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let retry_ns = (now_ns + RETRY_NS).min(deadline_ns);
        match scheduler.park(WaitKind::Blocking, retry_ns) {
            Woken::Ready => {}
            Woken::Cancelled => unwind::cancelled(),
            Woken::TimedOut if sys::clock::monotonic_ns() < retry_ns => unwind::expired(),
            Woken::TimedOut => {}
        }
    }
}

#[cfg(test)]
#[path = "blocking_tests.rs"]
mod tests;
