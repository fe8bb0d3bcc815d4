//! Coroutine-local variables: [`std::thread_local!`] for coroutines.
//!
//! A variable is made when its coroutine first asks for it, and lies behind an `Rc` in a list that
//! hangs off the control block. [`LocalKey::with`] holds a count of its own while it lends the
//! value out, and never borrows the list while code of the program runs (initialisers, destructors,
//! the closure), so each of these may use any variable.
//!
//! Where no coroutine runs, on a thread without a runtime, a key stands for a variable of the
//! thread.
//!
//! ```
//! use std::cell::Cell;
//! cove::coroutine_local! { static DEPTH: Cell<u32> = Cell::new(0); }
//!
//! cove::run(|| {
//!     DEPTH.set(3);
//!     assert_eq!(cove::spawn(|| DEPTH.get()).join().unwrap(), 0); // Its own.
//!     assert_eq!(DEPTH.get(), 3);
//! });
//! ```

use crate::scheduler::Scheduler;
use crate::scheduler::task::Task;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::{fmt, thread};

/// Declares variables of which every coroutine has its own: [`std::thread_local!`] for coroutines.
///
/// The root coroutine (the closure of [`run`](crate::run)) has its own as well; so does a thread
/// outside of a runtime. A spawned coroutine inherits none.
///
/// ```
/// use std::cell::{Cell, RefCell};
///
/// cove::coroutine_local! {
///     /// How often this coroutine was asked.
///     static COUNT: Cell<u32> = Cell::new(0);
///     pub static NAMES: RefCell<Vec<String>> = RefCell::new(Vec::new());
/// }
///
/// cove::run(|| {
///     COUNT.set(5);
///     let other = cove::spawn(|| {
///         COUNT.set(COUNT.get() + 1);
///         COUNT.get()
///     });
///     assert_eq!(other.join().unwrap(), 1);
///     assert_eq!(COUNT.get(), 5);
///     NAMES.with_borrow_mut(|names| names.push("root".into()));
///     assert_eq!(NAMES.take(), ["root"]);
/// });
/// ```
///
/// # Destructors
/// They run when the coroutine ends, by return, panic or cancellation, the last variable made
/// first. A destructor may use other variables, also ones that it is the first to use; a variable
/// whose own destructor has begun is gone ([`AccessError`]). If one panics, the others still run.
#[macro_export]
macro_rules! coroutine_local {
    () => {};
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $init:expr) => {
        $crate::coroutine_local! { $(#[$attribute])* $visibility static $name: $type = $init; }
    };
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $init:expr;
     $($rest:tt)*) => {
        $(#[$attribute])*
        $visibility static $name: $crate::local::LocalKey<$type> = {
            fn init() -> $type {
                $init
            }
            ::std::thread_local! {
                static OF_THREAD: $type = init();
            }
            $crate::local::LocalKey::new(init, &OF_THREAD)
        };
        $crate::coroutine_local! { $($rest)* }
    };
}

/// A variable of which every coroutine has its own; declared by
/// [`coroutine_local!`](crate::coroutine_local). The methods are those of
/// [`std::thread::LocalKey`].
///
/// Its address is its name, so a key is used where it was declared and not moved.
///
/// ```
/// cove::coroutine_local! { static REQUEST: std::cell::Cell<u32> = std::cell::Cell::new(0); }
/// fn log() -> String {
///     format!("[request {}]", REQUEST.get())
/// }
/// cove::run(|| {
///     let coroutines = [7, 8].map(|request| {
///         cove::spawn(move || {
///             REQUEST.set(request);
///             cove::task::yield_now();
///             log()
///         })
///     });
///     assert_eq!(coroutines.map(|it| it.join().unwrap()), ["[request 7]", "[request 8]"]);
/// });
/// ```
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
    of_thread: &'static thread::LocalKey<T>,
}

