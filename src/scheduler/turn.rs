//! The loop: one turn after another on a stack of its own, whenever no task can simply follow
//! another.
//!
//! ```text
//!   turn:  give back an ended task's memory
//!          a popped task is away?  ->  bring its stack in, enter it
//!          other threads' messages, due timers, the kernel's events
//!          a closure of this worker's queue is started
//!          a task is ready?        ->  enter it (directly from task to task from then on)
//!          nothing to do           ->  start a closure of another worker's queue, else sleep in
//!                                      epoll until the next deadline or for ever
//! ```
//!
//! The kernel is asked only if a descriptor is registered, the clock only if a timer is armed.
//! There is no tick: with nothing due, a sleeping runtime makes no system call at all.

use super::inbox::Message;
use super::switch::BUDGET;
use super::task::{Task, Woken, flag};
use super::{Scheduler, count, wait};
use crate::arch;
use crate::stack;
use crate::sys;
use std::cell::Cell;

/// The time over which timers are counted.
const PACE_WINDOW_NS: u64 = 1_000_000;

/// So many timers in a window are a crowd.
const CROWD: u32 = 64;

/// How much longer a sleep may last while a crowd of timers fires.
const SLACK_NS: u64 = 250_000;

/// How fast timers fire. A sleep and a wake-up take the thread some microseconds; when timers come
/// by the thousand in each millisecond, sleeping until the next one, again and again, takes longer
/// than what they do. So then they are waited for by the quarter of a millisecond.
#[derive(Default)]
pub(super) struct Pace {
    window_ns: Cell<u64>,
    /// Timers in the present window, and in the one before it.
    fired: Cell<(u32, u32)>,
}

impl Pace {
    /// Counts timers that have fired.
    pub(super) fn note(&self, now_ns: u64, timers: u32) {
        self.turn_to(now_ns);
        let (present, before) = self.fired.get();
        self.fired.set((present.saturating_add(timers), before));
    }

    fn turn_to(&self, now_ns: u64) {
        let windows = now_ns.saturating_sub(self.window_ns.get()) / PACE_WINDOW_NS;
        if windows > 0 {
            self.window_ns.set(now_ns);
            self.fired.set((0, if windows == 1 { self.fired.get().0 } else { 0 }));
        }
    }

    /// How much longer than until the next timer a sleep may last.
    fn slack_ns(&self, now_ns: u64) -> u64 {
        self.turn_to(now_ns);
        let (present, before) = self.fired.get();
        if present.max(before) >= CROWD { SLACK_NS } else { 0 }
    }
}

impl Scheduler {
    /// Lays out the loop's context.
    pub(super) fn prepare_loop(&self) {
        let stack = &self.loop_stack.0;
        let argument = (&raw const *self).cast_mut().cast();
        // SAFETY: the stack is the scheduler's own and lives as long as it does.
        let context = unsafe {
            arch::prepare(stack.top().as_ptr(), || stack.limit().as_ptr(), main, argument)
        };
        self.loop_context.set(context);
    }

    /// Prepares for the next task to be entered, sleeping if there is none.
    fn turn(&self) -> &Task {
        count(&self.counters.turns);
        if let Some(visitor) = self.visited() {
            return visitor;
        }
        self.hide_checked();
        self.free_ended();
        let handoff = self.handoff.replace(std::ptr::null());
        if !handoff.is_null() {
            // SAFETY: popped from the queue a moment ago, so it is live and ready.
            if let Some(task) = self.bring_in(unsafe { &*handoff }) {
                return task;
            }
        }
        let mut was_claimed = false;
        loop {
            self.receive();
            self.answer_dump_request();
            self.fire_timers();
            let alone = !self.alone.task.get().is_null();
            if !alone {
                self.start_queued();
            }
            if !self.choose_is_empty() {
                if was_claimed {
                    self.pass_on();
                }
            } else if alone || !self.steal() {
                was_claimed = self.sleep(alone);
                continue;
            }
            self.poll(Some(0));
            self.budget.set(BUDGET);
            if let Some(task) = self.choose() {
                return task;
            }
        }
    }

    /// The next task that can run, its stack in place.
    fn choose(&self) -> Option<&Task> {
        let alone = self.alone.task.get();
        if !alone.is_null() {
            return self.choose_alone(alone);
        }
        if self.queue.is_empty() {
            return None;
        }
        // SAFETY: what is in the queue is live.
        let task = unsafe { &*self.queue.pop() };
        if task.has(flag::AWAY) { self.bring_in(task) } else { Some(task) }
    }

    /// Takes the messages of other threads.
    fn receive(&self) {
        if self.shared.inbox.is_empty() {
            return;
        }
        self.shared.inbox.drain(|message| {
            count(&self.counters.remote_messages);
            match message {
                Message::Wake { slot, id } => {
                    if let Some(task) = self.find(slot, id) {
                        // A remote `unpark` leaves its token; a wake-up for a wait that has passed
                        // is spurious, which every wait allows for.
                        task.set(flag::TOKEN);
                        self.wake(task, Woken::Ready);
                    }
                }
                Message::Cancel { slot, id } => {
                    if let Some(task) = self.find(slot, id) {
                        self.cancel(task);
                    }
                }
                Message::Run(closure) => closure(),
                Message::Release { token } => {
                    // SAFETY: the reactor is borrowed for this call only.
                    unsafe { (*self.reactor.get()).release(token) }
                }
                Message::Shutdown => self.stop_serving(),
            }
        });
    }

