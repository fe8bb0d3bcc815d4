//! How a wait with a time limit ended.

/// Whether the time was up before a notification came: [`std::sync::WaitTimeoutResult`].
/// See [`WaitTimeoutResult::timed_out`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub(super) fn new(timed_out: bool) -> WaitTimeoutResult {
        WaitTimeoutResult(timed_out)
    }

    /// Whether the time was up.
    ///
    /// ```
    /// # use cove::sync::{Condvar, Mutex};
    /// let (value, changed) = (Mutex::new(()), Condvar::new());
    /// let none = std::time::Duration::ZERO;
    /// assert!(changed.wait_timeout(value.lock().unwrap(), none).unwrap().1.timed_out());
    /// ```
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}