/// The error of using a variable whose destructor has begun.
///
/// ```
/// struct Last;
/// impl Drop for Last {
///     fn drop(&mut self) {
///         let error = LAST.try_with(|_| ()).unwrap_err();
///         assert!(error.to_string().contains("is being destroyed"));
///     }
/// }
/// cove::coroutine_local! { static LAST: Last = Last; }
/// cove::run(|| cove::spawn(|| LAST.with(|_| ())).join()).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessError;

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the coroutine-local variable is being destroyed, or was")
    }
}

impl std::error::Error for AccessError {}

impl<T: 'static> LocalKey<T> {
    /// For the macro.
    #[doc(hidden)]
    pub const fn new(init: fn() -> T, of_thread: &'static thread::LocalKey<T>) -> LocalKey<T> {
        LocalKey { init, of_thread }
    }

    /// Lends the running coroutine's variable to `function`, having made it if this is the first
    /// use. If its initialiser uses the variable itself, then what that made stays.
    ///
    /// ```
    /// cove::coroutine_local! { static START: std::time::Instant = std::time::Instant::now(); }
    /// cove::run(|| assert_eq!(START.with(|it| *it), START.with(|it| *it)));
    /// ```
    ///
    /// # Panics
    /// When the variable's destructor has begun; see [`try_with`](Self::try_with).
    #[track_caller]
    pub fn with<R>(&'static self, function: impl FnOnce(&T) -> R) -> R {
        or_panic(self.try_with(function))
    }

    /// As [`with`](Self::with), with an error in destructors that come too late.
    ///
    /// ```
    /// cove::coroutine_local! { static NAME: String = String::from("mine"); }
    /// cove::run(|| assert_eq!(NAME.try_with(String::len), Ok(4)));
    /// ```
    ///
    /// # Errors
    /// [`AccessError`] when the variable's destructor has begun.
    pub fn try_with<R>(&'static self, function: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        match task() {
            Some(task) => Ok(function(&*self.value(task, self.init)?)),
            None => self.of_thread.try_with(function).map_err(|_| AccessError),
        }
    }

    /// The variable of `task`, made by `make` if there is none.
    fn value(&'static self, task: &Task, make: impl FnOnce() -> T) -> Result<Rc<T>, AccessError> {
        if let Some(value) = self.find(task)? {
            return Ok(value);
        }
        let made = Rc::new(make());
        // The initialiser may have made the variable itself.
        if let Some(value) = self.find(task)? {
            return Ok(value);
        }
        let local: Rc<dyn Any> = made.clone();
        task.change_extra(|extra| extra.locals.push((self.address(), Some(local))));
        Ok(made)
    }

    fn find(&'static self, task: &Task) -> Result<Option<Rc<T>>, AccessError> {
        let Some(extra) = task.extra() else { return Ok(None) };
        match extra.locals.iter().find(|(key, _)| *key == self.address()) {
            None => Ok(None),
            Some((_, None)) => Err(AccessError),
            Some((_, Some(value))) => match value.clone().downcast::<T>() {
                Ok(value) => Ok(Some(value)),
                Err(_) => unreachable!("two keys of different types at one address"),
            },
        }
    }

    fn address(&'static self) -> usize {
        (&raw const *self).addr()
    }

    /// Stores a value: in a variable made of it, without its initialiser, or by `store`.
    #[track_caller]
    fn put<V>(&'static self, value: V, make: fn(V) -> T, store: impl FnOnce(&T, V)) {
        let value = Cell::new(Some(value));
        let take = || value.take().expect("taken once");
        let result = match task() {
            Some(task) => self.value(task, || make(take())).map(|it| {
                if let Some(value) = value.take() {
                    store(&*it, value);
                }
            }),
            None => self.of_thread.try_with(|it| store(it, take())).map_err(|_| AccessError),
        };
        or_panic(result);
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Stores `value`. On the first use the initialiser is not run.
    ///
    /// ```
    /// cove::coroutine_local! { static LIMIT: std::cell::Cell<u32> = panic!("set it first"); }
    /// cove::run(|| {
    ///     LIMIT.set(7);
    ///     assert_eq!(LIMIT.replace(8) + LIMIT.get(), 15);
    /// });
    /// ```
    ///
    /// # Panics
    /// As [`with`](Self::with); so do all methods here.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.put(value, Cell::new, Cell::set);
    }

    /// A copy of the value.
    ///
    /// ```
    /// cove::coroutine_local! { static HITS: std::cell::Cell<u32> = std::cell::Cell::new(3); }
    /// cove::run(|| assert_eq!(HITS.get(), 3));
    /// ```
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the value, leaving the type's default.
    ///
    /// ```
    /// cove::coroutine_local! { static HITS: std::cell::Cell<u32> = std::cell::Cell::new(3); }
    /// cove::run(|| assert_eq!((HITS.take(), HITS.get()), (3, 0)));
    /// ```
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Stores `value` and returns the one before.
    ///
    /// ```
    /// cove::coroutine_local! { static HITS: std::cell::Cell<u32> = std::cell::Cell::new(3); }
    /// cove::run(|| assert_eq!((HITS.replace(5), HITS.get()), (3, 5)));
    /// ```
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Lends the value to `function`.
    ///
    /// ```
    /// use std::cell::RefCell;
    /// cove::coroutine_local! { static TRACE: RefCell<Vec<u32>> = RefCell::new(vec![1]); }
    /// cove::run(|| assert_eq!(TRACE.with_borrow(Vec::len), 1));
    /// ```
    ///
    /// # Panics
    /// When the value is mutably borrowed, and as [`with`](Self::with); so do all methods here.
    #[track_caller]
    pub fn with_borrow<R>(&'static self, function: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| function(&cell.borrow()))
    }

    /// Lends the value to `function`, which may change it.
    ///
    /// ```
    /// use std::cell::RefCell;
    /// cove::coroutine_local! { static TRACE: RefCell<Vec<u32>> = RefCell::default(); }
    /// cove::run(|| {
    ///     TRACE.with_borrow_mut(|trace| trace.extend([1, 2]));
    ///     assert_eq!(TRACE.with_borrow(Vec::len), 2);
    ///     assert_eq!(TRACE.replace(vec![3]), [1, 2]);
    /// });
    /// ```
    #[track_caller]
    pub fn with_borrow_mut<R>(&'static self, function: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| function(&mut cell.borrow_mut()))
    }

    /// Stores `value`. On the first use the initialiser is not run.
    ///
    /// ```
    /// use std::cell::RefCell;
    /// cove::coroutine_local! { static TRACE: RefCell<Vec<u32>> = RefCell::new(vec![1]); }
    /// cove::run(|| {
    ///     TRACE.set(vec![2, 3]);
    ///     assert_eq!(TRACE.take(), [2, 3]);
    /// });
    /// ```
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.put(value, RefCell::new, |cell, value| drop(cell.replace(value)));
    }

    /// Takes the value, leaving the type's default.
    ///
    /// ```
    /// use std::cell::RefCell;
    /// cove::coroutine_local! { static TRACE: RefCell<Vec<u32>> = RefCell::new(vec![1]); }
    /// cove::run(|| {
    ///     assert_eq!(TRACE.take(), [1]);
    ///     assert!(TRACE.with_borrow(Vec::is_empty));
    /// });
    /// ```
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Stores `value` and returns the one before.
    ///
    /// ```
    /// use std::cell::RefCell;
    /// cove::coroutine_local! { static TRACE: RefCell<Vec<u32>> = RefCell::new(vec![1]); }
    /// cove::run(|| {
    ///     assert_eq!(TRACE.replace(vec![2]), [1]);
    ///     assert_eq!(TRACE.take(), [2]);
    /// });
    /// ```
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// The running task, if a coroutine runs and not the loop between two of them.
fn task<'a>() -> Option<&'a Task> {
    let scheduler = Scheduler::current().filter(|scheduler| !scheduler.is_in_loop())?;
    Some(scheduler.current_task())
}

#[track_caller]
fn or_panic<R>(result: Result<R, AccessError>) -> R {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

#[cfg(test)]
mod tests;
