//! Asymmetric coroutines: a function with a stack of its own that can stop in the middle, hand a
//! value to whoever resumed it, and go on later. They need no scheduler.
//!
//! ```
//! use cove::coroutine::{Coroutine, CoroutineState};
//!
//! let mut squares = Coroutine::new(|suspender, first: u64| {
//!     let mut n = first;
//!     while n < 5 {
//!         n += suspender.suspend(n * n);
//!     }
//!     "done"
//! });
//! assert_eq!(squares.resume(3), CoroutineState::Yielded(9));
//! assert_eq!(squares.resume(1), CoroutineState::Yielded(16));
//! assert_eq!(squares.resume(1), CoroutineState::Complete("done"));
//! ```
//!
//! The life of a coroutine:
//!
//! ```text
//!             resume              suspend
//!   Fresh ------------> (runs) -------------> Suspended
//!     |                  |   ^                   |  |
//!     |                  |   +------ resume -----+  |
//!     | drop             | return or panic          | drop: unwinds the stack
//!     v                  v                          v
//!   (gone)            Complete                    (gone)
//! ```
//!
//! Where things lie: the control block and the closure sit at the top of the
//! coroutine's own stack, so that making a coroutine allocates nothing but the stack. Values pass
//! by pointer: each side hands over the address of a slot in its own frame.
//!
//! # Panics and dropping
//! A panic inside the coroutine comes out of the `resume` that ran it. Dropping an unfinished
//! coroutine unwinds it, so that destructors run: its `suspend` raises a panic that the panic hook
//! does not see, and raises it again if the coroutine catches it and suspends again.
//!
//! While a coroutine unwinds, it cannot stop: a `suspend` in a destructor does not switch. Where
//! `In` is `()` it returns at once, else [`Suspender::try_suspend`] tells the destructor so, and a
//! plain `suspend` aborts the process with a message, since there is no value that it could return.
//!
//! Panics are counted by thread, and the count cannot be read. So if a destructor that runs because
//! its *thread* unwinds resumes a coroutine, which then panics itself and suspends in a destructor
//! of its own, that suspend does switch: it cannot tell the two panics apart.
//! [`std::thread::panicking`] is true on that thread from then on until the coroutine has been
//! resumed and its panic has ended; dropping it before that aborts the process, since it would have
//! to unwind out of a destructor. [`Suspender::suspend`] has no place in a destructor.
//!
//! A coroutine may also never be dropped: [`std::mem::forget`] is safe. Its stack then stays for
//! ever, and so does everything that it owns, but what it *borrowed* would not, and a thread of
//! [`std::thread::scope`] inside it might go on using that. Hence [`Coroutine::new`] takes only
//! what is `'static`; [`scope`] lends a coroutine whatever lives longer than the call, because it
//! sees to the drop itself.

mod control;
mod scoped;
mod suspender;

use control::{Control, Launch};
pub use scoped::{Scoped, scope, scope_with_stack_bytes};
pub use suspender::{Suspender, Unwinding};

use crate::stack::{self, StackError};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// Where a coroutine stands.
///
/// ```
/// use cove::coroutine::{Coroutine, Status};
/// let mut coroutine = Coroutine::new(|suspender, ()| suspender.suspend("waiting"));
/// assert_eq!(coroutine.status(), Status::Fresh);
/// coroutine.resume(());
/// assert_eq!(coroutine.status(), Status::Suspended);
/// coroutine.resume(());
/// assert_eq!(coroutine.status(), Status::Complete);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Made and never resumed.
    Fresh,
    /// Stopped in a `suspend`.
    Suspended,
    /// Ended: returned, panicked, or unwound.
    Complete,
}

/// What a `resume` brought back.
///
/// ```
/// use cove::coroutine::{Coroutine, CoroutineState};
/// let mut echo = Coroutine::new(|suspender, mut word: &str| {
///     while word != "stop" {
///         word = suspender.suspend(word.len());
///     }
/// });
/// assert_eq!(echo.resume("four"), CoroutineState::Yielded(4));
/// assert_eq!(echo.resume("stop"), CoroutineState::Complete(()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoroutineState<Out, Return> {
    /// The coroutine suspended with this value.
    Yielded(Out),
    /// The coroutine returned this value and is complete.
    Complete(Return),
}

