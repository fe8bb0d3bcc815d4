//! What users see of a reader-writer lock.

use crate::sync::tests::support::{SHORT, assert_cancelled, crowd, settle, within};
use crate::sync::{Arc, RwLock, TryLockError};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

#[test]
fn readers_share_and_writers_do_not() {
    // Goal: two readers hold it at a time over a wait, and a writer has it alone.
    // Method: readers read twice with a yield between; writers yield with unequal halves.
    let lock = RwLock::new((0u64, 0u64));
    let together = std::sync::atomic::AtomicU32::new(0);
    crowd(2, 4, 2, || {
        for round in 0..300 {
            if round % 4 == 0 {
                let mut pair = lock.write().unwrap();
                pair.0 += 1;
                crate::task::yield_now();
                pair.1 += 1;
            } else {
                let pair = lock.read().unwrap();
                assert_eq!(pair.0, pair.1);
                if lock.try_write().is_err() {
                    together.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
                crate::task::yield_now();
                assert_eq!(pair.0, pair.1);
            }
        }
    });
    assert_eq!(lock.into_inner().unwrap(), (750, 750));
    assert_eq!(together.into_inner(), 10 * 225, "a held lock is never had for writing");
}

#[test]
fn a_waiting_writer_is_not_kept_out_by_a_stream_of_readers() {
    // Goal: writers do not starve. Method: two readers take turns so that one always reads; a
    // writer comes; new readers must let it in.
    crate::run(|| {
        let (lock, written) = (RwLock::new(0), Cell::new(false));
        crate::scope(|scope| {
            let mut guard = lock.read().unwrap();
            scope.spawn(|| {
                *lock.write().unwrap() = 1;
                written.set(true);
            });
            settle();
            assert!(lock.try_read().is_err(), "a reader waits behind the writer");
            for round in 0.. {
                drop(guard);
                guard = lock.read().unwrap();
                settle();
                if written.get() {
                    assert!(round <= 1, "{round} rounds");
                    break;
                }
            }
            assert_eq!(*guard, 1);
        });
    });
}

#[test]
fn a_waiting_reader_is_not_kept_out_by_a_stream_of_writers() {
    // Goal: readers do not starve either. Method: one writes again and again without a pause.
    crate::run(|| {
        let (lock, read) = (RwLock::new(0), Cell::new(false));
        crate::scope(|scope| {
            let mut guard = lock.write().unwrap();
            scope.spawn(|| {
                drop(lock.read().unwrap());
                read.set(true);
            });
            settle();
            let mut rounds = 0;
            while !read.get() {
                drop(guard);
                guard = lock.write().unwrap();
                rounds += 1;
                settle();
            }
            assert!(rounds <= 2, "{rounds} rounds");
        });
    });
}

#[test]
fn waiters_enter_in_order_readers_together() {
    // Goal: first come, first served; readers side by side go together.
    // Method: a queue of two readers, a writer and a reader behind a writer; note the order.
    crate::run(|| {
        let (lock, order) = (RwLock::new(()), RefCell::new(String::new()));
        crate::scope(|scope| {
            let guard = lock.write().unwrap();
            for name in ['r', 'r', 'w', 'r'] {
                let (lock, order) = (&lock, &order);
                scope.spawn(move || {
                    if name == 'w' {
                        let _guard = lock.write().unwrap();
                        order.borrow_mut().push('w');
                        crate::task::yield_now();
                        order.borrow_mut().push('W');
                    } else {
                        let _guard = lock.read().unwrap();
                        order.borrow_mut().push('r');
                        crate::task::yield_now();
                        order.borrow_mut().push('R');
                    }
                });
            }
            settle();
            drop(guard);
        });
        assert_eq!(order.into_inner(), "rrRRwWrR");
    });
}

#[test]
fn a_cancelled_writer_lets_the_readers_behind_it_in() {
    // Goal: a waiter that goes does not leave those behind it waiting for nothing.
    // Method: a reader holds the lock, a writer waits, a reader waits behind it; cancel the writer.
    crate::run(|| {
        let lock = Rc::new(RwLock::new(()));
        let guard = lock.read().unwrap();
        let (for_writer, for_reader) = (lock.clone(), lock.clone());
        let writer = crate::spawn(move || drop(for_writer.write()));
        let reader = crate::spawn(move || drop(for_reader.read()));
        settle();
        assert!(!reader.is_finished());
        writer.cancel();
        reader.join().unwrap();
        assert_cancelled(writer.join());
        assert!(lock.try_read().is_ok(), "no note of a waiter is left over");
        drop(guard);
        assert!(lock.try_write().is_ok() && !lock.is_poisoned());
    });
}

#[test]
fn a_writer_out_of_time_lets_the_readers_behind_it_in() {
    // Goal: as above for deadline scopes. Method: as above, with a scope instead of `cancel`.
    crate::run(|| {
        let lock = Rc::new(RwLock::new(()));
        let guard = lock.read().unwrap();
        let (for_writer, for_reader) = (lock.clone(), lock.clone());
        let writer = crate::spawn(move || within(SHORT, || drop(for_writer.write())));
        settle();
        let reader = crate::spawn(move || drop(for_reader.read()));
        reader.join().unwrap();
        assert!(writer.join().unwrap().is_none());
        assert!(within(SHORT, || drop(lock.write())).is_none());
        drop(guard);
    });
}

#[test]
fn a_lock_given_to_a_waiter_that_is_then_cancelled_is_not_lost() {
    // Goal: a wake-up that races with a cancellation is used, for both modes.
    // Method: open the lock, cancel the waiter before it runs, then take the lock for writing.
    crate::run(|| {
        for write in [false, true] {
            let lock = Rc::new(RwLock::new(0));
            let guard = lock.write().unwrap();
            let other = lock.clone();
            let waiter = crate::spawn(move || match write {
                true => *other.write().unwrap() += 1,
                false => drop(other.read()),
            });
            settle();
            drop(guard);
            waiter.cancel();
            waiter.join().unwrap();
            assert_eq!(*lock.try_write().unwrap(), i32::from(write));
        }
    });
}

#[test]
fn cancelled_readers_leave_the_lock_to_a_writer() {
    // Goal: readers that unwind while they wait or while they read count no longer, and poison
    // nothing. Method: cancel one of each kind.
    crate::run(|| {
        let lock = Rc::new(RwLock::new(()));
        let reading = lock.clone();
        let reader = crate::spawn(move || {
            let _guard = reading.read();
            crate::task::park();
        });
        settle();
        reader.cancel();
        assert_cancelled(reader.join());
        let guard = lock.write().unwrap();
        let waiting = lock.clone();
        let waiter = crate::spawn(move || drop(waiting.read()));
        settle();
        waiter.cancel();
        assert_cancelled(waiter.join());
        drop(guard);
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn only_writers_poison() {
    // Goal: poisoning as std's. Method: panic while reading, then while writing; ask every method.
    crate::run(|| {
        let mut lock = Arc::new(RwLock::new(1));
        for write in [false, true] {
            let other = lock.clone();
            let coroutine = crate::spawn(move || {
                let _guards = match write {
                    true => (None, other.write().ok()),
                    false => (other.read().ok(), None),
                };
                panic!("under the lock");
            });
            assert!(coroutine.join().is_err());
            assert_eq!(lock.is_poisoned(), write);
        }
        assert!(lock.read().is_err() && lock.write().is_err());
        assert!(matches!(lock.try_read(), Err(TryLockError::Poisoned(_))));
        assert!(matches!(lock.try_write(), Err(TryLockError::Poisoned(_))));
        assert!(Arc::get_mut(&mut lock).unwrap().get_mut().is_err());
        lock.clear_poison();
        assert!(lock.read().is_ok());
        assert_eq!(Arc::into_inner(lock).unwrap().into_inner().unwrap(), 1);
    });
}

#[test]
fn bounds_are_those_of_std() {
    // Goal: `Send` and `Sync` as std's. Method: ask the compiler.
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    is_send::<RwLock<Cell<u32>>>();
    is_sync::<RwLock<u32>>();
    is_sync::<crate::sync::RwLockReadGuard<'static, u32>>();
    is_sync::<crate::sync::RwLockWriteGuard<'static, u32>>();
    assert_eq!(format!("{:?}", RwLock::new(1)), format!("{:?}", std::sync::RwLock::new(1)));
}
