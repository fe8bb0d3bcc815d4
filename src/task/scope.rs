//! Structured spawning: coroutines that may borrow from the function that spawns them.

use super::{Builder, Handle};
use crate::scheduler::Scheduler;
use crate::scheduler::spawn::RawHandle;
use crate::scheduler::task::flag;
use crate::scheduler::wait::{NEVER, WaitKind};
use std::cell::{Cell, RefCell};
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::thread;

/// Where coroutines that borrow are spawned; see [`scope`].
///
/// ```
/// cove::run(|| {
///     let words = ["one", "three"];
///     /// A scope may go down to whatever spawns in it.
///     fn count<'scope>(scope: &'scope cove::task::Scope<'scope, '_>, word: &'scope str) -> usize {
///         scope.spawn(|| word.len()).join().unwrap()
///     }
///     let letters = cove::scope(|scope| count(scope, words[0]) + count(scope, words[1]));
///     assert_eq!(letters, 8);
/// });
/// ```
pub struct Scope<'scope, 'env: 'scope> {
    /// The coroutines whose results may not have been taken.
    children: RefCell<Vec<Rc<Child>>>,
    /// The number of children at which those that are done with are forgotten.
    sweep_at: Cell<usize>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Children of a scope before the first sweep.
const SWEEP_MIN: usize = 64;

/// A coroutine of a scope: the scope and the handle share it.
struct Child {
    raw: RawHandle,
    /// The coroutine has ended by a panic that is not a cancellation.
    panicked: Rc<Cell<bool>>,
}

/// Runs `function`, which may spawn coroutines that borrow from the caller, and waits until all of
/// them have ended: [`std::thread::scope`] for coroutines.
///
/// If `function` panics, or the caller is cancelled meanwhile, the coroutines are cancelled first.
///
/// ```
/// cove::run(|| {
///     let mut words = vec!["one", "two"];
///     let letters = std::cell::Cell::new(0);
///     cove::scope(|scope| {
///         for word in &words {
///             let letters = &letters;
///             scope.spawn(move || letters.set(letters.get() + word.len()));
///         }
///     });
///     words.push("three");
///     assert_eq!(letters.get(), 6);
/// });
/// ```
///
/// What a coroutine borrows must outlive the scope:
///
/// ```compile_fail
/// cove::run(|| {
///     cove::scope(|scope| {
///         let local = String::from("gone too early");
///         scope.spawn(|| println!("{local}"));
///     });
/// });
/// ```
///
/// # Panics
/// With the panic of `function`, and if a coroutine panicked that nobody joined.
pub fn scope<'env, F, T>(function: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope {
        children: RefCell::new(Vec::new()),
        sweep_at: Cell::new(SWEEP_MIN),
        scope: PhantomData,
        env: PhantomData,
    };
    let result = catch_unwind(AssertUnwindSafe(|| function(&scope)));
    let (interrupted, panicked) = wait_for_all(&scope, result.is_err());
    match (result, interrupted) {
        (Err(panic), _) | (Ok(_), Some(panic)) => resume_unwind(panic),
        (Ok(_), None) if panicked => panic!("a scoped coroutine panicked"),
        (Ok(value), None) => value,
    }
}

type Panic = Box<dyn std::any::Any + Send>;

/// Waits for every coroutine of the scope, whatever happens. Gives back the unwinding (by
/// cancellation or a deadline scope) that reached the caller meanwhile, and whether a coroutine
/// that nobody joined has panicked.
fn wait_for_all(scope: &Scope<'_, '_>, mut cancel: bool) -> (Option<Panic>, bool) {
    let (mut interrupted, mut panicked) = (None, false);
    loop {
        let last = scope.children.borrow_mut().pop();
        let Some(child) = last else { return (interrupted, panicked) };
        if cancel {
            cancel_all(scope, &child);
        }
        if !child.raw.is_within_reach() {
            left_elsewhere();
        }
        while !child.raw.is_finished() {
            let wait = || {
                child.raw.wait(WaitKind::Scope, NEVER);
            };
            if cancel {
                // Already unwinding for a reason: no second one may end the waiting.
                masked(wait);
            } else if let Err(reason) = catch_unwind(AssertUnwindSafe(wait)) {
                interrupted = Some(reason);
                cancel = true;
                cancel_all(scope, &child);
            }
        }
        panicked |= child.panicked.get() && !child.raw.is_taken();
    }
}

/// Ends the process: the scope cannot wait for its children, and they must not outlive it.
#[cold]
fn left_elsewhere() -> ! {
    eprintln!(
        "cove: a Coroutine that suspended inside `cove::scope` was resumed or dropped outside the \
         runtime of the scope's coroutines. Aborting."
    );
    std::process::abort()
}

fn cancel_all(scope: &Scope<'_, '_>, child: &Child) {
    child.raw.cancel();
    scope.children.borrow().iter().for_each(|child| child.raw.cancel());
}

