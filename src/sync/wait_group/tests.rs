//! Wait groups: empty, panicking members, threads, cancelled waits.

use crate::sync::WaitGroup;
use crate::sync::tests::support::{SHORT, assert_cancelled, settle, within};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

#[test]
fn waiting_ends_when_the_last_member_is_gone() {
    // Goal: not before, and whatever ends a member. Method: members that work, panic, are
    // cancelled, and one on a plain thread.
    crate::run(|| {
        let (group, done) = (WaitGroup::new(), Rc::new(Cell::new(0)));
        for kind in 0..3 {
            let (group, done) = (group.clone(), done.clone());
            let coroutine = crate::spawn(move || {
                let _group = group;
                crate::task::yield_now();
                done.set(done.get() + 1);
                assert_ne!(kind, 1, "one member panics");
                if kind == 2 {
                    crate::task::park();
                }
            });
            if kind == 2 {
                settle();
                coroutine.cancel();
            }
        }
        let member = group.clone();
        std::thread::spawn(move || drop(member));
        group.wait();
        assert_eq!(done.get(), 3);
    });
}

#[test]
fn a_group_of_one_does_not_wait_and_several_may_wait() {
    // Goal: waiting members do not wait for each other. Method: alone, then two on two threads.
    WaitGroup::new().wait();
    let (group, left) = (WaitGroup::new(), AtomicU32::new(0));
    let other = group.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            other.wait();
            left.fetch_add(1, Ordering::SeqCst);
        });
        crate::run(|| group.wait());
        left.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!(left.into_inner(), 2);
}

#[test]
fn a_cancelled_wait_leaves_the_others_waiting() {
    // Goal: cancellation and deadline scopes end one wait only. Method: one of each, then the rest.
    crate::run(|| {
        let group = WaitGroup::new();
        let (one, two) = (group.clone(), group.clone());
        let three = group.clone();
        let cancelled = crate::spawn(move || one.wait());
        let waits = crate::spawn(move || two.wait());
        settle();
        cancelled.cancel();
        assert_cancelled(cancelled.join());
        assert!(within(SHORT, || three.wait()).is_none());
        assert!(!waits.is_finished());
        drop(group);
        waits.join().unwrap();
    });
}
