//! Queues of waiters, and the wait that everything in `sync/` is built on.
//!
//! A primitive keeps its state and its [`WaitQueue`] under one [`SpinLock`]. Who must wait puts its
//! waiter into the queue under the lock, opens the lock and parks. Who changes the state takes
//! waiters out under the lock and notifies them. A waiter is a task's own (inside its control
//! block), or stands for a plain thread, or for one arm of a `select!`.
//!
//! No wake-up is lost, though nothing is locked between enqueueing and parking: a task is only ever
//! woken by its own thread, which is busy running that very task until it parks.
//!
//! | file | holds |
//! |---|---|
//! | `queue.rs` | the queue |
//! | `waiter.rs` | a place in it, and how its owner is told |
//! | `target.rs` | whom a waiter outside a control block wakes |
//! | `chain.rs` | the shortest queue: the tasks that join another one |

mod chain;
mod queue;
mod target;
mod waiter;

use super::task::Woken;
use super::{Scheduler, unwind};
use crate::primitive::{SpinGuard, SpinLock, thread};
use crate::sys;
use std::ops::DerefMut;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use chain::Chain;
pub(crate) use queue::WaitQueue;
pub(crate) use target::Target;
pub(crate) use waiter::{ForeignWaiter, Waiter, notify_link};

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// What a task waits for, for those who look inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WaitKind {
    None,
    Park,
    Sleep,
    Read,
    Write,
    Join,
    Scope,
    Mutex,
    RwLock,
    Condvar,
    Semaphore,
    Barrier,
    WaitGroup,
    Once,
    Notify,
    Receive,
    Send,
    Select,
    Watch,
    Blocking,
    Shutdown,
}

/// A lock around the state of a primitive: what `wait` asks of it.
pub(crate) trait Lock {
    /// What the lock guards.
    type State;
    /// Access to it.
    type Guard<'a>: DerefMut<Target = Self::State>
    where
        Self: 'a;

    /// Takes the lock.
    fn lock(&self) -> Self::Guard<'_>;
}

impl<L: Lock> Lock for Arc<L> {
    type State = L::State;
    type Guard<'a>
        = L::Guard<'a>
    where
        L: 'a;

    fn lock(&self) -> L::Guard<'_> {
        L::lock(self)
    }
}

impl<T> Lock for SpinLock<T> {
    type State = T;
    type Guard<'a>
        = SpinGuard<'a, T>
    where
        T: 'a;

    fn lock(&self) -> SpinGuard<'_, T> {
        self.lock()
    }
}

/// How a wait ended; a cancelled one does not return but unwinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// A notifier took the waiter out of the queue.
    Notified,
    /// The deadline of this wait has passed, and the waiter is out of the queue.
    TimedOut,
}

/// What a wait is like.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// What for.
    pub(crate) kind: WaitKind,
    /// What the waiter tells its notifier.
    pub(crate) token: u32,
    /// Until when, or [`NEVER`].
    pub(crate) deadline_ns: u64,
}

/// Waits in a queue of the state behind `lock`, which `guard` holds and which is opened first.
///
/// On a thread that runs no scheduler the thread itself waits. Unwinds when the task is cancelled
/// or an enclosing deadline scope runs out, with the waiter out of the queue; a notification that
/// has already come wins over both.
#[inline(always)]
pub(crate) fn wait<L: Lock>(
    lock: &L,
    guard: L::Guard<'_>,
    queue: impl Fn(&mut L::State) -> &mut WaitQueue,
    kind: WaitKind,
    token: u32,
    deadline_ns: u64,
) -> Waited {
    wait_for_answer(lock, guard, queue, kind, token, deadline_ns).0
}

/// As [`wait`], and brings back what the notifier left in the token's place.
#[inline(always)]
pub(crate) fn wait_for_answer<L: Lock>(
    lock: &L,
    guard: L::Guard<'_>,
    queue: impl Fn(&mut L::State) -> &mut WaitQueue,
    kind: WaitKind,
    token: u32,
    deadline_ns: u64,
) -> (Waited, u32) {
    wait_or_leave(lock, guard, queue, Terms { kind, token, deadline_ns }, |_| ())
}

