//! Dropping coroutines in every state, and not dropping them.

use super::super::{Coroutine, CoroutineState, Suspender, Unwinding, scope};
use super::{Counted, OnDrop, in_child, in_child_with};
use std::cell::{Cell, RefCell};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::thread;

#[test]
fn unfinished_coroutine_unwinds_when_it_is_dropped() {
    // Goal: destructors run, innermost frame first, and no code after the suspend. Method: guards
    // in three frames that note their turn.
    fn descend(depth: u32, suspender: &Suspender<(), ()>, turns: &Rc<Cell<u32>>) {
        let _guard = OnDrop(|| {
            assert_eq!(turns.get(), depth);
            turns.set(depth + 1);
        });
        if depth == 0 {
            suspender.suspend(());
            unreachable!("dropped meanwhile");
        }
        descend(depth - 1, suspender, turns);
    }
    let turns = Rc::new(Cell::new(0));
    let inside = Rc::clone(&turns);
    let mut coroutine =
        Coroutine::new(move |suspender: &Suspender<(), ()>, ()| descend(2, suspender, &inside));
    coroutine.resume(());
    assert_eq!(turns.get(), 0);
    drop(coroutine);
    assert_eq!(turns.get(), 3);
    assert!(!thread::panicking());
    assert_eq!(Rc::strong_count(&turns), 1);
}

#[test]
fn unwinding_of_a_drop_is_not_reported() {
    // Goal: the panic hook sees nothing of it. Method: a child drops an unfinished coroutine, and
    // its standard error tells of no panic.
    let output = in_child("dropping::unwinding_of_a_drop_is_not_reported", || {
        let mut coroutine =
            Coroutine::new(|suspender: &Suspender<(), ()>, ()| suspender.suspend(()));
        coroutine.resume(());
    });
    assert!(output.status.success(), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
}

#[test]
fn coroutine_that_never_started_drops_its_closure() {
    // Goal: what the closure owns is dropped once, and the closure does not run. Method: count,
    // for a closure on the stack and for a boxed one.
    let count = Counted::default();
    let (small, large) = (count.guard(), (count.guard(), [0_u8; 64 << 10]));
    drop(Coroutine::new(move |_: &Suspender<(), ()>, ()| drop(small)));
    drop(Coroutine::new(move |_: &Suspender<(), ()>, ()| drop(large)));
    assert_eq!(count.count(), 2);
}

#[test]
fn complete_coroutine_drops_nothing_twice() {
    // Goal: a finished coroutine owns its stack only. Method: count what it captured.
    let count = Counted::default();
    let guard = count.guard();
    let mut coroutine = Coroutine::new(move |_: &Suspender<(), ()>, ()| drop(guard));
    coroutine.resume(());
    assert_eq!(count.count(), 1);
    drop(coroutine);
    assert_eq!(count.count(), 1);
}

#[test]
fn caught_unwinding_is_raised_again() {
    // Goal: a coroutine cannot survive its drop by catching. Method: catch it and suspend again,
    // twenty times; then return.
    let caught = Rc::new(Cell::new(0));
    let seen = Rc::clone(&caught);
    let mut coroutine = Coroutine::new(move |suspender: &Suspender<u32, ()>, _| {
        for _ in 0..20 {
            let outcome = catch_unwind(AssertUnwindSafe(|| suspender.suspend(())));
            seen.set(seen.get() + u32::from(outcome.is_err()));
        }
    });
    assert_eq!(coroutine.resume(0), CoroutineState::Yielded(()));
    drop(coroutine);
    assert_eq!(caught.get(), 20);
}

#[test]
fn destructor_is_told_that_its_coroutine_unwinds() {
    // Goal: during the unwinding of a drop nothing is handed over. Method: destructors that
    // suspend: plainly with In = (), and by try_suspend with In = u32; outputs are dropped.
    let outputs = Counted::default();
    let output = outputs.guard();
    let mut unit = Coroutine::new(move |suspender: &Suspender<(), Counted>, ()| {
        let _suspends = OnDrop(|| {
            suspender.suspend(output.guard());
            assert!(suspender.try_suspend(output.guard()).is_err());
        });
        suspender.suspend(output.guard());
    });
    let _ = unit.resume(());
    assert_eq!(outputs.count(), 1);
    drop(unit);
    assert_eq!(outputs.count(), 1 + 2 + 1);

    let told = Rc::new(Cell::new(None));
    let tell = Rc::clone(&told);
    let mut number = Coroutine::new(move |suspender: &Suspender<u32, u32>, first| {
        let _suspends = OnDrop(|| tell.set(Some(suspender.try_suspend(9))));
        suspender.suspend(first);
    });
    assert_eq!(number.resume(3), CoroutineState::Yielded(3));
    drop(number);
    assert_eq!(told.get(), Some(Err(Unwinding)));
}

#[test]
fn plain_suspend_that_cannot_return_aborts() {
    // Goal: a destructor that needs an input gets a message, not a made-up value. Method: a child
    // drops a coroutine with such a destructor.
    let output = in_child("dropping::plain_suspend_that_cannot_return_aborts", || {
        let mut coroutine = Coroutine::new(|suspender: &Suspender<u32, u32>, first| {
            let _suspends = OnDrop(|| {
                suspender.suspend(1);
            });
            suspender.suspend(first);
        });
        coroutine.resume(0);
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(6), "{stderr}");
    assert!(stderr.contains("use Suspender::try_suspend there"), "{stderr}");
}

#[test]
fn coroutine_is_dropped_by_a_panicking_thread() {
    // Goal: an owner that unwinds takes its coroutines with it. Method: one suspended, one fresh,
    // one that suspends in a destructor, dropped by a panic.
    let count = Counted::default();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let guards = [count.guard(), count.guard(), count.guard()];
        let [suspended, fresh, stubborn] = guards;
        let mut suspended = Coroutine::new(move |suspender: &Suspender<(), ()>, ()| {
            let _guard = suspended;
            suspender.suspend(());
        });
        suspended.resume(());
        let _fresh = Coroutine::new(move |_: &Suspender<(), ()>, ()| drop(fresh));
        let mut stubborn = Coroutine::new(move |suspender: &Suspender<(), ()>, ()| {
            let _guard = stubborn;
            let _suspends = OnDrop(|| suspender.suspend(()));
            suspender.suspend(());
        });
        stubborn.resume(());
        resume_unwind(Box::new(7_u32));
    }));
    assert_eq!(caught.expect_err("a panic").downcast_ref::<u32>(), Some(&7));
    assert_eq!(count.count(), 3);
    assert!(!thread::panicking());
}

