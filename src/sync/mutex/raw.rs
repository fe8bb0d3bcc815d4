//! The lock inside [`Mutex`](super::Mutex): the word, and the queue of those who wait.
//!
//! **Who gets it.** An opened lock is free for anybody, and the first waiter is woken to try for
//! it. A holder that locks again at once may come first: on one thread that saves a switch for each
//! section, and no section waits for a coroutine that is itself waiting for its turn. But a waiter
//! is passed over only once. If it finds the lock taken again, it queues up as one to whom the lock
//! must be *handed*: the lock then never opens, and its next holder is that waiter. So each waiter
//! gets the lock after at most two rounds of those who queued before it, whatever others do.
//!
//! **Nothing is lost.** A waiter that was notified always comes back from its wait, even if it was
//! cancelled or its time ran out meanwhile. It then owns the lock, or tries to take it; and if it
//! finds the lock taken, the holder will see the next waiter when it opens it.

use super::word::Word;
use crate::primitive::{SpinLock, spin_loop};
use crate::scheduler::Scheduler;
use crate::scheduler::wait::{NEVER, WaitKind, WaitQueue, wait_for_answer};
use std::thread;

/// What a waiter says of itself: it has not been passed over yet.
const NEW: u32 = 0;
/// It has been: the lock must be handed to it.
const PASSED_OVER: u32 = 1;

/// What the notifier answers: try to take the lock.
const TRY: u32 = 2;
/// You hold the lock.
const HANDED: u32 = 3;

/// How often a plain thread looks before it waits: holders on other threads are mostly done within
/// this time (some microseconds). A coroutine never spins: the holder may be of its own thread.
const SPINS_MAX: u32 = if cfg!(test) { 2 } else { 100 };

pub(in crate::sync) struct RawMutex {
    word: Word,
    waiters: SpinLock<WaitQueue>,
}

impl RawMutex {
    constructor! {
        pub(in crate::sync) const fn new() -> RawMutex {
            RawMutex { word: Word::new(), waiters: SpinLock::new(WaitQueue::new()) }
        }
    }

    #[inline]
    pub(in crate::sync) fn lock(&self) {
        if !self.word.lock() {
            self.lock_contended();
        }
    }

    #[inline]
    pub(in crate::sync) fn try_lock(&self) -> bool {
        self.word.lock() || self.word.lock_past()
    }

    /// Opens the lock.
    ///
    /// # Safety
    /// The caller holds it.
    #[inline]
    pub(in crate::sync) unsafe fn unlock(&self) {
        if !self.word.unlock() {
            self.unlock_contended();
        }
    }

    #[cold]
    fn lock_contended(&self) {
        if Scheduler::current().is_none() && self.spin() {
            return;
        }
        let mut token = NEW;
        while !self.word.lock_past() {
            let queue = self.waiters.lock();
            if !self.word.announce() {
                return;
            }
            let answer =
                wait_for_answer(&self.waiters, queue, |q| q, WaitKind::Mutex, token, NEVER).1;
            if answer == HANDED {
                return;
            }
            token = PASSED_OVER;
        }
    }

    /// Looks for a while whether the lock opens.
    fn spin(&self) -> bool {
        for _ in 0..SPINS_MAX {
            if self.word.lock_past() {
                return true;
            }
            spin_loop();
        }
        false
    }

    #[cold]
    fn unlock_contended(&self) {
        let mut queue = self.waiters.lock();
        // While this thread unwinds, a waiter on it could not run; the lock must be left free for
        // the destructors that follow.
        let hand = queue.front_token() == Some(PASSED_OVER) && !thread::panicking();
        let next = queue.notify_one_with(if hand { HANDED } else { TRY });
        // If it is handed over, the word stays: it is locked, by the next holder now.
        if !hand {
            self.word.release(!queue.is_empty());
        }
        drop(queue);
        if let Some(wakeup) = next {
            wakeup.send();
        }
    }

    /// As `lock`, when one who is not of this thread is likely to hold the lock and to open it
    /// soon: looks for a while before it waits.
    pub(in crate::sync) fn lock_soon(&self) {
        if !self.word.lock() && !self.spin() {
            self.lock_contended();
        }
    }
}
