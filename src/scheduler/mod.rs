//! One thread's scheduler: runs its coroutines in turn and waits for the kernel when none can run.
//!
//! ```text
//!        spawn            popped              park
//!   o ---------> Ready ---------> Running ----------> Parked
//!                  ^                |  |                 |
//!                  |   yield_now    |  | returns         | woken, timed out,
//!                  +----------------+  v                 | cancelled
//!                  ^                  Done               |
//!                  +-------------------------------------+
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `task.rs` | the control block |
//! | `queue.rs`, `slots.rs` | who is ready; who is alive |
//! | `root.rs` | the ways in and out; shutting down |
//! | `switch.rs` | park, yield, wake: leaving a task and entering the next, directly |
//! | `turn.rs` | the loop, on a stack of its own: inbox, timers, kernel, stacks to bring in |
//! | `alone.rs` | a task that unwinds, and has the thread to itself |
//! | `spawn.rs` | laying out a task with its closure and its result |
//! | `shared.rs`, `saver.rs` | shared stacks and the bytes copied out of them |
//! | `crew.rs` | the workers of a runtime, and closures that none has started |
//! | `fork.rs` | what becomes of a scheduler in a forked child |
//! | `wait.rs` | queues of waiters, usable across threads |
//! | `biased.rs` | the lock around state that mostly stays on one thread |
//! | `selection.rs` | waiting in several queues for the first to notify |
//! | `readiness.rs` | waiting for a descriptor |
//! | `inbox.rs` | what other threads ask of this one |
//! | `pool.rs` | the process's threads for blocking work |
//! | `registry.rs` | all schedulers, for debuggers and signal handlers |
//! | `look.rs` | what dumps and reports see of the tasks |
//! | `unwind.rs` | the panics that end waits early |
//!
//! Invariants: tasks never leave their thread, and nothing in here but `biased.rs`,
//! `crew.rs`, `inbox.rs`, `pool.rs`, `selection.rs` and `wait.rs` is touched by another one. The
//! root task runs on the thread's own stack; the loop has a stack of its own, so that no task's
//! stack is in use while it works.

mod alone;
pub(crate) mod biased;
pub(crate) mod crew;
pub(crate) mod fork;
pub(crate) mod inbox;
pub(crate) mod look;
pub(crate) mod pool;
mod queue;
pub(crate) mod readiness;
pub(crate) mod registry;
mod root;
pub(crate) mod saver;
pub(crate) mod selection;
pub(crate) mod shared;
mod slots;
pub(crate) mod spawn;
mod switch;
pub(crate) mod task;
mod turn;
pub(crate) mod unwind;
pub(crate) mod wait;

#[cfg(test)]
mod tests;

use crate::arch::{self, Context};
use crate::reactor::Reactor;
use crate::stack::{self, Stack, StackError};
use crate::sys;
use crate::sys::epoll::Epoll;
use crate::sys::eventfd::EventFd;
use crate::timer::Wheel;
use inbox::{Inbox, Message};
use queue::RunQueue;
use slots::Slots;
use std::any::Any;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::io;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use task::Task;

/// The next task's id. Process-wide, so that an id names one coroutine, whatever its thread.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// How many ids a scheduler takes from [`NEXT_ID`] at a time.
const ID_BLOCK: u64 = 1 << 20;

/// The loop's stack. It runs no closure of the user's, but whatever looks at backtraces.
const LOOP_STACK_BYTES: usize = 1 << 20;

thread_local! {
    /// The scheduler that the thread is running, or null.
    static CURRENT: Cell<*const Scheduler> = const { Cell::new(std::ptr::null()) };
}

/// What other threads may touch of a scheduler; it outlives the scheduler in their hands.
pub(crate) struct Shared {
    pub(crate) inbox: Inbox<EventFd>,
    pub(crate) epoll: Epoll,
    /// The kernel's number of the scheduler's thread.
    thread_id: AtomicI32,
    /// The process that the scheduler belongs to.
    generation: AtomicU32,
}

impl Shared {
    /// Sends `message`; hands it back if the scheduler has ended, or is that of a parent process.
    pub(crate) fn push(&self, message: Message) -> Result<(), Message> {
        if self.is_of_parent() { Err(message) } else { self.inbox.push(message) }
    }

    /// Whether the scheduler belongs to the process of which this one is a fork.
    pub(crate) fn is_of_parent(&self) -> bool {
        self.generation.load(Ordering::Relaxed) != fork::generation()
    }

    /// The kernel's number of the scheduler's thread.
    pub(crate) fn thread_id(&self) -> i32 {
        self.thread_id.load(Ordering::Relaxed)
    }
}

/// A task as other threads know it.
#[derive(Clone)]
pub(crate) struct Remote {
    pub(crate) shared: Arc<Shared>,
    pub(crate) slot: u32,
    pub(crate) id: u64,
}

