//! Waiting, limits and crowds for tests.

use crate::scheduler::unwind::Cancelled;
use crate::sys::clock;
use std::time::Duration;

/// A time that passes in a test.
pub(in crate::sync) const SHORT: Duration = Duration::from_millis(5);

/// A time that no test waits for, unless something is wrong.
pub(in crate::sync) const LONG: Duration = Duration::from_secs(20);

/// Lets the other ready coroutines run until they wait.
pub(in crate::sync) fn settle() {
    for _ in 0..8 {
        crate::task::yield_now();
    }
}

/// Lets other coroutines and threads run until `condition` holds.
pub(in crate::sync) fn until(condition: impl Fn() -> bool) {
    let deadline_ns = clock::deadline_ns(LONG);
    while !condition() {
        assert!(clock::monotonic_ns() < deadline_ns, "nothing happens");
        crate::task::yield_now();
        std::thread::yield_now();
    }
}

/// Runs `function` in a deadline scope; none if that ran out.
pub(in crate::sync) fn within<T>(timeout: Duration, function: impl FnOnce() -> T) -> Option<T> {
    crate::time::timeout(timeout, function).ok()
}

/// Asserts that a join says that the coroutine was cancelled.
pub(in crate::sync) fn assert_cancelled<T>(result: std::thread::Result<T>) {
    assert!(result.err().expect("the coroutine has ended by itself").is::<Cancelled>());
}

/// Runs `work` on `runtimes` threads with a runtime, by `coroutines` coroutines each, and on as
/// many threads without one as `threads` says; waits for all.
pub(in crate::sync) fn crowd(
    runtimes: usize,
    coroutines: usize,
    threads: usize,
    work: impl Fn() + Sync,
) {
    let work = &work;
    std::thread::scope(|scope| {
        for _ in 0..runtimes {
            scope.spawn(|| {
                crate::run(|| {
                    crate::scope(|scope| {
                        for _ in 0..coroutines {
                            scope.spawn(work);
                        }
                    });
                });
            });
        }
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
}
