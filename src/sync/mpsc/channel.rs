//! The state that senders and the receiver of one channel share, under one lock.
//!
//! ```text
//!   bounded, full:    offers             queue (at most `bound`)         receiver
//!                     (9) (8) (7)   -->  [ 6 | 5 | 4 | 3 ]   -->
//!                      blocked senders' values; move up as room appears
//!
//!   receiver waiting:                    [ empty ]      hand_over  ==>   receiver
//! ```
//!
//! - **Handing over.** A sender that finds the receiver waiting claims it, puts the value into
//!   `handed` and wakes it; the receiver takes the value without the lock. One lock is thus all
//!   that either side pays for a message. A claimed receiver always comes back for its value: a
//!   notification wins over deadlines and cancellation. Several coroutines of one thread may share
//!   the receiver; while one of them has yet to take what is in `handed`, others find theirs in the
//!   queue. Who is woken takes whatever is there, or waits again.
//! - **Offers.** A sender that must block leaves its value in `offers`, and waits in `offerers`,
//!   in the same order. Who makes room moves the first offer up. A sender that stops waiting leaves
//!   both at once: so either its value comes back and its wait fails, or the value has moved up and
//!   it is told so, whatever else happens to it. Only when the receiver goes are offers left
//!   without their waiters, which take them back.
//! - **Reservations.** A `select!` whose send arm was chosen holds a place, counted in `reserved`,
//!   while it computes its value. On a channel without room (bound 0) the place is the receiver's
//!   promise to wait for just that value.
//!
//! While the receiver waits, the queue is empty, and so are the offers, unless the receiver is
//! bound by a promise.

use super::blocks::{Block, Blocks};
use crate::primitive::{AtomicBool, Ordering, UnsafeCell};
use crate::scheduler::biased::{BiasedGuard, BiasedLock};
use crate::scheduler::wait::{NEVER, Terms, WaitKind, WaitQueue, Waited, wait, wait_or_leave};
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::mpsc::{RecvTimeoutError, TrySendError};

/// The bound of a channel without one.
pub(super) const UNBOUNDED: usize = usize::MAX;

/// Room for offers that is kept when there are none.
const OFFERS_KEPT: usize = 64;

pub(super) struct State<T> {
    pub(super) queue: Blocks<T>,
    pub(super) receivers: WaitQueue,
    pub(super) bound: usize,
    pub(super) reserved: usize,
    pub(super) senders: usize,
    pub(super) receiver_gone: bool,
    /// Whether a `select!` has its turn before the next offer.
    arms_first: bool,
    next_ticket: u32,
    pub(super) offers: VecDeque<(u32, T)>,
    /// The senders of the offers; the tokens are the tickets.
    offerers: WaitQueue,
    /// The send arms of waiting `select!`s.
    pub(super) arms: WaitQueue,
}

/// What the two ends of a channel point at.
pub(super) struct Channel<T> {
    pub(super) lock: BiasedLock<State<T>>,
    /// A value for a receiver that was claimed. Full, it belongs to the thread that receives;
    /// empty, to who holds the lock.
    handed: UnsafeCell<MaybeUninit<T>>,
    /// Whether `handed` is full.
    is_handed: AtomicBool,
}

// SAFETY: values go from thread to thread, but are never shared: the lock guards the state, and
// `handed` belongs to one thread at a time, as its comment says.
unsafe impl<T: Send> Sync for Channel<T> {}
// SAFETY: a channel that moves is shared by nobody: with it move the values in the queue, the
// offers and the hand, which are `Send`.
unsafe impl<T: Send> Send for Channel<T> {}

impl<T> State<T> {
    /// Whether a value may go straight to the receiver if that waits.
    #[inline]
    fn receiver_is_free(&self) -> bool {
        self.bound > 0 || self.reserved == 0
    }

    pub(super) fn has_room(&self) -> bool {
        self.queue.len().saturating_add(self.reserved) < self.bound
    }

    /// Moves offers up, and gives places to `select!`s, as far as there is room.
    #[inline]
    pub(super) fn admit(&mut self) {
        if !(self.offers.is_empty() && self.arms.is_empty()) {
            self.admit_waiting();
        }
    }

    #[cold]
    fn admit_waiting(&mut self) {
        while self.has_room() {
            self.arms_first = !self.arms_first;
            if self.arms_first || self.offers.is_empty() {
                if let Some(arm) = self.arms.claim() {
                    self.reserved += 1;
                    arm.wake();
                    continue;
                }
            }
            let Some(value) = self.accept_offer() else { return };
            self.queue.push(value);
        }
    }

