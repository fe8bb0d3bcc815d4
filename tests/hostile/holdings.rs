//! What a runtime and its process hold: the same before and after, or something has leaked.

use cove::task;
use std::fs;

/// What is held at one moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    coroutines: u64,
    timers: u64,
    registered: u64,
    open: Vec<String>,
}

impl Holdings {
    /// What is held now that all who could run have run. To be called in a coroutine, in a process
    /// that runs no other test.
    pub(crate) fn now() -> Holdings {
        settle();
        let metrics = cove::metrics();
        Holdings {
            coroutines: metrics.live,
            timers: metrics.timers_armed,
            registered: metrics.descriptors,
            open: open(),
        }
    }
}

/// Lets work that was left behind come to its end: ready coroutines, and jobs of blocking threads.
pub(crate) fn settle() {
    loop {
        task::yield_now();
        let metrics = cove::metrics();
        let busy = metrics.blocking_threads - metrics.blocking_threads_idle;
        if metrics.blocking_queued + busy == 0 {
            return;
        }
    }
}

/// What the open descriptors of the process are, sorted.
pub(crate) fn open() -> Vec<String> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").expect("a list of descriptors") {
        let entry = entry.expect("a descriptor");
        // Gone already: the one by which the list is read.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.display().to_string();
        if !target.ends_with("/fd") {
            open.push(target);
        }
    }
    open.sort();
    open
}

/// Lets the others run until `done`, which they bring about without the help of time.
pub(crate) fn yield_until(mut done: impl FnMut() -> bool) {
    while !done() {
        task::yield_now();
    }
}
