//! The threads for blocking work: files, name lookup, closures that compute for long.
//!
//! One pool serves the whole process (`CURRENT`, global state), because what it limits, threads, is
//! a resource of the process. It has no thread until the first job comes, and none again when it
//! has been idle for long enough.
//!
//! ```text
//!   submit --> a thread idles:    queue the job, wake the thread that went idle last
//!          --> threads < max:     queue the job, start a thread
//!          --> queue < max:       queue the job; a busy thread will come for it
//!          --> otherwise          QueueFull, with the job
//! ```
//!
//! Invariants, under the lock: a queued job implies a thread, and a thread that finds the queue
//! empty is either in `idle` or has ended, so no job waits while a thread sleeps that nobody woke.
//! Idle threads are woken last in, first out: their caches are warm, and under a light load the
//! rest reach their deadline and end.
//!
//! **Fork.** The child has none of the threads, and the lock may be held by one that no longer
//! exists. So a pool knows its process, and a child leaves it as it is, lock, queue and all (they
//! are leaked; the jobs belong to the parent), and makes another with the same limits. The process
//! id tells; `reset_after_fork` does so where ids can repeat.
//!
//! **Names and stacks.** Threads are called `cove-blocking-N`, N counting up from 1; the kernel
//! keeps 15 bytes, so `ps` shows no second digit. Each has `STACK_BYTES` of stack, reserved but not
//! touched.
//!
//! **Signals.** All but those for faults are blocked in these threads, so that the program's
//! handlers run where the program expects them, and no read here ends in EINTR.
//!
//! **Panics.** A job that panics ends alone: whoever wants the payload catches it inside the job.

mod error;

use crate::sys::signal::SignalMask;
use crate::sys::thread::{CpuSet, cpu_count};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use std::{io, process, ptr};

pub(crate) use error::PoolError;

/// Blocking work, to be run once on a thread of the pool.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Stack of each thread: std's default, enough for glibc's resolver and for deep C libraries.
const STACK_BYTES: usize = 2 << 20;
/// Signals by which a thread learns of its own fault.
const FAULTS: [i32; 6] =
    [libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGSYS, libc::SIGTRAP];
/// Threads allowed by default even on one core: a blocked thread costs no processor.
const THREADS_MAX_FLOOR: usize = 8;
/// Threads allowed by default for each core.
const THREADS_MAX_PER_CORE: usize = 4;
/// Default time after which an idle thread ends.
const IDLE_MS: u64 = 10_000;
/// Default limit of jobs that wait: a few MiB of closures, and minutes of work.
const QUEUE_MAX: usize = 1 << 16;

/// The pool of this process, null before the first use. Pools are leaked, so the pointer never
/// dangles.
static CURRENT: AtomicPtr<Pool> = AtomicPtr::new(ptr::null_mut());

/// Queues `job` for a thread of the pool, and starts one if none idles and the limit allows.
///
/// # Errors
/// See [`PoolError`]; each hands the job back.
pub(crate) fn submit(job: Job) -> Result<(), PoolError> {
    current().submit(job)
}

/// Changes the limits of the process's pool. Threads above a lowered limit end after the job they
/// are in.
///
/// # Panics
/// If `threads_max` or `queue_max` is 0.
pub(crate) fn configure(limits: PoolLimits) {
    current().configure(limits);
}

/// What the process's pool holds at this moment.
pub(crate) fn stats() -> PoolStats {
    current().stats()
}

/// Tells a child of fork(2) that its parent's pool is not its own. Touches one atomic only, so it
/// may be called in a handler of pthread_atfork(3). Needed where the child may have its parent's
/// process id (pid namespaces).
pub(crate) fn reset_after_fork() {
    // SAFETY: the pointer is null or a leaked pool.
    if let Some(pool) = unsafe { CURRENT.load(Ordering::Acquire).as_ref() } {
        pool.forsaken.store(true, Ordering::Relaxed);
    }
}

