//! generator: the switch under may. A generator that has ended can be set up again on its stack
//! (`scoped_init`), which is how may pools them.

use super::{Job, Work, unknown};
use crate::Failure;
use crate::figures::Figures;
use crate::host;
use crate::measure::{Laps, Making};
use generator::{Gn, LocalGenerator, done};
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

fn yielding() -> LocalGenerator<'static, (), ()> {
    Gn::<()>::new_scoped_local(|mut scope| {
        loop {
            scope.yield_with(());
        }
    })
}

fn switch(job: &Job) -> Figures {
    let mut generator = yielding();
    let mut laps = Laps::new(job.iterations);
    while laps.go() {
        for _ in 0..laps.each {
            black_box(generator.resume());
        }
    }
    host::answer(&laps.figures())
}

fn round(job: &Job) -> Figures {
    let mut generators: Vec<_> = (0..job.count).map(|_| yielding()).collect();
    let mut laps = Laps::new(job.iterations / job.count);
    let mut turns = 0;
    while laps.go_on(turns) {
        for _ in 0..laps.each {
            for generator in &mut generators {
                generator.resume();
            }
            turns += job.count;
        }
    }
    host::answer(&laps.figures())
}

fn spawn(job: &Job) -> Figures {
    let mut generator = Gn::<()>::new_scoped_local(|_| done!());
    let mut laps = Laps::new(job.iterations);
    generator.resume();
    while laps.go() {
        for _ in 0..laps.each {
            generator.scoped_init(|_| black_box(1));
            black_box(generator.resume());
        }
    }
    laps.figures()
}

fn park(job: &Job) -> Result<Figures, Failure> {
    let mut generators = Vec::with_capacity(job.count as usize);
    let making = Making::of(job.count)?;
    for _ in 0..job.count {
        let mut generator = yielding();
        generator.resume();
        generators.push(generator);
    }
    host::answer(&making.end(generators.len() as u64)?)
}
