//! Queues of what no worker has started yet, and who idles: all on which workers must agree. It
//! knows nothing of schedulers, so that loom can run it.
//!
//! **Nothing waits while a worker sleeps.** A worker announces that it idles and *then* looks at
//! every queue; a push enters the queue and *then* looks for one that idles. Between the two steps
//! each side has a SeqCst fence: of two such fences one comes first, and what was written before it
//! is seen after the other (C++20 [atomics.order] p4). So either the worker finds the item, or the
//! push finds the worker.
//!
//! Whoever wakes a worker takes its announcement away, so that one push wakes one worker. A worker
//! that was woken in this way but has something else to do by then owes the item to the others: it
//! wakes the next one that idles. The queue's own worker need not be awake.
//!
//! Nobody polls: with nothing queued, sleeping workers stay asleep.

use crate::primitive::{AtomicU64, AtomicUsize, Ordering, SpinGuard, SpinLock, fence};
use crate::scheduler::inbox::{Bell, Inbox};
use crate::scheduler::wait::{NEVER, WaitKind, WaitQueue, wait};
use std::collections::LinkedList;

#[cfg(all(test, loom))]
mod tests;

/// What a worker has not started.
struct Unstarted<T> {
    /// A list, so that nothing is allocated or freed under the lock.
    queue: LinkedList<T>,
    /// Those in `queue`, and those on their way through the inbox.
    count: usize,
    closed: bool,
    /// Who waits for room.
    room: WaitQueue,
}

/// One worker's queue.
struct Place<T> {
    unstarted: SpinLock<Unstarted<T>>,
    /// The length of the queue, for those who do not hold the lock; written under it.
    queued: AtomicUsize,
}

/// The queues of all workers, and their announcements.
pub(super) struct Board<T> {
    places: Box<[Place<T>]>,
    /// One bit for each worker that has announced that it idles.
    idle: Box<[AtomicU64]>,
    /// Items that one worker may have unstarted.
    room: usize,
}

impl<T> Board<T> {
    /// Empty queues with `room` for so many items each.
    pub(super) fn new(workers: usize, room: usize) -> Board<T> {
        let place = |_| Place {
            unstarted: SpinLock::new(Unstarted {
                queue: LinkedList::new(),
                count: 0,
                closed: false,
                room: WaitQueue::new(),
            }),
            queued: AtomicUsize::new(0),
        };
        Board {
            places: (0..workers).map(place).collect(),
            idle: (0..workers.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            room,
        }
    }

    /// Queues an item for the worker `index`, or whoever steals it, once there is room; if there is
    /// none and the caller may not wait, all the same. False if the queue is closed; the item is
    /// dropped then. If true, one that idles is to be woken.
    pub(super) fn push(&self, index: usize, item: T, may_wait: impl Fn() -> bool) -> bool {
        let place = &self.places[index];
        let mut queued = LinkedList::from([item]);
        let Some(mut unstarted) = self.enter(place, may_wait) else { return false };
        unstarted.queue.append(&mut queued);
        place.queued.store(unstarted.queue.len(), Ordering::Relaxed);
        drop(unstarted);
        // Pairs with that in `announce`.
        fence(Ordering::SeqCst);
        true
    }

    /// Counts an item in that goes to the worker by another way, and which `depart` counts out. As
    /// `push`.
    pub(super) fn admit(&self, index: usize, may_wait: impl Fn() -> bool) -> bool {
        self.enter(&self.places[index], may_wait).is_some()
    }

    fn enter<'a>(
        &self,
        place: &'a Place<T>,
        may_wait: impl Fn() -> bool,
    ) -> Option<SpinGuard<'a, Unstarted<T>>> {
        loop {
            let mut unstarted = place.unstarted.lock();
            if unstarted.closed {
                return None;
            }
            if unstarted.count < self.room || !may_wait() {
                unstarted.count += 1;
                return Some(unstarted);
            }
            wait(&place.unstarted, unstarted, |u| &mut u.room, WaitKind::Send, 0, NEVER);
        }
    }

    /// An item that was admitted has arrived.
    pub(super) fn depart(&self, index: usize) {
        let mut unstarted = self.places[index].unstarted.lock();
        unstarted.count -= 1;
        unstarted.room.wake_one();
    }

    /// Takes the oldest item that the worker `index` has queued.
    pub(super) fn take(&self, index: usize) -> Option<T> {
        if !self.has_queued(index) {
            return None;
        }
        let place = &self.places[index];
        let mut unstarted = place.unstarted.lock();
        if unstarted.queue.is_empty() {
            return None;
        }
        let rest = unstarted.queue.split_off(1);
        let first = std::mem::replace(&mut unstarted.queue, rest);
        place.queued.store(unstarted.queue.len(), Ordering::Relaxed);
        unstarted.count -= 1;
        unstarted.room.wake_one();
        drop(unstarted);
        first.into_iter().next()
    }

    /// Takes the oldest item of the next worker after `index` that has any.
    pub(super) fn steal(&self, index: usize) -> Option<T> {
        let workers = self.places.len();
        (1..workers).find_map(|step| self.take((index + step) % workers))
    }

    /// Whether the worker `index` has anything queued.
    pub(super) fn has_queued(&self, index: usize) -> bool {
        self.places[index].queued.load(Ordering::Relaxed) > 0
    }

    /// Whether anything is queued.
    pub(super) fn has_any_queued(&self) -> bool {
        (0..self.places.len()).any(|index| self.has_queued(index))
    }

    /// Takes away the announcement of one worker that idles, who is then to be woken.
    pub(super) fn claim_idle(&self) -> Option<usize> {
        for (word, idle) in self.idle.iter().enumerate() {
            let mut seen = idle.load(Ordering::Relaxed);
            while seen != 0 {
                let bit = seen & seen.wrapping_neg();
                // Release: the worker is to find what this thread has queued, or found queued.
                let order = (Ordering::Release, Ordering::Relaxed);
                match idle.compare_exchange(seen, seen & !bit, order.0, order.1) {
                    Ok(_) => return Some(word * 64 + bit.trailing_zeros() as usize),
                    Err(now) => seen = now,
                }
            }
        }
        None
    }

    /// Sleeps by `wait`, which the bell of the worker's inbox ends, unless something is queued here
    /// or there. True if the worker was claimed: it is to steal, or to see that another one does.
    pub(super) fn sleep<B: Bell>(
        &self,
        index: usize,
        inbox: &Inbox<B>,
        wait: impl FnOnce(),
    ) -> bool {
        let (idle, bit) = (&self.idle[index / 64], 1 << (index % 64));
        idle.fetch_or(bit, Ordering::Relaxed);
        // Pairs with that in `push`.
        fence(Ordering::SeqCst);
        if !self.has_any_queued() {
            inbox.sleep(wait);
        }
        // Acquire: pairs with the Release of a claim.
        idle.fetch_and(!bit, Ordering::Acquire) & bit == 0
    }

    /// Refuses items from now on, and drops those that are queued.
    pub(super) fn close(&self) {
        for place in &self.places {
            let mut unstarted = place.unstarted.lock();
            unstarted.closed = true;
            let queue = std::mem::take(&mut unstarted.queue);
            unstarted.count -= queue.len();
            place.queued.store(0, Ordering::Relaxed);
            let wakeups = unstarted.room.wake_all();
            drop(unstarted);
            wakeups.send();
            drop(queue);
        }
    }
}
