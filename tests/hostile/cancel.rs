//! Each kind of wait ends when it is told to: by cancellation, by a deadline, with the runtime.
//! Destructors run, nothing is left behind, and what was waited for still works.

use crate::child;
use crate::holdings::Holdings;
use crate::waits::{BLOCKING_THREADS, Drops, Kind, kinds, waits};
use cove::task::{self, Cancelled};
use cove::time::{self, Duration};
use cove::{JoinHandle, Runtime};
use std::io;
use std::sync::Arc;

/// Enough for a wait to begin, short enough for a hundred of them.
const BOUND: Duration = Duration::from_millis(3);

/// The kind of stack of the coroutines that wait.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stack {
    Private,
    Shared,
    /// A shared one that nobody else may touch while its coroutine does not run.
    Checked,
}

fn runtime(stack: Stack) -> Runtime {
    let builder = cove::Builder::new().workers(2).shared_stacks(1);
    let builder = builder.check_shared_stacks(stack == Stack::Checked);
    builder.blocking_threads_max(BLOCKING_THREADS).build().expect("a runtime")
}

fn spawn<T: 'static>(stack: Stack, function: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    let builder = task::Builder::new();
    match stack {
        Stack::Private => builder.spawn(function).expect("a coroutine"),
        Stack::Shared | Stack::Checked => {
            // SAFETY: nobody else points to what the closures of these tests keep on their stacks;
            // the kind of wait that lends locals to other coroutines is left out.
            unsafe { builder.spawn_on_shared_stack(function) }.expect("a coroutine")
        }
    }
}

/// What a coroutine on a shared stack can wait for.
fn suits(kind: &Kind, stack: Stack) -> bool {
    stack == Stack::Private || kind.name != "scope"
}

/// Takes the shared stack away from whoever lies on it.
fn take_shared_stack() {
    spawn(Stack::Shared, || ()).join().expect("an end");
}

/// Runs `one` with every kind twice, and finds the same holdings after the second time: what is
/// made once for the process has been made by then.
fn with_every_kind(stack: Stack, one: fn(&Kind, Stack)) {
    runtime(stack).run(|| {
        crate::alarm::show(cove::runtime_handle());
        let mut count = 0;
        for kind in kinds().filter(|kind| suits(kind, stack)) {
            eprintln!("{} on a {stack:?} stack", kind.name);
            one(kind, stack);
            let before = Holdings::now();
            one(kind, stack);
            assert_eq!(before, Holdings::now(), "{} leaves something behind", kind.name);
            count += 1;
        }
        assert!(count > 40, "{count} kinds");
    });
}

/// Cancels one that waits.
fn cancel_one(kind: &Kind, stack: Stack) {
    let case = (kind.make)();
    let drops = Drops::default();
    let (guard, wait) = (drops.guard(), case.wait);
    let waiting = spawn(stack, move || {
        let _guard = guard;
        wait()
    });
    crate::waits::wait_for(&waiting.task(), kind.shown);
    if stack != Stack::Private {
        take_shared_stack();
    }
    waiting.cancel();
    assert_eq!(drops.count(), 0, "{}: unwound by whoever cancelled", kind.name);
    let payload = waiting.join().expect_err("cancelled");
    assert!(payload.is::<Cancelled>(), "{}", kind.name);
    assert_eq!(drops.count(), 1, "{}", kind.name);
    (case.check)();
}

/// Lets one wait inside a deadline scope.
fn bound_one(kind: &Kind, stack: Stack) {
    let case = (kind.make)();
    let drops = Drops::default();
    let (guard, wait) = (drops.guard(), case.wait);
    let waiting = spawn(stack, move || {
        let _guard = guard;
        time::timeout(BOUND, || wait())
    });
    let outcome = waiting.join().expect("no panic");
    match outcome {
        Ok(Err(error)) if kind.is_io => {
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{}", kind.name);
        }
        Err(_elapsed) if !kind.is_io => {}
        other => panic!("{}: {other:?}", kind.name),
    }
    assert_eq!(drops.count(), 1, "{}", kind.name);
    (case.check)();
}

/// Cancels one that waits inside a deadline scope that has long to go.
fn cancel_one_inside_a_scope(kind: &Kind, stack: Stack) {
    let case = (kind.make)();
    let wait = case.wait;
    let hour = Duration::from_secs(3600);
    let waiting = spawn(stack, move || time::timeout(hour, || wait()).map_err(io::Error::from)?);
    crate::waits::wait_for(&waiting.task(), kind.shown);
    waiting.task().cancel();
    assert!(waiting.join().expect_err("cancelled").is::<Cancelled>(), "{}", kind.name);
    (case.check)();
}

/// Goal: a cancellation ends every kind of wait, and that alone. Method: the table, one after the
/// other; holdings before and after.
#[test]
fn cancelling_ends_every_kind_of_wait() {
    child::alone("cancel::cancelling_ends_every_kind_of_wait", || {
        with_every_kind(Stack::Private, cancel_one);
    });
}

/// Goal: the same for those whose frames are elsewhere meanwhile. Method: the one shared stack is
/// taken by another coroutine before the cancellation.
#[test]
fn cancelling_ends_every_kind_of_wait_on_a_shared_stack() {
    child::alone("cancel::cancelling_ends_every_kind_of_wait_on_a_shared_stack", || {
        with_every_kind(Stack::Shared, cancel_one);
    });
}

