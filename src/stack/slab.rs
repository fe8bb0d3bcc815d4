//! A slab: one mapping, cut into slots of one size. The module's drawing shows its layout.
//!
//! A slab is shared by its pool and its live stacks. All of them belong to one thread, so the
//! counts are plain cells, and a slab is freed by hand ([`Slab::free_if_unused`]) when nobody is
//! left:
//!
//! ```text
//!   owner != 0 (a pool)   live > 0     in use
//!   owner != 0            live == 0    idle; the pool may unmap it
//!   owner == 0            live > 0     orphaned: the pool is gone, stacks are not (perhaps leaked)
//!   owner == 0            live == 0    freed
//! ```

use std::alloc::{Layout, alloc, dealloc};
use std::cell::Cell;
use std::io;
use std::ptr::NonNull;

use super::config::StackConfig;
use super::guard::{GuardChain, canary_intact};
use super::registry::Registration;
use crate::sys::mmap::Mapping;
use crate::sys::page_size;

/// What colours are multiples of: a line of the first-level cache.
pub(super) const CACHE_LINE_BYTES: usize = 64;

/// Colours of a stack that is large enough for all of them. At most 23 lines (1.5 KiB), so that a
/// control block and some 2 KiB of frames still fit into the page at the top.
pub(super) const COLOURS_MAX: usize = 24;

/// A stack loses at most this part of its size to its colour.
const COLOUR_PART: usize = 16;

/// The pages at the top that [`Slab::resident_bytes_sample`] looks at.
const SAMPLE_PAGES: usize = 64;

/// The owner of a slab whose pool is gone.
const NO_OWNER: u64 = 0;

/// The two words that make up a stack: its slab and its top.
pub(super) type RawStack = (NonNull<Slab>, NonNull<u8>);

/// One mapping, cut into slots of one size.
#[derive(Debug)]
pub(crate) struct Slab {
    /// Dropped, and so withdrawn, before the mapping is: fields drop in the order of their
    /// declaration.
    _registration: Registration,
    mapping: Mapping,
    stride_bytes: usize,
    slots: u32,
    colours: u32,
    /// The size class of the pool that this slab belongs to.
    pub(super) class: u32,
    /// The id of the pool, or [`NO_OWNER`].
    owner: Cell<u64>,
    /// Slots below this one have been used, and their guards are armed.
    pub(super) used: Cell<u32>,
    /// Slots whose stacks are out of the pool.
    pub(super) live: Cell<u32>,
    /// Slots whose stacks were dropped instead of given back: not to be had again.
    pub(super) lost: Cell<u32>,
    /// Slots whose stacks are in the pool with their pages given back.
    pub(super) cold: Cell<u32>,
    /// Set while the pool is removing it.
    pub(super) doomed: Cell<bool>,
    pub(super) guards: GuardChain,
}

impl Slab {
    /// Maps a slab of `slots` stacks of `stack_bytes` each, for the pool with id `owner`.
    ///
    /// # Errors
    ///
    /// Whatever mmap says, or [`io::ErrorKind::OutOfMemory`].
    pub(super) fn new(
        stack_bytes: usize,
        slots: u32,
        class: u32,
        owner: u64,
        config: &StackConfig,
    ) -> io::Result<NonNull<Slab>> {
        assert!(stack_bytes % page_size() == 0 && stack_bytes > 0, "stacks are whole pages");
        assert!(slots > 0 && owner != NO_OWNER, "a slab has slots and an owner");
        let stride_bytes = stack_bytes + page_size();
        let len = stride_bytes * slots as usize;
        let mapping = Mapping::reserve(len)?;
        let base = mapping.base().as_ptr().addr();
        let registration =
            Registration::new(base, len, stride_bytes).ok_or(io::ErrorKind::OutOfMemory)?;
        let colours = match config.colour {
            true => (stack_bytes / COLOUR_PART / CACHE_LINE_BYTES).clamp(1, COLOURS_MAX) as u32,
            false => 1,
        };
        // SAFETY: a slab has a size.
        let place = NonNull::new(unsafe { alloc(Layout::new::<Slab>()) }.cast::<Slab>())
            .ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: the place was just allocated with the layout of a slab.
        unsafe {
            place.write(Slab {
                _registration: registration,
                mapping,
                stride_bytes,
                slots,
                colours,
                class,
                owner: Cell::new(owner),
                used: Cell::new(0),
                live: Cell::new(0),
                lost: Cell::new(0),
                cold: Cell::new(0),
                doomed: Cell::new(false),
                guards: GuardChain::new(config),
            });
        }
        Ok(place)
    }

