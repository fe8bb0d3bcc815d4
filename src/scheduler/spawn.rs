//! Making a task: its block with the closure in it, its stack, its first frame; ending it; and the
//! handle by which its result is taken.
//!
//! Nothing is allocated but the stack (or, for a shared stack, one block): the closure lies in the
//! block and is replaced by the result. A closure or result too large, or too strictly aligned, for
//! that is boxed.
//!
//! | file | holds |
//! |---|---|
//! | `block.rs` | the block, and what runs on the task's stack |
//! | `error.rs` | why a task could not be made |
//! | `handle.rs` | waiting for a task and taking its result |

mod block;
mod error;
mod handle;

use super::task::{Home, SharedHome, State, Task, flag};
use super::{Scheduler, count, saver};
use crate::arch::{self, Context, Entry};
use crate::stack::{self, STACK_BYTES_MIN, Stack};
use block::{Block, Boxed, Form, Plain};
use std::mem::{align_of, size_of};
use std::ptr::NonNull;
use std::sync::Arc;

pub(super) use block::drop_extra;
pub(crate) use error::SpawnError;
pub(crate) use handle::RawHandle;

/// The share of a stack, as a divisor, that a task's block may take before its parts are boxed.
const BLOCK_SHARE: usize = 4;

/// The largest block of a task on a shared stack; the parts of a larger one are boxed.
const SHARED_BLOCK_BYTES_MAX: usize = size_of::<Task>() + 1024;

/// The strictest alignment of a block on a stack: that of values which have a pair of cache lines
/// for themselves. What is aligned beyond it would be so in all frames between the block and the
/// closure's own.
const BLOCK_ALIGN_MAX: usize = 128;

/// Whether a block of this type, with closure and result in it, may lie where its task's blocks do.
/// A block whose parts are boxed always may.
///
/// What counts is the block's size and alignment, since those of its parts need not tell: a type
/// without a size may have any alignment.
#[inline(always)]
fn fits<B>(shared: bool, stack_bytes: usize) -> bool {
    if shared {
        size_of::<B>() <= SHARED_BLOCK_BYTES_MAX && align_of::<B>() <= saver::ALIGN
    } else {
        let bytes_max = stack_bytes.max(STACK_BYTES_MIN) / BLOCK_SHARE;
        align_of::<B>() <= BLOCK_ALIGN_MAX && size_of::<B>() + align_of::<B>() <= bytes_max
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
    ) -> Result<RawHandle, SpawnError>
    where
        F: FnOnce() -> T,
    {
        let stack_bytes = options.stack_bytes.unwrap_or(self.config.stack_bytes);
        // SAFETY: as the caller says. The handle reads the result through the vtable, which knows
        // in which form it is kept.
        unsafe {
            if fits::<Block<F, T, Plain>>(options.shared, stack_bytes) {
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
    ) -> Result<RawHandle, SpawnError>
    where
        F: FnOnce() -> T,
        R: Form<T>,
    {
        let slots = self.slots.get();
        // SAFETY: the table is borrowed for short calls that run nothing of the user's.
        unsafe {
            let tasks = (*slots).len() + 2;
            (*slots).reserve().map_err(|_| SpawnError::table(tasks))?;
            self.queue.reserve(tasks).map_err(|_| SpawnError::table(tasks))?;
        }
        let (block, home, context, flags) =
            self.place::<Block<F, T, R>>(&options, stack_bytes, Block::<F, T, R>::main)?;
        // SAFETY: `place` gave memory for a block of these types.
        unsafe {
            let slot = (*slots).next();
            let id = self.next_id();
            Task::init(
                &raw mut (*block.as_ptr()).task,
                self,
                &Block::<F, T, R>::VTABLE,
                (id, slot),
                (context, home, flags),
            );
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
    ) -> Result<(NonNull<B>, Home, Context, u8), SpawnError> {
        let cancel = if self.shutting_down.get() { flag::CANCEL } else { 0 };
        if options.shared {
            return self.place_shared(cancel);
        }
        let stack = stack::with_pool(|pool| pool.take(stack_bytes))?;
        let top = stack.top().as_ptr();
        debug_assert!(fits::<B>(false, stack_bytes), "a block leaves most of the stack free");
        let align = align_of::<B>().max(64);
        let address = (top as usize - size_of::<B>()) & !(align - 1);
        let block = top.wrapping_sub(top as usize - address);
        // SAFETY: the block, with what its alignment leaves free above it, takes little more than a
        // quarter of the stack (its parts were boxed otherwise), is aligned for its types and for a
        // frame below it, and the stack stays until `free`.
        let context = unsafe { arch::prepare(block, || stack.limit().as_ptr(), main, block) };
        let home = Home { private: stack.into_raw() };
        // SAFETY: inside the stack, so not null.
        Ok((unsafe { NonNull::new_unchecked(block.cast()) }, home, context, cancel))
    }

    fn place_shared<B>(&self, flags: u8) -> Result<(NonNull<B>, Home, Context, u8), SpawnError> {
        let stack = self.shared_stack()?;
        debug_assert!(fits::<B>(true, 0), "a piece of the saver has the size and the alignment");
        let block =
            saver::take(size_of::<B>()).ok_or_else(|| SpawnError::block(saver::CHUNK_BYTES))?;
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
