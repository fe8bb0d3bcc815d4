//! What users see of a semaphore.

use crate::sync::tests::support::{LONG, SHORT, assert_cancelled, crowd, settle, until, within};
use crate::sync::{Arc, Semaphore};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn no_more_hold_permits_than_there_are() {
    // Goal: the limit holds between coroutines, runtimes and plain threads.
    // Method: all count themselves in and out and look at the highest count.
    let semaphore = Semaphore::new(3);
    let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    crowd(2, 5, 2, || {
        for _ in 0..500 {
            let _permit = semaphore.acquire();
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            crate::task::yield_now();
            inside.fetch_sub(1, Ordering::SeqCst);
        }
    });
    assert!((1..=3).contains(&most.into_inner()));
    assert_eq!(semaphore.available_permits(), 3);
}

#[test]
fn waiters_are_served_in_order_whatever_they_want() {
    // Goal: one who wants many is not overtaken by those who want few and came later.
    // Method: wants of 3, 1 and 2 queue up; permits come one at a time.
    crate::run(|| {
        let (semaphore, order) = (Semaphore::new(0), RefCell::new(Vec::new()));
        crate::scope(|scope| {
            for wanted in [3, 1, 2] {
                let (semaphore, order) = (&semaphore, &order);
                scope.spawn(move || {
                    semaphore.acquire_many(wanted).forget();
                    order.borrow_mut().push(wanted);
                });
            }
            settle();
            for given in 1..=6 {
                assert!(semaphore.try_acquire().is_none(), "nobody gets in before those who wait");
                semaphore.add_permits(1);
                settle();
                let served: u32 = order.borrow().iter().sum();
                assert_eq!(served, [0, 0, 3, 4, 4, 6][given - 1]);
            }
        });
        assert_eq!(order.into_inner(), [3, 1, 2]);
        assert_eq!(semaphore.available_permits(), 0);
    });
}

#[test]
fn permits_before_the_wait_are_kept() {
    // Goal: giving before taking loses nothing. Method: a plain thread gives, then we take.
    let semaphore = Arc::new(Semaphore::new(0));
    let other = semaphore.clone();
    std::thread::spawn(move || other.add_permits(2)).join().unwrap();
    crate::run(|| {
        let two = semaphore.acquire_many(2);
        assert_eq!((two.permits(), semaphore.available_permits()), (2, 0));
    });
    assert_eq!(semaphore.available_permits(), 2);
}

#[test]
fn a_cancelled_waiter_lets_those_behind_it_in() {
    // Goal: what the first in the queue cannot have is not kept from the next.
    // Method: one wants two of one permit, another wants one behind it; cancel the first.
    crate::run(|| {
        let semaphore = Rc::new(Semaphore::new(1));
        let spawn = |wanted| {
            let semaphore = semaphore.clone();
            crate::spawn(move || semaphore.acquire_many(wanted).forget())
        };
        let (first, second) = (spawn(2), spawn(1));
        settle();
        assert!(!second.is_finished());
        first.cancel();
        second.join().unwrap();
        assert_cancelled(first.join());
        assert_eq!(semaphore.available_permits(), 0);
        semaphore.add_permits(1);
        assert!(semaphore.try_acquire().is_some(), "no note of a waiter is left over");
    });
}

#[test]
fn a_permit_given_to_a_waiter_that_is_then_cancelled_comes_back() {
    // Goal: a permit that was handed over is not lost with its receiver.
    // Method: give it, cancel the receiver before it runs; it returns with it, and unwinds later.
    crate::run(|| {
        let semaphore = Rc::new(Semaphore::new(0));
        let passed = Rc::new(Cell::new(false));
        let waiter = crate::spawn({
            let (semaphore, passed) = (semaphore.clone(), passed.clone());
            move || {
                let _permit = semaphore.acquire();
                passed.set(true);
                crate::task::park();
            }
        });
        settle();
        semaphore.add_permits(1);
        waiter.cancel();
        assert_cancelled(waiter.join());
        assert!(passed.get());
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn time_limits_and_deadline_scopes_end_the_wait_and_take_nothing() {
    // Goal: both ways out leave the counter and the queue as they were; one that is served in time
    // says so. Method: with no permit, then with one given by a plain thread.
    crate::run(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        assert!(semaphore.acquire_timeout(SHORT).is_none());
        assert!(within(SHORT, || semaphore.acquire().forget()).is_none());
        let other = semaphore.clone();
        let thread = std::thread::spawn(move || other.add_permits(1));
        assert!(semaphore.acquire_timeout(LONG).is_some());
        thread.join().unwrap();
        assert_eq!(semaphore.available_permits(), 1);
    });
    let outside = Semaphore::new(0);
    assert!(outside.acquire_timeout(SHORT).is_none(), "a plain thread");
}

#[test]
fn a_waiter_that_times_out_lets_those_behind_it_in() {
    // Goal: as for a cancelled one. Method: one wants two of no permits for a short time in a
    // scope, another wants one, and one is given meanwhile.
    crate::run(|| {
        let semaphore = Rc::new(Semaphore::new(1));
        let spawn = |wanted| {
            let semaphore = semaphore.clone();
            crate::spawn(move || within(SHORT, || semaphore.acquire_many(wanted).forget()))
        };
        let first = spawn(2);
        settle();
        let second = {
            let semaphore = semaphore.clone();
            crate::spawn(move || semaphore.acquire().forget())
        };
        second.join().unwrap();
        assert!(first.join().unwrap().is_none());
    });
}

#[test]
fn time_limits_race_with_gifts() {
    // Goal: a permit given at the moment at which time is up is either taken or still there.
    // Method: waits of about no time against a thread that gives and one that takes back.
    let semaphore = Arc::new(Semaphore::new(0));
    let (given, taken) = (2_000, Rc::new(Cell::new(0)));
    crate::run(|| {
        let other = semaphore.clone();
        let thread = std::thread::spawn(move || {
            for _ in 0..given {
                other.add_permits(1);
                std::thread::yield_now();
            }
        });
        let takers: Vec<_> = (0..4)
            .map(|_| {
                let (semaphore, taken) = (semaphore.clone(), taken.clone());
                crate::spawn(move || {
                    while taken.get() < given {
                        let timeout = std::time::Duration::from_micros(1);
                        if let Some(permit) = semaphore.acquire_timeout(timeout) {
                            permit.forget();
                            taken.set(taken.get() + 1);
                        }
                    }
                })
            })
            .collect();
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        until(|| thread.is_finished());
        thread.join().unwrap();
        assert_eq!((taken.get(), semaphore.available_permits()), (given, 0));
    });
}

#[test]
fn zero_permits_are_had_at_once() {
    // Goal: wanting nothing never waits. Method: with nothing free and others waiting.
    crate::run(|| {
        let semaphore = Rc::new(Semaphore::new(0));
        let other = semaphore.clone();
        let waiter = crate::spawn(move || drop(other.acquire()));
        settle();
        drop(semaphore.acquire_many(0));
        assert!(semaphore.try_acquire_many(0).is_some());
        waiter.cancel();
        assert_cancelled(waiter.join());
    });
}

#[test]
#[should_panic(expected = "too many permits")]
fn more_permits_than_fit_are_refused() {
    // Goal: the limit is checked, not wrapped. Method: one too many.
    Semaphore::new(Semaphore::MAX_PERMITS).add_permits(1);
}
