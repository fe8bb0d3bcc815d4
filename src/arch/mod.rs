//! Contexts: a stack with a place to go on, and the switch between two of them.
//!
//! One file per processor with the same names in it, each a thin layer over the assembly text in
//! `asm/`; `portable.rs` offers the same names over corosensei for every other processor, and on
//! any processor under `--cfg cove_portable`, where it serves as the oracle.
//!
//! | name | what it does |
//! |---|---|
//! | [`prepare`] | makes a context that will call an [`Entry`] on a fresh stack |
//! | [`switch`] | saves the running context, enters another one (symmetric) |
//! | [`resume`], [`suspend`] | the same in a fixed pairing, so that the return predictor helps |
//! | [`leave`], [`leave_to_resumer`] | enter another context for good, saving nothing |
//! | [`unwind_from`] | calls a function whose backtrace is that of a suspended context |
//! | [`backtrace`], [`symbols`] | addresses of a stack's frames, and their names |
//! | [`stack_pointer`] | how far the stack of a suspended context reaches down |
//! | [`depth_below`] | how far below an address the running context's stack pointer is |
//! | [`discard`] | gives up a context that will not be entered again |
//!
//! Invariants:
//! - A saved context is entered at most once; entering it consumes it.
//! - The switch is inlined and declares every register lost except the two that the compiler
//!   reserves, so that only what is live is saved. Nothing is said of the floating-point control
//!   words (MXCSR, x87 CW, FPCR): Rust code never changes them.
//! - A backtrace that starts on a context's stack ends at its first frame.

#[cfg(all(target_arch = "x86_64", not(cove_portable)))]
#[path = "x86_64.rs"]
mod native;

#[cfg(all(target_arch = "aarch64", not(cove_portable)))]
#[path = "aarch64.rs"]
mod native;

#[cfg(any(cove_portable, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "portable.rs"]
mod native;

#[cfg(all(cove_asan, cove_portable))]
compile_error!("the portable switch is not one that AddressSanitizer is told of");

#[cfg(cove_asan)]
mod annotate;

#[cfg(not(cove_asan))]
use native as annotate;

pub(crate) use annotate::{leave, leave_to_resumer, prepare, resume, suspend, switch};
pub(crate) use native::{depth_below, discard, stack_pointer, unwind_from};

pub(crate) mod backtrace;
pub(crate) mod symbols;

use native::pc;
use std::mem::MaybeUninit;

/// A suspended context. On the hand-written architectures, its stack pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Context(pub(crate) *mut u8);

impl Context {
    /// No context: the place where one will be saved.
    pub(crate) const NONE: Context = Context(std::ptr::null_mut());
}

/// The two ends of an asymmetric pair.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Link {
    /// Where the resumer goes on; valid while the coroutine runs.
    pub(crate) resumer: Context,
    /// Where the coroutine goes on; valid unless it runs.
    pub(crate) coroutine: Context,
}

/// A word that crosses a switch. It may hold a value of the caller's, padding included.
pub(crate) type Value = MaybeUninit<usize>;

/// The first function of a context. It receives the argument given to [`prepare`] and the value
/// that was handed over by the switch that entered the context, and it never returns.
pub(crate) type Entry = unsafe extern "C" fn(argument: *mut u8, value: Value) -> !;

/// Asks the processor to load the cache line at `address`, which need not be valid.
#[inline(always)]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint; it does not fault whatever the address is.
        unsafe { _mm_prefetch(address.cast(), _MM_HINT_T0) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests;
