//! A place that has an owner for a time, and readers who must not wait: they pin the place, and the
//! owner stays until nobody does.
//!
//! ```text
//!   reader                         owner, leaving
//!   ------                         --------------
//!   pins += 1                      owner = null
//!   fence                          fence
//!   owner set?  look at `shared`   wait until pins == 0, then free the place
//!   pins -= 1
//! ```
//!
//! Of the two SeqCst fences one comes first (C++20 [atomics.order] p4): either the reader sees that
//! the owner has gone, or the owner sees the pin.

use crate::primitive::{AtomicPtr, AtomicU32, Ordering, fence, yield_now};
use std::mem::offset_of;
use std::ptr::null_mut;

#[cfg(all(test, loom))]
mod model;

/// A place for one owner of type `S`, of which readers may use the part `T`.
#[repr(C)]
pub(super) struct Place<S, T> {
    /// Null while the owner is not shown.
    owner: AtomicPtr<S>,
    /// Readers that are looking.
    pins: AtomicU32,
    /// Null while the place is free; valid while `owner` is set.
    shared: AtomicPtr<T>,
}

impl<S, T> Place<S, T> {
    /// Where debuggers find the owner.
    pub(super) const OWNER_OFFSET: usize = offset_of!(Self, owner);
    /// And its shared part.
    pub(super) const SHARED_OFFSET: usize = offset_of!(Self, shared);

    /// A place that is taken from the first.
    pub(super) fn taken(shared: *mut T) -> Place<S, T> {
        let (owner, pins) = (AtomicPtr::new(null_mut()), AtomicU32::new(0));
        Place { owner, pins, shared: AtomicPtr::new(shared) }
    }

    /// Takes the place if it is free. Nobody sees that before `show`.
    pub(super) fn take(&self, shared: *mut T) -> bool {
        let order = (Ordering::Acquire, Ordering::Relaxed);
        self.shared.compare_exchange(null_mut(), shared, order.0, order.1).is_ok()
    }

    /// Shows the owner, by whom the place is taken.
    pub(super) fn show(&self, owner: *mut S) {
        self.owner.store(owner, Ordering::Release);
    }

    /// Frees the place; waits until nobody looks. A signal handler that interrupts this very thread
    /// is through before it goes on.
    pub(super) fn leave(&self) {
        self.owner.store(null_mut(), Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // Acquire: what readers did comes before what the caller does next.
        while self.pins.load(Ordering::Acquire) > 0 {
            yield_now();
        }
        self.shared.store(null_mut(), Ordering::Release);
    }

    /// Calls `look` with the owner's shared part, if there is an owner, which does not leave
    /// meanwhile. Async-signal-safe if `look` is, which must not wait.
    ///
    /// # Safety
    /// What owners pass to `take` stays valid until they have called `leave`.
    pub(super) unsafe fn pinned<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.pins.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let result = (!self.owner.load(Ordering::Acquire).is_null()).then(|| {
            // SAFETY: an owner was set after the pin, so it has yet to see the pin gone, and keeps
            // its shared part until then, as the caller says.
            look(unsafe { &*self.shared.load(Ordering::Relaxed) })
        });
        self.pins.fetch_sub(1, Ordering::Release);
        result
    }

    /// In a forked child: those who were looking are not there.
    pub(super) fn forget_pins(&self) {
        self.pins.store(0, Ordering::Relaxed);
    }

    /// The owner that is shown, or null.
    #[cfg(test)]
    pub(super) fn owner(&self) -> *mut S {
        self.owner.load(Ordering::Relaxed)
    }
}
