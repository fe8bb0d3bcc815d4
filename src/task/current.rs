//! The running coroutine: who it is, parking it, letting others run.

use crate::scheduler::task::{State, Task, Woken, flag};
use crate::scheduler::wait::{NEVER, WaitKind};
use crate::scheduler::{Remote, Scheduler, unwind};
use crate::sys;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

/// A coroutine as others know it; [`std::thread::Thread`]'s counterpart. It may go to any thread,
/// and outlive the coroutine.
///
/// ```
/// cove::run(|| {
///     let coroutine = cove::spawn(cove::task::current);
///     let handle = coroutine.task();
///     assert_eq!(coroutine.join().unwrap().id(), handle.id());
/// });
/// ```
#[derive(Clone)]
pub struct Handle {
    id: NonZeroU64,
    /// Unless the coroutine has ended.
    remote: Option<Remote>,
    name: Option<Arc<str>>,
}

impl Handle {
    pub(crate) fn of(task: &Task) -> Handle {
        let id = NonZeroU64::new(task.id).expect("ids start at one");
        // What has ended may have outlived its scheduler.
        let ended = matches!(task.state.get(), State::Done | State::Taken);
        Handle { id, remote: (!ended).then(|| Remote::of(task)), name: task.name() }
    }

    /// The coroutine's number, unique in the process.
    ///
    /// ```
    /// cove::run(|| {
    ///     let [one, other] = [(); 2].map(|()| cove::spawn(|| ()).task().id());
    ///     assert_ne!(one, other);
    /// });
    /// ```
    pub fn id(&self) -> NonZeroU64 {
        self.id
    }

    /// The name that the coroutine was given.
    ///
    /// ```
    /// # cove::run(|| {
    /// let coroutine = cove::task::Builder::new().name("parser").spawn(|| ())?;
    /// assert_eq!(coroutine.task().name(), Some("parser"));
    /// assert_eq!(cove::task::current().name(), None);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Ends the coroutine's [`park`], or the next one if it is not parked. Does nothing for a
    /// coroutine that has ended.
    ///
    /// ```
    /// cove::run(|| {
    ///     let parked = cove::spawn(cove::task::park);
    ///     let handle = parked.task();
    ///     std::thread::spawn(move || handle.unpark());
    ///     parked.join().unwrap();
    /// });
    /// ```
    pub fn unpark(&self) {
        let Some(remote) = &self.remote else { return };
        match local(remote) {
            Some((scheduler, task)) => scheduler.unpark(task),
            None => remote.wake(),
        }
    }

    /// Cancels the coroutine, as [`JoinHandle::cancel`](super::JoinHandle::cancel) does.
    ///
    /// ```
    /// cove::run(|| {
    ///     let parked = cove::spawn(cove::task::park);
    ///     let handle = parked.task();
    ///     std::thread::spawn(move || handle.cancel());
    ///     assert!(parked.join().unwrap_err().is::<cove::task::Cancelled>());
    /// });
    /// ```
    pub fn cancel(&self) {
        let Some(remote) = &self.remote else { return };
        match local(remote) {
            Some((scheduler, task)) => scheduler.cancel(task),
            None => remote.cancel(),
        }
    }
}

/// The task, if it belongs to this thread and lives.
fn local(remote: &Remote) -> Option<(&Scheduler, &Task)> {
    let scheduler = Scheduler::current()?;
    if !Arc::ptr_eq(&scheduler.shared, &remote.shared) {
        return None;
    }
    Some((scheduler, scheduler.find(remote.slot, remote.id)?))
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("id", &self.id).field("name", &self.name).finish()
    }
}

/// The running coroutine.
///
/// ```
/// cove::run(|| {
///     let root = cove::task::current();
///     cove::spawn(move || root.unpark());
///     cove::task::park();
/// });
/// ```
///
/// # Panics
/// Outside a runtime.
#[track_caller]
pub fn current() -> Handle {
    try_current().expect("task::current was called outside a runtime")
}

/// The running coroutine, or none outside a runtime.
///
/// ```
/// assert!(cove::task::try_current().is_none());
/// assert!(cove::run(|| cove::task::try_current().is_some()));
/// ```
pub fn try_current() -> Option<Handle> {
    Scheduler::current()
        .filter(|scheduler| !scheduler.is_in_loop())
        .map(|scheduler| Handle::of(scheduler.current_task()))
}

/// Lets every other ready coroutine run before this one goes on. Outside a runtime, the thread
/// yields. Cost: 2 ns with two coroutines, about 40 ns with a million.
///
/// ```
/// cove::run(|| {
///     let other = cove::spawn(|| ());
///     assert!(!other.is_finished());
///     cove::task::yield_now();
///     assert!(other.is_finished());
/// });
/// ```
#[inline(always)]
pub fn yield_now() {
    match Scheduler::current() {
        Some(scheduler) => {
            scheduler.yield_now();
            let task = scheduler.current_task();
            if task.is_cancelled() && !(std::thread::panicking() && scheduler.is_unwinding()) {
                unwind::cancelled();
            }
        }
        None => std::thread::yield_now(),
    }
}

/// Waits until someone calls [`Handle::unpark`]; at once if that has happened since the last park.
/// As with threads, it may return without a reason.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// cove::run(|| {
///     let done = Rc::new(Cell::new(false));
///     let (root, of_other) = (cove::task::current(), done.clone());
///     cove::spawn(move || {
///         of_other.set(true);
///         root.unpark();
///     });
///     while !done.get() {
///         cove::task::park();
///     }
/// });
/// ```
pub fn park() {
    park_until(NEVER);
}

/// As [`park`], for at most `timeout`.
///
/// ```
/// use std::time::{Duration, Instant};
/// cove::run(|| {
///     let end = Instant::now() + Duration::from_millis(2);
///     while Instant::now() < end {
///         cove::task::park_timeout(end - Instant::now()); // Nobody will unpark it.
///     }
/// });
/// ```
pub fn park_timeout(timeout: Duration) {
    park_until(sys::clock::deadline_ns(timeout));
}

fn park_until(deadline_ns: u64) {
    let Some(scheduler) = Scheduler::current() else {
        match deadline_ns {
            NEVER => std::thread::park(),
            _ => std::thread::park_timeout(sys::clock::until(deadline_ns)),
        }
        return;
    };
    let task = scheduler.current_task();
    if !task.has(flag::TOKEN) {
        match scheduler.park(WaitKind::Park, deadline_ns) {
            Woken::Ready => {}
            Woken::Cancelled => unwind::cancelled(),
            Woken::TimedOut if sys::clock::monotonic_ns() < deadline_ns => unwind::expired(),
            Woken::TimedOut => {}
        }
    }
    task.clear(flag::TOKEN);
}
