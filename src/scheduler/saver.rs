//! Memory for what shared stacks are about: the blocks of their tasks and the bytes that are copied
//! out. Sizes are rounded to 16 bytes, nothing is added, and a freed piece serves the next request
//! of its size: ten million coroutines pay for what they keep and nothing else.
//!
//! ```text
//!   class k (1..=128)  holds free pieces of 16 k bytes, linked through their first word
//!   chunk              1 MiB from the allocator, cut from the front
//!   larger pieces      straight from the allocator
//! ```
//!
//! One per thread. Its chunks go back when the last piece has come home; a thread that ends with
//! pieces abroad leaves its chunks to them.

use std::alloc::{Layout, alloc, dealloc};
use std::cell::UnsafeCell;
use std::ptr::NonNull;

/// The alignment of every piece, and the step between sizes.
pub(super) const ALIGN: usize = 16;

/// The number of sizes that are kept; larger pieces go back to the allocator at once.
const CLASSES: usize = 128;

/// The size of a chunk.
const CHUNK_BYTES: usize = 1 << 20;

const CHUNK: Layout = match Layout::from_size_align(CHUNK_BYTES, ALIGN) {
    Ok(layout) => layout,
    Err(_) => panic!("a chunk has a valid layout"),
};

/// One thread's pieces.
struct Saver {
    /// The first free piece of each class, or null.
    free: [*mut u8; CLASSES + 1],
    /// What is left of the newest chunk.
    cut: *mut u8,
    left: usize,
    chunks: Vec<NonNull<u8>>,
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
    with(|saver| (saver.used_bytes, saver.chunks.len() * CHUNK_BYTES)).unwrap_or_default()
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
            self.chunks.try_reserve(1).ok()?;
            // SAFETY: the layout has a size.
            let chunk = NonNull::new(unsafe { alloc(CHUNK) })?;
            self.recycle_rest();
            self.chunks.push(chunk);
            (self.cut, self.left) = (chunk.as_ptr(), CHUNK_BYTES);
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
        let piece = NonNull::new(unsafe { alloc(large(bytes)) })?;
        self.used_bytes += bytes;
        Some(piece)
    }

    /// Gives the chunks back, since nothing in them is used. One stays, so that a single coroutine
    /// that comes and goes does not allocate each time.
    #[cold]
    fn release_chunks(&mut self) {
        self.free = [std::ptr::null_mut(); CLASSES + 1];
        self.left = 0;
        for chunk in self.chunks.drain(1.min(self.chunks.len())..) {
            // SAFETY: made in `cut` with this layout; nothing in it is used.
            unsafe { dealloc(chunk.as_ptr(), CHUNK) };
        }
        if let Some(chunk) = self.chunks.first() {
            (self.cut, self.left) = (chunk.as_ptr(), CHUNK_BYTES);
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        if self.used_bytes == 0 {
            for chunk in self.chunks.drain(..) {
                // SAFETY: made in `cut` with this layout; nothing in it is used.
                unsafe { dealloc(chunk.as_ptr(), CHUNK) };
            }
        }
    }
}

fn large(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, ALIGN).expect("sizes of stacks are valid layouts")
}
