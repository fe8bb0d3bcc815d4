//! The control block of a scheduled coroutine.
//!
//! It holds everything that others may point at while the coroutine is parked (its timer, its place
//! in a queue of waiters), so that the stack itself may be put away. For a private stack it lies at
//! the stack's top, in the page that is touched anyway; for a shared stack, in a block of its own.
//!
//! ```text
//!   private:                            shared:
//!   stack top -> +------------------+   block -> +------------------+
//!                | Task             |            | Task             |
//!                | payload          |            | payload          |
//!                +------------------+            +------------------+
//!                | frames           |   the frames lie on a shared stack, or in a buffer
//!                +------------------+
//! ```
//!
//! The payload is the closure until the coroutine starts, and its result once it has ended.
//!
//! Only the owning thread touches a task, with one exception: whoever holds the lock of the queue
//! in which its waiter stands may read `scheduler`, `slot` and `id`, which never change.

use super::Scheduler;
use super::wait::{Chain, WaitKind, Waiter};
use crate::arch::{Context, Entry};
use crate::stack::Slab;
use crate::timer::Timer;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::mem::offset_of;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// In the run queue.
    Ready,
    /// The current task, or the one that runs while a nested context does.
    Running,
    /// Waiting for a wake-up, a deadline or a cancellation.
    Parked,
    /// Ended; its result waits for its handle.
    Done,
    /// Ended; its result has been taken.
    Taken,
}

/// Why a park ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Woken {
    /// Somebody woke the task. It may be for a reason that has passed: check, and park again.
    Ready,
    /// The deadline of the wait, or of an enclosing deadline scope, has passed.
    TimedOut,
    /// The task was cancelled: unlink from what was waited for, then unwind.
    Cancelled,
}

/// Bits of [`Task::flags`].
pub(crate) mod flag {
    /// Cancellation was asked for; every wait from now on ends with `Cancelled`.
    pub(crate) const CANCEL: u8 = 1 << 0;
    /// Cancellation and deadline scopes do not end waits for now.
    pub(crate) const MASKED: u8 = 1 << 1;
    /// The stack must be brought in before the task can run: switch through the loop.
    pub(crate) const AWAY: u8 = 1 << 2;
    /// The task lives on a shared stack.
    pub(crate) const SHARED: u8 = 1 << 3;
    /// `unpark` came while the task was not parked for it.
    pub(crate) const TOKEN: u8 = 1 << 4;
    /// The closure has been taken: the task has started.
    pub(crate) const STARTED: u8 = 1 << 5;
    /// Its shared stack is inaccessible while it does not run (checking mode).
    pub(crate) const CHECKED: u8 = 1 << 6;
    /// Its saved stack found no memory: it is being unwound for that reason.
    pub(crate) const EVICTED: u8 = 1 << 7;
}

/// What differs between tasks by the types of their closure and result.
pub(crate) struct TaskVtable {
    /// The task's first function: runs the closure, stores the result in the payload, and leaves.
    pub(crate) main: Entry,
    /// Drops the closure of a task that never started and stores a cancelled result.
    pub(crate) discard: unsafe fn(&Task),
    /// Moves the result to the given place (of the type that the handle knows).
    pub(crate) take: unsafe fn(&Task, *mut u8),
    /// Drops the result.
    pub(crate) drop_result: unsafe fn(&Task),
    /// The name of the closure's type, for those who look inside.
    pub(crate) function: fn() -> &'static str,
    /// The size of the whole block, for those that lie in the saver.
    pub(crate) block_bytes: u32,
}

/// Where a task's stack is: the two words of a private stack, or a shared stack and the saved
/// bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union Home {
    pub(crate) private: (NonNull<Slab>, NonNull<u8>),
    pub(crate) shared: SharedHome,
    /// The root task, which runs on the thread's own stack.
    pub(crate) none: (),
}

/// The home of a task that shares its stack.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct SharedHome {
    pub(crate) stack: *const super::shared::SharedStack,
    /// The live bytes of the stack while the task is away and has started; else null.
    pub(crate) saved: *mut u8,
}

/// What few tasks need.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) name: Option<Arc<str>>,
    /// The earliest deadline of the open deadline scopes.
    pub(crate) scope_deadline_ns: Option<u64>,
    /// The open scopes: key and deadline. Mostly they nest; not if bare coroutines suspend in them.
    scopes: Vec<(u64, u64)>,
    scopes_ever: u64,
    /// Coroutine-local variables, by the address of their key, in the order in which they were
    /// made; none for one whose destructor has begun.
    pub(crate) locals: Vec<(usize, Option<Rc<dyn Any>>)>,
}

impl Extra {
    /// Opens a deadline scope; returns its key.
    pub(crate) fn open_scope(&mut self, deadline_ns: u64) -> u64 {
        self.scopes_ever += 1;
        self.scopes.push((self.scopes_ever, deadline_ns));
        self.scope_deadline_ns = self.scope_deadline_ns.map(|it| it.min(deadline_ns));
        self.scope_deadline_ns.get_or_insert(deadline_ns);
        self.scopes_ever
    }

    /// Closes the scope with this key.
    pub(crate) fn close_scope(&mut self, key: u64) {
        self.scopes.retain(|scope| scope.0 != key);
        self.scope_deadline_ns = self.scopes.iter().map(|scope| scope.1).min();
    }
}

