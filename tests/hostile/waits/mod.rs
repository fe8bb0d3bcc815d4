//! Every kind of wait there is: how to get into it, how it shows in a dump, and whether what was
//! waited for still works afterwards.

mod channels;
pub(crate) mod descriptors;
mod locks;
mod plain;

use crate::holdings::yield_until;
use cove::sync::mpsc;
use cove::task::{self, State};
use std::cell::Cell;
use std::io;
use std::rc::Rc;

/// A kind of wait.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// What the dump says of one who waits begins like this.
    pub(crate) shown: &'static str,
    /// Under a deadline the wait gives `TimedOut` instead of unwinding.
    pub(crate) is_io: bool,
    /// How many can wait for what one call of `make` makes, and how many there can be in all.
    pub(crate) sharers_max: usize,
    pub(crate) total_max: usize,
    pub(crate) make: fn() -> Case,
}

/// Something to wait for, made anew.
pub(crate) struct Case {
    /// Waits, and does not come back by itself.
    pub(crate) wait: Rc<dyn Fn() -> io::Result<()>>,
    /// Shows that what was waited for still works, and ends whatever was made for it.
    pub(crate) check: Box<dyn FnOnce()>,
}

impl Case {
    fn new(wait: impl Fn() -> io::Result<()> + 'static, check: impl FnOnce() + 'static) -> Case {
        Case { wait: Rc::new(wait), check: Box::new(check) }
    }
}

/// All kinds.
pub(crate) fn kinds() -> impl Iterator<Item = &'static Kind> {
    plain::KINDS.iter().chain(locks::KINDS).chain(channels::KINDS).chain(descriptors::KINDS)
}

/// Many can wait for one thing, and there is no limit in all.
const MANY: usize = usize::MAX;

/// Whether the coroutine `id` waits, in a way that shows as `shown`.
pub(crate) fn waits(id: u64, shown: &str) -> bool {
    let dump = task::dump();
    let found = dump.iter().find(|coroutine| coroutine.id == id);
    found.is_some_and(|coroutine| {
        let reason = coroutine.waiting_for.as_deref().unwrap_or("");
        coroutine.state == State::Parked && reason.starts_with(shown)
    })
}

/// Counts destructors.
#[derive(Clone, Default)]
pub(crate) struct Drops(Rc<Cell<usize>>);

impl Drops {
    /// What counts one when it is dropped.
    pub(crate) fn guard(&self) -> Guard {
        Guard(self.0.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.get()
    }
}

/// See [`Drops`].
pub(crate) struct Guard(Rc<Cell<usize>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Lets the others run until the coroutine waits as `shown`.
pub(crate) fn wait_for(task: &task::Handle, shown: &str) {
    yield_until(|| waits(task.id().get(), shown));
}

/// Runs `function` in a coroutine until it calls its argument, which comes back when the result is
/// called; that waits for the coroutine's end.
pub(crate) fn hold(function: impl FnOnce(&dyn Fn()) + 'static) -> impl FnOnce() {
    let (release, released) = mpsc::channel::<()>();
    let holder = cove::spawn(move || function(&|| _ = released.recv()));
    wait_for(&holder.task(), "channel receive");
    move || {
        drop(release);
        holder.join().expect("the holder ends");
    }
}

/// Threads for blocking work in the runtimes under test.
pub(crate) const BLOCKING_THREADS: usize = 2;
