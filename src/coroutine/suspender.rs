//! What a coroutine's closure receives to suspend itself with.

use super::control::Control;
use std::any::TypeId;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::panic::RefUnwindSafe;
use std::ptr::NonNull;

/// Suspends the coroutine whose closure was given it.
///
/// ```
/// use cove::coroutine::{Coroutine, Suspender};
/// /// A suspender may go down to whatever the coroutine calls.
/// fn walk(depth: u32, suspender: &Suspender<(), u32>) {
///     suspender.suspend(depth);
///     if depth > 0 {
///         walk(depth - 1, suspender);
///     }
/// }
/// let depths: Vec<u32> = Coroutine::new(|suspender, ()| walk(2, suspender)).collect();
/// assert_eq!(depths, [2, 1, 0]);
/// ```
///
/// It may be used on that coroutine's own stack only; a use inside another coroutine or task that
/// got hold of the reference panics.
///
/// ```compile_fail
/// // A suspender cannot leave its coroutine.
/// let mut stolen = None;
/// cove::coroutine::scope(
///     |suspender, ()| {
///         stolen = Some(suspender);
///         suspender.suspend(());
///     },
///     |mut coroutine| drop(coroutine.resume(())),
/// );
/// ```
#[repr(transparent)]
pub struct Suspender<In, Out> {
    /// A suspender is the control block itself, seen from inside.
    control: UnsafeCell<Control>,
    /// Receives `In`, hands over `Out`.
    shape: PhantomData<fn(Out) -> In>,
}

/// The error of [`Suspender::try_suspend`]: the coroutine is unwinding and cannot stop.
///
/// ```
/// use cove::coroutine::{Coroutine, Suspender, Unwinding};
/// use std::{cell::Cell, rc::Rc};
/// struct Last<'a>(&'a Suspender<u32, &'static str>, Rc<Cell<Option<Result<u32, Unwinding>>>>);
/// impl Drop for Last<'_> {
///     fn drop(&mut self) {
///         self.1.set(Some(self.0.try_suspend("one more thing")));
///     }
/// }
/// let told = Rc::new(Cell::new(None));
/// let last = told.clone();
/// let mut coroutine = Coroutine::new(|suspender, _| {
///     let _last = Last(suspender, last);
///     suspender.suspend("working")
/// });
/// coroutine.resume(0);
/// drop(coroutine); // Unwinds it from its `suspend`.
/// assert_eq!(told.get(), Some(Err(Unwinding)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwinding;

impl std::fmt::Display for Unwinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the coroutine is unwinding and cannot suspend")
    }
}

impl std::error::Error for Unwinding {}

/// A panic leaves the control block as it was.
impl<In, Out> RefUnwindSafe for Suspender<In, Out> {}

impl<In, Out> Suspender<In, Out> {
    /// Hands `output` to the resumer, and returns the input of the next resume.
    ///
    /// If the coroutine is dropped meanwhile, this does not return but unwinds. In a destructor
    /// that runs because the coroutine unwinds, it does not switch: it drops `output` and returns
    /// at once if `In` is `()`.
    ///
    /// # Aborts
    /// In such a destructor, the process, if `In` is another type than `()`: there is no input to
    /// return. Use [`try_suspend`](Self::try_suspend) there.
    ///
    /// ```
    /// use cove::coroutine::{Coroutine, CoroutineState};
    /// let mut sum = Coroutine::new(|suspender, mut n: u32| loop {
    ///     n += suspender.suspend(n);
    /// });
    /// assert_eq!(sum.resume(1), CoroutineState::<_, ()>::Yielded(1));
    /// assert_eq!(sum.resume(5), CoroutineState::Yielded(6));
    /// ```
    ///
    /// # Panics
    /// When it is called on the stack of another coroutine.
    #[inline]
    pub fn suspend(&self, output: Out) -> In {
        match self.try_suspend(output) {
            Ok(input) => input,
            Err(Unwinding) => unit::<In>().unwrap_or_else(|| cannot_suspend()),
        }
    }

    /// As [`suspend`](Self::suspend), but tells a destructor that the coroutine is unwinding.
    ///
    /// ```
    /// use cove::coroutine::{Coroutine, CoroutineState};
    /// let mut coroutine = Coroutine::new(|suspender, _: u32| suspender.try_suspend("ready"));
    /// assert_eq!(coroutine.resume(0), CoroutineState::Yielded("ready"));
    /// assert_eq!(coroutine.resume(7), CoroutineState::Complete(Ok(7)));
    /// ```
    ///
    /// # Errors
    /// [`Unwinding`]: nothing was handed over, `output` is dropped.
    ///
    /// # Panics
    /// When it is called on the stack of another coroutine.
    #[inline]
    pub fn try_suspend(&self, output: Out) -> Result<In, Unwinding> {
        // SAFETY: a suspender is made from the control block of a coroutine of these types.
        unsafe { Control::suspend(NonNull::from(&self.control).cast(), output) }
    }
}

impl<In, Out> std::fmt::Debug for Suspender<In, Out> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suspender").finish_non_exhaustive()
    }
}

/// A value of type `T` if `T` is `()`.
#[cold]
fn unit<T>() -> Option<T> {
    if erased_type_id::<T>() != TypeId::of::<()>() {
        return None;
    }
    // SAFETY: `T` is `()`: `()` has no lifetimes that erasing could have confused.
    Some(unsafe { std::mem::transmute_copy::<(), T>(&()) })
}

/// The `TypeId` of `T` with its lifetimes taken for `'static`. Two types that differ in more than
/// lifetimes have different ones.
fn erased_type_id<T>() -> TypeId {
    trait Erased {
        fn type_id(&self) -> TypeId
        where
            Self: 'static;
    }
    impl<T> Erased for PhantomData<T> {
        fn type_id(&self) -> TypeId
        where
            Self: 'static,
        {
            TypeId::of::<T>()
        }
    }
    let marker = PhantomData::<T>;
    let erased: &dyn Erased = &marker;
    // SAFETY: only the lifetime bound of the trait object changes; the method called through it
    // looks at no value of type `T`, and its result holds no lifetime.
    let erased: &(dyn Erased + 'static) = unsafe { std::mem::transmute(erased) };
    erased.type_id()
}

/// Ends the process: a destructor wants to suspend while its coroutine unwinds.
#[cold]
fn cannot_suspend() -> ! {
    eprintln!(
        "cove: a destructor called Suspender::suspend while its coroutine was unwinding, and there \
         is no input to return; use Suspender::try_suspend there. Aborting."
    );
    std::process::abort()
}
