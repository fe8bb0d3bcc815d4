//! Memory for what shared stacks are about: the blocks of their tasks and the bytes that are copied
//! out. Sizes are rounded to 16 bytes, nothing is added, and a freed piece serves the next request
//! of its size: ten million coroutines pay for what they keep and nothing else.
//!
//! ```text
//!   class k (1..=128)  holds free pieces of 16 k bytes, linked through their first word
//!   chunk              from the allocator, cut from the front: a few of 1 MiB; then of 32 MiB, on
//!                      huge pages, because at that size faults and misses of the address cache
//!                      would cost more than anything else done to a piece
//!   larger pieces      straight from the allocator
//!   reserve            given back to the allocator when that has nothing left, and taken again
//!                      before anything else is: so what must be allocated to raise and to report
//!                      the shortage, and by destructors, finds memory
//! ```
//!
//! One per thread. Its chunks go back when the last piece has come home; a thread that ends with
//! pieces abroad leaves its chunks to them.

use crate::sys;
use std::alloc::{Layout, alloc, dealloc};
use std::cell::UnsafeCell;
use std::ptr::NonNull;

/// The alignment of every piece, and the step between sizes.
pub(super) const ALIGN: usize = 16;

/// The number of sizes that are kept; larger pieces go back to the allocator at once.
const CLASSES: usize = 128;

/// The first chunks are small.
const CHUNK: Layout = layout(CHUNK_BYTES, ALIGN);

/// What `take` asks the allocator for at the least, when it has nothing.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// This many of them, before chunks are large: those who keep less do not get huge pages.
const CHUNKS_SMALL: usize = 8;

/// A large chunk; a multiple of the size of a huge page, and so aligned.
const CHUNK_LARGE: Layout = layout(32 << 20, 2 << 20);

/// The memory that is kept for times without any: below the size from which the allocator maps, so
/// that what is given back serves small requests.
const RESERVE: Layout = layout(64 << 10, ALIGN);

const fn layout(bytes: usize, align: usize) -> Layout {
    match Layout::from_size_align(bytes, align) {
        Ok(layout) => layout,
        Err(_) => panic!("a chunk has a valid layout"),
    }
}

/// Memory from the allocator.
struct Chunk {
    start: NonNull<u8>,
    layout: Layout,
}

