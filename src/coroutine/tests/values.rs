//! What crosses a switch: values of every size and kind, in both directions, each exactly once.

use super::super::{Coroutine, CoroutineState, Status, Suspender, scope};
use super::Counted;
use std::fmt::Debug;

/// Sends each value into a coroutine that sends it back.
fn echo<T: Clone + PartialEq + Debug + 'static>(values: &[T]) {
    let mut echo = Coroutine::new(|suspender: &Suspender<T, T>, first| {
        let mut value = first;
        loop {
            value = suspender.suspend(value);
        }
    });
    for _ in 0..3 {
        for value in values {
            assert_eq!(echo.resume(value.clone()), CoroutineState::<T, ()>::Yielded(value.clone()));
        }
    }
}

/// Has a coroutine return each value at once.
fn returned<T: Clone + PartialEq + Debug + 'static>(values: &[T]) {
    for value in values {
        let mut identity = Coroutine::new(|_: &Suspender<T, ()>, value| value);
        assert_eq!(identity.resume(value.clone()), CoroutineState::Complete(value.clone()));
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
struct AlignedNothing;

#[derive(Clone, Debug, PartialEq)]
#[repr(align(256))]
struct Aligned(u8);

#[test]
fn values_of_every_size_come_through() {
    // Goal: size, padding, alignment and niches do not matter. Method: an echo for each type.
    echo(&[()]);
    echo(&[AlignedNothing]);
    echo(&[0_u8, 1, u8::MAX]);
    echo(&[[1_u8, 2, 3]]);
    echo(&[(1_u8, 2_u32)]);
    echo(&[0_u64, u64::MAX]);
    echo(&[u128::MAX]);
    echo(&[Some(()), None]);
    echo(&[Some(Box::new(5)), None]);
    echo(&[String::from("text"), String::new()]);
    echo(&[Aligned(1), Aligned(2)]);
    echo(&[[7_u8; 4096], [8; 4096]]);
    echo(&[vec![1; 1000].into_boxed_slice()]);
    echo(&[f64::MIN_POSITIVE, -0.0]);
}

#[test]
fn results_of_every_size_come_through() {
    // Goal: the result is not bound by the size of a word. Method: a coroutine that returns its
    // input, for each type.
    returned(&[()]);
    returned(&[AlignedNothing]);
    returned(&[u8::MAX]);
    returned(&[Box::new(5)]);
    returned(&[Aligned(9)]);
    returned(&[Ok(1_u8), Err(String::from("an error is a result like any other"))]);
    returned(&[[3_u64; 1024]]);
}

#[test]
fn references_come_through_with_their_lifetimes() {
    // Goal: a scoped coroutine takes and gives what is borrowed. Method: inputs of one lifetime,
    // outputs of another, a captured mutable reference.
    let text = String::from("one two three");
    let words: Vec<&str> = text.split(' ').collect();
    let mut lengths = Vec::new();
    let numbers = [10, 20, 30];
    let last: &i32 = scope(
        |suspender: &Suspender<&str, &i32>, first| {
            let mut word: &str = first;
            for number in &numbers {
                lengths.push(word.len());
                word = suspender.suspend(number);
            }
        },
        |mut coroutine| {
            let mut last = None;
            for word in &words {
                if let CoroutineState::Yielded(number) = coroutine.resume(word) {
                    last = Some(number);
                }
            }
            last.expect("three numbers")
        },
    );
    assert!(std::ptr::eq(last, &numbers[2]));
    assert_eq!(lengths, [3, 3, 5]);
}

#[test]
fn every_value_is_dropped_once() {
    // Goal: a switch moves, it neither copies nor loses. Method: counted inputs (word-sized and
    // larger), outputs and results.
    let counts: [Counted; 3] = Default::default();
    let [inputs, outputs, results] = &counts;
    {
        let (output, result) = (outputs.guard(), results.guard());
        let mut coroutine =
            Coroutine::new(move |suspender: &Suspender<(Counted, u64), Option<Counted>>, first| {
                drop(suspender.suspend(Some(output)));
                drop(first);
                let kept = suspender.suspend(None);
                assert_eq!(kept.1, 2);
                result
            });
        for number in 0..3 {
            let state = coroutine.resume((inputs.guard(), number));
            let is_complete = matches!(state, CoroutineState::Complete(_));
            assert_eq!(is_complete, number == 2);
        }
        assert_eq!(coroutine.status(), Status::Complete);
    }
    assert_eq!([inputs.count(), outputs.count(), results.count()], [3, 1, 1]);
}

#[test]
fn input_of_a_refused_resume_is_dropped() {
    // Goal: nothing leaks when a complete coroutine is resumed. Method: a counted input.
    let count = Counted::default();
    let mut coroutine = Coroutine::new(|_: &Suspender<Counted, ()>, _| ());
    coroutine.resume(count.guard());
    let input = count.guard();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        coroutine.resume(input);
    }));
    assert!(outcome.is_err());
    assert_eq!(count.count(), 2);
}

#[test]
fn coroutine_iterates_until_it_returns() {
    // Goal: the iterator ends with the coroutine and stays ended. Method: count to three, ask on.
    let mut three = Coroutine::new(|suspender, ()| {
        for number in 1..=3 {
            suspender.suspend(number);
        }
    });
    assert_eq!(three.by_ref().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(three.next(), None);
    let borrowed = [4, 5];
    let sum: i32 = scope(
        |suspender, ()| borrowed.iter().for_each(|number| suspender.suspend(*number)),
        |coroutine| coroutine.sum(),
    );
    assert_eq!(sum, 9);
}

#[test]
fn status_follows_the_life_of_a_coroutine() {
    // Goal: the three states are told apart. Method: ask before, between and after.
    let mut coroutine = Coroutine::new(|suspender, ()| suspender.suspend(()));
    assert_eq!(coroutine.status(), Status::Fresh);
    coroutine.resume(());
    assert_eq!(coroutine.status(), Status::Suspended);
    assert!(!coroutine.is_complete());
    coroutine.resume(());
    assert_eq!(coroutine.status(), Status::Complete);
    assert!(coroutine.is_complete());
    assert!(format!("{coroutine:?}").contains("Complete"));
}
