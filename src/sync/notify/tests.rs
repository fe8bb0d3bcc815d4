//! Notifications: kept, passed, cancelled, out of time.

use crate::sync::tests::support::{LONG, SHORT, assert_cancelled, settle, within};
use crate::sync::{Arc, Notify};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

#[test]
fn one_notification_is_kept_and_no_more() {
    // Goal: notify before wait is not lost, and does not add up. Method: three, then two waits.
    let notify = Notify::new();
    (0..3).for_each(|_| notify.notify_one());
    notify.wait();
    assert!(!notify.wait_timeout(SHORT));
}

#[test]
fn each_notification_wakes_one_waiter_in_order() {
    // Goal: first come, first served; notify_all wakes all and keeps nothing.
    // Method: three wait; one is notified, then all.
    crate::run(|| {
        let (notify, woken) = (Rc::new(Notify::new()), Rc::new(Cell::new(0)));
        for number in 1..=3 {
            let (notify, woken) = (notify.clone(), woken.clone());
            crate::spawn(move || {
                notify.wait();
                woken.set(woken.get() * 10 + number);
            });
        }
        settle();
        notify.notify_one();
        settle();
        assert_eq!(woken.get(), 1);
        notify.notify_all();
        settle();
        assert_eq!(woken.get(), 123);
        assert!(!notify.wait_timeout(Duration::ZERO));
    });
}

#[test]
fn threads_take_turns_by_notifications() {
    // Goal: none is lost between a runtime and a plain thread. Method: ping-pong with two.
    let (ping, pong) = (Notify::new(), Notify::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..1_000 {
                ping.wait();
                pong.notify_one();
            }
        });
        crate::run(|| {
            for _ in 0..1_000 {
                ping.notify_one();
                assert!(pong.wait_timeout(LONG));
            }
        });
    });
}

#[test]
fn a_notification_and_a_cancellation_never_lose_each_other() {
    // Goal: a notified waiter that is cancelled consumes its notification by returning; one that
    // was cancelled before leaves it for the next. Method: both orders.
    crate::run(|| {
        for cancel_first in [false, true] {
            let notify = Rc::new(Notify::new());
            let other = notify.clone();
            let waiter = crate::spawn(move || other.wait());
            settle();
            if cancel_first {
                waiter.cancel();
                assert_cancelled(waiter.join());
                notify.notify_one();
                assert!(notify.wait_timeout(Duration::ZERO), "kept: nobody waits any more");
            } else {
                notify.notify_one();
                waiter.cancel();
                waiter.join().unwrap();
                assert!(!notify.wait_timeout(Duration::ZERO), "consumed");
            }
        }
        assert!(within(SHORT, || Notify::new().wait()).is_none());
    });
}

#[test]
fn time_limits_race_with_notifications() {
    // Goal: each round's notification is received once, in time or afterwards.
    // Method: a thread answers each round; we wait for about no time until it has.
    let (ask, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (asked, answered) = (ask.clone(), answer.clone());
    let thread = std::thread::spawn(move || {
        for _ in 0..1_000 {
            asked.wait();
            answered.notify_one();
        }
    });
    crate::run(|| {
        for _ in 0..1_000 {
            ask.notify_one();
            while !answer.wait_timeout(Duration::from_micros(2)) {}
        }
        assert!(!answer.wait_timeout(Duration::ZERO));
    });
    thread.join().unwrap();
}
