//! Tests of runtimes: what they run, how they start and end, what travels between their workers.

mod fork;
mod shutdown;
mod single;
mod storm;
mod workers;

use super::{Builder, Runtime};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn runtime(workers: usize) -> Runtime {
    Builder::new().workers(workers).build().expect("a runtime")
}

/// Counts how many of its clones have been dropped.
#[derive(Clone, Default)]
struct Dropped(Arc<AtomicUsize>);

/// Adds one when it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Dropped {
    fn guard(&self) -> Counted {
        Counted(self.0.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The message of the panic that `function` ends with.
fn panic_of(function: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(function)).expect_err("a panic");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast::<&str>().map_or_else(|_| "?".into(), |m| (*m).into()),
    }
}
