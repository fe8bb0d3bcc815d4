//! For those who look inside: work on the loop's stack, the frames of tasks that do not run, and
//! whose stack is whose.

use super::task::{State, Task, flag};
use super::wait::WaitKind;
use super::{Scheduler, saver};
use crate::arch::{self, Context};
use crate::stack::overflow::Whose;
use crate::stack::{self, Stack};
use crate::sys;
use std::fmt::{self, Write};
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::thread;

/// Something to do on the loop's stack for a task, which goes on afterwards.
#[derive(Clone, Copy)]
pub(super) struct Visit {
    run: unsafe fn(*mut u8, &Scheduler),
    job: *mut u8,
    visitor: *const Task,
}

/// What is to be done, and what came of it.
struct Job<F, R> {
    look: Option<F>,
    result: Option<thread::Result<R>>,
}

impl Scheduler {
    /// Runs `look` on the loop's stack, which is large enough to name frames, while the calling
    /// task (like all others) is suspended; no other task runs meanwhile.
    ///
    /// `look` must not use what lies on the caller's stack if that may be a shared one: looking
    /// into other tasks can put it away.
    pub(crate) fn on_loop_stack<R>(&self, look: impl FnOnce(&Scheduler) -> R) -> R {
        if self.is_in_loop() {
            return look(self);
        }
        let job = Box::into_raw(Box::new(Job { look: Some(look), result: None }));
        let visitor = &raw const *self.current_task();
        let visit = Visit { run: run_for(job), job: job.cast(), visitor };
        self.visit.set(Some(visit));
        // SAFETY: the loop comes back to the visitor as soon as it has run the job. The job lies on
        // the heap, and is ours again then.
        let job = unsafe {
            self.visit_loop();
            Box::from_raw(job)
        };
        match job.result {
            Some(Ok(result)) => result,
            Some(Err(panic)) => resume_unwind(panic),
            None => unreachable!("the loop runs a visitor's job before it comes back"),
        }
    }

    /// The loop's part of `on_loop_stack`: the task that asked, when its job is done.
    #[inline(always)]
    pub(super) fn visited(&self) -> Option<&Task> {
        self.visit.get().map(|visit| self.run_visit(visit))
    }

    #[cold]
    fn run_visit(&self, visit: Visit) -> &Task {
        self.visit.set(None);
        // SAFETY: the visitor is suspended until we enter it, and so keeps its job.
        unsafe {
            (visit.run)(visit.job, self);
            &*visit.visitor
        }
    }

    /// Calls `look` with the context of a task that has run and is suspended, its stack in place.
    /// None if it has not run or runs now, or there is no memory to bring its stack in. To be
    /// called on the loop's stack.
    pub(crate) fn look_into<R>(&self, task: &Task, look: impl FnOnce(Context) -> R) -> Option<R> {
        debug_assert!(self.is_in_loop());
        let fresh = task.state.get() == State::Ready && !task.has(flag::STARTED);
        let context = task.context.get();
        if fresh || context == Context::NONE {
            return None;
        }
        if !task.has(flag::AWAY) {
            return Some(look(context));
        }
        // SAFETY: only tasks on shared stacks are ever away; their stacks outlive them.
        let home = unsafe { task.home.get().shared };
        // SAFETY: the scheduler owns its shared stacks and frees them after the last task.
        let (limit, top) = unsafe { (*home.stack).bounds() };
        if task.has(flag::CHECKED) {
            let (start, bytes) = (limit as *mut u8, top - limit);
            // SAFETY: the range is the stack's, on which nobody runs now.
            unsafe {
                sys::mmap::protect_read_write(start, bytes).ok()?;
                let seen = look(context);
                let hidden = sys::mmap::protect_none(start, bytes);
                assert!(hidden.is_ok(), "a checked shared stack cannot be hidden: {hidden:?}");
                return Some(seen);
            }
        }
        let live = top - arch::stack_pointer(context) as usize;
        let place = arch::stack_pointer(context);
        let others = saver::take(live)?;
        sys::checkers::allow_all(place.addr()..top);
        // SAFETY: the saved bytes are those of the stack's end, from the stack pointer on; nobody
        // runs on it, and what others have there comes back before anyone does.
        unsafe {
            std::ptr::copy_nonoverlapping(place, others.as_ptr(), live);
            std::ptr::copy_nonoverlapping(home.saved, place, live);
            let seen = look(context);
            std::ptr::copy_nonoverlapping(others.as_ptr(), place, live);
            saver::give(others, live);
            Some(seen)
        }
    }

    /// Has a dump made if a signal asked for it.
    #[inline(always)]
    pub(super) fn answer_dump_request(&self) {
        let wants_dump = &self.registration.entry().wants_dump;
        if wants_dump.load(Ordering::Relaxed) {
            wants_dump.store(false, Ordering::Relaxed);
            if let Some(answer) = self.on_dump_request.get() {
                answer(self);
            }
        }
    }

    /// Timers that are set.
    pub(crate) fn timers_armed(&self) -> usize {
        // SAFETY: a short look at the thread's own wheel.
        unsafe { (*self.wheel.get()).len() }
    }

    /// Descriptors that are registered.
    pub(crate) fn descriptors(&self) -> usize {
        // SAFETY: a short look at the thread's own reactor.
        unsafe { (*self.reactor.get()).len() }
    }

    /// The root task, while the scheduler runs.
    pub(crate) fn root(&self) -> Option<&Task> {
        // SAFETY: the root task is live while it is set.
        unsafe { self.root.get().as_ref() }
    }