#[test]
fn coroutine_that_catches_ends_though_its_owner_unwinds() {
    // Goal: even where own unwinding and that of the owner cannot be told apart, the drop ends.
    // Method: the owner panics; the coroutine catches and suspends for ever.
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let mut endless = Coroutine::new(|suspender: &Suspender<(), ()>, ()| {
            let _ = catch_unwind(AssertUnwindSafe(|| suspender.suspend(())));
            loop {
                suspender.suspend(());
            }
        });
        endless.resume(());
        resume_unwind(Box::new(()));
    }));
    assert!(caught.is_err());
}

#[test]
fn dropping_inside_another_coroutine_unwinds_there() {
    // Goal: the unwinding of one coroutine may take place on the stack of another's resume.
    // Method: the outer one owns the inner one and is dropped itself.
    let count = Counted::default();
    let guards = (count.guard(), count.guard());
    let mut outer = Coroutine::new(move |suspender: &Suspender<(), ()>, ()| {
        let (own, inners) = guards;
        let mut inner = Coroutine::new(move |suspender: &Suspender<(), ()>, ()| {
            let _guard = inners;
            suspender.suspend(());
        });
        inner.resume(());
        let _own = own;
        suspender.suspend(());
    });
    outer.resume(());
    drop(outer);
    assert_eq!(count.count(), 2);
}

#[test]
fn forgotten_coroutine_stays_as_it_is() {
    // Goal: what a forgotten coroutine owns stays valid, so a thread inside it may go on using it.
    // Method: a scoped thread borrows from the coroutine's frame; the coroutine is forgotten, its
    // pool serves others, and only then does the thread look.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (tell, told) = std::sync::mpsc::channel();
    let mut coroutine = Coroutine::new(move |suspender: &Suspender<(), ()>, ()| {
        let local = [42_u64; 64];
        thread::scope(|threads| {
            let (local, wait) = (&local, wait);
            threads.spawn(move || {
                wait.recv().expect("the word");
                tell.send(local.iter().sum::<u64>()).expect("a listener");
            });
            suspender.suspend(());
        });
    });
    coroutine.resume(());
    std::mem::forget(coroutine);
    for _ in 0..100 {
        let mut other = Coroutine::new(|_: &Suspender<(), ()>, ()| std::hint::black_box([1; 999]));
        other.resume(());
    }
    go.send(()).expect("a listener");
    assert_eq!(told.recv(), Ok(42 * 64));
}

