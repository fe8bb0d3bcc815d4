//! The stall watchdog: a thread that notices when a coroutine does not let others run.
//!
//! It looks at a scheduler's count of switches four times in the time that is allowed. When the
//! count stands still for that time while the scheduler does not sleep, it asks the thread where it
//! is, and reports what it hears, once for each stall. The thread itself is disturbed by nothing
//! else, and a sleeping one not at all.

use super::frames::{Frame, Namer, Root};
use super::interrupt;
use crate::scheduler::{Scheduler, Shared, fork};
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A coroutine that has not let others run for too long; see
/// [`Builder::stall_watchdog`](crate::Builder::stall_watchdog).
///
/// ```
/// use std::sync::mpsc;
/// use std::time::Duration;
///
/// let (stalled, stalls) = mpsc::channel();
/// let runtime = cove::Builder::new()
///     .on_stall(Duration::from_millis(10), move |stall| stalled.send(stall.clone()).unwrap())
///     .build()?;
/// // A blocking call of std's where one of cove's belongs.
/// let stall = runtime.run(|| stalls.recv())?;
/// assert!(stall.duration >= Duration::from_millis(10));
/// assert!(stall.to_string().contains("without a wait"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stall {
    /// The kernel's number of the thread.
    pub thread_id: i32,
    /// The coroutine's number.
    pub id: u64,
    /// The coroutine's name; one of more than 64 bytes is cut off.
    pub name: Option<String>,
    /// How long it has been running without a wait, at least.
    pub duration: Duration,
    /// Where it was when it was noticed, innermost function first.
    pub backtrace: Arc<[Frame]>,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "coroutine {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " '{name}'")?;
        }
        let (thread_id, ms) = (self.thread_id, self.duration.as_millis());
        writeln!(f, " has kept thread {thread_id} for {ms} ms without a wait. It is at:")?;
        for (number, frame) in self.backtrace.iter().enumerate() {
            writeln!(f, "{number:4}: {frame}")?;
        }
        Ok(())
    }
}

/// What is done about a stall.
pub(crate) type OnStall = Arc<dyn Fn(&Stall) + Send + Sync>;

/// How to watch.
#[derive(Clone)]
pub(crate) struct StallConfig {
    pub(crate) limit: Duration,
    /// Standard error is told if there is none.
    pub(crate) on_stall: Option<OnStall>,
}

impl fmt::Debug for StallConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StallConfig")
            .field("limit", &self.limit)
            .field("has_on_stall", &self.on_stall.is_some())
            .finish()
    }
}

/// The shortest time between two looks.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// Watches the scheduler, from a thread of its own, until it ends.
///
/// # Errors
/// When there is no thread.
pub(crate) fn watch(scheduler: &Scheduler, config: StallConfig) -> io::Result<()> {
    interrupt::install()?;
    let end = Arc::new(End::default());
    let watch = Watch {
        shared: scheduler.shared.clone(),
        switches: Switches(&raw const scheduler.counters.switches),
        config,
        end: end.clone(),
    };
    let thread =
        std::thread::Builder::new().name("cove-watchdog".into()).spawn(move || watch.run())?;
    let watchdog = Watchdog { thread: Some(thread), end, generation: fork::generation() };
    *scheduler.companion.borrow_mut() = Some(Box::new(watchdog));
    Ok(())
}

/// Where the order to end is given.
#[derive(Default)]
struct End {
    ordered: Mutex<bool>,
    changed: Condvar,
}

/// The thread's handle: ends it on drop.
struct Watchdog {
    thread: Option<JoinHandle<()>>,
    end: Arc<End>,
    generation: u32,
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if self.generation != fork::generation() {
            // A forked child does not have the thread.
            std::mem::forget(thread);
            return;
        }
        *self.end.ordered.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.end.changed.notify_all();
        if thread.join().is_err() {
            // The panic hook has reported it: a callback's own panic.
            let _ = writeln!(io::stderr(), "cove: the stall watchdog has panicked");
        }
    }
}

/// A scheduler's count of switches.
struct Switches(*const AtomicU64);

// SAFETY: an atomic of the scheduler, which ends the thread before it ends itself.
unsafe impl Send for Switches {}

struct Watch {
    shared: Arc<Shared>,
    switches: Switches,
    config: StallConfig,
    end: Arc<End>,
}

impl Watch {
    fn run(self) {
        let mut namer = Namer::new();
        let (mut last, mut since) = (self.switches(), Instant::now());
        let mut asked = None;
        while !self.wait() {
            let switches = self.switches();
            if switches != last || self.shared.inbox.is_asleep() {
                (last, since) = (switches, Instant::now());
                continue;
            }
            let duration = since.elapsed();
            if duration < self.config.limit || asked == Some(switches) {
                continue;
            }
            asked = Some(switches);
            if let Some(sighting) = interrupt::ask(self.shared.thread_id(), switches) {
                self.report(&sighting, duration, &mut namer);
            }
        }
    }

    fn switches(&self) -> u64 {
        // SAFETY: the scheduler lives for as long as this thread.
        unsafe { (*self.switches.0).load(Ordering::Relaxed) }
    }

    /// Waits for the time of the next look; tells whether to end instead.
    fn wait(&self) -> bool {
        let period = (self.config.limit / 4).max(PERIOD_MIN);
        let ordered = self.end.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.end.changed.wait_timeout_while(ordered, period, |ordered| !*ordered);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn report(&self, sighting: &interrupt::Sighting, duration: Duration, namer: &mut Namer) {
        let frames = &sighting.frames;
        let all: Vec<usize> = frames.first().iter().copied().chain(frames.last()).collect();
        let root = if sighting.is_root { Root::Thread } else { Root::Coroutine };
        let stall = Stall {
            thread_id: self.shared.thread_id(),
            id: sighting.id,
            name: sighting.name(),
            duration,
            backtrace: namer.name(&all, root),
        };
        match &self.config.on_stall {
            Some(on_stall) => on_stall(&stall),
            // A closed stderr is no reason to stop, and there is nowhere else to complain.
            None => drop(write!(io::stderr().lock(), "cove: {stall}")),
        }
    }
}
