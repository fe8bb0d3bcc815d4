//! Coroutines that borrow.

use super::{Coroutine, CoroutineState, Status, Suspender, or_panic};
use crate::stack::{self, StackError};

/// The coroutine of a [`scope`]: as [`Coroutine`], but owned by the scope.
///
/// ```
/// let text = String::from("lent");
/// let length = cove::coroutine::scope(
///     |suspender, ()| suspender.suspend(text.len()),
///     |mut coroutine| coroutine.next(),
/// );
/// assert_eq!(length, Some(4));
/// ```
///
/// ```compile_fail
/// // It cannot leave the scope.
/// let kept = cove::coroutine::scope(|_, ()| (), |coroutine| coroutine);
/// ```
///
/// ```compile_fail
/// // What it was given lives as long as the scope does.
/// cove::coroutine::scope(
///     |suspender, word: &String| {
///         suspender.suspend(());
///         println!("{word}");
///     },
///     |mut coroutine| {
///         let word = String::from("gone");
///         coroutine.resume(&word);
///     },
/// );
/// ```
#[derive(Debug)]
pub struct Scoped<'s, In, Out, Return>(&'s mut Coroutine<In, Out, Return>);

/// Makes a coroutine that may borrow what lives longer than this call, hands it to `body`, and
/// drops it when `body` ends.
///
/// ```
/// use cove::coroutine::{CoroutineState, scope};
///
/// let words = vec![String::from("may"), String::from("borrow")];
/// let mut seen = 0;
/// let first: &str = scope(
///     |suspender, ()| {
///         for word in &words {
///             seen += 1;
///             suspender.suspend(word.as_str());
///         }
///     },
///     |mut coroutine| match coroutine.resume(()) {
///         CoroutineState::Yielded(word) => word,
///         CoroutineState::Complete(()) => unreachable!(),
///     },
/// );
/// assert_eq!((first, seen), ("may", 1));
/// ```
///
/// # Panics
/// When no stack can be had, and with the panic of `body`.
pub fn scope<F, In, Out, Return, R>(
    function: F,
    body: impl FnOnce(Scoped<'_, In, Out, Return>) -> R,
) -> R
where
    F: FnOnce(&Suspender<In, Out>, In) -> Return,
{
    or_panic(scope_with_stack_bytes(stack::DEFAULT_BYTES, function, body))
}

/// As [`scope`], with a stack of `stack_bytes` (see [`Coroutine::with_stack_bytes`]).
///
/// ```
/// use cove::coroutine::scope_with_stack_bytes;
/// let limit = 3;
/// let squares = scope_with_stack_bytes(
///     16 << 10,
///     |suspender, ()| (0..limit).for_each(|n| suspender.suspend(n * n)),
///     |coroutine| coroutine.collect::<Vec<u32>>(),
/// )?;
/// assert_eq!(squares, [0, 1, 4]);
/// # Ok::<_, cove::StackError>(())
/// ```
///
/// # Errors
/// As [`Coroutine::with_stack_bytes`]; `body` does not run then.
///
/// # Panics
/// With the panic of `body`.
pub fn scope_with_stack_bytes<F, In, Out, Return, R>(
    stack_bytes: usize,
    function: F,
    body: impl FnOnce(Scoped<'_, In, Out, Return>) -> R,
) -> Result<R, StackError>
where
    F: FnOnce(&Suspender<In, Out>, In) -> Return,
{
    // SAFETY: whatever these types borrow lives longer than this call, since they are its
    // parameters; and the coroutine, lent to the body by reference, is dropped before it returns or
    // unwinds. If this very frame is on a stack that is never unwound, the frames above it, from
    // which alone it could borrow, stay for ever too.
    let mut coroutine = unsafe { Coroutine::borrowing(stack_bytes, function) }?;
    Ok(body(Scoped(&mut coroutine)))
}

impl<In, Out, Return> Scoped<'_, In, Out, Return> {
    /// As [`Coroutine::resume`].
    ///
    /// ```
    /// use cove::coroutine::{CoroutineState, scope};
    /// let state = scope(|suspender, n: u32| suspender.suspend(n + 1), |mut it| it.resume(1));
    /// assert_eq!(state, CoroutineState::<_, u32>::Yielded(2));
    /// ```
    ///
    /// # Panics
    /// As [`Coroutine::resume`].
    #[inline]
    pub fn resume(&mut self, input: In) -> CoroutineState<Out, Return> {
        self.0.resume(input)
    }

    /// As [`Coroutine::status`].
    ///
    /// ```
    /// use cove::coroutine::{Status, scope};
    /// let status = scope(
    ///     |suspender, ()| suspender.suspend(1),
    ///     |mut coroutine| {
    ///         coroutine.resume(());
    ///         coroutine.status()
    ///     },
    /// );
    /// assert_eq!(status, Status::Suspended);
    /// ```
    #[inline]
    pub fn status(&self) -> Status {
        self.0.status()
    }

    /// As [`Coroutine::is_complete`].
    ///
    /// ```
    /// let complete = cove::coroutine::scope(
    ///     |suspender, ()| suspender.suspend(1),
    ///     |mut coroutine| {
    ///         while coroutine.next().is_some() {}
    ///         coroutine.is_complete()
    ///     },
    /// );
    /// assert!(complete);
    /// ```
    #[inline]
    pub fn is_complete(&self) -> bool {
        self.0.is_complete()
    }
}

/// As that of [`Coroutine`].
impl<Out> Iterator for Scoped<'_, (), Out, ()> {
    type Item = Out;

    #[inline]
    fn next(&mut self) -> Option<Out> {
        self.0.next()
    }
}
