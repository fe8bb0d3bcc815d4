//! Leaving a task and entering the next one: park, yield, end; and making a task runnable.
//!
//! A task that stops switches directly to the next ready one: one switch, not two. The loop, on its
//! own stack, is entered only when there is none, when the next one's stack must be brought in
//! first, when an ended task's memory is to be given back, or when [`BUDGET`] direct switches have
//! passed, after which timers, other threads and the kernel get their turn.

use super::Scheduler;
use super::task::{State, Task, Woken, flag};
use super::wait::{NEVER, WaitKind};
use crate::arch::{self, Context};
use crate::sys;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::thread;

/// Direct switches between two looks at the timers and the kernel: a busy runtime answers within
/// this many switches. A prime, so that it does not fall into step with the tasks' own rhythm.
pub(crate) const BUDGET: u32 = 61;

/// With so many tasks ready, due timers need not add to them, but for [`BUDGET`] a turn.
const READY_ENOUGH: usize = 128;

/// So many due timers have their tasks' blocks fetched at once.
const FIRE_BATCH: usize = 16;

impl Scheduler {
    /// Stops the current task until it is woken, `deadline_ns` (or the deadline of an enclosing
    /// scope) passes, or it is cancelled; tells which. `Ready` may come without a reason.
    ///
    /// While the thread is unwinding no other task runs: this one waits alone, and cancellation and
    /// scopes are not looked at.
    #[inline(never)]
    pub(crate) fn park(&self, kind: WaitKind, deadline_ns: u64) -> Woken {
        self.park_here(kind, deadline_ns)
    }

    /// As [`park`](Self::park), in the frame of the caller.
    ///
    /// A shared stack keeps what is in the frames for each parked task, so nothing is kept in this
    /// one: what precedes the switch and what follows it are functions of their own, and the
    /// latter finds the task anew.
    #[inline(always)]
    pub(crate) fn park_here(&self, kind: WaitKind, deadline_ns: u64) -> Woken {
        if let Some(Departure { from, to }) = self.stop(kind, deadline_ns) {
            // SAFETY: the task is the current one and parked, so whoever wakes it will enter it
            // again; `to` is the context of the loop or of a ready task, both suspended.
            unsafe { arch::switch(from.as_ptr(), to, 0) };
        }
        resumed()
    }

    /// Does what precedes a park. None if the wait is over already.
    #[inline(never)]
    fn stop(&self, kind: WaitKind, deadline_ns: u64) -> Option<Departure> {
        let me = self.current_task();
        if thread::panicking() && self.is_unwinding() {
            self.park_alone(me, kind, deadline_ns);
            return None;
        }
        if me.is_cancelled() {
            return self.stay(me, Woken::Cancelled);
        }
        let mut deadline_ns = deadline_ns;
        if !me.extra.get().is_null() {
            deadline_ns = deadline_ns.min(me.scope_deadline_ns());
        }
        Some(self.depart(me, kind, deadline_ns))
    }

    /// Lets a wait end before it has begun.
    #[cold]
    fn stay(&self, me: &Task, why: Woken) -> Option<Departure> {
        me.woken.set(why);
        // SAFETY: errno belongs to this thread.
        me.errno.set(unsafe { *self.errno });
        None
    }

    /// Makes the current task a parked one that is about to be left.
    #[inline(always)]
    pub(super) fn depart(&self, me: &Task, kind: WaitKind, deadline_ns: u64) -> Departure {
        me.kind.set(kind);
        me.state.set(State::Parked);
        if deadline_ns != NEVER {
            self.arm(me, deadline_ns);
        }
        // SAFETY: errno belongs to this thread.
        me.errno.set(unsafe { *self.errno });
        // SAFETY: the address of a field is not null.
        Departure { from: unsafe { NonNull::new_unchecked(me.context.as_ptr()) }, to: self.next() }
    }

    #[inline(always)]
    fn arm(&self, task: &Task, deadline_ns: u64) {
        // SAFETY: the timer lies in the control block, which stays until the task ends, and is
        // unlinked when the park that armed it returns. The wheel is borrowed for this call only.
        unsafe {
            (*self.wheel.get()).insert(NonNull::new_unchecked(task.timer.get()), deadline_ns);
        }
    }

    #[inline(always)]
    fn disarm(&self, task: &Task) {
        // SAFETY: the timer lies in the control block of a live task, and the wheel is borrowed for
        // this call only. Cancelling a timer that has fired is allowed.
        unsafe { (*self.wheel.get()).cancel(NonNull::new_unchecked(task.timer.get())) };
    }

    /// Whether, on a thread that is panicking, the current task may be the one that unwinds, so
    /// that nothing else may run. Not if the thread was unwinding before it entered the runtime (to
    /// drop it, say): then every task sees it panic anyway, and all run side by side.
    #[cold]
    pub(crate) fn is_unwinding(&self) -> bool {
        !self.entered_panicking.get()
    }

    /// Lets the other ready tasks run first.
    #[inline(always)]
    pub(crate) fn yield_now(&self) {
        if self.queue.is_empty() && self.budget.get() > 0 {
            self.budget.set(self.budget.get() - 1);
            return;
        }
        let me = self.current_task();
        if thread::panicking() && self.is_unwinding() {
            return;
        }
        me.state.set(State::Ready);
        self.queue.push(me);
        // SAFETY: the task is the current one and in the queue, so it will be entered again.
        unsafe { self.switch_away(me) };
    }

