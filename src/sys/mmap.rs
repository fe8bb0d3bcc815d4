//! Memory mappings and what stacks do to their pages.
//!
//! A [`Mapping`] only reserves address space: private, anonymous, MAP_NORESERVE, so a page costs
//! memory from its first touch on, and neither the overcommit heuristic nor the swap accounting
//! counts the rest. Transparent huge pages are off, because a stack that touches 4 KiB must not be
//! given 2 MiB. The pages stay in core dumps (MADV_DONTDUMP is not set): they are the stacks that a
//! debugger wants.
//!
//! ```text
//! reserve(bytes)                 |<------------------ len ------------------>|
//!                                base (page aligned)
//! reserve_aligned(bytes, align)  |<- slack ->|<-------- len -------->|<- ... ->|
//!                                mapped      base (align aligned)
//! ```
//!
//! The functions that change pages are free functions over `(start, bytes)`, since a stack knows
//! its own range and not its slab. Ranges are whole pages; that is asserted.

use super::{cvt, page_size};
use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

/// Linux 6.13, `include/uapi/asm-generic/mman-common.h`; the libc crate has no name for it.
const MADV_GUARD_INSTALL: libc::c_int = 102;
/// The inverse of MADV_GUARD_INSTALL.
const MADV_GUARD_REMOVE: libc::c_int = 103;
/// Pages that one mincore(2) call answers for: bounds the answer's place on a small stack.
const MINCORE_PAGES_MAX: usize = 512;

/// Address space of our own, readable and writable, given back on drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    region: MmapRaw,
    /// Bytes between the start of `region` and the first usable byte.
    offset: usize,
    /// Usable bytes; a multiple of the page size.
    len: usize,
}

impl Mapping {
    /// Reserves `bytes`, rounded up to whole pages, aligned to a page.
    ///
    /// # Errors
    /// ENOMEM when the address space, `RLIMIT_AS` or the number of mappings does not allow it;
    /// InvalidInput when `bytes` does not fit into an address.
    pub(crate) fn reserve(bytes: usize) -> io::Result<Mapping> {
        Mapping::reserve_aligned(bytes, page_size())
    }

    /// Reserves `bytes`, rounded up to whole pages, aligned to `alignment` (a power of two).
    ///
    /// An alignment above the page's over-reserves by `alignment` minus a page. The slack at both
    /// ends is never touched, so it costs address space and nothing else.
    ///
    /// # Errors
    /// As [`Mapping::reserve`].
    pub(crate) fn reserve_aligned(bytes: usize, alignment: usize) -> io::Result<Mapping> {
        assert!(bytes > 0, "a mapping has at least one byte");
        assert!(alignment.is_power_of_two(), "alignment {alignment} is no power of two");
        let page = page_size();
        let slack = alignment.max(page) - page;
        let (len, total) = bytes
            .checked_next_multiple_of(page)
            .and_then(|len| Some((len, len.checked_add(slack)?)))
            .ok_or(io::ErrorKind::InvalidInput)?;
        let region = MmapRaw::from(MmapOptions::new().len(total).no_reserve_swap().map_anon()?);
        let offset = region.as_mut_ptr().align_offset(alignment);
        assert!(offset <= slack, "the aligned range starts inside the slack");
        // SAFETY: the whole range is the mapping just made, which nobody else knows of; the advice
        // changes how pages are found for it, not what they hold.
        let advised =
            cvt(unsafe { libc::madvise(region.as_mut_ptr().cast(), total, libc::MADV_NOHUGEPAGE) });
        match advised {
            // EINVAL: a kernel built without transparent huge pages, which is what was asked for.
            Err(error) if error.raw_os_error() != Some(libc::EINVAL) => return Err(error),
            _ => {}
        }
        Ok(Mapping { region, offset, len })
    }

    /// The first usable byte.
    pub(crate) fn base(&self) -> NonNull<u8> {
        // SAFETY: `offset` lies within the mapping, as asserted when it was made.
        let base = unsafe { self.region.as_mut_ptr().add(self.offset) };
        // SAFETY: mmap(2) never returns address 0 to a caller that gave no address.
        unsafe { NonNull::new_unchecked(base) }
    }

