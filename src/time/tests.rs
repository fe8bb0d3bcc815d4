//! Tests of sleeping, ticking and deadline scopes.

use super::interval::following;
use super::*;
use crate::task::{Cancelled, blocking_io, park, yield_now};
use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

const LONG: Duration = Duration::from_secs(3600);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_sleep_is_never_early_and_seldom_late() {
    // Goal: accuracy below a millisecond. Method: 200 sleeps of 0 to 2 ms; the median lateness has
    // a wide bound, for a busy machine.
    let mut late: Vec<Duration> = crate::run(|| {
        let sleep_once = |n: u64| {
            let duration = Duration::from_micros(n * 10);
            let start = Instant::now();
            sleep(duration);
            start.elapsed().checked_sub(duration).expect("not early")
        };
        (0..200).map(sleep_once).collect()
    });
    late.sort();
    println!("lateness: median {:?}, most {:?}", late[100], late[199]);
    assert!(late[100] < ms(20), "median lateness {:?}", late[100]);
}

#[test]
fn ten_thousand_sleepers_all_wake_after_their_time() {
    // Goal: many timers at once. Method: ten thousand coroutines with deadlines spread over 50 ms,
    // each of which notes when it woke.
    let early = crate::run(|| {
        let sleeper = |n: u64| {
            let instant = Instant::now() + Duration::from_micros(n * 7919 % 50_000);
            crate::spawn(move || {
                sleep_until(instant);
                Instant::now() < instant
            })
        };
        let sleepers: Vec<_> = (0..10_000).map(sleeper).collect();
        sleepers.into_iter().map(|it| it.join().expect("no panic")).filter(|early| *early).count()
    });
    assert_eq!(early, 0);
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    // Goal: order. Method: three sleeps far enough apart that all are in the wheel before the
    // first.
    let order = crate::run(|| {
        let order = Rc::new(RefCell::new(Vec::new()));
        let start = Instant::now() + ms(50);
        let sleepers = [3, 1, 2].map(|n| {
            let order = order.clone();
            crate::spawn(move || {
                sleep_until(start + ms(n * 5));
                order.borrow_mut().push(n);
            })
        });
        sleepers.into_iter().for_each(|it| it.join().expect("no panic"));
        order.take()
    });
    assert_eq!(order, [1, 2, 3]);
}

#[test]
fn a_sleep_of_zero_lets_others_run_and_a_past_instant_returns() {
    // Goal: the edges below. Method: a coroutine that is ready runs during a sleep of zero.
    crate::run(|| {
        let other = crate::spawn(|| ());
        sleep(Duration::ZERO);
        assert!(other.is_finished());
        sleep_until(Instant::now() - ms(5));
    });
}

#[test]
fn a_sleep_for_ever_ends_by_cancelling() {
    // Goal: the edge above, and cancellation. Method: cancel a sleep of the longest duration.
    crate::run(|| {
        let sleeper = crate::spawn(|| sleep(Duration::MAX));
        yield_now();
        sleeper.cancel();
        assert!(sleeper.join().expect_err("cancelled").is::<Cancelled>());
    });
}

#[test]
fn a_wake_up_without_reason_does_not_end_a_sleep() {
    // Goal: spurious wake-ups. Method: unpark the sleeper from another thread, which wakes it.
    crate::run(|| {
        let start = Instant::now();
        let sleeper = crate::spawn(|| sleep(ms(20)));
        yield_now();
        let handle = sleeper.task();
        std::thread::spawn(move || handle.unpark()).join().expect("no panic");
        sleeper.join().expect("no panic");
        assert!(start.elapsed() >= ms(20));
    });
}

#[test]
fn outside_a_runtime_the_thread_sleeps() {
    // Goal: both sleeps work on a plain thread. Method: measure.
    let start = Instant::now();
    sleep(ms(1));
    sleep_until(start + ms(3));
    assert!(start.elapsed() >= ms(3));
    assert_eq!(deadline(), None);
}

#[test]
fn the_earliest_scope_wins_and_each_returns_its_own_error() {
    // Goal: nesting. Method: the inner one earlier, then the outer one; note who returned.
    crate::run(|| {
        let outer = timeout(LONG, || {
            assert!(timeout(ms(1), || sleep(LONG)).is_err());
            "the outer one goes on"
        });
        assert_eq!(outer, Ok("the outer one goes on"));
        let passed = Cell::new(false);
        let outer = timeout(ms(1), || {
            let inner = timeout(LONG, || sleep(LONG));
            passed.set(true);
            inner
        });
        assert!(outer.is_err() && !passed.get());
    });
}

