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
//! A closure larger than an eighth of the stack is boxed instead.
//!
//! What crosses a switch is a word: the
//! value itself if it fits, else the address of a slot that its owner keeps alive until the other
//! side has read it, which it does before anything else.
//!
//! The two switches are the hot path: what they need lies in one cache line, is written only where
//! it changes, and what is rare (an end, a panic in flight, a foreign stack) is told by tests that
//! share a branch and lie out of line.

use super::suspender::{Suspender, Unwinding};
use super::{CoroutineState, Status};
use crate::arch::{self, Context, Link, Value};
use crate::stack::{self, STACK_BYTES_MIN, Stack, StackError};
use std::any::Any;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, align_of, size_of};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::thread;

/// The share of a stack, as a divisor, that a closure may take before it is boxed. On its way from
/// its place to its call, unoptimised code copies it twice more.
const CLOSURE_SHARE: usize = 8;

/// How often a destructor may be told that its coroutine unwinds before that counts as a loop.
const REFUSALS_MAX: u32 = 10_000;

/// What the panic that unwinds a dropped coroutine carries.
struct ForcedUnwind;

/// A closure too large for the stack. A boxed one fits, so boxing does not nest.
type BoxedFunction<'f, In, Out, Return> = Box<dyn FnOnce(&Suspender<In, Out>, In) -> Return + 'f>;

/// A coroutine's control block.
#[repr(C)]
pub(super) struct Control {
    /// Where the resumer and the coroutine go on; the latter is none while it runs and once it is
    /// complete.
    link: Link,
    /// How far below this block the coroutine's own stack reaches: a suspend that is called deeper
    /// or higher is called on another stack. Zero once the coroutine is being unwound, so that one
    /// comparison finds both.
    own_bytes: usize,
    status: Status,
    /// The thread was already unwinding when the coroutine was resumed, and it runs since then.
    resumed_in_panic: bool,
    /// How often a suspend was refused since the unwinding began.
    refusals: u32,
    drop_closure: unsafe fn(NonNull<Control>),
    stack: ManuallyDrop<Stack>,
}