    /// Usable bytes from [`Mapping::base`] on.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// Makes the pages fault on every access without splitting the mapping: no VMA, about a
/// microsecond.
///
/// What the pages held is lost. A guard survives [`decommit`] and is inherited over fork.
///
/// # Safety
/// The range is whole pages inside one [`Mapping`], and nothing in it is in use.
///
/// # Errors
/// EINVAL where the kernel (before 6.13) does not know guards or the memory is locked; see
/// [`supports_guard_install`].
pub(crate) unsafe fn guard_install(start: *mut u8, bytes: usize) -> io::Result<()> {
    // SAFETY: the caller's promise is `advise`'s: nobody uses the range whose contents this drops.
    unsafe { advise(start, bytes, MADV_GUARD_INSTALL) }
}

/// Makes guarded pages ordinary again; they read as zeros. Pages without a guard are left alone.
///
/// # Safety
/// The range is whole pages inside one [`Mapping`], and nobody relies on the guards in it.
///
/// # Errors
/// EINVAL where the kernel does not know guards.
pub(crate) unsafe fn guard_remove(start: *mut u8, bytes: usize) -> io::Result<()> {
    // SAFETY: the caller's promise is `advise`'s.
    unsafe { advise(start, bytes, MADV_GUARD_REMOVE) }
}

/// Makes the pages fault on every access by mprotect(2). Splits the mapping: up to two VMAs more.
///
/// # Safety
/// The range is whole pages inside one [`Mapping`], and nothing in it is in use.
///
/// # Errors
/// ENOMEM when the process would have more mappings than `vm.max_map_count`.
pub(crate) unsafe fn protect_none(start: *mut u8, bytes: usize) -> io::Result<()> {
    // SAFETY: the caller's promise is `protect`'s: nobody accesses the range.
    unsafe { protect(start, bytes, libc::PROT_NONE) }
}

/// Undoes [`protect_none`]; the contents are what they were.
///
/// # Safety
/// The range is whole pages inside one [`Mapping`], and nobody relies on it being inaccessible.
///
/// # Errors
/// ENOMEM when the process would have more mappings than `vm.max_map_count`.
pub(crate) unsafe fn protect_read_write(start: *mut u8, bytes: usize) -> io::Result<()> {
    // SAFETY: the caller's promise is `protect`'s.
    unsafe { protect(start, bytes, libc::PROT_READ | libc::PROT_WRITE) }
}

/// Gives the pages' memory back at once; they read as zeros when touched again (MADV_DONTNEED).
///
/// # Safety
/// The range is whole pages inside one [`Mapping`], and nobody needs what it holds.
///
/// # Errors
/// EINVAL when the pages are locked in memory.
pub(crate) unsafe fn decommit(start: *mut u8, bytes: usize) -> io::Result<()> {
    // SAFETY: the caller's promise is `advise`'s: the contents are not needed.
    unsafe { advise(start, bytes, libc::MADV_DONTNEED) }
}

/// Asks for huge pages in memory that will be used densely: fewer faults, and fewer misses of the
/// address cache. A hint; what the memory holds stays.
///
/// # Errors
/// EINVAL on a kernel without transparent huge pages.
pub(crate) fn prefer_huge_pages(start: *mut u8, bytes: usize) -> io::Result<()> {
    // SAFETY: the advice changes how pages are found, not what they hold, whosever they are.
    unsafe { advise(start, bytes, libc::MADV_HUGEPAGE) }
}

/// How many pages of the range hold memory (mincore(2)). Guarded and untouched pages do not count.
///
/// # Errors
/// ENOMEM when a part of the range is not mapped.
pub(crate) fn resident_pages(start: *const u8, bytes: usize) -> io::Result<usize> {
    assert_whole_pages(start, bytes);
    let page = page_size();
    let mut answer = [0_u8; MINCORE_PAGES_MAX];
    let mut resident = 0;
    for first in (0..bytes).step_by(MINCORE_PAGES_MAX * page) {
        let part = (bytes - first).min(MINCORE_PAGES_MAX * page);
        let at = start.wrapping_add(first).cast_mut().cast();
        // SAFETY: `answer` has a byte for each of the at most MINCORE_PAGES_MAX pages of `part`;
        // the range itself is only asked about, and an unmapped one is an error, not a fault.
        cvt(unsafe { libc::mincore(at, part, answer.as_mut_ptr()) })?;
        // Only the lowest bit is defined, by mincore(2).
        resident += answer[..part / page].iter().filter(|&&state| state & 1 != 0).count();
    }
    Ok(resident)
}

/// Whether [`guard_install`] works here: the kernel knows it, and memory is not locked by
/// mlockall(2).
///
/// Probed once, on a scratch page.
pub(crate) fn supports_guard_install() -> bool {
    const UNKNOWN: u8 = 0;
    const NO: u8 = 1;
    const YES: u8 = 2;
    /// Racing first callers find the same answer.
    static ANSWER: AtomicU8 = AtomicU8::new(UNKNOWN);
    match ANSWER.load(Ordering::Relaxed) {
        UNKNOWN => {
            let supported = Mapping::reserve(1).and_then(|scratch| probe_guard(&scratch));
            let supported = supported.unwrap_or(false);
            ANSWER.store(if supported { YES } else { NO }, Ordering::Relaxed);
            supported
        }
        answer => answer == YES,
    }
}

/// Whether a guard came and went. Success alone is no proof: qemu-user accepts advice that it does
/// not know and does nothing. But a real guard takes the page's contents with it.
fn probe_guard(scratch: &Mapping) -> io::Result<bool> {
    let start = scratch.base().as_ptr();
    // SAFETY: whole pages of a mapping that the caller made for this alone; the write and the read
    // happen while there is no guard. Volatile, since the kernel changes the byte in between.
    unsafe {
        start.write_volatile(1);
        guard_install(start, scratch.len())?;
        guard_remove(start, scratch.len())?;
        Ok(start.read_volatile() == 0)
    }
}

/// # Safety
/// The range lies inside one [`Mapping`], and nobody needs what `advice` takes away.
unsafe fn advise(start: *mut u8, bytes: usize, advice: libc::c_int) -> io::Result<()> {
    assert_whole_pages(start, bytes);
    // SAFETY: the range is ours, and the caller gives up what the advice takes.
    cvt(unsafe { libc::madvise(start.cast(), bytes, advice) }).map(drop)
}

/// # Safety
/// The range lies inside one [`Mapping`], and nobody needs an access that `protection` forbids.
unsafe fn protect(start: *mut u8, bytes: usize, protection: libc::c_int) -> io::Result<()> {
    assert_whole_pages(start, bytes);
    // SAFETY: the range is ours, and the caller needs no access that is taken away.
    cvt(unsafe { libc::mprotect(start.cast(), bytes, protection) }).map(drop)
}

fn assert_whole_pages(start: *const u8, bytes: usize) {
    let page = page_size();
    assert!(start.addr() % page == 0, "{start:p} is not the start of a page");
    assert!(bytes % page == 0, "{bytes} bytes are not whole pages");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    /// Whether the byte at `at` can be read, found without a fault: the kernel copies it, or says
    /// EFAULT.
    fn readable(at: *const u8) -> bool {
        let (_reader, writer) = UnixStream::pair().expect("a socket pair");
        // SAFETY: the kernel reads the byte, and reports a bad address instead of faulting.
        unsafe { libc::write(writer.as_raw_fd(), at.cast(), 1) == 1 }
    }

    #[test]
    fn reserved_pages_are_zero_and_cost_nothing_until_touched() {
        // Goal: reserving is lazy and the memory usable. Method: 1 GiB, touch three pages, count.
        let page = page_size();
        let mapping = Mapping::reserve(1 << 30).expect("address space for 1 GiB");
        assert_eq!(mapping.len(), 1 << 30);
        let base = mapping.base().as_ptr();
        assert_eq!(resident_pages(base, mapping.len()).expect("mapped"), 0);
        for index in [0, 7, mapping.len() / page - 1] {
            // SAFETY: the page lies inside the mapping, which this test alone uses.
            unsafe {
                assert_eq!(base.add(index * page).read(), 0);
                base.add(index * page).write(1);
            }
        }
        assert_eq!(resident_pages(base, mapping.len()).expect("mapped"), 3);
    }

    #[test]
    fn aligned_reservation_is_aligned_and_whole() {
        // Goal: alignment above a page holds and loses no byte. Method: write the first and the
        // last.
        let mapping = Mapping::reserve_aligned(3 * page_size() + 1, 1 << 21).expect("space");
        assert_eq!(mapping.base().as_ptr().addr() % (1 << 21), 0);
        assert_eq!(mapping.len(), 4 * page_size());
        // SAFETY: both bytes lie inside the mapping, which this test alone uses.
        unsafe {
            mapping.base().write(1);
            mapping.base().add(mapping.len() - 1).write(1);
        }
    }

    #[test]
    fn impossible_reservations_are_errors() {
        // Goal: no size panics or aborts. Method: beyond the address space, and beyond an address.
        assert!(Mapping::reserve(1 << 62).is_err());
        assert!(Mapping::reserve(usize::MAX).is_err());
        assert!(Mapping::reserve(usize::MAX - page_size()).is_err());
        assert!(Mapping::reserve_aligned(1 << 20, 1 << 63).is_err());
    }

    #[test]
    fn guards_make_pages_unreadable_and_come_off() {
        // Goal: install, survive a decommit, remove. Method: let the kernel probe the middle page.
        if !supports_guard_install() {
            println!("skipped: MADV_GUARD_INSTALL is unknown to this kernel");
            return;
        }
        let page = page_size();
        let mapping = Mapping::reserve(3 * page).expect("space");
        let base = mapping.base().as_ptr();
        let middle = base.wrapping_add(page);
        // SAFETY: whole pages of a mapping that this test alone uses; nothing in them is needed.
        unsafe {
            base.write(1);
            middle.write(1);
            guard_install(middle, page).expect("a guard");
            assert!(!readable(middle) && readable(base));
            assert_eq!(resident_pages(base, mapping.len()).expect("mapped"), 1);
            decommit(base, mapping.len()).expect("decommit");
            assert!(!readable(middle) && readable(base));
            guard_remove(middle, page).expect("no guard");
            assert!(readable(middle));
            assert_eq!(middle.read(), 0);
        }
    }

    #[test]
    fn protection_hides_pages_and_keeps_their_contents() {
        // Goal: the mprotect fall-back guards too. Method: let the kernel probe the page.
        let mapping = Mapping::reserve(2 * page_size()).expect("space");
        let base = mapping.base().as_ptr();
        // SAFETY: whole pages of a mapping that this test alone uses.
        unsafe {
            base.write(42);
            protect_none(base, page_size()).expect("protect");
            assert!(!readable(base) && readable(base.add(page_size())));
            protect_read_write(base, page_size()).expect("unprotect");
            assert_eq!(base.read(), 42);
        }
    }

    #[test]
    fn decommitted_pages_are_given_back_and_read_as_zeros() {
        // Goal: memory goes back at once. Method: dirty 600 pages (two mincore calls), decommit
        // half.
        let page = page_size();
        let mapping = Mapping::reserve(600 * page).expect("space");
        let base = mapping.base().as_ptr();
        // SAFETY: whole pages of a mapping that this test alone uses; the contents are not needed.
        unsafe {
            base.write_bytes(0xA5, mapping.len());
            assert_eq!(resident_pages(base, mapping.len()).expect("mapped"), 600);
            decommit(base, 300 * page).expect("decommit");
            assert_eq!(resident_pages(base, mapping.len()).expect("mapped"), 300);
            assert_eq!((base.read(), base.add(300 * page).read()), (0, 0xA5));
        }
    }

    #[test]
    fn dropping_a_mapping_unmaps_it() {
        // Goal: nothing leaks. Method: the kernel says ENOMEM for a range that is not mapped; the
        // range is large, so that another thread's mapping hardly takes all of it in between.
        let mapping = Mapping::reserve(1 << 34).expect("space");
        let (base, len) = (mapping.base().as_ptr(), mapping.len());
        drop(mapping);
        let gone = resident_pages(base, len).map_err(|e| e.raw_os_error());
        assert_eq!(gone, Err(Some(libc::ENOMEM)));
    }
}
