//! What a round counts, and whether it adds up.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counts of one round, over both workers.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) spawned: AtomicU64,
    pub(crate) returned: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) panicked: AtomicU64,
    /// Closures dropped before they ran.
    pub(crate) unstarted: AtomicU64,
    pub(crate) steps: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Books {
    /// Whether everybody who was spawned has ended, in one way.
    pub(crate) fn is_settled(&self) -> bool {
        let ended = [&self.returned, &self.cancelled, &self.panicked, &self.unstarted];
        read(&self.spawned) == ended.into_iter().map(read).sum()
    }

    pub(crate) fn check(&self) {
        assert!(self.is_settled(), "{self:?}");
    }
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut totals = Totals::default();
        totals.add(self);
        fmt::Display::fmt(&totals, f)
    }
}

/// The sums over all rounds.
#[derive(Default)]
pub(crate) struct Totals([u64; 7]);

impl Totals {
    pub(crate) fn add(&mut self, books: &Books) {
        let counts = [
            &books.spawned,
            &books.returned,
            &books.cancelled,
            &books.panicked,
            &books.unstarted,
            &books.steps,
            &books.bytes,
        ];
        self.0.iter_mut().zip(counts).for_each(|(total, count)| *total += read(count));
    }

    /// Whether no count is zero.
    pub(crate) fn all_kinds_occurred(&self) -> bool {
        self.0.iter().all(|total| *total > 0)
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [spawned, returned, cancelled, panicked, unstarted, steps, bytes] = self.0;
        write!(
            f,
            "{spawned} coroutines ({returned} returned, {cancelled} cancelled, {panicked} \
             panicked, {unstarted} never started), {steps} steps, {bytes} bytes over sockets"
        )
    }
}
