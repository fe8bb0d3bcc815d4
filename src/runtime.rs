//! The runtime: one scheduler for the calling thread.

use crate::scheduler::{Scheduler, SchedulerConfig};
use std::io;

/// Runs `function` as the first coroutine of a new runtime.
pub fn run<T>(function: impl FnOnce() -> T) -> T {
    match Builder::new().build() {
        Ok(runtime) => runtime.run(function),
        Err(error) => panic!("cannot start a runtime: {error}"),
    }
}

/// How to set up a runtime.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    scheduler: SchedulerConfig,
}

impl Builder {
    /// The defaults.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Makes the runtime.
    ///
    /// # Errors
    /// When there is no memory or no descriptor for it.
    pub fn build(&self) -> io::Result<Runtime> {
        Ok(Runtime { scheduler: Scheduler::new(self.scheduler.clone())? })
    }
}

/// A runtime on the calling thread.
pub struct Runtime {
    scheduler: Box<Scheduler>,
}

impl Runtime {
    /// Runs `function` as the root coroutine.
    pub fn run<T>(&self, function: impl FnOnce() -> T) -> T {
        self.scheduler.enter(function)
    }
}
