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
    if child::is_emulated() || cfg!(cove_asan) {
        return 10_000;
    }
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
fn fill(kind: &Kind, first: Case, total: usize, spawn: impl Fn(&Case)) -> Vec<Case> {
    let mut cases = vec![first];
    let mut left = total;
    loop {
        let sharers = left.min(kind.sharers_max);
        let case = cases.last().expect("the first at least");
        (0..sharers).for_each(|_| spawn(case));
        left -= sharers;
        if left == 0 {
            return cases;
        }
        cases.push((kind.make)());
    }
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
        // What many share is made while there are few to look at.
        let kinds = kinds().filter(|kind| !shared || kind.name != "scope");
        let made: Vec<_> = kinds.map(|kind| (kind, (kind.make)())).collect();
        let (mut cases, mut count) = (Vec::new(), 0);
        for (kind, case) in made {
            let total = share(total).min(kind.total_max);
            let spawn = |case: &Case| spawn(shared, &drops, &entered, case);
            cases.extend(fill(kind, case, total, spawn));
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
    let count_open = || {
        // The alarm lets go of the runtime before.
        crate::alarm::show(cove::run(cove::runtime_handle));
        open().len()
    };
    end_with(1000, shared);
    let before = count_open();
    end_with(crowd(), shared);
    assert_eq!(before, count_open(), "{:?}", open());
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
