//! Panics inside coroutines, and coroutines inside panics.

use super::super::{Coroutine, CoroutineState, Status, Suspender};
use super::{Counted, OnDrop};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::thread;

#[test]
fn panic_comes_out_of_resume_with_its_payload() {
    // Goal: the payload is the panic's own, the coroutine is complete, its locals are dropped.
    // Method: panic with a value after one suspend.
    let count = Counted::default();
    let guard = count.guard();
    let mut coroutine = Coroutine::new(move |suspender: &Suspender<(), ()>, ()| {
        let _guard = guard;
        suspender.suspend(());
        panic_any(vec![1, 2, 3]);
    });
    assert_eq!(coroutine.resume(()), CoroutineState::<_, ()>::Yielded(()));
    assert_eq!(count.count(), 0);
    let payload = catch_unwind(AssertUnwindSafe(|| coroutine.resume(()))).expect_err("a panic");
    assert_eq!(payload.downcast_ref::<Vec<i32>>(), Some(&vec![1, 2, 3]));
    assert_eq!(count.count(), 1);
    assert_eq!(coroutine.status(), Status::Complete);
    assert!(!thread::panicking());
    drop(coroutine);
    assert_eq!(count.count(), 1);
}

#[test]
fn complete_coroutine_cannot_be_resumed() {
    // Goal: a second end is a panic, however the first one came. Method: one that returned, one
    // that panicked.
    let mut returned = Coroutine::new(|_: &Suspender<(), ()>, ()| ());
    returned.resume(());
    let mut panicked = Coroutine::new(|_: &Suspender<(), ()>, ()| resume_unwind(Box::new(())));
    let first = catch_unwind(AssertUnwindSafe(|| panicked.resume(())));
    assert!(first.is_err());
    for coroutine in [&mut returned, &mut panicked] {
        let again = catch_unwind(AssertUnwindSafe(|| coroutine.resume(())));
        let payload = again.expect_err("a panic");
        let message = payload.downcast_ref::<&str>().expect("a message");
        assert!(message.contains("after it had completed"), "{message}");
    }
}

#[test]
fn panic_that_is_caught_inside_stays_inside() {
    // Goal: catch_unwind works on a coroutine's stack, across suspends. Method: catch twice, with
    // a suspend between.
    let mut coroutine = Coroutine::new(|suspender: &Suspender<u32, u32>, first| {
        let caught = catch_unwind(AssertUnwindSafe(|| -> u32 { panic_any(first + 1) }));
        let payload = caught.expect_err("a panic").downcast::<u32>().expect("a number");
        let second = suspender.suspend(*payload);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let third = suspender.suspend(second);
            panic_any(third);
        }));
        *caught.expect_err("a panic").downcast::<u32>().expect("a number")
    });
    assert_eq!(coroutine.resume(1), CoroutineState::Yielded(2));
    assert_eq!(coroutine.resume(5), CoroutineState::Yielded(5));
    assert_eq!(coroutine.resume(7), CoroutineState::Complete(7));
}

#[test]
fn destructor_cannot_suspend_during_a_panic() {
    // Goal: a coroutine that panics does not stop half way. Method: a destructor suspends; it goes
    // on at once, and the panic arrives in the same resume.
    let tried = Counted::default();
    let guard = tried.guard();
    let mut coroutine = Coroutine::new(move |suspender: &Suspender<(), u32>, ()| {
        let _guard = guard;
        let _suspends = OnDrop(|| {
            assert!(suspender.try_suspend(1).is_err());
            suspender.suspend(2);
        });
        resume_unwind(Box::new("half way"));
    });
    let caught =
        catch_unwind(AssertUnwindSafe(|| -> CoroutineState<u32, ()> { coroutine.resume(()) }));
    assert_eq!(caught.expect_err("a panic").downcast_ref(), Some(&"half way"));
    assert_eq!(tried.count(), 1);
}