/// The pool of this process, made now if there is none or if the one there is the parent's.
fn current() -> &'static Pool {
    let seen = CURRENT.load(Ordering::Acquire);
    // SAFETY: the pointer is null or a leaked pool.
    let limits = match unsafe { seen.as_ref() } {
        Some(pool) if pool.is_of_this_process() => return pool,
        Some(parent) => parent.limits.get(),
        None => PoolLimits::default(),
    };
    let made = Box::into_raw(Box::new(Pool::new(limits, start_thread)));
    // Release publishes the new pool; Acquire shows the one of a thread that was faster.
    match CURRENT.compare_exchange(seen, made, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: `made` is leaked from here on.
        Ok(_) => unsafe { &*made },
        Err(other) => {
            // SAFETY: nobody else has seen `made`; `other` is a leaked pool, stored instead of
            // `seen`.
            unsafe {
                drop(Box::from_raw(made));
                &*other
            }
        }
    }
}

/// How large the pool may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolLimits {
    /// Most threads at a time, at least 1. Default: four for each core, and 8 at least.
    pub(crate) threads_max: usize,
    /// Milliseconds after which an idle thread ends. Default: 10,000.
    pub(crate) idle_ms: u64,
    /// Most jobs that wait while every thread is busy, at least 1. Default: 65,536.
    pub(crate) queue_max: usize,
}

impl Default for PoolLimits {
    fn default() -> PoolLimits {
        let threads_max = THREADS_MAX_FLOOR.max(cpu_count() * THREADS_MAX_PER_CORE);
        PoolLimits { threads_max, idle_ms: IDLE_MS, queue_max: QUEUE_MAX }
    }
}

/// What a pool holds at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolStats {
    /// Threads that exist.
    pub(crate) threads: usize,
    /// Those of them that wait for work.
    pub(crate) idle: usize,
    /// Jobs that no thread has begun.
    pub(crate) queued: usize,
    /// Jobs that ended, by return or panic, since the pool was made.
    pub(crate) completed: u64,
}

/// Starts the thread number `N` of a pool, which has been counted already.
type Start = fn(&'static Pool, u64) -> io::Result<()>;

fn start_thread(pool: &'static Pool, number: u64) -> io::Result<()> {
    let builder = thread::Builder::new();
    let builder = builder.name(format!("cove-blocking-{number}")).stack_size(STACK_BYTES);
    // A new thread inherits the mask (pthread_create(3)). Faults stay unblocked: else they
    // would kill the process without a word from its handlers, as about a stack that overflows.
    let mask_before = SignalMask::full().set()?;
    let faults = FAULTS.iter().fold(SignalMask::empty(), |mask, &signal| mask.with(signal));
    let started = faults.unblock().and_then(|_| builder.spawn(move || pool.begin()).map(drop));
    assert!(mask_before.set().is_ok(), "a mask that was in force is refused");
    started
}

struct Pool {
    /// The process whose threads these are.
    process_id: u32,
    /// Set in a child of that process: do not touch the lock.
    forsaken: AtomicBool,
    limits: AtomicLimits,
    start: Start,
    state: Mutex<State>,
}

/// The limits, readable without the lock, which a child of fork must not take.
struct AtomicLimits {
    threads_max: AtomicUsize,
    idle_ms: AtomicU64,
    queue_max: AtomicUsize,
}

/// What the lock guards.
#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Threads that wait for work, the longest idle first. Who takes one out unparks it.
    idle: Vec<Thread>,
    threads: usize,
    threads_ever: u64,
    completed: u64,
}

impl AtomicLimits {
    fn get(&self) -> PoolLimits {
        PoolLimits {
            threads_max: self.threads_max.load(Ordering::Relaxed),
            idle_ms: self.idle_ms.load(Ordering::Relaxed),
            queue_max: self.queue_max.load(Ordering::Relaxed),
        }
    }
}

/// Where threads of the pool may run, if the threads that start them may not run everywhere.
static CPUS: OnceLock<CpuSet> = OnceLock::new();

/// Threads of the pool run on `cpus`, whatever the thread that starts them is kept to. The first
/// call counts.
pub(crate) fn set_cpus(cpus: &CpuSet) {
    let _ = CPUS.set(*cpus);
}

impl Pool {
    /// The first function of each thread.
    fn begin(&self) {
        if let Some(cpus) = CPUS.get() {
            // Processors may have gone meanwhile; the thread then stays where it is.
            let _ = cpus.apply();
        }
        self.work();
    }

    fn new(limits: PoolLimits, start: Start) -> Pool {
        Pool {
            process_id: process::id(),
            forsaken: AtomicBool::new(false),
            limits: AtomicLimits {
                threads_max: AtomicUsize::new(limits.threads_max),
                idle_ms: AtomicU64::new(limits.idle_ms),
                queue_max: AtomicUsize::new(limits.queue_max),
            },
            start,
            state: Mutex::default(),
        }
    }

