//! All slabs of the process, so that a signal handler can tell which stack an address belongs to.
//!
//! A list of chunks that only ever grows; the first chunk is static. Each entry is guarded by a
//! sequence number, odd while the entry is being written:
//!
//! ```text
//!   HEAD (static) -> [entry; 256] --next--> [entry; 256] --next--> ...
//!   entry: sequence | base (0 = free) | len | stride
//! ```
//!
//! * A writer claims a free entry by moving its sequence from even to odd (compare and swap),
//!   writes the fields, and makes the sequence even again. The slab's owner frees it in the same
//!   way. Entries are reused, never unmapped.
//! * A reader takes the fields and believes them if the sequence was even and the same before and
//!   after. It takes no lock, allocates nothing and never waits: an entry in the middle of a change
//!   belongs to a slab that nobody can be running on.

use std::alloc::{Layout, alloc_zeroed};
use std::ops::Range;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};

use crate::sys::page_size;

/// Entries in a chunk. Slabs double in size, so one chunk is plenty unless stacks are gigantic.
const CHUNK_ENTRIES: usize = if cfg!(test) { 4 } else { 256 };

#[derive(Debug)]
struct Entry {
    sequence: AtomicUsize,
    base: AtomicUsize,
    len: AtomicUsize,
    stride: AtomicUsize,
}

/// All bytes zero are a valid, empty chunk.
struct Chunk {
    entries: [Entry; CHUNK_ENTRIES],
    next: AtomicPtr<Chunk>,
}

static HEAD: Chunk = Chunk {
    entries: [const {
        Entry {
            sequence: AtomicUsize::new(0),
            base: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            stride: AtomicUsize::new(0),
        }
    }; CHUNK_ENTRIES],
    next: AtomicPtr::new(std::ptr::null_mut()),
};

/// Where an address lies in the stack that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// The usable bytes of the stack, the colour above its top included.
    pub(crate) stack: Range<usize>,
    /// Whether the address is in the guard below these bytes: an overflow.
    pub(crate) in_guard: bool,
}

/// Finds the stack that `address` belongs to, live or free, of any thread of the process.
///
/// Async-signal-safe: reads atomics, and nothing else.
pub(crate) fn locate(address: usize) -> Option<Location> {
    chunks().flat_map(|chunk| &chunk.entries).find_map(|entry| {
        let (base, len, stride) = entry.read()?;
        let offset = address.checked_sub(base).filter(|offset| *offset < len)?;
        let slot = base + offset / stride * stride;
        let limit = slot + page_size();
        Some(Location { stack: limit..slot + stride, in_guard: address < limit })
    })
}

/// A slab's place in the registry; freed on drop.
#[derive(Debug)]
pub(super) struct Registration(&'static Entry);

impl Registration {
    /// Publishes a slab of `len` bytes at `base`, cut into slots of `stride` bytes. `None` without
    /// memory.
    pub(super) fn new(base: usize, len: usize, stride: usize) -> Option<Registration> {
        assert!(base != 0 && stride != 0 && len % stride == 0, "a slab is a whole number of slots");
        loop {
            if let Some(entry) = chunks()
                .flat_map(|chunk| &chunk.entries)
                .find(|entry| entry.claim(base, len, stride))
            {
                #[cfg(cove_asan)]
                crate::sys::checkers::note_stacks(base..base + len, stride);
                return Some(Registration(entry));
            }
            append_chunk()?;
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let sequence = self.0.sequence.load(Ordering::Relaxed);
        assert!(sequence % 2 == 0, "only the owner of an entry frees it");
        self.0.write(sequence, 0, 0, 0);
    }
}

impl Entry {
    /// Takes the entry if it is free.
    fn claim(&self, base: usize, len: usize, stride: usize) -> bool {
        let sequence = self.sequence.load(Ordering::Acquire);
        if sequence % 2 == 1 || self.base.load(Ordering::Relaxed) != 0 {
            return false;
        }
        // Success means that nobody has written the entry since, so it is still free.
        let odd = sequence.wrapping_add(1);
        let claimed =
            self.sequence.compare_exchange(sequence, odd, Ordering::Acquire, Ordering::Relaxed);
        if claimed.is_ok() {
            self.write(sequence, base, len, stride);
        }
        claimed.is_ok()
    }

    /// Writes the fields of an entry that belongs to the caller and whose even sequence was
    /// `sequence`.
    fn write(&self, sequence: usize, base: usize, len: usize, stride: usize) {
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.base.store(base, Ordering::Relaxed);
        self.len.store(len, Ordering::Relaxed);
        self.stride.store(stride, Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// The fields, if the entry is in use and not being changed.
    fn read(&self) -> Option<(usize, usize, usize)> {
        let before = self.sequence.load(Ordering::Acquire);
        let base = self.base.load(Ordering::Relaxed);
        let len = self.len.load(Ordering::Relaxed);
        let stride = self.stride.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let same = self.sequence.load(Ordering::Relaxed) == before;
        (before % 2 == 0 && same && base != 0).then_some((base, len, stride))
    }
}

fn chunks() -> impl Iterator<Item = &'static Chunk> {
    std::iter::successors(Some(&HEAD), |chunk| {
        // SAFETY: a chunk that was published is initialised and never freed.
        unsafe { chunk.next.load(Ordering::Acquire).as_ref() }
    })
}

/// Adds an empty chunk at the end of the list, or takes it that another thread has just added one.
fn append_chunk() -> Option<()> {
    let layout = Layout::new::<Chunk>();
    // SAFETY: the layout has a size.
    let new = unsafe { alloc_zeroed(layout) }.cast::<Chunk>();
    if new.is_null() {
        return None;
    }
    let mut last = &HEAD;
    loop {
        let null = std::ptr::null_mut();
        match last.next.compare_exchange(null, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Some(()),
            // SAFETY: what stands in `next` is a chunk that was initialised before its Release
            // exchange, which the failed one has read with Acquire; chunks are never freed.
            Err(next) => last = unsafe { &*next },
        }
    }
}
