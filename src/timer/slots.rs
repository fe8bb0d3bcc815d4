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
//! A slot deals its timers round to several lists, its lanes, and takes them back in the same turn.
//! Among a million timers each is a cache miss, whose address only its neighbour in the list tells:
//! so many lanes, so many misses are waited for at once. Turns agree, and the order is that of
//! insertion, as long as nobody leaves by another way; after a cancellation members of
//! other lanes may overtake.
//!
//! Invariant: a level's bit is set exactly while a lane of the slot has members, a lane's bit
//! exactly while that lane has.

use super::TICK_BITS;
use crate::list::{Link, List};
use std::cell::Cell;
use std::ptr::NonNull;

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

/// Lists in a slot. Measured, with a million timers: 1 costs 400 ns a timer and cascade, 8 cost 60.
const LANES: u32 = 8;

/// The lists of one slot.
#[repr(C)]
struct Slot {
    lanes: [List; LANES as usize],
    /// Not after the deadline of any member; exact unless members were cancelled.
    earliest_ns: Cell<u64>,
    /// One bit per lane with members.
    occupied: Cell<u8>,
    /// The lane that gets the next member.
    put: Cell<u8>,
    /// The lane whose turn it is to give one.
    take: Cell<u8>,
}

const _: () = assert!(LANES == u8::BITS);

impl Slot {
    const fn new() -> Slot {
        Slot {
            lanes: [const { List::new() }; LANES as usize],
            earliest_ns: Cell::new(u64::MAX),
            occupied: Cell::new(0),
            put: Cell::new(0),
            take: Cell::new(0),
        }
    }

    /// The lane to take from, if any has members.
    fn turn(&self) -> Option<u32> {
        let waiting = self.occupied.get().rotate_right(self.take.get().into());
        let steps = (waiting != 0).then(|| waiting.trailing_zeros())?;
        Some((u32::from(self.take.get()) + steps) % LANES)
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
        let array: Box<[Slot]> = (0..=SlotId::EXPIRED.0).map(|_| Slot::new()).collect();
        Slots { array: NonNull::from(Box::leak(array)), occupied: [0; LEVELS] }
    }

    /// Empties all slots without touching their members, and without allocating.
    pub(super) fn forget_all(&mut self) {
        for index in 0..=SlotId::EXPIRED.0 {
            // SAFETY: within the array, to which nobody else holds a reference. A slot has nothing
            // to drop, and its former members are never looked at again.
            unsafe { self.array.as_ptr().cast::<Slot>().add(index).write(Slot::new()) };
        }
        self.occupied = [0; LEVELS];
    }

    fn slot(&self, id: SlotId) -> &Slot {
        // SAFETY: the array lives as long as `self`, and is only ever accessed by shared reference.
        let array = unsafe { self.array.as_ref() };
        &array[id.0]
    }

    /// Whether something has expired and was not popped.
    pub(super) fn has_expired(&self) -> bool {
        self.slot(SlotId::EXPIRED).occupied.get() != 0
    }

    /// Takes the first of what has expired.
    pub(super) fn pop_expired(&mut self) -> Option<NonNull<Link>> {
        self.take(SlotId::EXPIRED)
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
        self.occupied[id.level()] |= 1 << id.digit();
        let slot = self.slot(id);
        slot.earliest_ns.set(slot.earliest_ns.get().min(deadline_ns));
        let lane = slot.put.get();
        slot.put.set((lane + 1) % LANES as u8);
        slot.occupied.set(slot.occupied.get() | 1 << lane);
        // SAFETY: the link is valid, free, and stays, by the contract; the list is in the box.
        unsafe { slot.lanes[usize::from(lane)].push_back(link) };
    }

    /// Takes the next member out of a slot.
    pub(super) fn take(&mut self, id: SlotId) -> Option<NonNull<Link>> {
        let slot = self.slot(id);
        let lane = slot.turn()?;
        slot.take.set(((lane + 1) % LANES) as u8);
        let link = slot.lanes[lane as usize].first().expect("the lane's bit is set");
        // SAFETY: the link is a member of this list.
        if unsafe { List::unlink(link) }.is_some() {
            self.vacate(id, lane);
        }
        Some(link)
    }

    /// Moves all members of a slot to the end of what has expired, in constant time.
    pub(super) fn expire(&mut self, id: SlotId) {
        debug_assert_eq!(id.level(), 0);
        let (slot, expired) = (self.slot(id), self.slot(SlotId::EXPIRED));
        debug_assert_eq!(slot.take.get(), 0, "a slot of level 0 is only ever taken as a whole");
        for lane in 0..LANES as u8 {
            if slot.occupied.get() & 1 << lane == 0 {
                continue;
            }
            let behind = (expired.put.get() + lane) % LANES as u8;
            expired.occupied.set(expired.occupied.get() | 1 << behind);
            let members = &slot.lanes[usize::from(lane)];
            // SAFETY: the expired lists are in the box, and keep their addresses.
            unsafe { expired.lanes[usize::from(behind)].append(members) };
        }
        expired.put.set((expired.put.get() + slot.put.get()) % LANES as u8);
        self.clear(id);
    }

    /// Takes note that the list around `sentinel`, which is one of these, has lost its last member.
    pub(super) fn mark_empty(&mut self, sentinel: *mut Link) {
        let offset = sentinel.addr() - self.array.cast::<Slot>().addr().get();
        let id = SlotId(offset / size_of::<Slot>());
        let lane = offset % size_of::<Slot>() / size_of::<List>();
        debug_assert!(self.slot(id).lanes[lane].sentinel() == sentinel);
        self.vacate(id, lane as u32);
    }

    /// Takes note that a lane has no members left.
    fn vacate(&mut self, id: SlotId, lane: u32) {
        let slot = self.slot(id);
        debug_assert!(slot.lanes[lane as usize].first().is_none());
        slot.occupied.set(slot.occupied.get() & !(1 << lane));
        if slot.occupied.get() == 0 {
            self.clear(id);
        }
    }

    /// Takes note that a slot has no members left.
    fn clear(&mut self, id: SlotId) {
        let slot = self.slot(id);
        slot.occupied.set(0);
        slot.put.set(0);
        slot.take.set(0);
        slot.earliest_ns.set(u64::MAX);
        if id != SlotId::EXPIRED {
            self.occupied[id.level()] &= !(1 << id.digit());
        }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // SAFETY: the array came from a box in `new`, and nothing borrows it any more.
        drop(unsafe { Box::from_raw(self.array.as_ptr()) });
    }
}
