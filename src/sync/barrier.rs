//! Waiting until so many have come: [`Barrier`].

mod result;

#[cfg(all(test, not(loom)))]
mod tests;

use crate::primitive::SpinLock;
use crate::scheduler::wait::{NEVER, Terms, WaitKind, WaitQueue, wait_or_leave};
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
    /// How many have come in this round: those in the queue.
    arrived: usize,
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
            let state = State { arrived: 0, waiters: WaitQueue::new() };
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
            let wakeups = state.waiters.wake_all();
            drop(state);
            wakeups.send();
            return BarrierWaitResult::new(true);
        }
        let terms = Terms { kind: WaitKind::Barrier, token: 0, deadline_ns: NEVER };
        // In one step with leaving the queue: nobody passes on the strength of one who gives up.
        let uncount = |state: &mut State| state.arrived -= 1;
        wait_or_leave(&self.state, state, |state| &mut state.waiters, terms, uncount);
        BarrierWaitResult::new(false)
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}
