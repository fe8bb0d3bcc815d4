//! The threads of the workers other than the first.

use super::Builder;
use crate::scheduler::crew::Crew;
use crate::scheduler::{Scheduler, SchedulerConfig, pool};
use crate::stack;
use crate::sys;
use crate::sys::thread::CpuSet;
use std::io;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The threads of one runtime, by worker: the first has worker 1.
pub(super) struct Threads {
    threads: Vec<JoinHandle<()>>,
    ends: Arc<Ends>,
}

/// Which threads have come to their end: joining one does not wait for long then.
#[derive(Default)]
struct Ends {
    ended: Mutex<Vec<usize>>,
    changed: Condvar,
}

/// Makes the scheduler of the calling thread, the worker `index`.
pub(super) fn make_scheduler(config: SchedulerConfig, index: usize) -> io::Result<Box<Scheduler>> {
    Scheduler::new(config).map_err(|error| {
        let error = io::Error::from(error);
        let advice = match error.raw_os_error() {
            Some(libc::EMFILE) => "; each worker needs two descriptors: raise `ulimit -n`",
            Some(libc::ENFILE) => "; raise the sysctl fs.file-max",
            _ => "",
        };
        io::Error::new(error.kind(), format!("cannot set up worker {index}: {error}{advice}"))
    })
}

/// Starts the workers other than the first, and waits until they are ready. If one cannot start,
/// those that did are in `threads` all the same.
pub(super) fn start(
    builder: &Builder,
    threads: &mut Threads,
    crew: &Arc<Crew>,
    cpus: Option<CpuSet>,
) -> io::Result<()> {
    if let Some(cpus) = &cpus {
        pool::set_cpus(cpus);
        pin(cpus, 0)?;
    }
    let (ready, reports) = mpsc::channel();
    for index in 1..builder.workers {
        let worker = Worker {
            index,
            builder: builder.clone(),
            crew: crew.clone(),
            cpus,
            ends: threads.ends.clone(),
        };
        let ready = ready.clone();
        let thread = std::thread::Builder::new()
            .name(format!("{}-{index}", builder.worker_name))
            .spawn(move || worker.work(ready))
            .map_err(|error| no_thread(&error, index, builder.workers))?;
        threads.threads.push(thread);
    }
    drop(ready);
    // Each thread reports once; the channel ends when all have.
    reports.into_iter().find(Result::is_err).unwrap_or(Ok(()))
}

fn no_thread(error: &io::Error, index: usize, workers: usize) -> io::Error {
    let message = format!(
        "cannot start a thread for worker {index} of {workers}: {error}; if resources are short, \
         see `ulimit -u` (RLIMIT_NPROC), `ulimit -v` and the cgroup's pids.max"
    );
    io::Error::new(error.kind(), message)
}

/// Keeps the calling thread on the processor for the worker `index`.
fn pin(cpus: &CpuSet, index: usize) -> io::Result<()> {
    let count = cpus.iter().count().max(1);
    let Some(cpu) = cpus.iter().nth(index % count) else { return Ok(()) };
    sys::thread::pin_to_cpu(cpu).map_err(|error| {
        let message = format!("cannot keep worker {index} on processor {cpu}: {error}");
        io::Error::new(error.kind(), message)
    })
}

/// What the thread of a worker needs.
struct Worker {
    index: usize,
    builder: Builder,
    crew: Arc<Crew>,
    cpus: Option<CpuSet>,
    ends: Arc<Ends>,
}

impl Worker {
    /// The whole life of the thread.
    fn work(self, ready: Sender<io::Result<()>>) {
        match self.set_up() {
            Ok(scheduler) => {
                let is_wanted = ready.send(Ok(())).is_ok();
                drop(ready);
                if is_wanted {
                    scheduler.serve();
                }
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    }

    fn set_up(&self) -> io::Result<Box<Scheduler>> {
        if let Some(cpus) = &self.cpus {
            pin(cpus, self.index)?;
        }
        if let Some(config) = self.builder.stack_config() {
            stack::set_pool_config(config);
        }
        let scheduler = make_scheduler(self.builder.scheduler_config(), self.index)?;
        self.builder.attach(&scheduler)?;
        scheduler.join_crew(self.crew.clone(), self.index);
        Ok(scheduler)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.ends.ended.lock().unwrap_or_else(PoisonError::into_inner).push(self.index);
        self.ends.changed.notify_all();
    }
}

impl Threads {
    pub(super) fn none() -> Threads {
        Threads { threads: Vec::new(), ends: Arc::default() }
    }

    /// Waits for the threads, until `deadline` if there is one; those that have not ended go on by
    /// themselves. Returns their workers.
    pub(super) fn join(&mut self, deadline: Option<Instant>) -> Vec<usize> {
        let threads = std::mem::take(&mut self.threads);
        let mut ended = self.ends.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while ended.len() < threads.len() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break;
            }
            let wait = left.unwrap_or(Duration::MAX);
            let woken = self.ends.changed.wait_timeout(ended, wait);
            ended = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let ended = std::mem::take(&mut *ended);
        let mut late = Vec::new();
        for (index, thread) in (1..).zip(threads) {
            if !ended.contains(&index) {
                late.push(index);
            } else if let Err(panic) = thread.join() {
                // Nothing of the user's runs outside its coroutine, which catches panics.
                std::panic::resume_unwind(panic);
            }
        }
        late
    }

    /// Forgets the threads, in a forked child, which does not have them.
    pub(super) fn forget(&mut self) {
        std::mem::forget(std::mem::take(&mut self.threads));
    }
}
