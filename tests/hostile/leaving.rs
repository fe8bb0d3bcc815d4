//! Bare coroutines that leave the place where they suspended: a scope's frame, a runtime's, a
//! thread's life.

use crate::child;
use cove::coroutine::{Coroutine, Suspender};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;

type Bare = Coroutine<(), (), ()>;

/// A coroutine that runs `body` and can suspend in it.
fn bare(body: impl FnOnce(&dyn Fn()) + 'static) -> Bare {
    Coroutine::new(move |suspender: &Suspender<(), ()>, ()| body(&|| suspender.suspend(())))
}

/// Goal: a scope's children cannot outlive it, wherever its coroutine is dropped. Method: suspend
/// inside a scope, leave the runtime, which stands still with the child in it, and drop.
#[test]
fn scope_that_is_left_outside_its_runtime_aborts() {
    let left = |end: fn(Bare)| {
        move || {
            let runtime = cove::Builder::new().build().expect("a runtime");
            let coroutine = runtime.run(|| {
                let mut coroutine = bare(|suspend| {
                    cove::scope(|scope| {
                        scope.spawn(cove::task::park);
                        suspend();
                    });
                });
                let _ = coroutine.resume(());
                coroutine
            });
            end(coroutine);
        }
    };
    let message = "a Coroutine that suspended inside `cove::scope` was resumed or dropped outside";
    let name = "leaving::scope_that_is_left_outside_its_runtime_aborts";
    let drops = std::env::var_os("COVE_LEAVING_DROPS").is_some();
    let end = if drops {
        drop
    } else {
        |mut coroutine: Bare| {
            let _ = coroutine.resume(());
        }
    };
    for environment in [&[("COVE_LEAVING_DROPS", "1")][..], &[]] {
        let Some(child) = child::observed(name, environment, left(end)) else { return };
        child.aborted();
        child.says(message);
    }
}

/// Goal: the frame of a `run` is left by the task that entered it, or the process ends. Method: a
/// coroutine suspends inside a `run`, so that its resumer goes on as the root; a task of that
/// runtime drops the coroutine, or resumes it.
#[test]
fn run_that_is_left_by_another_task_aborts() {
    let name = "leaving::run_that_is_left_by_another_task_aborts";
    let drops = std::env::var_os("COVE_LEAVING_DROPS").is_some();
    for environment in [&[("COVE_LEAVING_DROPS", "1")][..], &[]] {
        let child = child::observed(name, environment, || {
            let mut coroutine = bare(|suspend| cove::run(suspend));
            let _ = coroutine.resume(());
            let other = cove::spawn(move || {
                if !drops {
                    let _ = coroutine.resume(());
                }
            });
            let _ = other.join();
        });
        let Some(child) = child else { return };
        child.aborted();
        child.says("a Coroutine that suspended inside a runtime's `run` was resumed or dropped");
    }
}

/// Tells that it was dropped, and tries what a destructor may.
struct Guard(mpsc::Sender<&'static str>, &'static str);

impl Drop for Guard {
    fn drop(&mut self) {
        // Takes a stack, and gives it back, whatever the thread has left of its pool.
        let ran = Rc::new(Cell::new(0));
        let seen = ran.clone();
        let mut inner = bare(move |suspend| {
            seen.set(1);
            suspend();
            seen.set(2);
        });
        let _ = inner.resume(());
        drop(inner);
        assert_eq!(ran.get(), 1);
        self.0.send(self.1).expect("the test waits");
    }
}

thread_local! {
    static KEPT: RefCell<Vec<Bare>> = const { RefCell::new(Vec::new()) };
}

/// A coroutine that is suspended with a guard on its stack, and suspends again when it unwinds.
fn suspended(guard: Guard) -> Bare {
    struct Suspends<'a>(&'a dyn Fn());
    impl Drop for Suspends<'_> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    let mut coroutine = bare(move |suspend| {
        let _guard = guard;
        let _suspends = Suspends(suspend);
        suspend();
        unreachable!("it is dropped");
    });
    let _ = coroutine.resume(());
    coroutine
}

/// Goal: a coroutine that a thread keeps until it ends is unwound then, and its stack given back,
/// whichever of the thread's variables go first. Method: keep some in a thread-local that is made
/// before the pool of stacks, or after; also ones that suspended in a runtime that has ended.
#[test]
fn coroutines_kept_until_the_thread_ends_are_unwound() {
    child::alone("leaving::coroutines_kept_until_the_thread_ends_are_unwound", || {
        for pool_first in [false, true] {
            let (tell, told) = mpsc::channel();
            let thread = std::thread::spawn(move || {
                if pool_first {
                    drop(bare(|_| ()));
                }
                KEPT.with_borrow(|kept| assert!(kept.is_empty()));
                let plain = suspended(Guard(tell.clone(), "plain"));
                let guard = Guard(tell.clone(), "of a runtime");
                let of_runtime = cove::run(|| suspended(guard));
                let guard = Guard(tell, "in a deadline scope");
                let in_scope = cove::run(|| {
                    let mut coroutine = bare(move |suspend| {
                        let _guard = guard;
                        let _ = cove::time::timeout(std::time::Duration::MAX, suspend);
                    });
                    let _ = coroutine.resume(());
                    coroutine
                });
                KEPT.with_borrow_mut(|kept| kept.extend([plain, of_runtime, in_scope]));
            });
            thread.join().expect("the thread ends well");
            let names: Vec<_> = told.iter().collect();
            assert_eq!(names, ["plain", "of a runtime", "in a deadline scope"]);
        }
    });
}

/// Goal: a runtime whose `run` stands on a stack that a thread keeps until it ends is taken down
/// with it. Method: suspend inside a `run` on a plain thread, with a coroutine of that runtime
/// parked.
#[test]
fn runtime_on_a_kept_stack_ends_with_the_thread() {
    child::alone("leaving::runtime_on_a_kept_stack_ends_with_the_thread", || {
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            KEPT.with_borrow(|kept| assert!(kept.is_empty()));
            let mut coroutine = bare(move |suspend| {
                cove::run(|| {
                    cove::spawn(move || {
                        let _guard = Guard(tell, "a task");
                        cove::task::park();
                    });
                    cove::task::yield_now();
                    suspend();
                });
            });
            let _ = coroutine.resume(());
            KEPT.with_borrow_mut(|kept| kept.push(coroutine));
        });
        thread.join().expect("the thread ends well");
        assert_eq!(told.iter().collect::<Vec<_>>(), ["a task"]);
    });
}
