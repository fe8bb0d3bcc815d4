//! Making a task: its block with the closure in it, its stack, its first frame; ending it; and the
//! handle by which its result is taken.
//!
//! Nothing is allocated but the stack (or, for a shared stack, one block): the closure lies in the
//! block and is replaced by the result. A closure or result too large for that is boxed.

use super::task::{Extra, Home, SharedHome, State, Task, TaskVtable, Woken, flag};
use super::wait::{Chain, NEVER, WaitKind, Waiter};
use super::{Scheduler, count, saver, unwind};
use crate::arch::{self, Context, Entry};
use crate::stack::{self, Stack, StackError};
use crate::timer::Timer;
use std::any::{Any, type_name};
use std::cell::{Cell, UnsafeCell};
use std::io::ErrorKind;
use std::mem::{ManuallyDrop, align_of, size_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::thread;

/// The share of a stack, as a divisor, that a task's block may take before its parts are boxed.
const BLOCK_SHARE: usize = 4;

/// The most bytes of closure or result that a task on a shared stack keeps in its block.
const SHARED_PAYLOAD_BYTES_MAX: usize = 1024;

/// How a result of type `T` is kept until it is taken: as it is, or boxed if it is large.
trait Form<T> {
    type Kept;
    fn keep(value: T) -> Self::Kept;
    fn give(kept: Self::Kept) -> T;
}

struct Plain;
struct Boxed;

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
struct Block<F, T, R: Form<T>> {
    task: Task,
    payload: UnsafeCell<Payload<F, R::Kept>>,
}

#[repr(C)]
union Payload<F, K> {
    /// Until the task starts.
    closure: ManuallyDrop<F>,
    /// Once it has ended.
    result: ManuallyDrop<thread::Result<K>>,
}

impl<F: FnOnce() -> T, T, R: Form<T>> Block<F, T, R> {
    const VTABLE: TaskVtable = TaskVtable {
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
    unsafe extern "C" fn main(task: *mut u8, _value: arch::Value) -> ! {
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
    /// As [`Self::main`].
    unsafe fn discard(task: &Task) {
        // SAFETY: as in `main`.
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

/// What a task is made with.
#[derive(Clone, Default)]
pub(crate) struct SpawnOptions {
    pub(crate) name: Option<Arc<str>>,
    /// The stack's size; the scheduler's default if not given.
    pub(crate) stack_bytes: Option<usize>,
    /// Use one of the thread's shared stacks.
    pub(crate) shared: bool,
}

/// The right to a task's result. Dropping it detaches the task.
pub(crate) struct RawHandle {
    task: NonNull<Task>,
}

impl Scheduler {
    /// Makes a task that will run `closure`, and puts it into the run queue.
    ///
    /// # Errors
    /// When there is no memory for its stack or for its places in the tables.
    ///
    /// # Safety
    /// The closure, its result and, for a shared stack, whatever the task keeps on its stack stay
    /// valid until the task has ended. The handle is read as a handle of `T`.
    #[inline]
    pub(crate) unsafe fn spawn<F, T>(
        &self,
        options: SpawnOptions,
        closure: F,
    ) -> Result<RawHandle, StackError>
    where
        F: FnOnce() -> T,
    {
        let stack_bytes = options.stack_bytes.unwrap_or(self.config.stack_bytes);
        let limit =
            if options.shared { SHARED_PAYLOAD_BYTES_MAX } else { stack_bytes / BLOCK_SHARE };
        // SAFETY: as the caller says. The handle reads the result through the vtable, which knows
        // in which form it is kept.
        unsafe {
            if size_of::<F>().max(size_of::<T>()) <= limit {
                return self.spawn_block::<F, T, Plain>(options, stack_bytes, closure);
            }
            let closure: Box<dyn FnOnce() -> T + '_> = Box::new(closure);
            self.spawn_block::<_, T, Boxed>(options, stack_bytes, closure)
        }
    }

    /// # Safety
    /// As [`Scheduler::spawn`].
    unsafe fn spawn_block<F, T, R>(
        &self,
        options: SpawnOptions,
        stack_bytes: usize,
        closure: F,
    ) -> Result<RawHandle, StackError>
    where
        F: FnOnce() -> T,
        R: Form<T>,
    {
        let slots = self.slots.get();
        // SAFETY: the table is borrowed for short calls that run nothing of the user's.
        unsafe {
            let tasks = (*slots).len() + 2;
            (*slots).reserve().map_err(|_| no_table(tasks))?;
            self.queue.reserve(tasks).map_err(|_| no_table(tasks))?;
        }
        let (block, home, context, flags) =
            self.place::<Block<F, T, R>>(&options, stack_bytes, Block::<F, T, R>::main)?;
        // SAFETY: `place` gave memory for a block of these types.
        unsafe {
            let slot = (*slots).next();
            (&raw mut (*block.as_ptr()).task).write(Task {
                context: Cell::new(context),
                scheduler: self,
                vtable: &Block::<F, T, R>::VTABLE,
                id: self.next_id(),
                slot,
                errno: Cell::new(0),
                state: Cell::new(State::Ready),
                flags: Cell::new(flags),
                woken: Cell::new(Woken::Ready),
                kind: Cell::new(WaitKind::None),
                has_handle: Cell::new(true),
                home: Cell::new(home),
                timer: UnsafeCell::new(Timer::new()),
                waiter: Waiter::of_task(),
                joiners: Chain::new(),
                extra: Cell::new(std::ptr::null_mut()),
            });
            (*block.as_ptr()).payload.get().cast::<F>().write(closure);
            let task = &(*block.as_ptr()).task;
            if options.name.is_some() {
                task.change_extra(|extra| extra.name = options.name);
            }
            (*slots).insert(task);
            self.queue.push(task);
            count(&self.counters.spawned);
            Ok(RawHandle { task: block.cast() })
        }
    }

    /// Finds a place for a block, and lays out the first frame if the stack is the task's own.
    #[inline]
    fn place<B>(
        &self,
        options: &SpawnOptions,
        stack_bytes: usize,
        main: Entry,
    ) -> Result<(NonNull<B>, Home, Context, u8), StackError> {
        let cancel = if self.shutting_down.get() { flag::CANCEL } else { 0 };
        if options.shared {
            return self.place_shared(cancel);
        }
        let stack = stack::with_pool(|pool| pool.take(stack_bytes))?;
        let top = stack.top().as_ptr();
        let align = align_of::<B>().max(64);
        let address = (top as usize - size_of::<B>()) & !(align - 1);
        let block = top.wrapping_sub(top as usize - address);
        let limit = stack.limit().as_ptr();
        // SAFETY: the block takes little more than a quarter of the stack (its parts were boxed
        // otherwise), is aligned for its types and for a frame below it, and the stack stays until
        // `free`.
        let context = unsafe { arch::prepare(block, limit, main, block) };
        let home = Home { private: stack.into_raw() };
        // SAFETY: inside the stack, so not null.
        Ok((unsafe { NonNull::new_unchecked(block.cast()) }, home, context, cancel))
    }

    fn place_shared<B>(&self, flags: u8) -> Result<(NonNull<B>, Home, Context, u8), StackError> {
        let stack = self.shared_stack()?;
        assert!(align_of::<B>() <= saver::ALIGN, "over-aligned closure or result");
        let block = saver::take(size_of::<B>()).ok_or_else(saver::shortage)?;
        let checked = if self.config.check_shared_stacks { flag::CHECKED } else { 0 };
        let home = Home { shared: SharedHome { stack, saved: std::ptr::null_mut() } };
        Ok((block.cast(), home, Context::NONE, flags | checked | flag::SHARED | flag::AWAY))
    }

    /// Ends the current task, whose result is in place.
    ///
    /// # Safety
    /// `task` is the current one, and nothing on its stack is needed any more.
    unsafe fn finish(&self, task: &Task) -> ! {
        // SAFETY: the table is borrowed for a short call.
        unsafe { (*self.slots.get()).remove(task.slot) };
        task.state.set(State::Done);
        count(&self.counters.completed);
        task.joiners.wake_all(self);
        if self.shutting_down.get() && self.live() == 0 {
            self.wake_root_for_shutdown();
        }
        self.vacate(task);
        // SAFETY: as the caller says.
        unsafe { self.leave(task) }
    }

    /// Gives back the memory of an ended task whose result is gone.
    ///
    /// # Safety
    /// The task has left its stack for good, and nothing refers to it.
    pub(super) unsafe fn free(&self, task: *const Task) {
        // SAFETY: as the caller says.
        unsafe { free(task) }
    }
}

/// The error of a table for so many tasks that found no memory to double its size.
#[cold]
pub(super) fn no_table(tasks: usize) -> StackError {
    StackError::diagnose(2 * tasks * size_of::<*const Task>(), &ErrorKind::OutOfMemory.into())
}

/// As [`Scheduler::free`]; needs no scheduler.
///
/// # Safety
/// As there.
unsafe fn free(task: *const Task) {
    // SAFETY: nothing refers to the task. Its home is that which `place` noted for its kind.
    unsafe {
        if (*task).has(flag::SHARED) {
            let bytes = (*task).vtable.block_bytes as usize;
            let block = NonNull::new_unchecked(task.cast_mut().cast::<u8>());
            saver::give(block, bytes);
        } else {
            let (slab, top) = (*task).home.get().private;
            let stack = Stack::from_raw(slab, top);
            stack::with_pool(|pool| pool.give(stack));
        }
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
pub(super) fn drop_extra(task: &Task) {
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

impl RawHandle {
    /// The task.
    pub(crate) fn task(&self) -> &Task {
        // SAFETY: the block stays until the handle is dropped or has taken the result.
        unsafe { self.task.as_ref() }
    }

    /// Whether the task has ended. In a forked child, those that it does not have count as ended.
    #[inline]
    pub(crate) fn is_finished(&self) -> bool {
        self.has_ended() || self.is_abandoned()
    }

    #[inline]
    fn has_ended(&self) -> bool {
        matches!(self.task().state.get(), State::Done | State::Taken)
    }

    #[inline]
    fn is_abandoned(&self) -> bool {
        // SAFETY: a task that has not ended has a live scheduler.
        unsafe { (*self.task().scheduler).is_abandoned(self.task()) }
    }

    /// Whether the task can be waited for here: it has ended, or the runtime that runs it is the
    /// one that is running on this thread.
    pub(crate) fn is_within_reach(&self) -> bool {
        self.is_finished() || std::ptr::eq(self.task().scheduler, Scheduler::current_pointer())
    }

    /// Whether the result has been taken.
    pub(crate) fn is_taken(&self) -> bool {
        self.task().state.get() == State::Taken
    }

    /// Makes every wait of the task end with an unwinding from now on.
    pub(crate) fn cancel(&self) {
        if !self.is_finished() {
            // SAFETY: a task that has not ended has a live scheduler, on this thread.
            unsafe { (*self.task().scheduler).cancel(self.task()) };
        }
    }

    /// Waits for the task to end. False if `deadline_ns` came first.
    ///
    /// # Panics
    /// Outside the runtime in which the task lives.
    pub(crate) fn wait(&self, kind: WaitKind, deadline_ns: u64) -> bool {
        let task = self.task();
        while !self.is_finished() {
            let scheduler = Scheduler::current()
                .filter(|current| std::ptr::eq(*current, task.scheduler))
                .expect("a coroutine is joined outside the runtime that runs it");
            let me = scheduler.current_task();
            assert!(!std::ptr::eq(me, task), "a coroutine joins itself");
            // SAFETY: the waiter lies in this task's control block and is unlinked: it waits here.
            unsafe { task.joiners.push(&me.waiter) };
            let woken = scheduler.park(kind, deadline_ns);
            if self.is_finished() {
                break;
            }
            task.joiners.remove(&me.waiter);
            match woken {
                Woken::Ready => {}
                Woken::Cancelled => unwind::cancelled(),
                Woken::TimedOut if deadline_ns == NEVER => unwind::expired(),
                Woken::TimedOut if crate::sys::clock::monotonic_ns() < deadline_ns => {
                    unwind::expired()
                }
                Woken::TimedOut => return false,
            }
        }
        true
    }

    /// The result of a task that has ended; of one that a forked child does not have, `Cancelled`.
    ///
    /// # Panics
    /// When it has not ended, or the result was taken before.
    ///
    /// # Safety
    /// The task was spawned with a result of type `T`.
    #[inline]
    pub(crate) unsafe fn take<T>(&self) -> thread::Result<T> {
        let task = self.task();
        if !self.has_ended() && self.is_abandoned() {
            return Err(Box::new(unwind::Cancelled));
        }
        assert!(task.state.get() == State::Done, "no result to take");
        task.state.set(State::Taken);
        let mut result = std::mem::MaybeUninit::<thread::Result<T>>::uninit();
        // SAFETY: ended, of this type, and taken once, as the state tells.
        unsafe {
            (task.vtable.take)(task, result.as_mut_ptr().cast());
            result.assume_init()
        }
    }
}

impl Drop for RawHandle {
    #[inline]
    fn drop(&mut self) {
        let task = self.task();
        if !self.has_ended() {
            task.has_handle.set(false);
            return;
        }
        // SAFETY: ended, and no handle any more; the result is dropped unless it was taken.
        unsafe {
            if !self.is_taken() {
                (task.vtable.drop_result)(task);
            }
            free(task);
        }
    }
}