/// A function with a stack of its own; see the [module](self).
///
/// ```
/// use cove::coroutine::Coroutine;
/// let mut words = Coroutine::new(|suspender, ()| {
///     for word in ["one", "two"] {
///         suspender.suspend(word);
///     }
/// });
/// assert_eq!(words.next(), Some("one"));
/// assert_eq!(words.next(), Some("two"));
/// assert_eq!(words.next(), None);
/// ```
///
/// It stays on the thread that made it: what its stack holds may not be `Send`.
///
/// ```compile_fail
/// let coroutine = cove::coroutine::Coroutine::<(), (), ()>::new(|_, ()| ());
/// std::thread::spawn(move || drop(coroutine));
/// ```
///
/// It owns what it works on ([`scope`] lends), and holds what it is given until it is dropped.
///
/// ```compile_fail
/// use cove::coroutine::{Coroutine, Suspender};
/// let text = String::from("borrowed");
/// let coroutine = Coroutine::new(|_: &Suspender<(), ()>, ()| println!("{text}"));
/// ```
///
/// ```compile_fail
/// use cove::coroutine::Coroutine;
/// fn lengthen<'a>(given: Coroutine<&'a str, (), ()>) -> Coroutine<&'static str, (), ()> {
///     given
/// }
/// ```
pub struct Coroutine<In, Out, Return> {
    control: NonNull<Control>,
    /// Not `Send`, not `Sync`.
    shape: PhantomData<(*mut (), Shape<In, Out, Return>)>,
}

/// How a coroutine depends on its types. It holds values of `In` on its stack until it is dropped:
/// hence `In` is not only what goes in (contravariant) but invariant.
type Shape<In, Out, Return> = fn(In) -> (In, Out, Return);

impl<In, Out, Return> Coroutine<In, Out, Return> {
    /// Makes a coroutine with a stack of 128 KiB that will run `function` at the first resume.
    ///
    /// ```
    /// use cove::coroutine::{Coroutine, CoroutineState, Suspender};
    /// let mut sum = Coroutine::new(|suspender: &Suspender<u32, ()>, a| a + suspender.suspend(()));
    /// assert_eq!(sum.resume(40), CoroutineState::Yielded(()));
    /// assert_eq!(sum.resume(2), CoroutineState::Complete(42));
    /// ```
    ///
    /// # Panics
    /// When no stack can be had; [`with_stack_bytes`](Self::with_stack_bytes) returns the error.
    pub fn new<F>(function: F) -> Self
    where
        F: FnOnce(&Suspender<In, Out>, In) -> Return + 'static,
        In: 'static,
        Out: 'static,
        Return: 'static,
    {
        or_panic(Self::with_stack_bytes(stack::DEFAULT_BYTES, function))
    }

    /// As [`new`](Self::new) with a stack of `stack_bytes`, rounded up to whole pages; less than
    /// 4 KiB becomes 4 KiB.
    ///
    /// A stack of 4 KiB is for simple functions that end by themselves; 8 KiB hold the unwinding of
    /// a drop, and a panic's message, too. One with a backtrace (`RUST_BACKTRACE=1`) takes 32 KiB.
    ///
    /// ```
    /// use cove::coroutine::Coroutine;
    /// let small = Coroutine::with_stack_bytes(8 << 10, |suspender, ()| suspender.suspend(1))?;
    /// assert!(small.stack_bytes() > 7 << 10);
    /// assert!(Coroutine::<(), (), ()>::with_stack_bytes(2 << 30, |_, ()| ()).is_err());
    /// # Ok::<_, cove::StackError>(())
    /// ```
    ///
    /// # Errors
    /// When `stack_bytes` is above 1 GiB or no such stack can be had; the message names the limit.
    pub fn with_stack_bytes<F>(stack_bytes: usize, function: F) -> Result<Self, StackError>
    where
        F: FnOnce(&Suspender<In, Out>, In) -> Return + 'static,
        In: 'static,
        Out: 'static,
        Return: 'static,
    {
        // SAFETY: nothing that is borrowed can end before the coroutine does.
        unsafe { Self::borrowing(stack_bytes, function) }
    }

    /// As [`with_stack_bytes`](Self::with_stack_bytes), for what is borrowed.
    ///
    /// # Safety
    /// The coroutine is dropped before anything ends that its types borrow.
    unsafe fn borrowing<F>(stack_bytes: usize, function: F) -> Result<Self, StackError>
    where
        F: FnOnce(&Suspender<In, Out>, In) -> Return,
    {
        let launch = Launch::<F, In, Out, Return>::new(function);
        let control = Control::create(stack_bytes, launch)?;
        Ok(Coroutine { control, shape: PhantomData })
    }

