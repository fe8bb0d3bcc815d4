//! The workers of one runtime, and the closures that none of them has started yet.
//!
//! ```text
//!              push (any worker may start it)          send (this worker must start it)
//!                |                                       |
//!                v                                       v
//!   member:   queue of unstarted closures             inbox
//!                |              \                        |
//!                | own turn      \ stolen by a           | own turn
//!                v                v worker that idles    v
//!             a coroutine of the worker that took it, for good
//! ```
//!
//! What runs stays on its thread; only closures that have not started travel. A worker starts one
//! of its own queue in each turn of its loop (more if it is busy, since its turns are then far
//! apart), and takes the oldest of another's before it sleeps.
//!
//! **No closure waits while a worker sleeps**: see `board.rs`, which holds all that the workers
//! share but the ways of waking them.
//!
//! **Limit.** Each worker has at most [`UNSTARTED_MAX`] unstarted closures, sent or pushed; who
//! brings more waits for room.

mod board;

use super::fork;
use super::inbox::Message;
use super::spawn::{SpawnError, SpawnOptions};
use super::{Scheduler, Shared};
use crate::sys;
use board::Board;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Closures that one worker may have unstarted: a few MiB of small ones.
pub(crate) const UNSTARTED_MAX: usize = if cfg!(test) { 64 } else { 1 << 16 };

/// Closures of its own queue that a worker with other work starts in a turn. With no other work it
/// starts one and leaves the rest to who idles.
const SHARE: usize = 8;

/// A closure and where its result goes.
pub(crate) trait Job: Send + Sync {
    /// Runs the closure, as a coroutine. Does nothing if it was discarded before.
    fn run(&self);
    /// Drops the closure if it has not run, and says so to whoever waits for it.
    fn discard(&self);
    /// Holds `discard` off, or no longer.
    fn hold(&self, hold: bool);
    /// Says that no coroutine could be made. The closure stays.
    fn fail(&self, error: SpawnError);
}

/// The right to start a job. Dropping it discards the job.
pub(crate) struct Ticket {
    job: Arc<dyn Job>,
}

impl Ticket {
    pub(crate) fn new(job: Arc<dyn Job>) -> Ticket {
        Ticket { job }
    }

    /// Makes the job a coroutine of this thread. If the thread is shutting down, the coroutine
    /// discards it: here in the loop, destructors could not wait.
    fn start(self, scheduler: &Scheduler) {
        let job = self.job.clone();
        job.hold(true);
        // SAFETY: the closure and its result, (), are 'static, and the stack is a private one.
        let spawned = unsafe { scheduler.spawn(SpawnOptions::default(), move || self.job.run()) };
        job.hold(false);
        if let Err(error) = spawned {
            job.fail(error);
            // No stack to run its destructor on: the closure goes with its handle, or never.
            std::mem::forget(job);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.job.discard();
    }
}

/// One worker, as the others know it.
struct Member {
    /// Set before the runtime is handed out.
    shared: OnceLock<Arc<Shared>>,
    /// While shutting down: coroutines left, or `BUSY` until the worker has heard of it.
    left: AtomicUsize,
}

/// The worker has not heard that it is to shut down: a coroutine runs without ever waiting.
pub(crate) const BUSY: usize = usize::MAX;

/// The workers of one runtime.
pub(crate) struct Crew {
    members: Box<[Member]>,
    board: Board<Ticket>,
    /// Where the next closure from outside goes.
    next: AtomicUsize,
    /// The process that the crew belongs to.
    generation: u32,
}

/// A scheduler's place in a crew.
pub(super) struct Membership {
    pub(super) crew: Arc<Crew>,
    pub(super) index: usize,
}

impl Crew {
    /// A crew of `workers`, none of which has joined.
    pub(crate) fn new(workers: usize) -> Arc<Crew> {
        assert!(workers > 0, "a crew has at least one worker");
        let member = |_| Member { shared: OnceLock::new(), left: AtomicUsize::new(BUSY) };
        Arc::new(Crew {
            members: (0..workers).map(member).collect(),
            board: Board::new(workers, UNSTARTED_MAX),
            next: AtomicUsize::new(0),
            generation: fork::generation(),
        })
    }

