//! Shared stacks: many tasks, few stacks, in the manner of libco's copy mode.
//!
//! A task owns its shared stack from when it is brought in until another task needs the same stack;
//! only then are its live bytes, from its saved stack pointer up to the stack's top, copied to a
//! buffer of just that size. A task that is woken before anyone else came finds its stack in place.
//!
//! ```text
//!   stack (one of N)            owner = A           A parks, B is to run
//!   top    +--------------+                         +--------------+
//!          | A's frames   |  -- copied out -->      | saved bytes  |  (the saver, exact size)
//!   A.sp   +--------------+                         +--------------+
//!          | free         |  <-- copied in --       B's saved bytes, or B's first frame
//!   limit  +--------------+                         owner = B
//! ```
//!
//! The copies run on the loop's stack, never on the one being copied. What others may point at
//! (timer, waiter, closure, result) lies in the task's block, not here.
//!
//! If there is no memory for the copy, the owner cannot be put away; it is then unwound where it
//! lies, before anyone else runs, and its `join` brings back `Evicted`. Nothing else is lost.
//!
//! In checking mode (`Builder::check_shared_stacks`) every task gets a stack of its own, which is
//! inaccessible while the task does not run: a pointer into a stack that would have been swapped
//! out then faults, at the very access.

use super::spawn::SpawnError;
use super::task::{State, Task, Woken, flag};
use super::{Scheduler, count, saver};
use crate::arch;
use crate::stack::{self, Stack, StackError};
use crate::sys;
use std::cell::Cell;
use std::ptr::NonNull;

/// A stack that tasks take turns on.
pub(crate) struct SharedStack {
    stack: Stack,
    /// The task whose frames lie on it, or null.
    owner: Cell<*const Task>,
}

impl SharedStack {
    /// Where a debugger finds the end of the stack.
    pub(super) const TOP_OFFSET: usize =
        std::mem::offset_of!(SharedStack, stack) + Stack::TOP_OFFSET;

    /// The lowest and the end address of its usable bytes.
    pub(crate) fn bounds(&self) -> (usize, usize) {
        (self.stack.limit().as_ptr() as usize, self.stack.top().as_ptr() as usize)
    }

    /// The pages of its usable bytes: where the first one starts, and their bytes. The last one
    /// ends above the top, which has a colour.
    fn pages(&self) -> (*mut u8, usize) {
        let (limit, top) = self.bounds();
        (self.stack.limit().as_ptr(), (top - limit).next_multiple_of(sys::page_size()))
    }
}

/// The shared stacks of one scheduler, given to tasks in turn.
pub(super) struct SharedStacks {
    stacks: Vec<*mut SharedStack>,
    next: usize,
}

impl SharedStacks {
    pub(super) const fn new() -> SharedStacks {
        SharedStacks { stacks: Vec::new(), next: 0 }
    }

    /// Forgets who lies on the stacks, but for `kept`, in a forked child that has none of the
    /// others.
    pub(super) fn forget_others(&self, kept: *const Task) {
        for stack in &self.stacks {
            // SAFETY: the stacks in the list are live.
            let owner = unsafe { &(**stack).owner };
            if owner.get() != kept {
                owner.set(std::ptr::null());
            }
        }
    }

    /// Gives the stacks back to the pool. No task may be left.
    pub(super) fn clear(&mut self) {
        for stack in self.stacks.drain(..) {
            release(stack);
        }
    }
}

fn make(bytes: usize) -> Result<*mut SharedStack, StackError> {
    let stack = stack::with_pool(|pool| pool.take(bytes))?;
    Ok(Box::into_raw(Box::new(SharedStack { stack, owner: Cell::new(std::ptr::null()) })))
}

fn release(stack: *mut SharedStack) {
    // SAFETY: made by `make`, and released once.
    let shared = unsafe { Box::from_raw(stack) };
    stack::with_pool(|pool| pool.give(shared.stack));
}

impl Scheduler {
    /// The shared stack for the next task.
    pub(super) fn shared_stack(&self) -> Result<*const SharedStack, SpawnError> {
        let bytes = self.config.shared_stack_bytes;
        if self.config.check_shared_stacks {
            return Ok(make(bytes)?);
        }
        // SAFETY: the list is borrowed for this function, which runs nothing of the user's.
        let shared = unsafe { &mut *self.shared_stacks.get() };
        let count_max = self.config.shared_stacks.max(1);
        let place = shared.next % count_max;
        if place == shared.stacks.len() {
            shared.stacks.try_reserve(1).map_err(|_| SpawnError::table(place))?;
            shared.stacks.push(make(bytes)?);
        }
        shared.next = (place + 1) % count_max;
        Ok(shared.stacks[place])
    }

