//! One place in a queue, and telling whoever has it.
//!
//! After a notification the notifier does not touch the waiter again: `notified` is the last thing
//! that it writes, because the waiting side may then return and end without taking the lock.

use super::target::Target;
use crate::list::Link;
use crate::primitive::{AtomicBool, Ordering, UnsafeCell};
use crate::scheduler::selection::ArmWaiter;
use crate::scheduler::task::{Task, Woken};
use crate::scheduler::{Remote, Scheduler};
use std::ptr::NonNull;

/// Whom a waiter stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Owner {
    /// The task in whose control block the waiter lies.
    Task,
    /// The target of the [`ForeignWaiter`] in which the waiter lies.
    Foreign,
    /// The selection of the [`ArmWaiter`] in which the waiter lies.
    Arm,
}

/// A place in a queue. Pinned while it is linked.
#[repr(C)]
pub(crate) struct Waiter {
    /// Guarded by the lock of the queue in which it stands.
    pub(super) link: std::cell::UnsafeCell<Link>,
    pub(crate) token: Token,
    notified: AtomicBool,
    owner: Owner,
}

/// A primitive's own note about a waiter: how many permits it wants, which descriptor; afterwards
/// perhaps the notifier's answer. It passes to the notifier with the queue's lock, and back with
/// `notified`.
#[repr(transparent)]
pub(crate) struct Token(UnsafeCell<u32>);

impl Token {
    #[inline]
    pub(crate) fn get(&self) -> u32 {
        // SAFETY: whose turn it is, by the rule above, has the note alone.
        self.0.with(|token| unsafe { *token })
    }

    #[inline]
    pub(crate) fn set(&self, token: u32) {
        // SAFETY: whose turn it is, by the rule above, has the note alone.
        self.0.with_mut(|place| unsafe { *place = token });
    }
}

/// So that a model fails if anybody looks at a waiter whose wait has ended.
#[cfg(all(loom, test))]
impl Drop for Token {
    fn drop(&mut self) {
        self.set(u32::MAX);
    }
}

impl Waiter {
    /// The waiter inside a task's control block.
    pub(crate) fn of_task() -> Waiter {
        Waiter {
            link: std::cell::UnsafeCell::new(Link::new()),
            token: Token(UnsafeCell::new(0)),
            notified: AtomicBool::new(false),
            owner: Owner::Task,
        }
    }

    /// The waiter of one arm of a selection.
    pub(in crate::scheduler) fn of_arm() -> Waiter {
        Waiter { owner: Owner::Arm, ..Waiter::of_task() }
    }

    /// The arm of a selection that the waiter stands for, if it does.
    pub(super) fn arm(&self) -> Option<&ArmWaiter> {
        // SAFETY: a waiter with this owner is the first field of an `ArmWaiter`, and lives as long.
        (self.owner == Owner::Arm).then(|| unsafe { &*(&raw const *self).cast::<ArmWaiter>() })
    }

    /// Whether a notifier has taken the waiter out of its queue.
    #[inline]
    pub(crate) fn is_notified(&self) -> bool {
        self.notified.load(Ordering::Acquire)
    }

    /// Makes the waiter ready for a queue.
    #[inline]
    pub(crate) fn prepare(&self, token: u32) {
        self.token.set(token);
        self.notified.store(false, Ordering::Relaxed);
    }

    pub(in crate::scheduler) fn link(&self) -> NonNull<Link> {
        // SAFETY: the address of a field is not null.
        unsafe { NonNull::new_unchecked(self.link.get()) }
    }
}

/// A waiter outside a control block.
#[repr(C)]
pub(crate) struct ForeignWaiter {
    pub(crate) waiter: Waiter,
    target: Target,
}

impl ForeignWaiter {
    pub(crate) fn new(target: Target) -> ForeignWaiter {
        ForeignWaiter { waiter: Waiter { owner: Owner::Foreign, ..Waiter::of_task() }, target }
    }
}

/// A waiter that has left its queue and waits for nothing but to be told.
#[must_use = "its wait never ends unless it is woken"]
pub(crate) struct Claimed(pub(super) NonNull<Waiter>);

impl Claimed {
    /// Ends the wait. The lock of the queue is held still.
    #[inline]
    pub(crate) fn wake(self) {
        // SAFETY: live, because it has not been notified; taken out of its queue by `claim`.
        unsafe { notify(self.0) }.send();
    }
}

/// A waiter that was notified and may have to be woken, which can take a system call: better not
/// with a lock held for which the woken one may wait.
#[must_use = "the waiter sleeps on until this is sent"]
pub(crate) struct Wakeup {
    target: Option<Target>,
}

impl Wakeup {
    /// Wakes the waiter, unless that is done.
    #[inline]
    pub(crate) fn send(self) {
        if let Some(target) = self.target {
            target.wake();
        }
    }
}

/// Several of them.
#[must_use = "the waiters sleep on until this is sent"]
#[derive(Default)]
pub(crate) struct Wakeups {
    /// Mostly there is one at most, and nothing is allocated.
    first: Option<Target>,
    rest: Vec<Target>,
}

impl Wakeups {
    #[inline]
    pub(super) fn add(&mut self, wakeup: Wakeup) {
        match wakeup.target {
            Some(target) if self.first.is_some() => self.rest.push(target),
            Some(target) => self.first = Some(target),
            None => {}
        }
    }

    /// Wakes the waiters, unless that is done.
    #[inline]
    pub(crate) fn send(self) {
        self.first.into_iter().chain(self.rest).for_each(|target| target.wake());
    }
}

/// Wakes the waiter whose link was taken out of a reactor's queue.
///
/// # Safety
/// The link is that of a live waiter of this thread, in no queue.
pub(crate) unsafe fn notify_link(link: NonNull<Link>) {
    // SAFETY: as the caller says; the link is the waiter's first field.
    unsafe { notify(link.cast()) }.send();
}

/// Tells a waiter that was taken out of its queue; wakes whom it stands for if that is quick.
///
/// # Safety
/// The waiter is live and in no queue, and the lock of the queue it was in is held.
#[inline]
pub(super) unsafe fn notify(waiter: NonNull<Waiter>) -> Wakeup {
    // SAFETY: the waiter lies where its owner says. Nothing of it is touched once it is marked as
    // notified; but a selection stays until it has had the lock that is held here.
    unsafe {
        let target = match waiter.as_ref().owner {
            Owner::Task => {
                let task = Task::of_waiter(waiter);
                if std::ptr::eq(task.scheduler, Scheduler::current_pointer()) {
                    waiter.as_ref().notified.store(true, Ordering::Release);
                    if !(*task.scheduler).is_abandoned(task) {
                        (*task.scheduler).wake(task, Woken::Ready);
                    }
                    return Wakeup { target: None };
                }
                Target::Task(Remote::of(task))
            }
            Owner::Foreign => waiter.cast::<ForeignWaiter>().as_ref().target.clone(),
            Owner::Arm => {
                waiter.as_ref().notified.store(true, Ordering::Release);
                waiter.cast::<ArmWaiter>().as_ref().wake();
                return Wakeup { target: None };
            }
        };
        waiter.as_ref().notified.store(true, Ordering::Release);
        Wakeup { target: Some(target) }
    }
}
