//! What users see of a mutex.

use crate::sync::tests::support::{SHORT, assert_cancelled, crowd, settle, until, within};
use crate::sync::{Arc, Mutex, TryLockError};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

#[test]
fn a_holder_may_yield_and_nobody_enters_meanwhile() {
    // Goal: a section with yields in it excludes other coroutines of the thread.
    // Method: a read, a yield and a write, many times by many; a lost update would show.
    let mutex = Mutex::new(0);
    crate::run(|| {
        crate::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let mut value = mutex.lock().unwrap();
                        let before = *value;
                        crate::task::yield_now();
                        *value = before + 1;
                    }
                });
            }
        });
    });
    assert_eq!(mutex.into_inner().unwrap(), 400);
}

#[test]
fn coroutines_and_threads_exclude_each_other() {
    // Goal: one mutex serves runtimes on several threads and plain threads at a time.
    // Method: all of them add to a number, some sections yielding in the midst.
    const ROUNDS: u64 = 2_000;
    let mutex = Mutex::new(0u64);
    crowd(2, 3, 2, || {
        for round in 0..ROUNDS {
            let mut value = mutex.lock().unwrap();
            let before = *value;
            if round % 16 == 0 {
                crate::task::yield_now();
            }
            *value = before + 1;
        }
    });
    assert_eq!(mutex.into_inner().unwrap(), 8 * ROUNDS);
}

#[test]
fn one_who_relocks_at_once_passes_over_a_waiter_only_once() {
    // Goal: a coroutine that holds the lock whenever others run does not starve them.
    // Method: it unlocks and locks again without a pause, yielding while it holds the lock; the
    // waiter must be through after two such rounds.
    crate::run(|| {
        let mutex = Mutex::new(());
        let (done, rounds) = (Cell::new(false), Cell::new(0));
        crate::scope(|scope| {
            let guard = mutex.lock().unwrap();
            scope.spawn(|| {
                drop(mutex.lock().unwrap());
                done.set(true);
            });
            settle();
            drop(guard);
            while !done.get() {
                let _guard = mutex.lock().unwrap();
                rounds.set(rounds.get() + 1);
                settle();
            }
        });
        assert!(rounds.get() <= 2, "{} rounds", rounds.get());
    });
}

#[test]
fn waiters_come_in_the_order_of_their_waiting() {
    // Goal: first come, first served. Method: five wait behind a holder that does not come back.
    crate::run(|| {
        let (mutex, order) = (Mutex::new(()), RefCell::new(Vec::new()));
        crate::scope(|scope| {
            let guard = mutex.lock().unwrap();
            for number in 0..5 {
                let (mutex, order) = (&mutex, &order);
                scope.spawn(move || {
                    let _guard = mutex.lock().unwrap();
                    crate::task::yield_now();
                    order.borrow_mut().push(number);
                });
            }
            settle();
            drop(guard);
        });
        assert_eq!(order.into_inner(), [0, 1, 2, 3, 4]);
        assert!(mutex.try_lock().is_ok());
    });
}

#[test]
fn try_lock_tells_a_held_lock_from_a_free_one() {
    // Goal: it never waits and needs no luck. Method: with and without a holder that yields.
    crate::run(|| {
        let mutex = Rc::new(Mutex::new(1));
        let holder = crate::spawn({
            let mutex = mutex.clone();
            move || {
                let _guard = mutex.lock();
                settle();
            }
        });
        crate::task::yield_now();
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
        holder.join().unwrap();
        assert_eq!(*mutex.try_lock().unwrap(), 1);
    });
}

#[test]
fn try_lock_succeeds_on_a_free_lock_whose_waiter_was_cancelled() {
    // Goal: a note of waiters that is left over bars nobody. Method: cancel the only waiter.
    crate::run(|| {
        let mutex = Rc::new(Mutex::new(()));
        let guard = mutex.lock().unwrap();
        let waiter = crate::spawn({
            let mutex = mutex.clone();
            move || drop(mutex.lock())
        });
        settle();
        waiter.cancel();
        assert_cancelled(waiter.join());
        drop(guard);
        assert!(mutex.try_lock().is_ok());
        assert!(mutex.lock().is_ok());
    });
}

