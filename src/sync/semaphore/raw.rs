//! The counter inside [`Semaphore`](super::Semaphore), and the queue of those who wait for it.
//!
//! ```text
//!   bit 31 .. 1: free permits                              bit 0: WAITERS
//! ```
//!
//! `WAITERS` is set whenever the queue is not empty, may be left over when that has become empty,
//! and is changed under the queue's lock only. While it is set nobody takes permits but by way of
//! the queue: first come, first served, and one who wants many is not overtaken for ever by those
//! who want few. Released permits are taken out of the counter for the first waiters before they
//! are woken, so a woken waiter has its permits, and keeps them even if it was cancelled meanwhile.
//!
//! A waiter that leaves without permits may have stood before others whose wish is smaller: the
//! permits that there are go to those then.

use crate::primitive::{AtomicU32, Ordering, SpinLock};
use crate::scheduler::wait::{WaitKind, WaitQueue, Waited, wait};

const WAITERS: u32 = 1;
/// The unit of the counter.
const PERMIT: u32 = 2;

/// The most permits that the counter holds.
pub(super) const PERMITS_MAX: u32 = u32::MAX / PERMIT;

/// The counter, by the rules above.
pub(super) struct Permits {
    word: AtomicU32,
}

impl Permits {
    constructor! {
        pub(super) const fn new(permits: u32) -> Permits {
            Permits { word: AtomicU32::new(permits * PERMIT) }
        }
    }

    pub(super) fn free(&self) -> u32 {
        self.word.load(Ordering::Relaxed) / PERMIT
    }

    /// Takes permits if there are enough and nobody waits.
    #[inline]
    pub(super) fn take(&self, wanted: u32) -> bool {
        self.take_if(wanted, |seen| seen & WAITERS == 0)
    }

    /// Takes permits if there are enough, for the first in the queue (or if there is none).
    pub(super) fn take_queued(&self, wanted: u32) -> bool {
        self.take_if(wanted, |_| true)
    }

    #[inline]
    fn take_if(&self, wanted: u32, allowed: impl Fn(u32) -> bool) -> bool {
        let mut seen = self.word.load(Ordering::Relaxed);
        while allowed(seen) && seen / PERMIT >= wanted {
            let rest = seen - wanted * PERMIT;
            // Release too: what the releasers of these permits wrote must reach the one for whom a
            // third one takes them.
            match self.word.compare_exchange(seen, rest, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Adds permits; true if somebody may wait for them.
    #[inline]
    pub(super) fn add(&self, permits: u32) -> bool {
        let before = self.word.fetch_add(permits * PERMIT, Ordering::Release);
        assert!(before / PERMIT <= PERMITS_MAX - permits, "a semaphore has too many permits");
        before & WAITERS != 0
    }

    /// Under the queue's lock: notes that somebody will wait. False if there were enough permits
    /// after all and no `others` wait: then they are taken.
    pub(super) fn announce(&self, wanted: u32, others: bool) -> bool {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let enough = !others && seen / PERMIT >= wanted;
            let next = if enough { (seen & !WAITERS) - wanted * PERMIT } else { seen | WAITERS };
            match self.word.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return !enough,
                Err(now) => seen = now,
            }
        }
    }

    /// Under the queue's lock: notes that the queue is empty.
    pub(super) fn clear_waiters(&self) {
        self.word.fetch_and(!WAITERS, Ordering::Relaxed);
    }
}

pub(super) struct RawSemaphore {
    pub(super) permits: Permits,
    waiters: SpinLock<WaitQueue>,
}

impl RawSemaphore {
    constructor! {
        pub(super) const fn new(permits: u32) -> RawSemaphore {
            let waiters = SpinLock::new(WaitQueue::new());
            RawSemaphore { permits: Permits::new(permits), waiters }
        }
    }

    /// Takes `wanted` permits; false if `deadline_ns` came first.
    #[inline]
    pub(super) fn acquire(&self, wanted: u32, deadline_ns: u64) -> bool {
        self.permits.take(wanted) || self.acquire_contended(wanted, deadline_ns)
    }

    #[cold]
    fn acquire_contended(&self, wanted: u32, deadline_ns: u64) -> bool {
        if wanted == 0 {
            return true;
        }
        let queue = self.waiters.lock();
        if !self.permits.announce(wanted, !queue.is_empty()) {
            return true;
        }
        let admit = Admit(self);
        let kind = WaitKind::Semaphore;
        match wait(&self.waiters, queue, |q| q, kind, wanted, deadline_ns) {
            Waited::Notified => {
                std::mem::forget(admit);
                true
            }
            Waited::TimedOut => false,
        }
    }

    #[inline]
    pub(super) fn try_acquire(&self, wanted: u32) -> bool {
        self.permits.take(wanted) || self.try_acquire_contended(wanted)
    }

    /// Tries again without heed of a `WAITERS` that was left over.
    #[cold]
    fn try_acquire_contended(&self, wanted: u32) -> bool {
        if wanted == 0 || self.permits.free() < wanted {
            return wanted == 0;
        }
        let queue = self.waiters.lock();
        queue.is_empty() && self.permits.take_queued(wanted)
    }

    #[inline]
    pub(super) fn release(&self, permits: u32) {
        if self.permits.add(permits) {
            self.admit();
        }
    }

    /// Gives what permits there are to the first waiters.
    #[cold]
    fn admit(&self) {
        let mut queue = self.waiters.lock();
        let mut last = None;
        while let Some(wanted) = queue.front_token() {
            if !self.permits.take_queued(wanted) {
                break;
            }
            let next = queue.notify_one_with(wanted);
            if let Some(earlier) = std::mem::replace(&mut last, next) {
                earlier.send();
            }
        }
        if queue.is_empty() {
            self.permits.clear_waiters();
        }
        drop(queue);
        if let Some(wakeup) = last {
            wakeup.send();
        }
    }
}

/// Admits those behind a waiter that leaves without permits, by unwinding or because time is up.
struct Admit<'a>(&'a RawSemaphore);

impl Drop for Admit<'_> {
    fn drop(&mut self) {
        self.0.admit();
    }
}
