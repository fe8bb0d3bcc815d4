//! The control block of a coroutine, at the top of its stack, and the two switches around it.
//!
//! ```text
//!   Stack::top() -> +---------------------------+ 64-byte aligned
//!                   | Control                   |
//!                   +---------------------------+
//!                   | the closure, until it     |
//!                   | starts (Launch)           |
//!                   +---------------------------+ 16-byte aligned
//!                   | frames                    |
//!                   |            ...            |
//!   Stack::limit()  +---------------------------+
//! ```
//!
//! A closure larger than a quarter of the stack is boxed instead.
//!
//! Invariants: `context` is valid while the status is `Fresh` or `Suspended`, `resumer` while it is
//! `Running`. Whatever crosses a switch crosses as the address of a slot that its owner keeps alive
//! until the other side has read it, which it does before anything else.

use super::{CoroutineState, Status, Suspender};
use crate::arch::{self, Context};
use crate::stack::{self, Stack, StackError};
use std::any::Any;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, align_of, size_of};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::thread;

/// The value that, handed over by a resume in place of an input's address, orders the coroutine to
/// unwind.
const UNWIND: usize = 0;

/// The share of a stack, as a divisor, that a closure may take before it is boxed.
const CLOSURE_SHARE: usize = 4;

/// How often a destructor may be told that its coroutine unwinds before that counts as a loop.
const REFUSALS_MAX: u32 = 10_000;

/// What the panic that unwinds a dropped coroutine carries.
struct ForcedUnwind;

/// A closure too large for the stack. A boxed one fits, so boxing does not nest.
type BoxedFunction<'f, In, Out, Return> = Box<dyn FnOnce(&Suspender<In, Out>, In) -> Return + 'f>;

/// A coroutine's control block.
#[repr(C)]
pub(super) struct Control {
    /// Where the coroutine goes on; valid while it is fresh or suspended.
    context: Context,
    /// Where its resumer goes on; valid while it runs.
    resumer: Context,
    /// The stack on which this block lies: its lowest usable address, to tell whose stack a
    /// `suspend` is called on.
    limit: NonNull<u8>,
    stack: ManuallyDrop<Stack>,
    drop_closure: unsafe fn(NonNull<Control>),
    status: Status,
    /// The owner dropped the coroutine while it was suspended: it must not suspend again.
    unwinding: bool,
    /// The thread was already unwinding when the coroutine was last resumed.
    resumed_in_panic: bool,
    /// How often a suspend was refused since the unwinding began.
    refusals: u32,
}

/// The closure of a coroutine that has not started, with the types that it needs to do so.
pub(super) struct Launch<F, In, Out, Return> {
    function: F,
    shape: PhantomData<fn(In) -> (Out, Return)>,
}

impl<F, In, Out, Return> Launch<F, In, Out, Return>
where
    F: FnOnce(&Suspender<In, Out>, In) -> Return,
{
    pub(super) fn new(function: F) -> Self {
        Launch { function, shape: PhantomData }
    }

    /// The place of the closure under the control block.
    fn slot(control: NonNull<Control>) -> *mut F {
        let address = control.as_ptr() as usize - size_of::<F>();
        let aligned = address & !(align_of::<F>() - 1);
        control.as_ptr().cast::<u8>().wrapping_sub(control.as_ptr() as usize - aligned).cast()
    }

    /// The first function on the coroutine's stack.
    ///
    /// # Safety
    /// Entered by [`Control::resume`] with the control block that [`Control::create`] made for
    /// these types, and the address of an input (or [`UNWIND`], which is never sent to a fresh
    /// one).
    unsafe extern "C" fn main(control: *mut u8, input: usize) -> ! {
        let control = control.cast::<Control>();
        let result = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the closure was written there by `create` and is taken once, here.
            let function = unsafe { Self::slot(NonNull::new_unchecked(control)).read() };
            // SAFETY: the resumer keeps the input's slot until we leave it, and forgets the value.
            let input = unsafe { (input as *const In).read() };
            // SAFETY: the control block outlives everything on this stack.
            let suspender = unsafe { Suspender::new(NonNull::new_unchecked(control)) };
            function(&suspender, input)
        }));
        let result = ManuallyDrop::new(result);
        // SAFETY: the block is ours while we run; the resumer waits in `Control::resume`, and reads
        // the result before the stack is used again.
        unsafe {
            (*control).status = Status::Complete;
            arch::leave_to_resumer((*control).resumer, &raw const result as usize)
        }
    }

    /// Drops the closure of a coroutine that never started.
    ///
    /// # Safety
    /// The coroutine is fresh, and is not resumed afterwards.
    unsafe fn drop_closure(control: NonNull<Control>) {
        // SAFETY: the closure was written there by `create`, and nobody has taken it.
        unsafe { Self::slot(control).drop_in_place() }
    }
}