    /// The live task that other threads know by `slot` and `id`.
    pub(crate) fn find(&self, slot: u32, id: u64) -> Option<&Task> {
        if slot == u32::MAX {
            // SAFETY: the root task is live while it is set.
            return unsafe { self.root.get().as_ref() }.filter(|root| root.id == id);
        }
        // SAFETY: a short look at the thread's own table; the task in it is live.
        unsafe { (*self.slots.get()).find(slot, id) }
    }

    /// Asks the kernel what has become ready, and wakes who waits for it.
    fn poll(&self, timeout_ns: Option<u64>) {
        let reactor = self.reactor.get();
        // SAFETY: the reactor is borrowed for one call at a time. Its waiters are those of live
        // tasks of this thread, which waking does not run.
        unsafe {
            if timeout_ns == Some(0) && (*reactor).is_idle() {
                return;
            }
            count(&self.counters.polls);
            let (epoll, bell) = (&self.shared.epoll, self.shared.inbox.bell());
            let outcome = (*reactor).poll(epoll, bell, timeout_ns, |link| wait::notify_link(link));
            assert!(outcome.is_ok(), "epoll_wait failed: {outcome:?}");
        }
    }

    /// Sleeps until a descriptor is ready, a timer is due or another thread rings, unless there is
    /// something to do now. One task may wait `alone`; then this worker starts no closures. True if
    /// it was woken for a closure.
    fn sleep(&self, alone: bool) -> bool {
        self.exit_if_orphaned();
        if alone {
            self.shared.inbox.sleep(|| self.wait_for_events());
            self.report_alone();
            return false;
        }
        self.sleep_in_crew(|| self.wait_for_events())
    }

    /// Sleeps; also until memory of stacks that nobody needs any longer is due to go back, or
    /// somebody is to hear that a task has the thread to itself.
    fn wait_for_events(&self) {
        let trim_due_ns = stack::with_pool(|pool| pool.trim_due_ns());
        let dues_ns = [self.next_expiry_ns(), trim_due_ns, self.alone.report_due_ns()];
        let timeout_ns = dues_ns.into_iter().flatten().min().map(|due_ns| {
            let now_ns = sys::clock::monotonic_ns();
            let slack_ns = self.pace.slack_ns(now_ns);
            due_ns.saturating_add(slack_ns).saturating_sub(now_ns)
        });
        count(&self.counters.sleeps);
        self.poll(timeout_ns);
        if trim_due_ns.is_some() {
            stack::with_pool(|pool| pool.trim_due());
        }
    }

    /// Gives back the memory of a task that ended without a handle.
    fn free_ended(&self) {
        let ended = self.ended.replace(std::ptr::null());
        if !ended.is_null() {
            // SAFETY: the task has left its stack for good, after dropping its result, and no
            // handle refers to it.
            unsafe { self.free(ended) };
        }
    }
}

/// The first and only function on the loop's stack.
///
/// # Safety
/// `scheduler` is the scheduler that owns the stack.
unsafe extern "C" fn main(scheduler: *mut u8, _value: arch::Value) -> ! {
    // SAFETY: as the caller says; it outlives its loop.
    let scheduler = unsafe { &*scheduler.cast::<Scheduler>() };
    loop {
        let task = scheduler.turn();
        let context = scheduler.start(task);
        // Canaries are looked at here, so with these every task comes back here when it stops.
        let has_canaries = stack::has_canaries();
        if has_canaries {
            scheduler.budget.set(0);
        }
        // Asked before: a root has perhaps returned, and another one stopped, when we are back.
        let is_watched = has_canaries && task.private_stack().is_some();
        // SAFETY: the task is ready and its stack is in place; the loop is entered again through
        // the context saved here.
        unsafe { arch::switch(scheduler.loop_context.as_ptr(), context, 0) };
        if is_watched {
            scheduler.check_canary(task);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowds_get_slack_and_few_timers_none() {
        // Goal: slack begins with a crowd, and ends when a whole window has passed without one.
        // Method: counts and times around the borders.
        let pace = Pace::default();
        let start_ns = 10 * PACE_WINDOW_NS;
        pace.note(start_ns, CROWD - 1);
        assert_eq!(pace.slack_ns(start_ns), 0);
        pace.note(start_ns + 1, 1);
        assert_eq!(pace.slack_ns(start_ns + 1), SLACK_NS);
        assert_eq!(pace.slack_ns(start_ns + PACE_WINDOW_NS), SLACK_NS);
        assert_eq!(pace.slack_ns(start_ns + 2 * PACE_WINDOW_NS), 0);
        pace.note(start_ns + 3 * PACE_WINDOW_NS, CROWD);
        assert_eq!(pace.slack_ns(start_ns + 5 * PACE_WINDOW_NS), 0);
    }
}