    /// The bytes that the slab reserves.
    pub(super) fn len(&self) -> usize {
        self.mapping.len()
    }

    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    #[inline]
    pub(super) fn is_owned_by(&self, pool: u64) -> bool {
        self.owner.get() == pool
    }

    /// Takes the next slot that was never used and arms its guard. `None` if there is none.
    ///
    /// # Safety
    ///
    /// `this` is a slab of the calling pool.
    pub(super) unsafe fn carve(this: NonNull<Slab>) -> Option<RawStack> {
        // SAFETY: the slabs of a pool live.
        let slab = unsafe { this.as_ref() };
        let index = slab.used.get();
        if index == slab.slots {
            return None;
        }
        let page = slab.slot_start(index as usize);
        // SAFETY: nobody uses a slot before it is carved, and slots are carved in order.
        unsafe { slab.guards.arm(index, page) };
        slab.used.set(index + 1);
        let colour = (index % slab.colours) as usize * CACHE_LINE_BYTES;
        // SAFETY: the colour is less than the usable bytes of the slot, so the top is inside of it.
        let top = unsafe { page.add(slab.stride_bytes - colour) };
        Some((this, top))
    }

    fn slot_start(&self, index: usize) -> NonNull<u8> {
        assert!(index < self.slots as usize, "slot {index} of {}", self.slots);
        // SAFETY: the slot is inside the mapping.
        unsafe { self.mapping.base().add(index * self.stride_bytes) }
    }

    /// The slot of the stack with this top.
    pub(super) fn index_of(&self, top: NonNull<u8>) -> usize {
        // The top of an uncoloured stack is the start of the next slot, hence the 1.
        (top.as_ptr().addr() - 1 - self.mapping.base().as_ptr().addr()) / self.stride_bytes
    }

    /// The lowest usable address of the stack with this top.
    pub(super) fn limit_of(&self, top: NonNull<u8>) -> NonNull<u8> {
        // SAFETY: the page after the guard is inside the slot.
        unsafe { self.slot_start(self.index_of(top)).add(page_size()) }
    }

    /// The usable bytes of the stack with this top, its colour included.
    pub(super) fn slot_bytes(&self) -> usize {
        self.stride_bytes - page_size()
    }

    /// Whether the canary of the stack with this top, if it has one, is intact; see
    /// [`canary_intact`].
    #[inline]
    pub(super) fn canary_intact(&self, top: NonNull<u8>, whole: bool) -> bool {
        self.guards.all_hard() || self.canary_intact_at(self.index_of(top), whole)
    }

    fn canary_intact_at(&self, index: usize, whole: bool) -> bool {
        self.guards.kind(index as u32) != super::Guard::Canary
            // SAFETY: a slot with a canary has an ordinary, readable page in the place of a guard.
            || unsafe { canary_intact(self.slot_start(index), whole) }
    }

    /// Resident bytes of the stack with this top, at small and bounded cost: all of a stack of up
    /// to 64 pages; a larger one is taken for wholly resident if the top 64 pages are.
    pub(super) fn resident_bytes_sample(&self, top: NonNull<u8>) -> usize {
        let sample = (SAMPLE_PAGES * page_size()).min(self.slot_bytes());
        let end = self.limit_of(top).as_ptr().wrapping_add(self.slot_bytes());
        match crate::sys::mmap::resident_pages(end.wrapping_sub(sample), sample) {
            Ok(pages) if pages * page_size() < sample => pages * page_size(),
            // Not known is taken for the worst.
            _ => self.slot_bytes(),
        }
    }

    /// Frees the slab if neither a pool nor a stack is left that refers to it.
    ///
    /// # Safety
    ///
    /// `this` is a slab that was not freed, and the caller does not use it afterwards, unless it is
    /// the owner or holds a live stack.
    pub(super) unsafe fn free_if_unused(this: NonNull<Slab>) {
        // SAFETY: the caller promises that the slab was not freed.
        let slab = unsafe { this.as_ref() };
        if slab.owner.get() != NO_OWNER || slab.live.get() > 0 {
            return;
        }
        // SAFETY: it was made by `new` with this layout, and nobody refers to it any more.
        unsafe {
            this.drop_in_place();
            dealloc(this.as_ptr().cast(), Layout::new::<Slab>());
        }
    }

    /// The pool lets go of the slab, which is freed now or with its last live stack.
    ///
    /// # Safety
    ///
    /// `this` is a slab of the calling pool, which does not use it afterwards.
    pub(super) unsafe fn disown(this: NonNull<Slab>) {
        // SAFETY: the pool owns it until here.
        unsafe { this.as_ref() }.owner.set(NO_OWNER);
        // SAFETY: the caller does not use it afterwards.
        unsafe { Slab::free_if_unused(this) };
    }
}