/// As [`wait_for_answer`]. If the wait ends without a notification, `leave` runs before the lock
/// under which the waiter left its queue opens again: to take back, in one step with the waiter,
/// what others count on while it waits. Then a wait that fails has had no effect, and one whose
/// effect somebody has used does not fail.
#[inline(always)]
pub(crate) fn wait_or_leave<L: Lock>(
    lock: &L,
    guard: L::Guard<'_>,
    queue: impl Fn(&mut L::State) -> &mut WaitQueue,
    terms: Terms,
    leave: impl FnOnce(&mut L::State),
) -> (Waited, u32) {
    // A closure that the loop drops has no task to park.
    match Scheduler::current().filter(|scheduler| !scheduler.is_in_loop()) {
        Some(scheduler) => wait_task(scheduler, lock, guard, queue, terms, leave),
        None => wait_thread(lock, guard, queue, terms, leave),
    }
}

#[inline(always)]
fn wait_task<L: Lock>(
    scheduler: &Scheduler,
    lock: &L,
    mut guard: L::Guard<'_>,
    queue: impl Fn(&mut L::State) -> &mut WaitQueue,
    terms: Terms,
    leave: impl FnOnce(&mut L::State),
) -> (Waited, u32) {
    let waiter = &scheduler.current_task().waiter;
    waiter.prepare(terms.token);
    // SAFETY: the waiter lies in the control block, which stays; a task waits for one thing at a
    // time, so it is not linked; and it is unlinked before this function ends.
    unsafe { queue(&mut guard).push(waiter) };
    drop(guard);
    loop {
        let woken = scheduler.park_here(terms.kind, terms.deadline_ns);
        if waiter.is_notified() {
            return (Waited::Notified, waiter.token.get());
        }
        if woken == Woken::Ready {
            continue;
        }
        let waited = give_up(lock, queue, waiter, woken, terms.deadline_ns, leave);
        return (waited, waiter.token.get());
    }
}

/// Ends a wait that was not notified in time: returns or unwinds, with the waiter out of the queue.
#[cold]
fn give_up<L: Lock>(
    lock: &L,
    queue: impl Fn(&mut L::State) -> &mut WaitQueue,
    waiter: &Waiter,
    woken: Woken,
    deadline_ns: u64,
    leave: impl FnOnce(&mut L::State),
) -> Waited {
    let mut guard = lock.lock();
    // SAFETY: the caller has pushed it to this queue.
    if !unsafe { queue(&mut guard).remove(waiter) } {
        return Waited::Notified;
    }
    leave(&mut guard);
    drop(guard);
    if woken == Woken::Cancelled {
        unwind::cancelled();
    }
    if deadline_ns == NEVER || sys::clock::monotonic_ns() < deadline_ns {
        unwind::expired();
    }
    Waited::TimedOut
}

#[cold]
fn wait_thread<L: Lock>(
    lock: &L,
    mut guard: L::Guard<'_>,
    queue: impl Fn(&mut L::State) -> &mut WaitQueue,
    terms: Terms,
    leave: impl FnOnce(&mut L::State),
) -> (Waited, u32) {
    let foreign = ForeignWaiter::new(Target::Thread(thread::current()));
    let waiter = &foreign.waiter;
    waiter.prepare(terms.token);
    // SAFETY: the waiter stays on this thread's stack, and is unlinked before this function ends.
    unsafe { queue(&mut guard).push(waiter) };
    drop(guard);
    loop {
        if waiter.is_notified() {
            return (Waited::Notified, waiter.token.get());
        }
        if terms.deadline_ns == NEVER {
            thread::park();
            continue;
        }
        let now = sys::clock::monotonic_ns();
        if now < terms.deadline_ns {
            thread::park_timeout(Duration::from_nanos(terms.deadline_ns - now));
            continue;
        }
        let mut guard = lock.lock();
        // SAFETY: pushed to this queue above.
        if !unsafe { queue(&mut guard).remove(waiter) } {
            return (Waited::Notified, waiter.token.get());
        }
        leave(&mut guard);
        return (Waited::TimedOut, waiter.token.get());
    }
}