#[test]
fn a_panic_poisons_and_everything_says_so() {
    // Goal: poisoning as std's. Method: a coroutine panics with the lock; ask by every method.
    crate::run(|| {
        let mutex = Arc::new(Mutex::new(1));
        let other = mutex.clone();
        let coroutine = crate::spawn(move || {
            let mut value = other.lock().unwrap();
            *value = 2;
            panic!("in the midst");
        });
        assert!(coroutine.join().is_err());
        assert!(mutex.is_poisoned());
        assert_eq!(*mutex.lock().unwrap_err().into_inner(), 2);
        assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
        mutex.clear_poison();
        assert_eq!(*mutex.lock().unwrap(), 2);
        let mut mutex = Arc::into_inner(mutex).expect("the coroutine has ended");
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let _guard = mutex.lock();
            panic!("again");
        }));
        assert_eq!(*mutex.get_mut().unwrap_err().into_inner(), 2);
        assert_eq!(mutex.into_inner().unwrap_err().into_inner(), 2);
    });
}

#[test]
fn a_lock_taken_while_unwinding_does_not_poison() {
    // Goal: as with std, only an unwinding that begins under the lock counts.
    // Method: a destructor that runs by a panic locks and unlocks.
    struct Locks<'a>(&'a Mutex<u32>);
    impl Drop for Locks<'_> {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
    let mutex = Mutex::new(0);
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let _locks = Locks(&mutex);
        panic!("outside the lock");
    }));
    assert!(!mutex.is_poisoned());
    assert_eq!(*mutex.lock().unwrap(), 1);
}

#[test]
fn a_holder_cancelled_in_its_section_poisons() {
    // Goal: what is half done is not passed on unnoticed. Method: cancel one that yields inside.
    crate::run(|| {
        let mutex = Rc::new(Mutex::new(()));
        let other = mutex.clone();
        let holder = crate::spawn(move || {
            let _guard = other.lock();
            crate::task::park();
        });
        settle();
        holder.cancel();
        assert_cancelled(holder.join());
        assert!(mutex.is_poisoned() && mutex.lock().is_err());
    });
}

#[test]
fn cancelling_a_waiter_leaves_the_lock_to_the_next() {
    // Goal: a waiter that goes takes nothing with it. Method: the first of two is cancelled while
    // the lock is held; then one is cancelled at the moment at which it has been notified.
    crate::run(|| {
        for notified in [false, true] {
            let mutex = Rc::new(Mutex::new(0));
            let guard = mutex.lock().unwrap();
            let spawn = || {
                let mutex = mutex.clone();
                crate::spawn(move || *mutex.lock().unwrap() += 1)
            };
            let (first, second) = (spawn(), spawn());
            settle();
            if notified {
                drop(guard);
                first.cancel();
                // It got the lock, and needs no further wait: it ends by itself.
                first.join().unwrap();
            } else {
                first.cancel();
                assert_cancelled(first.join());
                drop(guard);
            }
            second.join().unwrap();
            assert_eq!(*mutex.lock().unwrap(), 1 + u32::from(notified));
        }
    });
}

#[test]
fn a_lock_that_is_handed_to_a_cancelled_waiter_is_released() {
    // Goal: a hand-over that races with a cancellation loses no lock.
    // Method: make the waiter one that was passed over, hand it the lock, cancel it before it runs.
    crate::run(|| {
        let mutex = Rc::new(Mutex::new(()));
        let guard = mutex.lock().unwrap();
        let waiter = crate::spawn({
            let mutex = mutex.clone();
            move || {
                let _guard = mutex.lock();
                crate::task::park();
            }
        });
        settle();
        drop(guard);
        let guard = mutex.lock().unwrap();
        settle(); // passed over now
        drop(guard);
        assert!(mutex.try_lock().is_err(), "handed over");
        waiter.cancel();
        assert_cancelled(waiter.join());
        assert!(mutex.is_poisoned(), "it had the lock when its next wait unwound");
        assert!(mutex.try_lock().is_err_and(|e| matches!(e, TryLockError::Poisoned(_))));
    });
}

