//! Condition variables: notified, cancelled, out of time, and all of that at once.

use crate::sync::tests::support::{LONG, SHORT, assert_cancelled, crowd, settle, until, within};
use crate::sync::{Arc, Condvar, Mutex};
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

type Shared = (Mutex<u32>, Condvar);

fn shared() -> Rc<Shared> {
    Rc::new((Mutex::new(0), Condvar::new()))
}

/// A coroutine that waits for a token and takes it.
fn taker(shared: &Rc<Shared>) -> crate::JoinHandle<()> {
    let shared = shared.clone();
    crate::spawn(move || {
        let (tokens, changed) = &*shared;
        let mut guard = changed.wait_while(tokens.lock().unwrap(), |tokens| *tokens == 0).unwrap();
        *guard -= 1;
    })
}

#[test]
fn a_queue_between_threads_and_coroutines_passes_everything_on() {
    // Goal: no notification is lost in a crowd. Method: a bounded queue with two condition
    // variables; everybody puts in and takes out the same number.
    let (queue, not_empty, not_full) =
        (Mutex::new(VecDeque::new()), Condvar::new(), Condvar::new());
    crowd(2, 4, 2, || {
        for number in 0..300 {
            let mut guard = queue.lock().unwrap();
            guard = not_full.wait_while(guard, |queue| queue.len() == 20).unwrap();
            guard.push_back(number);
            drop(guard);
            not_empty.notify_one();
            let guard = queue.lock().unwrap();
            let mut guard = not_empty.wait_while(guard, |queue| queue.is_empty()).unwrap();
            guard.pop_front();
            drop(guard);
            not_full.notify_one();
        }
    });
    assert!(queue.into_inner().unwrap().is_empty());
}

#[test]
fn notify_one_wakes_one_and_notify_all_all() {
    // Goal: as the names say, longest waiter first. Method: three wait for any notification.
    crate::run(|| {
        let (shared, woken) = (shared(), Rc::new(Cell::new(0)));
        for number in 1..=3 {
            let (shared, woken) = (shared.clone(), woken.clone());
            crate::spawn(move || {
                let guard = shared.0.lock().unwrap();
                drop(shared.1.wait(guard).unwrap());
                woken.set(woken.get() * 10 + number);
            });
        }
        settle();
        shared.1.notify_one();
        settle();
        assert_eq!(woken.get(), 1);
        shared.1.notify_all();
        settle();
        assert_eq!(woken.get(), 123);
        shared.1.notify_one(); // nobody is left
    });
}

#[test]
fn a_notification_is_not_kept() {
    // Goal: as std's, it reaches those who wait and nobody else. Method: notify, then wait.
    crate::run(|| {
        let shared = shared();
        shared.1.notify_one();
        let guard = shared.0.lock().unwrap();
        assert!(shared.1.wait_timeout(guard, SHORT).unwrap().1.timed_out());
    });
}

#[test]
fn time_limits_say_whether_the_time_was_up() {
    // Goal: `timed_out` is right with and without a notification, in coroutines and plain threads.
    // Method: wait without one; with one from a thread; with a condition that never ends.
    let check = || {
        let shared = Arc::new((Mutex::new(0), Condvar::new()));
        let (tokens, changed) = &*shared;
        let (guard, result) = changed.wait_timeout(tokens.lock().unwrap(), SHORT).unwrap();
        assert!(result.timed_out());
        let other = shared.clone();
        let thread = std::thread::spawn(move || {
            *other.0.lock().unwrap() += 1;
            other.1.notify_all();
        });
        let (guard, result) = changed.wait_timeout_while(guard, LONG, |n| *n == 0).unwrap();
        assert!(!result.timed_out() && *guard == 1);
        let (guard, result) = changed.wait_timeout_while(guard, SHORT, |n| *n == 1).unwrap();
        assert!(result.timed_out());
        let (_guard, result) = changed.wait_timeout_while(guard, SHORT, |n| *n == 0).unwrap();
        assert!(!result.timed_out());
        thread.join().unwrap();
    };
    crate::run(check);
    check();
}

#[test]
fn a_time_limit_ends_although_others_are_notified_all_the_time() {
    // Goal: the limit of `wait_timeout_while` is one for all its waits. Method: a thread notifies
    // without end a condition that never changes.
    let shared = Arc::new((Mutex::new(0), Condvar::new()));
    let (other, stop) = (shared.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            other.1.notify_all();
            std::thread::yield_now();
        }
    });
    crate::run(|| {
        let guard = shared.0.lock().unwrap();
        assert!(shared.1.wait_timeout_while(guard, SHORT, |_| true).unwrap().1.timed_out());
    });
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    thread.join().unwrap();
}

