//! The inbox of one scheduler thread: a lock-free queue with many producers and one consumer, and
//! its bell.
//!
//! Whatever another thread wants of a scheduler (wake a coroutine, start one, end) arrives here as
//! a [`Message`]; the owning thread alone acts on it. One word is all that producers and the
//! consumer share, and it says both what is queued and whether the consumer sleeps:
//!
//! ```text
//!                 push (no bell)            push
//!            +---------------------+     +--------+
//!            |                     v     |        v
//!         EMPTY <---- drain ---- node -> node -> node     (newest first)
//!          |  ^                    ^
//!  prepare |  | woke               | push, and this pusher rings
//!  _sleep  v  |                    |
//!         ASLEEP ------------------+           close: any state -> CLOSED, for good
//! ```
//!
//! **Nothing is lost.** A message enters by a compare-and-swap that links the whole stack below it,
//! and leaves by a swap that takes the whole stack; a node is thus in the stack or in exactly one
//! taken chain. `CLOSED` is never overwritten, so a push either precedes the close, and its message
//! is in the batch that `close` returns, or it sees `CLOSED` and hands the message back.
//!
//! **No wake-up is lost, and no ring is wasted.** `prepare_sleep` succeeds only by the exchange
//! `EMPTY -> ASLEEP`; an exchange that succeeds has read the last value in the word's modification
//! order (C++20 [atomics.order] p10). So for every push there are two cases. It comes before: then
//! the word is not `EMPTY`, and the consumer does not sleep. It comes after: then the first push
//! replaces `ASLEEP`, and whoever replaces it, one thread for each sleep, rings. A push that
//! replaces anything else finds the consumer awake, or already being rung for, and needs no system
//! call.
//!
//! **Order.** The stack is newest first; the consumer reverses what it took. A producer's earlier
//! message lies below its later one, or was taken in an earlier batch: so each producer's messages
//! arrive in the order of their pushes.
//!
//! **No ABA.** `push` never reads through the word; it only stores it as its node's link. If the
//! word was taken and the same address pushed anew meanwhile, then the link names the node that is
//! on top now, which is what it should name. The word is an integer with exposed provenance, so
//! that such a link may be followed to the newer allocation.
//!
//! **Orderings.** A push publishes its node with Release, and the consumer takes with Acquire.
//! Later pushes are read-modify-writes and so continue the release sequence of the earlier ones:
//! one Acquire covers the whole stack. `close` adds Release, and a refused push has read with
//! Acquire, so that it sees all that the consumer did before it closed. `ASLEEP` and `EMPTY` carry
//! no data, hence Relaxed; the bell's own system calls order what follows a ring.
//!
//! The queue has no limit of its own, because a wake must never be refused. Its length is bounded
//! by what it carries: waiters for wakes, and by the senders of closures, who bound themselves.

use crate::sys::eventfd::EventFd;
use std::fmt;

use crate::primitive::{AtomicUsize, Ordering};

/// What one thread asks of another thread's scheduler.
pub(crate) enum Message {
    /// Make the coroutine runnable, if `slot` still holds the coroutine `id`.
    Wake { slot: u32, id: u64 },
    /// Spawn this unstarted closure as a coroutine of the receiving thread.
    Run(Box<dyn FnOnce() + Send>),
    /// Free the reactor registration `token`.
    Release { token: u64 },
    /// Cancel the coroutine, if `slot` still holds the coroutine `id`.
    Cancel { slot: u32, id: u64 },
    /// End the receiving runtime.
    Shutdown,
}

impl fmt::Debug for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Wake { slot, id } => write!(out, "Wake({slot}, {id})"),
            Message::Run(_) => write!(out, "Run"),
            Message::Release { token } => write!(out, "Release({token})"),
            Message::Cancel { slot, id } => write!(out, "Cancel({slot}, {id})"),
            Message::Shutdown => write!(out, "Shutdown"),
        }
    }
}

/// What ends the consumer's sleep.
pub(crate) trait Bell {
    /// Ends the sleep that the consumer is in, or the next one if it has not quite begun. May be
    /// called on any thread.
    fn ring(&self);
}

impl Bell for EventFd {
    fn ring(&self) {
        // A ring that fails leaves the consumer asleep over its messages; eventfd(2) lists no
        // reason why it could.
        EventFd::ring(self).expect("the bell's descriptor is open");
    }
}

/// Nothing queued, the consumer awake.
const EMPTY: usize = 0;
/// Nothing queued, the consumer asleep or about to be.
const ASLEEP: usize = 1;
/// The consumer is gone. Every larger word is the address of the newest node.
const CLOSED: usize = 2;

/// One queued message. Owned by its pusher until it is linked, then by whoever takes the stack.
struct Node {
    /// The node pushed before this one, or a word up to `CLOSED` at the end.
    next: usize,
    message: Message,
}

// Addresses of nodes are nonzero multiples of the alignment, so they never look like one of the
// three states.
const _: () = assert!(align_of::<Node>() > CLOSED);

/// The inbox of one scheduler thread. `push` is for everybody; every other method is for the
/// consumer alone.
///
/// Memory stays sound whoever calls what; but a second consumer would break the protocol of the
/// sleep.
pub(crate) struct Inbox<B: Bell> {
    /// The state, or the newest node: see the module's diagram.
    word: AtomicUsize,
    bell: B,
}

impl<B: Bell> Inbox<B> {
    /// An open, empty inbox whose consumer is awake.
    pub(crate) fn new(bell: B) -> Inbox<B> {
        Inbox { word: AtomicUsize::new(EMPTY), bell }
    }