/// Runs `wait` with cancellation and deadline scopes held off.
fn masked(wait: impl FnOnce()) {
    let task = Scheduler::current().map(Scheduler::current_task);
    let masked = task.is_some_and(|task| task.has(flag::MASKED));
    if let Some(task) = task {
        task.set(flag::MASKED);
    }
    wait();
    if let (Some(task), false) = (task, masked) {
        task.clear(flag::MASKED);
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a coroutine that may borrow whatever outlives the scope.
    ///
    /// ```
    /// cove::run(|| {
    ///     let text = String::from("borrowed");
    ///     let length = cove::scope(|scope| scope.spawn(|| text.len()).join().unwrap());
    ///     assert_eq!(length, text.len());
    /// });
    /// ```
    ///
    /// # Panics
    /// Outside a runtime, and when no stack can be had.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, function: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        match self.spawn_with(Builder::new(), function) {
            Ok(handle) => handle,
            Err(error) => panic!("cannot spawn a coroutine: {error}"),
        }
    }

    /// As [`spawn`](Self::spawn), with a name or a stack size.
    ///
    /// ```
    /// # cove::run(|| {
    /// let text = String::from("borrowed");
    /// cove::scope(|scope| {
    ///     let builder = cove::task::Builder::new().name("reader").stack_bytes(64 << 10);
    ///     let coroutine = scope.spawn_with(builder, || text.len())?;
    ///     assert_eq!(coroutine.task().name(), Some("reader"));
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn_with<F, T>(
        &'scope self,
        builder: Builder,
        function: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        let panicked = Rc::new(Cell::new(false));
        let of_coroutine = panicked.clone();
        let wrapper = move || match catch_unwind(AssertUnwindSafe(function)) {
            Ok(value) => value,
            Err(panic) => {
                of_coroutine.set(!panic.is::<super::Cancelled>());
                resume_unwind(panic)
            }
        };
        let mut children = self.children.borrow_mut();
        if children.len() >= self.sweep_at.get() {
            children.retain(|child| !child.raw.is_taken());
            self.sweep_at.set(SWEEP_MIN.max(2 * children.len()));
        }
        children.try_reserve(1).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: `scope` does not return before every child has ended, by whatever way, so what
        // closure and result borrow stays valid; the stack is a private one.
        let raw = unsafe { builder.spawn_raw(false, wrapper)? };
        let child = Rc::new(Child { raw, panicked });
        children.push(child.clone());
        Ok(ScopedJoinHandle { child, shape: PhantomData })
    }
}

impl std::fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope").field("children", &self.children.borrow().len()).finish()
    }
}

/// The right to join a coroutine of a scope. Dropping it leaves the joining to the scope.
///
/// ```
/// cove::run(|| {
///     let text = String::from("borrowed");
///     cove::scope(|scope| {
///         let handles = [scope.spawn(|| text.len()), scope.spawn(|| text.capacity())];
///         let [length, capacity] = handles.map(|handle| handle.join().unwrap());
///         assert!(length <= capacity);
///     });
/// });
/// ```
pub struct ScopedJoinHandle<'scope, T> {
    child: Rc<Child>,
    shape: PhantomData<(&'scope (), T)>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the coroutine to end and brings back its result.
    ///
    /// ```
    /// cove::run(|| {
    ///     cove::scope(|scope| {
    ///         let payload = scope.spawn(|| panic!("seen by who joins")).join().unwrap_err();
    ///         assert_eq!(payload.downcast_ref(), Some(&"seen by who joins"));
    ///     }); // Does not panic: the coroutine was joined.
    /// });
    /// ```
    ///
    /// # Errors
    /// The payload of its panic, or [`Cancelled`](super::Cancelled).
    ///
    /// # Panics
    /// When called by the coroutine itself. Unwinds when the caller is cancelled.
    pub fn join(self) -> thread::Result<T> {
        self.child.raw.wait(WaitKind::Join, NEVER);
        // SAFETY: spawned with this result type.
        unsafe { self.child.raw.take() }
    }

    /// Whether the coroutine has ended.
    ///
    /// ```
    /// cove::run(|| {
    ///     cove::scope(|scope| {
    ///         let handle = scope.spawn(|| ());
    ///         cove::task::yield_now();
    ///         assert!(handle.is_finished());
    ///     });
    /// });
    /// ```
    pub fn is_finished(&self) -> bool {
        self.child.raw.is_finished()
    }

    /// Cancels the coroutine, as [`JoinHandle::cancel`](super::JoinHandle::cancel) does.
    ///
    /// ```
    /// cove::run(|| {
    ///     cove::scope(|scope| {
    ///         let parked = scope.spawn(cove::task::park);
    ///         parked.cancel(); // Or the scope would not end.
    ///     });
    /// });
    /// ```
    pub fn cancel(&self) {
        self.child.raw.cancel();
    }

    /// A handle to the coroutine that other threads may have.
    ///
    /// ```
    /// cove::run(|| {
    ///     cove::scope(|scope| {
    ///         let parked = scope.spawn(cove::task::park);
    ///         parked.task().unpark();
    ///     });
    /// });
    /// ```
    pub fn task(&self) -> Handle {
        Handle::of(self.child.raw.task())
    }
}

impl<T> std::fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScopedJoinHandle").field("finished", &self.is_finished()).finish()
    }
}
