//! The runtime ends while very many wait, in every kind of wait at once.

use crate::child;
use crate::holdings::{open, settle, yield_until};
use crate::waits::{BLOCKING_THREADS, Case, Drops, Kind, kinds};
use cove::task;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

/// How many wait, at least: enough to notice anything that is quadratic.
fn crowd() -> usize {
    let million = std::env::var_os("COVE_MILLION").is_some_and(|value| value == "1");
    if million { 1_000_000 } else { 200_000 }
}

/// What every kind gets that has no limit.
fn share(total: usize) -> usize {
    total / kinds().filter(|kind| kind.total_max == usize::MAX).count() + 1
}

/// Spawns a coroutine that counts itself and waits.
fn spawn(shared: bool, drops: &Drops, entered: &Rc<Cell<usize>>, case: &Case) {
    let (guard, entered, wait) = (drops.guard(), entered.clone(), case.wait.clone());
    let function = move || {
        let _guard = guard;
        entered.set(entered.get() + 1);
        drop(wait());
    };
    let builder = task::Builder::new();
    if shared {
        // SAFETY: the kind of wait that lends locals to other coroutines is left out.
        drop(unsafe { builder.spawn_on_shared_stack(function) }.expect("a coroutine"));
    } else {
        drop(builder.spawn(function).expect("a coroutine"));
    }
}

/// Makes `total` coroutines of one kind wait.
fn fill(kind: &Kind, total: usize, spawn: impl Fn(&Case)) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut left = total;
    while left > 0 {
        let case = (kind.make)();
        let sharers = left.min(kind.sharers_max);
        (0..sharers).for_each(|_| spawn(&case));
        left -= sharers;
        cases.push(case);
    }
    cases
}

/// Ends a runtime in which `total` or a little more coroutines wait, and finds that each was
/// unwound.
fn end_with(total: usize, shared: bool) {
    let builder = cove::Builder::new().workers(2).blocking_threads_max(BLOCKING_THREADS);
    let runtime = builder.build().expect("a runtime");
    let (drops, entered) = (Drops::default(), Rc::new(Cell::new(0)));
    let start = Instant::now();
    let (cases, count) = runtime.run(|| {
        crate::alarm::show(cove::runtime_handle());
        let (mut cases, mut count) = (Vec::new(), 0);
        for kind in kinds().filter(|kind| !shared || kind.name != "scope") {
            let total = share(total).min(kind.total_max);
            cases.extend(fill(kind, total, |case| spawn(shared, &drops, &entered, case)));
            count += total;
        }
        yield_until(|| entered.get() == count);
        (cases, count)
    });
    let parked = start.elapsed();
    assert!(count >= total);
    assert_eq!(drops.count(), 0);
    drop(runtime);
    assert_eq!(drops.count(), count);
    eprintln!("{count} parked in {parked:.1?}, ended in {:.1?}", start.elapsed() - parked);
    // Only now: what they waited for outlives them.
    drop(cases);
    cove::run(settle);
}

fn end_with_crowd(shared: bool) {
    end_with(1000, shared);
    let before = open();
    end_with(crowd(), shared);
    crate::alarm::show(cove::run(cove::runtime_handle));
    assert_eq!(before.len(), open().len(), "{before:?} {:?}", open());
}

/// Goal: any number of coroutines unwinds when the runtime ends, in bounded time, and no descriptor
/// is left. Method: 200,000 (a million with `COVE_MILLION=1`) in every kind of wait; destructors
/// are counted.
#[test]
fn dropping_the_runtime_unwinds_a_crowd() {
    child::alone("crowd::dropping_the_runtime_unwinds_a_crowd", || end_with_crowd(false));
}

/// Goal: the same for coroutines whose frames are in the saver. Method: as above.
#[test]
fn dropping_the_runtime_unwinds_a_crowd_on_shared_stacks() {
    child::alone("crowd::dropping_the_runtime_unwinds_a_crowd_on_shared_stacks", || {
        end_with_crowd(true);
    });
}
