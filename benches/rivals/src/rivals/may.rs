//! may, with one worker. Everything runs in coroutines, as its documentation advises; the main
//! thread only joins. Its stacks have 32 KiB by default and come from a pool.

use super::{Job, Work, unknown};
use crate::Failure;
use crate::figures::{Figures, figures};
use crate::host;
use crate::measure::{Laps, Making};
use may::coroutine;
use may::go;
use may::net::{TcpListener, TcpStream};
use may::sync::{Semphore, SyncFlag, spsc};
use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// So many are spawned before they run.
const BATCH: u64 = 32;

pub(super) fn run(job: &Job) -> Result<Figures, Failure> {
    may::config().set_workers(1).set_pool_capacity(1000);
    let job = *job;
    match job.work {
        Work::Round => inside(move || round(&job)),
        Work::Spawn => inside(move || Ok(spawn(&job))),
        Work::PingPong => inside(move || ping_pong(&job)),
        Work::ParkPrivate => inside(move || park(&job).map(|found| host::answer(&found))),
        Work::Echo => inside(|| echo().map(|()| Figures::new()).map_err(|e| e.to_string())),
        Work::Idle => inside(move || idle(&job)),
        _ => unknown(&job),
    }
}

/// Runs the work in a coroutine.
fn inside<F>(work: F) -> Result<Figures, Failure>
where
    F: FnOnce() -> Result<Figures, String> + Send + 'static,
{
    let root = go!(work);
    Ok(root.join().map_err(|_| "a coroutine panicked")??)
}

/// Adds one; only one thread does, so that no locked instruction is needed.
fn count_up(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

fn round(job: &Job) -> Result<Figures, String> {
    static TURNS: AtomicU64 = AtomicU64::new(0);
    let stop = Arc::new(AtomicBool::new(false));
    let (waiting, gate) = (Arc::new(Semphore::new(0)), Arc::new(SyncFlag::new()));
    let mut others = Vec::new();
    for number in 1..job.count {
        let (stop, waiting, gate) = (stop.clone(), waiting.clone(), gate.clone());
        let is_last = number + 1 == job.count;
        others.push(go!(move || {
            if is_last {
                waiting.post();
            }
            gate.wait();
            while !stop.load(Ordering::Relaxed) {
                count_up(&TURNS);
                coroutine::yield_now();
            }
        }));
    }
    if job.count > 1 {
        waiting.wait();
    }
    gate.fire();
    coroutine::yield_now();
    let mut laps = Laps::new(job.iterations / job.count);
    while laps.go_on(TURNS.load(Ordering::Relaxed)) {
        for _ in 0..laps.each {
            count_up(&TURNS);
            coroutine::yield_now();
        }
    }
    let found = laps.figures();
    if job.count > 1000 {
        host::answer(&found);
    }
    stop.store(true, Ordering::Relaxed);
    for other in others {
        other.join().map_err(|_| "a coroutine panicked")?;
    }
    Ok(found)
}

fn spawn(job: &Job) -> Figures {
    let mut laps = Laps::new(job.iterations);
    while laps.go() {
        for _ in 0..laps.each {
            black_box(go!(|| black_box(1)).join().expect("no panic"));
        }
    }
    laps.figures()
}

/// may's channels for one sender and one receiver are its fastest.
fn ping_pong(job: &Job) -> Result<Figures, String> {
    let (there, requests) = spsc::channel::<u64>();
    let (back, answers) = spsc::channel::<u64>();
    let echo = go!(move || requests.iter().all(|value| back.send(value).is_ok()));
    let mut laps = Laps::new(job.iterations);
    while laps.go() {
        for number in 0..laps.each {
            there.send(number).map_err(|error| error.to_string())?;
            black_box(answers.recv().map_err(|error| error.to_string())?);
        }
    }
    drop(there);
    echo.join().map_err(|_| "the echo panicked")?;
    Ok(laps.figures())
}

/// Spawns coroutines that park, and lets each run until it does: one that waits itself does, while
/// one that yields keeps those that are new from running.
fn make(count: u64, parked: &'static AtomicU64) {
    let batch = Arc::new(Semphore::new(0));
    for number in 0..count {
        let is_last = number % BATCH == BATCH - 1 || number == count - 1;
        let batch_over = is_last.then(|| batch.clone());
        drop(go!(move || {
            count_up(parked);
            if let Some(batch) = batch_over {
                batch.post();
            }
            coroutine::park();
        }));
        if is_last {
            batch.wait();
        }
    }
}

fn park(job: &Job) -> Result<Figures, String> {
    static PARKED: AtomicU64 = AtomicU64::new(0);
    let making = Making::of(job.count).map_err(|error| error.to_string())?;
    make(job.count, &PARKED);
    making.end(PARKED.load(Ordering::Relaxed)).map_err(|error| error.to_string())
}

fn echo() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    host::listening(listener.local_addr()?.port());
    for client in listener.incoming() {
        let client = client?;
        go!(move || serve(client));
    }
    Ok(())
}

fn serve(mut client: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            count => client.write_all(&buffer[..count])?,
        }
    }
}

fn idle(job: &Job) -> Result<Figures, String> {
    static PARKED: AtomicU64 = AtomicU64::new(0);
    make(job.count, &PARKED);
    host::ready(&figures([("count", job.count as f64)]));
    loop {
        coroutine::park();
    }
}
