//! What becomes of a scheduler in a child of fork(2).
//!
//! The child has one thread, the one that called fork, and it goes on with the coroutine that did:
//!
//! | of the parent | in the child |
//! |---|---|
//! | the coroutine that forked | goes on |
//! | the others of its thread | abandoned: never run, never dropped; joining gives `Cancelled` |
//! | other workers, threads for blocking work | do not exist |
//! | timers, queued wake-ups, unstarted closures | forgotten |
//! | epoll instance and bell | replaced under their numbers; the parent's are not touched |
//! | registered descriptors | register again when they next have to wait |
//!
//! All of this happens in the handler of pthread_atfork(3), before fork returns. It is
//! async-signal-safe, as it must be where the parent has other threads: it makes system calls and
//! writes to what belongs to this thread alone, and it neither locks nor allocates nor frees. Tasks
//! that are abandoned are not even touched, lest the child copy a page for each of a million.
//!
//! A scheduler that was not running when its thread forked is made anew in the same way, with no
//! survivor, when it is next entered: it belongs to an older *generation* of the process.
//!
//! Where the root is among the abandoned, there is nothing to go back to: when the survivor, and
//! all that it has spawned, have ended, the child exits (with 101 if the survivor panicked), as a
//! forked thread's child does when its last thread ends.
//!
//! vfork(2), posix_spawn(3) and the raw system call run no handlers; nothing but exec may follow.

use super::task::Task;
use super::{Scheduler, pool};
use crate::reactor::Reactor;
use crate::sys;
use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// How many forks lie between the first process with this memory and the present one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Whether the handler is registered.
static WATCHING: AtomicBool = AtomicBool::new(false);

/// Tells processes apart that are forks of one another.
#[inline(always)]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Has the handler called in every child from now on.
///
/// # Errors
/// `OutOfMemory`.
pub(super) fn watch() -> io::Result<()> {
    if WATCHING.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    // SAFETY: the handler is async-signal-safe and does not unwind.
    let registered = unsafe { sys::process::at_fork(None, None, Some(in_child)) };
    WATCHING.store(registered.is_ok(), Ordering::Relaxed);
    registered
}

/// Called in the child, on its only thread, before fork(2) returns there.
///
/// # Safety
/// Nothing but fork(2) calls it.
unsafe extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    pool::reset_after_fork();
    if let Some(scheduler) = Scheduler::current() {
        // SAFETY: errno belongs to this thread.
        unsafe {
            let errno = *scheduler.errno;
            scheduler.survive_fork();
            *scheduler.errno = errno;
        }
    }
}

/// What a scheduler remembers of the fork that its process began with.
#[derive(Default)]
pub(super) struct Forked {
    /// Tasks with smaller ids are abandoned, but for the survivor.
    first_id: Cell<u64>,
    survivor_id: Cell<u64>,
    /// The root is among the abandoned.
    orphaned: Cell<bool>,
    survivor_panicked: Cell<bool>,
}

impl Scheduler {
    /// Whether the task is one that this process, a forked child, does not have.
    #[inline(always)]
    pub(crate) fn is_abandoned(&self, task: &Task) -> bool {
        task.id < self.forked.first_id.get() && task.id != self.forked.survivor_id.get()
    }

    /// Begins anew if the process is a fork of the one in which the scheduler was last running.
    pub(super) fn notice_fork(&self) {
        if self.shared.is_of_parent() {
            self.survive_fork();
        }
    }

    /// Abandons all tasks but the current one, if there is one, and everything that is shared with
    /// the parent. Async-signal-safe.
    fn survive_fork(&self) {
        let survivor = self.current.get();
        // SAFETY: fork is called by a task, not by the loop or anything of the scheduler's, so that
        // nobody is in the middle of one of these; and the current task is live.
        unsafe {
            (*self.slots.get()).forget_others(survivor);
            (*self.wheel.get()).forget_all();
            (*self.reactor.get()).reset();
            (*self.shared_stacks.get()).forget_others(survivor);
            if let Some(survivor) = survivor.as_ref() {
                survivor.joiners.forget();
                self.forked.survivor_id.set(survivor.id);
            }
        }
        self.queue.forget();
        self.forked.first_id.set(self.ids.get().0);
        if self.alone.task.get() != survivor {
            self.alone.task.set(std::ptr::null());
        }
        if self.root.get() != survivor {
            self.root.set(std::ptr::null());
            self.forked.orphaned.set(true);
        }
        // Direct switches read the queue only, but the loop has much to look at again.
        self.budget.set(0);
        self.registration.forget_pins();
        let shared = &self.shared;
        shared.inbox.forget();
        shared.generation.store(generation(), Ordering::Relaxed);
        shared.thread_id.store(sys::thread::gettid(), Ordering::Relaxed);
        // If there is no descriptor left for them, the next wait says so.
        let _ = shared.epoll.replace();
        let _ = shared.inbox.bell().replace();
        let _ = Reactor::listen(&shared.epoll, shared.inbox.bell());
    }

    /// Notes that the task's closure ended by a panic, should the exit status depend on it.
    #[cold]
    pub(crate) fn note_failure(&self, task: &Task) {
        if task.id == self.forked.survivor_id.get() {
            self.forked.survivor_panicked.set(true);
        }
    }

    /// Ends a forked child that has neither a root nor any other task left.
    pub(super) fn exit_if_orphaned(&self) {
        if self.forked.orphaned.get() && self.live() == 0 && self.root.get().is_null() {
            std::process::exit(if self.forked.survivor_panicked.get() { 101 } else { 0 });
        }
    }
}
