//! The hierarchical timing wheel: many deadlines, O(1) to set and to cancel, and no tick when idle.
//!
//! After Varghese and Lauck, "Hashed and hierarchical timing wheels" (SOSP 1987), scheme 7. Pure:
//! the caller supplies the time; nothing here reads a clock, does I/O, or allocates after
//! [`Wheel::new`]. Timers are intrusive nodes, inside the control blocks of those who wait.
//!
//! Time is counted in ticks of 2^14 ns (16.4 us). A tick number is read as digits in base 64. Each
//! level has 64 slots, one for each value of one digit; 9 levels cover all of u64. A timer
//! goes to the level of the highest digit in which its tick differs from the present one, and
//! there to the slot that its own digit names:
//!
//! ```text
//!  tick of the deadline   d8 ... d2 d1 d0           present tick   n8 ... n2 n1 n0
//!
//!  level 0   one slot = 1 tick        [   |   |n0 | # |   | # ]   d8..d1 = n8..n1, d0 > n0
//!  level 1   one slot = 64 ticks      [   |n1 |   | # |   |   ]   d8..d2 = n8..n2, d1 > n1
//!  level 2   one slot = 4096 ticks    [n2 | # |   |   | # |   ]   d8..d3 = n8..n3, d2 > n2
//!    ...                               each slot: list of timers, its earliest deadline
//!  expired   one list                 [ in order of tick, then of insertion ]
//! ```
//!
//! It follows that
//! - every timer of a level is due before every timer of the levels above it, and the slots of
//!   one level are due in their order, so that the first occupied slot of the lowest occupied level
//!   holds the earliest deadline, and one u64 of occupancy per level finds it;
//! - timers of equal tick always share a slot, which keeps the order of insertion unless a
//!   cancelled timer leaves its turn in it (see `slots.rs`);
//! - when the present reaches an upper slot, its timers differ from the present in lower digits
//!   only and are dealt out to lower levels (they *cascade*), each at most once per level.
//!
//! **No wake-up to cascade.** Each slot remembers its earliest deadline, and that is what
//! [`Wheel::next_expiry_ns`] reports, not the start of the slot: whoever sleeps until then finds a
//! timer due, and the cascades are made good on the way there. A cancelled timer may leave
//! behind the earliest deadline of a slot that others are still in; waking for it is the one idle
//! wake-up there is, and it cures itself, since that slot cascades. [`Wheel::advance`] visits
//! occupied slots only, so a long sleep costs no more than a short one.
//!
//! Deadlines round up to a tick, the present rounds down: a timer is never early, and late by
//! less than one tick. A deadline in the past goes to the slot of the present tick (the one
//! place where `d0 = n0`) and expires at the next `advance`, whatever its time.

mod slots;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

use crate::list::{Link, List};
use slots::{SlotId, Slots};
use std::cell::Cell;
use std::ptr::NonNull;

/// The deadline of what never expires; such timers are not inserted at all.
const NEVER_NS: u64 = u64::MAX;

/// The resolution: fine enough for sub-millisecond sleeps, and coarse enough that the timers of
/// one busy millisecond share some slots.
const TICK_BITS: u32 = 14;
const TICK_NS: u64 = 1 << TICK_BITS;

/// One deadline, embedded in the object that waits for it.
#[repr(C)]
pub(crate) struct Timer {
    /// First, so that a link's address is its timer's.
    link: Link,
    deadline_ns: Cell<u64>,
}

const _: () = assert!(size_of::<Timer>() == 24 && std::mem::offset_of!(Timer, link) == 0);

impl Timer {
    /// A timer that is not set.
    pub(crate) const fn new() -> Timer {
        Timer { link: Link::new(), deadline_ns: Cell::new(NEVER_NS) }
    }

    /// Whether the timer is in a wheel: set, and neither popped nor cancelled since.
    pub(crate) fn is_linked(&self) -> bool {
        self.link.is_linked()
    }

    /// The deadline that the timer was last set to.
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.deadline_ns.get()
    }
}

/// All timers of one thread.
pub(crate) struct Wheel {
    slots: Slots,
    /// The present: the latest time that `advance` was told.
    now_ns: u64,
    /// Timers in the wheel, those that have expired but were not popped included.
    len: usize,
}

impl Wheel {
    /// An empty wheel at the time `now_ns`.
    pub(crate) fn new(now_ns: u64) -> Wheel {
        Wheel { slots: Slots::new(), now_ns, len: 0 }
    }

