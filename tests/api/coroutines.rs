//! Bare coroutines: values, nesting, panics, dropping, iterating, and their life inside a runtime.

use cove::coroutine::{
    Coroutine, CoroutineState, Status, Suspender, Unwinding, scope, scope_with_stack_bytes,
};
use cove::sync::Mutex;
use cove::task;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use CoroutineState::{Complete, Yielded};

#[test]
fn values_go_in_and_out_at_every_stop() {
    // Goal: what resume and suspend pass. Method: owned values in both directions, a result of a
    // third type, and the status at each step.
    let mut coroutine = Coroutine::new(|suspender: &Suspender<String, usize>, first: String| {
        let second = suspender.suspend(first.len());
        let third = suspender.suspend(second.len());
        vec![first, second, third]
    });
    assert_eq!(coroutine.status(), Status::Fresh);
    assert_eq!(coroutine.resume("a".into()), Yielded(1));
    assert_eq!(coroutine.status(), Status::Suspended);
    assert_eq!(coroutine.resume("bc".into()), Yielded(2));
    assert!(!coroutine.is_complete());
    assert_eq!(coroutine.resume("d".into()), Complete(["a", "bc", "d"].map(String::from).into()));
    assert!(coroutine.is_complete());
    let again = catch_unwind(AssertUnwindSafe(|| coroutine.resume("e".into())));
    let text = again.unwrap_err();
    assert_eq!(text.downcast_ref(), Some(&"a coroutine was resumed after it had completed"));
}

#[test]
fn generators_nest_by_recursion() {
    // Goal: a suspend at any depth of calls, and coroutines inside coroutines. Method: walk a tree,
    // once with one coroutine and recursion, once with a coroutine for each node.
    struct Node(u32, Vec<Node>);
    fn tree(value: u32, depth: u32) -> Node {
        let children = if depth == 0 { 0 } else { 3 };
        Node(value, (1..=children).map(|n| tree(value * 10 + n, depth - 1)).collect())
    }
    fn walk(node: &Node, suspender: &Suspender<(), u32>) {
        suspender.suspend(node.0);
        node.1.iter().for_each(|child| walk(child, suspender));
    }
    fn spawn(node: Node) -> Coroutine<(), u32, ()> {
        Coroutine::new(move |suspender, ()| {
            suspender.suspend(node.0);
            for value in node.1.into_iter().flat_map(spawn) {
                suspender.suspend(value);
            }
        })
    }
    let root = tree(0, 4);
    let flat: Vec<_> = scope(|suspender, ()| walk(&root, suspender), |walker| walker.collect());
    assert_eq!(flat.len(), 1 + 3 + 9 + 27 + 81);
    assert_eq!(flat[..5], [0, 1, 11, 111, 1111]);
    assert_eq!(spawn(root).collect::<Vec<_>>(), flat);
}

#[test]
fn iterators_end_and_stay_at_their_end() {
    // Goal: Iterator. Method: adaptors of std, one that is left half-way, next after the end.
    let count_to = |limit: u32| {
        Coroutine::new(move |suspender: &Suspender<(), u32>, ()| {
            (0..limit).for_each(|n| suspender.suspend(n));
        })
    };
    let pairs: Vec<_> = count_to(3).zip(count_to(9).skip(2).step_by(3)).collect();
    assert_eq!(pairs, [(0, 2), (1, 5), (2, 8)]);
    let mut short = count_to(1);
    assert_eq!([short.next(), short.next(), short.next()], [Some(0), None, None]);
    let mut dropped = count_to(100);
    assert_eq!(dropped.by_ref().take(2).sum::<u32>(), 1);
    assert_eq!(dropped.next(), Some(2));
}

