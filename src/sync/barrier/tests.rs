//! Barriers: rounds, leaders, mixtures of threads and coroutines, cancelled waits.

use crate::sync::Barrier;
use crate::sync::tests::support::{SHORT, assert_cancelled, crowd, settle, within};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn each_round_has_one_leader_and_nobody_passes_early() {
    // Goal: rounds do not mix. Method: everybody counts before and looks after, for many rounds.
    const ROUNDS: usize = 200;
    let (barrier, came, led) = (Barrier::new(8), AtomicUsize::new(0), AtomicUsize::new(0));
    crowd(2, 3, 2, || {
        for round in 1..=ROUNDS {
            came.fetch_add(1, Ordering::SeqCst);
            led.fetch_add(usize::from(barrier.wait().is_leader()), Ordering::SeqCst);
            assert!(came.load(Ordering::SeqCst) >= 8 * round);
            assert!(barrier.wait().is_leader() || came.load(Ordering::SeqCst) >= 8 * round);
        }
    });
    assert_eq!(led.into_inner(), ROUNDS);
}

#[test]
fn one_that_is_cancelled_does_not_count() {
    // Goal: a wait that unwinds takes its coming back. Method: cancel one of two, time one out; two
    // more must still be needed.
    crate::run(|| {
        let barrier = Rc::new(Barrier::new(2));
        let spawn = || {
            let barrier = barrier.clone();
            crate::spawn(move || barrier.wait().is_leader())
        };
        let cancelled = spawn();
        settle();
        cancelled.cancel();
        assert_cancelled(cancelled.join());
        assert!(within(SHORT, || barrier.wait()).is_none());
        let (one, two) = (spawn(), spawn());
        assert!(!one.join().unwrap() && two.join().unwrap());
    });
}

#[test]
fn one_that_was_let_through_stays_so_when_cancelled() {
    // Goal: a cancellation that comes after the round is complete changes nothing about it.
    // Method: complete the round, cancel the other before it runs.
    crate::run(|| {
        let barrier = Rc::new(Barrier::new(2));
        let other = barrier.clone();
        let waiter = crate::spawn(move || other.wait().is_leader());
        settle();
        assert!(barrier.wait().is_leader());
        waiter.cancel();
        assert!(!waiter.join().unwrap());
    });
}

#[test]
fn nobody_waits_at_a_barrier_for_none_or_one() {
    // Goal: as std's. Method: sizes 0 and 1, outside any runtime.
    for size in 0..2 {
        let barrier = Barrier::new(size);
        assert!(barrier.wait().is_leader() && barrier.wait().is_leader());
    }
}
