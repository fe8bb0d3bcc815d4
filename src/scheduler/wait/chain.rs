//! The tasks that wait for another one to end.

use super::waiter::Waiter;
use crate::list::Link;
use crate::scheduler::Scheduler;
use crate::scheduler::task::{Task, Woken};
use std::cell::Cell;
use std::ptr::NonNull;

/// Tasks of one thread that wait for the same thing, newest first: one word, for the control block,
/// where nearly always one task waits and hardly ever more than two. A waiter's own link serves as
/// the pointer to the next.
pub(crate) struct Chain {
    head: Cell<*const Waiter>,
}

impl Chain {
    pub(crate) const fn new() -> Chain {
        Chain { head: Cell::new(std::ptr::null()) }
    }

    fn next(waiter: &Waiter) -> *mut *const Waiter {
        waiter.link.get().cast()
    }

    /// Adds a waiter.
    ///
    /// # Safety
    /// The waiter is a task's, not linked, and stays where it is until it is removed or woken.
    pub(crate) unsafe fn push(&self, waiter: &Waiter) {
        // SAFETY: an unlinked waiter's link is free for use, and has room for a pointer.
        unsafe { Self::next(waiter).write(self.head.get()) };
        self.head.set(waiter);
    }

    /// Takes a waiter out, if it is there. Cost: linear in the number of waiters.
    pub(crate) fn remove(&self, waiter: &Waiter) {
        let mut place = self.head.as_ptr();
        // SAFETY: each place is the head or inside a waiter that is in the chain, thus live.
        unsafe {
            while !(*place).is_null() {
                if std::ptr::eq(*place, waiter) {
                    *place = *Self::next(waiter);
                    waiter.link.get().write(Link::new());
                    return;
                }
                place = Self::next(&**place);
            }
        }
    }

    /// Empties the chain, waking no one, in a forked child that has none of those who wait.
    pub(in crate::scheduler) fn forget(&self) {
        self.head.set(std::ptr::null());
    }

    /// Empties the chain, waking every task in it.
    #[inline]
    pub(crate) fn wake_all(&self, scheduler: &Scheduler) {
        let mut first = self.head.replace(std::ptr::null());
        while let Some(waiter) = NonNull::new(first.cast_mut()) {
            // SAFETY: waiters in a chain are live, and those of tasks of this thread.
            unsafe {
                first = *Self::next(waiter.as_ref());
                waiter.as_ref().link.get().write(Link::new());
                scheduler.wake(Task::of_waiter(waiter), Woken::Ready);
            }
        }
    }
}
