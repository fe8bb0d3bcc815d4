//! cove, with its defaults: stacks of 128 KiB with guards.

use super::{Job, Work, unknown};
use crate::Failure;
use crate::figures::{Figures, figures};
use crate::host;
use crate::measure::{Laps, Making, cpu_ns};
use crate::sleepers::Schedule;
use cove::coroutine::{Coroutine, Suspender};
use cove::net::{TcpListener, TcpStream};
use cove::sync::{Notify, mpsc};
use cove::{task, time};
use std::cell::Cell;
use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// So many are spawned before they run: few enough to be in the cache then.
const BATCH: u64 = 32;

pub(super) fn run(job: &Job) -> Result<Figures, Failure> {
    match job.work {
        Work::Switch => Ok(switch(job)),
        Work::Round => cove::run(|| round(job)),
        Work::Spawn => cove::run(|| Ok(spawn(job))),
        Work::PingPong => cove::run(|| ping_pong(job)),
        Work::ParkPrivate => cove::run(|| park(job.count, false).map(|found| host::answer(&found))),
        Work::ParkShared => cove::run(|| park(job.count, true).map(|found| host::answer(&found))),
        Work::Wake => cove::run(|| wake(job)),
        Work::Sleepers => cove::run(|| sleepers(job)),
        Work::Echo => cove::run(|| echo().map(|()| Figures::new()).map_err(Failure::from)),
        Work::Idle => cove::run(|| idle(job)),
        #[allow(unreachable_patterns, reason = "the same last line in each file")]
        _ => unknown(job),
    }
}

fn switch(job: &Job) -> Figures {
    let mut coroutine = Coroutine::new(|suspender: &Suspender<(), ()>, ()| {
        loop {
            suspender.suspend(());
        }
    });
    let mut laps = Laps::new(job.iterations);
    while laps.go() {
        for _ in 0..laps.each {
            let _: cove::coroutine::CoroutineState<(), ()> = black_box(coroutine.resume(()));
        }
    }
    laps.figures()
}

fn round(job: &Job) -> Result<Figures, Failure> {
    let stop = Rc::new(Cell::new(false));
    let turns: &Cell<u64> = Box::leak(Box::default());
    let mut others = Vec::new();
    for _ in 1..job.count {
        let stop = stop.clone();
        others.push(cove::spawn(move || {
            while !stop.get() {
                turns.set(turns.get() + 1);
                task::yield_now();
            }
        }));
    }
    task::yield_now();
    let mut laps = Laps::new(job.iterations / job.count);
    while laps.go_on(turns.get()) {
        for _ in 0..laps.each {
            turns.set(turns.get() + 1);
            task::yield_now();
        }
    }
    let found = laps.figures();
    if job.count > 1000 {
        host::answer(&found);
    }
    stop.set(true);
    for other in others {
        other.join().map_err(|_| "a coroutine panicked")?;
    }
    Ok(found)
}

fn spawn(job: &Job) -> Figures {
    let mut laps = Laps::new(job.iterations);
    while laps.go() {
        for _ in 0..laps.each {
            black_box(cove::spawn(|| black_box(1)).join().expect("no panic"));
        }
    }
    laps.figures()
}

fn ping_pong(job: &Job) -> Result<Figures, Failure> {
    let (there, requests) = mpsc::channel::<u64>();
    let (back, answers) = mpsc::channel::<u64>();
    let echo = cove::spawn(move || requests.iter().try_for_each(|value| back.send(value)).is_ok());
    let mut laps = Laps::new(job.iterations);
    while laps.go() {
        for number in 0..laps.each {
            there.send(number)?;
            black_box(answers.recv()?);
        }
    }
    drop(there);
    echo.join().map_err(|_| "the echo panicked")?;
    Ok(laps.figures())
}

/// Spawns coroutines that run `body` with their number, and lets each run until it waits.
fn make(count: u64, shared: bool, body: impl Fn(u64) + Copy + 'static) -> io::Result<()> {
    for number in 0..count {
        let builder = task::Builder::new();
        let live = move || body(number);
        if shared {
            // SAFETY: the bodies lend nothing of their own to others.
            drop(unsafe { builder.spawn_on_shared_stack(live)? });
        } else {
            drop(builder.spawn(live)?);
        }
        if number % BATCH == BATCH - 1 {
            task::yield_now();
        }
    }
    task::yield_now();
    Ok(())
}

fn park(count: u64, shared: bool) -> Result<Figures, Failure> {
    let parked: &Cell<u64> = Box::leak(Box::default());
    let making = Making::of(count)?;
    make(count, shared, move |_| {
        parked.set(parked.get() + 1);
        task::park();
    })?;
    making.end(parked.get())
}

fn wake(job: &Job) -> Result<Figures, Failure> {
    let parked: &Cell<u64> = Box::leak(Box::default());
    let woken: &Cell<u64> = Box::leak(Box::default());
    let gate: &Notify = Box::leak(Box::default());
    let all: &Notify = Box::leak(Box::default());
    let count = job.count;
    let making = Making::of(count)?;
    make(count, true, move |_| {
        parked.set(parked.get() + 1);
        gate.wait();
        woken.set(woken.get() + 1);
        if woken.get() == count {
            all.notify_one();
        }
    })?;
    let mut found = making.end(parked.get())?;
    let started_ns = cpu_ns();
    gate.notify_all();
    all.wait();
    found.insert("wake_ns".to_owned(), (cpu_ns() - started_ns) / count as f64);
    host::answer(&found)
}

fn sleepers(job: &Job) -> Result<Figures, Failure> {
    // What a hundredth takes foretells how far ahead the first deadline must be.
    let trial = job.count.div_ceil(100);
    let started = Instant::now();
    make(trial, false, |_| task::park())?;
    let foreseen = started.elapsed() * 100 * job.iterations as u32;
    let schedule = Schedule::ahead(foreseen + Duration::from_millis(100));
    let all: &Notify = Box::leak(Box::default());
    let count = job.count;
    make(count, false, move |number| {
        time::sleep_until(schedule.deadline(number));
        if schedule.woke(number) == count {
            all.notify_one();
        }
    })?;
    let parked_ns = schedule.parked()?;
    all.wait();
    host::answer(&schedule.figures(parked_ns, count))
}

fn echo() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    host::listening(listener.local_addr()?.port());
    for client in listener.incoming() {
        let client = client?;
        cove::spawn(move || serve(client));
    }
    Ok(())
}

/// A connection that is reset has ended like any other.
fn serve(mut client: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            count => client.write_all(&buffer[..count])?,
        }
    }
}

fn idle(job: &Job) -> Result<Figures, Failure> {
    make(job.count, false, |_| task::park())?;
    host::ready(&figures([("count", job.count as f64)]));
    loop {
        task::park();
    }
}
