//! The context switch for x86_64 (System V psABI). The text is in `asm/x86_64/`.
//!
//! ```text
//!            a fresh context                     a suspended context
//!   top -> +----------------+             top -> +----------------+
//!          | entry          |                    | frames of the  |
//!          | argument       |                    | coroutine      |
//!    sp -> | pc = start     |                    +----------------+
//!          +----------------+                    | rbx            |
//!                                                | rbp            |
//!                                          sp -> | pc             |
//!                                                +----------------+
//! ```

use super::{Context, Entry, Link, Value};
use std::arch::asm;
use std::mem::offset_of;

/// What a suspended context points at, lowest address first.
#[repr(C)]
struct SavedFrame {
    pc: usize,
    rbp: usize,
    rbx: usize,
}

/// What a context that has not run yet points at, lowest address first.
#[repr(C)]
struct InitialFrame {
    pc: usize,
    argument: *mut u8,
    entry: Entry,
}

// The offsets that the assembly text and its unwinding rules rely on.
const _: () = assert!(size_of::<SavedFrame>() == 24);
const _: () = assert!(offset_of!(SavedFrame, rbp) == 8);
const _: () = assert!(offset_of!(SavedFrame, rbx) == 16);
const _: () = assert!(size_of::<InitialFrame>() == 24);
const _: () = assert!(offset_of!(InitialFrame, argument) == 8);
const _: () = assert!(offset_of!(InitialFrame, entry) == 16);

/// Runs one text of `asm/` with the registers that all switches share. The macro only declares
/// operands: everything but rbx and rbp, which the text keeps itself, is lost.
macro_rules! switch_text {
    ($text:literal, $save:expr, $to:expr, $value:expr) => {{
        let received;
        asm!(
            include_str!(concat!("../../asm/x86_64/", $text)),
            inlateout("rdi") $save => _,
            inlateout("rsi") $to.0 => _,
            inlateout("rdx") $value => received,
            lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
            clobber_abi("sysv64"),
        );
        received
    }};
}

/// Makes a context that will call `entry(argument, value)` on the stack that ends at `top`.
///
/// # Safety
/// `top` is 16-byte aligned and ends a writable stack, large enough for `entry`, that outlives the
/// context. `entry` must not return or unwind. Cost: three stores.
#[inline]
pub(crate) unsafe fn prepare(
    top: *mut u8,
    _limit: impl FnOnce() -> *mut u8,
    entry: Entry,
    argument: *mut u8,
) -> Context {
    debug_assert!(top as usize % 16 == 0);
    // SAFETY: the caller gives a writable stack, so the bytes just below its top are ours.
    unsafe {
        let frame = top.cast::<InitialFrame>().sub(1);
        frame.write(InitialFrame { pc: start(), argument, entry });
        Context(frame.cast())
    }
}

/// The address of the first instruction of every context, which is in here: not inlined, so that it
/// is this name with which a backtrace ends.
#[inline(never)]
fn start() -> usize {
    let address: usize;
    // SAFETY: the text computes an address and jumps over the code at that address.
    unsafe {
        asm!(
            include_str!("../../asm/x86_64/start.s"),
            address = out(reg) address,
            options(nomem, preserves_flags)
        );
    }
    address
}

/// Saves the running context to `save` and enters `to`, handing over `value`; returns the value
/// handed over by whoever enters the saved context. Cost: about 1.5 ns.
///
/// # Safety
/// `save` is writable, and `to` was made by [`prepare`] or saved, on this thread, and was not
/// entered since; its stack is intact.
#[inline(always)]
pub(crate) unsafe fn switch(save: *mut Context, to: Context, value: usize) -> usize {
    // SAFETY: the text keeps rbx, rbp and rsp across the switch and declares the rest lost; the
    // caller vouches for both contexts.
    unsafe { switch_text!("switch.s", save, to, value) }
}

