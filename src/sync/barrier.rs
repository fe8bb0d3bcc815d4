//! Waiting until so many have come: [`Barrier`].

mod result;

#[cfg(all(test, not(loom)))]
mod tests;

use crate::primitive::SpinLock;
use crate::scheduler::wait::{NEVER, WaitKind, WaitQueue, wait};
pub use result::BarrierWaitResult;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// [`std::sync::Barrier`], for coroutines: nobody passes until a given number have come; then it
/// closes again for the next round.
///
/// One whose wait is cancelled no longer counts.
///
/// ```
/// let leaders = cove::run(|| {
///     let barrier = cove::sync::Barrier::new(3);
///     let leaders = std::cell::Cell::new(0);
///     cove::scope(|scope| {
///         for _ in 0..3 {
///             scope.spawn(|| {
///                 let result = barrier.wait();
///                 leaders.set(leaders.get() + u32::from(result.is_leader()));
///             });
///         }
///     });
///     leaders.get()
/// });
/// assert_eq!(leaders, 1);
/// ```
pub struct Barrier {
    size: usize,
    state: SpinLock<State>,
}

struct State {
    /// How many have come in this round.
    arrived: usize,
    /// The number of the round, so that who leaves late does not count for the next one.
    round: u64,
    waiters: WaitQueue,
}

impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

impl Barrier {
    constructor! {
        /// A barrier for `size` coroutines or threads; 0 is as good as 1.
        ///
        /// ```
        /// static DOOR: cove::sync::Barrier = cove::sync::Barrier::new(1);
        /// DOOR.wait();
        /// ```
        pub const fn new(size: usize) -> Barrier {
            let state = State { arrived: 0, round: 0, waiters: WaitQueue::new() };
            Barrier { size, state: SpinLock::new(state) }
        }
    }

    /// Waits until all have come. The last one to come is the leader.
    ///
    /// ```
    /// let barrier = cove::sync::Barrier::new(2);
    /// cove::run(|| {
    ///     cove::scope(|scope| {
    ///         let other = scope.spawn(|| barrier.wait().is_leader());
    ///         let first = barrier.wait().is_leader();
    ///         assert_ne!(first, other.join().unwrap());
    ///     });
    /// });
    /// ```
    pub fn wait(&self) -> BarrierWaitResult {
        let mut state = self.state.lock();
        state.arrived += 1;
        if state.arrived >= self.size {
            state.arrived = 0;
            state.round += 1;
            let wakeups = state.waiters.wake_all();
            drop(state);
            wakeups.send();
            return BarrierWaitResult::new(true);
        }
        let leave = Leave { barrier: self, round: state.round };
        wait(&self.state, state, |state| &mut state.waiters, WaitKind::Barrier, 0, NEVER);
        std::mem::forget(leave);
        BarrierWaitResult::new(false)
    }
}

/// Takes back the coming of one whose wait unwinds, if its round is not complete by then.
struct Leave<'a> {
    barrier: &'a Barrier,
    round: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut state = self.barrier.state.lock();
        if state.round == self.round {
            state.arrived -= 1;
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}