#[test]
fn a_scope_that_ends_puts_the_outer_deadline_back() {
    // Goal: no deadline outlives its scope. Method: ask for it after each way to leave: return,
    // time-out, panic.
    crate::run(|| {
        assert_eq!(deadline(), None);
        let inside = timeout(LONG, || {
            let outer = deadline().expect("a deadline");
            let inner = timeout(ms(500), deadline).expect("in time").expect("a deadline");
            assert!(inner < outer);
            assert!(timeout(ms(1), park).is_err());
            let panic =
                catch_unwind(AssertUnwindSafe(|| timeout(ms(500), || resume_unwind(Box::new(1)))));
            assert!(panic.is_err());
            deadline().expect("a deadline")
        });
        assert!(inside.expect("in time") > Instant::now() + LONG / 2);
        assert_eq!(deadline(), None);
    });
}

#[test]
fn a_scope_ends_a_join_and_runs_destructors() {
    // Goal: waits other than sleeps, and unwinding. Method: join a sleeper inside a scope with a
    // value that tells of its end.
    struct Tell<'a>(&'a Cell<bool>);
    impl Drop for Tell<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    crate::run(|| {
        let dropped = Cell::new(false);
        let outcome = timeout(ms(1), || {
            let _tell = Tell(&dropped);
            crate::spawn(|| sleep(LONG)).join()
        });
        assert!(outcome.is_err() && dropped.get());
    });
}

#[test]
fn children_spawned_inside_a_scope_are_not_bound() {
    // Goal: deadlines belong to one coroutine. Method: a child sleeps longer than the scope.
    crate::run(|| {
        let child = timeout(ms(1), || crate::spawn(|| sleep(ms(5)))).expect("does not wait");
        assert!(child.join().is_ok());
    });
}

#[test]
fn io_in_a_scope_returns_timed_out() {
    // Goal: I/O does not unwind. Method: a blocking operation that ends when the scope has.
    let (go, gone) = std::sync::mpsc::channel::<()>();
    crate::run(|| {
        let outcome = timeout(ms(2), || {
            blocking_io(move || gone.recv().map_err(|_| io::ErrorKind::BrokenPipe.into()))
        });
        let error = outcome.expect("the closure returned").expect_err("timed out");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    });
    drop(go);
}

#[test]
fn a_scope_catches_no_panic_but_its_own() {
    // Goal: other payloads and cancellation pass through. Method: both.
    crate::run(|| {
        let raise = || {
            let _ = timeout(LONG, || resume_unwind(Box::new("mine")));
        };
        let payload = crate::spawn(raise).join().expect_err("a panic");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"mine"));
        let sleeper = crate::spawn(|| timeout(LONG, || sleep(LONG)));
        yield_now();
        sleeper.cancel();
        assert!(sleeper.join().expect_err("cancelled").is::<Cancelled>());
    });
}

#[test]
fn a_swallowed_unwinding_comes_again_at_the_next_wait() {
    // Goal: catch_unwind inside a scope does not escape its deadline. Method: swallow it once.
    crate::run(|| {
        let waits = Cell::new(0);
        let outcome = timeout(ms(1), || {
            loop {
                waits.set(waits.get() + 1);
                let swallowed = catch_unwind(|| sleep(LONG));
                if waits.get() == 3 {
                    resume_unwind(swallowed.expect_err("expired"));
                }
            }
        });
        assert!(outcome.is_err_and(|_: Elapsed| true));
        assert_eq!(waits.get(), 3);
    });
}

#[test]
fn a_scope_holds_within_coroutines_scopes() {
    // Goal: an expired deadline ends cove::scope and its children. Method: a child that sleeps
    // long.
    crate::run(|| {
        let outcome = timeout(ms(1), || {
            crate::scope(|scope| {
                scope.spawn(|| sleep(LONG));
            });
        });
        assert!(outcome.is_err());
    });
}

#[test]
fn a_late_value_is_still_a_value() {
    // Goal: work that was done is not thrown away. Method: compute past the deadline.
    crate::run(|| {
        let outcome = timeout(Duration::ZERO, || {
            // SLEEP: the work takes longer than the deadline.
            std::thread::sleep(ms(1));
            5
        });
        assert_eq!(outcome, Ok(5));
    });
}

