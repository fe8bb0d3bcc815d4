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
//! **No closure waits while a worker sleeps.** A worker announces that it idles and *then* looks at
//! every queue; a push enters the queue and *then* looks for one that idles. All four accesses are
//! SeqCst, so in their single order one side sees the other. Whoever wakes a worker takes its
//! announcement away, so that one push wakes one worker. A worker that was woken but meanwhile has
//! something else to do leaves the closure where it is; the queue's owner sees it there in its next
//! turn and wakes another. Nobody polls: with no closure queued, sleeping workers stay asleep.
//!
//! **Limit.** Each worker has at most [`UNSTARTED_MAX`] unstarted closures, sent or pushed; who
//! brings more waits for room.

use super::fork;
use super::inbox::Message;
use super::spawn::SpawnOptions;
use super::wait::{NEVER, WaitKind, WaitQueue, wait};
use super::{Scheduler, Shared};
use crate::primitive::{SpinGuard, SpinLock};
use crate::stack::StackError;
use crate::sys;
use std::collections::LinkedList;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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
    fn fail(&self, error: StackError);
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

/// What a worker has not started.
struct Unstarted {
    /// A list, so that nothing is allocated or freed under the lock.
    queue: LinkedList<Ticket>,
    /// Those in `queue`, and those on their way through the inbox.
    count: usize,
    closed: bool,
    /// Who waits for room.
    room: WaitQueue,
}

/// One worker, as the others know it.
struct Member {
    unstarted: SpinLock<Unstarted>,
    /// The length of the queue, for those who do not hold the lock.
    queued: AtomicUsize,
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
    /// One bit for each member that has announced that it idles.
    idle: Box<[AtomicU64]>,
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
        let member = |_| Member {
            unstarted: SpinLock::new(Unstarted {
                queue: LinkedList::new(),
                count: 0,
                closed: false,
                room: WaitQueue::new(),
            }),
            queued: AtomicUsize::new(0),
            shared: OnceLock::new(),
            left: AtomicUsize::new(BUSY),
        };
        Arc::new(Crew {
            members: (0..workers).map(member).collect(),
            idle: (0..workers.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
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
        let member = &self.members[index];
        let mut queued = LinkedList::from([ticket]);
        let Some(mut unstarted) = self.admit(member) else { return };
        unstarted.queue.append(&mut queued);
        member.queued.store(unstarted.queue.len(), Ordering::SeqCst);
        drop(unstarted);
        self.wake_idle();
    }

    /// Gives a closure to the worker `index`. Waits for room.
    ///
    /// # Panics
    /// When there is no such worker.
    pub(crate) fn send(self: &Arc<Crew>, index: usize, ticket: Ticket) {
        let member = &self.members[index];
        match self.admit(member) {
            Some(unstarted) => drop(unstarted),
            None => return,
        }
        let crew = self.clone();
        let start = move || {
            crew.members[index].depart();
            if let Some(scheduler) = Scheduler::current() {
                ticket.start(scheduler);
            }
        };
        if let Some(shared) = member.shared.get() {
            // Refused once the worker has ended: the ticket goes with the message.
            drop(shared.push(Message::Run(Box::new(start))));
        }
    }

    /// Counts one more closure in, once there is room for it. None if the runtime is shutting down.
    fn admit<'a>(&self, member: &'a Member) -> Option<SpinGuard<'a, Unstarted>> {
        if self.is_stale() {
            return None;
        }
        loop {
            let mut unstarted = member.unstarted.lock();
            if unstarted.closed {
                return None;
            }
            if unstarted.count < UNSTARTED_MAX || !member.may_wait() {
                unstarted.count += 1;
                return Some(unstarted);
            }
            wait(&member.unstarted, unstarted, |u| &mut u.room, WaitKind::Send, 0, NEVER);
        }
    }

    /// Takes the oldest closure that the worker `index` has queued.
    fn take(&self, index: usize) -> Option<Ticket> {
        let member = &self.members[index];
        if member.queued.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let mut unstarted = member.unstarted.lock();
        if unstarted.queue.is_empty() {
            return None;
        }
        let rest = unstarted.queue.split_off(1);
        let first = std::mem::replace(&mut unstarted.queue, rest);
        member.queued.store(unstarted.queue.len(), Ordering::SeqCst);
        unstarted.count -= 1;
        unstarted.room.wake_one();
        drop(unstarted);
        first.into_iter().next()
    }

    /// Wakes one worker that idles, if there is one.
    fn wake_idle(&self) {
        for (word, idle) in self.idle.iter().enumerate() {
            let mut seen = idle.load(Ordering::SeqCst);
            while seen != 0 {
                let bit = seen & seen.wrapping_neg();
                match idle.compare_exchange(seen, seen & !bit, Ordering::SeqCst, Ordering::SeqCst) {
                    Ok(_) => return self.nudge(word * 64 + bit.trailing_zeros() as usize),
                    Err(now) => seen = now,
                }
            }
        }
    }

    /// Ends the sleep of the worker `index`. An empty closure allocates nothing.
    fn nudge(&self, index: usize) {
        if let Some(shared) = self.members[index].shared.get() {
            drop(shared.push(Message::Run(Box::new(|| {}))));
        }
    }

    fn idle_bit(&self, index: usize) -> (&AtomicU64, u64) {
        (&self.idle[index / 64], 1 << (index % 64))
    }

    /// Refuses closures from now on, and discards those that are queued.
    pub(crate) fn close(&self) {
        for member in &self.members {
            let mut unstarted = member.unstarted.lock();
            unstarted.closed = true;
            let queue = std::mem::take(&mut unstarted.queue);
            unstarted.count -= queue.len();
            member.queued.store(0, Ordering::SeqCst);
            unstarted.room.wake_all();
            drop(unstarted);
            drop(queue);
        }
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
    /// A closure that was sent has arrived.
    fn depart(&self) {
        let mut unstarted = self.unstarted.lock();
        unstarted.count -= 1;
        unstarted.room.wake_one();
    }

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
            // SAFETY: as above.
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
            let Some(ticket) = crew.take(*index) else { return };
            ticket.start(self);
        }
        if crew.members[*index].queued.load(Ordering::Relaxed) > 0 {
            crew.wake_idle();
        }
    }

    /// Starts a closure that another worker has queued. False if there is none.
    pub(super) fn steal(&self) -> bool {
        let Some(Membership { crew, index }) = self.membership() else { return false };
        if self.is_shutting_down() {
            return false;
        }
        let others = (1..crew.len()).map(|step| (index + step) % crew.len());
        let stolen = others.into_iter().find_map(|other| crew.take(other));
        let found = stolen.is_some();
        if let Some(ticket) = stolen {
            ticket.start(self);
        }
        found
    }

    /// Announces that this worker idles. False if a closure is queued somewhere: it must not sleep.
    pub(super) fn announce_idle(&self) -> bool {
        let Some(Membership { crew, index }) = self.membership() else { return true };
        if self.is_shutting_down() {
            return true;
        }
        let (idle, bit) = crew.idle_bit(*index);
        idle.fetch_or(bit, Ordering::SeqCst);
        let found = crew.members.iter().any(|other| other.queued.load(Ordering::SeqCst) > 0);
        if found {
            idle.fetch_and(!bit, Ordering::SeqCst);
        }
        !found
    }

    /// Takes the announcement back.
    pub(super) fn retract_idle(&self) {
        if let Some(Membership { crew, index }) = self.membership() {
            let (idle, bit) = crew.idle_bit(*index);
            idle.fetch_and(!bit, Ordering::SeqCst);
        }
    }
}