    /// Takes the first offer, and tells its sender.
    #[cold]
    fn accept_offer(&mut self) -> Option<T> {
        let (ticket, value) = self.offers.pop_front()?;
        if self.offerers.front_token() == Some(ticket) {
            self.offerers.wake_one();
        }
        if self.offers.is_empty() && self.offers.capacity() > OFFERS_KEPT {
            self.offers = VecDeque::new();
        }
        Some(value)
    }

    /// Takes an offer back if it has not moved up; tells also whether the receiver is gone.
    #[cold]
    fn take_back(&mut self, ticket: u32) -> Option<Refused<T>> {
        // Tickets ascend, apart from wrapping around.
        let first = self.offers.front()?.0;
        let key = ticket.wrapping_sub(first);
        let found = self.offers.binary_search_by_key(&key, |offer| offer.0.wrapping_sub(first));
        let (_, value) = self.offers.remove(found.ok()?)?;
        Some(Refused { value, gone: self.receiver_gone })
    }

    /// Takes the next value.
    #[inline(always)]
    fn take(&mut self) -> Option<T> {
        match self.queue.pop() {
            Some(value) => {
                self.admit();
                Some(value)
            }
            None if self.offers.is_empty() => None,
            None => self.accept_offer(),
        }
    }

    /// On a channel without room: whether the receiver is to wait for a value that is promised,
    /// having won a waiting `select!` for it if need be.
    #[inline(always)]
    fn has_promise(&mut self) -> bool {
        self.bound == 0 && (self.reserved > 0 || self.win_promise())
    }

    #[cold]
    fn win_promise(&mut self) -> bool {
        let Some(arm) = self.arms.claim() else { return false };
        self.reserved += 1;
        arm.wake();
        true
    }
}

impl<T> Channel<T> {
    pub(super) fn new(bound: usize) -> Channel<T> {
        let state = State {
            queue: Blocks::new(),
            receivers: WaitQueue::new(),
            bound,
            reserved: 0,
            senders: 1,
            receiver_gone: false,
            arms_first: false,
            next_ticket: 0,
            offers: VecDeque::new(),
            offerers: WaitQueue::new(),
            arms: WaitQueue::new(),
        };
        let handed = UnsafeCell::new(MaybeUninit::uninit());
        Channel { lock: BiasedLock::new(state), handed, is_handed: AtomicBool::new(false) }
    }

    /// Gives the value to a receiver if one waits.
    #[inline(always)]
    pub(super) fn hand_over(&self, state: &mut State<T>, value: T) -> Result<(), T> {
        let Some(receiver) = state.receivers.claim() else { return Err(value) };
        if self.is_handed.load(Ordering::Acquire) {
            // Several coroutines receive, and one is still to take its value.
            state.queue.push(value);
        } else {
            // SAFETY: the cell is empty, so it belongs to who holds the lock.
            self.handed.with_mut(|cell| unsafe { (*cell).write(value) });
            self.is_handed.store(true, Ordering::Release);
        }
        receiver.wake();
        Ok(())
    }

    /// What a claimed receiver was given.
    #[inline(always)]
    pub(super) fn handed_over(&self) -> Option<T> {
        if !self.is_handed.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: the cell is full, so it belongs to the one thread that receives.
        let value = self.handed.with_mut(|cell| unsafe { (*cell).assume_init_read() });
        self.is_handed.store(false, Ordering::Release);
        Some(value)
    }

    /// Sends a value if that needs no waiting. After refusal the lock is held.
    #[inline(always)]
    fn place(&self, value: T) -> Result<(), (BiasedGuard<'_, State<T>>, TrySendError<T>)> {
        let mut state = self.lock.lock();
        if state.receiver_gone {
            return Err((state, TrySendError::Disconnected(value)));
        }
        let value = if state.receiver_is_free() {
            match self.hand_over(&mut state, value) {
                Ok(()) => return Ok(()),
                Err(value) => value,
            }
        } else {
            value
        };
        if !state.has_room() {
            return Err((state, TrySendError::Full(value)));
        }
        if !state.queue.has_room() {
            drop(state);
            return self.place_in_block(value, Block::new());
        }
        state.queue.push(value);
        Ok(())
    }

