//! Shared stacks: same addresses, kept contents, many coroutines, ends by every way.

use cove::task::{self, Builder};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

fn spawn_shared<T: 'static>(function: impl FnOnce() -> T + 'static) -> cove::JoinHandle<T> {
    // SAFETY: the closures of these tests lend no local to anyone over a wait.
    unsafe { Builder::new().spawn_on_shared_stack(function) }.unwrap()
}

#[test]
fn locals_survive_while_others_use_the_stack() {
    // Goal: copy out, copy in. Method: many coroutines keep a pattern in locals over yields.
    cove::run(|| {
        let handles: Vec<_> = (0..200u64)
            .map(|n| {
                spawn_shared(move || {
                    let mut values = [n; 64];
                    for round in 0..10 {
                        task::yield_now();
                        assert!(values.iter().all(|value| *value == n + round));
                        values.iter_mut().for_each(|value| *value += 1);
                    }
                    values[63]
                })
            })
            .collect();
        for (n, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.join().unwrap(), n as u64 + 10);
        }
    });
}

#[test]
fn coroutines_on_one_stack_see_the_same_address() {
    // Goal: they do share. Method: more coroutines than stacks report a local's address.
    let addresses = cove::run(|| {
        let addresses = Rc::new(RefCell::new(std::collections::BTreeSet::new()));
        let handles: Vec<_> = (0..64)
            .map(|_| {
                let addresses = addresses.clone();
                spawn_shared(move || {
                    let local = Cell::new(0u8);
                    addresses.borrow_mut().insert(local.as_ptr() as usize);
                    task::yield_now();
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        addresses.borrow().len()
    });
    assert!(addresses <= 8, "{addresses} different addresses");
}

#[test]
fn cancelled_and_dropped_coroutines_unwind_their_own_frames() {
    // Goal: unwinding happens on the restored frames. Method: destructors check their contents.
    struct Check(u64, Rc<Cell<u64>>);
    impl Drop for Check {
        fn drop(&mut self) {
            self.1.set(self.1.get() + self.0);
        }
    }
    let sum = Rc::new(Cell::new(0));
    cove::run(|| {
        for n in 1..=100 {
            let sum = sum.clone();
            let handle = spawn_shared(move || {
                let _check = Check(n, sum);
                task::park();
            });
            if n % 2 == 0 {
                task::yield_now();
                handle.cancel();
                assert!(handle.join().is_err());
            }
        }
        task::yield_now();
    });
    assert_eq!(sum.get(), 5050);
}

#[test]
fn panics_and_large_frames_work() {
    // Goal: frames larger than the small size classes. Method: 100 KiB of locals over a yield.
    cove::run(|| {
        let handles: Vec<_> = (0..20u8)
            .map(|n| {
                spawn_shared(move || {
                    let block = [n; 100_000];
                    task::yield_now();
                    assert!(std::hint::black_box(&block).iter().all(|byte| *byte == n));
                    if n % 5 == 0 {
                        panic!("on purpose");
                    }
                    n
                })
            })
            .collect();
        for (n, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.join().is_err(), n % 5 == 0);
        }
    });
}

#[test]
fn private_and_shared_coroutines_mix() {
    // Goal: switches between both kinds in every combination. Method: neighbours in the run queue.
    cove::run(|| {
        let mut handles = Vec::new();
        for n in 0..100u32 {
            let work = move || {
                let mut sum = n;
                for _ in 0..20 {
                    task::yield_now();
                    sum += 1;
                }
                sum
            };
            handles.push(if n % 3 == 0 { cove::spawn(work) } else { spawn_shared(work) });
        }
        for (n, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.join().unwrap(), n as u32 + 20);
        }
    });
}
