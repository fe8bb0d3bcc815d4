//! Deadline scopes: a time by which everything that waits inside a closure ends.
//!
//! The scheduler knows one deadline for each coroutine, the earliest of its open scopes. When it
//! passes, the wait at hand ends: I/O with an error, any other by unwinding with `Expired`, which
//! the scope whose deadline it was catches.
//!
//! ```text
//!   timeout(30 ms)             outer, in force: 30
//!   |  timeout(10 ms)          inner, in force: 10
//!   |  |  sleep(1 s)           at 10 ms: unwinds to the inner one, which returns Elapsed
//!   |  timeout(50 ms)          inner, in force: 30
//!   |  |  sleep(1 s)           at 30 ms: unwinds through this one to the outer one
//! ```

use super::{Duration, Instant, nanoseconds_of, scheduler};
use crate::scheduler::unwind::Expired;
use crate::scheduler::wait::NEVER;
use crate::sys;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The error of a deadline scope whose time ran out before its closure returned.
///
/// ```
/// use cove::time::{Duration, sleep, timeout};
/// let hour = Duration::from_secs(3600);
/// let elapsed = cove::run(|| timeout(Duration::from_millis(1), || sleep(hour))).unwrap_err();
/// assert_eq!(std::io::Error::from(elapsed).kind(), std::io::ErrorKind::TimedOut);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl std::fmt::Display for Elapsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the time ran out")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(error: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, error)
    }
}

/// Runs `function` on this coroutine, and ends every wait inside it when `duration` is over.
///
/// - Input and output that waits then returns an error of kind
///   [`TimedOut`](io::ErrorKind::TimedOut), which `function` handles as it likes.
/// - Any other wait (a sleep, a lock, a channel, a join) unwinds `function`, running destructors,
///   and the scope returns `Elapsed`.
/// - What `function` returns comes back as `Ok`, however late. Code that does not wait is not
///   interrupted, and coroutines that it spawns are not bound.
/// - Scopes nest: the earliest deadline counts, and the scope that set it returns `Elapsed`.
/// - In destructors that run while the thread unwinds, deadlines are not looked at.
///
/// A scope is the scheduled coroutine's that opens it. If `function` runs in a bare
/// [`Coroutine`](crate::coroutine::Coroutine) and suspends, the scope stays open: until that
/// coroutine is resumed to the end of the scope or dropped, it bounds the waits of the scheduled
/// coroutine that opened it, and of no other that resumes the bare one; if the bare one is leaked,
/// for good. So end a scope before you suspend, or open it around the `resume`.
///
/// ```
/// use cove::time::{Duration, sleep, timeout};
/// cove::run(|| {
///     assert_eq!(timeout(Duration::from_secs(60), || 1 + 1), Ok(2));
///     let late = timeout(Duration::from_millis(1), || sleep(Duration::from_secs(3600)));
///     assert_eq!(late.unwrap_err().to_string(), "the time ran out");
/// });
/// ```
///
/// # Errors
/// [`Elapsed`] if `duration` was over before `function` returned.
///
/// # Panics
/// With the panic of `function`; and outside a runtime, where nothing would end the waits.
#[track_caller]
pub fn timeout<T>(duration: Duration, function: impl FnOnce() -> T) -> Result<T, Elapsed> {
    scope(sys::clock::deadline_ns(duration), function)
}

/// As [`timeout`], with a time instead of a duration.
///
/// ```
/// use cove::time::{Duration, Instant, sleep, timeout_at};
/// cove::run(|| {
///     let instant = Instant::now() + Duration::from_millis(1);
///     assert!(timeout_at(instant, || sleep(Duration::from_secs(3600))).is_err());
///     assert!(Instant::now() >= instant);
/// });
/// ```
///
/// # Errors
/// As [`timeout`].
///
/// # Panics
/// As [`timeout`].
#[track_caller]
pub fn timeout_at<T>(instant: Instant, function: impl FnOnce() -> T) -> Result<T, Elapsed> {
    scope(nanoseconds_of(instant), function)
}

/// The earliest deadline of the scopes around this point; none outside of all, and outside a
/// runtime. Exact to about a microsecond.
///
/// ```
/// use cove::time::{Duration, Instant, deadline, timeout};
/// cove::run(|| {
///     assert_eq!(deadline(), None);
///     let inside = timeout(Duration::from_secs(60), deadline).unwrap();
///     assert!(inside.unwrap() > Instant::now() + Duration::from_secs(50));
/// });
/// ```
pub fn deadline() -> Option<Instant> {
    let deadline_ns = scheduler()?.current_task().scope_deadline_ns();
    if deadline_ns == NEVER {
        return None;
    }
    let now_ns = sys::clock::monotonic_ns();
    let now = Instant::now();
    match deadline_ns.checked_sub(now_ns) {
        Some(rest_ns) => now.checked_add(Duration::from_nanos(rest_ns)),
        None => now.checked_sub(Duration::from_nanos(now_ns - deadline_ns)),
    }
}

#[track_caller]
fn scope<T>(deadline_ns: u64, function: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let scheduler = scheduler().expect("a deadline scope was opened outside a runtime");
    let task = scheduler.current_task();
    let key = task.change_extra(|extra| extra.open_scope(deadline_ns));
    let outcome = {
        let _close = Close { slot: task.slot, id: task.id, key };
        catch_unwind(AssertUnwindSafe(function))
    };
    match outcome {
        Ok(value) => Ok(value),
        // The payload may have been kept by `catch_unwind` and come from another scope.
        Err(payload) if payload.is::<Expired>() && is_due(deadline_ns) => Err(Elapsed(())),
        Err(payload) => resume_unwind(payload),
    }
}

/// Whether the time of a scope that was just closed is over, and no earlier scope's around it.
#[cold]
fn is_due(deadline_ns: u64) -> bool {
    let outer_ns = scheduler()
        .and_then(|scheduler| scheduler.current_task().extra()?.scope_deadline_ns)
        .unwrap_or(NEVER);
    deadline_ns <= outer_ns && sys::clock::monotonic_ns() >= deadline_ns
}

/// Closes a scope: that of the task that opened it. A bare coroutine that suspends inside a scope
/// may be resumed, or dropped, by another one, when that task may be gone.
struct Close {
    slot: u32,
    id: u64,
    key: u64,
}

impl Drop for Close {
    fn drop(&mut self) {
        let Some(scheduler) = scheduler() else { return };
        let current = scheduler.current_task();
        let opener =
            if current.id == self.id { Some(current) } else { scheduler.find(self.slot, self.id) };
        if let Some(task) = opener {
            task.change_extra(|extra| extra.close_scope(self.key));
        }
    }
}