impl Control {
    /// Takes a stack and lays out a fresh coroutine on it.
    pub(super) fn create<F, In, Out, Return>(
        stack_bytes: usize,
        launch: Launch<F, In, Out, Return>,
    ) -> Result<NonNull<Control>, StackError>
    where
        F: FnOnce(&Suspender<In, Out>, In) -> Return,
    {
        if size_of::<F>() + align_of::<F>() > stack_bytes / CLOSURE_SHARE {
            let boxed: BoxedFunction<'_, In, Out, Return> = Box::new(launch.function);
            return Control::create(stack_bytes, Launch::new(boxed));
        }
        let stack = stack::with_pool(|pool| pool.take(stack_bytes))?;
        let (top, limit) = (stack.top(), stack.limit());
        // SAFETY: the stack is ours and writable down to its limit; the pool gives at least a page,
        // of which the block and the closure take at most a quarter and some hundred bytes.
        unsafe {
            let control = top.cast::<Control>().sub(1);
            let closure = Launch::<F, In, Out, Return>::slot(control);
            closure.write(launch.function);
            let frames = (closure as usize & !15) as isize - closure as isize;
            let context = arch::prepare(
                closure.cast::<u8>().offset(frames),
                limit.as_ptr(),
                Launch::<F, In, Out, Return>::main,
                control.as_ptr().cast(),
            );
            control.write(Control {
                context,
                resumer: Context::NONE,
                limit,
                stack: ManuallyDrop::new(stack),
                drop_closure: Launch::<F, In, Out, Return>::drop_closure,
                status: Status::Fresh,
                unwinding: false,
                resumed_in_panic: false,
                refusals: 0,
            });
            Ok(control)
        }
    }

    /// Enters the coroutine with `input` and brings back what it hands over.
    ///
    /// # Safety
    /// `control` is live, not running, and was made with these types.
    #[inline]
    pub(super) unsafe fn resume<In, Out, Return>(
        control: NonNull<Control>,
        input: In,
    ) -> CoroutineState<Out, Return> {
        let control = control.as_ptr();
        let input = ManuallyDrop::new(input);
        // SAFETY: the caller vouches for the block. The input's slot stays until the switch comes
        // back, and the coroutine takes the value from it. On return the address is that of an
        // `Out` or of a result on the coroutine's stack, which does not change until we have read
        // it, and which its owner forgets.
        unsafe {
            if (*control).status == Status::Complete {
                drop(ManuallyDrop::into_inner(input));
                resumed_after_completion();
            }
            (*control).status = Status::Running;
            (*control).resumed_in_panic = thread::panicking();
            let output = arch::resume(
                &raw mut (*control).resumer,
                (*control).context,
                &raw const input as usize,
            );
            if (*control).status == Status::Suspended {
                CoroutineState::Yielded((output as *const Out).read())
            } else {
                match (output as *const thread::Result<Return>).read() {
                    Ok(value) => CoroutineState::Complete(value),
                    Err(panic) => resume_unwind(panic),
                }
            }
        }
    }

