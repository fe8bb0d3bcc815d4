//! What the tools that check memory are told of stacks: AddressSanitizer under `--cfg cove_asan`,
//! valgrind under `--cfg cove_valgrind`. Without these, nothing is told and nothing is paid.

use std::ops::Range;

/// Lets all of `range` be read and written again: frames that were left for good, or are to be
/// copied away, have forbidden zones between their variables.
#[inline(always)]
pub(crate) fn allow_all(range: Range<usize>) {
    #[cfg(cove_asan)]
    // SAFETY: only the sanitizer's own notes about these addresses change.
    unsafe {
        __asan_unpoison_memory_region(range.start as *const c_void, range.end - range.start)
    };
    let _ = range;
}

/// Calls `look`, which reads what frames have left behind, or memory that nobody has written: on
/// purpose, so that no tool need tell.
#[inline(always)]
pub(crate) fn look_at_remains<T>(look: impl FnOnce() -> T) -> T {
    #[cfg(cove_valgrind)]
    let _silence = valgrind::Silence::begin();
    look()
}

#[cfg(cove_asan)]
pub(crate) use asan::{finish_switch, note_stacks, stack_at, start_switch};
#[cfg(cove_asan)]
use {asan::__asan_unpoison_memory_region, libc::c_void};

#[cfg(cove_asan)]
mod asan {
    use libc::c_void;
    use std::ops::Range;
    use std::ptr;
    use std::sync::{Mutex, PoisonError};

    // compiler-rt: sanitizer/common_interface_defs.h, sanitizer/asan_interface.h.
    unsafe extern "C" {
        fn __sanitizer_start_switch_fiber(
            fake_stack: *mut *mut c_void,
            bottom: *const c_void,
            size: usize,
        );
        fn __sanitizer_finish_switch_fiber(
            fake_stack: *mut c_void,
            bottom_old: *mut *const c_void,
            size_old: *mut usize,
        );
        pub(super) fn __asan_unpoison_memory_region(start: *const c_void, size: usize);
    }

    /// Memory that is cut into stacks.
    struct Region {
        start: usize,
        end: usize,
        /// The size of a stack with what separates it from the next one.
        stride: usize,
    }

    /// Few: slabs, and threads' own stacks. What is left of those that are gone is replaced by
    /// those that come to lie there.
    static REGIONS: Mutex<Vec<Region>> = Mutex::new(Vec::new());

    /// Says that `range` is cut into stacks, one each `stride` bytes.
    pub(crate) fn note_stacks(range: Range<usize>, stride: usize) {
        let mut regions = REGIONS.lock().unwrap_or_else(PoisonError::into_inner);
        regions.retain(|region| region.end <= range.start || range.end <= region.start);
        regions.push(Region { start: range.start, end: range.end, stride });
    }

    /// The stack to which `address` belongs. Needs little stack itself, for it runs on small ones.
    #[inline(never)]
    pub(crate) fn stack_at(address: usize) -> Option<Range<usize>> {
        let regions = REGIONS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut place = regions.len();
        while place > 0 {
            place -= 1;
            let region = &regions[place];
            if region.start <= address && address < region.end {
                let start = region.start + (address - region.start) / region.stride * region.stride;
                return Some(start..start + region.stride);
            }
        }
        None
    }

    /// To be called before the stack is left for the one at `to`. Returns what the sanitizer wants
    /// back in [`finish_switch`] when the stack is entered again, unless it is left for good.
    pub(crate) fn start_switch(to: Range<usize>, for_good: bool) -> *mut c_void {
        let mut fake_stack = ptr::null_mut();
        let keep = if for_good { ptr::null_mut() } else { &raw mut fake_stack };
        // SAFETY: the place is writable or null, and the range is that of a stack.
        unsafe {
            __sanitizer_start_switch_fiber(keep, to.start as *const c_void, to.end - to.start);
        }
        fake_stack
    }

    /// To be called after the stack has been entered, for the first time with null. Returns the
    /// range of the stack that was left.
    pub(crate) fn finish_switch(fake_stack: *mut c_void) -> Range<usize> {
        let (mut bottom, mut bytes) = (ptr::null(), 0);
        // SAFETY: `fake_stack` is what `start_switch` gave on this stack, or null; the places are
        // writable.
        unsafe { __sanitizer_finish_switch_fiber(fake_stack, &raw mut bottom, &raw mut bytes) };
        bottom.addr()..bottom.addr() + bytes
    }
}

/// A stack's memory is one from now on.
#[cfg(any(cove_asan, cove_valgrind))]
pub(crate) fn stack_created(range: Range<usize>) {
    allow_all(range.clone());
    #[cfg(cove_valgrind)]
    valgrind::register_stack(range);
}

/// A stack's memory is one no longer.
#[cfg(any(cove_asan, cove_valgrind))]
pub(crate) fn stack_destroyed(range: Range<usize>) {
    #[cfg(cove_valgrind)]
    valgrind::deregister_stack(&range);
    let _ = range;
}

#[cfg(cove_valgrind)]
mod valgrind {
    use std::arch::asm;
    use std::collections::BTreeMap;
    use std::ops::Range;
    use std::sync::{Mutex, PoisonError};

    // valgrind.h: Vg_ClientRequest.
    const STACK_REGISTER: usize = 0x1501;
    const STACK_DEREGISTER: usize = 0x1502;
    const CHANGE_ERR_DISABLEMENT: usize = 0x1801;
    // memcheck.h: Vg_MemCheckClientRequest.
    const MAKE_MEM_UNDEFINED: usize = 0x4d43_0001;

    /// The numbers that valgrind gave, by the beginnings of the stacks.
    static NUMBERS: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

    /// Asks valgrind, or gets zero where there is none.
    fn request(arguments: [usize; 6]) -> usize {
        let answer;
        // SAFETY: the text is a sequence without effect, which valgrind recognises.
        unsafe {
            asm!(
                include_str!("../../asm/x86_64/valgrind.s"),
                in("rax") &raw const arguments,
                inlateout("rdx") 0_usize => answer,
                inout("rdi") 0_usize => _,
                options(nostack)
            );
        }
        answer
    }

    /// Says that `range` is a stack, so that a jump of the stack pointer into it is understood, and
    /// that its upper part may be written before it is entered: what was there has been given up.
    pub(super) fn register_stack(range: Range<usize>) {
        let upper = (range.end - range.start) / 4;
        request([MAKE_MEM_UNDEFINED, range.end - upper, upper, 0, 0, 0]);
        let number = request([STACK_REGISTER, range.start, range.end - 1, 0, 0, 0]);
        NUMBERS.lock().unwrap_or_else(PoisonError::into_inner).insert(range.start, number);
    }

    /// Says that `range` is a stack no longer.
    pub(super) fn deregister_stack(range: &Range<usize>) {
        let number = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner).remove(&range.start);
        if let Some(number) = number {
            request([STACK_DEREGISTER, number, 0, 0, 0, 0]);
        }
    }

    /// While it lives, errors of this thread are not reported.
    pub(super) struct Silence;

    impl Silence {
        pub(super) fn begin() -> Silence {
            request([CHANGE_ERR_DISABLEMENT, 1, 0, 0, 0, 0]);
            Silence
        }
    }

    impl Drop for Silence {
        fn drop(&mut self) {
            request([CHANGE_ERR_DISABLEMENT, usize::MAX, 0, 0, 0, 0]);
        }
    }
}
