//! Tests of coroutine-local variables.

use super::*;
use crate::task::{Cancelled, yield_now};
use crate::time::{Duration, sleep};
use std::panic::resume_unwind;

/// What destructors leave behind on the test's thread.
type Log = Rc<RefCell<Vec<&'static str>>>;

/// Notes its name when it is dropped.
struct Noted(&'static str, Log);

impl Drop for Noted {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

coroutine_local! {
    static NUMBER: Cell<u32> = Cell::new(1);
    static WORDS: RefCell<Vec<&'static str>> = RefCell::new(vec!["initial"]);
    static FIRST: RefCell<Option<Noted>> = RefCell::new(None);
    static SECOND: RefCell<Option<Noted>> = RefCell::new(None);
}

#[test]
fn every_coroutine_has_its_own_and_the_thread_too() {
    // Goal: separation. Method: the thread, the root and two coroutines in turn change one key.
    NUMBER.set(10);
    crate::run(|| {
        assert_eq!(NUMBER.replace(20), 1);
        let coroutines = [3, 4].map(|n| {
            crate::spawn(move || {
                let before = NUMBER.replace(n);
                yield_now();
                (before, NUMBER.get())
            })
        });
        let seen = coroutines.map(|it| it.join().expect("no panic"));
        assert_eq!(seen, [(1, 3), (1, 4)]);
        assert_eq!(NUMBER.take(), 20);
        assert_eq!(NUMBER.get(), 0);
    });
    assert_eq!(NUMBER.get(), 10);
    assert_eq!(crate::run(|| NUMBER.get()), 1, "a later runtime begins anew");
}

#[test]
fn a_ref_cell_is_borrowed_replaced_and_taken() {
    // Goal: the methods for RefCell, within and outside of a runtime. Method: the same steps twice.
    let steps = || {
        WORDS.with_borrow_mut(|words| words.push("more"));
        assert_eq!(WORDS.with_borrow(Vec::len), 2);
        assert_eq!(WORDS.replace(vec!["new"]), ["initial", "more"]);
        assert_eq!(WORDS.take(), ["new"]);
        WORDS.set(vec!["set"]);
        assert_eq!(WORDS.with(|words| words.borrow()[0]), "set");
    };
    steps();
    crate::run(steps);
}

/// Makes both variables, first `FIRST`.
fn fill(log: &Log) {
    FIRST.set(Some(Noted("first", log.clone())));
    SECOND.set(Some(Noted("second", log.clone())));
}

#[test]
fn destructors_run_at_the_end_by_return_panic_and_cancel() {
    // Goal: each way to end, for spawned coroutines and the root. Method: a log of destructors.
    let log = Log::default();
    let [by_return, by_panic, by_cancel] = [0, 1, 2].map(|_| log.clone());
    crate::run(|| {
        crate::spawn(move || fill(&by_return)).join().expect("no panic");
        assert_eq!(log.take(), ["second", "first"]);
        let raise = move || {
            fill(&by_panic);
            resume_unwind(Box::new(()))
        };
        assert!(crate::spawn(raise).join().is_err_and(|_: Box<dyn Any + Send>| true));
        assert_eq!(log.take(), ["second", "first"]);
        let sleeper = crate::spawn(move || {
            fill(&by_cancel);
            sleep(Duration::from_secs(3600));
        });
        yield_now();
        sleeper.cancel();
        assert!(sleeper.join().expect_err("cancelled").is::<Cancelled>());
        assert_eq!(log.take(), ["second", "first"]);
        fill(&log);
    });
    assert_eq!(log.take(), ["second", "first"]);
}

#[test]
fn a_detached_coroutine_drops_its_variables() {
    // Goal: nobody needs to join. Method: drop the handle, let it end, and look at the log.
    let log = Log::default();
    let of_coroutine = log.clone();
    crate::run(|| {
        drop(crate::spawn(move || fill(&of_coroutine)));
        yield_now();
        assert_eq!(log.take(), ["second", "first"]);
    });
}

/// Uses other variables, itself, and a wait in its destructor.
struct Nosy(Log);

coroutine_local! {
    static NOSY: RefCell<Option<Nosy>> = RefCell::new(None);
    static LATE: RefCell<Option<Noted>> = RefCell::new(None);
}

impl Drop for Nosy {
    fn drop(&mut self) {
        yield_now();
        let own = NOSY.try_with(|_| ());
        assert_eq!(own, Err(AccessError));
        self.0.borrow_mut().push("nosy");
        // Made earlier and dropped later; and never made before.
        assert_eq!(NUMBER.get(), 5);
        LATE.set(Some(Noted("late", self.0.clone())));
    }
}

#[test]
fn destructors_may_use_variables_and_wait() {
    // Goal: re-entrance of destructors. Method: one that looks at itself, at an older variable, and
    // makes a new one, in a spawned coroutine and in the root.
    let log = Log::default();
    let of_coroutine = log.clone();
    crate::run(|| {
        let body = move || {
            NUMBER.set(5);
            NOSY.set(Some(Nosy(of_coroutine)));
        };
        crate::spawn(body).join().expect("no panic");
        assert_eq!(log.take(), ["nosy", "late"]);
        NUMBER.set(5);
        NOSY.set(Some(Nosy(log.clone())));
    });
    assert_eq!(log.take(), ["nosy", "late"]);
}

/// Panics in its destructor, past the hook.
struct Explosive;

impl Drop for Explosive {
    fn drop(&mut self) {
        resume_unwind(Box::new("from a destructor"));
    }
}

coroutine_local! {
    static EXPLOSIVE: RefCell<Option<Explosive>> = RefCell::new(None);
}

#[test]
fn a_panic_in_a_destructor_spares_the_other_variables_and_the_result() {
    // Goal: one bad destructor harms nothing else. Method: made last, so that it runs first.
    let log = Log::default();
    let of_coroutine = log.clone();
    let result = crate::run(move || {
        let body = move || {
            fill(&of_coroutine);
            EXPLOSIVE.set(Some(Explosive));
            "result"
        };
        crate::spawn(body).join().expect("the closure returned")
    });
    assert_eq!((result, log.take()), ("result", vec!["second", "first"]));
}

coroutine_local! {
    static RECURSIVE: Cell<u32> = {
        if DEPTH.replace(DEPTH.get() + 1) < 3 { RECURSIVE.get() } else { 0 };
        Cell::new(DEPTH.get())
    };
    static DEPTH: Cell<u32> = Cell::new(0);
    static PANICS: Cell<u32> = {
        if NUMBER.get() == 1 {
            resume_unwind(Box::new("from an initialiser"));
        }
        Cell::new(9)
    };
}

#[test]
fn initialisers_may_use_variables_their_own_included() {
    // Goal: re-entrance of initialisers. Method: one that asks for itself three times deep; all see
    // one value ever after.
    crate::run(|| {
        let first = RECURSIVE.get();
        assert_eq!(DEPTH.get(), 4);
        assert_eq!(RECURSIVE.get(), first);
    });
}

#[test]
fn an_initialiser_that_panics_may_be_run_again() {
    // Goal: no half-made variable. Method: catch the first panic, and ask again.
    crate::run(|| {
        assert!(std::panic::catch_unwind(|| PANICS.get()).is_err());
        NUMBER.set(2);
        assert_eq!(PANICS.get(), 9);
    });
}

#[test]
fn a_borrow_lasts_while_other_variables_are_made() {
    // Goal: a lent reference stays valid though the list grows. Method: make others inside `with`.
    crate::run(|| {
        WORDS.with(|words| {
            let borrowed = words.borrow();
            let log = Log::default();
            fill(&log);
            NUMBER.set(3);
            DEPTH.set(9);
            RECURSIVE.set(1);
            yield_now();
            assert_eq!(borrowed[0], "initial");
        });
    });
}
