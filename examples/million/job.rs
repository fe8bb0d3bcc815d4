//! The job: coroutines that sleep, send and return, and the root that makes and joins them.
//!
//! The moment when all are parked must come before the first deadline, which is therefore set so
//! far ahead as a trial with a hundredth of the coroutines foretells, times the patience. If it
//! turns out that this was too little, there is no result, and more patience is needed.

use crate::measure::{Memory, cpu_ns};
use crate::report::Run;
use crate::{Kind, Options};
use cove::sync::mpsc::{Receiver, Sender, channel};
use cove::{JoinHandle, task, time};
use hdrhistogram::Histogram;
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

/// What all coroutines know.
struct Plan {
    first: Instant,
    span: Duration,
    messages: Sender<Message>,
}

struct Message {
    value: u64,
    /// None if the coroutine woke before its deadline.
    late_us: Option<u32>,
}

/// What was received.
struct Tally {
    sum: u64,
    early: u64,
    late_us: Histogram<u64>,
}

impl Plan {
    /// The deadlines are spread evenly, and neighbours in time are not neighbours in memory.
    fn deadline(&self, number: u32) -> Instant {
        let part = f64::from(number.wrapping_mul(0x9e37_79b9)) / 2f64.powi(32);
        self.first + self.span.mul_f64(part)
    }

    /// What a coroutine does until it wakes. This and the rest are functions of their own, because
    /// the frames that are live during the wait are what a shared stack must keep for each.
    #[inline(never)]
    fn sleep(&self, number: u32) {
        time::sleep_until(self.deadline(number));
    }

    #[inline(never)]
    fn report(&self, number: u32) -> u64 {
        let late = Instant::now().checked_duration_since(self.deadline(number));
        let late_us = late.map(|late| late.as_micros() as u32);
        let value = u64::from(number) + 1;
        // The receiver stays until all senders are gone.
        let _ = self.messages.send(Message { value, late_us });
        value
    }
}

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
    bar.set_position(0);
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
    bar.set_position(0);
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

/// The plan with its first deadline `ahead`, and the coroutine that receives the messages.
fn prepare(ahead: Duration, span: Duration) -> (Rc<Plan>, JoinHandle<Tally>) {
    let (messages, receiver) = channel();
    let plan = Plan { first: Instant::now() + ahead, span, messages };
    (Rc::new(plan), cove::spawn(move || receive(receiver)))
}

fn receive(messages: Receiver<Message>) -> Tally {
    let late_us = Histogram::new(3).expect("three digits are a valid precision");
    let mut tally = Tally { sum: 0, early: 0, late_us };
    for message in messages {
        tally.sum += message.value;
        match message.late_us {
            Some(late_us) => tally.late_us += u64::from(late_us),
            None => tally.early += 1,
        }
    }
    tally
}

/// What each coroutine does.
fn live(plan: Rc<Plan>, number: u32) -> u64 {
    plan.sleep(number);
    plan.report(number)
}

/// Spawns the coroutines and lets each run until it is parked.
fn make(
    options: &Options,
    kind: Kind,
    plan: &Rc<Plan>,
    bar: &ProgressBar,
) -> io::Result<Vec<JoinHandle<u64>>> {
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
    for handle in handles {
        sum += handle.join().map_err(|_| "a coroutine panicked")?;
        bar.inc(1);
    }
    Ok((sum, tally.join().map_err(|_| "the receiver panicked")?))
}
