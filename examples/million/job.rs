//! The job: makes the sleepers, looks what they cost while they are parked, and joins them.
//!
//! The moment when all are parked must come before the first deadline, which is therefore set so
//! far ahead as a trial with a hundredth of the coroutines foretells, times the patience. If it
//! turns out that this was too little, there is no result, and more patience is needed.

use crate::measure::{Memory, cpu_ns};
use crate::options::{Kind, Options};
use crate::report::Run;
use crate::sleeper::{Plan, Tally, live, prepare};
use cove::{JoinHandle, task, time};
use indicatif::ProgressBar;
use std::error::Error;
use std::io;
use std::process;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// So many coroutines are spawned before they run: few enough to be in the cache then.
const BATCH: u32 = 32;

/// The exit status that asks for more patience; EX_TEMPFAIL of sysexits.h(3head).
pub(crate) const TOO_SLOW: i32 = 75;

/// Does the job once. Ends the process if the first deadline came before all were parked.
pub(crate) fn run(options: &Options, kind: Kind, bar: &ProgressBar) -> Result<Run, Box<dyn Error>> {
    let before = Memory::now()?;
    let trial = Options { count: options.count.div_ceil(100), ..options.clone() };
    let (plan, tally) = prepare(Duration::from_millis(50), Duration::ZERO);
    let started = Instant::now();
    let handles = make(&trial, kind, &plan, bar)?;
    let foreseen = started.elapsed() * 100 * options.patience + Duration::from_millis(50);
    finish(handles, plan, tally, bar)?;

    let idle = Duration::from_secs_f64(options.idle);
    let (plan, tally) = prepare(foreseen + idle, Duration::from_secs_f64(options.seconds));
    let started_ns = cpu_ns()?;
    let handles = make(options, kind, &plan, bar)?;
    let made_ns = cpu_ns()?;
    let has_time = Instant::now() + idle < plan.first;
    if !idle.is_zero() && has_time {
        time::sleep(idle);
    }
    let parked = Memory::now()?;
    if !has_time || Instant::now() >= plan.first {
        // At once: it would take long to cancel them all, to no end.
        process::exit(TOO_SLOW);
    }
    let woken_ns = cpu_ns()?;
    let (sum, tally) = finish(handles, plan, tally, bar)?;
    let finished_ns = cpu_ns()?;

    let each = |after: i64, before: i64| (after - before) as f64 / f64::from(options.count);
    let right = u64::from(options.count) * (u64::from(options.count) + 1) / 2;
    Ok(Run {
        stack: kind,
        count: options.count,
        create_ns: each(made_ns, started_ns),
        wake_ns: each(finished_ns, woken_ns),
        bytes_each: each(parked.since(&before), 0),
        rss_bytes_each: each(parked.rss_bytes, before.rss_bytes),
        page_table_bytes_each: each(parked.page_table_bytes, before.page_table_bytes),
        late_p50_us: tally.late_us.value_at_quantile(0.5),
        late_p99_us: tally.late_us.value_at_quantile(0.99),
        early: tally.early,
        mappings: parked.mappings,
        peak_rss_bytes: Memory::now()?.peak_rss_bytes,
        checksum_ok: sum == right && tally.sum == right,
    })
}

/// Spawns the coroutines and lets each run until it is parked.
fn make(
    options: &Options,
    kind: Kind,
    plan: &Rc<Plan>,
    bar: &ProgressBar,
) -> io::Result<Vec<JoinHandle<u64>>> {
    bar.set_position(0);
    let mut handles = Vec::with_capacity(options.count as usize);
    for number in 0..options.count {
        let plan = plan.clone();
        let live = move || live(plan, number);
        handles.push(match kind {
            Kind::Private => task::Builder::new().stack_bytes(options.stack_bytes).spawn(live)?,
            // SAFETY: the coroutine lends nothing of its own to others.
            Kind::Shared => unsafe { task::Builder::new().spawn_on_shared_stack(live)? },
        });
        if number % BATCH == BATCH - 1 {
            task::yield_now();
            bar.inc(u64::from(BATCH));
        }
    }
    task::yield_now();
    Ok(handles)
}

/// Joins all; returns the sum of what they returned, and what was received.
fn finish(
    handles: Vec<JoinHandle<u64>>,
    plan: Rc<Plan>,
    tally: JoinHandle<Tally>,
    bar: &ProgressBar,
) -> Result<(u64, Tally), Box<dyn Error>> {
    drop(plan);
    let mut sum = 0;
    for (number, handle) in handles.into_iter().enumerate() {
        sum += handle.join().map_err(|_| "a coroutine panicked")?;
        if number % BATCH as usize == 0 {
            bar.set_position(number as u64);
        }
    }
    Ok((sum, tally.join().map_err(|_| "the receiver panicked")?))
}