#[test]
fn destructor_of_a_panicking_thread_may_use_coroutines() {
    // Goal: the panic of the resumer is not taken for one of the coroutine. Method: a destructor
    // that runs because of a panic iterates over one coroutine that began before, and one that
    // begins there; afterwards, outside the panic, the first one goes on.
    fn numbers() -> Coroutine<(), u32, ()> {
        Coroutine::new(|suspender: &Suspender<(), u32>, ()| {
            for n in 0.. {
                suspender.suspend(n);
            }
        })
    }
    let mut before = numbers();
    assert_eq!(before.next(), Some(0));
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _uses = OnDrop(|| {
            assert!(thread::panicking());
            assert_eq!(before.by_ref().take(3).collect::<Vec<_>>(), [1, 2, 3]);
            assert_eq!(numbers().take(3).collect::<Vec<_>>(), [0, 1, 2]);
        });
        resume_unwind(Box::new(()));
    }));
    assert!(caught.is_err());
    assert_eq!(before.next(), Some(4));
}

#[test]
fn own_panic_is_noticed_after_a_resume_in_a_foreign_one() {
    // Goal: the note of having been resumed during a panic ends with the next suspend. Method:
    // resume a coroutine in a destructor, then outside; there it panics, and a destructor of its
    // own tries to suspend.
    let refused = Counted::default();
    let guard = refused.guard();
    let mut coroutine = Coroutine::new(move |suspender: &Suspender<(), ()>, ()| {
        suspender.suspend(());
        let _suspends = OnDrop(|| {
            assert!(suspender.try_suspend(()).is_err());
            drop(guard.guard());
        });
        resume_unwind(Box::new(()));
    });
    let outer = catch_unwind(AssertUnwindSafe(|| {
        let _resumes = OnDrop(|| {
            assert_eq!(coroutine.resume(()), CoroutineState::<(), ()>::Yielded(()));
        });
        resume_unwind(Box::new(()));
    }));
    assert!(outer.is_err());
    assert_eq!(refused.count(), 0);
    assert!(catch_unwind(AssertUnwindSafe(|| coroutine.resume(()))).is_err());
    // Once in the destructor, once with the closure.
    assert_eq!(refused.count(), 2);
    assert!(coroutine.is_complete());
}

#[test]
fn panicking_destructor_of_a_result_does_not_lose_the_stack() {
    // Goal: whatever goes wrong in a drop, the stack comes home. Method: a coroutine that was
    // dropped swallows that and returns a value whose destructor panics; likewise a closure that
    // never ran.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("bomb"));
        }
    }
    let live = || crate::stack::with_pool(|pool| pool.stats().live);
    let before = live();
    let mut swallows = Coroutine::new(|suspender: &Suspender<(), ()>, ()| {
        let _ = catch_unwind(AssertUnwindSafe(|| suspender.suspend(())));
        Bomb
    });
    assert!(matches!(swallows.resume(()), CoroutineState::Yielded(())));
    let bomb = Bomb;
    let never_ran = Coroutine::new(move |_: &Suspender<(), ()>, ()| drop(bomb));
    assert_eq!(live(), before + 2);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(swallows))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(never_ran))).is_err());
    assert_eq!(live(), before);
}

#[test]
fn panic_inside_a_foreign_one_is_counted_until_it_has_ended() {
    // Goal: what the documentation says of a coroutine that panics while its thread unwinds, and
    // suspends in a destructor: its panic is counted until it ends, and no longer. Method: look
    // after the outer panic, and after the coroutine has been resumed.
    struct Resumes<'a>(&'a mut Option<Coroutine<(), (), ()>>);
    impl Drop for Resumes<'_> {
        fn drop(&mut self) {
            let mut coroutine = Coroutine::new(|suspender: &Suspender<(), ()>, ()| {
                let _suspends = OnDrop(|| suspender.suspend(()));
                resume_unwind(Box::new("the inner one"));
            });
            assert_eq!(coroutine.resume(()), CoroutineState::Yielded(()));
            *self.0 = Some(coroutine);
        }
    }
    let mut kept = None;
    let outer = catch_unwind(AssertUnwindSafe(|| {
        let _resumes = Resumes(&mut kept);
        resume_unwind(Box::new("the outer one"));
    }));
    assert!(outer.is_err() && thread::panicking());
    let mut coroutine = kept.expect("kept by the destructor");
    assert!(catch_unwind(AssertUnwindSafe(|| coroutine.resume(()))).is_err());
    assert!(!thread::panicking());
}