    /// Whether the consumer sleeps, as far as other threads can tell.
    pub(crate) fn is_asleep(&self) -> bool {
        self.word.load(Ordering::Relaxed) == ASLEEP
    }

    /// The bell, for the consumer to wait on.
    pub(crate) fn bell(&self) -> &B {
        &self.bell
    }

    /// Queues `message`, and rings if the consumer sleeps and nobody has rung yet.
    ///
    /// Hands the message back if the inbox is closed: its runtime is gone.
    pub(crate) fn push(&self, message: Message) -> Result<(), Message> {
        let mut seen = self.word.load(Ordering::Acquire);
        if seen == CLOSED {
            return Err(message);
        }
        let node = Box::into_raw(Box::new(Node { next: EMPTY, message }));
        let address = node.expose_provenance();
        loop {
            if seen == CLOSED {
                // SAFETY: `node` came from `Box::into_raw` above, and no exchange has published it.
                return Err(unsafe { Box::from_raw(node) }.message);
            }
            // SAFETY: `node` is live and not yet published, so this thread alone can reach it.
            unsafe { (*node).next = seen };
            // Release publishes the node; Acquire on failure serves a push that is refused.
            let exchange = (Ordering::Release, Ordering::Acquire);
            match self.word.compare_exchange_weak(seen, address, exchange.0, exchange.1) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        if seen == ASLEEP {
            self.bell.ring();
        }
        Ok(())
    }

    /// Whether nothing is queued. One relaxed load, for the scheduler's hot path: it may be late by
    /// a moment, which is why `prepare_sleep` does not rely on it.
    pub(crate) fn is_empty(&self) -> bool {
        self.word.load(Ordering::Relaxed) <= CLOSED
    }

    /// Takes all that is queued now and passes it to `deliver`, each producer's messages in the
    /// order of their pushes. Returns how many there were. Messages that arrive meanwhile wait for
    /// the next call, so it ends.
    ///
    /// `deliver` may push to this inbox. If it panics, the messages that it has not seen are
    /// dropped.
    pub(crate) fn drain(&self, mut deliver: impl FnMut(Message)) -> usize {
        // Only the consumer makes nodes vanish, so a word that is a node stays one until the swap.
        if self.is_empty() {
            return 0;
        }
        // Acquire: pairs with the Release of every push in the chain.
        let taken = Batch::oldest_first(self.word.swap(EMPTY, Ordering::Acquire));
        let mut count = 0;
        for message in taken {
            deliver(message);
            count += 1;
        }
        count
    }

    /// Announces that the consumer is about to wait for the bell. False if something is queued (or
    /// the inbox is closed): then it must not sleep. After true, it calls `woke` before anything
    /// else here.
    pub(crate) fn prepare_sleep(&self) -> bool {
        let order = Ordering::Relaxed;
        let seen = self.word.compare_exchange(EMPTY, ASLEEP, order, order);
        debug_assert!(seen != Err(ASLEEP), "the consumer sleeps already");
        seen.is_ok()
    }

    /// Ends the announcement, whatever ended the sleep: the bell, an event or a deadline.
    ///
    /// If a push took the announcement at the same moment, then its ring comes late and ends the
    /// next sleep early.
    pub(crate) fn woke(&self) {
        let order = Ordering::Relaxed;
        let seen = self.word.compare_exchange(ASLEEP, EMPTY, order, order);
        debug_assert!(seen != Err(EMPTY), "the consumer had not announced a sleep");
    }

    /// Sleeps by `wait`, which the bell ends, unless something is queued.
    pub(crate) fn sleep(&self, wait: impl FnOnce()) {
        if self.prepare_sleep() {
            wait();
            self.woke();
        }
    }

    /// Forgets all that is queued, and any sleep, in a forked child: it has none of the senders.
    /// The messages are leaked, so that this may be called in a handler of pthread_atfork(3).
    pub(crate) fn forget(&self) {
        if self.word.load(Ordering::Relaxed) != CLOSED {
            self.word.store(EMPTY, Ordering::Relaxed);
        }
    }

    /// Refuses every later push, and returns the messages that came before.
    pub(crate) fn close(&self) -> Batch {
        Batch::oldest_first(self.word.swap(CLOSED, Ordering::AcqRel))
    }
}

impl<B: Bell> Drop for Inbox<B> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

/// Messages taken out of an inbox, oldest first. Dropping it drops those not yet iterated.
pub(crate) struct Batch {
    /// The oldest node left, or a word up to `CLOSED`.
    first: usize,
}

impl Batch {
    /// Turns round the chain under `newest`, which the caller has just taken out of an inbox.
    fn oldest_first(newest: usize) -> Batch {
        let mut batch = Batch { first: EMPTY };
        let mut rest = newest;
        while rest > CLOSED {
            let node = std::ptr::with_exposed_provenance_mut::<Node>(rest);
            // SAFETY: a word above CLOSED is the exposed address of a live node; the swap that took
            // it gave the whole chain to this thread, and its Acquire made the pushers' writes
            // visible.
            unsafe {
                let next = (*node).next;
                (*node).next = batch.first;
                batch.first = rest;
                rest = next;
            }
        }
        batch
    }
}

impl Iterator for Batch {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        if self.first <= CLOSED {
            return None;
        }
        let node = std::ptr::with_exposed_provenance_mut::<Node>(self.first);
        // SAFETY: the batch owns its chain; the node came from `Box::into_raw`, and is unlinked by
        // the next line.
        let node = unsafe { Box::from_raw(node) };
        self.first = node.next;
        Some(node.message)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

#[cfg(test)]
mod tests;
