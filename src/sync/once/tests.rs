//! Running once: others wait meanwhile, panics and cancellations poison.

use crate::sync::Once;
use crate::sync::tests::support::{assert_cancelled, crowd, settle};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

#[test]
fn one_of_many_runs_and_all_see_its_work() {
    // Goal: exactly one closure runs, though it yields, and nobody returns before it has ended.
    // Method: a crowd calls; the closure counts after a yield.
    let (once, runs) = (Once::new(), AtomicU32::new(0));
    crowd(2, 4, 2, || {
        once.call_once(|| {
            crate::task::yield_now();
            runs.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    });
    assert!(once.is_completed());
}

#[test]
fn a_closure_that_unwinds_poisons() {
    // Goal: as std's; a cancelled closure counts as one that panicked. Method: cancel it while
    // another waits, which then panics in turn; then force.
    crate::run(|| {
        let once = Rc::new(Once::new());
        let (runs, waits) = (once.clone(), once.clone());
        let runner = crate::spawn(move || runs.call_once(crate::task::park));
        let waiter = crate::spawn(move || waits.call_once(|| unreachable!("poisoned")));
        settle();
        runner.cancel();
        assert_cancelled(runner.join());
        assert!(waiter.join().is_err());
        assert!(!once.is_completed());
        assert!(catch_unwind(AssertUnwindSafe(|| once.call_once(|| ()))).is_err());
        once.call_once_force(|state| assert!(state.is_poisoned()));
        assert!(once.is_completed());
        once.call_once(|| unreachable!("completed"));
    });
}
