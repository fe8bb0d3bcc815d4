//! The watched value, under a lock of readers and writers that parks.
//!
//! The value is not under the spin lock, because users' code reads and changes it: it belongs to
//! the readers while `readers > 0`, to one writer while `is_writing`, and to nobody else. A reader
//! does not wait for writers that wait, so a coroutine may read again while it reads.

use crate::primitive::{SpinLock, UnsafeCell};
use crate::scheduler::wait::{NEVER, WaitKind, WaitQueue, wait};

pub(super) struct State {
    pub(super) readers: usize,
    pub(super) is_writing: bool,
    /// Who waits to read or to write.
    pub(super) entrants: WaitQueue,
    /// Who waits for a change.
    pub(super) watchers: WaitQueue,
    /// The number of changes so far.
    pub(super) version: u64,
    pub(super) senders: usize,
    pub(super) receivers: usize,
}

/// What all ends of a watch share.
pub(super) struct Cell<T> {
    pub(super) state: SpinLock<State>,
    value: UnsafeCell<T>,
}

// SAFETY: sending the cell sends the value.
unsafe impl<T: Send> Send for Cell<T> {}
// SAFETY: readers on several threads share the value, writers get it alone.
unsafe impl<T: Send + Sync> Sync for Cell<T> {}

impl<T> Cell<T> {
    pub(super) fn new(value: T) -> Cell<T> {
        let state = State {
            readers: 0,
            is_writing: false,
            entrants: WaitQueue::new(),
            watchers: WaitQueue::new(),
            version: 0,
            senders: 1,
            receivers: 1,
        };
        Cell { state: SpinLock::new(state), value: UnsafeCell::new(value) }
    }

    /// Waits until nobody writes, then reads.
    pub(super) fn read(&self) -> Reading<'_, T> {
        loop {
            let mut state = self.state.lock();
            if !state.is_writing {
                state.readers += 1;
                return Reading { cell: self, version: state.version };
            }
            wait(&self.state, state, |state| &mut state.entrants, WaitKind::Watch, 0, NEVER);
        }
    }

    /// Waits until nobody reads or writes, then writes.
    pub(super) fn write(&self) -> Writing<'_, T> {
        loop {
            let mut state = self.state.lock();
            if !state.is_writing && state.readers == 0 {
                state.is_writing = true;
                return Writing { cell: self, is_changed: false };
            }
            wait(&self.state, state, |state| &mut state.entrants, WaitKind::Watch, 0, NEVER);
        }
    }
}

/// The value, for reading.
pub(super) struct Reading<'a, T> {
    cell: &'a Cell<T>,
    /// The version that is being read.
    pub(super) version: u64,
}

impl<T> Reading<'_, T> {
    pub(super) fn value(&self) -> &T {
        // SAFETY: there is a reader, this one, so nobody writes.
        self.cell.value.with(|value| unsafe { &*value })
    }
}

impl<T> Drop for Reading<'_, T> {
    fn drop(&mut self) {
        let mut state = self.cell.state.lock();
        state.readers -= 1;
        if state.readers == 0 {
            let wakeups = state.entrants.wake_all();
            drop(state);
            wakeups.send();
        }
    }
}

/// The value, for writing.
pub(super) struct Writing<'a, T> {
    cell: &'a Cell<T>,
    /// Whether those who watch are to be told.
    pub(super) is_changed: bool,
}

impl<T> Writing<'_, T> {
    pub(super) fn value(&mut self) -> &mut T {
        // SAFETY: this is the one writer, and nobody reads.
        self.cell.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for Writing<'_, T> {
    fn drop(&mut self) {
        let mut state = self.cell.state.lock();
        state.is_writing = false;
        let entrants = state.entrants.wake_all();
        let watchers = self.is_changed.then(|| {
            state.version += 1;
            state.watchers.wake_all()
        });
        drop(state);
        entrants.send();
        if let Some(watchers) = watchers {
            watchers.send();
        }
    }
}
