//! The slots of the wheel: their lists, their earliest deadlines, and which of them are occupied.
//!
//! One boxed array, so that sentinels keep their addresses while the wheel moves, and so that a
//! sentinel's place in the array tells which slot it is:
//!
//! ```text
//!  index    0 ..  63 | 64 .. 127 | ... | 512 .. 575 |  576
//!           level 0  | level 1   |     | level 8    |  expired
//! ```
//!
//! Invariant: a level's bit is set exactly while the slot's list has members.

use super::TICK_BITS;
use crate::list::{Link, List};
use std::cell::Cell;
use std::ptr::{self, NonNull};

/// Bits per digit: one u64 of occupancy per level.
const DIGIT_BITS: u32 = 6;
const SLOTS_PER_LEVEL: usize = 1 << DIGIT_BITS;

/// As many digits as the largest tick has: the last deadlines of u64 round up to 2^50.
const LEVELS: usize = (64 - TICK_BITS as usize + 1).div_ceil(DIGIT_BITS as usize);

/// A slot's index in the array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SlotId(usize);

impl SlotId {
    /// The list of what has expired, behind the slots of all levels.
    const EXPIRED: SlotId = SlotId(LEVELS * SLOTS_PER_LEVEL);

    fn new(level: usize, digit: usize) -> SlotId {
        debug_assert!(level < LEVELS && digit < SLOTS_PER_LEVEL);
        SlotId(level * SLOTS_PER_LEVEL + digit)
    }

    /// Where `tick` belongs when the present is `now`: the level is that of the highest digit in
    /// which they differ, 0 if they do not.
    pub(super) fn of_tick(tick: u64, now: u64) -> SlotId {
        let level = ((tick ^ now) | 1).ilog2() / DIGIT_BITS;
        let digit = (tick >> (level * DIGIT_BITS)) % SLOTS_PER_LEVEL as u64;
        SlotId::new(level as usize, digit as usize)
    }

    pub(super) fn level(self) -> usize {
        debug_assert_ne!(self, SlotId::EXPIRED);
        self.0 / SLOTS_PER_LEVEL
    }

    fn digit(self) -> usize {
        self.0 % SLOTS_PER_LEVEL
    }

    /// The first tick of the slot: the present's digits above the level, its own, and zeros.
    pub(super) fn start(self, now: u64) -> u64 {
        let shift = self.level() as u32 * DIGIT_BITS;
        let above = now >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS);
        above | (self.digit() as u64) << shift
    }
}

/// Which end of a slot a cascade takes a timer from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Front,
    Back,
}

/// Aligned so that no slot straddles two cache lines.
#[repr(C, align(32))]
struct Slot {
    list: List,
    /// Not after the deadline of any member; exact unless members were cancelled.
    earliest_ns: Cell<u64>,
    /// During a cascade into this slot: the last member dealt from the front. Null while empty.
    gap: Cell<*mut Link>,
}

const _: () = assert!(size_of::<Slot>() == 32);

impl Slot {
    fn empty() -> Slot {
        Slot {
            list: List::new(),
            earliest_ns: Cell::new(u64::MAX),
            gap: Cell::new(ptr::null_mut()),
        }
    }
}

/// All slots of a wheel.
pub(super) struct Slots {
    /// From a box. A raw pointer, because the members point back at the sentinels in it.
    array: NonNull<[Slot]>,
    /// One bit per slot, one word per level.
    occupied: [u64; LEVELS],
}

impl Slots {
    pub(super) fn new() -> Slots {
        let array: Box<[Slot]> = (0..=SlotId::EXPIRED.0).map(|_| Slot::empty()).collect();
        Slots { array: NonNull::from(Box::leak(array)), occupied: [0; LEVELS] }
    }

    /// Empties all slots without touching their members, and without allocating.
    pub(super) fn forget_all(&mut self) {
        for index in 0..=SlotId::EXPIRED.0 {
            // SAFETY: within the array, to which nobody else holds a reference. A slot has nothing
            // to drop, and its former members are never looked at again.
            unsafe { self.array.as_ptr().cast::<Slot>().add(index).write(Slot::empty()) };
        }
        self.occupied = [0; LEVELS];
    }