    fn is_of_this_process(&self) -> bool {
        !self.forsaken.load(Ordering::Relaxed) && self.process_id == process::id()
    }

    /// No code that can panic runs under the lock, so poison means nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&'static self, job: Job) -> Result<(), PoolError> {
        let PoolLimits { threads_max, queue_max, .. } = self.limits.get();
        let mut state = self.lock();
        let woken = state.idle.pop();
        let mut served = woken.is_some();
        if !served && state.threads < threads_max {
            // Under the lock: threads start rarely, and so "no thread and none to be had" is one
            // decision.
            match (self.start)(self, state.threads_ever + 1) {
                Ok(()) => {
                    state.threads += 1;
                    state.threads_ever += 1;
                    served = true;
                }
                Err(cause) if state.threads == 0 => {
                    debug_assert!(state.queue.is_empty(), "jobs without a thread");
                    return Err(PoolError::NoThread { job, cause });
                }
                // A thread exists: the job waits for it, and the next submit tries again.
                Err(_) => {}
            }
        }
        if !served && state.queue.len() >= queue_max {
            return Err(PoolError::QueueFull { job, queue_max });
        }
        state.queue.push_back(job);
        drop(state);
        if let Some(thread) = woken {
            thread.unpark();
        }
        Ok(())
    }

    fn configure(&self, limits: PoolLimits) {
        assert!(limits.threads_max > 0, "a pool without threads runs nothing");
        assert!(limits.queue_max > 0, "a pool without a queue takes nothing");
        self.limits.threads_max.store(limits.threads_max, Ordering::Relaxed);
        self.limits.idle_ms.store(limits.idle_ms, Ordering::Relaxed);
        self.limits.queue_max.store(limits.queue_max, Ordering::Relaxed);
        // Idle threads look at the new limits; they leave the list themselves.
        self.lock().idle.iter().for_each(Thread::unpark);
    }

    fn stats(&self) -> PoolStats {
        let state = self.lock();
        PoolStats {
            threads: state.threads,
            idle: state.idle.len(),
            queued: state.queue.len(),
            completed: state.completed,
        }
    }

    /// The life of a thread: runs jobs until it is idle for too long, or one too many.
    fn work(&self) {
        let mut state = self.lock();
        while state.threads <= self.limits.get().threads_max {
            let Some(job) = state.queue.pop_front() else {
                match self.wait_for_work(state) {
                    Some(locked) => {
                        state = locked;
                        continue;
                    }
                    None => return,
                }
            };
            drop(state);
            run(job);
            if !self.is_of_this_process() {
                // The job forked, and this is the child: the state is the parent's.
                return;
            }
            state = self.lock();
            state.completed += 1;
        }
        state.threads -= 1;
        debug_assert!(state.threads > 0, "the limit is at least one");
        // This thread may have been woken for a job that it now leaves to another.
        if let Some(thread) = if state.queue.is_empty() { None } else { state.idle.pop() } {
            thread.unpark();
        }
    }

    /// Idles. Returns the lock when there may be work, or None if this thread idled for too long or
    /// is one too many, and is counted out.
    fn wait_for_work<'a>(&'a self, state: MutexGuard<'a, State>) -> Option<MutexGuard<'a, State>> {
        let me = thread::current();
        let since = Instant::now();
        let mut state = state;
        state.idle.push(me.clone());
        loop {
            drop(state);
            let idle = Duration::from_millis(self.limits.get().idle_ms);
            thread::park_timeout(idle.saturating_sub(since.elapsed()));
            state = self.lock();
            let Some(place) = state.idle.iter().position(|idle| idle.id() == me.id()) else {
                return Some(state);
            };
            let limits = self.limits.get();
            let expired = since.elapsed() >= Duration::from_millis(limits.idle_ms);
            if expired || state.threads > limits.threads_max {
                state.idle.remove(place);
                state.threads -= 1;
                debug_assert!(state.threads > 0 || state.queue.is_empty(), "a job is stranded");
                return None;
            }
        }
    }
}

/// Runs one job to its end, whatever it does.
fn run(job: Job) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
        // The payload's destructor is the job's code as well. A second payload is leaked.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
    }
}

#[cfg(test)]
mod tests;