    /// How many timers are in the wheel: inserted, and neither popped nor cancelled since.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Sets `timer` to expire at `deadline_ns`; at the next `advance` if that has passed. O(1).
    ///
    /// # Safety
    ///
    /// - `timer` is valid and in no wheel.
    /// - It stays valid and in place until it is popped or cancelled, or the wheel is dropped.
    pub(crate) unsafe fn insert(&mut self, timer: NonNull<Timer>, deadline_ns: u64) {
        debug_assert_ne!(deadline_ns, NEVER_NS, "a timer that never expires");
        // SAFETY: valid by the contract.
        unsafe {
            debug_assert!(!timer.as_ref().is_linked(), "the timer is already set");
            timer.as_ref().deadline_ns.set(deadline_ns);
        }
        let id = self.slot_of(deadline_ns);
        // SAFETY: the timer is valid, in no list, and stays, all by the contract.
        unsafe { self.slots.push(id, timer.cast(), deadline_ns) };
        self.len += 1;
    }

    /// Takes `timer` out, also when it has expired but was not popped; does nothing when it is not
    /// in the wheel. O(1).
    ///
    /// # Safety
    ///
    /// `timer` is valid, and in this wheel or in none.
    pub(crate) unsafe fn cancel(&mut self, timer: NonNull<Timer>) {
        // SAFETY: valid by the contract.
        if !unsafe { timer.as_ref().is_linked() } {
            return;
        }
        debug_assert!(self.len > 0);
        self.len -= 1;
        // SAFETY: a linked timer is a member of one of this wheel's lists, by the contract.
        if let Some(sentinel) = unsafe { List::unlink(timer.cast()) } {
            self.slots.mark_empty(sentinel);
        }
    }

    /// Forgets all timers without touching them, in a forked child that has no use for them.
    pub(crate) fn forget_all(&mut self) {
        self.slots.forget_all();
        self.len = 0;
    }

    /// When `advance` will next have something to expire: the earliest deadline rounded up to the
    /// tick, or the present if something has expired or is overdue. None if the wheel is empty.
    ///
    /// After a cancellation this may be too early, never too late; an `advance` to that time makes
    /// it exact.
    pub(crate) fn next_expiry_ns(&self) -> Option<u64> {
        if self.slots.has_expired() {
            return Some(self.now_ns);
        }
        let id = self.slots.first()?;
        if id.level() == 0 && self.start_of(id) == self.tick() {
            return Some(self.now_ns);
        }
        // Deadlines in the last tick of u64 have no next tick; that is in 584 years.
        let rounded_up = self.slots.earliest_ns(id).checked_next_multiple_of(TICK_NS);
        Some(rounded_up.unwrap_or(NEVER_NS))
    }

    /// Moves the present to `now_ns` and all timers that are due by then to the expired list, in
    /// order of their ticks, and of insertion within a tick; after cancellations that order is only
    /// nearly kept. A time before the present is ignored.
    pub(crate) fn advance(&mut self, now_ns: u64) {
        if now_ns < self.now_ns {
            return;
        }
        let target = now_ns >> TICK_BITS;
        // Ends: each turn empties a slot, for the expired list or for levels below the slot's own.
        while let Some(id) = self.slots.first() {
            let start = self.start_of(id);
            debug_assert!(start >= self.tick());
            if start > target {
                break;
            }
            if id.level() == 0 {
                self.slots.expire(id);
            } else {
                // Straight to the first tick that matters, which saves steps on the way down.
                let earliest = tick_not_before(self.slots.earliest_ns(id));
                self.now_ns = earliest.min(target).max(start) << TICK_BITS;
                self.cascade(id);
            }
        }
        // No occupied slot starts at or before the target, so each keeps its meaning.
        self.now_ns = now_ns;
    }

    /// Takes out the next timer that has expired.
    pub(crate) fn pop_expired(&mut self) -> Option<NonNull<Timer>> {
        let link = self.slots.pop_expired()?;
        debug_assert!(self.len > 0);
        self.len -= 1;
        Some(link.cast())
    }

    /// Deals the timers of an upper slot, which the present has reached, out to lower levels.
    fn cascade(&mut self, id: SlotId) {
        while let Some(link) = self.slots.take(id) {
            // SAFETY: every link in the wheel is the first field of a timer, which `insert`'s
            // contract keeps valid.
            let deadline_ns = unsafe { link.cast::<Timer>().as_ref().deadline_ns() };
            let lower = self.slot_of(deadline_ns);
            debug_assert!(lower.level() < id.level());
            // SAFETY: the timer has just left its list, and stays by `insert`'s contract.
            unsafe { self.slots.push(lower, link, deadline_ns) };
        }
    }

    /// The present tick.
    fn tick(&self) -> u64 {
        self.now_ns >> TICK_BITS
    }

    /// Where a deadline belongs, seen from the present.
    fn slot_of(&self, deadline_ns: u64) -> SlotId {
        let now = self.tick();
        let tick = if deadline_ns <= self.now_ns { now } else { tick_not_before(deadline_ns) };
        debug_assert!(tick >= now);
        SlotId::of_tick(tick, now)
    }

    /// The first tick of a slot, seen from the present.
    fn start_of(&self, id: SlotId) -> u64 {
        id.start(self.tick())
    }
}

/// The first tick that begins at or after a deadline.
fn tick_not_before(deadline_ns: u64) -> u64 {
    deadline_ns.div_ceil(TICK_NS)
}
