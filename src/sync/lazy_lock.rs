//! A value that its own closure makes on first use: [`LazyLock`].

use super::once_cell::OnceCell;
use std::cell::UnsafeCell;
use std::fmt;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// [`std::sync::LazyLock`], for coroutines: the closure may yield, and others wait meanwhile.
///
/// ```
/// use cove::sync::LazyLock;
///
/// static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| "made on first use".split(' ').collect());
/// assert_eq!(cove::run(|| WORDS.len()), 4);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    cell: OnceCell<T>,
    /// Touched only by the one that makes the value; none once it has begun.
    make: UnsafeCell<Option<F>>,
}

// SAFETY: the closure is only ever taken out, by one thread, which amounts to sending it there;
// the value is shared as the cell shares it.
unsafe impl<T: Sync + Send, F: Send> Sync for LazyLock<T, F> {}

impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}
impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    constructor! {
        /// A value that `make` makes when it is first used.
        ///
        /// ```
        /// let lazy = cove::sync::LazyLock::new(|| 6 * 7);
        /// assert_eq!(*lazy, 42);
        /// ```
        #[inline]
        pub const fn new(make: F) -> LazyLock<T, F> {
            LazyLock { cell: OnceCell::new(), make: UnsafeCell::new(Some(make)) }
        }
    }

    /// Makes the value if it is not made yet.
    ///
    /// ```
    /// let lazy = cove::sync::LazyLock::new(|| 1);
    /// assert_eq!(*cove::sync::LazyLock::force(&lazy), 1);
    /// ```
    ///
    /// # Panics
    /// If the closure has unwound, by a panic or because it was cancelled.
    #[inline]
    pub fn force(this: &LazyLock<T, F>) -> &T {
        this.cell.get_or_init(|| {
            // SAFETY: the cell runs one closure at a time.
            match unsafe { (*this.make.get()).take() } {
                Some(make) => make(),
                None => panic!("LazyLock instance has previously been poisoned"),
            }
        })
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> LazyLock<T> {
        LazyLock::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shape = f.debug_tuple("LazyLock");
        match self.cell.get() {
            Some(value) => shape.field(value),
            None => shape.field(&format_args!("<uninit>")),
        };
        shape.finish()
    }
}
