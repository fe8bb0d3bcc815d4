//! Structured spawning: borrows, joins from elsewhere, panics, cancellation.

use cove::task;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

#[test]
fn scoped_coroutines_borrow_and_are_waited_for() {
    // Goal: borrowed data is seen complete after the scope. Method: children yield before writing.
    let mut log = Vec::new();
    let seen = RefCell::new(&mut log);
    cove::run(|| {
        cove::scope(|scope| {
            for n in 0..10 {
                let seen = &seen;
                scope.spawn(move || {
                    task::yield_now();
                    seen.borrow_mut().push(n);
                });
            }
        });
    });
    log.sort_unstable();
    assert_eq!(log, (0..10).collect::<Vec<_>>());
}

#[test]
fn scope_returns_values_and_joins() {
    // Goal: handles bring back borrowed results. Method: join inside the scope.
    let words = [String::from("a"), String::from("bc")];
    let total = cove::run(|| {
        cove::scope(|scope| {
            let handles: Vec<_> =
                words.iter().map(|word| scope.spawn(move || word.as_str())).collect();
            handles.into_iter().map(|handle| handle.join().unwrap().len()).sum::<usize>()
        })
    });
    assert_eq!(total, 3);
}

#[test]
fn a_sibling_may_join_while_the_scope_waits() {
    // Goal: two waiters for one coroutine. Method: hand a handle to a sibling, leave the scope.
    cove::run(|| {
        let gate = Rc::new(Cell::new(None));
        let joined = Cell::new(0);
        cove::scope(|scope| {
            let gate_of_slow = gate.clone();
            let slow = scope.spawn(move || {
                gate_of_slow.set(Some(task::current()));
                task::park();
                41
            });
            let joined = &joined;
            scope.spawn(move || joined.set(slow.join().unwrap() + 1));
            let gate = gate.clone();
            scope.spawn(move || {
                (0..5).for_each(|_| task::yield_now());
                gate.take().unwrap().unpark();
            });
        });
        assert_eq!(joined.get(), 42);
    });
}

#[test]
fn panic_of_an_unjoined_child_comes_out_of_the_scope() {
    // Goal: as std's scope. Method: one child panics, another finishes first or later.
    cove::run(|| {
        let finished = Cell::new(false);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            cove::scope(|scope| {
                scope.spawn(|| panic!("child"));
                scope.spawn(|| {
                    task::yield_now();
                    finished.set(true);
                });
            });
        }));
        assert!(outcome.is_err());
        assert!(finished.get());
    });
}

#[test]
fn panic_of_a_joined_child_stays_with_its_join() {
    // Goal: joining takes the panic. Method: join, then the scope ends well.
    cove::run(|| {
        cove::scope(|scope| {
            assert!(scope.spawn(|| panic!("taken")).join().is_err());
        });
    });
}

#[test]
fn panic_of_the_body_cancels_the_children_and_waits_for_them() {
    // Goal: nothing borrowed is used after the scope. Method: a parked child notes its unwinding.
    struct Note<'a>(&'a Cell<bool>);
    impl Drop for Note<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    cove::run(|| {
        let unwound = Cell::new(false);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            cove::scope(|scope| {
                let unwound = &unwound;
                scope.spawn(move || {
                    let _note = Note(unwound);
                    task::park();
                });
                task::yield_now();
                panic!("body");
            })
        }));
        assert_eq!(*outcome.unwrap_err().downcast_ref::<&str>().unwrap(), "body");
        assert!(unwound.get());
    });
}

#[test]
fn cancelling_the_owner_cancels_the_children_first() {
    // Goal: cancellation goes down the tree. Method: cancel a coroutine that waits in a scope.
    struct Note(Rc<RefCell<Vec<&'static str>>>, &'static str);
    impl Drop for Note {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }
    cove::run(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let of_owner = log.clone();
        let owner = cove::spawn(move || {
            let _outer = Note(of_owner.clone(), "owner");
            cove::scope(|scope| {
                let of_child = of_owner.clone();
                scope.spawn(move || {
                    let _inner = Note(of_child, "child");
                    task::park();
                });
            });
        });
        task::yield_now();
        task::yield_now();
        owner.cancel();
        assert!(owner.join().unwrap_err().is::<task::Cancelled>());
        assert_eq!(*log.borrow(), ["child", "owner"]);
    });
}

#[test]
fn leaked_handle_does_not_end_the_waiting() {
    // Goal: forgetting a handle is sound. Method: forget it; the scope still waits.
    cove::run(|| {
        let done = Cell::new(false);
        cove::scope(|scope| {
            std::mem::forget(scope.spawn(|| {
                task::yield_now();
                done.set(true);
            }));
        });
        assert!(done.get());
    });
}

#[test]
fn scopes_nest() {
    // Goal: a child opens a scope of its own. Method: sums over two levels.
    let total = cove::run(|| {
        let total = Cell::new(0);
        cove::scope(|outer| {
            for _ in 0..10 {
                outer.spawn(|| {
                    cove::scope(|inner| {
                        for _ in 0..10 {
                            inner.spawn(|| {
                                task::yield_now();
                                total.set(total.get() + 1);
                            });
                        }
                    });
                });
            }
        });
        total.get()
    });
    assert_eq!(total, 100);
}