impl Remote {
    /// What other threads may know of `task`.
    pub(crate) fn of(task: &Task) -> Remote {
        // SAFETY: the scheduler outlives its tasks; `shared` never changes.
        let shared = unsafe { (*task.scheduler).shared.clone() };
        Remote { shared, slot: task.slot, id: task.id }
    }

    /// Makes the task runnable if it still exists and is parked.
    pub(crate) fn wake(&self) {
        // A closed inbox means that the task is gone.
        let _ = self.shared.push(Message::Wake { slot: self.slot, id: self.id });
    }

    /// Cancels the task if it still exists.
    pub(crate) fn cancel(&self) {
        let _ = self.shared.push(Message::Cancel { slot: self.slot, id: self.id });
    }
}

/// What a scheduler has counted since it began.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) spawned: Cell<u64>,
    pub(crate) completed: Cell<u64>,
    /// Other threads may look at this one.
    pub(crate) switches: AtomicU64,
    pub(crate) turns: Cell<u64>,
    pub(crate) polls: Cell<u64>,
    pub(crate) sleeps: Cell<u64>,
    pub(crate) timers_fired: Cell<u64>,
    pub(crate) remote_messages: Cell<u64>,
    pub(crate) swaps: Cell<u64>,
}

/// Adds one.
#[inline(always)]
pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Scheduler {
    /// Notes that a task is entered.
    #[inline(always)]
    fn count_switch(&self) {
        let switches = &self.counters.switches;
        switches.store(switches.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// How a scheduler is set up.
#[derive(Clone, Debug)]
pub(crate) struct SchedulerConfig {
    pub(crate) stack_bytes: usize,
    pub(crate) shared_stacks: usize,
    pub(crate) shared_stack_bytes: usize,
    /// Give each task on a shared stack its own, inaccessible while it does not run.
    pub(crate) check_shared_stacks: bool,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        SchedulerConfig {
            stack_bytes: stack::DEFAULT_BYTES,
            shared_stacks: 4,
            shared_stack_bytes: 256 << 10,
            check_shared_stacks: false,
        }
    }
}

/// One thread's scheduler. Pinned: tasks point at it.
pub(crate) struct Scheduler {
    /// A helper from above that looks at the scheduler, and ends before anything of it does.
    pub(crate) companion: RefCell<Option<Box<dyn Any>>>,
    /// Called in the loop when a signal asked for a dump.
    pub(crate) on_dump_request: Cell<Option<fn(&Scheduler)>>,
    /// Ends before what it shows.
    pub(crate) registration: registry::Registration,
    /// The running task; null while the loop runs.
    current: Cell<*const Task>,
    queue: RunQueue,
    /// Direct switches left before the loop must look at the kernel and the timers.
    budget: Cell<u32>,
    loop_context: Cell<Context>,
    /// The thread's errno.
    errno: *mut i32,
    /// A task that was popped but whose stack must be brought in first.
    handoff: Cell<*const Task>,
    /// An ended task without a handle, whose memory the loop gives back.
    ended: Cell<*const Task>,
    /// The task that alone may run, because the thread is unwinding on its stack.
    alone: alone::Alone,
    /// The task on a checked shared stack that ran last.
    checked: Cell<*const Task>,
    /// What a task wants done on the loop's stack.
    visit: Cell<Option<look::Visit>>,
    shutting_down: Cell<bool>,
    /// The thread was unwinding already when this scheduler was entered, so that
    /// `thread::panicking` says nothing about its tasks.
    entered_panicking: Cell<bool>,
    /// The ids that may still be given out: next, end.
    ids: Cell<(u64, u64)>,
    slots: UnsafeCell<Slots>,
    wheel: UnsafeCell<Wheel>,
    pub(crate) reactor: UnsafeCell<Reactor>,
    shared_stacks: UnsafeCell<shared::SharedStacks>,
    root: Cell<*const Task>,
    pace: turn::Pace,
    pub(crate) counters: Counters,
    pub(crate) config: SchedulerConfig,
    pub(crate) shared: Arc<Shared>,
    membership: UnsafeCell<Option<crew::Membership>>,
    forked: fork::Forked,
    loop_stack: LoopStack,
}

/// The stack of a scheduler's loop, which goes back to the pool.
struct LoopStack(ManuallyDrop<Stack>);

impl LoopStack {
    fn take() -> Result<LoopStack, StackError> {
        let stack = stack::with_pool(|pool| pool.take(LOOP_STACK_BYTES))?;
        Ok(LoopStack(ManuallyDrop::new(stack)))
    }
}

impl Drop for LoopStack {
    fn drop(&mut self) {
        // SAFETY: taken once, here, where the handle ends.
        let stack = unsafe { ManuallyDrop::take(&mut self.0) };
        stack::with_pool(|pool| pool.give(stack));
    }
}

/// Why a scheduler could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum SchedulerError {
    /// No epoll instance or event descriptor.
    System(io::Error),
    /// No stack for the loop, or no memory for the tables.
    Stack(StackError),
    Memory,
}

impl From<SchedulerError> for io::Error {
    fn from(error: SchedulerError) -> io::Error {
        match error {
            SchedulerError::System(error) => error,
            SchedulerError::Stack(error) => error.into(),
            SchedulerError::Memory => io::ErrorKind::OutOfMemory.into(),
        }
    }
}

impl Scheduler {
    /// Makes a scheduler for the calling thread, on which alone it may be used.
    pub(crate) fn new(config: SchedulerConfig) -> Result<Box<Scheduler>, SchedulerError> {
        let epoll = Epoll::new().map_err(SchedulerError::System)?;
        let bell = EventFd::new().map_err(SchedulerError::System)?;
        let reactor = Reactor::new(&epoll, &bell).map_err(SchedulerError::System)?;
        let loop_stack = LoopStack::take().map_err(SchedulerError::Stack)?;
        fork::watch().map_err(SchedulerError::System)?;
        let shared = Arc::new(Shared {
            inbox: Inbox::new(bell),
            epoll,
            thread_id: AtomicI32::new(sys::thread::gettid()),
            generation: AtomicU32::new(fork::generation()),
        });
        let registration = registry::Registration::new(&shared);
        let scheduler = Box::new(Scheduler {
            companion: RefCell::new(None),
            on_dump_request: Cell::new(None),
            registration,
            current: Cell::new(std::ptr::null()),
            queue: RunQueue::new().map_err(|_| SchedulerError::Memory)?,
            budget: Cell::new(0),
            loop_context: Cell::new(Context::NONE),
            errno: sys::thread::errno_location(),
            handoff: Cell::new(std::ptr::null()),
            ended: Cell::new(std::ptr::null()),
            alone: alone::Alone::new(),
            checked: Cell::new(std::ptr::null()),
            visit: Cell::new(None),
            shutting_down: Cell::new(false),
            entered_panicking: Cell::new(false),
            ids: Cell::new((0, 0)),
            slots: UnsafeCell::new(Slots::new()),
            wheel: UnsafeCell::new(Wheel::new(sys::clock::monotonic_ns())),
            reactor: UnsafeCell::new(reactor),
            shared_stacks: UnsafeCell::new(shared::SharedStacks::new()),
            root: Cell::new(std::ptr::null()),
            pace: turn::Pace::default(),
            counters: Counters::default(),
            config,
            shared,
            membership: UnsafeCell::new(None),
            forked: fork::Forked::default(),
            loop_stack,
        });
        scheduler.prepare_loop();
        scheduler.registration.publish(&scheduler);
        stack::overflow::set_describe(look::describe);
        Ok(scheduler)
    }

    /// The scheduler that the calling thread is running, if it is.
    #[inline(always)]
    pub(crate) fn current<'a>() -> Option<&'a Scheduler> {
        // SAFETY: set by `enter` for as long as the scheduler is borrowed by it. Coroutines stay on
        // their thread, so the reference cannot reach another one.
        unsafe { CURRENT.get().as_ref() }
    }

    /// The scheduler that the calling thread is running, or null.
    #[inline(always)]
    pub(crate) fn current_pointer() -> *const Scheduler {
        CURRENT.get()
    }

    /// The running task.
    #[inline(always)]
    pub(crate) fn current_task(&self) -> &Task {
        debug_assert!(!self.current.get().is_null());
        // SAFETY: while anything but the loop runs, `current` is the task on whose stack it does,
        // which is live.
        unsafe { &*self.current.get() }
    }

    /// Whether the loop, and no task, is running.
    pub(crate) fn is_in_loop(&self) -> bool {
        self.current.get().is_null()
    }

    /// A fresh id.
    #[inline]
    fn next_id(&self) -> u64 {
        let (mut next, mut end) = self.ids.get();
        if next == end {
            next = NEXT_ID.fetch_add(ID_BLOCK, Ordering::Relaxed);
            end = next + ID_BLOCK;
        }
        self.ids.set((next + 1, end));
        next
    }

    /// The number of live tasks, the root not counted.
    pub(crate) fn live(&self) -> usize {
        // SAFETY: a short look at the thread's own table.
        unsafe { (*self.slots.get()).len() }
    }

    /// Calls `look` with every live task but the root. It must not spawn or end any.
    pub(crate) fn for_each_task(&self, mut look: impl FnMut(&Task)) {
        // SAFETY: `look` does not change the table.
        for task in unsafe { (*self.slots.get()).iter() } {
            look(task);
        }
    }
}

impl Drop for Scheduler {
    /// The loop's stack goes after this, with the fields.
    fn drop(&mut self) {
        if self.live() > 0 || !self.shutting_down.get() {
            self.shut_down(wait::NEVER);
        }
        // SAFETY: no task is left, and the loop's context is never entered again.
        unsafe {
            (*self.shared_stacks.get()).clear();
            arch::discard(self.loop_context.get());
        }
    }
}
