//! Waiting for a time: sleeps, ticks, and deadlines around whatever else waits.
//!
//! Only the waiting differs from [`std::time`], whose types are here as well, so that a program
//! changes its `use std::time` to `use cove::time`. Times are those of [`Instant`], the monotonic
//! clock. No wait ends before its time; how long after depends on what else the thread has to do,
//! and is below 100 us on an idle one; half of that is the kernel's timer slack
//! (`PR_SET_TIMERSLACK` in prctl(2)). While a thread's waits end by the crowd, 64 and more in each
//! millisecond, it wakes up for a quarter of a millisecond's worth of them at a time.
//!
//! ```
//! use cove::time::{Duration, Instant, sleep, timeout};
//! cove::run(|| {
//!     let start = Instant::now();
//!     let late = timeout(Duration::from_millis(5), || sleep(Duration::from_secs(3600)));
//!     assert!(late.is_err() && start.elapsed() >= Duration::from_millis(5));
//! });
//! ```
//!
//! The runtime's unit is nanoseconds of the monotonic clock. An `Instant` is turned into them by
//! one moment that was read on both clocks, on `Instant`'s first, so that the result is never
//! early.

mod interval;
mod timeout;

pub use interval::{Interval, MissedTick, interval, interval_at};
pub use std::time::{
    Duration, Instant, SystemTime, SystemTimeError, TryFromFloatSecsError, UNIX_EPOCH,
};
pub use timeout::{Elapsed, deadline, timeout, timeout_at};

use crate::scheduler::task::Woken;
use crate::scheduler::wait::WaitKind;
use crate::scheduler::{Scheduler, unwind};
use crate::sys;
use std::sync::OnceLock;

/// Puts the coroutine to sleep for at least `duration`; [`std::thread::sleep`] for coroutines. A
/// sleep of zero lets the other ready ones run. Outside a runtime, the thread sleeps.
///
/// ```
/// use cove::time::{Duration, Instant, sleep};
/// let start = Instant::now();
/// cove::run(|| {
///     let sleepers = [3, 1, 2].map(|ms| cove::spawn(move || sleep(Duration::from_millis(ms))));
///     sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
/// });
/// assert!(start.elapsed() >= Duration::from_millis(3));
/// ```
#[inline]
pub fn sleep(duration: Duration) {
    match scheduler() {
        Some(scheduler) => sleep_until_ns(scheduler, sys::clock::deadline_ns(duration)),
        // SLEEP: what the caller asked for.
        None => std::thread::sleep(duration),
    }
}

/// Puts the coroutine to sleep until `instant` or a little later.
///
/// ```
/// use cove::time::{Duration, Instant, sleep_until};
/// let instant = Instant::now() + Duration::from_millis(1);
/// cove::run(|| sleep_until(instant));
/// assert!(Instant::now() >= instant);
/// ```
#[inline]
pub fn sleep_until(instant: Instant) {
    match scheduler() {
        Some(scheduler) => sleep_until_ns(scheduler, nanoseconds_of(instant)),
        // SLEEP: what the caller asked for.
        None => std::thread::sleep(instant.saturating_duration_since(Instant::now())),
    }
}

/// A million sleepers on shared stacks keep this frame each: so the task parks in it, and only the
/// deadline is kept.
#[inline(never)]
fn sleep_until_ns(scheduler: &Scheduler, deadline_ns: u64) {
    let woken = scheduler.park_here(WaitKind::Sleep, deadline_ns);
    sleep_on(woken, deadline_ns);
}

/// Sleeps for the rest of the time, if the task was woken for another reason than its own timer.
#[inline(never)]
fn sleep_on(woken: Woken, deadline_ns: u64) {
    let mut woken = woken;
    while let Some(scheduler) = scheduler() {
        // Without a deadline scope no other timer can have woken the task.
        if woken == Woken::TimedOut && scheduler.current_task().extra().is_none() {
            return;
        }
        if is_over(woken, deadline_ns) {
            return;
        }
        woken = scheduler.park(WaitKind::Sleep, deadline_ns);
    }
}

#[cold]
fn is_over(woken: Woken, deadline_ns: u64) -> bool {
    let due = sys::clock::monotonic_ns() >= deadline_ns;
    match woken {
        Woken::Cancelled => unwind::cancelled(),
        Woken::TimedOut if !due => unwind::expired(),
        Woken::TimedOut | Woken::Ready => due,
    }
}

/// The scheduler, if a coroutine of it is running.
#[inline(always)]
fn scheduler<'a>() -> Option<&'a Scheduler> {
    Scheduler::current().filter(|scheduler| !scheduler.is_in_loop())
}

/// One moment on both clocks, by which the one is turned into the other.
static ORIGIN: OnceLock<(Instant, u64)> = OnceLock::new();

/// `instant` in the runtime's unit, or a moment later; 0 if it passed long ago.
fn nanoseconds_of(instant: Instant) -> u64 {
    // Instant's clock is read first: the time that passes between the two readings is added.
    let (origin, origin_ns) = *ORIGIN.get_or_init(|| (Instant::now(), sys::clock::monotonic_ns()));
    match instant.checked_duration_since(origin) {
        Some(rest) => sys::clock::after(origin_ns, rest),
        None => 0,
    }
}

#[cfg(test)]
mod tests;
