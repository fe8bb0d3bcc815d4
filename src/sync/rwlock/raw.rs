//! The lock inside [`RwLock`](super::RwLock): the word, and the queue of those who wait.
//!
//! **Who gets it.** Waiters queue in the order of their coming, readers behind writers too. An
//! opened lock is free for anybody; the first waiter, if it is a reader together with the readers
//! right behind it, is woken to try for it. A waiter that is passed over queues up again, as one to
//! whom the lock must be *handed*. So each waiter gets the lock after at most two rounds of those
//! who queued before it: neither readers nor writers starve.
//!
//! **Nothing is lost.** A waiter that was notified always comes back from its wait, even if it was
//! cancelled or its time ran out. It then holds the lock, or tries to take it; if it cannot, the
//! one who holds it will admit the next waiters when it opens it. A waiter that leaves unnotified
//! may have stood before others that could enter: it admits them.

use super::word::{Mode, Word};
use crate::primitive::SpinLock;
use crate::scheduler::wait::{NEVER, WaitKind, WaitQueue, wait_for_answer};
use std::thread;

/// What a waiter says of itself: whether it wants to write, and whether it was passed over.
const WRITE: u32 = 1;
const PASSED_OVER: u32 = 2;

/// What the notifier answers: try to take the lock.
const TRY: u32 = 4;
/// You hold the lock.
const HANDED: u32 = 8;

pub(super) struct RawRwLock {
    word: Word,
    waiters: SpinLock<WaitQueue>,
}

impl RawRwLock {
    constructor! {
        pub(super) const fn new() -> RawRwLock {
            RawRwLock { word: Word::new(), waiters: SpinLock::new(WaitQueue::new()) }
        }
    }

    #[inline]
    pub(super) fn read(&self) {
        if !self.word.read() {
            self.lock_contended(Mode::Read);
        }
    }

    #[inline]
    pub(super) fn write(&self) {
        if !self.word.write() {
            self.lock_contended(Mode::Write);
        }
    }

    #[inline]
    pub(super) fn try_read(&self) -> bool {
        self.word.read() || self.try_read_contended()
    }

    #[inline]
    pub(super) fn try_write(&self) -> bool {
        self.word.write() || self.word.lock_past(Mode::Write)
    }

    /// Opens the caller's lock for reading.
    ///
    /// # Safety
    /// The caller holds one.
    #[inline]
    pub(super) unsafe fn unlock_read(&self) {
        if self.word.unlock_read() {
            self.admit();
        }
    }

    /// Opens the lock for writing.
    ///
    /// # Safety
    /// The caller holds it.
    #[inline]
    pub(super) unsafe fn unlock_write(&self) {
        if self.word.unlock_write() {
            self.admit();
        }
    }

    /// Tries again without heed of a `WAITERS` that was left over.
    #[cold]
    fn try_read_contended(&self) -> bool {
        if !self.word.admits(Mode::Read) {
            return false;
        }
        let queue = self.waiters.lock();
        queue.is_empty() && self.word.lock_past(Mode::Read)
    }

    #[cold]
    fn lock_contended(&self, mode: Mode) {
        let mut token = if mode == Mode::Write { WRITE } else { 0 };
        loop {
            let queue = self.waiters.lock();
            if !self.word.announce(mode, !queue.is_empty()) {
                return;
            }
            let admit = Admit(self);
            let kind = WaitKind::RwLock;
            let answer = wait_for_answer(&self.waiters, queue, |q| q, kind, token, NEVER).1;
            std::mem::forget(admit);
            if answer == HANDED || self.word.lock_past(mode) {
                return;
            }
            token |= PASSED_OVER;
        }
    }

    /// Lets in whoever stands first, if the holders allow it.
    #[cold]
    fn admit(&self) {
        let mut queue = self.waiters.lock();
        // While this thread unwinds, a waiter on it could not run; the lock must be left free for
        // the destructors that follow.
        let may_hand = !thread::panicking();
        let mut last = None;
        while let Some(token) = queue.front_token() {
            let mode = if token & WRITE != 0 { Mode::Write } else { Mode::Read };
            if last.is_some() && mode == Mode::Write {
                break;
            }
            let hand = may_hand && token & PASSED_OVER != 0;
            let enters = if hand { self.word.lock_past(mode) } else { self.word.admits(mode) };
            if !enters {
                break;
            }
            let next = queue.notify_one_with(if hand { HANDED } else { TRY });
            if let Some(earlier) = std::mem::replace(&mut last, next) {
                earlier.send();
            }
            if mode == Mode::Write {
                break;
            }
        }
        if queue.is_empty() {
            self.word.clear_waiters();
        }
        drop(queue);
        if let Some(wakeup) = last {
            wakeup.send();
        }
    }
}

/// Admits those behind a waiter that leaves by unwinding.
struct Admit<'a>(&'a RawRwLock);

impl Drop for Admit<'_> {
    fn drop(&mut self) {
        self.0.admit();
    }
}
