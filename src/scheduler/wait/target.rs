//! Whom to wake, wherever that is.

use crate::primitive::thread;
use crate::scheduler::task::Woken;
use crate::scheduler::{Remote, Scheduler};
use std::sync::Arc;

/// Whom a foreign waiter or a selection wakes.
#[derive(Clone)]
pub(crate) enum Target {
    /// A plain thread, parked in std's way.
    Thread(thread::Thread),
    /// A task, by what other threads may know of it.
    Task(Remote),
}

impl Target {
    /// Who is running: the current task, or on a thread without a scheduler the thread itself.
    pub(crate) fn current() -> Target {
        match Scheduler::current() {
            Some(scheduler) => Target::Task(Remote::of(scheduler.current_task())),
            None => Target::Thread(thread::current()),
        }
    }

    /// Wakes it: at once if it is a task of this very thread.
    pub(in crate::scheduler) fn wake(&self) {
        match self {
            Target::Thread(thread) => thread.unpark(),
            Target::Task(remote) => match Scheduler::current() {
                Some(scheduler) if Arc::ptr_eq(&scheduler.shared, &remote.shared) => {
                    if let Some(task) = scheduler.find(remote.slot, remote.id) {
                        scheduler.wake(task, Woken::Ready);
                    }
                }
                _ => remote.wake(),
            },
        }
    }
}