    /// Runs the coroutine until it suspends or ends. The first `input` becomes the closure's
    /// argument, each later one the result of the `suspend` that it ends. Cost: about 1 ns.
    ///
    /// ```
    /// use cove::coroutine::{Coroutine, CoroutineState};
    /// let mut coroutine = Coroutine::new(|suspender, n: u32| n + suspender.suspend("more?"));
    /// assert_eq!(coroutine.resume(40), CoroutineState::Yielded("more?"));
    /// assert_eq!(coroutine.resume(2), CoroutineState::Complete(42));
    /// ```
    ///
    /// # Panics
    /// When the coroutine is complete, and with the coroutine's own panic if it panics.
    #[inline(always)]
    pub fn resume(&mut self, input: In) -> CoroutineState<Out, Return> {
        // SAFETY: the control block lives until this coroutine is dropped, and the types are those
        // with which it was made.
        unsafe { Control::resume::<In, Out, Return>(self.control, input) }
    }

    /// Where the coroutine stands. See [`Status`] for an example.
    #[inline]
    pub fn status(&self) -> Status {
        // SAFETY: the control block lives until this coroutine is dropped.
        unsafe { (*self.control.as_ptr()).status() }
    }

    /// Whether the coroutine has ended.
    ///
    /// ```
    /// use cove::coroutine::Coroutine;
    /// let mut coroutine = Coroutine::new(|suspender, ()| suspender.suspend(1));
    /// coroutine.resume(());
    /// assert!(!coroutine.is_complete());
    /// coroutine.resume(());
    /// assert!(coroutine.is_complete());
    /// ```
    #[inline]
    pub fn is_complete(&self) -> bool {
        self.status() == Status::Complete
    }

    /// The size of the coroutine's stack in bytes.
    ///
    /// ```
    /// use cove::coroutine::Coroutine;
    /// let mut coroutine = Coroutine::new(|suspender, ()| suspender.suspend(1));
    /// assert_eq!(coroutine.stack_bytes(), 128 << 10);
    /// ```
    pub fn stack_bytes(&self) -> usize {
        // SAFETY: the control block lives until this coroutine is dropped.
        unsafe { (*self.control.as_ptr()).stack_bytes() }
    }

    /// The most bytes of its stack that the coroutine, or an earlier one on the same stack, has
    /// used so far. Costs a scan of the stack's touched pages.
    ///
    /// ```
    /// use cove::coroutine::Coroutine;
    /// let mut coroutine = Coroutine::new(|suspender, ()| suspender.suspend(1));
    /// coroutine.resume(());
    /// let used_bytes = coroutine.stack_high_water_bytes();
    /// assert!(0 < used_bytes && used_bytes < coroutine.stack_bytes());
    /// ```
    pub fn stack_high_water_bytes(&self) -> usize {
        // SAFETY: the control block lives until this coroutine is dropped.
        unsafe { (*self.control.as_ptr()).stack_high_water_bytes() }
    }
}

impl<In, Out, Return> Drop for Coroutine<In, Out, Return> {
    fn drop(&mut self) {
        // SAFETY: nobody uses the control block after its owner is dropped; the types are those
        // with which it was made.
        unsafe { Control::destroy::<Return>(self.control) }
    }
}

impl<In, Out, Return> std::fmt::Debug for Coroutine<In, Out, Return> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coroutine")
            .field("status", &self.status())
            .field("stack_bytes", &self.stack_bytes())
            .finish()
    }
}

/// A coroutine that takes nothing and returns nothing is an iterator over what it yields.
///
/// ```
/// use cove::coroutine::Coroutine;
///
/// let fibonacci = Coroutine::new(|suspender, ()| {
///     let (mut a, mut b) = (0u32, 1);
///     loop {
///         suspender.suspend(a);
///         (a, b) = (b, a + b);
///     }
/// });
/// let first: Vec<u32> = fibonacci.take(7).collect();
/// assert_eq!(first, [0, 1, 1, 2, 3, 5, 8]);
/// ```
impl<Out> Iterator for Coroutine<(), Out, ()> {
    type Item = Out;

    #[inline]
    fn next(&mut self) -> Option<Out> {
        if self.is_complete() {
            return None;
        }
        match self.resume(()) {
            CoroutineState::Yielded(value) => Some(value),
            CoroutineState::Complete(()) => None,
        }
    }
}

fn or_panic<T>(made: Result<T, StackError>) -> T {
    made.unwrap_or_else(|error| panic!("cannot make a coroutine: {error}"))
}

#[cfg(test)]
mod tests;
