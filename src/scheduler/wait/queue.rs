//! Waiters in the order in which they came.

use super::waiter::{Claimed, Waiter, Wakeup, Wakeups, notify};
use crate::list::Queue;
use crate::scheduler::selection::ArmWaiter;

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
    /// `answer` in place of the token, for [`wait_for_answer`](super::wait_for_answer).
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

    /// Notifies all waiters; leaves to the caller what may be done when the lock is open.
    #[inline]
    pub(crate) fn wake_all(&mut self) -> Wakeups {
        let mut wakeups = Wakeups::default();
        while let Some(claimed) = self.claim() {
            // SAFETY: live, because it has not been notified; taken out of its queue by `claim`.
            wakeups.add(unsafe { notify(claimed.0) });
        }
        wakeups
    }
}
