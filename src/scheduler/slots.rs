//! The table of a scheduler's live tasks: finds a task by the number that other threads know it by,
//! and lists them all.
//!
//! A wake-up from another thread names a slot and an id; it is stale, and ignored, unless the task
//! in that slot has that id.

use super::task::Task;
use crate::sys;
use std::collections::TryReserveError;

/// Marks an entry that holds the next free slot's number instead of a task's address. Tasks are
/// aligned, so their addresses are even.
const FREE: usize = 1;

/// A table of so many slots gets huge pages: tasks end in any order, and each access to a large
/// table would miss the address cache.
const HUGE_MIN: usize = 1 << 19;

/// The size of a huge page, or a part of it.
const HUGE_BYTES: usize = 2 << 20;

/// No further free slot.
const NONE: usize = usize::MAX >> 1;

/// The live tasks by slot.
pub(crate) struct Slots {
    entries: Vec<usize>,
    free: usize,
    live: usize,
}

impl Slots {
    /// Where a debugger finds the vector.
    pub(super) const ENTRIES_OFFSET: usize = std::mem::offset_of!(Slots, entries);

    pub(crate) const fn new() -> Slots {
        Slots { entries: Vec::new(), free: NONE, live: 0 }
    }

    /// The number of live tasks.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Makes room for one more task.
    #[inline]
    pub(crate) fn reserve(&mut self) -> Result<(), TryReserveError> {
        if self.free == NONE && self.entries.len() == self.entries.capacity() {
            self.grow()?;
        }
        Ok(())
    }

    #[cold]
    fn grow(&mut self) -> Result<(), TryReserveError> {
        let capacity = (self.entries.len() * 2).max(64);
        if capacity < HUGE_MIN {
            return self.entries.try_reserve_exact(capacity - self.entries.len());
        }
        let mut entries = Vec::new();
        entries.try_reserve_exact(capacity)?;
        let start: *mut usize = entries.as_mut_ptr();
        let offset = start.cast::<u8>().align_offset(HUGE_BYTES);
        let bytes = (capacity * size_of::<usize>() - offset) & !(HUGE_BYTES - 1);
        // A hint: without huge pages it works as well.
        let _ = sys::mmap::prefer_huge_pages(start.cast::<u8>().wrapping_add(offset), bytes);
        entries.extend_from_slice(&self.entries);
        self.entries = entries;
        Ok(())
    }

    /// The slot that the next `insert` will use.
    #[inline]
    pub(crate) fn next(&self) -> u32 {
        let slot = if self.free == NONE { self.entries.len() } else { self.free };
        slot as u32
    }

    /// Enters a task in the slot that `next` told, after `reserve`.
    #[inline]
    pub(crate) fn insert(&mut self, task: *const Task) {
        debug_assert!(task as usize & FREE == 0);
        self.live += 1;
        if self.free == NONE {
            self.entries.push(task as usize);
        } else {
            let slot = self.free;
            self.free = self.entries[slot] >> 1;
            self.entries[slot] = task as usize;
        }
    }

    /// Takes the task of `slot` out.
    #[inline]
    pub(crate) fn remove(&mut self, slot: u32) {
        debug_assert!(self.entries[slot as usize] & FREE == 0);
        self.live -= 1;
        self.entries[slot as usize] = (self.free << 1) | FREE;
        self.free = slot as usize;
    }

    /// Forgets all tasks but `kept`, which may be null or in no slot, in a forked child that has
    /// none of the others. Touches none of them, and does not allocate.
    pub(super) fn forget_others(&mut self, kept: *const Task) {
        self.free = NONE;
        self.live = 0;
        for slot in (0..self.entries.len()).rev() {
            if self.entries[slot] == kept as usize {
                self.live = 1;
            } else {
                self.entries[slot] = (self.free << 1) | FREE;
                self.free = slot;
            }
        }
    }

    /// The task in `slot` if its id is `id`.
    #[inline]
    pub(crate) fn find(&self, slot: u32, id: u64) -> Option<&Task> {
        let entry = *self.entries.get(slot as usize)?;
        if entry & FREE != 0 {
            return None;
        }
        // SAFETY: entries without the mark are live tasks, which leave the table before they end.
        let task = unsafe { &*(entry as *const Task) };
        (task.id == id).then_some(task)
    }

    /// All live tasks in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Task> {
        self.entries
            .iter()
            .filter(|entry| **entry & FREE == 0)
            // SAFETY: entries without the mark are live tasks, which leave the table before they
            // end; the iterator borrows the table.
            .map(|entry| unsafe { &*(*entry as *const Task) })
    }
}
