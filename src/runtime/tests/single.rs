//! One worker: runs, panics, what survives and what escapes, what can be set.

use super::{Builder, Dropped, panic_of, runtime};
use crate::task::{self, Cancelled};
use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::time::Duration;

#[test]
fn coroutines_survive_between_two_runs() {
    // Goal: what is parked at the end of a run goes on in the next. Method: one coroutine counts
    // its wake-ups over three runs.
    let runtime = runtime(1);
    let count = Rc::new(Cell::new(0));
    let counter = count.clone();
    let handle = runtime.run(|| {
        let coroutine = crate::spawn(move || {
            for _ in 0..2 {
                task::park();
                counter.set(counter.get() + 1);
            }
        });
        task::yield_now();
        coroutine
    });
    for round in 1..=2 {
        handle.task().unpark();
        runtime.run(|| {
            while count.get() < round {
                task::yield_now();
            }
        });
    }
    assert!(runtime.run(|| handle.join()).is_ok());
}

#[test]
fn panic_of_the_root_leaves_the_runtime_usable() {
    // Goal: the panic comes out of run, coroutines and timers go on. Method: panic beside a parked
    // and a sleeping coroutine, then join both.
    let runtime = runtime(1);
    let slot = RefCell::new(None);
    let message = panic_of(|| {
        runtime.run(|| {
            let parked = crate::spawn(task::park);
            let asleep = crate::spawn(|| crate::time::sleep(Duration::from_millis(5)));
            task::yield_now();
            *slot.borrow_mut() = Some((parked, asleep));
            panic!("by design");
        })
    });
    assert_eq!(message, "by design");
    runtime.run(|| {
        let (parked, asleep) = slot.take().expect("set before the panic");
        parked.task().unpark();
        assert!(parked.join().is_ok() && asleep.join().is_ok());
    });
}

#[test]
fn nested_run_says_what_to_use_instead() {
    // Goal: a clear message, and the outer runtime goes on. Method: both ways in.
    let outer = runtime(1);
    outer.run(|| {
        for _ in 0..2 {
            let message = panic_of(|| crate::run(|| ()));
            assert!(message.contains("inside a runtime; use cove::spawn"), "{message}");
        }
        let inner = runtime(1);
        assert!(panic_of(|| inner.run(|| ())).contains("inside a runtime"));
        let message = panic_of(|| outer.run(|| ()));
        assert!(message.contains("inside a runtime"), "{message}");
        assert_eq!(crate::spawn(|| 1).join().ok(), Some(1));
    });
}

#[test]
fn handles_and_results_that_escape_stay_sound() {
    // Goal: they outlive run and runtime. Method: a finished, a parked and an unstarted coroutine,
    // whose results borrow nothing but own much.
    let (finished, parked, unstarted, id) = {
        let runtime = runtime(1);
        runtime.run(|| {
            let finished = crate::spawn(|| vec![7_u8; 1000]);
            let parked = crate::spawn(|| {
                task::park();
                vec![8_u8; 1000]
            });
            task::yield_now();
            (finished, parked, crate::spawn(|| vec![9_u8; 1000]), task::current())
        })
    };
    id.unpark();
    id.cancel();
    assert!(parked.task().id() > finished.task().id());
    assert!(finished.is_finished() && parked.is_finished() && unstarted.is_finished());
    parked.task().unpark();
    assert_eq!(finished.join().expect("a result"), vec![7_u8; 1000]);
    assert!(parked.join().expect_err("cancelled").is::<Cancelled>());
    assert!(unstarted.join().expect_err("cancelled").is::<Cancelled>());
}

#[test]
fn joining_outside_the_runtime_says_so() {
    // Goal: no hang, no unsoundness. Method: join a parked coroutine between two runs.
    let runtime = runtime(1);
    let parked = runtime.run(|| crate::spawn(task::park));
    let message = panic_of(|| drop(parked.join()));
    assert!(message.contains("outside the runtime that runs it"), "{message}");
}

#[test]
fn values_out_of_range_are_errors() {
    // Goal: InvalidInput that names the setting and the range. Method: each bad value.
    let bad = [
        ("workers(0)", Builder::new().workers(0)),
        ("workers(1025)", Builder::new().workers(1025)),
        ("stack_bytes", Builder::new().stack_bytes(usize::MAX)),
        ("shared_stacks(0)", Builder::new().shared_stacks(0)),
        ("shared_stack_bytes", Builder::new().shared_stack_bytes((1 << 30) + 1)),
        ("blocking_threads_max(0)", Builder::new().blocking_threads_max(0)),
        ("blocking_queue_max(0)", Builder::new().blocking_queue_max(0)),
        ("worker_name", Builder::new().worker_name("a\0b")),
        ("stall_watchdog(0ns)", Builder::new().stall_watchdog(Duration::ZERO)),
        ("stall_watchdog(0ns)", Builder::new().on_stall(Duration::ZERO, |_| ())),
    ];
    for (name, builder) in bad {
        let error = builder.build().expect_err(name);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with(name), "{error}");
    }
}