    /// The number of workers.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether the crew belongs to the process of which this one is a fork.
    pub(crate) fn is_stale(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Gives a closure to whichever worker comes first. Waits for room.
    pub(crate) fn push(self: &Arc<Crew>, ticket: Ticket) {
        let index = match Scheduler::current().and_then(Scheduler::membership) {
            Some(member) if Arc::ptr_eq(&member.crew, self) => member.index,
            _ => self.next.fetch_add(1, Ordering::Relaxed) % self.len(),
        };
        if !self.is_stale() && self.board.push(index, ticket, || self.members[index].may_wait()) {
            self.wake_idle();
        }
    }

    /// Gives a closure to the worker `index`. Waits for room.
    ///
    /// # Panics
    /// When there is no such worker.
    pub(crate) fn send(self: &Arc<Crew>, index: usize, ticket: Ticket) {
        let member = &self.members[index];
        if self.is_stale() || !self.board.admit(index, || member.may_wait()) {
            return;
        }
        let crew = self.clone();
        let start = move || {
            crew.board.depart(index);
            if let Some(scheduler) = Scheduler::current() {
                ticket.start(scheduler);
            }
        };
        if let Some(shared) = member.shared.get() {
            // Refused once the worker has ended: the ticket goes with the message.
            drop(shared.push(Message::Run(Box::new(start))));
        }
    }

    /// Wakes one worker that idles, if there is one.
    fn wake_idle(&self) {
        if let Some(index) = self.board.claim_idle() {
            self.nudge(index);
        }
    }

    /// Ends the sleep of the worker `index`. An empty closure allocates nothing.
    fn nudge(&self, index: usize) {
        if let Some(shared) = self.members[index].shared.get() {
            drop(shared.push(Message::Run(Box::new(|| {}))));
        }
    }

    /// Refuses closures from now on, and discards those that are queued.
    pub(crate) fn close(&self) {
        self.board.close();
    }

    /// Asks every worker but the first, which is the caller, to shut down.
    pub(crate) fn stop_others(&self) {
        for shared in self.members.iter().skip(1).filter_map(|member| member.shared.get()) {
            // Refused if it has ended already.
            drop(shared.push(Message::Shutdown));
        }
    }

    /// The coroutines that the worker `index` has left to unwind, or `BUSY`.
    pub(crate) fn left(&self, index: usize) -> usize {
        self.members[index].left.load(Ordering::Relaxed)
    }
}

impl Member {
    /// Whether room can come about while the caller waits: not if the caller is what keeps the
    /// worker's thread from making it.
    #[cold]
    fn may_wait(&self) -> bool {
        let Some(shared) = self.shared.get() else { return false };
        let running = Scheduler::current();
        if running.is_some_and(|running| running.is_in_loop() || std::thread::panicking()) {
            return false;
        }
        shared.thread_id() != sys::thread::gettid()
            || running.is_some_and(|running| Arc::ptr_eq(&running.shared, shared))
    }
}

impl Scheduler {
    /// Makes this scheduler the worker `index` of `crew`.
    pub(crate) fn join_crew(&self, crew: Arc<Crew>, index: usize) {
        let joined = crew.members[index].shared.set(self.shared.clone());
        assert!(joined.is_ok(), "two schedulers are the same worker");
        // SAFETY: nobody holds a reference to the place: `membership` hands out short ones.
        let before = unsafe { (*self.membership.get()).replace(Membership { crew, index }) };
        // What a forked child inherited may be locked by a thread that it does not have.
        std::mem::forget(before);
    }

    /// The scheduler's place in its crew. The reference must not be kept over a wait.
    #[inline]
    pub(super) fn membership(&self) -> Option<&Membership> {
        // SAFETY: changed by `join_crew` only, while nobody holds the reference.
        let membership = unsafe { (*self.membership.get()).as_ref() }?;
        if membership.crew.is_stale() {
            self.join_crew(Crew::new(1), 0);
            // SAFETY: `join_crew` has returned, and the reference into the old value was used
            // for the last time before it.
            return unsafe { (*self.membership.get()).as_ref() };
        }
        Some(membership)
    }

    /// The crew that this scheduler belongs to, and its index there.
    pub(crate) fn crew(&self) -> Option<(Arc<Crew>, usize)> {
        self.membership().map(|member| (member.crew.clone(), member.index))
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shutting_down.get()
    }

    /// The loop's turn to start closures of its own queue.
    pub(super) fn start_queued(&self) {
        let Some(Membership { crew, index }) = self.membership() else { return };
        if self.is_shutting_down() {
            crew.members[*index].left.store(self.live(), Ordering::Relaxed);
        }
        let share = if self.queue.is_empty() { 1 } else { SHARE };
        for _ in 0..share {
            let Some(ticket) = crew.board.take(*index) else { return };
            ticket.start(self);
        }
        if crew.board.has_queued(*index) {
            crew.wake_idle();
        }
    }

    /// Starts a closure that another worker has queued. False if there is none.
    pub(super) fn steal(&self) -> bool {
        let Some(Membership { crew, index }) = self.membership() else { return false };
        if self.is_shutting_down() {
            return false;
        }
        let stolen = crew.board.steal(*index);
        let found = stolen.is_some();
        if let Some(ticket) = stolen {
            ticket.start(self);
        }
        found
    }

    /// Sleeps by `wait` until another thread rings, unless there is something to do. True if this
    /// worker was woken for a closure, which it is then to steal, or to leave to another worker.
    pub(super) fn sleep_in_crew(&self, wait: impl FnOnce()) -> bool {
        let inbox = &self.shared.inbox;
        match self.crew().filter(|_| !self.is_shutting_down()) {
            Some((crew, index)) => crew.board.sleep(index, inbox, wait),
            None => {
                inbox.sleep(wait);
                false
            }
        }
    }

    /// Has another worker woken for a closure that this one was woken for.
    #[cold]
    pub(super) fn pass_on(&self) {
        if let Some(Membership { crew, .. }) = self.membership() {
            if crew.board.has_any_queued() {
                crew.wake_idle();
            }
        }
    }
}