/// As [`switch`], from the resumer of `link` to its coroutine, which comes back by [`suspend`] or
/// [`leave_to_resumer`].
///
/// # Safety
/// As [`switch`]; `to` is `link.coroutine`.
#[inline(always)]
pub(crate) unsafe fn resume(link: *mut Link, to: Context, value: Value) -> Value {
    // SAFETY: as in `switch`; only the way in which the pc is made differs.
    unsafe { switch_text!("resume.s", &raw mut (*link).resumer, to, value) }
}

/// As [`switch`], from the coroutine of `link` back to its resumer.
///
/// # Safety
/// As [`switch`]; the coroutine was entered by [`resume`] with this link.
#[inline(always)]
pub(crate) unsafe fn suspend(link: *mut Link, value: Value) -> Value {
    // SAFETY: as in `switch`; the text takes both contexts from the link, of whose
    // layout it is told.
    unsafe {
        let received;
        asm!(
            include_str!("../../asm/x86_64/suspend.s"),
            resumer = const offset_of!(Link, resumer),
            coroutine = const offset_of!(Link, coroutine),
            inlateout("rdi") link => _,
            inlateout("rdx") value => received,
            lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
            clobber_abi("sysv64"),
        );
        received
    }
}

/// Enters `to` for good, handing over `value`. Nothing on the present stack is dropped.
///
/// # Safety
/// As [`switch`] for `to`; whatever lies on the present stack is abandoned.
#[inline(always)]
pub(crate) unsafe fn leave(to: Context, value: usize) -> ! {
    // SAFETY: the caller vouches for `to`, and nothing returns to here.
    unsafe {
        asm!(
            include_str!("../../asm/x86_64/leave.s"),
            in("rsi") to.0, in("rdx") value,
            options(noreturn)
        )
    }
}

/// As [`leave`], to a context saved by [`resume`].
///
/// # Safety
/// As [`leave`].
#[inline(always)]
pub(crate) unsafe fn leave_to_resumer(to: Context, value: usize) -> ! {
    // SAFETY: the caller vouches for `to`, and nothing returns to here.
    unsafe {
        asm!(
            include_str!("../../asm/x86_64/leave_to_resumer.s"),
            in("rsi") to.0, in("rdx") value,
            options(noreturn)
        )
    }
}

/// Calls `function(argument)` on the present stack in such a way that a backtrace taken inside it
/// shows, above it, the frames of the suspended `context`.
///
/// # Safety
/// `context` is suspended and its stack intact. `function` must not unwind.
#[inline(never)]
pub(crate) unsafe fn unwind_from(
    context: Context,
    function: unsafe extern "C" fn(*mut u8),
    argument: *mut u8,
) {
    // SAFETY: the text restores rsp, rbx and rbp; the rest that it or the callee changes is
    // declared lost. Its unwinding rules read the frame that the caller vouches for.
    unsafe {
        asm!(
            include_str!("../../asm/x86_64/unwind_from.s"),
            function = in(reg) function,
            inlateout("rdi") argument => _,
            inlateout("r13") context.0 => _,
            out("r12") _,
            clobber_abi("sysv64"),
        );
    }
}

/// Where the suspended `context` goes on.
///
/// # Safety
/// `context` is suspended and has run before; its stack is readable.
pub(crate) unsafe fn pc(context: Context) -> usize {
    // SAFETY: such a context points at its saved frame.
    unsafe { (*context.0.cast::<SavedFrame>()).pc }
}

/// The lowest address that the suspended `context` uses of its stack.
#[inline(always)]
pub(crate) fn stack_pointer(context: Context) -> *mut u8 {
    context.0
}

/// How far below `address` the stack pointer is; wraps if it is above.
#[inline(always)]
pub(crate) fn depth_below(address: usize) -> usize {
    let mut depth = address;
    // SAFETY: the text only computes.
    unsafe {
        asm!(
            include_str!("../../asm/x86_64/depth.s"),
            depth = inlateout(reg) depth,
            options(nomem, nostack)
        );
    }
    depth
}

/// Gives up a context that will not be entered again. Nothing on its stack is dropped.
///
/// # Safety
/// As [`switch`] for `context`, which is not used afterwards.
#[inline(always)]
pub(crate) unsafe fn discard(_context: Context) {}
