//! The panics by which waits end early: raised past the panic hook, caught at a task's root or by
//! the deadline scope that ran out.

use super::Scheduler;
use super::task::flag;
use std::panic::resume_unwind;

/// What a cancelled coroutine's `join` brings back as its error.
///
/// ```
/// let payload = cove::run(|| {
///     let sleeper = cove::spawn(|| cove::time::sleep(std::time::Duration::from_secs(3600)));
///     cove::task::yield_now();
///     sleeper.cancel();
///     sleeper.join().unwrap_err()
/// });
/// assert!(payload.is::<cove::task::Cancelled>());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl std::fmt::Display for Cancelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the coroutine was cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// What the `join` of a coroutine on a shared stack brings back if there was no memory to keep its
/// frames in while others used the stack; it was unwound from its wait then.
///
/// Its message says what to do about it.
///
/// ```
/// use cove::task::{Cancelled, Evicted};
/// fn explain(payload: &(dyn std::any::Any + Send)) -> String {
///     if let Some(evicted) = payload.downcast_ref::<Evicted>() {
///         return evicted.to_string();
///     }
///     payload.downcast_ref::<Cancelled>().map_or("a panic".into(), ToString::to_string)
/// }
/// assert!(explain(&Evicted).starts_with("no memory for the frames"));
/// assert_eq!(explain(&Cancelled), "the coroutine was cancelled");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted;

impl std::fmt::Display for Evicted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "no memory for the frames of a coroutine on a shared stack: free memory, raise the \
             address space limit (ulimit -v, RLIMIT_AS; `prlimit --as=BYTES --pid={}`) if there is \
             one, or use fewer coroutines or smaller frames",
            std::process::id()
        )
    }
}

impl std::error::Error for Evicted {}

/// What unwinds a wait up to the deadline scope that ran out.
pub(crate) struct Expired;

/// Unwinds the current task because it is cancelled.
#[cold]
pub(crate) fn cancelled() -> ! {
    refuse_while_unwinding();
    if let (Some(scheduler), true) = (Scheduler::current(), std::thread::panicking()) {
        // The thread was unwinding before, and so cannot tell whether this task does. From here on
        // it does: nothing may end the waits of its destructors.
        scheduler.current_task().set(flag::MASKED);
    }
    resume_unwind(Box::new(Cancelled))
}

/// Unwinds the current task up to the deadline scope that ran out.
#[cold]
pub(crate) fn expired() -> ! {
    refuse_while_unwinding();
    resume_unwind(Box::new(Expired))
}

/// Ends the process if the current task unwinds already, where a second panic would abort without a
/// word. The scheduler lets no wait of such a task be cancelled, so this does not happen.
fn refuse_while_unwinding() {
    if std::thread::panicking() && Scheduler::current().is_none_or(Scheduler::is_unwinding) {
        eprintln!(
            "cove: a wait inside a destructor was to be cancelled during unwinding. Aborting."
        );
        std::process::abort();
    }
}
