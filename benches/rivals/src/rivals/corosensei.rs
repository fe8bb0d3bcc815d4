//! corosensei: the bare switch of a coroutine library, no scheduler. Its default stack is 1 MiB in
//! a mapping of its own with a guard page; a stack that is used again is the documented way to
//! make many.

use super::{Job, Work, unknown};
use crate::Failure;
use crate::figures::Figures;
use crate::host;
use crate::measure::{Laps, Making};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::hint::black_box;

pub(super) fn run(job: &Job) -> Result<Figures, Failure> {
    match job.work {
        Work::Switch => Ok(switch(job)),
        Work::Round => Ok(round(job)),
        Work::Spawn => Ok(spawn(job)),
        Work::ParkPrivate => park(job),
        _ => unknown(job),
    }
}

fn yielding() -> Coroutine<(), (), ()> {
    Coroutine::new(|yielder: &Yielder<(), ()>, ()| {
        loop {
            yielder.suspend(());
        }
    })
}

fn switch(job: &Job) -> Figures {
    let mut coroutine = yielding();
    let mut laps = Laps::new(job.iterations);
    while laps.go() {
        for _ in 0..laps.each {
            let _: CoroutineResult<(), ()> = black_box(coroutine.resume(()));
        }
    }
    laps.figures()
}

fn round(job: &Job) -> Figures {
    let mut coroutines: Vec<_> = (0..job.count).map(|_| yielding()).collect();
    let mut laps = Laps::new(job.iterations / job.count);
    let mut turns = 0;
    while laps.go_on(turns) {
        for _ in 0..laps.each {
            for coroutine in &mut coroutines {
                coroutine.resume(());
            }
            turns += job.count;
        }
    }
    host::answer(&laps.figures())
}

fn spawn(job: &Job) -> Figures {
    let mut stack = DefaultStack::default();
    let mut laps = Laps::new(job.iterations);
    while laps.go() {
        for _ in 0..laps.each {
            let work = |_: &Yielder<(), ()>, ()| black_box(1);
            let mut coroutine = Coroutine::with_stack(stack, work);
            black_box(coroutine.resume(()));
            stack = coroutine.into_stack();
        }
    }
    laps.figures()
}

fn park(job: &Job) -> Result<Figures, Failure> {
    let mut coroutines = Vec::with_capacity(job.count as usize);
    let making = Making::of(job.count)?;
    for _ in 0..job.count {
        let mut coroutine = yielding();
        coroutine.resume(());
        coroutines.push(coroutine);
    }
    host::answer(&making.end(coroutines.len() as u64)?)
}
