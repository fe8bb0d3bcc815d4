//! What one who passed a barrier learns.

use std::fmt;

/// Tells the one leader of a round from the others: [`std::sync::BarrierWaitResult`].
/// See [`BarrierWaitResult::is_leader`] for an example.
pub struct BarrierWaitResult {
    is_leader: bool,
}

impl BarrierWaitResult {
    pub(super) fn new(is_leader: bool) -> BarrierWaitResult {
        BarrierWaitResult { is_leader }
    }

    /// Whether this one came last; true for exactly one in each round.
    ///
    /// ```
    /// assert!(cove::sync::Barrier::new(1).wait().is_leader());
    /// ```
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult").field("is_leader", &self.is_leader).finish()
    }
}
