//! What of a stack is in memory: for the high-water mark, and for the pool's decision to trim.

use std::ptr::NonNull;

use crate::sys::checkers::look_at_remains;
use crate::sys::mmap::resident_pages;
use crate::sys::page_size;

/// The address of the lowest nonzero word of the `bytes` from `start` on, whole words, or `None` if
/// all are zero.
///
/// Looks only at resident pages, because touching the others would make them resident. They are
/// found by halving: a range without a resident page is skipped whole.
///
/// # Safety
///
/// The range is readable and word-aligned, `start` starts a page, and nobody writes it meanwhile
/// but this thread.
pub(super) unsafe fn lowest_nonzero(start: NonNull<u8>, bytes: usize) -> Option<usize> {
    let page_bytes = page_size();
    let pages_bytes = bytes.next_multiple_of(page_bytes);
    // An error is taken for "resident": then the scan is slower and touches pages, but it is right.
    let touched = |offset: usize, len: usize| {
        resident_pages(start.as_ptr().wrapping_add(offset), len).map_or(true, |pages| pages > 0)
    };
    let mut offset = 0;
    let mut window = pages_bytes;
    while offset < pages_bytes {
        window = window.min(pages_bytes - offset);
        if !touched(offset, window) {
            offset += window;
            window = pages_bytes;
        } else if window > page_bytes {
            window = (window / 2).next_multiple_of(page_bytes);
        } else {
            let words = (bytes - offset).min(page_bytes) / size_of::<u64>();
            // SAFETY: the page is inside the caller's readable range, and so are its first `words`
            // words.
            let is_nonzero = |index: &usize| unsafe {
                start.add(offset).cast::<u64>().add(*index).read_volatile() != 0
            };
            let found = look_at_remains(|| (0..words).find(is_nonzero));
            if let Some(index) = found {
                return Some(start.as_ptr().addr() + offset + index * size_of::<u64>());
            }
            offset += page_bytes;
        }
    }
    None
}