#[test]
fn settings_of_stacks_reach_every_coroutine() {
    // Goal: size and guard are those that were asked for, and only while the runtime lives. Method:
    // use more than the default size; look at the pool.
    let stats = || crate::stack::with_pool(|pool| pool.stats());
    let builder = Builder::new().stack_bytes(1 << 20).stack_watermark_bytes(1 << 20);
    let runtime = builder.stack_guard(crate::Guard::Canary).build().expect("a runtime");
    let bytes = runtime.run(|| crate::spawn(|| [1_u8; 700 << 10].len()).join()).expect("joined");
    assert_eq!(bytes, 700 << 10);
    assert!(stats().guards_canary > 0);
    drop(runtime);
    assert_eq!(stats().guards_canary, 0);
    let small = Builder::new().stack_bytes(1).build().expect("rounded up");
    assert_eq!(small.run(|| crate::spawn(|| 3).join()).ok(), Some(3));
}

#[test]
fn idle_runtime_gives_the_memory_of_stacks_back_in_time() {
    // Goal: no give is needed for it, and a runtime that only sleeps wakes up for it. Method: a
    // crowd's stacks hold more than they may; then one coroutine sleeps.
    let due_ns = || crate::stack::with_pool(|pool| pool.trim_due_ns());
    let time = std::time::Duration::from_millis(20);
    let builder = Builder::new().stack_watermark_bytes(1 << 20).stack_decay(time);
    builder.build().expect("a runtime").run(|| {
        let crowd: Vec<_> = (0..2000).map(|_| crate::spawn(crate::task::yield_now)).collect();
        crowd.into_iter().for_each(|one| one.join().expect("no panic"));
        assert!(due_ns().is_some());
        while due_ns().is_some() {
            crate::time::sleep(time);
        }
    });
}

#[test]
fn dropping_a_runtime_while_the_thread_panics_unwinds_its_coroutines() {
    // Goal: no hang and no leak, though `thread::panicking` is true all the while. Method: a parked
    // coroutine, a scope with children, and a destructor that waits; then a panic.
    let dropped = Dropped::default();
    let of_coroutines = dropped.clone();
    let message = panic_of(move || {
        let runtime = runtime(1);
        runtime.run(|| {
            let dropped = of_coroutines.clone();
            drop(crate::spawn(move || {
                let _guard = dropped.guard();
                task::park();
            }));
            let dropped = of_coroutines.clone();
            drop(crate::spawn(move || {
                let _guard = dropped.guard();
                crate::scope(|scope| {
                    for _ in 0..2 {
                        scope.spawn(|| {
                            let _guard = dropped.guard();
                            task::park();
                        });
                    }
                });
            }));
            let dropped = of_coroutines.clone();
            drop(crate::spawn(move || {
                struct Waits {
                    _dropped: super::Counted,
                }
                impl Drop for Waits {
                    fn drop(&mut self) {
                        crate::time::sleep(Duration::from_millis(2));
                    }
                }
                let _waits = Waits { _dropped: dropped.guard() };
                task::park();
            }));
            for _ in 0..4 {
                task::yield_now();
            }
        });
        panic!("by design");
    });
    assert_eq!((message.as_str(), dropped.count()), ("by design", 5));
}

#[test]
fn run_ends_its_coroutines_before_a_panic_goes_on() {
    // Goal: destructors do not see the root's panic. Method: one asks.
    thread_local!(static SEEN: Cell<Option<bool>> = const { Cell::new(None) });
    struct Asks;
    impl Drop for Asks {
        fn drop(&mut self) {
            SEEN.set(Some(task::try_current().is_some()));
        }
    }
    let message = panic_of(|| {
        crate::run(|| {
            let asks = Asks;
            drop(crate::spawn(move || {
                let _asks = asks;
                task::park();
            }));
            task::yield_now();
            panic!("by design");
        })
    });
    assert_eq!((message.as_str(), SEEN.get()), ("by design", Some(true)));
}

#[test]
fn two_runtimes_on_one_thread_do_not_mix() {
    // Goal: coroutines of one stand still while the other runs. Method: both run in turn.
    let (first, second) = (runtime(1), runtime(1));
    let ran = Rc::new(Cell::new(false));
    let note = ran.clone();
    let handle = first.run(|| crate::spawn(move || note.set(true)));
    second.run(|| (0..200).for_each(|_| task::yield_now()));
    assert!(!ran.get());
    assert!(first.run(|| handle.join()).is_ok() && ran.get());
}

#[test]
fn runtimes_that_end_leave_no_stack_behind() {
    // Goal: a thread may make any number of runtimes. Method: the thread's pool of stacks holds
    // after many runs what it held after a few: nobody's stack is out, no more is reserved.
    let stacks = || {
        let stats = crate::stack::with_pool(|pool| pool.stats());
        (stats.live, stats.reserved_bytes, stats.slabs, stats.misses)
    };
    let run = || crate::run(|| crate::spawn(|| 1).join().expect("a result"));
    (0..10).for_each(|_| assert_eq!(run(), 1));
    let before = stacks();
    assert_eq!(before.0, 0);
    (0..2000).for_each(|_| assert_eq!(run(), 1));
    assert_eq!(stacks(), before);
}

#[test]
fn handle_crosses_catch_unwind() {
    // Goal: a handle may be used in code whose panic is caught. Method: the compiler's word, and a
    // handle that is used inside and after such code.
    let runtime = runtime(1);
    let handle = runtime.handle();
    assert!(catch_unwind(|| handle.spawn_on(7, || ())).is_err());
    assert_eq!(runtime.run(|| handle.spawn(|| 6 * 7).join()).expect("a result"), 42);
}