#[test]
#[allow(
    clippy::drop_non_drop,
    clippy::forget_non_drop,
    reason = "what the scope lends has no destructor; that nothing happens is the point"
)]
fn scope_drops_its_coroutine_when_the_body_ends() {
    // Goal: borrowed things are free again after the scope. Method: by return, by panic, and with
    // the handle forgotten.
    let mut drops = 0;
    for way in 0..3 {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            scope(
                |suspender: &Suspender<(), ()>, ()| {
                    let _guard = OnDrop(|| drops += 1);
                    suspender.suspend(());
                },
                |mut coroutine| {
                    coroutine.resume(());
                    match way {
                        0 => drop(coroutine),
                        1 => resume_unwind(Box::new(())),
                        _ => std::mem::forget(coroutine),
                    }
                },
            );
        }));
        assert_eq!(caught.is_err(), way == 1);
        assert_eq!(drops, way + 1);
    }
}

#[test]
fn coroutine_in_a_thread_local_is_dropped_with_the_thread() {
    // Goal: coroutines outlive the thread's pool, or not; either is fine. Method: two threads, the
    // pool made before the coroutine's thread-local, and after.
    thread_local! {
        static KEPT: Cell<Option<Coroutine<(), (), ()>>> = const { Cell::new(None) };
    }
    for pool_first in [false, true] {
        let (tell, told) = std::sync::mpsc::channel();
        let worker = thread::spawn(move || {
            if pool_first {
                drop(Coroutine::new(|_: &Suspender<(), ()>, ()| ()));
            }
            KEPT.set(None);
            let mut coroutine = Coroutine::new(move |suspender: &Suspender<(), ()>, ()| {
                let _guard = OnDrop(|| tell.send(()).expect("a listener"));
                suspender.suspend(());
            });
            coroutine.resume(());
            KEPT.set(Some(coroutine));
        });
        worker.join().expect("the thread ends well");
        assert_eq!(told.try_recv(), Ok(()));
    }
}

thread_local! {
    static KEPT: RefCell<Option<Keeper>> = const { RefCell::new(None) };
}

/// A coroutine that is resumed once more when it is dropped, if so wanted.
struct Keeper {
    coroutine: Coroutine<(), (), ()>,
    resumes: bool,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if self.resumes {
            let outcome = catch_unwind(AssertUnwindSafe(|| self.coroutine.resume(())));
            assert!(outcome.is_err(), "a running coroutine is not resumed");
        }
        eprintln!("dropped by exit");
    }
}

/// Keeps a coroutine that calls `exit`, or resumes another one that does, in a thread-local, and
/// runs it.
fn exit_inside(nested: bool, resumes: bool) {
    let function = move |suspender: &Suspender<(), ()>, ()| {
        let _guard = OnDrop(|| eprintln!("nothing unwinds"));
        suspender.suspend(());
        if nested {
            Coroutine::new(|_: &Suspender<(), ()>, ()| std::process::exit(3)).resume(());
        }
        std::process::exit(3);
    };
    KEPT.set(Some(Keeper { coroutine: Coroutine::new(function), resumes }));
    KEPT.with_borrow_mut(|kept| {
        let coroutine = &mut kept.as_mut().expect("set above").coroutine;
        coroutine.resume(());
        coroutine.resume(());
    });
}

#[test]
fn running_coroutine_that_exit_drops_is_left_alone() {
    // Goal: exit(3) inside a coroutine drops the thread's variables on its stack; if it is one of
    // them, it is not taken for a suspended one. Method: children that exit in it or in one that it
    // resumed, also with a destructor that resumes it.
    let name = "dropping::running_coroutine_that_exit_drops_is_left_alone";
    for case in 0..4 {
        let case: usize = std::env::var(CASE).map_or(case, |case| case.parse().expect("a number"));
        let (nested, resumes) = (case & 1 != 0, case & 2 != 0);
        let case = [(CASE, case.to_string())];
        let output = in_child_with(name, &case, || exit_inside(nested, resumes));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{:?} {stderr}", output.status);
        assert!(stderr.contains("dropped by exit"), "{stderr}");
        assert!(!stderr.contains("nothing unwinds"), "{stderr}");
    }
}

/// Tells a child which case to take.
const CASE: &str = "COVE_COROUTINE_TEST_CASE";