#[test]
fn a_deadline_scope_ends_the_wait() {
    // Goal: a wait is bounded from outside. Method: wait for a lock that is held, in a scope.
    crate::run(|| {
        let mutex = Rc::new(Mutex::new(()));
        let guard = mutex.lock().unwrap();
        assert!(within(SHORT, || drop(mutex.lock())).is_none());
        drop(guard);
        assert!(within(SHORT, || drop(mutex.lock())).is_some());
        assert!(!mutex.is_poisoned());
    });
}

#[test]
fn destructors_that_lock_while_unwinding_find_the_lock_free() {
    // Goal: one that unwinds and opens the lock can take it again, though others wait for it.
    // Method: a waiter that was passed over would be handed the lock; not by one that unwinds.
    struct Relocks(Rc<Mutex<u32>>);
    impl Drop for Relocks {
        fn drop(&mut self) {
            let mut value = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            *value += 1;
        }
    }
    crate::run(|| {
        let mutex = Rc::new(Mutex::new(0));
        let guard = mutex.lock().unwrap();
        let waiter = crate::spawn({
            let mutex = mutex.clone();
            move || mutex.lock().is_err_and(|poisoned| **poisoned.get_ref() == 1)
        });
        settle();
        drop(guard);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _relocks = Relocks(mutex.clone());
            let _guard = mutex.lock().unwrap();
            settle(); // the waiter is passed over
            panic!("under the lock");
        }));
        assert!(result.is_err());
        assert!(waiter.join().unwrap(), "poisoned, and after the destructor");
    });
}

#[test]
fn cancellations_from_another_thread_race_with_hand_overs() {
    // Goal: whatever the order, no lock is lost. Method: a plain thread cancels waiters while the
    // lock goes round; in the end it must be free.
    let mutex = Arc::new(Mutex::new(0u32));
    crate::run(|| {
        for _ in 0..200 {
            let waiters: Vec<_> = (0..4)
                .map(|_| {
                    let mutex = mutex.clone();
                    crate::spawn(move || {
                        let mut value = mutex.lock().unwrap_or_else(|e| e.into_inner());
                        *value += 1;
                        drop(value);
                        crate::task::yield_now();
                        drop(mutex.lock());
                    })
                })
                .collect();
            let handles: Vec<_> = waiters.iter().map(|waiter| waiter.task()).collect();
            let other = std::thread::spawn({
                let mutex = mutex.clone();
                move || {
                    for handle in handles {
                        let guard = mutex.lock();
                        handle.cancel();
                        drop(guard);
                    }
                }
            });
            until(|| waiters.iter().all(|waiter| waiter.is_finished()));
            until(|| other.is_finished());
            other.join().unwrap();
        }
        assert!(!matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
    });
}

#[test]
fn bounds_are_those_of_std() {
    // Goal: `Send` and `Sync` as std's. Method: what must hold is asked of the compiler; that
    // guards are not `Send` is a doc test.
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    is_send::<Mutex<Cell<u32>>>();
    is_sync::<Mutex<Cell<u32>>>();
    is_sync::<crate::sync::MutexGuard<'static, u32>>();
    let sized: Box<Mutex<[u8]>> = Box::new(Mutex::new([1, 2, 3]));
    assert_eq!(sized.lock().unwrap().len(), 3);
    assert_eq!(format!("{:?}", Mutex::new(1)), format!("{:?}", std::sync::Mutex::new(1)));
}
