//! Counters: what the scheduler and its stacks have done, at no cost but that of counting.

use crate::scheduler::{Scheduler, pool, saver};
use crate::stack;
use std::sync::atomic::Ordering;

/// What this thread's runtime has done since it began, and what it holds now; see [`metrics`].
///
/// ```
/// cove::run(|| {
///     let before = cove::metrics().switches;
///     cove::spawn(|| ()).join().unwrap();
///     assert!(cove::metrics().switches > before);
/// });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Coroutines that were spawned, the root not counted.
    pub spawned: u64,
    /// Coroutines that have ended.
    pub completed: u64,
    /// Coroutines that exist: spawned and not ended.
    pub live: u64,
    /// How often a coroutine was entered.
    pub switches: u64,
    /// How often the loop was entered, because no coroutine could simply follow another.
    pub turns: u64,
    /// How often the kernel was asked for ready descriptors; one system call each.
    pub polls: u64,
    /// How often the thread slept, since no coroutine could run. Each is one of `polls`.
    pub sleeps: u64,
    /// Waits with a deadline that are going on.
    pub timers_armed: u64,
    /// Deadlines that have passed.
    pub timers_fired: u64,
    /// Wake-ups, closures and other messages from other threads.
    pub remote_messages: u64,
    /// Descriptors that are registered with the kernel.
    pub descriptors: u64,
    /// Stacks in use on this thread, those of bare coroutines and of the scheduler included.
    pub stacks_live: u64,
    /// Stacks that wait to be used again.
    pub stacks_free: u64,
    /// Stacks that were used again.
    pub stack_hits: u64,
    /// Stacks that were used for the first time.
    pub stack_misses: u64,
    /// Address space that is reserved for this thread's stacks, in bytes; not memory.
    pub stack_reserved_bytes: u64,
    /// How often a coroutine's frames were brought to a shared stack.
    pub shared_stack_swaps: u64,
    /// Bytes that are kept for coroutines on shared stacks: control blocks and saved frames.
    pub saved_bytes: u64,
    /// Bytes that were taken from the allocator for those.
    pub saved_bytes_reserved: u64,
    /// Threads of the process for blocking calls.
    pub blocking_threads: u64,
    /// Those of them that wait for work.
    pub blocking_threads_idle: u64,
    /// Blocking calls that no thread has begun.
    pub blocking_queued: u64,
    /// Blocking calls that have ended.
    pub blocking_completed: u64,
}

/// Reads the counters of this thread's runtime. Outside a runtime, those of the scheduler are zero.
///
/// ```
/// cove::run(|| {
///     cove::spawn(|| ()).join().unwrap();
///     let metrics = cove::metrics();
///     assert_eq!((metrics.spawned, metrics.live), (1, 0));
/// });
/// ```
pub fn metrics() -> Metrics {
    let stacks = stack::with_pool(|pool| pool.stats());
    let (saved_bytes, saved_bytes_reserved) = saver::usage();
    let blocking = pool::stats();
    let mut metrics = Metrics {
        stacks_live: stacks.live as u64,
        stacks_free: stacks.free as u64,
        stack_hits: stacks.hits,
        stack_misses: stacks.misses,
        stack_reserved_bytes: stacks.reserved_bytes as u64,
        saved_bytes: saved_bytes as u64,
        saved_bytes_reserved: saved_bytes_reserved as u64,
        blocking_threads: blocking.threads as u64,
        blocking_threads_idle: blocking.idle as u64,
        blocking_queued: blocking.queued as u64,
        blocking_completed: blocking.completed,
        ..Metrics::default()
    };
    if let Some(scheduler) = Scheduler::current() {
        add_scheduler(&mut metrics, scheduler);
    }
    metrics
}

fn add_scheduler(metrics: &mut Metrics, scheduler: &Scheduler) {
    let counters = &scheduler.counters;
    metrics.spawned = counters.spawned.get();
    metrics.completed = counters.completed.get();
    metrics.live = scheduler.live() as u64;
    metrics.switches = counters.switches.load(Ordering::Relaxed);
    metrics.turns = counters.turns.get();
    metrics.polls = counters.polls.get();
    metrics.sleeps = counters.sleeps.get();
    metrics.timers_armed = scheduler.timers_armed() as u64;
    metrics.timers_fired = counters.timers_fired.get();
    metrics.remote_messages = counters.remote_messages.get();
    metrics.descriptors = scheduler.descriptors() as u64;
    metrics.shared_stack_swaps = counters.swaps.get();
}
