//! Spawning, joining, yielding, parking, names, sizes, panics.

use cove::task;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

#[test]
fn coroutines_run_in_the_order_in_which_they_were_spawned() {
    // Goal: first in, first out. Method: each notes its number.
    let order = Rc::new(RefCell::new(Vec::new()));
    cove::run(|| {
        let handles: Vec<_> = (0..10)
            .map(|n| {
                let order = order.clone();
                cove::spawn(move || order.borrow_mut().push(n))
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
    assert_eq!(*order.borrow(), (0..10).collect::<Vec<_>>());
}

#[test]
fn yielding_takes_turns() {
    // Goal: a yield lets every other ready coroutine run first. Method: two loggers alternate.
    let log = Rc::new(RefCell::new(String::new()));
    cove::run(|| {
        let spawn = |letter: char| {
            let log = log.clone();
            cove::spawn(move || {
                for _ in 0..3 {
                    log.borrow_mut().push(letter);
                    task::yield_now();
                }
            })
        };
        let (a, b) = (spawn('a'), spawn('b'));
        a.join().unwrap();
        b.join().unwrap();
    });
    assert_eq!(*log.borrow(), "ababab");
}

#[test]
fn results_of_every_size_and_alignment_come_back() {
    // Goal: closures and results in the block, boxed, over-aligned. Method: values with a pattern.
    #[repr(align(256))]
    #[derive(PartialEq, Debug, Clone, Copy)]
    struct Aligned(u64);
    cove::run(|| {
        cove::spawn(|| ()).join().unwrap();
        assert_eq!(cove::spawn(|| 7u8).join().unwrap(), 7);
        let aligned = Aligned(5);
        let back = cove::spawn(move || {
            assert_eq!(&raw const aligned as usize % 256, 0);
            aligned
        });
        assert_eq!(back.join().unwrap(), Aligned(5));
    });
}

#[test]
fn large_closures_and_results_are_boxed() {
    // Goal: parts above a quarter of the stack. Method: patterns, on a thread with a large stack,
    // since unoptimised code copies large values several times.
    let thread = std::thread::Builder::new().stack_size(32 << 20).spawn(|| {
        cove::run(|| {
            let roomy = || task::Builder::new().stack_bytes(1 << 20);
            let large = [3u8; 270_000];
            let closure =
                roomy().spawn(move || large.iter().map(|byte| u64::from(*byte)).sum::<u64>());
            assert_eq!(closure.unwrap().join().unwrap(), 810_000u64);
            let result = roomy().spawn(|| [9u8; 270_000]).unwrap().join().unwrap();
            assert!(result.iter().all(|byte| *byte == 9));
        });
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn panic_comes_out_of_join_and_leaves_the_others_alone() {
    // Goal: a panic ends one coroutine. Method: one panics between two that go on.
    cove::run(|| {
        let before = cove::spawn(|| {
            task::yield_now();
            1
        });
        let broken = cove::spawn(|| -> i32 { panic!("broken on purpose") });
        let after = cove::spawn(|| {
            task::yield_now();
            2
        });
        let payload = broken.join().unwrap_err();
        assert_eq!(*payload.downcast_ref::<&str>().unwrap(), "broken on purpose");
        assert_eq!(before.join().unwrap() + after.join().unwrap(), 3);
    });
}

#[test]
fn panic_in_the_root_comes_out_of_run() {
    // Goal: `run` passes the panic on after unwinding what was spawned. Method: count drops.
    struct Count(Rc<Cell<u32>>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let guard = Count(dropped.clone());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        cove::run(|| {
            cove::spawn(move || {
                let _guard = guard;
                task::park();
            });
            task::yield_now();
            panic!("root");
        })
    }));
    assert!(outcome.is_err());
    assert_eq!(dropped.get(), 1);
}

#[test]
fn unfinished_coroutines_unwind_when_the_runtime_ends() {
    // Goal: destructors of parked and of unstarted coroutines run. Method: a shared count.
    let alive = Rc::new(());
    cove::run(|| {
        for _ in 0..100 {
            let alive = alive.clone();
            cove::spawn(move || {
                let _alive = alive;
                task::park();
            });
        }
        task::yield_now();
        let unstarted = alive.clone();
        cove::spawn(move || drop(unstarted));
        assert_eq!(Rc::strong_count(&alive), 102);
    });
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
fn handle_that_outlives_the_runtime_keeps_the_result() {
    // Goal: a join outside is allowed once the coroutine has ended. Method: join after run.
    let (finished, cancelled) = cove::run(|| {
        let finished = cove::spawn(|| String::from("kept"));
        let cancelled = cove::spawn(|| {
            task::park();
            1
        });
        task::yield_now();
        (finished, cancelled)
    });
    assert_eq!(finished.join().unwrap(), "kept");
    assert!(cancelled.join().unwrap_err().is::<task::Cancelled>());
}

#[test]
fn name_and_id_are_those_that_were_given() {
    // Goal: current() tells who runs. Method: compare inside and outside.
    cove::run(|| {
        let named = task::Builder::new().name("worker").spawn(task::current).unwrap();
        let seen_outside = named.task();
        let seen_inside = named.join().unwrap();
        assert_eq!(seen_inside.name(), Some("worker"));
        assert_eq!(seen_inside.id(), seen_outside.id());
        assert_ne!(seen_inside.id(), task::current().id());
    });
    assert!(task::try_current().is_none());
}

#[test]
fn unpark_before_park_is_not_lost() {
    // Goal: the token of std's park. Method: unpark first, then park must return.
    cove::run(|| {
        task::current().unpark();
        task::park();
        let parked = cove::spawn(|| {
            task::park();
            task::yield_now();
            5
        });
        task::yield_now();
        parked.task().unpark();
        assert_eq!(parked.join().unwrap(), 5);
    });
}

#[test]
fn unpark_from_another_thread_wakes_a_sleeping_runtime() {
    // Goal: the bell. Method: the runtime has nothing to do but wait for a thread.
    cove::run(|| {
        let handle = task::current();
        let thread = std::thread::spawn(move || handle.unpark());
        task::park();
        thread.join().unwrap();
    });
}

#[test]
fn stack_size_out_of_range_is_an_error() {
    // Goal: no panic, a clear message. Method: ask for 2 GiB, and for the two ends of the range.
    cove::run(|| {
        let error = task::Builder::new().stack_bytes(2 << 30).spawn(|| ()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("1073741824"), "{error}");
        for bytes in [4 << 10, 1 << 30] {
            task::Builder::new().stack_bytes(bytes).spawn(|| ()).unwrap().join().unwrap();
        }
    });
}

#[test]
fn deep_recursion_fits_a_stack_of_its_size() {
    // Goal: the whole stack is usable. Method: recurse to 900 KiB of a MiB.
    fn dig(depth: usize) -> usize {
        let mut frame = [0u8; 1024];
        std::hint::black_box(&mut frame);
        if depth == 0 { 0 } else { 1 + dig(depth - 1) }
    }
    cove::run(|| {
        let deep = task::Builder::new().stack_bytes(4 << 20).spawn(|| dig(2000)).unwrap();
        assert_eq!(deep.join().unwrap(), 2000);
    });
}

#[test]
fn spawning_outside_a_runtime_panics_with_the_reason() {
    // Goal: a clear message. Method: catch it.
    let panic = catch_unwind(|| cove::spawn(|| ())).unwrap_err();
    let message = panic.downcast_ref::<String>().map_or("", |text| text);
    let message = panic.downcast_ref::<&str>().copied().unwrap_or(message);
    assert!(message.contains("outside a runtime"), "{message}");
}

#[test]
fn errno_belongs_to_the_coroutine() {
    // Goal: a switch keeps errno. Method: two coroutines set their own and compare after yields.
    fn errno() -> i32 {
        std::io::Error::last_os_error().raw_os_error().unwrap()
    }
    fn fail(path: &str) {
        assert!(std::fs::metadata(path).is_err());
    }
    cove::run(|| {
        let missing = cove::spawn(|| {
            fail("/no/such/path");
            let mine = errno();
            (0..50).for_each(|_| {
                task::yield_now();
                assert_eq!(errno(), mine);
            });
        });
        let not_a_directory = cove::spawn(|| {
            fail("/dev/null/x");
            let mine = errno();
            (0..50).for_each(|_| {
                task::yield_now();
                assert_eq!(errno(), mine);
            });
        });
        missing.join().unwrap();
        not_a_directory.join().unwrap();
    });
}

#[test]
fn a_hundred_thousand_coroutines_take_turns() {
    // Goal: more coroutines than mappings would allow. Method: all parked at once, all joined.
    cove::run(|| {
        let handles: Vec<_> = (0..100_000u64)
            .map(|n| {
                cove::spawn(move || {
                    task::yield_now();
                    n
                })
            })
            .collect();
        let sum: u64 = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
        assert_eq!(sum, 99_999 * 100_000 / 2);
    });
}

fn spawn_shared<T: 'static>(function: impl FnOnce() -> T + 'static) -> cove::JoinHandle<T> {
    // SAFETY: what these tests spawn lends nothing to anybody.
    unsafe { task::Builder::new().spawn_on_shared_stack(function) }.unwrap()
}

/// Spawns coroutines that capture what `make` makes, and others that return it, on private stacks
/// of several sizes and on shared ones. They end before they start: in frames that they run, such a
/// value is aligned as well, for which a stack may be too small.
fn capture_and_return<A: 'static>(make: fn() -> A) {
    let capture = || {
        let captured = make();
        move || drop(captured)
    };
    let mut handles = vec![spawn_shared(capture())];
    let mut returning = vec![spawn_shared(make)];
    for stack_bytes in [4 << 10, 16 << 10, 128 << 10] {
        let spawner = || task::Builder::new().stack_bytes(stack_bytes);
        handles.push(spawner().spawn(capture()).unwrap());
        returning.push(spawner().spawn(make).unwrap());
    }
    handles.iter().for_each(|handle| handle.cancel());
    returning.iter().for_each(|handle| handle.cancel());
    task::yield_now();
    assert!(handles.iter().all(|handle| handle.is_finished()));
    assert!(returning.iter().all(|handle| handle.is_finished()));
}

/// As above, and lets others run and brings their results back, on stacks with room for that.
fn capture_return_and_join<A: 'static>(make: fn() -> A) {
    capture_and_return(make);
    let capture = || {
        let captured = make();
        move || {
            let _captured = captured;
            task::yield_now();
            1
        }
    };
    assert_eq!(cove::spawn(capture()).join().unwrap(), 1);
    assert_eq!(spawn_shared(capture()).join().unwrap(), 1);
    let is_aligned = |value: &A| (&raw const *value).addr() % align_of::<A>() == 0;
    assert!(cove::spawn(make).join().is_ok_and(|value| is_aligned(&value)));
    assert!(spawn_shared(make).join().is_ok_and(|value| is_aligned(&value)));
}

#[repr(align(32))]
struct Aligned32;
#[repr(align(1024))]
struct Aligned1024;
#[repr(align(4096))]
struct Aligned4096;
#[repr(align(65536))]
struct Aligned65536;
#[repr(align(262144))]
struct Aligned262144;

#[test]
fn over_aligned_captures_and_results_stay_off_the_stack() {
    // Goal: whatever alignment a capture or a result has, even one without a size, a task's block
    // touches nobody else's memory. Method: alignments below and above that of all stacks, between
    // coroutines that keep a pattern on theirs; on a thread that has room for such frames.
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(spawn_over_aligned);
    thread.unwrap().join().unwrap();
}

fn spawn_over_aligned() {
    cove::run(|| {
        let neighbours: Vec<_> = (0..40u64)
            .map(|n| {
                cove::spawn(move || {
                    let mut pattern = [n; 10_000];
                    std::hint::black_box(&mut pattern);
                    task::park();
                    std::hint::black_box(&pattern).iter().all(|word| *word == n)
                })
            })
            .collect();
        task::yield_now();
        capture_return_and_join(|| Aligned32);
        capture_return_and_join(|| Aligned1024);
        capture_return_and_join(|| Aligned4096);
        capture_and_return(|| Aligned65536);
        capture_and_return(|| Aligned262144);
        for neighbour in neighbours {
            neighbour.task().unpark();
            assert!(neighbour.join().unwrap());
        }
    });
}
