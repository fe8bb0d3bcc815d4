//! The handle by which a task's result is taken.

use super::free;
use crate::scheduler::task::{State, Task, Woken};
use crate::scheduler::wait::{NEVER, WaitKind};
use crate::scheduler::{Scheduler, unwind};
use std::ptr::NonNull;
use std::thread;

/// The right to a task's result. Dropping it detaches the task.
pub(crate) struct RawHandle {
    pub(super) task: NonNull<Task>,
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
