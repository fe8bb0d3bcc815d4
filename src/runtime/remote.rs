//! Closures on their way to a worker, and results on their way back.
//!
//! A packet holds both. Its ticket travels through a queue or an inbox, and whoever drops that
//! instead of starting it thereby tells the joiner; so whatever becomes of the runtime, each packet
//! gets a result, once:
//!
//! ```text
//!   spawn --> [closure | no result] --started--> [ | no result] --returns, panics--> [ | result]
//!                       |                              | cancelled: unwinds --------------^
//!                       +-- cancelled, or ticket dropped: closure dropped, `Cancelled` ---^
//! ```

use crate::primitive::SpinLock;
use crate::scheduler::crew::{Job, Ticket};
use crate::scheduler::spawn::SpawnError;
use crate::scheduler::wait::{NEVER, WaitKind, WaitQueue, wait};
use crate::scheduler::{Remote, Scheduler, fork};
use crate::task::Cancelled;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The right to join a coroutine that another thread runs. Dropping it detaches the coroutine.
///
/// ```
/// let runtime = cove::Builder::new().workers(2).build()?;
/// let good = runtime.handle().spawn_on(1, || String::from("done"));
/// let bad = runtime.handle().spawn_on(1, || panic!("comes out of join"));
/// assert_eq!(good.join().unwrap(), "done");
/// let payload = bad.join().unwrap_err();
/// assert_eq!(payload.downcast_ref(), Some(&"comes out of join"));
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct RemoteJoinHandle<T> {
    packet: Arc<dyn Pending<T>>,
}

/// Makes a closure's ticket and the handle for its result.
pub(super) fn new<F, T>(closure: F) -> (Ticket, RemoteJoinHandle<T>)
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let packet = Arc::new(Packet {
        closure: SpinLock::new(Some(closure)),
        held: AtomicBool::new(false),
        generation: fork::generation(),
        outcome: SpinLock::new(Outcome {
            result: None,
            finished: false,
            cancelled: false,
            task: None,
            joiners: WaitQueue::new(),
        }),
    });
    (Ticket::new(packet.clone()), RemoteJoinHandle { packet })
}

impl<T> RemoteJoinHandle<T> {
    /// Waits for the coroutine to end and brings back its result: a coroutine waits, and so does a
    /// thread outside any runtime.
    /// See [`RemoteJoinHandle`] for an example.
    ///
    /// # Errors
    /// The payload of its panic; [`Cancelled`] also if the runtime ended before it did, and in a
    /// forked child if it was spawned before the fork; a `String` if no stack could be had for it.
    ///
    /// # Panics
    /// Unwinds when the caller is cancelled; the coroutine is then detached.
    pub fn join(self) -> thread::Result<T> {
        loop {
            // The lock itself may be out of use: held by a thread that a forked child has not.
            if self.packet.is_of_parent() {
                return Err(Box::new(Cancelled));
            }
            let lock = self.packet.outcome();
            let mut outcome = lock.lock();
            if let Some(result) = outcome.result.take() {
                return result;
            }
            wait(lock, outcome, |outcome| &mut outcome.joiners, WaitKind::Join, 0, NEVER);
        }
    }

    /// Whether the coroutine has ended, so that `join` would not wait.
    ///
    /// ```
    /// let runtime = cove::Builder::new().build()?;
    /// let coroutine = runtime.handle().spawn(|| ());
    /// assert!(!coroutine.is_finished());
    /// drop(runtime);
    /// assert!(coroutine.is_finished());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn is_finished(&self) -> bool {
        self.packet.is_of_parent() || self.packet.outcome().lock().finished
    }

    /// Makes the coroutine's present wait and every later one end by unwinding. If it has not
    /// started it never runs: the closure is dropped here and now. Does not wait for the coroutine.
    ///
    /// ```
    /// let runtime = cove::Builder::new().workers(2).build()?;
    /// let parked = runtime.handle().spawn_on(1, cove::task::park);
    /// parked.cancel();
    /// assert!(parked.join().unwrap_err().is::<cove::task::Cancelled>());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn cancel(&self) {
        if self.packet.is_of_parent() {
            return;
        }
        let task = {
            let mut outcome = self.packet.outcome().lock();
            outcome.cancelled = true;
            outcome.task.clone()
        };
        match task {
            Some(task) => task.cancel(),
            None => self.packet.discard(),
        }
    }
}

