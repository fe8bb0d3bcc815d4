//! The word of a mutex under every interleaving, with parking replaced by loom's for each waiter.

use super::super::word::Word;
use crate::primitive::{SpinLock, UnsafeCell};
use crate::sync::tests::model::Parking;
use loom::sync::Arc;

/// A mutex around a number: the word as it ships, and the simplest queue.
struct Model {
    word: Word,
    queue: SpinLock<Vec<(Arc<Parking>, bool)>>,
    value: UnsafeCell<u32>,
}

// SAFETY: the value is touched by the holder only, which is what the model checks.
unsafe impl Sync for Model {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Model {}

impl Model {
    fn new() -> Arc<Model> {
        let queue = SpinLock::new(Vec::new());
        Arc::new(Model { word: Word::new(), queue, value: UnsafeCell::new(0) })
    }

    /// As `RawMutex::lock`. With `hand`, it wants the lock handed to it from the first.
    fn lock(&self, hand: bool) {
        if self.word.lock() {
            return;
        }
        while !self.word.lock_past() {
            let mut queue = self.queue.lock();
            if !self.word.announce() {
                return;
            }
            let notified = Arc::new(Parking::new());
            queue.push((notified.clone(), hand));
            drop(queue);
            notified.wait();
            if hand {
                return;
            }
        }
    }

    /// As `RawMutex::unlock`.
    fn unlock(&self) {
        if self.word.unlock() {
            return;
        }
        let mut queue = self.queue.lock();
        let Some((notified, hand)) = (!queue.is_empty()).then(|| queue.remove(0)) else {
            return self.word.release(false);
        };
        notified.notify();
        if !hand {
            self.word.release(!queue.is_empty());
        }
    }

    fn add(&self, hand: bool) {
        self.lock(hand);
        // SAFETY: the lock is held; loom reports it if somebody else has it too.
        self.value.with_mut(|value| unsafe { *value += 1 });
        self.unlock();
    }
}

fn check(threads: usize, hand: [bool; 3]) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(if threads == 2 { 4 } else { 2 });
    builder.check(move || {
        let model = Model::new();
        let others: Vec<_> = (1..threads)
            .map(|thread| {
                let model = model.clone();
                loom::thread::spawn(move || model.add(hand[thread]))
            })
            .collect();
        model.add(hand[0]);
        others.into_iter().for_each(|other| other.join().expect("a thread panicked"));
        model.lock(false);
        // SAFETY: the lock is held.
        assert_eq!(model.value.with(|value| unsafe { *value }), threads as u32);
        model.unlock();
    });
}

#[test]
fn loom_two_threads_exclude_each_other_and_none_sleeps_on() {
    // Goal: no lost wake-up and no shared section. Method: both add once; loom would report a
    // waiter that is never notified as a deadlock, and an unordered access as a race.
    check(2, [false; 3]);
}

#[test]
fn loom_a_lock_that_is_handed_over_is_never_open() {
    // Goal: as above for waiters to whom the lock is handed. Method: one of two, then both.
    check(2, [false, true, false]);
    check(2, [true; 3]);
}

#[test]
fn loom_three_threads_leave_no_waiter_behind() {
    // Goal: the note that somebody waits survives while several come and go.
    // Method: three threads, one of which wants the lock handed to it; few preemptions.
    check(3, [false, false, true]);
}
