//! Barriers: rounds, leaders, mixtures of threads and coroutines, cancelled waits.

use crate::sync::Barrier;
use crate::sync::tests::support::{SHORT, assert_cancelled, crowd, settle, within};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

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
fn nobody_passes_with_one_who_gives_up_on_another_thread() {
    // Goal: both of two pass or none does, however closely one's end of patience and the other's
    // coming meet. Method: two runtimes; one waits at once, the other comes some microseconds
    // later, about when the first one's deadline has passed; compare round by round.
    const ROUNDS: u64 = 5_000;
    let (barrier, start) = (Barrier::new(2), std::sync::Barrier::new(2));
    let passes = &|late_us: u64| -> Vec<bool> {
        let pass = |round: u64| {
            start.wait();
            let (began, late) = (Instant::now(), Duration::from_micros(round * 7 % late_us));
            while began.elapsed() < late {
                std::hint::spin_loop();
            }
            let passed = within(Duration::from_micros(20), || barrier.wait());
            start.wait();
            passed.is_some()
        };
        crate::run(|| (0..ROUNDS).map(pass).collect())
    };
    std::thread::scope(|scope| {
        let [one, other] = [1, 120].map(|late_us| scope.spawn(move || passes(late_us)));
        assert!(one.join().unwrap() == other.join().unwrap());
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