    /// Ends the process if `task`, which has just stopped, has overflowed a stack with a canary.
    #[cold]
    pub(super) fn check_canary(&self, task: &Task) {
        if task.has(flag::SHARED) || task.slot == u32::MAX {
            return;
        }
        if let Some(stack) = task.private_stack().filter(|stack| !stack.check_canary()) {
            // The report describes the task that is running.
            self.current.set(task);
            stack::overflow::abort_for_canary(stack.bounds());
        }
    }
}

fn run_for<F: FnOnce(&Scheduler) -> R, R>(_: *mut Job<F, R>) -> unsafe fn(*mut u8, &Scheduler) {
    /// # Safety
    /// `job` is a live job of these types.
    unsafe fn run<F: FnOnce(&Scheduler) -> R, R>(job: *mut u8, scheduler: &Scheduler) {
        // SAFETY: as the caller says.
        let job = unsafe { &mut *job.cast::<Job<F, R>>() };
        let look = job.look.take();
        job.result = look.map(|look| catch_unwind(AssertUnwindSafe(|| look(scheduler))));
    }
    run::<F, R>
}

impl Task {
    /// The task's own stack, not to be dropped. None for the root and on shared stacks.
    pub(crate) fn private_stack(&self) -> Option<ManuallyDrop<Stack>> {
        if self.has(flag::SHARED) || self.slot == u32::MAX {
            return None;
        }
        // SAFETY: such a task has a private home, whose stack stays as long as the task, which
        // alone gives it back.
        Some(ManuallyDrop::new(unsafe {
            let (slab, top) = self.home.get().private;
            Stack::from_raw(slab, top)
        }))
    }

    /// The addresses of the stack that the task runs on; none for the root.
    pub(crate) fn stack_bounds(&self) -> Option<Range<usize>> {
        if !self.has(flag::SHARED) {
            return self.private_stack().map(|stack| stack.bounds());
        }
        // SAFETY: the task is on a shared stack, which outlives it.
        let (limit, top) = unsafe { (*self.home.get().shared.stack).bounds() };
        Some(limit..top)
    }

    /// Writes the task's number and name: `coroutine 7 'parser'`. Allocates nothing.
    pub(crate) fn write_name(&self, to: &mut dyn Write) -> fmt::Result {
        write!(to, "coroutine {}", self.id)?;
        match self.extra().and_then(|extra| extra.name.as_deref()) {
            Some(name) => write!(to, " '{name}'"),
            None => Ok(()),
        }
    }
}

/// Says whose stack it is, in a signal handler.
pub(super) fn describe(whose: Whose, stack: &Range<usize>, to: &mut dyn Write) -> fmt::Result {
    let is_on = |task: &Task| task.stack_bounds().is_some_and(|own| stack.contains(&own.start));
    let Some(scheduler) = Scheduler::current() else { return to.write_str("a Coroutine") };
    if whose == Whose::PutAway {
        let mut owner = Ok(false);
        scheduler.for_each_task(|task| {
            if is_on(task) && matches!(owner, Ok(false)) {
                owner = task.write_name(to).map(|()| true);
            }
        });
        return if owner? { Ok(()) } else { to.write_str("another thread's coroutine") };
    }
    if scheduler.is_in_loop() {
        return to.write_str("the scheduler's loop");
    }
    let task = scheduler.current_task();
    if is_on(task) {
        return task.write_name(to);
    }
    to.write_str("a Coroutine that was resumed by ")?;
    task.write_name(to)
}

/// A wait's name.
pub(crate) const fn words(kind: WaitKind) -> &'static str {
    match kind {
        WaitKind::None => "nothing",
        WaitKind::Park => "unpark",
        WaitKind::Sleep => "sleep",
        WaitKind::Read => "reading",
        WaitKind::Write => "writing",
        WaitKind::Join => "join",
        WaitKind::Scope => "the coroutines of a scope",
        WaitKind::Mutex => "mutex",
        WaitKind::RwLock => "read-write lock",
        WaitKind::Condvar => "condition variable",
        WaitKind::Semaphore => "semaphore",
        WaitKind::Barrier => "barrier",
        WaitKind::WaitGroup => "wait group",
        WaitKind::Once => "once cell",
        WaitKind::Notify => "notify",
        WaitKind::Receive => "channel receive",
        WaitKind::Send => "channel send",
        WaitKind::Select => "select",
        WaitKind::Watch => "watch",
        WaitKind::Blocking => "blocking call",
        WaitKind::Shutdown => "the end of all coroutines",
    }
}

/// The names of all waits by the number of their kind, for debuggers.
pub(super) static WAIT_WORDS: [&str; WAIT_KINDS.len()] = {
    let mut all = [""; WAIT_KINDS.len()];
    let mut number = 0;
    while number < all.len() {
        assert!(WAIT_KINDS[number] as usize == number, "the kinds are listed in their order");
        all[number] = words(WAIT_KINDS[number]);
        number += 1;
    }
    all
};

const WAIT_KINDS: [WaitKind; 21] = [
    WaitKind::None,
    WaitKind::Park,
    WaitKind::Sleep,
    WaitKind::Read,
    WaitKind::Write,
    WaitKind::Join,
    WaitKind::Scope,
    WaitKind::Mutex,
    WaitKind::RwLock,
    WaitKind::Condvar,
    WaitKind::Semaphore,
    WaitKind::Barrier,
    WaitKind::WaitGroup,
    WaitKind::Once,
    WaitKind::Notify,
    WaitKind::Receive,
    WaitKind::Send,
    WaitKind::Select,
    WaitKind::Watch,
    WaitKind::Blocking,
    WaitKind::Shutdown,
];
