//! The counter of a semaphore under every interleaving, with parking replaced by loom's for each
//! waiter.

use super::super::raw::Permits;
use crate::primitive::{SpinLock, UnsafeCell, yield_now};
use crate::sync::tests::model::Parking;
use loom::sync::Arc;

struct Model {
    permits: Permits,
    queue: SpinLock<Vec<(Arc<Parking>, u32)>>,
    /// What the holder of all permits has alone.
    value: UnsafeCell<u32>,
}

// SAFETY: the value is touched by the holder of all permits, which is what the model checks.
unsafe impl Sync for Model {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Model {}

impl Model {
    fn new(permits: u32) -> Arc<Model> {
        let queue = SpinLock::new(Vec::new());
        Arc::new(Model { permits: Permits::new(permits), queue, value: UnsafeCell::new(0) })
    }

    /// As `RawSemaphore::acquire`. With `leaves`, it gives up waiting at once; false if it did.
    fn acquire(&self, wanted: u32, leaves: bool) -> bool {
        if self.permits.take(wanted) {
            return true;
        }
        let mut queue = self.queue.lock();
        if !self.permits.announce(wanted, !queue.is_empty()) {
            return true;
        }
        let notified = Arc::new(Parking::new());
        queue.push((notified.clone(), wanted));
        drop(queue);
        if leaves {
            yield_now();
            let mut queue = self.queue.lock();
            let place = queue.iter().position(|waiter| Arc::ptr_eq(&waiter.0, &notified));
            let Some(place) = place else { return true };
            queue.remove(place);
            drop(queue);
            self.admit();
            return false;
        }
        notified.wait();
        true
    }

    /// As `RawSemaphore::release`.
    fn release(&self, permits: u32) {
        if self.permits.add(permits) {
            self.admit();
        }
    }

    fn admit(&self) {
        let mut queue = self.queue.lock();
        while let Some(wanted) = queue.first().map(|waiter| waiter.1) {
            if !self.permits.take_queued(wanted) {
                return;
            }
            queue.remove(0).0.notify();
        }
        self.permits.clear_waiters();
    }

    fn add(&self, all: u32, leaves: bool) -> u32 {
        if !self.acquire(all, leaves) {
            return 0;
        }
        // SAFETY: all permits are held; loom reports it if somebody else has some too.
        self.value.with_mut(|value| unsafe { *value += 1 });
        self.release(all);
        1
    }
}

fn bounded(preemptions: usize, check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(check);
}

#[test]
fn loom_all_permits_are_as_good_as_a_lock() {
    // Goal: no permit is given twice or lost. Method: two threads want all and touch a cell that
    // loom watches; at the end all must be free again.
    bounded(4, || {
        let model = Model::new(2);
        let other = model.clone();
        let thread = loom::thread::spawn(move || other.add(2, false));
        model.add(2, false);
        thread.join().expect("a thread panicked");
        assert!(model.permits.take(2) || model.acquire(2, false));
        // SAFETY: all permits are held.
        assert_eq!(model.value.with(|value| unsafe { *value }), 2);
    });
}

#[test]
fn loom_a_waiter_that_leaves_takes_nothing_and_bars_nobody() {
    // Goal: one that gives up either has its permits or lets those behind it in.
    // Method: one wants both permits and may leave, another wants one behind it, while the third
    // gives one back. Loom reports a waiter that is never notified as a deadlock.
    bounded(2, || {
        let model = Model::new(1);
        let (wants_both, wants_one) = (model.clone(), model.clone());
        let both = loom::thread::spawn(move || {
            if wants_both.acquire(2, true) {
                wants_both.release(2);
            }
        });
        let one = loom::thread::spawn(move || {
            wants_one.acquire(1, false);
            wants_one.release(1);
        });
        model.release(1);
        both.join().expect("a thread panicked");
        one.join().expect("a thread panicked");
        assert_eq!(model.permits.free(), 2);
    });
}

#[test]
fn loom_what_releasers_wrote_reaches_whom_another_one_admits() {
    // Goal: the permits of two releasers, taken for a waiter by one of them, publish both writes.
    // Method: each writes a cell of its own and releases; a waiter for both permits reads both.
    bounded(2, || {
        let model = Model::new(0);
        let place = Arc::new(Parking::new());
        assert!(model.permits.announce(2, false), "no permit is free yet");
        model.queue.lock().push((place.clone(), 2));
        let cells = Arc::new([UnsafeCell::new(0), UnsafeCell::new(0)]);
        let releasers = [0, 1].map(|index| {
            let (model, cells) = (model.clone(), Writes(cells.clone()));
            loom::thread::spawn(move || {
                cells.write(index);
                model.release(1);
            })
        });
        place.wait();
        for cell in cells.iter() {
            // SAFETY: both have written before they released; loom checks just that.
            assert_eq!(cell.with(|value| unsafe { *value }), 1);
        }
        releasers.into_iter().for_each(|thread| thread.join().expect("a thread panicked"));
    });
}

struct Writes(Arc<[UnsafeCell<u32>; 2]>);

// SAFETY: loom watches the cells.
unsafe impl Send for Writes {}

impl Writes {
    fn write(&self, index: usize) {
        // SAFETY: each thread writes a cell of its own.
        self.0[index].with_mut(|value| unsafe { *value = 1 });
    }
}