#[test]
fn panics_come_out_of_the_resume_that_ran_it() {
    // Goal: payload, and state afterwards, at each depth of nesting. Method: an inner coroutine
    // panics on its second resume; the outer one catches, and panics with what it caught.
    let dropped = Rc::new(());
    let held = dropped.clone();
    let mut outer = Coroutine::new(move |suspender: &Suspender<(), &'static str>, ()| {
        let mut inner = Coroutine::new(move |suspender: &Suspender<(), ()>, ()| {
            let _held = held;
            suspender.suspend(());
            resume_unwind(Box::new("inner"));
        });
        assert_eq!(inner.resume(()), Yielded(()));
        let caught = catch_unwind(AssertUnwindSafe(|| inner.resume(())));
        assert_eq!(inner.status(), Status::Complete);
        suspender.suspend("caught");
        resume_unwind(caught.unwrap_err());
    });
    assert_eq!(outer.resume(()), Yielded("caught"));
    assert_eq!(Rc::strong_count(&dropped), 1);
    let payload = catch_unwind(AssertUnwindSafe(|| outer.resume(())));
    assert_eq!(payload.unwrap_err().downcast_ref(), Some(&"inner"));
    assert!(outer.is_complete());
}

/// Suspends when it is dropped, and notes what came of it.
struct Suspends<'s> {
    suspender: &'s Suspender<u32, u32>,
    log: Rc<RefCell<Vec<String>>>,
}

impl Drop for Suspends<'_> {
    fn drop(&mut self) {
        let outcome = self.suspender.try_suspend(99);
        self.log.borrow_mut().push(format!("{outcome:?}"));
    }
}

#[test]
fn destructors_that_suspend_do_so_only_while_the_coroutine_lives() {
    // Goal: try_suspend in a destructor, at a normal end of scope and while a drop unwinds. Method:
    // the same guard in both; the log.
    let log: Rc<RefCell<Vec<String>>> = Rc::default();
    let notes = log.clone();
    let mut coroutine = Coroutine::new(move |suspender: &Suspender<u32, u32>, _| {
        drop(Suspends { suspender, log: notes.clone() });
        let _guard = Suspends { suspender, log: notes };
        suspender.suspend(1);
    });
    assert_eq!(coroutine.resume(0), Yielded(99));
    assert_eq!(coroutine.resume(5), Yielded(1));
    drop(coroutine);
    assert_eq!(*log.borrow(), ["Ok(5)".to_string(), format!("{:?}", Err::<u32, _>(Unwinding))]);
}

#[test]
fn dropping_unwinds_even_what_swallows_the_unwinding() {
    // Goal: drop ends a coroutine that catches panics. Method: catch_unwind in a loop around each
    // suspend; the loop gives up after some turns, and every destructor has run.
    let (alive, caught) = (Rc::new(()), Rc::new(Cell::new(0)));
    let (held, count) = (alive.clone(), caught.clone());
    let mut stubborn = Coroutine::new(move |suspender: &Suspender<(), ()>, ()| {
        for _ in 0..5 {
            let held = held.clone();
            let swallowed = catch_unwind(AssertUnwindSafe(|| {
                let _held = held;
                suspender.suspend(());
            }));
            count.set(count.get() + usize::from(swallowed.is_err()));
        }
    });
    assert_eq!(stubborn.resume(()), Yielded(()));
    drop(stubborn);
    assert_eq!((Rc::strong_count(&alive), caught.get()), (1, 5));
    // One that returns a value in place of unwinding: the value is dropped.
    let held = alive.clone();
    let mut returning = Coroutine::new(move |suspender: &Suspender<(), ()>, ()| {
        let _ = catch_unwind(AssertUnwindSafe(|| suspender.suspend(())));
        held
    });
    returning.resume(());
    drop(returning);
    // One that never began, and one that is done.
    let held = alive.clone();
    drop(Coroutine::new(move |_: &Suspender<(), ()>, ()| drop(held)));
    let held = alive.clone();
    let mut done = Coroutine::new(move |_: &Suspender<(), ()>, ()| held);
    let Complete(value) = done.resume(()) else { panic!("it does not suspend") };
    drop(done);
    assert_eq!(Rc::strong_count(&alive), 2);
    drop(value);
}

