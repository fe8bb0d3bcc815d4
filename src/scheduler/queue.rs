//! The run queue: a ring of tasks, first in, first out.
//!
//! A ring, not a list through the control blocks, so that the tasks some places ahead are known and
//! their cache lines can be asked for before their turn: over a million stacks every switch would
//! otherwise wait for memory.
//!
//! A task stands in it at most once, so room for all live tasks is enough; it is made when a task
//! is spawned, where failure can be reported, and a push never allocates.

use super::task::{Task, flag};
use crate::arch;
use std::cell::Cell;
use std::collections::TryReserveError;

/// How many places ahead a task's control block is asked for, and how many ahead, the block having
/// arrived, the frame at its stack pointer. Measured: see ARCHITECTURE.md, "Prefetching".
const BLOCK_AHEAD: usize = 8;
const FRAME_AHEAD: usize = 4;

/// The ring's length at the start.
const CAPACITY_MIN: usize = 64;

/// The tasks that are ready to run.
pub(crate) struct RunQueue {
    ring: Cell<*mut *const Task>,
    /// The ring's length less one; the length is a power of two.
    mask: Cell<usize>,
    head: Cell<usize>,
    tail: Cell<usize>,
}

impl RunQueue {
    pub(crate) fn new() -> Result<RunQueue, TryReserveError> {
        let queue = RunQueue {
            ring: Cell::new(std::ptr::null_mut()),
            mask: Cell::new(0),
            head: Cell::new(0),
            tail: Cell::new(0),
        };
        queue.grow(CAPACITY_MIN)?;
        Ok(queue)
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.tail.get().wrapping_sub(self.head.get())
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.tail.get() == self.head.get()
    }

    /// Forgets all, in a forked child that has none of them.
    pub(super) fn forget(&self) {
        self.head.set(self.tail.get());
    }

    /// Makes room for `tasks` tasks in all.
    #[inline]
    pub(crate) fn reserve(&self, tasks: usize) -> Result<(), TryReserveError> {
        if self.is_empty() {
            // Those who spawn and run a few at a time stay in the part that is in the cache.
            self.head.set(0);
            self.tail.set(0);
        }
        if tasks > self.mask.get() { self.grow(tasks + 1) } else { Ok(()) }
    }

    #[cold]
    fn grow(&self, tasks: usize) -> Result<(), TryReserveError> {
        let length = tasks.next_power_of_two();
        let mut ring: Vec<*const Task> = Vec::new();
        ring.try_reserve_exact(length)?;
        let waiting = self.len();
        for place in 0..waiting {
            ring.push(self.at(self.head.get().wrapping_add(place)));
        }
        self.free();
        self.ring.set(std::mem::ManuallyDrop::new(ring).as_mut_ptr());
        self.mask.set(length - 1);
        self.head.set(0);
        self.tail.set(waiting);
        Ok(())
    }

    fn free(&self) {
        if !self.ring.get().is_null() {
            // SAFETY: the ring came from a vector with exactly this capacity, in `grow`.
            drop(unsafe { Vec::from_raw_parts(self.ring.get(), 0, self.mask.get() + 1) });
        }
    }

    #[inline(always)]
    fn at(&self, place: usize) -> *const Task {
        // SAFETY: masked to the ring's length; places that were never written are read as pointers
        // only for prefetching, and `head..tail` has been written.
        unsafe { *self.ring.get().add(place & self.mask.get()) }
    }

    /// Appends a task, for which `reserve` made room.
    #[inline(always)]
    pub(crate) fn push(&self, task: *const Task) {
        debug_assert!(self.len() <= self.mask.get());
        let tail = self.tail.get();
        // SAFETY: masked to the ring's length, which `reserve` has made greater than the number of
        // live tasks, each of which stands in it at most once.
        unsafe { *self.ring.get().add(tail & self.mask.get()) = task };
        self.tail.set(tail.wrapping_add(1));
    }

    /// Takes the first task and asks for the memory of those that follow. Must not be empty.
    #[inline(always)]
    pub(crate) fn pop(&self) -> *const Task {
        debug_assert!(!self.is_empty());
        let head = self.head.get();
        let task = self.at(head);
        self.head.set(head.wrapping_add(1));
        let waiting = self.tail.get().wrapping_sub(head);
        if waiting > BLOCK_AHEAD {
            self.look_ahead(head);
        }
        task
    }

    #[inline(always)]
    fn look_ahead(&self, head: usize) {
        let far = self.at(head.wrapping_add(BLOCK_AHEAD));
        arch::prefetch(far.cast());
        // SAFETY: the queue is longer than this place, and the tasks in it are live.
        let near = unsafe { &*self.at(head.wrapping_add(FRAME_AHEAD)) };
        if near.has(flag::AWAY) {
            // SAFETY: only tasks on shared stacks are ever away.
            let saved = unsafe { near.home.get().shared.saved };
            arch::prefetch(saved);
            arch::prefetch(saved.wrapping_add(64));
        } else {
            arch::prefetch(near.context.get().0);
        }
    }
}

impl Drop for RunQueue {
    fn drop(&mut self) {
        self.free();
    }
}