const _: () = assert!(size_of::<Control>() <= 64, "the hot path stays in one cache line");

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
    /// these types, and an input.
    unsafe extern "C" fn main(control: *mut u8, input: Value) -> ! {
        let control = control.cast::<Control>();
        let result = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the closure was written there by `create` and is taken once, here.
            let function = unsafe { Self::slot(NonNull::new_unchecked(control)).read() };
            // SAFETY: the resumer hands over an `In`, and forgets it.
            let input = unsafe { unpack::<In>(input) };
            // SAFETY: the control block outlives everything on this stack. It is ours while we run.
            let suspender = unsafe {
                (*control).status = Status::Suspended;
                &*control.cast::<Suspender<In, Out>>()
            };
            function(suspender, input)
        }));
        let result = ManuallyDrop::new(result);
        // SAFETY: the block is ours while we run; the resumer waits in `Control::resume`, and reads
        // the result before the stack is used again.
        unsafe {
            (*control).status = Status::Complete;
            arch::leave_to_resumer((*control).link.resumer, &raw const result as usize)
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
        let stack_bytes = stack_bytes.max(STACK_BYTES_MIN);
        if size_of::<F>() + align_of::<F>() > stack_bytes / CLOSURE_SHARE {
            let boxed: BoxedFunction<'_, In, Out, Return> = Box::new(launch.function);
            return Control::create(stack_bytes, Launch::new(boxed));
        }
        let stack = stack::with_pool(|pool| pool.take(stack_bytes))?;
        let (top, limit) = (stack.top(), stack.limit());
        // SAFETY: the stack is ours and writable down to its limit; the pool gives at least a page,
        // of which the block and the closure take at most an eighth and some hundred bytes.
        unsafe {
            let control = top.cast::<Control>().sub(1);
            let closure = Launch::<F, In, Out, Return>::slot(control);
            closure.write(launch.function);
            let frames = (closure as usize & !15) as isize - closure as isize;
            let context = arch::prepare(
                closure.cast::<u8>().offset(frames),
                || limit.as_ptr(),
                Launch::<F, In, Out, Return>::main,
                control.as_ptr().cast(),
            );
            control.write(Control {
                link: Link { resumer: Context::NONE, coroutine: context },
                own_bytes: control.addr().get() - limit.addr().get(),
                status: Status::Fresh,
                resumed_in_panic: false,
                refusals: 0,
                drop_closure: Launch::<F, In, Out, Return>::drop_closure,
                stack: ManuallyDrop::new(stack),
            });
            Ok(control)
        }
    }

    /// Enters the coroutine with `input` and brings back what it hands over.
    ///
    /// # Safety
    /// `control` is live, not running, and was made with these types.
    #[inline(always)]
    pub(super) unsafe fn resume<In, Out, Return>(
        control: NonNull<Control>,
        input: In,
    ) -> CoroutineState<Out, Return> {
        // SAFETY: the caller vouches for the block and for the types.
        unsafe {
            let block = control.as_ptr();
            let context = (*block).link.coroutine;
            if context == Context::NONE {
                drop(input);
                cannot_resume((*block).status);
            }
            if thread::panicking() {
                Self::note_panic(control);
            }
            // The input stays here until the switch comes back, and the coroutine takes it. What
            // comes back is an `Out`, or the address of the result.
            let input = ManuallyDrop::new(input);
            (*block).link.coroutine = Context::NONE;
            let output = arch::resume(&raw mut (*block).link, context, pack(&input));
            if (*block).status == Status::Complete {
                return CoroutineState::Complete(Self::finish(output));
            }
            CoroutineState::Yielded(unpack(output))
        }
    }

    /// Notes that the coroutine is resumed by a destructor of a thread that is unwinding, until it
    /// suspends again: then the panic in flight is not taken for one of its own.
    ///
    /// # Safety
    /// `control` is live.
    #[cold]
    unsafe fn note_panic(control: NonNull<Control>) {
        // SAFETY: as the caller says.
        unsafe { (*control.as_ptr()).resumed_in_panic = true };
    }

    /// The end of the resume in which the coroutine ended.
    ///
    /// # Safety
    /// `result` is what the coroutine, made with this type, handed over when it ended just now.
    #[cold]
    #[inline(never)]
    unsafe fn finish<Return>(result: Value) -> Return {
        // SAFETY: as the caller says; the result lies on the coroutine's stack, which does not
        // change until we have read it, and which forgets it.
        unsafe { read_result(result) }.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Leaves the coroutine with `output` and brings back the next input, or unwinds.
    ///
    /// # Safety
    /// `control` is the one of a coroutine made with these types.
    #[inline]
    pub(super) unsafe fn suspend<In, Out>(
        control: NonNull<Control>,
        output: Out,
    ) -> Result<In, Unwinding> {
        let block = control.as_ptr();
        // SAFETY: the block is live while anything on its stack is; for a caller on another stack
        // `refuses` does not return. The output stays here until we are entered again, and the
        // resumer takes it. What comes back is an `In`, unless it is the order to unwind.
        unsafe {
            let depth_bytes = arch::depth_below(block as usize);
            let rare = depth_bytes >= (*block).own_bytes || thread::panicking();
            if rare && Self::refuses(control) {
                return Err(Unwinding);
            }
            let output = ManuallyDrop::new(output);
            let input = arch::suspend(&raw mut (*block).link, pack(&output));
            if (*block).own_bytes == 0 {
                raise();
            }
            Ok(unpack(input))
        }
    }

    /// The slow part of a suspend: whether it must not switch. Panics on a foreign stack, from
    /// where a switch would send that one's frames back to this one's resumer. Raises the unwinding
    /// again when the coroutine caught it.
    ///
    /// # Safety
    /// `control` is live.
    #[cold]
    unsafe fn refuses(control: NonNull<Control>) -> bool {
        let depth_bytes = arch::depth_below(control.addr().get());
        // SAFETY: as the caller says; nobody else looks at the block now.
        let block = unsafe { &mut *control.as_ptr() };
        if depth_bytes >= control.addr().get() - block.stack.limit().addr().get() {
            suspended_elsewhere();
        }
        let in_destructor = thread::panicking() && !block.resumed_in_panic;
        if block.own_bytes > 0 {
            block.resumed_in_panic = false;
            return in_destructor;
        }
        // Dropped by an owner that was unwinding itself: whether this coroutine is still unwinding
        // or has caught it cannot be told, so a limit ends what would be an endless loop.
        let uncertain = block.resumed_in_panic && block.refusals < REFUSALS_MAX;
        block.refusals += 1;
        if in_destructor || uncertain {
            return true;
        }
        raise()
    }

    /// Ends the coroutine in whatever state it is and gives its stack back.
    ///
    /// One that runs is left as it is, for ever: exit(3) was called inside it, or deeper, and drops
    /// what the thread keeps in its variables. There is nobody to whom its frames could unwind.
    ///
    /// # Safety
    /// `control` is live, made with these types, and not used afterwards but by its own frames.
    pub(super) unsafe fn destroy<Return>(control: NonNull<Control>) {
        /// Gives the stack back, even if a destructor panics.
        struct Home(NonNull<Control>);
        impl Drop for Home {
            fn drop(&mut self) {
                // SAFETY: the block is not used afterwards. It lies on the stack that is given
                // back, so the handle is moved out first.
                let stack = unsafe { ManuallyDrop::take(&mut (*self.0.as_ptr()).stack) };
                stack::with_pool(|pool| pool.give(stack));
            }
        }
        let block = control.as_ptr();
        // SAFETY: the caller vouches for the block.
        let (status, context) = unsafe { ((*block).status, (*block).link.coroutine) };
        if context == Context::NONE && status != Status::Complete {
            return;
        }
        let _home = Home(control);
        // SAFETY: the caller vouches for the block.
        unsafe {
            match status {
                Status::Fresh => {
                    arch::discard(context);
                    ((*block).drop_closure)(control);
                }
                Status::Suspended => {
                    (*block).own_bytes = 0;
                    (*block).resumed_in_panic = thread::panicking();
                    (*block).link.coroutine = Context::NONE;
                    let order = Value::uninit();
                    let result = arch::resume(&raw mut (*block).link, context, order);
                    assert!((*block).status == Status::Complete, "an unwinding does not stop");
                    // Its own unwinding, or a panic that the hook has reported.
                    drop(read_result::<Return>(result));
                }
                Status::Complete => {}
            }
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

/// The word that hands `value` over: the value itself if it fits, else its address.
#[inline(always)]
fn pack<T>(value: &ManuallyDrop<T>) -> Value {
    let source = &raw const *value;
    if size_of::<T>() > size_of::<Value>() {
        return Value::new(source.expose_provenance());
    }
    let mut word = Value::uninit();
    // SAFETY: the value fits into the word. Copied as bytes, so that padding may be what it is.
    unsafe { word.as_mut_ptr().cast::<u8>().copy_from(source.cast(), size_of::<T>()) };
    word
}

/// Takes the value that `word` hands over.
///
/// # Safety
/// Made by [`pack`] from a `T` that is still where it was, and that its owner forgets.
#[inline(always)]
unsafe fn unpack<T>(word: Value) -> T {
    // SAFETY: as the caller says.
    unsafe {
        if size_of::<T>() > size_of::<Value>() {
            return std::ptr::with_exposed_provenance::<T>(word.assume_init()).read();
        }
        word.as_ptr().cast::<T>().read_unaligned()
    }
}

/// Takes the result whose address `word` is.
///
/// # Safety
/// As the second case of [`unpack`].
unsafe fn read_result<Return>(word: Value) -> thread::Result<Return> {
    // SAFETY: as the caller says.
    unsafe {
        std::ptr::with_exposed_provenance::<thread::Result<Return>>(word.assume_init()).read()
    }
}

/// Starts the unwinding of a dropped coroutine, past the panic hook.
#[cold]
fn raise() -> ! {
    let payload: Box<dyn Any + Send> = Box::new(ForcedUnwind);
    resume_unwind(payload)
}

#[cold]
fn cannot_resume(status: Status) -> ! {
    match status {
        Status::Complete => panic!("a coroutine was resumed after it had completed"),
        _ => panic!("a coroutine was resumed while it runs"),
    }
}

#[cold]
fn suspended_elsewhere() -> ! {
    panic!("a suspender was used on a stack other than its own coroutine's")
}
