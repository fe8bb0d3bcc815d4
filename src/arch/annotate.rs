//! The switch as AddressSanitizer wants it (`--cfg cove_asan`): before each one it is told which
//! stack comes next, after each one that this has happened.
//!
//! Where stacks lie is known below: `sys::checkers` is told of every slab, and here of stacks that
//! are in none, among them a thread's own, of which the sanitizer tells when it is left for the
//! first time. So nobody above notices.

use super::{Context, Entry, Link, Value, native};
use crate::sys::checkers::{allow_all, finish_switch, note_stacks, stack_at, start_switch};
use std::ffi::c_void;
use std::ops::Range;
use std::ptr;

/// What the first function of a context is told, at the top of its stack.
#[repr(C, align(16))]
struct First {
    entry: Entry,
    argument: *mut u8,
}

/// The stack on which `context` is suspended.
fn stack_of(context: Context) -> Range<usize> {
    match stack_at(native::stack_pointer(context).addr()) {
        Some(stack) => stack,
        None => panic!("{context:?} is on no stack"),
    }
}

/// To be called when a stack was entered; `kept` is what leaving it had returned.
fn arrive(kept: *mut c_void) {
    let left = finish_switch(kept);
    if stack_at(left.start) != Some(left.clone()) {
        note_stacks(left.clone(), left.end - left.start);
    }
}

/// As that of the processor.
///
/// # Safety
/// As that of the processor.
pub(crate) unsafe fn prepare(
    top: *mut u8,
    limit: impl FnOnce() -> *mut u8,
    entry: Entry,
    argument: *mut u8,
) -> Context {
    /// # Safety
    /// `first` was written by `prepare`.
    unsafe extern "C" fn main(first: *mut u8, value: Value) -> ! {
        arrive(ptr::null_mut());
        // SAFETY: as the caller says; the entry gets what it was to get.
        unsafe {
            let First { entry, argument } = first.cast::<First>().read();
            entry(argument, value)
        }
    }
    // Whoever was here before has left frames behind.
    let limit = limit();
    let stack = limit.addr()..top.addr();
    allow_all(stack.clone());
    if stack_at(stack.start).is_none_or(|known| stack.end > known.end) {
        note_stacks(stack.clone(), stack.end - stack.start);
    }
    // SAFETY: as the caller says; what lies at the top now leaves it aligned.
    unsafe {
        let first = top.cast::<First>().sub(1);
        first.write(First { entry, argument });
        native::prepare(first.cast(), || limit, main, first.cast())
    }
}

/// As that of the processor.
///
/// # Safety
/// As that of the processor.
#[inline(always)]
pub(crate) unsafe fn switch(save: *mut Context, to: Context, value: usize) -> usize {
    let kept = start_switch(stack_of(to), false);
    // SAFETY: the caller vouches for both contexts, as the processor's switch asks; telling the
    // checker which stack comes next has changed neither.
    let received = unsafe { native::switch(save, to, value) };
    arrive(kept);
    received
}

/// As that of the processor.
///
/// # Safety
/// As that of the processor.
#[inline(always)]
pub(crate) unsafe fn resume(link: *mut Link, to: Context, value: Value) -> Value {
    let kept = start_switch(stack_of(to), false);
    // SAFETY: the caller vouches that `to` is the link's coroutine and enterable; telling the
    // checker which stack comes next has changed neither.
    let received = unsafe { native::resume(link, to, value) };
    arrive(kept);
    received
}

/// As that of the processor.
///
/// # Safety
/// As that of the processor.
#[inline(always)]
pub(crate) unsafe fn suspend(link: *mut Link, value: Value) -> Value {
    // SAFETY: the link of a running coroutine holds its resumer.
    let kept = start_switch(stack_of(unsafe { (*link).resumer }), false);
    // SAFETY: the caller vouches that the running coroutine was entered with this link; its resumer
    // was read above, and stays what it was.
    let received = unsafe { native::suspend(link, value) };
    arrive(kept);
    received
}

/// As that of the processor.
///
/// # Safety
/// As that of the processor.
pub(crate) unsafe fn leave(to: Context, value: usize) -> ! {
    start_switch(stack_of(to), true);
    // SAFETY: the caller vouches that `to` can be entered and that nothing needs this stack again.
    unsafe { native::leave(to, value) }
}

/// As that of the processor.
///
/// # Safety
/// As that of the processor.
pub(crate) unsafe fn leave_to_resumer(to: Context, value: usize) -> ! {
    start_switch(stack_of(to), true);
    // SAFETY: the caller vouches that `to` is the resumer, which waits, and that nothing needs this
    // stack again.
    unsafe { native::leave_to_resumer(to, value) }
}
