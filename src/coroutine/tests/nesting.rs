//! Coroutines inside coroutines, and many beside each other.

use super::super::{Coroutine, CoroutineState, Suspender, scope};
use super::Counted;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Enough for a panic at any depth.
const STACK_BYTES: usize = 32 << 10;

/// A coroutine that resumes another, and so on; each adds one on the way out and on the way in.
fn nest(depth: u32, count: Counted) -> Coroutine<u64, u64, u64> {
    Coroutine::with_stack_bytes(STACK_BYTES, move |suspender: &Suspender<u64, u64>, first| {
        let _count = count.guard();
        let mut input = first;
        if depth == 0 {
            loop {
                input = suspender.suspend(input);
            }
        }
        let mut inner = nest(depth - 1, count);
        loop {
            match inner.resume(input + 1) {
                CoroutineState::Yielded(value) => input = suspender.suspend(value + 1),
                CoroutineState::Complete(result) => return result,
            }
        }
    })
    .expect("a stack")
}

#[test]
fn values_travel_through_a_thousand_coroutines() {
    // Goal: depth is no matter, neither for switches nor for the unwinding of a drop. Method: a
    // chain that adds one at each crossing; then drop the outermost.
    let count = Counted::default();
    let mut outermost = nest(1000, count.guard());
    for input in 0..5 {
        assert_eq!(outermost.resume(input), CoroutineState::Yielded(input + 2000));
    }
    let before = count.count();
    drop(outermost);
    // The guard of each level and the count that the innermost captured.
    assert_eq!(count.count() - before, 1001 + 1);
}

#[test]
fn panic_travels_through_nested_coroutines() {
    // Goal: a panic passes from resume to resume. Method: the innermost of 50 panics.
    fn fall(depth: u32) -> Coroutine<(), (), ()> {
        Coroutine::with_stack_bytes(STACK_BYTES, move |_: &Suspender<(), ()>, ()| {
            if depth == 0 {
                std::panic::panic_any(depth);
            }
            fall(depth - 1).resume(());
        })
        .expect("a stack")
    }
    let mut outermost = fall(50);
    let caught = catch_unwind(AssertUnwindSafe(|| outermost.resume(())));
    assert_eq!(caught.err().and_then(|payload| payload.downcast::<u32>().ok()), Some(Box::new(0)));
    assert!(outermost.is_complete());
}

#[test]
fn many_coroutines_take_turns() {
    // Goal: coroutines do not disturb each other. Method: 1000 of them, each with its own sum over
    // its own array, resumed round by round.
    let mut all: Vec<_> = (0..1000_u64)
        .map(|own| {
            Coroutine::with_stack_bytes(16 << 10, move |suspender: &Suspender<u64, u64>, first| {
                let mut seen = [own; 32];
                let mut round = first;
                loop {
                    seen[round as usize % 32] += round;
                    round = suspender.suspend(seen.iter().sum());
                }
            })
            .expect("a stack")
        })
        .collect();
    for round in 0..50_u64 {
        for (own, coroutine) in all.iter_mut().enumerate() {
            let sum = own as u64 * 32 + (0..=round).sum::<u64>();
            assert_eq!(coroutine.resume(round), CoroutineState::<_, ()>::Yielded(sum));
        }
    }
}

#[test]
fn suspender_of_another_stack_panics() {
    // Goal: a suspend cannot send the frames of another coroutine away. Method: an inner coroutine
    // uses the outer one's suspender; the outer one goes on as if nothing had happened.
    let mut outer = Coroutine::new(|suspender: &Suspender<(), u32>, ()| {
        let caught = scope(
            |_: &Suspender<(), ()>, ()| suspender.suspend(1),
            |mut inner| catch_unwind(AssertUnwindSafe(|| inner.resume(()))),
        );
        let payload = caught.expect_err("it panicked");
        let message = payload.downcast_ref::<&str>().expect("a message");
        assert!(message.contains("other than its own"), "{message}");
        suspender.suspend(2);
    });
    assert_eq!(outer.resume(()), CoroutineState::Yielded(2));
    assert_eq!(outer.resume(()), CoroutineState::Complete(()));
}

#[test]
fn coroutine_moves_between_resumers() {
    // Goal: a suspended coroutine belongs to no particular resumer. Method: resume one from the
    // thread, from another coroutine, and from the thread again.
    let mut counter = Coroutine::new(|suspender: &Suspender<(), u32>, ()| {
        for number in 0.. {
            suspender.suspend(number);
        }
    });
    assert_eq!(counter.next(), Some(0));
    let mut carrier =
        Coroutine::new(|_: &Suspender<_, ()>, mut counter: Coroutine<(), u32, ()>| {
            assert_eq!(counter.next(), Some(1));
            counter
        });
    let CoroutineState::Complete(mut counter) = carrier.resume(counter) else {
        unreachable!("it does not suspend");
    };
    drop(carrier);
    assert_eq!(counter.next(), Some(2));
}
