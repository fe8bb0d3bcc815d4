//! Cells that are set once, by closures that yield, fail, panic or are cancelled.

use crate::sync::tests::support::{SHORT, assert_cancelled, crowd, settle, within};
use crate::sync::{LazyLock, OnceCell, OnceLock};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

#[test]
fn concurrent_makers_wait_for_the_first() {
    // Goal: one closure runs, and all get its value. Method: a crowd whose closures yield.
    let (cell, runs) = (OnceCell::new(), AtomicU32::new(0));
    crowd(2, 4, 2, || {
        let value = cell.get_or_init(|| {
            crate::task::yield_now();
            runs.fetch_add(1, Ordering::Relaxed);
            String::from("made once")
        });
        assert_eq!(value, "made once");
    });
    assert_eq!(runs.into_inner(), 1);
    assert_eq!(cell.into_inner().as_deref(), Some("made once"));
}

#[test]
fn a_maker_that_fails_panics_or_is_cancelled_leaves_it_to_the_next() {
    // Goal: the waiting one runs its own closure then. Method: one maker of each kind.
    crate::run(|| {
        for kind in 0..3 {
            let cell = Rc::new(OnceCell::new());
            let (first, second) = (cell.clone(), cell.clone());
            let maker = crate::spawn(move || {
                first
                    .get_or_try_init(|| {
                        settle();
                        match kind {
                            0 => Err("no"),
                            1 => panic!("in the midst"),
                            _ => {
                                crate::task::park();
                                Ok(0)
                            }
                        }
                    })
                    .copied()
            });
            let waiter = crate::spawn(move || *second.get_or_init(|| 7));
            crate::task::yield_now();
            assert!(cell.get().is_none());
            match kind {
                0 => assert_eq!(maker.join().unwrap(), Err("no")),
                1 => assert!(maker.join().is_err()),
                _ => {
                    settle();
                    settle();
                    maker.cancel();
                    assert_cancelled(maker.join());
                }
            }
            assert_eq!(waiter.join().unwrap(), 7);
        }
    });
}

#[test]
fn one_that_waits_for_the_maker_can_be_cancelled() {
    // Goal: a wait for another's closure ends by cancellation and deadline scopes, and the maker
    // goes on. Method: cancel one, time one out, then let the maker end.
    crate::run(|| {
        let cell = Rc::new(OnceCell::new());
        let (first, second) = (cell.clone(), cell.clone());
        let maker = crate::spawn(move || {
            *first.get_or_init(|| {
                crate::task::park();
                1
            })
        });
        let waiter = crate::spawn(move || *second.get_or_init(|| 2));
        settle();
        waiter.cancel();
        assert_cancelled(waiter.join());
        assert!(within(SHORT, || *cell.get_or_init(|| 3)).is_none());
        maker.task().unpark();
        assert_eq!(maker.join().unwrap(), 1);
        assert_eq!(cell.get(), Some(&1));
    });
}

#[test]
fn values_are_dropped_once() {
    // Goal: the cell owns its value. Method: count the owners of a shared one through all ways out.
    let value = std::sync::Arc::new(());
    let mut cell = OnceLock::from(value.clone());
    assert_eq!(cell.clone(), cell);
    assert!(cell.set(value.clone()).is_err());
    drop(cell.take());
    assert!(cell.set(value.clone()).is_ok() && cell.get_mut().is_some());
    assert_eq!(std::sync::Arc::strong_count(&value), 2);
    drop(cell);
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
    let (ours, std) = (OnceLock::from(1), std::sync::OnceLock::from(1));
    assert_eq!(format!("{ours:?}").replace("OnceCell", "OnceLock"), format!("{std:?}"));
}

#[test]
fn lazy_values_are_made_once_and_poisoned_by_a_panic() {
    // Goal: as std's. Method: a crowd forces one; another one's closure panics.
    let runs = AtomicU32::new(0);
    let lazy = LazyLock::new(|| {
        crate::task::yield_now();
        runs.fetch_add(1, Ordering::Relaxed)
    });
    crowd(2, 2, 1, || assert_eq!(*lazy, 0));
    let broken: LazyLock<u32> = LazyLock::new(|| panic!("in the midst"));
    for _ in 0..2 {
        assert!(catch_unwind(AssertUnwindSafe(|| *broken)).is_err());
    }
}