/// A coroutine's control block.
#[repr(C)]
pub(crate) struct Task {
    /// Where the task goes on; valid while it is neither running nor away and fresh.
    pub(crate) context: Cell<Context>,
    pub(crate) scheduler: *const Scheduler,
    pub(crate) vtable: &'static TaskVtable,
    /// Unique in the process, never zero.
    pub(crate) id: u64,
    pub(crate) slot: u32,
    pub(crate) errno: Cell<i32>,
    pub(crate) state: Cell<State>,
    pub(crate) flags: Cell<u8>,
    pub(crate) woken: Cell<Woken>,
    pub(crate) kind: Cell<WaitKind>,
    /// Whether a handle will take the result.
    pub(crate) has_handle: Cell<bool>,
    pub(crate) home: Cell<Home>,
    pub(crate) timer: UnsafeCell<Timer>,
    pub(crate) waiter: Waiter,
    /// The tasks that wait for this one to end.
    pub(crate) joiners: Chain,
    pub(crate) extra: Cell<*mut Extra>,
}

// loom's waiters are larger.
#[cfg(not(all(loom, test)))]
const _: () = assert!(size_of::<Task>() <= 128);
// The switch touches the first cache line only.
const _: () = assert!(offset_of!(Task, timer) == 64);

impl Task {
    /// Makes the block of a task that is ready to start.
    ///
    /// Field by field, because a whole task that is copied to its place is read in other pieces
    /// than it was written in, and the processor then waits for the writes to reach the cache.
    ///
    /// # Safety
    /// `place` is writable and aligned for a task.
    #[inline(always)]
    pub(crate) unsafe fn init(
        place: *mut Task,
        scheduler: *const Scheduler,
        vtable: &'static TaskVtable,
        (id, slot): (u64, u32),
        (context, home, flags): (Context, Home, u8),
    ) {
        // SAFETY: as the caller says; each field is written, so that it is a task in the end.
        unsafe {
            (&raw mut (*place).context).write(Cell::new(context));
            (&raw mut (*place).scheduler).write(scheduler);
            (&raw mut (*place).vtable).write(vtable);
            (&raw mut (*place).id).write(id);
            (&raw mut (*place).slot).write(slot);
            (&raw mut (*place).errno).write(Cell::new(0));
            (&raw mut (*place).state).write(Cell::new(State::Ready));
            (&raw mut (*place).flags).write(Cell::new(flags));
            (&raw mut (*place).woken).write(Cell::new(Woken::Ready));
            (&raw mut (*place).kind).write(Cell::new(WaitKind::None));
            (&raw mut (*place).has_handle).write(Cell::new(true));
            (&raw mut (*place).home).write(Cell::new(home));
            (&raw mut (*place).timer).write(UnsafeCell::new(Timer::new()));
            (&raw mut (*place).waiter).write(Waiter::of_task());
            (&raw mut (*place).joiners).write(Chain::new());
            (&raw mut (*place).extra).write(Cell::new(std::ptr::null_mut()));
        }
    }

    #[inline(always)]
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags.get() & flag != 0
    }

    #[inline(always)]
    pub(crate) fn set(&self, flag: u8) {
        self.flags.set(self.flags.get() | flag);
    }

    #[inline(always)]
    pub(crate) fn clear(&self, flag: u8) {
        self.flags.set(self.flags.get() & !flag);
    }

    /// Whether a wait must end at once because the task is cancelled.
    #[inline(always)]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.flags.get() & (flag::CANCEL | flag::MASKED) == flag::CANCEL
    }

    /// The task of which `timer` is the timer.
    ///
    /// # Safety
    /// `timer` is the timer of a live task.
    pub(crate) unsafe fn of_timer<'a>(timer: NonNull<Timer>) -> &'a Task {
        // SAFETY: the caller vouches that the timer lies inside a task.
        unsafe { &*timer.as_ptr().byte_sub(offset_of!(Task, timer)).cast::<Task>() }
    }

    /// The task of which `waiter` is the waiter.
    ///
    /// # Safety
    /// `waiter` is the waiter of a live task.
    pub(crate) unsafe fn of_waiter<'a>(waiter: NonNull<Waiter>) -> &'a Task {
        // SAFETY: the caller vouches that the waiter lies inside a task.
        unsafe { &*waiter.as_ptr().byte_sub(offset_of!(Task, waiter)).cast::<Task>() }
    }

    /// Changes what few tasks need, made on first use. `change` must not come back here.
    pub(crate) fn change_extra<R>(&self, change: impl FnOnce(&mut Extra) -> R) -> R {
        if self.extra.get().is_null() {
            self.extra.set(Box::into_raw(Box::default()));
        }
        // SAFETY: set above or before; only the owning thread comes here, and nothing that `change`
        // calls does, so that this is the only reference.
        unsafe { change(&mut *self.extra.get()) }
    }

    /// What few tasks need, if this one has needed any of it.
    pub(crate) fn extra(&self) -> Option<&Extra> {
        // SAFETY: null or a live box, changed by the owning thread only.
        unsafe { self.extra.get().as_ref() }
    }

    /// The name that the task was given.
    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.extra().and_then(|extra| extra.name.clone())
    }

    /// The deadline of the deadline scopes around the present point.
    #[inline]
    pub(crate) fn scope_deadline_ns(&self) -> u64 {
        match self.extra() {
            Some(extra) if !self.has(flag::MASKED) => extra.scope_deadline_ns.unwrap_or(u64::MAX),
            _ => u64::MAX,
        }
    }
}
