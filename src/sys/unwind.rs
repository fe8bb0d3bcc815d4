//! Walking the frames of a stack: the unwinder that std links (Itanium C++ ABI, Exception Handling,
//! level I). It only reads, allocates nothing, and takes no lock where the C library has
//! `_dl_find_object` (glibc 2.35); before that it takes the loader's.

use libc::{c_int, c_void};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;

/// The unwinder's view of a frame; opaque.
#[repr(C)]
struct UnwindContext {
    private: [u8; 0],
}

type Trace = unsafe extern "C" fn(*mut UnwindContext, *mut c_void) -> c_int;

/// Goes on with the frame's caller.
const URC_NO_REASON: c_int = 0;
/// Ends the walk; any other value than the one above does.
const URC_NORMAL_STOP: c_int = 4;

unsafe extern "C" {
    fn _Unwind_Backtrace(trace: Trace, argument: *mut c_void) -> c_int;
    fn _Unwind_GetIPInfo(context: *mut UnwindContext, is_exact: *mut c_int) -> usize;
}

/// Calls `look` with the return address of each frame, innermost first, until it breaks or the
/// stack ends. The place where a signal interrupted code is given as the address after it, so that
/// the byte before each address belongs to the instruction in question.
///
/// `look` must not unwind.
#[inline(always)]
pub(crate) fn each_frame<F: FnMut(usize) -> ControlFlow<()>>(mut look: F) {
    /// # Safety
    /// `look` is the function below, and `context` the unwinder's.
    unsafe extern "C" fn trace<F: FnMut(usize) -> ControlFlow<()>>(
        context: *mut UnwindContext,
        look: *mut c_void,
    ) -> c_int {
        let mut is_exact = 0;
        // SAFETY: the context is the unwinder's own, for the time of this call.
        let pc = unsafe { _Unwind_GetIPInfo(context, &raw mut is_exact) };
        if pc == 0 {
            return URC_NORMAL_STOP;
        }
        // SAFETY: `each_frame` passes the function of this type, and keeps it meanwhile.
        let look = unsafe { &mut *look.cast::<F>() };
        match look(pc + usize::from(is_exact != 0)) {
            ControlFlow::Continue(()) => URC_NO_REASON,
            ControlFlow::Break(()) => URC_NORMAL_STOP,
        }
    }
    // SAFETY: the walk only reads the present stack and the unwinding tables. How it ended is of no
    // interest: what was reported until then is what there is.
    let _ = unsafe { _Unwind_Backtrace(trace::<F>, (&raw mut look).cast()) };
}

/// The name of the nearest exported symbol at or below `address`, in the same object.
pub(crate) fn exported_name(address: usize) -> Option<String> {
    let name = look_up(address)?.dli_sname;
    // SAFETY: a name that was found is a C string of the object, which the caller runs in.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
}

fn look_up(address: usize) -> Option<libc::Dl_info> {
    let mut found = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: any address may be asked for, and `found` is writable.
    let is_found = unsafe { libc::dladdr(address as *const c_void, found.as_mut_ptr()) != 0 };
    // SAFETY: the call succeeded, so it filled the fields.
    is_found.then(|| unsafe { found.assume_init() })
}

/// Whether `pc` lies in the text of a switch of stacks, where the stack pointer and what the tables
/// say of it do not agree: nobody can be unwound from there. Each copy of such a text (asm/) notes
/// its two ends, relative to the note, in a section of their own.
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(cove_portable)))]
pub(crate) fn is_in_switch(pc: usize) -> bool {
    unsafe extern "C" {
        /// Defined by the linker, for a section with such a name.
        #[link_name = "__start_cove_switches"]
        static NOTES: [i32; 0];
        #[link_name = "__stop_cove_switches"]
        static NOTES_END: [i32; 0];
    }
    let (mut note, end) = ((&raw const NOTES).cast::<i32>(), (&raw const NOTES_END).cast::<i32>());
    while note < end {
        // SAFETY: the section consists of pairs of such numbers.
        let [from, to] = [note, note.wrapping_add(1)]
            .map(|at| unsafe { at.addr().wrapping_add_signed(at.read() as isize) });
        if (from..to).contains(&pc) {
            return true;
        }
        note = note.wrapping_add(2);
    }
    false
}

/// As above; here no switch is ours.
#[cfg(any(cove_portable, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(crate) fn is_in_switch(_pc: usize) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_begin_at_the_caller_and_end_by_themselves() {
        // Goal: the walk is of this stack, stops when told, and ends. Method: count with and
        // without a limit; the test harness has at least a handful of frames below.
        let count = |limit: usize| {
            let mut frames = 0;
            each_frame(|pc| {
                assert_ne!(pc, 0);
                frames += 1;
                if frames == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            frames
        };
        assert_eq!(count(2), 2);
        let all = count(usize::MAX);
        assert!((5..1000).contains(&all), "{all}");
    }
}
