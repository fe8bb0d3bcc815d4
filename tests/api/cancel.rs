//! Cancelling: where it takes effect, what it leaves alone, what destructors see.

use cove::task::{self, Cancelled};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Notes that it was dropped.
struct Guard(Rc<Cell<u32>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn parked_coroutine_unwinds() {
    // Goal: destructors run, join tells why. Method: cancel one in park.
    cove::run(|| {
        let drops = Rc::new(Cell::new(0));
        let guard = Guard(drops.clone());
        let parked = cove::spawn(move || {
            let _guard = guard;
            task::park();
        });
        task::yield_now();
        parked.cancel();
        assert!(parked.join().unwrap_err().is::<Cancelled>());
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn unstarted_coroutine_never_runs() {
    // Goal: the closure is dropped unrun. Method: cancel before it had a turn.
    cove::run(|| {
        let drops = Rc::new(Cell::new(0));
        let guard = Guard(drops.clone());
        let unstarted = cove::spawn(move || {
            let _guard = guard;
            unreachable!("cancelled before it started");
        });
        unstarted.cancel();
        assert!(unstarted.join().unwrap_err().is::<Cancelled>());
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn running_coroutine_is_cancelled_at_its_next_wait() {
    // Goal: computing is not interrupted. Method: cancel from within, then wait.
    cove::run(|| {
        let reached = Rc::new(Cell::new(false));
        let note = reached.clone();
        let own = cove::spawn(move || {
            task::current().cancel();
            note.set(true);
            task::park();
            unreachable!("the wait unwinds");
        });
        assert!(own.join().unwrap_err().is::<Cancelled>());
        assert!(reached.get());
    });
}

#[test]
fn every_later_wait_unwinds_too() {
    // Goal: swallowing the unwinding does not undo it. Method: catch it and wait again.
    cove::run(|| {
        let rounds = Rc::new(Cell::new(0));
        let note = rounds.clone();
        let stubborn = cove::spawn(move || {
            for _ in 0..3 {
                let outcome = catch_unwind(AssertUnwindSafe(task::park));
                assert!(outcome.unwrap_err().is::<Cancelled>());
                note.set(note.get() + 1);
            }
            "ended by itself"
        });
        task::yield_now();
        stubborn.cancel();
        assert_eq!(stubborn.join().unwrap(), "ended by itself");
        assert_eq!(rounds.get(), 3);
    });
}

#[test]
fn join_is_a_wait() {
    // Goal: the joiner unwinds, the joined goes on. Method: cancel the joiner.
    cove::run(|| {
        let inner = Rc::new(Cell::new(None));
        let keep = inner.clone();
        let joiner = cove::spawn(move || {
            let waited_for = cove::spawn(|| {
                task::park();
                7
            });
            keep.set(Some(waited_for.task()));
            waited_for.join()
        });
        task::yield_now();
        task::yield_now();
        joiner.cancel();
        assert!(joiner.join().unwrap_err().is::<Cancelled>());
        inner.take().unwrap().unpark();
        task::yield_now();
    });
}

#[test]
fn finished_coroutine_keeps_its_result() {
    // Goal: too late is harmless. Method: cancel after the end.
    cove::run(|| {
        let done = cove::spawn(|| 3);
        task::yield_now();
        assert!(done.is_finished());
        done.cancel();
        assert_eq!(done.join().unwrap(), 3);
    });
}

#[test]
fn cancelling_through_a_handle_from_another_thread_works() {
    // Goal: the remote path. Method: a thread cancels, the runtime sleeps meanwhile.
    cove::run(|| {
        let parked = cove::spawn(task::park);
        let handle = parked.task();
        let thread = std::thread::spawn(move || handle.cancel());
        assert!(parked.join().unwrap_err().is::<Cancelled>());
        thread.join().unwrap();
    });
}

#[test]
fn destructor_may_wait_while_unwinding_and_nobody_else_runs() {
    // Goal: the rule for panicking threads. Method: a destructor parks with a time-out while
    // another coroutine is ready; that one must not have run before the destructor ended.
    struct Slow(Rc<RefCell<Vec<&'static str>>>);
    impl Drop for Slow {
        fn drop(&mut self) {
            self.0.borrow_mut().push("destructor begins");
            task::park_timeout(std::time::Duration::from_millis(5));
            self.0.borrow_mut().push("destructor ends");
        }
    }
    cove::run(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let slow = Slow(log.clone());
        let unwinding = cove::spawn(move || {
            let _slow = slow;
            task::park();
        });
        task::yield_now();
        unwinding.cancel();
        let of_other = log.clone();
        let other = cove::spawn(move || {
            assert!(!std::thread::panicking());
            of_other.borrow_mut().push("other");
        });
        other.join().unwrap();
        assert!(unwinding.join().unwrap_err().is::<Cancelled>());
        assert_eq!(*log.borrow(), ["destructor begins", "destructor ends", "other"]);
    });
}

#[test]
fn panic_in_a_destructor_during_shutdown_does_not_stop_it() {
    // Goal: the runtime ends all the same. Method: destructors that panic outside an unwinding.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("a destructor panics");
            }
        }
    }
    cove::run(|| {
        for _ in 0..10 {
            let bomb = Bomb;
            // Unstarted: dropped with its closure. Started: its result panics when dropped.
            cove::spawn(move || drop(bomb));
            cove::spawn(|| Bomb);
        }
        task::yield_now();
        let bomb = Bomb;
        cove::spawn(move || drop(bomb));
    });
}
