//! The smallest stacks that coroutines may unwind on, as the documentation of
//! `task::Builder::stack_bytes` names them. Each test is a process of its own, in which nothing has
//! unwound before: symbols that are bound at their first call are bound anew.

use crate::child;
use cove::coroutine::{Coroutine, Suspender};
use cove::sync::Mutex;
use cove::task::{self, Builder, Cancelled};
use cove::time::{self, Duration};
use cove::{JoinHandle, Runtime};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// What a coroutine needs that may have to unwind.
const UNWINDS_BYTES: usize = 8 << 10;

/// What it needs to print a backtrace as well.
const BACKTRACE_BYTES: usize = 32 << 10;

/// What a coroutine needs that does not.
const ENDS_BYTES: usize = 4 << 10;

/// Counts its drops.
struct Counted(Rc<Cell<u32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn spawn<T: 'static>(bytes: usize, function: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    Builder::new().stack_bytes(bytes).spawn(function).expect("a coroutine")
}

/// Goal: a coroutine that is cancelled in a wait unwinds. Method: waits of several depths.
#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer's frames are larger")]
fn cancelled_coroutine_unwinds_on_a_small_stack() {
    child::in_runtime("small::cancelled_coroutine_unwinds_on_a_small_stack", || {
        let drops = Rc::new(Cell::new(0));
        let lock = Rc::new(Mutex::new(0));
        let guard = lock.lock().expect("not poisoned");
        let counted = || Counted(drops.clone());
        let (first, second, third) = (counted(), counted(), counted());
        let contender = lock.clone();
        let waiters = [
            spawn(UNWINDS_BYTES, move || {
                let _first = first;
                task::park();
            }),
            spawn(UNWINDS_BYTES, move || {
                let _second = second;
                time::sleep(Duration::from_secs(1000));
            }),
            spawn(UNWINDS_BYTES, move || {
                let _third = third;
                drop(contender.lock());
            }),
        ];
        task::yield_now();
        for waiter in waiters {
            waiter.cancel();
            assert!(waiter.join().is_err_and(|payload| payload.is::<Cancelled>()));
        }
        drop(guard);
        assert_eq!(drops.get(), 3);
    });
}

/// Goal: so does one whose deadline passes. Method: a scope around a wait that never ends.
#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer's frames are larger")]
fn deadline_unwinds_on_a_small_stack() {
    child::in_runtime("small::deadline_unwinds_on_a_small_stack", || {
        let waiter = spawn(UNWINDS_BYTES, || {
            time::timeout(Duration::from_millis(1), || {
                loop {
                    task::park();
                }
            })
        });
        assert!(waiter.join().expect("no panic").is_err());
    });
}

/// Goal: so does one whose runtime ends. Method: drop a runtime whose coroutines all have small
/// stacks, and one of them waits.
#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer's frames are larger")]
fn runtime_of_small_stacks_ends() {
    child::alone("small::runtime_of_small_stacks_ends", || {
        let builder = cove::Builder::new().stack_bytes(UNWINDS_BYTES);
        let runtime: Runtime = builder.build().expect("a runtime");
        let drops = Rc::new(Cell::new(0));
        let counted = Counted(drops.clone());
        runtime.run(|| {
            cove::spawn(move || {
                let _counted = counted;
                time::sleep(Duration::from_secs(1000));
            });
            task::yield_now();
        });
        drop(runtime);
        assert_eq!(drops.get(), 1);
    });
}

/// Goal: a bare coroutine that is dropped unfinished unwinds. Method: one, with a destructor.
#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer's frames are larger")]
fn dropped_coroutine_unwinds_on_a_small_stack() {
    child::alone("small::dropped_coroutine_unwinds_on_a_small_stack", || {
        let drops = Rc::new(Cell::new(0));
        let counted = Counted(drops.clone());
        let function = move |suspender: &Suspender<(), ()>, ()| {
            let _counted = counted;
            suspender.suspend(());
        };
        let mut coroutine = Coroutine::with_stack_bytes(UNWINDS_BYTES, function).expect("a stack");
        let _ = coroutine.resume(());
        drop(coroutine);
        assert_eq!(drops.get(), 1);
    });
}

/// Goal: a panic is reported and caught. Method: with and without a backtrace, in a task and in a
/// bare coroutine.
#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer's frames are larger")]
fn panic_is_reported_on_a_small_stack() {
    let name = "small::panic_is_reported_on_a_small_stack";
    let backtrace = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value == "1");
    for environment in [&[("RUST_BACKTRACE", "0")], &[("RUST_BACKTRACE", "1")]] {
        let child = child::observed(name, environment, || {
            let bytes = if backtrace { BACKTRACE_BYTES } else { UNWINDS_BYTES };
            let panics = |_: &Suspender<(), ()>, ()| panic!("number {}", 2);
            let mut coroutine = Coroutine::with_stack_bytes(bytes, panics).expect("a stack");
            let resumed = catch_unwind(AssertUnwindSafe(|| coroutine.resume(())));
            assert!(resumed.is_err());
            let joined = cove::run(|| spawn(bytes, || panic!("number {}", 1)).join());
            assert!(joined.is_err());
        });
        let Some(child) = child else { return };
        child.succeeded();
        child.says("number 1");
        child.says("number 2");
    }
}

/// Goal: the smallest stacks there are hold a coroutine that ends by itself. Method: waits, and a
/// result.
#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer's frames are larger")]
fn coroutine_that_ends_needs_one_page() {
    child::in_runtime("small::coroutine_that_ends_needs_one_page", || {
        let sleeper = spawn(ENDS_BYTES, || {
            task::yield_now();
            time::sleep(Duration::from_millis(1));
            7
        });
        assert_eq!(sleeper.join().expect("a result"), 7);
    });
}
