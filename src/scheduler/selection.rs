//! Waiting in several queues at once, for the first that notifies.
//!
//! A selection has one waiter for each arm. Whoever takes such a waiter out of its queue must claim
//! the selection before it may count on it: `winner` says who was first, and it is set once.
//!
//! ```text
//!              a notifier claims                       the owner leaves every queue,
//!   UNDECIDED ------------------> arm's number -------> then completes this arm
//!       |
//!       +-----------------------> ABORTED ------------> no arm: out of time, cancelled, or one of
//!              the owner claims                         the arms can be tried again at once
//! ```
//!
//! So a notification is never lost on a selection that has been decided elsewhere: its notifier
//! sees that, and takes the next waiter. Everything here lies on the heap, because the owner's
//! stack may be a shared one, and stays until the owner has left every queue under the queue's
//! lock.

use super::task::Woken;
use super::wait::{NEVER, Target, WaitKind, Waiter};
use super::{Scheduler, unwind};
use crate::primitive::{AtomicU32, Ordering, UnsafeCell, thread};
use crate::sys;
use std::time::Duration;

const UNDECIDED: u32 = u32::MAX;
const ABORTED: u32 = u32::MAX - 1;

/// What the arms share.
struct Decision {
    winner: AtomicU32,
    /// Does not change; a cell so that a model sees who reads it, and when it goes.
    target: UnsafeCell<Target>,
}

#[cfg(all(loom, test))]
impl Drop for Decision {
    fn drop(&mut self) {
        self.target.with_mut(drop);
    }
}

impl Decision {
    fn decide(&self, winner: u32) -> bool {
        let order = (Ordering::AcqRel, Ordering::Acquire);
        self.winner.compare_exchange(UNDECIDED, winner, order.0, order.1).is_ok()
    }
}

/// The place of one arm in its queue.
#[repr(C)]
pub(crate) struct ArmWaiter {
    pub(crate) waiter: Waiter,
    number: u32,
    decision: *const Decision,
}

impl ArmWaiter {
    /// Decides the selection for this arm, if it is undecided.
    pub(super) fn claim(&self) -> bool {
        // SAFETY: the decision lives as long as its arms.
        unsafe { &*self.decision }.decide(self.number)
    }

    /// Wakes the owner of the selection, which this arm has won.
    pub(super) fn wake(&self) {
        // SAFETY: the decision lives as long as its arms, and nobody changes the target.
        unsafe { &*self.decision }.target.with(|target| unsafe { (*target).wake() });
    }

    /// Whether both are arms of one selection.
    pub(super) fn is_sibling(&self, other: &ArmWaiter) -> bool {
        std::ptr::eq(self.decision, other.decision)
    }
}

/// One wait of the current task, or thread, in several queues.
pub(crate) struct Selection {
    arms: Box<[ArmWaiter]>,
    decision: Box<Decision>,
}

/// Why a selection has ended without a winner; to be raised once every queue has been left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Its own deadline has passed.
    TimedOut,
    /// An enclosing deadline scope ran out.
    Expired,
    Cancelled,
}

impl Stopped {
    /// Unwinds, unless the selection merely ran out of its own time.
    pub(crate) fn unwind(self) {
        match self {
            Stopped::TimedOut => {}
            Stopped::Expired => unwind::expired(),
            Stopped::Cancelled => unwind::cancelled(),
        }
    }
}

impl Selection {
    /// A selection of `arms` arms for whoever is running, in no queue yet.
    pub(crate) fn new(arms: usize) -> Selection {
        let winner = AtomicU32::new(UNDECIDED);
        let target = UnsafeCell::new(Target::current());
        let decision = Box::new(Decision { winner, target });
        let of =
            |number| ArmWaiter { waiter: Waiter::of_arm(), number, decision: &raw const *decision };
        Selection { arms: (0..arms as u32).map(of).collect(), decision }
    }

    /// The place of an arm in its queue.
    pub(crate) fn arm(&self, number: usize) -> &ArmWaiter {
        &self.arms[number]
    }

    /// The arm for which somebody has decided.
    fn winner(&self) -> Option<usize> {
        let winner = self.decision.winner.load(Ordering::Acquire);
        (winner != UNDECIDED && winner != ABORTED).then_some(winner as usize)
    }

    /// The arm for which somebody has decided; if nobody has, nobody will.
    pub(crate) fn winner_or_abort(&self) -> Option<usize> {
        if self.decision.decide(ABORTED) { None } else { self.winner() }
    }

    /// Waits for a winner. With an error, the selection has been aborted.
    pub(crate) fn wait(&self, deadline_ns: u64) -> Result<usize, Stopped> {
        loop {
            if let Some(winner) = self.winner() {
                return Ok(winner);
            }
            let stopped = match Scheduler::current() {
                Some(scheduler) => park_task(scheduler, deadline_ns),
                None => park_thread(deadline_ns),
            };
            if let Some(stopped) = stopped {
                return self.winner_or_abort().ok_or(stopped);
            }
        }
    }
}

/// Parks the current task; tells why it need not be parked again.
fn park_task(scheduler: &Scheduler, deadline_ns: u64) -> Option<Stopped> {
    match scheduler.park(WaitKind::Select, deadline_ns) {
        Woken::Ready => None,
        Woken::Cancelled => Some(Stopped::Cancelled),
        Woken::TimedOut if deadline_ns == NEVER => Some(Stopped::Expired),
        Woken::TimedOut if sys::clock::monotonic_ns() < deadline_ns => Some(Stopped::Expired),
        Woken::TimedOut => Some(Stopped::TimedOut),
    }
}

/// Blocks a thread without a scheduler; tells whether its time is over.
#[cold]
fn park_thread(deadline_ns: u64) -> Option<Stopped> {
    if deadline_ns == NEVER {
        thread::park();
        return None;
    }
    let now = sys::clock::monotonic_ns();
    if now >= deadline_ns {
        return Some(Stopped::TimedOut);
    }
    thread::park_timeout(Duration::from_nanos(deadline_ns - now));
    None
}