/// Goal: no kind of wait makes others touch the stack of the one who waits. Method: as above, with
/// stacks that are inaccessible while their coroutines do not run.
#[test]
fn cancelling_ends_every_kind_of_wait_on_a_checked_stack() {
    child::alone("cancel::cancelling_ends_every_kind_of_wait_on_a_checked_stack", || {
        with_every_kind(Stack::Checked, cancel_one);
    });
}

/// Goal: every wait can be bounded. Method: the table inside deadline scopes.
#[test]
fn deadline_ends_every_kind_of_wait() {
    child::alone("cancel::deadline_ends_every_kind_of_wait", || {
        with_every_kind(Stack::Private, bound_one);
        with_every_kind(Stack::Shared, bound_one);
    });
}

/// Goal: a scope neither keeps a cancellation nor leaves its timer. Method: as the titles say.
#[test]
fn cancelling_inside_a_deadline_scope_ends_every_kind_of_wait() {
    child::alone("cancel::cancelling_inside_a_deadline_scope_ends_every_kind_of_wait", || {
        with_every_kind(Stack::Private, cancel_one_inside_a_scope);
    });
}

/// Goal: whoever is cancelled before its wait does not begin to wait. Method: the table, each
/// cancelling itself first.
#[test]
fn no_kind_of_wait_begins_after_a_cancellation() {
    fn cancelled_before(kind: &Kind, stack: Stack) {
        let case = (kind.make)();
        let wait = case.wait;
        let waiting = spawn(stack, move || {
            task::current().cancel();
            wait()
        });
        assert!(waiting.join().expect_err("cancelled").is::<Cancelled>(), "{}", kind.name);
        (case.check)();
    }
    child::alone("cancel::no_kind_of_wait_begins_after_a_cancellation", || {
        with_every_kind(Stack::Private, cancelled_before);
    });
}

/// Goal: the runtime's end unwinds every kind of wait. Method: one runtime for each; descriptors of
/// the process before and after.
#[test]
fn dropping_the_runtime_ends_every_kind_of_wait() {
    fn run_one(kind: &Kind) {
        let drops = Drops::default();
        let runtime = runtime(Stack::Private);
        let (case, waiting) = runtime.run(|| {
            crate::alarm::show(cove::runtime_handle());
            let case = (kind.make)();
            let (guard, wait) = (drops.guard(), case.wait.clone());
            let waiting = cove::spawn(move || {
                let _guard = guard;
                wait()
            });
            crate::holdings::yield_until(|| waits(waiting.task().id().get(), kind.shown));
            (case, waiting)
        });
        assert_eq!(drops.count(), 0, "{}", kind.name);
        drop(runtime);
        assert_eq!(drops.count(), 1, "{}", kind.name);
        assert!(waiting.is_finished(), "{}", kind.name);
        // Those whom it waited for end as well, and so the wait may have come to an end of its own:
        // a good one, or the panic of a value that will never be made.
        if let Err(payload) = waiting.join() {
            let unmade = payload.downcast_ref::<&str>().is_some_and(|text| text.contains("poison"));
            assert!(payload.is::<Cancelled>() || unmade, "{}", kind.name);
        }
        drop(case);
        // A job may have been left to a thread of the pool.
        cove::run(crate::holdings::settle);
    }
    child::alone("cancel::dropping_the_runtime_ends_every_kind_of_wait", || {
        for kind in kinds() {
            eprintln!("{}", kind.name);
            run_one(kind);
            let before = crate::holdings::open();
            run_one(kind);
            assert_eq!(before, crate::holdings::open(), "{}", kind.name);
        }
    });
}

/// Goal: whoever waits to hand a closure to a worker that has too many of them can be cancelled and
/// bounded, and the closure is dropped. Method: a worker that is kept busy, and all its room.
#[test]
fn wait_for_room_on_another_worker_ends() {
    /// As many as a worker keeps.
    const UNSTARTED_MAX: usize = 1 << 16;
    child::alone("cancel::wait_for_room_on_another_worker_ends", || {
        runtime(Stack::Private).run(|| {
            crate::alarm::show(cove::runtime_handle());
            let handle = cove::runtime_handle();
            let (release, released) = std::sync::mpsc::channel::<()>();
            let (begun, has_begun) = std::sync::mpsc::channel();
            let busy = handle.spawn_on(1, move || {
                begun.send(()).expect("a receiver");
                // The thread itself waits here.
                released.recv().is_err()
            });
            has_begun.recv().expect("a worker");
            let dropped = Arc::new(());
            let sending = || {
                let (handle, held) = (cove::runtime_handle(), dropped.clone());
                cove::spawn(move || drop(handle.spawn_on(1, move || drop(held))))
            };
            for _ in 0..UNSTARTED_MAX {
                drop(handle.spawn_on(1, || ()));
            }
            let waiting = sending();
            crate::waits::wait_for(&waiting.task(), "channel send");
            waiting.cancel();
            assert!(waiting.join().expect_err("cancelled").is::<Cancelled>());
            let bound = cove::spawn(|| {
                let handle = cove::runtime_handle();
                time::timeout(BOUND, || drop(handle.spawn_on(1, || unreachable!("never sent"))))
            });
            assert!(bound.join().expect("no panic").is_err());
            assert_eq!(Arc::strong_count(&dropped), 1);
            let patient = sending();
            crate::waits::wait_for(&patient.task(), "channel send");
            drop(release);
            assert!(busy.join().expect("a result"));
            patient.join().expect("room");
            assert_eq!(handle.spawn_on(1, || 7).join().expect("a result"), 7);
            assert_eq!(Arc::strong_count(&dropped), 1);
        });
    });
}
