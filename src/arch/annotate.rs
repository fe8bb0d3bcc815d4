//! The switch as AddressSanitizer wants it (`--cfg cove_asan`): before each one it is told which
//! stack comes next, after each one that this has happened.
//!
//! Where stacks lie is known here already: [`prepare`] is given the range of every stack but the
//! thread's own, and the sanitizer tells of that one when it is left for the first time. So nobody
//! above notices, and a context is looked up by the stack that its saved stack pointer is in.

use super::{Context, Entry, Link, Value, native};
use crate::sys::checkers::{allow_all, finish_switch, start_switch};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ops::Range;
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// The ends of all stacks by their beginnings. What is left of stacks that are gone is replaced by
/// those that come to lie there.
static STACKS: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

/// What the first function of a context is told, at the top of its stack.
#[repr(C, align(16))]
struct First {
    entry: Entry,
    argument: *mut u8,
}

/// Notes that there is a stack at `range`.
fn note(range: Range<usize>) {
    let mut stacks = STACKS.lock().unwrap_or_else(PoisonError::into_inner);
    if stacks.get(&range.start) == Some(&range.end) {
        return;
    }
    while let Some((&start, &end)) = stacks.range(..range.end).next_back() {
        if end <= range.start {
            break;
        }
        stacks.remove(&start);
    }
    stacks.insert(range.start, range.end);
}

/// The stack on which `context` is suspended.
fn stack_of(context: Context) -> Range<usize> {
    let lowest = native::stack_pointer(context).addr();
    let stacks = STACKS.lock().unwrap_or_else(PoisonError::into_inner);
    let stack = stacks.range(..=lowest).next_back().map(|(&start, &end)| start..end);
    match stack {
        Some(stack) if stack.contains(&lowest) => stack,
        _ => panic!("{context:?} is on no stack"),
    }
}

/// To be called when a stack was entered; `kept` is what leaving it had returned.
fn arrive(kept: *mut c_void) {
    note(finish_switch(kept));
}

/// As that of the processor.
///
/// # Safety
/// As that of the processor.
pub(crate) unsafe fn prepare(
    top: *mut u8,
    limit: *mut u8,
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
    allow_all(limit.addr()..top.addr());
    note(limit.addr()..top.addr());
    // SAFETY: as the caller says; what lies at the top now leaves it aligned.
    unsafe {
        let first = top.cast::<First>().sub(1);
        first.write(First { entry, argument });
        native::prepare(first.cast(), limit, main, first.cast())
    }
}

/// As that of the processor.
///
/// # Safety
/// As that of the processor.
#[inline(always)]
pub(crate) unsafe fn switch(save: *mut Context, to: Context, value: usize) -> usize {
    let kept = start_switch(stack_of(to), false);
    // SAFETY: passed on.
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
    // SAFETY: passed on.
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
    // SAFETY: passed on.
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
    // SAFETY: passed on.
    unsafe { native::leave(to, value) }
}

/// As that of the processor.
///
/// # Safety
/// As that of the processor.
pub(crate) unsafe fn leave_to_resumer(to: Context, value: usize) -> ! {
    start_switch(stack_of(to), true);
    // SAFETY: passed on.
    unsafe { native::leave_to_resumer(to, value) }
}
