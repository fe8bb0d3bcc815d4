//! The panics by which waits end early: raised past the panic hook, caught at a task's root or by
//! the deadline scope that ran out.

use super::Scheduler;
use super::task::flag;
use std::any::Any;
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

/// What unwinds a wait up to the deadline scope that ran out.
pub(crate) struct Expired;

/// Unwinds the current task because it is cancelled.
#[cold]
pub(crate) fn cancelled() -> ! {
    raise(Box::new(Cancelled))
}

/// Unwinds the current task up to the deadline scope that ran out.
#[cold]
pub(crate) fn expired() -> ! {
    raise(Box::new(Expired))
}

/// Raises `payload`; in a destructor of a coroutine that is unwinding already, where a second panic
/// would abort without a word, says why it aborts.
fn raise(payload: Box<dyn Any + Send>) -> ! {
    let scheduler = Scheduler::current();
    if scheduler.map_or_else(std::thread::panicking, Scheduler::is_unwinding) {
        eprintln!(
            "cove: a destructor waits while its coroutine unwinds, and the coroutine was cancelled \
             or its time ran out meanwhile. Aborting."
        );
        std::process::abort();
    }
    if let (Some(scheduler), true) = (scheduler, std::thread::panicking()) {
        // The thread was unwinding before: it cannot tell whether this task is as well. From here
        // on it is, so nothing may interrupt the waits of its destructors.
        scheduler.current_task().set(flag::MASKED);
    }
    resume_unwind(payload)
}
