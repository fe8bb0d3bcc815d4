//! A value that is made on first use: [`OnceCell`].

#[cfg(all(test, not(loom)))]
mod tests;

use super::once::{COMPLETE, INCOMPLETE, RawOnce};
use crate::primitive::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// [`std::sync::OnceLock`], for coroutines: a value that is set once. Also called `OnceLock` here.
///
/// The closure that makes the value may yield; others that want it wait meanwhile. If it unwinds,
/// the next of them runs its own.
///
/// ```
/// use cove::sync::OnceCell;
///
/// static GREETING: OnceCell<String> = OnceCell::new();
/// cove::run(|| {
///     let make = || {
///         cove::task::yield_now(); // say, to ask a server
///         String::from("hello")
///     };
///     let other = cove::spawn(move || GREETING.get_or_init(make).len());
///     assert_eq!(GREETING.get_or_init(make), "hello"); // one of the two has run
///     assert_eq!(other.join().unwrap(), 5);
/// });
/// ```
pub struct OnceCell<T> {
    once: RawOnce,
    /// Initialized if `once` is complete.
    value: UnsafeCell<MaybeUninit<T>>,
    /// Drops a `T`.
    owns: PhantomData<T>,
}

// SAFETY: the value goes where the cell goes.
unsafe impl<T: Send> Send for OnceCell<T> {}
// SAFETY: the value is shared by all, and may be set by one thread and dropped by another.
unsafe impl<T: Sync + Send> Sync for OnceCell<T> {}

impl<T: UnwindSafe> UnwindSafe for OnceCell<T> {}
impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceCell<T> {}

/// The state after a closure that unwound: as before.
const UNWOUND: u32 = INCOMPLETE;

impl<T> OnceCell<T> {
    constructor! {
        /// An empty cell.
        ///
        /// ```
        /// assert_eq!(cove::sync::OnceCell::<u32>::new().get(), None);
        /// ```
        #[inline]
        pub const fn new() -> OnceCell<T> {
            let value = UnsafeCell::new(MaybeUninit::uninit());
            OnceCell { once: RawOnce::new(), value, owns: PhantomData }
        }
    }

    /// The value, if it is set. Does not wait.
    ///
    /// ```
    /// let cell = cove::sync::OnceCell::new();
    /// assert_eq!(cell.get(), None);
    /// cell.set(1).unwrap();
    /// assert_eq!(cell.get(), Some(&1));
    /// ```
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if self.is_set() {
            // SAFETY: set, so initialized, and not changed while the cell is shared.
            Some(self.value.with(|value| unsafe { (*value).assume_init_ref() }))
        } else {
            None
        }
    }

    /// The value, if it is set.
    ///
    /// ```
    /// let mut cell = cove::sync::OnceCell::from(1);
    /// *cell.get_mut().unwrap() += 1;
    /// assert_eq!(cell.get(), Some(&2));
    /// ```
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        if self.is_set() {
            // SAFETY: set, so initialized; the cell is borrowed exclusively.
            Some(self.value.with_mut(|value| unsafe { (*value).assume_init_mut() }))
        } else {
            None
        }
    }

    /// Sets the value. Waits if another one is being made.
    ///
    /// # Errors
    /// Gives the value back if the cell is set already.
    ///
    /// ```
    /// let cell = cove::sync::OnceCell::new();
    /// assert_eq!(cell.set(1), Ok(()));
    /// assert_eq!(cell.set(2), Err(2));
    /// ```
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("a value is set once"));
        value.map_or(Ok(()), Err)
    }

    /// The value; if it is not set, that which `make` returns. Waits if another closure runs. A
    /// closure that asks for the value that it makes waits for itself, for ever.
    ///
    /// ```
    /// let cell = cove::sync::OnceCell::new();
    /// assert_eq!(cell.get_or_init(|| 1), &1);
    /// assert_eq!(cell.get_or_init(|| 2), &1);
    /// ```
    #[inline]
    pub fn get_or_init<F: FnOnce() -> T>(&self, make: F) -> &T {
        match self.get_or_try_init(|| Ok::<T, std::convert::Infallible>(make())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// As [`get_or_init`](Self::get_or_init), with a closure that may fail.
    ///
    /// # Errors
    /// That of the closure; the cell stays as it was, and the next one tries.
    ///
    /// ```
    /// let cell = cove::sync::OnceCell::new();
    /// assert!(cell.get_or_try_init(|| "x".parse::<u32>()).is_err());
    /// assert_eq!(cell.get_or_try_init(|| "7".parse::<u32>()), Ok(&7));
    /// ```
    #[inline]
    pub fn get_or_try_init<F, E>(&self, make: F) -> Result<&T, E>
    where
        F: FnOnce() -> Result<T, E>,
    {
        if !self.is_set() {
            self.make(make)?;
        }
        // SAFETY: either it was set, or `make` has seen to that.
        Ok(self.value.with(|value| unsafe { (*value).assume_init_ref() }))
    }

    #[cold]
    fn make<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<(), E> {
        let run = |_| match make() {
            Ok(value) => {
                // SAFETY: only the one that runs touches the value, which is not initialized yet.
                self.value.with_mut(|place| unsafe { (*place).write(value) });
                (true, Ok(()))
            }
            Err(error) => (false, Err(error)),
        };
        self.once.run(UNWOUND, run).unwrap_or(Ok(()))
    }

    /// Takes the value out; the cell is empty then.
    ///
    /// ```
    /// let mut cell = cove::sync::OnceCell::from(1);
    /// assert_eq!((cell.take(), cell.take()), (Some(1), None));
    /// ```
    pub fn take(&mut self) -> Option<T> {
        if !self.is_set() {
            return None;
        }
        self.once.reset();
        // SAFETY: it was set, and by the line above is not any more.
        Some(self.value.with(|value| unsafe { (*value).assume_init_read() }))
    }

    /// The value, if it is set.
    ///
    /// ```
    /// let cell = cove::sync::OnceCell::from(String::from("made"));
    /// assert_eq!(cell.into_inner().as_deref(), Some("made"));
    /// ```
    pub fn into_inner(mut self) -> Option<T> {
        self.take()
    }

    #[inline]
    fn is_set(&self) -> bool {
        self.once.state() == COMPLETE
    }
}

impl<T> Drop for OnceCell<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> OnceCell<T> {
        OnceCell::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> OnceCell<T> {
        let value = UnsafeCell::new(MaybeUninit::new(value));
        OnceCell { once: RawOnce::completed(), value, owns: PhantomData }
    }
}

impl<T: Clone> Clone for OnceCell<T> {
    fn clone(&self) -> OnceCell<T> {
        self.get().map_or_else(OnceCell::new, |value| OnceCell::from(value.clone()))
    }
}

impl<T: PartialEq> PartialEq for OnceCell<T> {
    fn eq(&self, other: &OnceCell<T>) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceCell<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shape = f.debug_tuple("OnceCell");
        match self.get() {
            Some(value) => shape.field(value),
            None => shape.field(&format_args!("<uninit>")),
        };
        shape.finish()
    }
}
