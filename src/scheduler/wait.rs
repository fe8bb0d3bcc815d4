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
//! After a notification the notifier does not touch the waiter again: `notified` is the last thing
//! that it writes, because the waiting side may then return and end without taking the lock.

use super::selection::ArmWaiter;
use super::task::{Task, Woken};
use super::{Remote, Scheduler, unwind};
use crate::list::{Link, Queue};
use crate::primitive::{SpinGuard, SpinLock};
use crate::sys;
use std::cell::{Cell, UnsafeCell};
use std::ops::DerefMut;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
    link: UnsafeCell<Link>,
    /// The primitive's own note about this waiter (how many permits it wants, which descriptor).
    pub(crate) token: Cell<u32>,
    notified: AtomicBool,
    owner: Owner,
}

impl Waiter {
    /// The waiter inside a task's control block.
    pub(crate) const fn of_task() -> Waiter {
        Waiter {
            link: UnsafeCell::new(Link::new()),
            token: Cell::new(0),
            notified: AtomicBool::new(false),
            owner: Owner::Task,
        }
    }

    /// The waiter of one arm of a selection.
    pub(super) const fn of_arm() -> Waiter {
        Waiter { owner: Owner::Arm, ..Waiter::of_task() }
    }

    /// The arm of a selection that the waiter stands for, if it does.
    fn arm(&self) -> Option<&ArmWaiter> {
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

    pub(super) fn link(&self) -> NonNull<Link> {
        // SAFETY: the address of a field is not null.
        unsafe { NonNull::new_unchecked(self.link.get()) }
    }
}

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
    pub(super) fn forget(&self) {
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

/// Whom a foreign waiter or a selection wakes.
#[derive(Clone)]
pub(crate) enum Target {
    /// A plain thread, parked in std's way.
    Thread(std::thread::Thread),
    /// A task, by what other threads may know of it.
    Task(Remote),
}

impl Target {
    /// Who is running: the current task, or on a thread without a scheduler the thread itself.
    pub(crate) fn current() -> Target {
        match Scheduler::current() {
            Some(scheduler) => Target::Task(Remote::of(scheduler.current_task())),
            None => Target::Thread(std::thread::current()),
        }
    }

    /// Wakes it: at once if it is a task of this very thread.
    pub(super) fn wake(&self) {
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

/// Waiters, first in, first out. Guarded by the lock of the primitive that holds it.
pub(crate) struct WaitQueue {
    queue: Queue,
}

// SAFETY: the queue is used under its primitive's lock only, and so are the links in it.
unsafe impl Send for WaitQueue {}

impl WaitQueue {
    pub(crate) const fn new() -> WaitQueue {
        WaitQueue { queue: Queue::new() }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The first waiter's token.
    pub(crate) fn front_token(&self) -> Option<u32> {
        // SAFETY: what stands in the queue is the link at the start of a live waiter.
        self.queue.front().map(|link| unsafe { (*link.as_ptr().cast::<Waiter>()).token.get() })
    }

    /// Appends a waiter.
    ///
    /// # Safety
    /// The waiter is prepared, not linked, and stays where it is until it is notified or removed.
    #[inline]
    pub(crate) unsafe fn push(&mut self, waiter: &Waiter) {
        // SAFETY: as the caller says.
        unsafe { self.queue.push_back(waiter.link()) }
    }

    /// Takes a waiter out if it still stands in the queue.
    ///
    /// # Safety
    /// The waiter was pushed to this queue since it was last prepared.
    pub(crate) unsafe fn remove(&mut self, waiter: &Waiter) -> bool {
        if waiter.is_notified() {
            return false;
        }
        // SAFETY: not notified, so it still stands in this queue.
        unsafe { self.queue.remove(waiter.link()) }
    }

    /// Takes the first waiter that can still be woken out of the queue, to be woken before the lock
    /// is opened. From here on its wait ends by that wake-up and by nothing else. The arms of
    /// selections that have been decided elsewhere leave the queue on the way.
    #[inline(always)]
    pub(crate) fn claim(&mut self) -> Option<Claimed> {
        loop {
            let waiter = self.queue.pop_front()?.cast::<Waiter>();
            // SAFETY: a link in the queue is that of a live waiter, at its start.
            if unsafe { waiter.as_ref() }.arm().is_none_or(ArmWaiter::claim) {
                return Some(Claimed(waiter));
            }
        }
    }

    /// Wakes the first waiter and returns its token.
    #[inline]
    pub(crate) fn wake_one(&mut self) -> Option<u32> {
        let claimed = self.claim()?;
        // SAFETY: out of the queue the waiter is ours until it is notified.
        let token = unsafe { claimed.0.as_ref() }.token.get();
        claimed.wake();
        Some(token)
    }

    /// As `wake_one`, but leaves to the caller what may be done when the lock is open; and leaves
    /// `answer` in place of the token, for [`wait_for_answer`].
    #[inline]
    pub(crate) fn notify_one_with(&mut self, answer: u32) -> Option<Wakeup> {
        let claimed = self.claim()?;
        // SAFETY: out of the queue the waiter is ours until it is notified.
        unsafe {
            claimed.0.as_ref().token.set(answer);
            Some(notify(claimed.0))
        }
    }

    /// Whether anybody waits here but the selection of which `place` is an arm.
    pub(crate) fn has_rival(&self, place: &ArmWaiter) -> bool {
        // SAFETY: a link in the queue is that of a live waiter, at its start.
        let mut waiters = self.queue.iter().map(|link| unsafe { link.cast::<Waiter>().as_ref() });
        waiters.any(|waiter| waiter.arm().is_none_or(|arm| !arm.is_sibling(place)))
    }

    /// Wakes all waiters; returns how many there were.
    pub(crate) fn wake_all(&mut self) -> usize {
        let mut woken = 0;
        while self.wake_one().is_some() {
            woken += 1;
        }
        woken
    }
}

/// A waiter that has left its queue and waits for nothing but to be told.
#[must_use = "its wait never ends unless it is woken"]
pub(crate) struct Claimed(NonNull<Waiter>);

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
unsafe fn notify(waiter: NonNull<Waiter>) -> Wakeup {
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
    // A closure that the loop drops has no task to park.
    match Scheduler::current().filter(|scheduler| !scheduler.is_in_loop()) {
        Some(scheduler) => wait_task(scheduler, lock, guard, queue, kind, token, deadline_ns),
        None => wait_thread(lock, guard, queue, token, deadline_ns),
    }
}

#[inline(always)]
fn wait_task<L: Lock>(
    scheduler: &Scheduler,
    lock: &L,
    mut guard: L::Guard<'_>,
    queue: impl Fn(&mut L::State) -> &mut WaitQueue,
    kind: WaitKind,
    token: u32,
    deadline_ns: u64,
) -> (Waited, u32) {
    let waiter = &scheduler.current_task().waiter;
    waiter.prepare(token);
    // SAFETY: the waiter lies in the control block, which stays; a task waits for one thing at a
    // time, so it is not linked; and it is unlinked before this function ends.
    unsafe { queue(&mut guard).push(waiter) };
    drop(guard);
    loop {
        let woken = scheduler.park_here(kind, deadline_ns);
        if waiter.is_notified() {
            return (Waited::Notified, waiter.token.get());
        }
        if woken == Woken::Ready {
            continue;
        }
        return (give_up(lock, queue, waiter, woken, deadline_ns), waiter.token.get());
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
) -> Waited {
    let mut guard = lock.lock();
    // SAFETY: the caller has pushed it to this queue.
    if !unsafe { queue(&mut guard).remove(waiter) } {
        return Waited::Notified;
    }
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
    token: u32,
    deadline_ns: u64,
) -> (Waited, u32) {
    let foreign = ForeignWaiter::new(Target::Thread(std::thread::current()));
    let waiter = &foreign.waiter;
    waiter.prepare(token);
    // SAFETY: the waiter stays on this thread's stack, and is unlinked before this function ends.
    unsafe { queue(&mut guard).push(waiter) };
    drop(guard);
    loop {
        if waiter.is_notified() {
            return (Waited::Notified, waiter.token.get());
        }
        if deadline_ns == NEVER {
            std::thread::park();
            continue;
        }
        let now = sys::clock::monotonic_ns();
        if now < deadline_ns {
            std::thread::park_timeout(Duration::from_nanos(deadline_ns - now));
            continue;
        }
        let mut guard = lock.lock();
        // SAFETY: pushed to this queue above.
        let removed = unsafe { queue(&mut guard).remove(waiter) };
        let waited = if removed { Waited::TimedOut } else { Waited::Notified };
        return (waited, waiter.token.get());
    }
}
