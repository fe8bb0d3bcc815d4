//! The root task, which runs on the thread's own stack: entering a scheduler, leaving it, and
//! ending all that lives in it.
//!
//! Tasks outlive the root: they stand still until the scheduler is entered again. What ends them is
//! `shut_down`, which cancels all and runs them until each has unwound.

use super::task::{self, State, Task, TaskVtable};
use super::wait::{self, WaitKind};
use super::{CURRENT, Scheduler, spawn};
use crate::arch::{self, Context};
use std::cell::{Cell, UnsafeCell};
use std::thread;

impl Scheduler {
    /// Runs `function` as the root task, on the calling thread's own stack.
    ///
    /// # Panics
    /// When the thread runs a scheduler already; and with the panic of `function`.
    pub(crate) fn enter<T>(&self, function: impl FnOnce() -> T) -> T {
        assert!(
            CURRENT.get().is_null(),
            "cove::run was called inside a runtime; use cove::spawn or cove::scope there"
        );
        self.enter_nested(function)
    }

    /// As `enter`, also while another scheduler is running on this thread, which then stands still.
    fn enter_nested<T>(&self, function: impl FnOnce() -> T) -> T {
        self.notice_fork();
        assert!(self.root.get().is_null(), "a scheduler is entered while it is running");
        let root = Task::root(self, self.next_id());
        self.root.set(&raw const root);
        self.current.set(&raw const root);
        self.count_switch();
        self.entered_panicking.set(thread::panicking());
        let _leave = Leave { scheduler: self, outer: CURRENT.replace(self) };
        function()
    }

    /// Runs what other threads send, until one of them sends `Shutdown`.
    pub(crate) fn serve(&self) {
        self.enter(|| {
            while !self.shutting_down.get() {
                self.park(WaitKind::Shutdown, wait::NEVER);
            }
        });
    }

    /// Another thread asks for the end of `serve`.
    pub(super) fn stop_serving(&self) {
        self.shutting_down.set(true);
        self.wake_root_for_shutdown();
    }

    /// Wakes the root if it waits for the end of the others.
    pub(super) fn wake_root_for_shutdown(&self) {
        // SAFETY: the root is live while it is set.
        if let Some(root) = unsafe { self.root.get().as_ref() } {
            if root.kind.get() == WaitKind::Shutdown {
                self.wake(root, task::Woken::Ready);
            }
        }
    }

    /// Ends every task: cancels all and runs them until they have unwound. New ones end unstarted.
    ///
    /// False if `deadline_ns` passed first; then the tasks that are left must never run again, and
    /// so the scheduler must be leaked. A task that does not wait cannot be interrupted.
    pub(crate) fn shut_down(&self, deadline_ns: u64) -> bool {
        self.shutting_down.set(true);
        let ended = self.enter_nested(|| {
            self.for_each_task(|task| self.cancel(task));
            self.current_task().set(task::flag::MASKED);
            while self.live() > 0 {
                let woken = self.park(WaitKind::Shutdown, deadline_ns);
                if woken == task::Woken::TimedOut && self.live() > 0 {
                    return false;
                }
            }
            true
        });
        drop(self.shared.inbox.close());
        ended
    }
}

/// Ends the root task's time when its function ends, by whatever way.
struct Leave<'a> {
    scheduler: &'a Scheduler,
    outer: *const Scheduler,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let root = self.scheduler.root.get();
        let in_place = self.scheduler.current.get() == root
            && std::ptr::eq(CURRENT.get(), self.scheduler)
            && !root.is_null();
        if !in_place {
            left_elsewhere();
        }
        let root = self.scheduler.current_task();
        if root.extra().is_some() {
            spawn::drop_extra(root);
        }
        self.scheduler.root.set(std::ptr::null());
        self.scheduler.current.set(std::ptr::null());
        CURRENT.set(self.outer);
    }
}

/// Ends the process: the frame of `enter` is left by another task than the one that entered it, so
/// that the root task would be gone while it waits.
#[cold]
fn left_elsewhere() -> ! {
    eprintln!(
        "cove: a Coroutine that suspended inside a runtime's `run` was resumed or dropped outside \
         it. Aborting."
    );
    std::process::abort()
}

impl Task {
    /// The root task: on the thread's own stack, in no table.
    fn root(scheduler: &Scheduler, id: u64) -> Task {
        static VTABLE: TaskVtable = TaskVtable {
            main: root_main,
            discard: |_| unreachable!("the root task is running from the start"),
            take: |_, _| unreachable!("the root task has no handle"),
            drop_result: |_| unreachable!("the root task has no result"),
            function: || "root",
            block_bytes: 0,
        };
        Task {
            context: Cell::new(Context::NONE),
            scheduler,
            vtable: &VTABLE,
            id,
            slot: u32::MAX,
            errno: Cell::new(0),
            state: Cell::new(State::Running),
            flags: Cell::new(task::flag::STARTED),
            woken: Cell::new(task::Woken::Ready),
            kind: Cell::new(wait::WaitKind::None),
            has_handle: Cell::new(true),
            home: Cell::new(task::Home { none: () }),
            timer: UnsafeCell::new(crate::timer::Timer::new()),
            waiter: wait::Waiter::of_task(),
            joiners: wait::Chain::new(),
            extra: Cell::new(std::ptr::null_mut()),
        }
    }
}

/// Takes the place of the root task's first function.
///
/// # Safety
/// None: it only panics.
unsafe extern "C" fn root_main(_task: *mut u8, _value: arch::Value) -> ! {
    unreachable!("the root task is running from the start")
}
