//! Waiting while the thread unwinds: the task whose destructors run has the thread to itself.
//!
//! std counts panics by thread, so another task would see itself panicking; therefore none runs,
//! though timers, descriptors and other threads' messages are attended to. A task that waits then
//! for what only another task of its thread could give waits for ever. That cannot be told from a
//! wait that is merely long; so one that has lasted for [`PATIENCE_NS`] is told to the person who
//! looks at stderr, once.

use super::Scheduler;
use super::look::words;
use super::task::{State, Task};
use super::wait::{NEVER, WaitKind};
use crate::arch;
use crate::stack;
use crate::sys;
use std::cell::Cell;

/// How long a task may wait alone before something is said: longer than any wait that a server can
/// afford with all its other coroutines standing still.
const PATIENCE_NS: u64 = 5_000_000_000;

/// Who has the thread to itself.
pub(super) struct Alone {
    /// The task that alone may run, or null.
    pub(super) task: Cell<*const Task>,
    /// When its present wait is to be told of; [`NEVER`] once it has been.
    report_ns: Cell<u64>,
}

impl Alone {
    /// Nobody.
    pub(super) const fn new() -> Alone {
        Alone { task: Cell::new(std::ptr::null()), report_ns: Cell::new(NEVER) }
    }

    /// Until when the thread may sleep without a word about the wait of who has it to itself.
    pub(super) fn report_due_ns(&self) -> Option<u64> {
        let due_ns = self.report_ns.get();
        (!self.task.get().is_null() && due_ns != NEVER).then_some(due_ns)
    }
}

impl Scheduler {
    /// Parks while the thread is unwinding: the loop runs this task and no other.
    #[cold]
    pub(super) fn park_alone(&self, me: &Task, kind: WaitKind, deadline_ns: u64) {
        let report_ns = sys::clock::monotonic_ns().saturating_add(PATIENCE_NS);
        let outer = self.alone.task.replace(me);
        let outer_ns = self.alone.report_ns.replace(report_ns);
        self.budget.set(0);
        let departure = self.depart(me, kind, deadline_ns);
        // SAFETY: `depart` gave the place of the running task's context, which is live, and a
        // context that is suspended: the loop's, since the budget is spent. It is entered once.
        unsafe { arch::switch(departure.from.as_ptr(), departure.to, 0) };
        self.alone.task.set(outer);
        self.alone.report_ns.set(outer_ns);
    }

    /// Whether no task can run.
    pub(super) fn choose_is_empty(&self) -> bool {
        let alone = self.alone.task.get();
        if alone.is_null() {
            return self.queue.is_empty();
        }
        // SAFETY: the task that waits alone is live.
        unsafe { (*alone).state.get() != State::Ready }
    }

    /// The task that alone may run, if it is ready; the others keep their order.
    #[cold]
    pub(super) fn choose_alone(&self, alone: *const Task) -> Option<&Task> {
        let mut found = None;
        for _ in 0..self.queue.len() {
            let task = self.queue.pop();
            if task == alone {
                // SAFETY: what is in the queue is live.
                found = Some(unsafe { &*task });
            } else {
                self.queue.push(task);
            }
        }
        // It keeps the thread to itself until it has unwound: no direct switches meanwhile.
        self.budget.set(0);
        found
    }

    /// Tells of the wait of the task that has the thread to itself, if that lasts too long.
    #[cold]
    pub(super) fn report_alone(&self) {
        let Some(due_ns) = self.alone.report_due_ns() else { return };
        if sys::clock::monotonic_ns() < due_ns {
            return;
        }
        self.alone.report_ns.set(NEVER);
        // SAFETY: the task that waits alone is live.
        let task = unsafe { &*self.alone.task.get() };
        let mut name = String::new();
        // Writing to a String does not fail.
        let _ = task.write_name(&mut name);
        stack::say(format_args!(
            "{name} has waited in a destructor for {} s while it unwinds, for: {}. It keeps thread \
             {} to itself meanwhile, so if what it waits for must come from another coroutine of \
             the thread, it waits for ever. Let no destructor wait for coroutines of its own \
             thread; see \"Destructors that wait\" in the documentation of cove::task",
            PATIENCE_NS / 1_000_000_000,
            words(task.kind.get()),
            self.shared.thread_id(),
        ));
    }
}
