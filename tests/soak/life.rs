//! Coroutines whose ends are noted, and those that end with whoever waits for them.

use super::books::{Books, count};
use cove::JoinHandle;
use cove::sync::WaitGroup;
use cove::task::{self, Cancelled};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// A coroutine that is cancelled if nobody joins it.
pub(crate) struct Child<T>(Option<JoinHandle<T>>);

impl<T> Child<T> {
    pub(crate) fn new(handle: JoinHandle<T>) -> Child<T> {
        Child(Some(handle))
    }

    pub(crate) fn handle(&self) -> &JoinHandle<T> {
        self.0.as_ref().expect("joined once")
    }

    /// Waits for the end, and cancels if that wait is ended.
    pub(crate) fn join(mut self) -> std::thread::Result<T> {
        let handle = self.0.take().expect("joined once");
        // Of no effect on one that has ended.
        let _cancel = CancelOnDrop(handle.task());
        handle.join()
    }
}

impl<T> Drop for Child<T> {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.cancel();
        }
    }
}

struct CancelOnDrop(task::Handle);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// A closure's entry in the books: how it ended.
pub(crate) struct Life {
    books: Arc<Books>,
    /// The round waits for this.
    _member: WaitGroup,
    started: bool,
}

impl Life {
    pub(crate) fn new(books: &Arc<Books>, group: &WaitGroup) -> Life {
        count(&books.spawned);
        Life { books: books.clone(), _member: group.clone(), started: false }
    }

    /// Runs the closure, and notes how it ends.
    pub(crate) fn run<T>(mut self, function: impl FnOnce() -> T) -> T {
        self.started = true;
        let payload = match catch_unwind(AssertUnwindSafe(function)) {
            Ok(value) => {
                count(&self.books.returned);
                return value;
            }
            Err(payload) => payload,
        };
        if payload.is::<Cancelled>() {
            count(&self.books.cancelled);
        } else if payload.is::<u64>() {
            count(&self.books.panicked);
        } else {
            eprintln!("soak: a check of a player has failed; {}", super::alarm::note());
            std::process::abort();
        }
        resume_unwind(payload)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if !self.started {
            count(&self.books.unstarted);
        }
    }
}