    /// As `place`, with memory that was asked for while the lock was open; everything may have
    /// changed meanwhile.
    #[cold]
    fn place_in_block(
        &self,
        value: T,
        block: Block<T>,
    ) -> Result<(), (BiasedGuard<'_, State<T>>, TrySendError<T>)> {
        self.lock.lock().queue.provide(block);
        self.place(value)
    }

    #[inline]
    pub(super) fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.place(value).map_err(|(_, refusal)| refusal)
    }

    /// Sends a value; when `deadline_ns` has passed or the receiver is gone, gives it back.
    #[inline]
    pub(super) fn send(&self, value: T, deadline_ns: u64) -> Result<(), Refused<T>> {
        match self.place(value) {
            Ok(()) => Ok(()),
            Err((_, TrySendError::Disconnected(value))) => Err(Refused { value, gone: true }),
            Err((state, TrySendError::Full(value))) => self.offer(state, value, deadline_ns),
        }
    }

    /// Leaves the value among the offers and waits until it has moved up.
    #[cold]
    fn offer(
        &self,
        mut state: BiasedGuard<'_, State<T>>,
        value: T,
        deadline_ns: u64,
    ) -> Result<(), Refused<T>> {
        let ticket = state.next_ticket;
        state.next_ticket = ticket.wrapping_add(1);
        state.offers.push_back((ticket, value));
        let mut refused = None;
        let terms = Terms { kind: WaitKind::Send, token: ticket, deadline_ns };
        let take_back = |state: &mut State<T>| refused = state.take_back(ticket);
        let ended = wait_or_leave(&self.lock, state, |it| &mut it.offerers, terms, take_back).0;
        if ended == Waited::Notified {
            // Moved up, or left behind by the receiver.
            refused = self.lock.lock().take_back(ticket);
        }
        refused.map_or(Ok(()), Err)
    }

    /// Receives a value. When there is none, waits until `deadline_ns`, or not at all if that is
    /// `None`. `Timeout` stands for both.
    #[inline(always)]
    pub(super) fn receive(&self, deadline_ns: Option<u64>) -> Result<T, RecvTimeoutError> {
        loop {
            let mut state = self.lock.lock();
            if let Some(value) = state.take() {
                let excess = state.queue.excess();
                drop(state);
                drop(excess);
                return Ok(value);
            }
            if state.senders == 0 {
                return Err(RecvTimeoutError::Disconnected);
            }
            let deadline_ns = match deadline_ns {
                // While the thread unwinds nobody could keep the promise.
                None if std::thread::panicking() || !state.has_promise() => {
                    return Err(RecvTimeoutError::Timeout);
                }
                Some(deadline_ns) if state.bound > 0 || !state.has_promise() => deadline_ns,
                // It is kept, or withdrawn, by who is awake.
                _ => NEVER,
            };
            let kind = WaitKind::Receive;
            match wait(&self.lock, state, |state| &mut state.receivers, kind, 0, deadline_ns) {
                Waited::TimedOut => return Err(RecvTimeoutError::Timeout),
                Waited::Notified => {}
            }
            if let Some(value) = self.handed_over() {
                return Ok(value);
            }
        }
    }

    /// A sender more.
    pub(super) fn add_sender(&self) {
        self.lock.lock().senders += 1;
    }

    /// A sender less; the last one tells the receiver.
    pub(super) fn remove_sender(&self) {
        let mut state = self.lock.lock();
        state.senders -= 1;
        if state.senders == 0 {
            let wakeups = state.receivers.wake_all();
            drop(state);
            wakeups.send();
        }
    }

    /// The receiver is gone: every sender is told, and what nobody will receive is dropped.
    pub(super) fn remove_receiver(&self) {
        let mut state = self.lock.lock();
        state.receiver_gone = true;
        let offerers = state.offerers.wake_all();
        while let Some(arm) = state.arms.claim() {
            state.reserved += 1;
            arm.wake();
        }
        let unreceived = std::mem::replace(&mut state.queue, Blocks::new());
        drop(state);
        offerers.send();
        drop(unreceived);
    }
}

impl<T> Drop for Channel<T> {
    fn drop(&mut self) {
        drop(self.handed_over());
    }
}

/// A value that could not be sent, and whether that is because the receiver is gone.
pub(super) struct Refused<T> {
    pub(super) value: T,
    pub(super) gone: bool,
}
