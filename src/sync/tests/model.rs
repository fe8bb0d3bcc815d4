//! Parking for loom's models: loom reports one that is never notified as a deadlock.

use crate::primitive::{AtomicBool, Ordering};
use loom::sync::Notify;

/// The place of one waiter, which waits once.
pub(in crate::sync) struct Parking {
    notified: AtomicBool,
    bell: Notify,
}

impl Parking {
    pub(in crate::sync) fn new() -> Parking {
        Parking { notified: AtomicBool::new(false), bell: Notify::new() }
    }

    /// Waits for `notify`; loom's own wait also ends without a reason.
    pub(in crate::sync) fn wait(&self) {
        while !self.notified.load(Ordering::Acquire) {
            self.bell.wait();
        }
    }

    pub(in crate::sync) fn notify(&self) {
        self.notified.store(true, Ordering::Release);
        self.bell.notify();
    }
}
