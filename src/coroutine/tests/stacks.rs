//! Stacks of every size, and what lies on them besides frames: closures.

use super::super::{Coroutine, CoroutineState, Suspender};
use crate::stack::StackError;
use std::hint::black_box;

/// Uses about `bytes` of stack and suspends at the deepest point.
#[inline(never)]
fn dig(bytes: usize, suspender: &Suspender<u64, u64>) -> u64 {
    let mut local = [0_u8; 1024];
    black_box(&mut local);
    let number = match bytes.checked_sub(2048) {
        Some(left) => dig(left, suspender),
        None => suspender.suspend(1),
    };
    number + u64::from(black_box(&local)[17])
}

#[test]
fn stacks_of_all_sizes_can_be_used_nearly_whole() {
    // Goal: the size asked for is there, from the smallest to 64 MiB. Method: dig through three
    // quarters of it (frames of one to two KiB), suspend there, come back.
    for shift in 12..=26 {
        let stack_bytes = 1_usize << shift;
        let mut coroutine =
            Coroutine::with_stack_bytes(stack_bytes, move |suspender: &Suspender<u64, u64>, _| {
                if stack_bytes > 16 << 10 {
                    dig(stack_bytes / 4 * 3, suspender)
                } else {
                    suspender.suspend(1)
                }
            })
            .expect("a stack");
        let usable = coroutine.stack_bytes();
        assert!(usable <= stack_bytes && usable >= stack_bytes / 16 * 15, "{usable}");
        assert_eq!(coroutine.resume(0), CoroutineState::Yielded(1));
        if stack_bytes > 16 << 10 {
            let used = coroutine.stack_high_water_bytes();
            assert!(used >= stack_bytes / 4 && used <= usable, "{used} of {usable}");
        }
        assert_eq!(coroutine.resume(5), CoroutineState::Complete(5));
    }
}

#[test]
fn small_stack_holds_an_unwinding() {
    // Goal: the size that the documentation names for it is enough for a drop and a caught panic.
    // Method: both on 8 KiB.
    let mut dropped = Coroutine::with_stack_bytes(8 << 10, |suspender: &Suspender<(), ()>, ()| {
        suspender.suspend(());
    })
    .expect("a stack");
    dropped.resume(());
    drop(dropped);
    let mut panics = Coroutine::with_stack_bytes(8 << 10, |_: &Suspender<(), ()>, ()| {
        std::panic::resume_unwind(Box::new(1_u8));
    })
    .expect("a stack");
    let resume = || -> CoroutineState<(), ()> { panics.resume(()) };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(resume)).is_err());
}

#[test]
fn sizes_out_of_range_are_rounded_up_or_refused() {
    // Goal: nothing is too small, and too large is an error. Method: 0, 1, and above 1 GiB.
    for stack_bytes in [0, 1, 4095] {
        let mut coroutine = Coroutine::with_stack_bytes(stack_bytes, |_: &Suspender<(), ()>, ()| 7)
            .expect("a stack");
        assert!(coroutine.stack_bytes() >= 3840);
        assert_eq!(coroutine.resume(()), CoroutineState::Complete(7));
    }
    let refused = Coroutine::with_stack_bytes((1 << 30) + 1, |_: &Suspender<(), ()>, ()| ());
    assert!(matches!(refused, Err(StackError::Size { bytes }) if bytes > 1 << 30));
}

/// Captures `N` bytes in a coroutine on a stack of `stack_bytes` and has them summed inside.
fn capture<const N: usize>(stack_bytes: usize) {
    let captured = [3_u8; N];
    let mut coroutine =
        Coroutine::with_stack_bytes(stack_bytes, move |_: &Suspender<(), ()>, ()| {
            black_box(&captured).iter().map(|byte| usize::from(*byte)).sum::<usize>()
        })
        .expect("a stack");
    assert_eq!(coroutine.resume(()), CoroutineState::Complete(3 * N));
}

#[test]
fn closures_of_every_size_fit() {
    // Goal: a closure larger than an eighth of the stack is put elsewhere. Method: sizes around the
    // border, and one above a quarter.
    capture::<0>(16 << 10);
    capture::<1>(16 << 10);
    capture::<2000>(16 << 10);
    capture::<2047>(16 << 10);
    capture::<2048>(16 << 10);
    capture::<2049>(16 << 10);
    capture::<16383>(128 << 10);
    capture::<40000>(128 << 10);
}

#[test]
fn over_aligned_closures_are_aligned() {
    // Goal: alignment is kept, on the stack and boxed. Method: look at the address inside, for
    // alignments below, at and above that of a page.
    #[repr(align(64))]
    struct Line(u8);
    #[repr(align(1024))]
    struct Large(u8);
    #[repr(align(8192))]
    struct Pages(u8);
    macro_rules! check {
        ($type:ident, $bytes:expr) => {
            let captured = $type(5);
            let mut coroutine =
                Coroutine::with_stack_bytes($bytes, move |_: &Suspender<(), ()>, ()| {
                    let captured = &captured;
                    assert_eq!((&raw const *captured).addr() % align_of::<$type>(), 0);
                    captured.0
                })
                .expect("a stack");
            assert_eq!(coroutine.resume(()), CoroutineState::Complete(5));
        };
    }
    check!(Line, 4 << 10);
    check!(Line, 128 << 10);
    check!(Large, 16 << 10);
    check!(Large, 128 << 10);
    check!(Pages, 64 << 10);
    check!(Pages, 128 << 10);
}

#[test]
fn over_aligned_closures_without_a_size_stay_off_the_stack() {
    // Goal: a closure that takes no bytes, but wants an alignment above its stack's size, is put
    // elsewhere. Method: on small stacks; not started, since its frames would be aligned as well.
    #[repr(align(262144))]
    struct Aligned;
    fn drop_fresh() {
        for stack_bytes in [4 << 10, 128 << 10] {
            let captured = Aligned;
            let function = move |_: &Suspender<(), ()>, ()| {
                let _captured = captured;
            };
            drop(Coroutine::with_stack_bytes(stack_bytes, function).expect("a stack"));
            let returns = |_: &Suspender<(), ()>, ()| Aligned;
            drop(Coroutine::with_stack_bytes(stack_bytes, returns).expect("a stack"));
        }
    }
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(drop_fresh);
    thread.expect("a thread").join().expect("no panic");
}