impl<T> fmt::Debug for RemoteJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoinHandle").field("finished", &self.is_finished()).finish()
    }
}

/// A packet to whom does not know the closure's type.
trait Pending<T>: Send + Sync {
    fn outcome(&self) -> &SpinLock<Outcome<T>>;
    fn is_of_parent(&self) -> bool;
    fn discard(&self);
}

/// A closure, then its result.
struct Packet<F, T> {
    /// Taken by whoever runs or drops it.
    closure: SpinLock<Option<F>>,
    /// The ticket's end means nothing for the moment.
    held: AtomicBool,
    /// The process in which it will run.
    generation: u32,
    outcome: SpinLock<Outcome<T>>,
}

/// How it ended.
struct Outcome<T> {
    /// From its end until it is joined.
    result: Option<thread::Result<T>>,
    finished: bool,
    cancelled: bool,
    /// The coroutine while it runs.
    task: Option<Remote>,
    joiners: WaitQueue,
}

impl<F, T> Packet<F, T> {
    /// Ends it, and tells the joiner. The first result counts: a cancellation from outside may come
    /// while no stack is found.
    fn complete(&self, result: thread::Result<T>) {
        if self.generation != fork::generation() {
            // In a forked child: the joiners are not here, and their stacks may be in other use.
            return drop(result);
        }
        let mut outcome = self.outcome.lock();
        if outcome.finished {
            drop(outcome);
            return drop(result);
        }
        outcome.finished = true;
        outcome.result = Some(result);
        let task = outcome.task.take();
        let joiners = outcome.joiners.wake_all();
        drop(outcome);
        joiners.send();
        drop(task);
    }

    /// Notes who runs it. False if it was cancelled before.
    fn begin(&self) -> bool {
        let task = Scheduler::current().map(|scheduler| Remote::of(scheduler.current_task()));
        let mut outcome = self.outcome.lock();
        outcome.task = task;
        !outcome.cancelled
    }

    /// Drops the closure, if it is still there, in place of running it.
    fn discard_closure(&self) {
        let closure = self.closure.lock().take();
        if let Some(closure) = closure {
            self.complete(Err(drop_closure(closure)));
        }
    }
}

/// Drops a closure that never ran. What its joiner gets is the destructor's panic, if any.
fn drop_closure<F>(closure: F) -> Box<dyn Any + Send> {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(closure)));
    dropped.err().unwrap_or_else(|| Box::new(Cancelled))
}

impl<F, T> Job for Packet<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(&self) {
        let taken = self.closure.lock().take();
        let Some(closure) = taken else { return };
        let result = if self.begin() {
            let result = catch_unwind(AssertUnwindSafe(closure));
            if let (Err(_), Some(scheduler)) = (&result, Scheduler::current()) {
                scheduler.note_failure(scheduler.current_task());
            }
            result
        } else {
            Err(drop_closure(closure))
        };
        self.complete(result);
    }

    fn discard(&self) {
        if !self.held.load(Ordering::Relaxed) {
            self.discard_closure();
        }
    }

    fn hold(&self, hold: bool) {
        self.held.store(hold, Ordering::Relaxed);
    }

    fn fail(&self, error: SpawnError) {
        self.complete(Err(Box::new(format!("cannot spawn a coroutine: {error}"))));
    }
}

impl<F, T> Pending<T> for Packet<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn outcome(&self) -> &SpinLock<Outcome<T>> {
        &self.outcome
    }

    fn is_of_parent(&self) -> bool {
        self.generation != fork::generation()
    }

    fn discard(&self) {
        self.discard_closure();
    }
}