#[test]
fn a_cancelled_wait_leaves_the_mutex_open_and_sound() {
    // Goal: the waiter unwinds without the mutex. Method: cancel it, then lock.
    crate::run(|| {
        let shared = shared();
        let waiter = taker(&shared);
        settle();
        waiter.cancel();
        assert_cancelled(waiter.join());
        assert!(shared.0.try_lock().is_ok());
        assert!(within(SHORT, || drop(shared.1.wait(shared.0.lock().unwrap()))).is_none());
        assert!(shared.0.try_lock().is_ok());
    });
}

#[test]
fn a_notification_to_a_waiter_cancelled_before_it_has_the_mutex_goes_on() {
    // Goal: notify_one is not lost with its receiver. Method: notify the first of two while the
    // mutex is held, let it wait for the mutex, cancel it there; the second must get the token.
    crate::run(|| {
        let shared = shared();
        let (first, second) = (taker(&shared), taker(&shared));
        settle();
        let mut guard = shared.0.lock().unwrap();
        *guard = 1;
        shared.1.notify_one();
        settle();
        first.cancel();
        settle();
        assert_cancelled(first.join());
        drop(guard);
        second.join().unwrap();
        assert_eq!(*shared.0.lock().unwrap(), 0);
    });
}

#[test]
fn a_notification_that_comes_with_a_cancellation_is_used_or_passed_on() {
    // Goal: whichever comes first, one of the two takers gets the token. Method: both orders.
    crate::run(|| {
        for cancel_first in [false, true] {
            let shared = shared();
            let (first, second) = (taker(&shared), taker(&shared));
            settle();
            *shared.0.lock().unwrap() = 1;
            if cancel_first {
                first.cancel();
                shared.1.notify_one();
            } else {
                shared.1.notify_one();
                first.cancel();
            }
            until(|| *shared.0.lock().unwrap() == 0);
            second.cancel();
            drop((first.join(), second.join()));
        }
    });
}

#[test]
fn time_limits_race_with_notifications() {
    // Goal: every token is taken, though waits end by time at any moment. Method: a thread gives
    // tokens, each with one notification; takers wait for about no time, some for ever.
    let shared = Arc::new((Mutex::new(0u32), Condvar::new()));
    let (given, taken) = (3_000, Rc::new(Cell::new(0)));
    crate::run(|| {
        let other = shared.clone();
        let thread = std::thread::spawn(move || {
            for _ in 0..given {
                *other.0.lock().unwrap() += 1;
                other.1.notify_one();
                std::thread::yield_now();
            }
        });
        let takers: Vec<_> = (0..4)
            .map(|number| {
                let (shared, taken) = (shared.clone(), taken.clone());
                let limit = if number == 0 { LONG } else { Duration::from_micros(number) };
                crate::spawn(move || {
                    while taken.get() < given {
                        let guard = shared.0.lock().unwrap();
                        let (mut guard, _) = shared
                            .1
                            .wait_timeout_while(guard, limit, |n| *n == 0 && taken.get() < given)
                            .unwrap();
                        if *guard > 0 {
                            *guard -= 1;
                            taken.set(taken.get() + 1);
                        }
                        if taken.get() == given {
                            shared.1.notify_all();
                        }
                    }
                })
            })
            .collect();
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        until(|| thread.is_finished());
        thread.join().unwrap();
    });
}

#[test]
fn poison_comes_out_of_the_wait() {
    // Goal: as std's, a mutex poisoned meanwhile shows when the wait ends. Method: every method.
    crate::run(|| {
        let shared = shared();
        let other = shared.clone();
        let guard = shared.0.lock().unwrap();
        let coroutine = crate::spawn(move || {
            let _guard = other.0.lock();
            other.1.notify_all();
            panic!("under the lock");
        });
        let guard = shared.1.wait(guard).unwrap_err().into_inner();
        assert!(coroutine.join().is_err());
        let (guard, result) = shared.1.wait_timeout(guard, SHORT).unwrap_err().into_inner();
        assert!(result.timed_out());
        assert!(shared.1.wait_timeout_while(guard, SHORT, |_| true).is_err());
    });
}