    /// Leaves the coroutine with `output` and brings back the next input, or unwinds. On refusal
    /// (see [`Control::refuses`]) the output comes back.
    ///
    /// # Safety
    /// `control` is the one of a coroutine made with these types.
    #[inline]
    pub(super) unsafe fn suspend<In, Out>(
        control: NonNull<Control>,
        output: Out,
    ) -> Result<In, Out> {
        let control = control.as_ptr();
        // SAFETY: the block is live while anything on its stack is; for a caller on another stack
        // `check_stack` does not return.
        unsafe {
            Self::check_stack(control);
            if thread::panicking() || (*control).unwinding {
                if Self::refuses(control) {
                    return Err(output);
                }
            }
            let output = ManuallyDrop::new(output);
            (*control).status = Status::Suspended;
            let input = arch::suspend(
                &raw mut (*control).context,
                (*control).resumer,
                &raw const output as usize,
            );
            if input == UNWIND {
                raise();
            }
            Ok((input as *const In).read())
        }
    }

    /// Panics unless it is called on the coroutine's own stack: a suspend from the stack of another
    /// coroutine would send that one's frames back to this one's resumer.
    ///
    /// # Safety
    /// `control` is live.
    #[inline(always)]
    unsafe fn check_stack(control: *mut Control) {
        let marker = std::mem::MaybeUninit::<u8>::uninit();
        let here = marker.as_ptr() as usize;
        // SAFETY: the caller's `suspend` holds a suspender, so the block is live.
        let (limit, top) = unsafe { ((*control).limit.as_ptr() as usize, control as usize) };
        if here.wrapping_sub(limit) >= top - limit && cfg!(not(cove_asan)) {
            suspended_elsewhere();
        }
    }

    /// The slow part of a suspend during unwinding: whether it must not switch. Raises the
    /// unwinding again when the coroutine caught it.
    ///
    /// # Safety
    /// `control` is live and its coroutine is running on this stack.
    #[cold]
    unsafe fn refuses(control: *mut Control) -> bool {
        // SAFETY: as the caller says.
        let control = unsafe { &mut *control };
        let in_destructor = thread::panicking() && !control.resumed_in_panic;
        if !control.unwinding {
            return in_destructor;
        }
        // Dropped by an owner that was unwinding itself: whether this coroutine is still unwinding
        // or has caught it cannot be told, so a limit ends what would be an endless loop.
        let uncertain = control.resumed_in_panic && control.refusals < REFUSALS_MAX;
        control.refusals += 1;
        if in_destructor || uncertain {
            return true;
        }
        raise()
    }

    /// Ends the coroutine in whatever state it is and gives its stack back.
    ///
    /// # Safety
    /// `control` is live and not running, made with these types, and not used afterwards.
    pub(super) unsafe fn destroy<Out, Return>(control: NonNull<Control>) {
        let block = control.as_ptr();
        // SAFETY: the caller vouches for the block. It lies on the stack that is given back, so the
        // stack's handle is moved out first.
        unsafe {
            match (*block).status {
                Status::Fresh => ((*block).drop_closure)(control),
                Status::Suspended => {
                    (*block).status = Status::Running;
                    (*block).unwinding = true;
                    (*block).resumed_in_panic = thread::panicking();
                    let result = arch::resume(&raw mut (*block).resumer, (*block).context, UNWIND);
                    debug_assert!((*block).status == Status::Complete);
                    let result = (result as *const thread::Result<Return>).read();
                    // Its own unwinding, or a panic that the hook has reported.
                    drop(result);
                }
                Status::Complete => {}
                Status::Running => unreachable!("a running coroutine is borrowed by its resumer"),
            }
            let stack = ManuallyDrop::take(&mut (*block).stack);
            stack::with_pool(|pool| pool.give(stack));
        }
    }

    #[inline]
    pub(super) fn status(&self) -> Status {
        self.status
    }

    pub(super) fn stack_bytes(&self) -> usize {
        self.stack.bytes()
    }

    pub(super) fn stack_high_water_bytes(&self) -> usize {
        self.stack.high_water_bytes()
    }
}

/// Starts the unwinding of a dropped coroutine, past the panic hook.
#[cold]
fn raise() -> ! {
    let payload: Box<dyn Any + Send> = Box::new(ForcedUnwind);
    resume_unwind(payload)
}

#[cold]
fn resumed_after_completion() -> ! {
    panic!("a coroutine was resumed after it had completed")
}

#[cold]
fn suspended_elsewhere() -> ! {
    panic!("a suspender was used on a stack other than its own coroutine's")
}
