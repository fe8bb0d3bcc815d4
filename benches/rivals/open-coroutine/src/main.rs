//! open-coroutine's works, as `rivals --child` runs them: `rivals-open-coroutine WORK COUNT
//! ITERATIONS`. A program of its own, because two versions of corosensei cannot be linked together.
//!
//! It is open-coroutine's runtime (`open-coroutine-core`) without the hooks of system calls: one
//! scheduler on one thread, stacks of its default size. It has neither channels nor a way to park,
//! so those works are not its.

#[path = "../../src/figures.rs"]
mod figures;
#[path = "../../src/measure.rs"]
#[allow(dead_code, reason = "memory is not measured here")]
mod measure;

use figures::Figures;
use measure::Laps;
use open_coroutine_core::common::constants::DEFAULT_STACK_SIZE;
use open_coroutine_core::scheduler::Scheduler;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::hint::black_box;
use std::io::{self, Write as _};
use std::process;
use std::rc::Rc;

type Failure = Box<dyn Error>;

struct Job {
    count: u64,
    iterations: u64,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, work, count, iterations] = &arguments[..] else {
        return Err("usage: rivals-open-coroutine WORK COUNT ITERATIONS".into());
    };
    let job = Job { count: count.parse()?, iterations: iterations.parse()? };
    let found = match work.as_str() {
        "round" => round(&job)?,
        "spawn" => spawn(&job)?,
        _ => return Err(format!("no such work: {work}").into()),
    };
    writeln!(io::stdout(), "{}", serde_json::to_string(&found)?)?;
    // What still waits need not be unwound.
    process::exit(0)
}

fn round(job: &Job) -> Result<Figures, Failure> {
    let mut scheduler = Scheduler::new("rivals".to_owned(), DEFAULT_STACK_SIZE);
    let stop = Rc::new(Cell::new(false));
    let turns: &Cell<u64> = Box::leak(Box::default());
    let found = Rc::new(RefCell::new(None));
    for _ in 1..job.count {
        let stop = stop.clone();
        let body = move |suspender: &Suspender<'_>, ()| {
            while !stop.get() {
                turns.set(turns.get() + 1);
                yield_now(suspender);
            }
            None
        };
        scheduler.submit_co(body, None, None)?;
    }
    let (stopper, result) = (stop, found.clone());
    let (count, iterations) = (job.count, job.iterations);
    let body = move |suspender: &Suspender<'_>, ()| {
        let mut laps = Laps::new(iterations / count);
        while laps.go_on(turns.get()) {
            for _ in 0..laps.each {
                turns.set(turns.get() + 1);
                yield_now(suspender);
            }
        }
        *result.borrow_mut() = Some(laps.figures());
        stopper.set(true);
        None
    };
    scheduler.submit_co(body, None, None)?;
    while found.borrow().is_none() {
        scheduler.try_schedule()?;
    }
    let figures = found.borrow_mut().take();
    Ok(figures.expect("there is one by now"))
}

type Suspender<'a> = open_coroutine_core::coroutine::suspender::Suspender<'a, (), ()>;

fn yield_now(suspender: &Suspender<'_>) {
    suspender.suspend();
}

fn spawn(job: &Job) -> Result<Figures, Failure> {
    let mut scheduler = Scheduler::new("rivals".to_owned(), DEFAULT_STACK_SIZE);
    let mut laps = Laps::new(job.iterations);
    while laps.go() {
        for _ in 0..laps.each {
            scheduler.submit_co(|_, ()| Some(black_box(1)), None, None)?;
            black_box(scheduler.try_schedule()?);
        }
    }
    Ok(laps.figures())
}