    fn slot(&self, id: SlotId) -> &Slot {
        // SAFETY: the array lives as long as `self`, and is only ever accessed by shared reference.
        let array = unsafe { self.array.as_ref() };
        &array[id.0]
    }

    /// What has expired, in order.
    pub(super) fn expired(&self) -> &List {
        &self.slot(SlotId::EXPIRED).list
    }

    /// The occupied slot that is due first: every slot of a level is due before those above it.
    pub(super) fn first(&self) -> Option<SlotId> {
        let level = self.occupied.iter().position(|&digits| digits != 0)?;
        Some(SlotId::new(level, self.occupied[level].trailing_zeros() as usize))
    }

    /// A time not after any deadline in the slot.
    pub(super) fn earliest_ns(&self, id: SlotId) -> u64 {
        self.slot(id).earliest_ns.get()
    }

    /// Adds a timer's link to a slot.
    ///
    /// # Safety
    ///
    /// The link is valid, in no list, and stays valid and in place until it leaves the slots.
    pub(super) unsafe fn push(&mut self, id: SlotId, link: NonNull<Link>, deadline_ns: u64) {
        let slot = self.occupy(id, deadline_ns);
        // SAFETY: the link is valid, free, and stays, by the contract; the list is in the box.
        unsafe { slot.list.push_back(link) };
    }

    /// Takes a member out of a slot at one end.
    pub(super) fn take(&mut self, id: SlotId, end: End) -> Option<NonNull<Link>> {
        let list = &self.slot(id).list;
        let link = match end {
            End::Front => list.first()?,
            End::Back => list.last()?,
        };
        // SAFETY: the link is a member of this list.
        if unsafe { List::unlink(link) }.is_some() {
            self.clear(id);
        }
        Some(link)
    }

    /// Adds what `take` took from a slot above, so that the order stays as it was there: what comes
    /// from the front goes in front of the gap, what comes from the back goes behind it.
    ///
    /// # Safety
    ///
    /// As for `push`; and all members of the slot came by `deal`, in the same cascade.
    pub(super) unsafe fn deal(
        &mut self,
        id: SlotId,
        link: NonNull<Link>,
        deadline_ns: u64,
        end: End,
    ) {
        let slot = self.occupy(id, deadline_ns);
        if slot.gap.get().is_null() {
            slot.gap.set(slot.list.sentinel());
        }
        // SAFETY: the contract is passed on; the gap follows the sentinel, or a member that was
        // dealt in this cascade, during which none leaves.
        unsafe { slot.list.insert_after(slot.gap.get(), link) };
        if end == End::Front {
            slot.gap.set(link.as_ptr());
        }
    }

    /// Moves all members of a slot to the end of the expired list, in constant time.
    pub(super) fn expire(&mut self, id: SlotId) {
        debug_assert_eq!(id.level(), 0);
        // SAFETY: the expired list is in the box, and keeps its address.
        unsafe { self.expired().append(&self.slot(id).list) };
        self.clear(id);
    }

    /// Takes note that the list around `sentinel`, which is one of these, has lost its last member.
    pub(super) fn mark_empty(&mut self, sentinel: *mut Link) {
        let offset = sentinel.addr() - self.array.cast::<Slot>().addr().get();
        let id = SlotId(offset / size_of::<Slot>());
        debug_assert!(id.0 <= SlotId::EXPIRED.0 && self.slot(id).list.sentinel() == sentinel);
        if id != SlotId::EXPIRED {
            self.clear(id);
        }
    }

    /// Takes note that a slot gains a member.
    fn occupy(&mut self, id: SlotId, deadline_ns: u64) -> &Slot {
        self.occupied[id.level()] |= 1 << id.digit();
        let slot = self.slot(id);
        slot.earliest_ns.set(slot.earliest_ns.get().min(deadline_ns));
        slot
    }

    /// Takes note that a slot has no members left.
    fn clear(&mut self, id: SlotId) {
        debug_assert!(self.slot(id).list.first().is_none());
        self.occupied[id.level()] &= !(1 << id.digit());
        self.slot(id).earliest_ns.set(u64::MAX);
        self.slot(id).gap.set(ptr::null_mut());
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // SAFETY: the array came from a box in `new`, and nothing borrows it any more.
        drop(unsafe { Box::from_raw(self.array.as_ptr()) });
    }
}
