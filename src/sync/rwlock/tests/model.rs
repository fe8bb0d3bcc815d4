//! The word of a reader-writer lock under every interleaving, with parking replaced by loom's.

use super::super::word::{Mode, Word};
use crate::primitive::{SpinLock, UnsafeCell};
use crate::sync::tests::model::Parking;
use loom::sync::Arc;
use std::sync::Arc as Plain;

/// A lock around a number: the word as it ships, and the simplest queue. Locks are handed over.
struct Model {
    word: Word,
    queue: SpinLock<Vec<(Plain<Parking>, Mode)>>,
    value: UnsafeCell<u32>,
}

// SAFETY: the value is touched by the holders only, which is what the model checks.
unsafe impl Sync for Model {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Model {}

impl Model {
    fn lock(&self, mode: Mode) {
        let quick = match mode {
            Mode::Read => self.word.read(),
            Mode::Write => self.word.write(),
        };
        if quick {
            return;
        }
        let mut queue = self.queue.lock();
        if !self.word.announce(mode, !queue.is_empty()) {
            return;
        }
        let place = Plain::new(Parking::new());
        queue.push((place.clone(), mode));
        drop(queue);
        place.wait();
    }

    /// As `RawRwLock::admit`, for waiters that were all passed over.
    fn admit(&self) {
        let mut queue = self.queue.lock();
        while let Some(mode) = queue.first().map(|waiter| waiter.1) {
            if !self.word.lock_past(mode) {
                return;
            }
            queue.remove(0).0.notify();
        }
        self.word.clear_waiters();
    }

    fn write(&self) {
        self.lock(Mode::Write);
        // SAFETY: held for writing; loom reports it if anybody else has the value.
        self.value.with_mut(|value| unsafe { *value += 1 });
        if self.word.unlock_write() {
            self.admit();
        }
    }

    fn read(&self) -> u32 {
        self.lock(Mode::Read);
        // SAFETY: held for reading; loom reports it if anybody writes.
        let value = self.value.with(|value| unsafe { *value });
        if self.word.unlock_read() {
            self.admit();
        }
        value
    }
}

fn check(others: [Mode; 2], used: usize) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(if used == 1 { 4 } else { 2 });
    builder.check(move || {
        let queue = SpinLock::new(Vec::new());
        let model = Arc::new(Model { word: Word::new(), queue, value: UnsafeCell::new(0) });
        let writers = 1 + others[..used].iter().filter(|&&mode| mode == Mode::Write).count();
        let threads: Vec<_> = others[..used]
            .iter()
            .map(|&mode| {
                let model = model.clone();
                loom::thread::spawn(move || match mode {
                    Mode::Write => model.write(),
                    Mode::Read => assert!(model.read() <= 2),
                })
            })
            .collect();
        model.write();
        threads.into_iter().for_each(|thread| thread.join().expect("a thread panicked"));
        assert_eq!(model.read(), writers as u32);
    });
}

#[test]
fn loom_a_writer_and_another_exclude_each_other() {
    // Goal: no lost wake-up, no shared writing. Method: a writer against a writer and a reader;
    // loom reports a waiter that is never notified, and unordered accesses.
    check([Mode::Write; 2], 1);
    check([Mode::Read; 2], 1);
}

#[test]
fn loom_two_readers_and_a_writer_leave_no_waiter_behind() {
    // Goal: the last reader out sees the waiting writer. Method: three threads, few preemptions.
    check([Mode::Read; 2], 2);
}