#[test]
fn scopes_lend_and_take_back() {
    // Goal: coroutine::scope. Method: borrow mutably on both sides in turn; leave early; panic in
    // the body; each time the borrowed values are whole afterwards.
    let mut words = vec!["one"];
    let lengths = RefCell::new(Vec::new());
    let last = scope(
        |suspender, mut word: &'static str| {
            while !word.is_empty() {
                words.push(word);
                lengths.borrow_mut().push(word.len());
                word = suspender.suspend(words.len());
            }
            "done"
        },
        |mut coroutine| {
            assert_eq!(coroutine.resume("three"), Yielded(2));
            assert_eq!(*lengths.borrow(), [5]);
            assert_eq!(coroutine.resume("four"), Yielded(3));
            assert_eq!(coroutine.status(), Status::Suspended);
            coroutine.resume("")
        },
    );
    assert_eq!(last, Complete("done"));
    assert_eq!(words, ["one", "three", "four"]);
    let dropped = Cell::new(false);
    struct Sets<'a>(&'a Cell<bool>);
    impl Drop for Sets<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let body = |suspender: &Suspender<(), ()>, ()| {
            let _sets = Sets(&dropped);
            suspender.suspend(());
        };
        let end = scope_with_stack_bytes(64 << 10, body, |mut coroutine| {
            coroutine.resume(());
            assert!(!dropped.get());
            resume_unwind(Box::new("the body"));
        });
        end.expect("a stack");
    }));
    assert!(outcome.is_err() && dropped.get());
}

#[test]
fn coroutines_of_a_runtime_use_bare_ones_that_wait() {
    // Goal: both kinds together. Method: each of several tasks drives a generator of its own that
    // locks, sleeps and yields to the scheduler between two suspends; turns interleave.
    cove::run(|| {
        let order = Rc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..3)
            .map(|number| {
                let order = order.clone();
                cove::spawn(move || {
                    let generator = Coroutine::new(move |suspender: &Suspender<(), u32>, ()| {
                        for turn in 0..4 {
                            order.lock().unwrap().push((turn, number));
                            task::yield_now();
                            suspender.suspend(turn);
                        }
                    });
                    generator.sum::<u32>()
                })
            })
            .collect();
        assert!(tasks.into_iter().all(|task| task.join().unwrap() == 6));
        let order = order.lock().unwrap();
        let expected: Vec<_> = (0..4).flat_map(|turn| (0..3).map(move |n| (turn, n))).collect();
        assert_eq!(*order, expected);
    });
}

#[test]
fn cancelling_a_task_unwinds_the_bare_coroutine_that_it_waits_in() {
    // Goal: a cancellation inside a resume. Method: the generator parks; destructors of both stacks
    // run, the inner one's first.
    struct Notes(&'static str, Rc<RefCell<Vec<&'static str>>>);
    impl Drop for Notes {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
        }
    }
    let log = Rc::new(RefCell::new(Vec::new()));
    cove::run(|| {
        let (of_task, of_inner) = (Notes("task", log.clone()), Notes("inner", log.clone()));
        let waiting = cove::spawn(move || {
            let _notes = of_task;
            let mut inner = Coroutine::new(move |_: &Suspender<(), ()>, ()| {
                let _notes = of_inner;
                task::park();
            });
            inner.resume(())
        });
        task::yield_now();
        waiting.cancel();
        assert!(waiting.join().unwrap_err().is::<task::Cancelled>());
    });
    assert_eq!(*log.borrow(), ["inner", "task"]);
}

#[test]
fn stacks_have_the_size_that_was_asked_for() {
    // Goal: sizes, and what was used of them. Method: recursion of a known depth on a large stack;
    // refusal of one that is too large.
    fn dig(depth: usize) -> usize {
        let mut frame = [1_u8; 1024];
        std::hint::black_box(&mut frame);
        let below = if depth == 0 { 0 } else { dig(depth - 1) };
        // In use until here, so that no optimiser makes a loop of this.
        std::hint::black_box(&mut frame);
        usize::from(frame[0]) + below
    }
    let mut deep = Coroutine::with_stack_bytes(4 << 20, |suspender: &Suspender<(), usize>, ()| {
        suspender.suspend(0);
        dig(1000)
    })
    .unwrap();
    assert!(deep.stack_bytes() >= 4 << 20);
    assert_eq!(deep.resume(()), Yielded(0));
    let before = deep.stack_high_water_bytes();
    assert_eq!(deep.resume(()), Complete(1001));
    assert!(deep.stack_high_water_bytes() >= before.max(1000 * 1024));
    let huge = Coroutine::with_stack_bytes(2 << 30, |_: &Suspender<(), ()>, ()| ());
    assert!(huge.unwrap_err().to_string().contains("1073741824"));
}