    /// Switches from the current task to the next one; returns when somebody enters it again.
    ///
    /// # Safety
    /// `me` is the current task, and its state is no longer `Running`.
    #[inline(always)]
    unsafe fn switch_away(&self, me: &Task) {
        // SAFETY: errno belongs to this thread. The context to enter is that of the loop or of a
        // ready task, both suspended; the task's own is saved to its control block.
        unsafe {
            me.errno.set(*self.errno);
            let next = self.next();
            arch::switch(me.context.as_ptr(), next, 0);
            *self.errno = me.errno.get();
        }
    }

    /// Switches from the current task to the loop, which comes back as soon as it has done what
    /// `visit` says.
    ///
    /// # Safety
    /// `visit` is set, by the current task.
    pub(super) unsafe fn visit_loop(&self) {
        let me = self.current_task();
        // SAFETY: errno is this thread's own. The task is the running one and its control block
        // stays; the loop is suspended, and enters the task again at this place.
        unsafe {
            me.errno.set(*self.errno);
            let next = self.enter_loop();
            arch::switch(me.context.as_ptr(), next, 0);
            *self.errno = me.errno.get();
        }
    }

    /// What to enter when the current task stops.
    #[inline(always)]
    fn next(&self) -> Context {
        let budget = self.budget.get();
        if budget == 0 || self.queue.is_empty() {
            return self.enter_loop();
        }
        self.budget.set(budget - 1);
        // SAFETY: what is in the queue is live.
        let task = unsafe { &*self.queue.pop() };
        if task.has(flag::AWAY) {
            self.handoff.set(task);
            return self.enter_loop();
        }
        self.start(task)
    }

    #[inline(always)]
    fn enter_loop(&self) -> Context {
        self.current.set(std::ptr::null());
        self.loop_context.get()
    }

    /// Notes that `task` runs from now on; its context is to be entered.
    #[inline(always)]
    pub(super) fn start(&self, task: &Task) -> Context {
        self.count_switch();
        task.state.set(State::Running);
        self.current.set(task);
        task.context.get()
    }

    /// Leaves an ended task for good. If nobody will take its result, the loop frees it.
    ///
    /// # Safety
    /// `me` is the current task, it has ended, and nothing on its stack is needed any more.
    pub(super) unsafe fn leave(&self, me: &Task) -> ! {
        // SAFETY: the context to enter is the loop's or a ready task's: suspended, and entered here
        // only. Nothing needs the stack that is left, as the caller says.
        unsafe {
            if me.has_handle.get() {
                arch::leave(self.next(), 0)
            }
            self.ended.set(me);
            arch::leave(self.enter_loop(), 0)
        }
    }

    /// Makes a parked task runnable, and notes why. Any other task is left as it is.
    #[inline(always)]
    pub(crate) fn wake(&self, task: &Task, why: Woken) {
        if task.state.get() == State::Parked {
            task.woken.set(why);
            task.state.set(State::Ready);
            self.queue.push(task);
        }
    }

    /// Makes every wait of `task` end with `Cancelled` from now on, the present one included.
    pub(crate) fn cancel(&self, task: &Task) {
        task.set(flag::CANCEL);
        if !task.has(flag::MASKED) && self.alone.task.get() != &raw const *task {
            self.wake(task, Woken::Cancelled);
        }
    }

    /// Gives the task its token, or wakes it if it waits for that.
    pub(crate) fn unpark(&self, task: &Task) {
        task.set(flag::TOKEN);
        if task.kind.get() == WaitKind::Park {
            self.wake(task, Woken::Ready);
        }
    }

    /// Wakes tasks whose deadlines have passed: some. If very many are due at once, the others stay
    /// in the wheel for the next turns, so that a task runs soon after it was touched here and is
    /// still in the cache then.
    pub(super) fn fire_timers(&self) {
        let wheel = self.wheel.get();
        // As many as can run until the next turn, at least: nobody is held back for ever.
        let mut room = READY_ENOUGH.saturating_sub(self.queue.len()).max(BUDGET as usize);
        // SAFETY: the wheel is borrowed for one call at a time; waking a task does not touch it.
        // The timers in it are those of live, parked tasks.
        unsafe {
            if (*wheel).len() == 0 {
                return;
            }
            let now_ns = sys::clock::monotonic_ns();
            (*wheel).advance(now_ns);
            while room > 0 {
                // First all blocks of a batch are asked for, then they are looked at.
                let mut batch: [MaybeUninit<&Task>; FIRE_BATCH] =
                    [MaybeUninit::uninit(); FIRE_BATCH];
                let mut due = 0;
                while due < FIRE_BATCH.min(room) {
                    let Some(timer) = (*wheel).pop_expired() else { break };
                    let task = Task::of_timer(timer);
                    arch::prefetch((&raw const *task).cast());
                    batch[due].write(task);
                    due += 1;
                }
                for task in &batch[..due] {
                    self.wake(task.assume_init(), Woken::TimedOut);
                }
                let total = &self.counters.timers_fired;
                total.set(total.get() + due as u64);
                self.pace.note(now_ns, due as u32);
                room = if due == FIRE_BATCH { room - due } else { 0 };
            }
        }
    }

    /// When the next timer is due.
    pub(super) fn next_expiry_ns(&self) -> Option<u64> {
        // SAFETY: the wheel is borrowed for this call only.
        unsafe { (*self.wheel.get()).next_expiry_ns() }
    }
}

/// From where a task leaves, and to where.
pub(super) struct Departure {
    pub(super) from: NonNull<Context>,
    pub(super) to: Context,
}

/// Does what follows a park; tells why it has ended.
#[inline(never)]
fn resumed() -> Woken {
    let scheduler = Scheduler::current().expect("a task runs inside its scheduler");
    let me = scheduler.current_task();
    // SAFETY: errno belongs to this thread.
    unsafe { *scheduler.errno = me.errno.get() };
    scheduler.disarm(me);
    me.woken.get()
}
