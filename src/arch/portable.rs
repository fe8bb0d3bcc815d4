//! The context switch for every other processor, and the oracle for those with a hand-written one:
//! the names of the module over corosensei, whose coroutines are asymmetric.
//!
//! A context that wants to enter another one suspends its corosensei coroutine with that wish. Who
//! resumed it, the dispatcher on the thread's own stack, grants the wish, until it is for the
//! thread's own context:
//!
//! ```text
//!   thread's stack        A                  B
//!   switch(.., A)
//!     dispatch: resume --> runs
//!               <--------- wants B
//!               resume ---------------------> runs
//!               <---------------------------- wants the thread's own
//!   returns
//! ```
//!
//! A [`Context`] points at a [`Portable`] on the heap, made by [`prepare`] and freed when its
//! context leaves or is discarded; that of the thread points at the thread's `DISPATCHER`. What
//! corosensei keeps on a stack lies between its top and what [`stack_pointer`] tells, and stays
//! valid if these bytes are put away and brought back.

use super::{Context, Entry, Link, Value};
use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::cell::{Cell, UnsafeCell};
use std::ptr;

/// How far below the frame of [`away`] corosensei's suspension may reach: some frames of a few
/// words each, unoptimised.
const FRAMES_BYTES_MAX: usize = 2048;

/// What a context says when it stops.
struct Wish {
    to: Context,
    value: Value,
    /// It is not entered again.
    ends: bool,
}

/// A stack that belongs to the caller of [`prepare`].
struct Given {
    top: *mut u8,
    limit: *mut u8,
}

// SAFETY: the caller of `prepare` vouches for the range and keeps it while the context is used; the
// top is aligned, and below it there is room for what corosensei puts there.
unsafe impl Stack for Given {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.top as usize).expect("a stack is not at address zero")
    }

    fn limit(&self) -> StackPointer {
        StackPointer::new(self.limit as usize).expect("a stack is not at address zero")
    }
}

/// A context other than the thread's own.
struct Portable {
    coroutine: UnsafeCell<Coroutine<Value, Wish, (), Given>>,
    /// Set at the start.
    yielder: Cell<*const Yielder<Value, Wish>>,
    limit: *mut u8,
    /// The lowest address in use while it is suspended.
    lowest: Cell<*mut u8>,
}

thread_local! {
    /// The context that runs; null on the thread's own stack. Its address stands for the thread's
    /// own context.
    static DISPATCHER: Cell<*const Portable> = const { Cell::new(ptr::null()) };
}

/// Makes a context that will call `entry(argument, value)` on the stack that ends at `top`.
///
/// # Safety
/// `top` is 16-byte aligned and ends a writable stack, large enough for `entry`, that outlives the
/// context. `entry` must not return or unwind. Nobody else uses the stack meanwhile, or its bytes
/// from [`stack_pointer`] to the top are put back before the context is entered.
pub(crate) unsafe fn prepare(
    top: *mut u8,
    limit: impl FnOnce() -> *mut u8,
    entry: Entry,
    argument: *mut u8,
) -> Context {
    debug_assert!(top as usize % 16 == 0);
    let limit = limit();
    let start = move |yielder: &Yielder<Value, Wish>, value: Value| {
        // SAFETY: the dispatcher entered this context, which lives until it leaves.
        unsafe { (*DISPATCHER.get()).yielder.set(yielder) };
        // SAFETY: the caller of `prepare` vouches for the entry, which does not return.
        unsafe { entry(argument, value) }
    };
    // SAFETY: the closure holds nothing that ends; the stack is as the trait wants it.
    let coroutine = unsafe { Coroutine::with_stack_unchecked(Given { top, limit }, start) };
    let portable = Box::new(Portable {
        coroutine: UnsafeCell::new(coroutine),
        yielder: Cell::new(ptr::null()),
        limit,
        // No more than the closure and some words lie there yet.
        lowest: Cell::new(top.wrapping_sub(FRAMES_BYTES_MAX).max(limit)),
    });
    Context(Box::into_raw(portable).cast())
}

/// The thread's own context.
fn own() -> Context {
    Context(DISPATCHER.with(|dispatcher| (&raw const *dispatcher).cast_mut().cast()))
}

/// Saves the running context to `save` and enters `to`, handing over `value`; returns the value
/// handed over by whoever enters the saved context.
///
/// # Safety
/// `save` is writable, and `to` was made by [`prepare`] or saved, on this thread, and was not
/// entered since; its stack is intact.
pub(crate) unsafe fn switch(save: *mut Context, to: Context, value: usize) -> usize {
    // SAFETY: as the caller says. Those who come here hand over whole words only.
    unsafe { go(save, to, Value::new(value)).assume_init() }
}

/// As [`switch`], from the resumer of `link` to its coroutine, which comes back by [`suspend`] or
/// [`leave_to_resumer`].
///
/// # Safety
/// As [`switch`]; `to` is `link.coroutine`.
pub(crate) unsafe fn resume(link: *mut Link, to: Context, value: Value) -> Value {
    // SAFETY: as the caller says.
    unsafe { go(&raw mut (*link).resumer, to, value) }
}