    /// Brings a task's stack in, and tells whom to enter: the task; or, if it must wait for the
    /// stack and is queued again, the present owner, which is to unwind, or nobody.
    pub(super) fn bring_in<'a>(&self, task: &'a Task) -> Option<&'a Task> {
        count(&self.counters.swaps);
        // SAFETY: only tasks on shared stacks are ever away.
        let mut home = unsafe { task.home.get().shared };
        // SAFETY: a shared stack outlives its tasks.
        let shared = unsafe { &*home.stack };
        if task.has(flag::CHECKED) {
            self.reveal(task, shared);
        }
        // SAFETY: an owner is live: it gives the stack up when it ends.
        if let Some(owner) = unsafe { shared.owner.get().as_ref() } {
            if !std::ptr::eq(owner, task) && !put_away(owner, shared) {
                self.queue.push(task);
                return self.evict(owner);
            }
        }
        shared.owner.set(task);
        task.clear(flag::AWAY);
        if task.context.get() == arch::Context::NONE {
            let (top, limit) = (shared.stack.top().as_ptr(), || shared.stack.limit().as_ptr());
            let argument = (&raw const *task).cast_mut().cast();
            // SAFETY: the stack has no owner's bytes on it any more.
            task.context.set(unsafe { arch::prepare(top, limit, task.vtable.main, argument) });
        } else if let Some(saved) = NonNull::new(home.saved) {
            restore(task, shared, saved);
            home.saved = std::ptr::null_mut();
            task.home.set(super::task::Home { shared: home });
        }
        Some(task)
    }

    /// Unwinds a task whose stack found no memory to be put away to: at once, so that those who
    /// want the stack do not all fail in turn. One that is in the queue already unwinds at its next
    /// wait.
    #[cold]
    fn evict<'a>(&self, owner: &'a Task) -> Option<&'a Task> {
        owner.set(flag::CANCEL | flag::EVICTED);
        owner.clear(flag::MASKED);
        if owner.state.get() != State::Parked {
            return None;
        }
        owner.woken.set(Woken::Cancelled);
        Some(owner)
    }

    /// An ended task gives up its shared stack.
    #[inline(always)]
    pub(super) fn vacate(&self, task: &Task) {
        if task.has(flag::SHARED) {
            // SAFETY: the task is on a shared stack, so its home is of that kind; the scheduler
            // keeps the stack until no task is left.
            unsafe { (*task.home.get().shared.stack).owner.set(std::ptr::null()) };
        }
    }

    /// Makes the own stack of a checked task accessible, until `hide_checked`.
    #[cold]
    fn reveal(&self, task: &Task, shared: &SharedStack) {
        if task.context.get() != arch::Context::NONE {
            let (start, bytes) = shared.pages();
            // SAFETY: the range is the stack's, which is ours.
            let outcome = unsafe { sys::mmap::protect_read_write(start, bytes) };
            assert!(
                outcome.is_ok(),
                "a checked shared stack cannot be made accessible: {outcome:?}"
            );
        }
        self.checked.set(task);
        // The next switch goes through the loop, which hides the stack again.
        self.budget.set(0);
    }

    /// Makes the stack of the checked task that ran last inaccessible, or frees it if it ended.
    pub(super) fn hide_checked(&self) {
        let checked = self.checked.replace(std::ptr::null());
        // SAFETY: a checked task always stops into the loop, which comes here first: even if it has
        // ended, nobody has freed it yet.
        let Some(task) = (unsafe { checked.as_ref() }) else { return };
        // SAFETY: checked tasks are on shared stacks, so the home is of that kind.
        let stack = unsafe { task.home.get().shared.stack };
        if task.state.get() == State::Done {
            release(stack.cast_mut());
            return;
        }
        task.set(flag::AWAY);
        // SAFETY: the stack is released when its task ends, above.
        let (start, bytes) = unsafe { (*stack).pages() };
        // SAFETY: the range is the stack's, and no one runs on it now.
        let outcome = unsafe { sys::mmap::protect_none(start, bytes) };
        assert!(outcome.is_ok(), "a checked shared stack cannot be made inaccessible: {outcome:?}");
    }
}

/// Copies the owner's live bytes out. False if there is no memory for them.
fn put_away(owner: &Task, shared: &SharedStack) -> bool {
    let (limit, top) = shared.bounds();
    let sp = arch::stack_pointer(owner.context.get()) as usize;
    if sp < limit || sp > top {
        parked_elsewhere(owner);
    }
    let Some(saved) = saver::take(top - sp) else { return false };
    sys::checkers::allow_all(sp..top);
    // SAFETY: the bytes between a suspended task's stack pointer and the top are its frames; the
    // buffer has just that size. We run on the loop's stack.
    unsafe { std::ptr::copy_nonoverlapping(sp as *const u8, saved.as_ptr(), top - sp) };
    // SAFETY: an owner of a shared stack has a shared home.
    let mut home = unsafe { owner.home.get().shared };
    home.saved = saved.as_ptr();
    owner.home.set(super::task::Home { shared: home });
    owner.set(flag::AWAY);
    true
}

/// Copies a task's saved bytes back to where they were.
fn restore(task: &Task, shared: &SharedStack, saved: NonNull<u8>) {
    let (_, top) = shared.bounds();
    let sp = arch::stack_pointer(task.context.get()) as usize;
    sys::checkers::allow_all(sp..top);
    // SAFETY: saved by `put_away` from this very range; nobody owns the stack now.
    unsafe { std::ptr::copy_nonoverlapping(saved.as_ptr(), sp as *mut u8, top - sp) };
    saver::give(saved, top - sp);
}

/// Ends the process: the contract of spawning on a shared stack was broken.
#[cold]
fn parked_elsewhere(owner: &Task) -> ! {
    eprintln!(
        "cove: coroutine {} on a shared stack waits inside a nested Coroutine, so its own frames \
         cannot be put away; give it a private stack. Aborting.",
        owner.id
    );
    std::process::abort()
}
