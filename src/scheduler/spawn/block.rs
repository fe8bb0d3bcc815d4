//! A task's block, and its life on its own stack: the closure runs, and its result takes its place.

use crate::arch;
use crate::scheduler::task::{Extra, Task, TaskVtable, flag};
use crate::scheduler::{Scheduler, unwind};
use std::any::{Any, type_name};
use std::cell::UnsafeCell;
use std::mem::{ManuallyDrop, size_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// How a result of type `T` is kept until it is taken: as it is, or boxed if it is large or its
/// alignment is.
pub(super) trait Form<T> {
    type Kept;
    fn keep(value: T) -> Self::Kept;
    fn give(kept: Self::Kept) -> T;
}

pub(super) struct Plain;
pub(super) struct Boxed;

impl<T> Form<T> for Plain {
    type Kept = T;

    #[inline(always)]
    fn keep(value: T) -> T {
        value
    }

    #[inline(always)]
    fn give(kept: T) -> T {
        kept
    }
}

impl<T> Form<T> for Boxed {
    type Kept = Box<T>;

    fn keep(value: T) -> Box<T> {
        Box::new(value)
    }

    fn give(kept: Box<T>) -> T {
        *kept
    }
}

/// A task and what its types need.
#[repr(C)]
pub(super) struct Block<F, T, R: Form<T>> {
    pub(super) task: Task,
    pub(super) payload: UnsafeCell<Payload<F, R::Kept>>,
}

#[repr(C)]
pub(super) union Payload<F, K> {
    /// Until the task starts.
    closure: ManuallyDrop<F>,
    /// Once it has ended.
    result: ManuallyDrop<thread::Result<K>>,
}

impl<F: FnOnce() -> T, T, R: Form<T>> Block<F, T, R> {
    pub(super) const VTABLE: TaskVtable = TaskVtable {
        main: Self::main,
        discard: Self::discard,
        take: Self::take,
        drop_result: Self::drop_result,
        function: type_name::<F>,
        block_bytes: size_of::<Self>() as u32,
    };

    fn payload(task: &Task) -> *mut Payload<F, R::Kept> {
        // SAFETY: every task with this vtable is the first field of a block of these types; only
        // the offset of a field is computed.
        unsafe { (*(&raw const *task).cast::<Self>()).payload.get() }
    }

    /// The first function of every task of these types.
    ///
    /// Its frame is there for as long as the task is, and a shared stack keeps it for each. So the
    /// task is found anew after the closure, and all else has frames of its own.
    ///
    /// # Safety
    /// `task` is a task with this vtable that has not started and whose stack this is.
    pub(super) unsafe extern "C" fn main(task: *mut u8, _value: arch::Value) -> ! {
        // SAFETY: the caller vouches for the task. It has not started, so its payload is the
        // closure, which is taken once. What follows it is the result.
        unsafe {
            if begin(&*task.cast::<Task>()) {
                let payload = Self::payload(&*task.cast::<Task>());
                let closure = ManuallyDrop::take(&mut (*payload).closure);
                let mut result = catch_unwind(AssertUnwindSafe(|| R::keep(closure())));
                if let Err(payload) = &mut result {
                    note_failure(payload);
                }
                (*Self::payload(current())).result = ManuallyDrop::new(result);
            }
            end()
        }
    }

    /// Drops the closure unrun and notes that the task was cancelled.
    ///
    /// # Safety
    /// `task` is a task with this vtable that has not started.
    unsafe fn discard(task: &Task) {
        // SAFETY: the task has not started, so its payload is the closure, which is taken once:
        // what is in its place from then on is the result.
        unsafe {
            let closure = ManuallyDrop::take(&mut (*Self::payload(task)).closure);
            let result = catch_unwind(AssertUnwindSafe(|| drop(closure)));
            let error = result.err().unwrap_or_else(|| Box::new(unwind::Cancelled));
            (*Self::payload(task)).result = ManuallyDrop::new(Err(error));
        }
    }

    /// Moves the result out.
    ///
    /// # Safety
    /// The task is one of this vtable and has ended, its result is taken once, and `to` has room
    /// for a `thread::Result<T>`.
    unsafe fn take(task: &Task, to: *mut u8) {
        // SAFETY: the task has ended and the result is taken once, to a place of its type.
        unsafe {
            let result = ManuallyDrop::take(&mut (*Self::payload(task)).result);
            to.cast::<thread::Result<T>>().write(result.map(R::give));
        }
    }

    /// Drops the result.
    ///
    /// # Safety
    /// The task is one of this vtable and has ended, and its result was not taken.
    unsafe fn drop_result(task: &Task) {
        // SAFETY: the task has ended and nobody has taken the result.
        let result = unsafe { ManuallyDrop::take(&mut (*Self::payload(task)).result) };
        // A destructor's panic has nobody to go to; the hook has reported it.
        drop(catch_unwind(AssertUnwindSafe(|| drop(result))));
    }
}

/// Begins a task's life. False if it was cancelled before: its closure is dropped then.
///
/// # Safety
/// `task` has not started, and this is its stack.
#[inline(never)]
unsafe fn begin(task: &Task) -> bool {
    if task.has(flag::CANCEL) {
        // SAFETY: as the caller says.
        unsafe { (task.vtable.discard)(task) };
        return false;
    }
    task.set(flag::STARTED);
    true
}

/// Ends the current task, whose result is in place.
///
/// # Safety
/// Nothing on its stack is needed any more.
#[inline(never)]
unsafe fn end() -> ! {
    let task = current();
    if !task.extra.get().is_null() {
        drop_extra(task);
    }
    if !task.has_handle.get() {
        // Here, not in the loop, since destructors may wait.
        // SAFETY: the result is in place, and nobody will take it.
        unsafe { (task.vtable.drop_result)(task) };
    }
    // SAFETY: as the caller says; a task that runs has a live scheduler.
    unsafe { (*task.scheduler).finish(task) }
}

/// The task on whose stack this runs.
#[inline(always)]
fn current<'a>() -> &'a Task {
    // SAFETY: while a task runs, its scheduler is the thread's current one, and lives.
    unsafe { (*Scheduler::current_pointer()).current_task() }
}

/// Notes that the current task's closure has panicked. If that is because its frames found no
/// memory, the payload is to say so.
#[cold]
#[inline(never)]
fn note_failure(payload: &mut Box<dyn Any + Send>) {
    let task = current();
    // SAFETY: a task's scheduler outlives it.
    unsafe { (*task.scheduler).note_failure(task) };
    if task.has(flag::EVICTED) && payload.is::<unwind::Cancelled>() {
        // Has no size, so that this allocates nothing.
        *payload = Box::new(unwind::Evicted);
    }
}

/// Drops coroutine-local variables, last made first, while the task can still run destructors, and
/// then what else few tasks have.
#[cold]
pub(in crate::scheduler) fn drop_extra(task: &Task) {
    // A destructor may make variables that were not there before, but none anew; so this ends.
    loop {
        let last = task.change_extra(|extra| {
            extra.locals.iter_mut().rev().find_map(|(_, local)| local.take())
        });
        let Some(local) = last else { break };
        drop(catch_unwind(AssertUnwindSafe(|| drop(local))));
    }
    let extra: *mut Extra = task.extra.replace(std::ptr::null_mut());
    // SAFETY: made by `change_extra` from a box, and taken out of the task just now.
    drop(unsafe { Box::from_raw(extra) });
}
