//! What all coroutines of a round share, on both workers and on plain threads: channels, locks and
//! notifications, each with its own arithmetic.

use super::xorshift::Xorshift;
use cove::sync::{Condvar, Mutex, Notify, PoisonError, RwLock, Semaphore, mpsc};
use cove::task;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long plain threads wait for anything.
const SHORT: Duration = Duration::from_micros(200);

/// Permits of the semaphore.
const PERMITS: usize = 3;

/// See the module.
pub(crate) struct Hub {
    /// Both sums are the same whenever nobody holds the lock.
    pair: Mutex<(u64, u64)>,
    table: RwLock<(u64, u64)>,
    pub(crate) semaphore: Semaphore,
    inside: AtomicU64,
    queue: Mutex<VecDeque<u64>>,
    filled: Condvar,
    pub(crate) notify: Notify,
    bounded: (mpsc::SyncSender<u64>, Mutex<mpsc::Receiver<u64>>),
    unbounded: (mpsc::Sender<u64>, Mutex<mpsc::Receiver<u64>>),
    sent: Sums,
    received: Sums,
    /// Players whom anybody may unpark or cancel.
    offered: std::sync::Mutex<Vec<task::Handle>>,
}

/// How many, and what they add up to.
#[derive(Default)]
struct Sums {
    count: AtomicU64,
    sum: AtomicU64,
}

impl Sums {
    fn add(&self, value: u64) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn read(&self) -> (u64, u64) {
        (self.count.load(Ordering::Relaxed), self.sum.load(Ordering::Relaxed))
    }
}

impl Hub {
    pub(crate) fn new() -> Hub {
        let (bounded, unbounded) = (mpsc::sync_channel(4), mpsc::channel());
        Hub {
            pair: Mutex::default(),
            table: RwLock::default(),
            semaphore: Semaphore::new(PERMITS),
            inside: AtomicU64::new(0),
            queue: Mutex::default(),
            filled: Condvar::new(),
            notify: Notify::new(),
            bounded: (bounded.0, Mutex::new(bounded.1)),
            unbounded: (unbounded.0, Mutex::new(unbounded.1)),
            sent: Sums::default(),
            received: Sums::default(),
            offered: std::sync::Mutex::default(),
        }
    }

    /// Changes both sums, with `between` in the critical section, which may unwind.
    pub(crate) fn add_to_pair(&self, value: u64, between: impl FnOnce()) {
        let mut pair = self.pair.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(pair.0, pair.1, "somebody was inside");
        between();
        pair.0 = pair.0.wrapping_add(value);
        pair.1 = pair.1.wrapping_add(value);
    }

    /// Reads or, once in a while, writes the table.
    pub(crate) fn use_table(&self, writes: bool, between: impl FnOnce()) {
        if writes {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            assert_eq!(table.0, table.1, "somebody was inside");
            between();
            table.0 += 1;
            table.1 += 1;
        } else {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            let seen = *table;
            between();
            assert_eq!((seen, seen.0), (*table, table.1), "somebody wrote");
        }
    }

    /// Holds permits, of which there are few.
    pub(crate) fn hold_permits(&self, permits: u32, between: impl FnOnce()) {
        struct Inside<'a>(&'a AtomicU64, u64);
        impl Drop for Inside<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(self.1, Ordering::Relaxed);
            }
        }
        let _permit = self.semaphore.acquire_many(permits);
        let before = self.inside.fetch_add(u64::from(permits), Ordering::Relaxed);
        let _inside = Inside(&self.inside, u64::from(permits));
        assert!(before + u64::from(permits) <= PERMITS as u64, "more than there are permits");
        between();
    }

    /// Sends through one of the channels. What is not sent, because the wait was ended, comes back
    /// to nobody and is not counted.
    pub(crate) fn send(&self, value: u64, bounded: bool) {
        if bounded {
            self.bounded.0.send(value).expect("a receiver");
        } else {
            self.unbounded.0.send(value).expect("a receiver");
        }
        self.sent.add(value);
    }

    /// Receives what there is, in at most `wait`.
    pub(crate) fn receive(&self, bounded: bool, wait: Duration) {
        let receiver = if bounded { &self.bounded.1 } else { &self.unbounded.1 };
        let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(value) = receiver.recv_timeout(wait) {
            self.received.add(value);
        }
    }

    /// Puts a value into the queue that is made of a lock and a condition variable.
    pub(crate) fn put(&self, value: u64) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_back(value);
        self.sent.add(value);
        drop(queue);
        self.filled.notify_one();
    }

    /// Takes a value, in at most `wait`.
    pub(crate) fn get(&self, wait: Duration) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.filled.wait_timeout_while(queue, wait, |queue| queue.is_empty());
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        if let Some(value) = queue.pop_front() {
            self.received.add(value);
        }
    }

    /// Offers a player to whoever meddles.
    pub(crate) fn offer(&self, player: task::Handle) {
        self.offered.lock().expect("no panic").push(player);
    }

    /// What a plain thread does: a little of everything, bounded.
    pub(crate) fn meddle(&self, random: &mut Xorshift) {
        let value = random.next() >> 16;
        match random.below(11) {
            8 => self.disturb(|player| player.unpark()),
            9 => self.disturb(|player| player.cancel()),
            0 => self.add_to_pair(value, || ()),
            1 => self.use_table(random.once_in(3), || ()),
            2 => self.hold_permits(1 + random.below(3) as u32, std::thread::yield_now),
            3 => self.send(value, false),
            4 => self.receive(random.once_in(2), SHORT),
            5 => self.put(value),
            6 => self.get(SHORT),
            7 => self.notify.notify_one(),
            _ => std::thread::yield_now(),
        }
        // There is always somebody who takes: the thread itself, if nobody else does.
        self.receive(true, SHORT);
    }

    fn disturb(&self, how: impl FnOnce(task::Handle)) {
        let player = self.offered.lock().expect("no panic").pop();
        player.map(how);
    }

    /// Nobody is inside anything, all permits are back, and what was sent has been received or is
    /// still there.
    pub(crate) fn check(&self) {
        self.add_to_pair(1, || ());
        self.use_table(true, || ());
        assert_eq!(self.semaphore.available_permits(), PERMITS);
        assert_eq!(self.inside.load(Ordering::Relaxed), 0);
        for receiver in [&self.bounded.1, &self.unbounded.1] {
            let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
            receiver.try_iter().for_each(|value| self.received.add(value));
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.drain(..).for_each(|value| self.received.add(value));
        assert_eq!(self.sent.read(), self.received.read(), "values were lost or made up");
    }
}
