//! What ends a test that hangs: after some time a thread of its own says where everybody waits, and
//! ends the process.

use cove::RuntimeHandle;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the workers have to describe themselves before the process ends anyway.
const DUMP_WAIT: Duration = Duration::from_secs(5);

/// What the alarm knows, under one lock.
struct Bell {
    deadline: Option<Instant>,
    note: String,
    runtime: Option<RuntimeHandle>,
    /// The thread that watches was started.
    watched: bool,
}

static BELL: Mutex<Bell> =
    Mutex::new(Bell { deadline: None, note: String::new(), runtime: None, watched: false });
static CHANGED: Condvar = Condvar::new();

/// Ends the process `limit` from now, with `note` and a dump of the watched runtime. Replaces the
/// alarm before.
pub(crate) fn set(limit: Duration, note: String) {
    let mut bell = BELL.lock().unwrap_or_else(PoisonError::into_inner);
    bell.deadline = Some(Instant::now() + limit);
    bell.note = note;
    if !bell.watched {
        bell.watched = true;
        std::thread::Builder::new().name("alarm".into()).spawn(watch).expect("a thread");
    }
    CHANGED.notify_all();
}

/// What the alarm would say.
#[allow(dead_code, reason = "one of the programs that include this has no use for it")]
pub(crate) fn note() -> String {
    BELL.lock().unwrap_or_else(PoisonError::into_inner).note.clone()
}

/// Takes the alarm back.
pub(crate) fn clear() {
    let mut bell = BELL.lock().unwrap_or_else(PoisonError::into_inner);
    bell.deadline = None;
    bell.runtime = None;
    CHANGED.notify_all();
}

/// The runtime whose coroutines are to be shown.
pub(crate) fn show(runtime: RuntimeHandle) {
    BELL.lock().unwrap_or_else(PoisonError::into_inner).runtime = Some(runtime);
}

/// The thread: sleeps until the deadline, if there is one.
fn watch() {
    let mut bell = BELL.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let left = match bell.deadline {
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            None => Duration::from_secs(3600),
        };
        if left.is_zero() {
            break;
        }
        bell = CHANGED.wait_timeout(bell, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    eprintln!("\nHANGS: {}", bell.note);
    if let Some(runtime) = bell.runtime.take() {
        describe(&runtime);
    }
    std::process::abort();
}

/// Asks each worker for a dump, which one that computes will not give.
fn describe(runtime: &RuntimeHandle) {
    let deadline = Instant::now() + DUMP_WAIT;
    let (sender, receiver) = std::sync::mpsc::channel();
    for worker in 0..runtime.workers() {
        let sender = sender.clone();
        drop(runtime.spawn_on(worker, move || sender.send((worker, cove::task::dump()))));
    }
    for _ in 0..runtime.workers() {
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok((worker, dump)) => eprintln!("worker {worker}: {dump}"),
            Err(_) => return eprintln!("a worker does not answer: it computes, or has ended"),
        }
    }
}