/// As [`switch`], from the coroutine of `link` back to its resumer.
///
/// # Safety
/// As [`switch`]; the coroutine was entered by [`resume`] with this link.
pub(crate) unsafe fn suspend(link: *mut Link, value: Value) -> Value {
    // SAFETY: as the caller says.
    unsafe { go(&raw mut (*link).coroutine, (*link).resumer, value) }
}

/// Enters `to` for good, handing over `value`. Nothing on the present stack is dropped.
///
/// # Safety
/// As [`switch`] for `to`; whatever lies on the present stack is abandoned, which is not the
/// thread's own.
pub(crate) unsafe fn leave(to: Context, value: usize) -> ! {
    let running = DISPATCHER.get();
    assert!(!running.is_null(), "a thread cannot leave its own stack for good");
    // SAFETY: the context runs, and is freed by the dispatcher, which does not come back.
    unsafe {
        away(&*running, Wish { to, value: Value::new(value), ends: true });
    }
    unreachable!("a context that left was entered again")
}

/// As [`leave`], to a context saved by [`resume`].
///
/// # Safety
/// As [`leave`].
pub(crate) unsafe fn leave_to_resumer(to: Context, value: usize) -> ! {
    // SAFETY: as the caller says.
    unsafe { leave(to, value) }
}

/// The switch.
///
/// # Safety
/// As [`switch`].
unsafe fn go(save: *mut Context, to: Context, value: Value) -> Value {
    let running = DISPATCHER.get();
    // SAFETY: the caller vouches for both contexts, of which the running one is live.
    unsafe {
        if running.is_null() {
            *save = own();
            return dispatch(to, value);
        }
        *save = Context(running.cast_mut().cast());
        away(&*running, Wish { to, value, ends: false })
    }
}

/// Stops the running context with a wish.
///
/// # Safety
/// As [`switch`] for what is wished, and `running` is the running context.
#[inline(never)]
unsafe fn away(running: &Portable, wish: Wish) -> Value {
    let here = (&raw const wish).cast_mut().cast::<u8>();
    running.lowest.set(here.wrapping_sub(FRAMES_BYTES_MAX).max(running.limit));
    // SAFETY: it was set when the context started, and lives as long as it.
    unsafe { (*running.yielder.get()).suspend(wish) }
}

/// Runs contexts on behalf of the thread's own, until that is entered again.
///
/// # Safety
/// As [`switch`] for `to`; called on the thread's own stack.
unsafe fn dispatch(to: Context, value: Value) -> Value {
    let (mut to, mut value) = (to, value);
    while to != own() {
        let running = to.0.cast::<Portable>();
        DISPATCHER.set(running);
        // SAFETY: a context that may be entered is live and suspended, and entered by nobody else.
        let outcome = unsafe { (*(*running).coroutine.get()).resume(value) };
        let CoroutineResult::Yield(wish) = outcome else {
            unreachable!("an entry returned");
        };
        if wish.ends {
            // SAFETY: it has left, so nobody enters it again.
            unsafe { discard(to) };
        }
        (to, value) = (wish.to, wish.value);
    }
    DISPATCHER.set(ptr::null());
    value
}

/// Gives up a context that will not be entered again. Nothing on its stack is dropped.
///
/// # Safety
/// As [`switch`] for `context`, which is not used afterwards.
pub(crate) unsafe fn discard(context: Context) {
    // SAFETY: made by `prepare`, and given up once.
    let mut portable = unsafe { Box::from_raw(context.0.cast::<Portable>()) };
    // SAFETY: what lies on the stack is abandoned, as the caller wants; the stack may be gone.
    unsafe { portable.coroutine.get_mut().force_reset() };
}

/// Calls `function(argument)`; a backtrace of the suspended `context` cannot be had here.
///
/// # Safety
/// `function` must not unwind, and its own contract.
pub(crate) unsafe fn unwind_from(
    _context: Context,
    function: unsafe extern "C" fn(*mut u8),
    argument: *mut u8,
) {
    // SAFETY: as the caller says.
    unsafe { function(argument) }
}

/// Nothing: where a context goes on is not known here.
///
/// # Safety
/// None.
pub(super) unsafe fn pc(_context: Context) -> usize {
    0
}

/// An address below all that the suspended `context` uses of its stack.
///
/// Not for the thread's own context.
pub(crate) fn stack_pointer(context: Context) -> *mut u8 {
    assert!(context != own(), "a thread's own stack is not put away");
    // SAFETY: any other context is live.
    unsafe { (*context.0.cast::<Portable>()).lowest.get() }
}

/// How far below `address` the stack pointer is, but for a frame; wraps if it is above.
#[inline(always)]
pub(crate) fn depth_below(address: usize) -> usize {
    let here = 0_u8;
    address.wrapping_sub(std::hint::black_box(&raw const here) as usize)
}
