//! Why a job was not taken.

use super::Job;
use std::{fmt, io};

/// Why a job was not taken. The job comes back with it.
#[non_exhaustive]
pub(crate) enum PoolError {
    /// `queue_max` jobs wait already: wait until some have run, or fail.
    QueueFull { job: Job, queue_max: usize },
    /// There is no thread, and none could be started.
    NoThread { job: Job, cause: io::Error },
}

impl PoolError {
    /// The job that was not taken.
    pub(crate) fn into_job(self) -> Job {
        match self {
            PoolError::QueueFull { job, .. } | PoolError::NoThread { job, .. } => job,
        }
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolError::QueueFull { queue_max, .. } => {
                write!(out, "{queue_max} blocking jobs wait already (the pool's queue_max)")
            }
            PoolError::NoThread { cause, .. } => write!(
                out,
                "cannot start a thread for blocking work: {cause}; if resources are short, see \
                 `ulimit -u` (RLIMIT_NPROC), `ulimit -v` and the cgroup's pids.max"
            ),
        }
    }
}

impl fmt::Debug for PoolError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PoolError({self})")
    }
}

impl From<PoolError> for io::Error {
    fn from(error: PoolError) -> io::Error {
        let kind = match &error {
            PoolError::QueueFull { .. } => io::ErrorKind::ResourceBusy,
            PoolError::NoThread { cause, .. } => cause.kind(),
        };
        io::Error::new(kind, error.to_string())
    }
}
