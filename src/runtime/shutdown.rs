//! Ending a runtime, and what did not end in time.

use super::Runtime;
use crate::scheduler::crew::BUSY;
use crate::scheduler::wait::NEVER;
use crate::sys;
use std::fmt;
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

/// How many coroutines an error names.
const NAMES_MAX: usize = 8;

/// What had not ended when the time for a shutdown was over.
///
/// It is abandoned: coroutines of the first worker never run again, and nothing of theirs is
/// dropped; threads of other workers go on, and end if their coroutines ever do.
/// See [`ShutdownError::unfinished`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownError {
    unfinished: Vec<(usize, Option<usize>)>,
    /// Some of the first worker's coroutines.
    names: Vec<String>,
}

impl ShutdownError {
    /// The workers that had not ended, in order, each with the number of coroutines that it had
    /// left to unwind; `None` if it had not even begun, because a coroutine of its computed without
    /// ever waiting.
    ///
    /// ```
    /// let runtime = cove::Builder::new().workers(2).build()?;
    /// let (begun, has_begun) = std::sync::mpsc::channel();
    /// let _stubborn = runtime.handle().spawn_on(1, move || {
    ///     begun.send(()).unwrap();
    ///     loop {
    ///         std::hint::spin_loop();
    ///     }
    /// });
    /// has_begun.recv().unwrap();
    /// let error = runtime.shutdown_timeout(std::time::Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error.unfinished(), [(1, None)]);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn unfinished(&self) -> &[(usize, Option<usize>)] {
        &self.unfinished
    }
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("did not end in time:")?;
        for (place, (worker, left)) in self.unfinished.iter().enumerate() {
            f.write_str(if place == 0 { " " } else { "; " })?;
            match left {
                Some(left) => write!(f, "worker {worker} ({left} coroutines left)")?,
                None => write!(f, "worker {worker} (a coroutine computes without waiting)")?,
            }
            if *worker == 0 && !self.names.is_empty() {
                write!(f, ", among them {}", self.names.join(", "))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ShutdownError {}

impl Runtime {
    /// Ends the runtime as dropping it does, but waits for `timeout` at most for workers other than
    /// the first.
    ///
    /// A coroutine of the *first* worker, which is the calling thread, cannot be left behind while
    /// it computes, or while a destructor of it waits: it keeps this waiting.
    ///
    /// ```
    /// let runtime = cove::Builder::new().build()?;
    /// runtime.run(|| drop(cove::spawn(cove::task::park)));
    /// runtime.shutdown_timeout(std::time::Duration::from_secs(10))?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What had not ended by then.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Result<(), ShutdownError> {
        // The rest is for `drop`, which finds nothing left to end.
        self.end(sys::clock::deadline_ns(timeout))
    }

    /// Ends everything until `deadline_ns`. Does nothing when called again.
    pub(super) fn end(&mut self, deadline_ns: u64) -> Result<(), ShutdownError> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        let stale = self.crew.is_stale();
        if !stale {
            self.crew.close();
            self.crew.stop_others();
        }
        let mut error = ShutdownError { unfinished: Vec::new(), names: Vec::new() };
        if self.scheduler.shut_down(deadline_ns) {
            // SAFETY: taken once, as `ended` tells, and not used from here on.
            unsafe { ManuallyDrop::drop(&mut self.scheduler) };
        } else {
            error.unfinished.push((0, Some(self.scheduler.live())));
            self.scheduler.for_each_task(|task| {
                if error.names.len() < NAMES_MAX {
                    error.names.push(match task.name() {
                        Some(name) => format!("#{} ({name})", task.id),
                        None => format!("#{}", task.id),
                    });
                }
            });
        }
        if stale {
            self.threads.forget();
            return error.unfinished.is_empty().then_some(()).ok_or(error);
        }
        let deadline = match deadline_ns {
            NEVER => None,
            _ => Instant::now().checked_add(sys::clock::until(deadline_ns)),
        };
        for worker in self.threads.join(deadline) {
            let left = self.crew.left(worker);
            error.unfinished.push((worker, (left != BUSY).then_some(left)));
        }
        error.unfinished.is_empty().then_some(()).ok_or(error)
    }
}