#[test]
fn elapsed_is_an_error_of_input_and_output() {
    // Goal: `?` in functions that return io::Result. Method: convert.
    let elapsed = crate::run(|| timeout(Duration::ZERO, park)).expect_err("no time");
    let error = io::Error::from(elapsed);
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (io::ErrorKind::TimedOut, "the time ran out")
    );
}

#[test]
fn ticks_keep_their_distance_and_cancelling_takes_none() {
    // Goal: the schedule. Method: ticks of 2 ms are never early; one that times out is not lost.
    crate::run(|| {
        // Far enough away that the time-out comes first on a busy machine too.
        let start = Instant::now() + ms(300);
        let mut ticks = interval_at(start, ms(2));
        assert!(timeout(ms(1), || ticks.tick()).is_err());
        for n in 0..5 {
            let due = ticks.tick();
            assert_eq!(due, start + ms(2 * n));
            assert!(Instant::now() >= due);
        }
        ticks.reset();
        assert!(ticks.tick() > start + ms(8));
    });
}

#[test]
fn missed_ticks_burst_delay_or_are_skipped() {
    // Goal: the documented table. Method: the function behind it, without waiting.
    let start = Instant::now();
    let next = |due, now, missed| following(start + ms(due), start + ms(now), ms(10), missed);
    for missed in [MissedTick::Burst, MissedTick::Delay, MissedTick::Skip] {
        assert_eq!(next(10, 10, missed), start + ms(20));
        assert_eq!(next(10, 19, missed), start + ms(20));
    }
    assert_eq!(next(10, 35, MissedTick::Burst), start + ms(20));
    assert_eq!(next(10, 35, MissedTick::Delay), start + ms(45));
    assert_eq!(next(10, 35, MissedTick::Skip), start + ms(40));
    assert_eq!(next(10, 30, MissedTick::Skip), start + ms(40));
    let far = following(start, start, Duration::MAX, MissedTick::Burst);
    assert!(far > start + LONG);
}

#[test]
#[should_panic(expected = "outside a runtime")]
fn a_scope_outside_a_runtime_panics() {
    // Goal: no scope that silently does not bound. Method: open one on a plain thread.
    let _ = timeout(LONG, || ());
}

#[test]
fn scope_that_is_left_elsewhere_does_not_touch_its_task() {
    // Goal: a bare coroutine may suspend inside a scope and be resumed when the task that opened it
    // is gone. Method: two tasks, one after the other on one stack; the later one stays unbounded.
    use crate::coroutine::{Coroutine, Suspender};
    crate::run(|| {
        let opened = crate::spawn(|| {
            let mut coroutine = Coroutine::new(|suspender: &Suspender<(), ()>, ()| {
                let _ = timeout(ms(60_000), || suspender.suspend(()));
            });
            coroutine.resume(());
            coroutine
        });
        let mut coroutine = opened.join().expect("no panic");
        let other = crate::spawn(move || {
            assert_eq!(deadline(), None);
            coroutine.resume(());
            assert!(coroutine.is_complete());
            deadline()
        });
        assert_eq!(other.join().expect("no panic"), None);
    });
}

#[test]
fn scopes_of_bare_coroutines_end_in_any_order() {
    // Goal: a scope that outlives the one that was opened before it leaves nothing behind, and
    // keeps its own deadline meanwhile. Method: two bare coroutines suspend inside scopes; the
    // first one to open is the first to end. Then one is resumed, and one dropped, by another task.
    use crate::coroutine::Coroutine;
    crate::run(|| {
        let open = |hours: u64| {
            Coroutine::<(), (), ()>::new(move |suspender, ()| {
                let _ = timeout(Duration::from_secs(3600 * hours), || suspender.suspend(()));
            })
        };
        let is_within = |hours: u64| {
            let rest = deadline().map(|it| it.saturating_duration_since(Instant::now()));
            rest.is_some_and(|rest| rest.as_secs().div_ceil(3600) == hours)
        };
        let (mut first, mut second) = (open(1), open(2));
        let _ = (first.resume(()), second.resume(()));
        assert!(is_within(1));
        let _ = first.resume(());
        assert!(first.is_complete() && is_within(2));
        let _ = second.resume(());
        assert_eq!(deadline(), None);
        let (mut third, mut fourth) = (open(3), open(4));
        let _ = (third.resume(()), fourth.resume(()));
        // The coroutines go to another task of this thread, which they may: they stay on it.
        let other = crate::spawn(move || {
            let _ = third.resume(());
            drop(fourth);
            deadline()
        });
        assert!(is_within(3));
        assert_eq!(other.join().expect("it ends"), None);
        assert_eq!(deadline(), None);
    });
}