impl Chunk {
    /// The chunk that comes after `chunks` others, or none if there is no memory.
    fn new(chunks: usize) -> Option<Chunk> {
        if chunks >= CHUNKS_SMALL {
            // SAFETY: the layout has a size.
            if let Some(start) = NonNull::new(unsafe { alloc(CHUNK_LARGE) }) {
                // Without huge pages it works as well.
                let _ = sys::mmap::prefer_huge_pages(start.as_ptr(), CHUNK_LARGE.size());
                return Some(Chunk { start, layout: CHUNK_LARGE });
            }
        }
        // SAFETY: the layout has a size.
        let start = NonNull::new(unsafe { alloc(CHUNK) })?;
        Some(Chunk { start, layout: CHUNK })
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// Nothing in it is used.
    unsafe fn free(self) {
        // SAFETY: made by `new` with this layout; the caller vouches for the rest.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// One thread's pieces.
struct Saver {
    /// The first free piece of each class, or null.
    free: [*mut u8; CLASSES + 1],
    /// What is left of the newest chunk.
    cut: *mut u8,
    left: usize,
    chunks: Vec<Chunk>,
    /// The reserve, or null.
    reserve: *mut u8,
    /// Bytes handed out.
    used_bytes: usize,
}

thread_local! {
    static SAVER: UnsafeCell<Saver> = const { UnsafeCell::new(Saver::new()) };
}

/// A piece of `bytes` bytes, or none if there is no memory or the thread is ending.
#[inline(always)]
pub(super) fn take(bytes: usize) -> Option<NonNull<u8>> {
    with(|saver| saver.take(bytes)).flatten()
}

/// Takes back a piece of `bytes` bytes. If the thread is ending, the piece's chunk has been left to
/// it, and stays.
#[inline(always)]
pub(super) fn give(piece: NonNull<u8>, bytes: usize) {
    with(|saver| saver.give(piece, bytes));
}

/// Bytes that the thread's saver has handed out, and those it holds from the allocator.
pub(crate) fn usage() -> (usize, usize) {
    with(|saver| {
        let held_bytes = saver.chunks.iter().map(|chunk| chunk.layout.size()).sum();
        (saver.used_bytes, held_bytes)
    })
    .unwrap_or_default()
}

/// Runs `use_saver` with the thread's saver, unless that is gone; it must not come back here.
#[inline(always)]
fn with<R>(use_saver: impl FnOnce(&mut Saver) -> R) -> Option<R> {
    // SAFETY: the saver's methods call nothing that comes back here, and it stays on this thread.
    SAVER.try_with(|saver| use_saver(unsafe { &mut *saver.get() })).ok()
}

impl Saver {
    const fn new() -> Saver {
        Saver {
            free: [std::ptr::null_mut(); CLASSES + 1],
            cut: std::ptr::null_mut(),
            left: 0,
            chunks: Vec::new(),
            reserve: std::ptr::null_mut(),
            used_bytes: 0,
        }
    }

    /// A piece of `bytes` bytes, or none if there is no memory.
    #[inline]
    fn take(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        let class = bytes.div_ceil(ALIGN).max(1);
        if class > CLASSES {
            return self.take_large(class * ALIGN);
        }
        let piece = match NonNull::new(self.free[class]) {
            Some(piece) => {
                // SAFETY: a free piece holds the address of the next one in its first word.
                self.free[class] = unsafe { piece.cast::<*mut u8>().read() };
                piece
            }
            None => self.cut(class * ALIGN)?,
        };
        self.used_bytes += class * ALIGN;
        Some(piece)
    }

    fn cut(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        if self.left < bytes {
            let chunk = self.allocate(|chunks| {
                chunks.try_reserve(1).ok()?;
                Chunk::new(chunks.len())
            })?;
            self.recycle_rest();
            (self.cut, self.left) = (chunk.start.as_ptr(), chunk.layout.size());
            self.chunks.push(chunk);
        }
        let piece = self.cut;
        self.cut = self.cut.wrapping_add(bytes);
        self.left -= bytes;
        NonNull::new(piece)
    }

    /// Puts what is left of the newest chunk, too small for the present request, into its class.
    fn recycle_rest(&mut self) {
        let class = self.left / ALIGN;
        if (1..=CLASSES).contains(&class) {
            // SAFETY: the rest of the chunk is unused and has room for a word.
            unsafe { self.cut.cast::<*mut u8>().write(self.free[class]) };
            self.free[class] = self.cut;
        }
        self.left = 0;
    }

    /// Takes back a piece of `bytes` bytes.
    #[inline]
    fn give(&mut self, piece: NonNull<u8>, bytes: usize) {
        let class = bytes.div_ceil(ALIGN).max(1);
        self.used_bytes -= class * ALIGN;
        if class > CLASSES {
            // SAFETY: made by `take_large` with this size.
            unsafe { dealloc(piece.as_ptr(), large(class * ALIGN)) };
        } else {
            // SAFETY: the piece is unused from now on and has room for a word.
            unsafe { piece.cast::<*mut u8>().write(self.free[class]) };
            self.free[class] = piece.as_ptr();
        }
        if self.used_bytes == 0 {
            self.release_chunks();
        }
    }

    #[cold]
    fn take_large(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        // SAFETY: the layout has a size.
        let piece = self.allocate(|_| NonNull::new(unsafe { alloc(large(bytes)) }))?;
        self.used_bytes += bytes;
        Some(piece)
    }

    /// Takes something from the allocator, if the reserve can be held or taken again; when there is
    /// nothing, the reserve goes back.
    #[cold]
    fn allocate<R>(&mut self, take: impl FnOnce(&mut Vec<Chunk>) -> Option<R>) -> Option<R> {
        if self.reserve.is_null() {
            // SAFETY: the layout has a size.
            self.reserve = unsafe { alloc(RESERVE) };
        }
        let taken = if self.reserve.is_null() { None } else { take(&mut self.chunks) };
        if taken.is_none() {
            self.release_reserve();
        }
        taken
    }

    fn release_reserve(&mut self) {
        let reserve = std::mem::replace(&mut self.reserve, std::ptr::null_mut());
        if !reserve.is_null() {
            // SAFETY: taken by `allocate` with this layout, and used for nothing.
            unsafe { dealloc(reserve, RESERVE) };
        }
    }

    /// Gives the chunks back, since nothing in them is used. One stays, so that a single coroutine
    /// that comes and goes does not allocate each time.
    #[cold]
    fn release_chunks(&mut self) {
        self.free = [std::ptr::null_mut(); CLASSES + 1];
        self.left = 0;
        for chunk in self.chunks.drain(1.min(self.chunks.len())..) {
            // SAFETY: nothing in any chunk is used.
            unsafe { chunk.free() };
        }
        if let Some(chunk) = self.chunks.first() {
            (self.cut, self.left) = (chunk.start.as_ptr(), chunk.layout.size());
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.release_reserve();
        if self.used_bytes == 0 {
            for chunk in self.chunks.drain(..) {
                // SAFETY: nothing in any chunk is used.
                unsafe { chunk.free() };
            }
        }
    }
}

fn large(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, ALIGN).expect("sizes of stacks are valid layouts")
}
