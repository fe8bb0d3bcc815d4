//! tokio on one thread: `current_thread`, and `tokio::spawn`, which is faster there than a
//! `LocalSet`. Measured loops are tasks themselves: the future of `block_on` is polled less
//! directly. A task takes as much memory as its future, so it serves for both kinds of stack.

use super::{Job, Work, unknown};
use crate::Failure;
use crate::figures::{Figures, figures};
use crate::host;
use crate::measure::{Laps, Making, cpu_ns};
use crate::sleepers::Schedule;
use std::hint::black_box;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::yield_now;

/// So many are spawned before they run.
const BATCH: u64 = 32;

pub(super) fn run(job: &Job) -> Result<Figures, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let job = *job;
    let work = async move {
        match job.work {
            Work::Round => Ok(round(&job).await),
            Work::Spawn => Ok(spawn(&job).await),
            Work::PingPong => Ok(ping_pong(&job).await),
            Work::ParkPrivate | Work::ParkShared => park(&job).await,
            Work::Wake => wake(&job).await,
            Work::Sleepers => sleepers(&job).await,
            Work::Echo => echo().await.map(|()| Figures::new()).map_err(|e| e.to_string()),
            Work::Idle => idle(&job).await,
            Work::Switch => unknown(&job).map_err(|error| error.to_string()),
        }
    };
    Ok(runtime.block_on(async { tokio::spawn(work).await })??)
}

async fn round(job: &Job) -> Figures {
    static STOP: AtomicBool = AtomicBool::new(false);
    static TURNS: AtomicU64 = AtomicU64::new(0);
    for _ in 1..job.count {
        tokio::spawn(async {
            while !STOP.load(Relaxed) {
                count_up(&TURNS);
                yield_now().await;
            }
        });
    }
    yield_now().await;
    let mut laps = Laps::new(job.iterations / job.count);
    while laps.go_on(TURNS.load(Relaxed)) {
        for _ in 0..laps.each {
            count_up(&TURNS);
            yield_now().await;
        }
    }
    STOP.store(true, Relaxed);
    laps.figures()
}

async fn spawn(job: &Job) -> Figures {
    let mut laps = Laps::new(job.iterations);
    while laps.go() {
        for _ in 0..laps.each {
            black_box(tokio::spawn(async { black_box(1) }).await.expect("no panic"));
        }
    }
    laps.figures()
}

async fn ping_pong(job: &Job) -> Figures {
    let (there, mut requests) = mpsc::unbounded_channel::<u64>();
    let (back, mut answers) = mpsc::unbounded_channel::<u64>();
    tokio::spawn(async move {
        while let Some(value) = requests.recv().await {
            if back.send(value).is_err() {
                break;
            }
        }
    });
    let mut laps = Laps::new(job.iterations);
    while laps.go() {
        for number in 0..laps.each {
            there.send(number).expect("the echo listens");
            black_box(answers.recv().await);
        }
    }
    laps.figures()
}

/// Adds one; only one thread does, so that no locked instruction is needed.
fn count_up(counter: &AtomicU64) -> u64 {
    let next = counter.load(Relaxed) + 1;
    counter.store(next, Relaxed);
    next
}

/// Spawns tasks, and lets each run until it waits.
async fn make<F>(count: u64, parked: &AtomicU64, live: impl Fn(u64) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for number in 0..count {
        tokio::spawn(live(number));
        if number % BATCH == BATCH - 1 {
            yield_now().await;
        }
    }
    while parked.load(Relaxed) < count {
        yield_now().await;
    }
}

async fn park(job: &Job) -> Result<Figures, String> {
    static PARKED: AtomicU64 = AtomicU64::new(0);
    static GATE: Notify = Notify::const_new();
    let making = Making::of(job.count).map_err(|error| error.to_string())?;
    make(job.count, &PARKED, |_| async {
        count_up(&PARKED);
        GATE.notified().await;
    })
    .await;
    host::answer(&making.end(PARKED.load(Relaxed)).map_err(|error| error.to_string())?)
}

async fn wake(job: &Job) -> Result<Figures, String> {
    static PARKED: AtomicU64 = AtomicU64::new(0);
    static WOKEN: AtomicU64 = AtomicU64::new(0);
    static GATE: Notify = Notify::const_new();
    static ALL: Notify = Notify::const_new();
    let count = job.count;
    let making = Making::of(count).map_err(|error| error.to_string())?;
    make(count, &PARKED, |_| async move {
        count_up(&PARKED);
        GATE.notified().await;
        if count_up(&WOKEN) == count {
            ALL.notify_one();
        }
    })
    .await;
    let mut found = making.end(PARKED.load(Relaxed)).map_err(|error| error.to_string())?;
    let started_ns = cpu_ns();
    GATE.notify_waiters();
    ALL.notified().await;
    found.insert("wake_ns".to_owned(), (cpu_ns() - started_ns) / count as f64);
    host::answer(&found)
}

async fn sleepers(job: &Job) -> Result<Figures, String> {
    static PARKED: AtomicU64 = AtomicU64::new(0);
    static ALL: Notify = Notify::const_new();
    let trial = job.count.div_ceil(100);
    let started = Instant::now();
    make(trial, &PARKED, |_| async {
        count_up(&PARKED);
    })
    .await;
    let foreseen = started.elapsed() * 100 * job.iterations as u32;
    PARKED.store(0, Relaxed);
    let schedule = Schedule::ahead(foreseen + Duration::from_millis(500));
    let count = job.count;
    make(count, &PARKED, |number| async move {
        count_up(&PARKED);
        tokio::time::sleep_until(schedule.deadline(number).into()).await;
        if schedule.woke(number) == count {
            ALL.notify_one();
        }
    })
    .await;
    let parked_ns = schedule.parked().map_err(|error| error.to_string())?;
    ALL.notified().await;
    host::answer(&schedule.figures(parked_ns, count))
}

async fn echo() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    host::listening(listener.local_addr()?.port());
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(serve(client));
    }
}

async fn serve(mut client: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match client.read(&mut buffer).await? {
            0 => return Ok(()),
            count => client.write_all(&buffer[..count]).await?,
        }
    }
}

async fn idle(job: &Job) -> Result<Figures, String> {
    static PARKED: AtomicU64 = AtomicU64::new(0);
    static GATE: Notify = Notify::const_new();
    make(job.count, &PARKED, |_| async {
        count_up(&PARKED);
        GATE.notified().await;
    })
    .await;
    host::ready(&figures([("count", job.count as f64)]));
    GATE.notified().await;
    Ok(Figures::new())
}
