//! Tests of the pool. Each makes a pool of its own; the one about fork(2) uses the process's.

use super::*;
use crate::sys::process::{Ended, in_child};
use crate::sys::signal::alarm;
use std::sync::mpsc;
use std::sync::{Arc, Condvar};

const LONG_MS: u64 = 600_000;

fn pool_with(threads_max: usize, idle_ms: u64, queue_max: usize, start: Start) -> &'static Pool {
    Box::leak(Box::new(Pool::new(PoolLimits { threads_max, idle_ms, queue_max }, start)))
}

fn pool(threads_max: usize, idle_ms: u64) -> &'static Pool {
    pool_with(threads_max, idle_ms, QUEUE_MAX, start_thread)
}

/// Returns once `condition` holds, and fails when that takes absurdly long.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        thread::yield_now();
    }
}

/// Holds jobs back until it is opened, and counts them.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    open: bool,
    inside: usize,
    inside_max: usize,
}

impl Gate {
    /// A job that waits for the gate to open.
    fn job(self: &Arc<Gate>) -> Job {
        let gate = Arc::clone(self);
        Box::new(move || {
            let mut state = gate.state.lock().unwrap();
            state.inside += 1;
            state.inside_max = state.inside_max.max(state.inside);
            while !state.open {
                state = gate.changed.wait(state).unwrap();
            }
            state.inside -= 1;
        })
    }

    fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    fn inside(&self) -> usize {
        self.state.lock().unwrap().inside
    }
}

#[test]
fn ten_thousand_jobs_run_once_each() {
    // Goal: no job is lost or run twice. Method: four submitters, a counter for each job.
    const SUBMITTERS: usize = 4;
    const EACH: usize = 2_500;
    let pool = pool(6, LONG_MS);
    let runs: Arc<Vec<AtomicUsize>> =
        Arc::new((0..SUBMITTERS * EACH).map(|_| AtomicUsize::new(0)).collect());
    thread::scope(|scope| {
        for submitter in 0..SUBMITTERS {
            let runs = &runs;
            scope.spawn(move || {
                for job in submitter * EACH..(submitter + 1) * EACH {
                    let runs = Arc::clone(runs);
                    let job = Box::new(move || {
                        runs[job].fetch_add(1, Ordering::Relaxed);
                    });
                    pool.submit(job).expect("the queue has room");
                }
            });
        }
    });
    wait_until("all jobs ended", || pool.stats().completed == (SUBMITTERS * EACH) as u64);
    assert!(runs.iter().all(|runs| runs.load(Ordering::Relaxed) == 1));
    assert_eq!(pool.stats().queued, 0);
    assert!(pool.stats().threads <= 6);
}

#[test]
fn no_more_jobs_run_at_once_than_the_limit() {
    // Goal: the limit is reached and kept. Method: hold every job inside until as many as may be
    // are in, then let all go.
    let (pool, gate) = (pool(3, LONG_MS), Arc::new(Gate::default()));
    for _ in 0..20 {
        pool.submit(gate.job()).unwrap();
    }
    wait_until("three jobs run", || gate.inside() == 3);
    assert_eq!(pool.stats(), PoolStats { threads: 3, idle: 0, queued: 17, completed: 0 });
    gate.open();
    wait_until("all jobs ended", || pool.stats().completed == 20);
    assert_eq!(gate.state.lock().unwrap().inside_max, 3);
}

#[test]
fn idle_threads_end_and_new_ones_start() {
    // Goal: an idle pool holds no thread, and serves again. Method: a short idle time, twice.
    let pool = pool(4, 5);
    for round in 1..=2 {
        let gate = Arc::new(Gate::default());
        for _ in 0..4 {
            pool.submit(gate.job()).unwrap();
        }
        wait_until("four jobs run", || gate.inside() == 4);
        gate.open();
        wait_until("the threads have ended", || pool.stats().threads == 0);
        assert_eq!(
            pool.stats(),
            PoolStats { threads: 0, idle: 0, queued: 0, completed: 4 * round }
        );
    }
}

#[test]
fn one_thread_serves_a_light_load() {
    // Goal: the thread that went idle last is woken first, so that the others may end. Method: two
    // idle threads, jobs one at a time, the name of each one's thread.
    let (pool, gate) = (pool(2, LONG_MS), Arc::new(Gate::default()));
    for _ in 0..2 {
        pool.submit(gate.job()).unwrap();
    }
    gate.open();
    wait_until("both idle", || pool.stats().idle == 2);
    let (sender, receiver) = mpsc::channel();
    for _ in 0..10 {
        let sender = sender.clone();
        pool.submit(Box::new(move || sender.send(thread::current().id()).unwrap())).unwrap();
        wait_until("both idle again", || pool.stats().idle == 2);
    }
    drop(sender);
    let ids: Vec<_> = receiver.iter().collect();
    assert_eq!(ids.len(), 10);
    assert!(ids.iter().all(|id| *id == ids[0]), "jobs went round the threads: {ids:?}");
}

#[test]
fn panicking_jobs_leave_the_pool_whole() {
    // Goal: neither a panic nor a payload that panics when dropped costs a thread. Method: one
    // thread, both kinds, then a job that must still run on it.
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("from the payload's drop"));
        }
    }
    let pool = pool(1, LONG_MS);
    for _ in 0..100 {
        pool.submit(Box::new(|| std::panic::resume_unwind(Box::new(())))).unwrap();
        pool.submit(Box::new(|| std::panic::resume_unwind(Box::new(PanicsInDrop)))).unwrap();
    }
    let (sender, receiver) = mpsc::channel();
    let name = move || sender.send(thread::current().name().map(str::to_owned)).unwrap();
    pool.submit(Box::new(name)).unwrap();
    assert_eq!(receiver.recv().unwrap().as_deref(), Some("cove-blocking-1"));
    wait_until("all jobs ended", || pool.stats().completed == 201);
}

#[test]
fn full_queue_hands_the_job_back() {
    // Goal: the bound holds, the refused job is intact, and room comes back. Method: one busy
    // thread, four waiting jobs, one too many.
    let pool = pool_with(1, LONG_MS, 4, start_thread);
    let gate = Arc::new(Gate::default());
    pool.submit(gate.job()).unwrap();
    wait_until("the thread is busy", || gate.inside() == 1);
    for _ in 0..4 {
        pool.submit(gate.job()).unwrap();
    }
    let error = pool.submit(gate.job()).expect_err("the queue is full");
    assert!(matches!(error, PoolError::QueueFull { queue_max: 4, .. }), "{error:?}");
    let refused = error.into_job();
    gate.open();
    wait_until("the others ended", || pool.stats().completed == 5);
    pool.submit(refused).unwrap();
    wait_until("the refused job ended", || pool.stats().completed == 6);
}

#[test]
fn thread_shortage_fails_only_without_any_thread() {
    // Goal: with no thread, an error that names the limit; with one, the job waits for it. Method:
    // a start that fails as clone(2) does under RLIMIT_NPROC.
    fn refuse(_: &'static Pool, _: u64) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::EAGAIN))
    }
    fn first_only(pool: &'static Pool, number: u64) -> io::Result<()> {
        if number == 1 { start_thread(pool, number) } else { refuse(pool, number) }
    }
    let gate = Arc::new(Gate::default());
    let none = pool_with(4, LONG_MS, QUEUE_MAX, refuse);
    let error = none.submit(gate.job()).expect_err("no thread can be started");
    assert!(matches!(error, PoolError::NoThread { .. }), "{error:?}");
    assert!(error.to_string().contains("ulimit -u"), "{error}");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::WouldBlock);
    assert_eq!(none.stats(), PoolStats { threads: 0, idle: 0, queued: 0, completed: 0 });

    let one = pool_with(4, LONG_MS, QUEUE_MAX, first_only);
    for _ in 0..3 {
        one.submit(gate.job()).unwrap();
    }
    wait_until("the only thread is busy", || gate.inside() == 1);
    assert_eq!(one.stats(), PoolStats { threads: 1, idle: 0, queued: 2, completed: 0 });
    gate.open();
    wait_until("all jobs ended", || one.stats().completed == 3);
}

#[test]
fn lowered_limits_end_threads_but_lose_no_job() {
    // Goal: surplus threads end, idle or busy, and queued jobs still run. Method: go from eight to
    // one and back while jobs are queued, many times.
    let pool = pool(8, LONG_MS);
    let wide = pool.limits.get();
    for round in 1..=50 {
        pool.configure(wide);
        let gate = Arc::new(Gate::default());
        for _ in 0..8 {
            pool.submit(gate.job()).unwrap();
        }
        wait_until("some jobs run", || gate.inside() >= 1);
        pool.configure(PoolLimits { threads_max: 1, ..wide });
        gate.open();
        wait_until("all jobs ended", || pool.stats().completed == 8 * round);
        wait_until("one thread is left", || pool.stats().threads == 1);
    }
}

#[test]
fn threads_block_all_signals_but_faults() {
    // Goal: the program's signals go to its own threads; the submitter's mask stays as it was.
    // Method: read the masks here and in a job.
    let signals = 1..=libc::SIGRTMAX();
    let current_mask = || SignalMask::empty().block().unwrap();
    let blocked = |mask: &SignalMask| signals.clone().filter(|&s| mask.contains(s)).collect();
    let mine: Vec<i32> = blocked(&current_mask());
    let (sender, receiver) = mpsc::channel();
    let job = move || sender.send(SignalMask::empty().block().unwrap()).unwrap();
    pool(1, 0).submit(Box::new(job)).unwrap();
    let theirs: Vec<i32> = blocked(&receiver.recv().unwrap());
    assert!([libc::SIGTERM, libc::SIGINT, libc::SIGCHLD].iter().all(|s| theirs.contains(s)));
    assert!(FAULTS.iter().all(|s| !theirs.contains(s)));
    assert_eq!(blocked(&current_mask()), mine);
}

#[test]
fn child_of_fork_gets_a_pool_of_its_own() {
    // Goal: in a child the pool works though the parent's lock was held and its threads are gone,
    // with the same limits. Method: fork with the lock held, run a job there; also tell a pool that
    // it is forsaken, which stands for a child with its parent's process id.
    configure(PoolLimits { threads_max: 5, idle_ms: LONG_MS, queue_max: 77 });
    let runs_a_job = || {
        let (sender, receiver) = mpsc::channel();
        submit(Box::new(move || sender.send(process::id()).unwrap())).expect("a thread starts");
        receiver.recv_timeout(Duration::from_secs(20)) == Ok(process::id())
    };
    assert!(runs_a_job());
    let parent = current();
    let lock = parent.lock();
    let ended = in_child(|| {
        // Should anything block, then SIGALRM ends the child and the parent sees it.
        alarm(30);
        let own = !ptr::eq(current(), parent) && current().limits.get() == parent.limits.get();
        if own && runs_a_job() && stats().threads == 1 { 7 } else { 1 }
    });
    drop(lock);
    assert_eq!(ended, Ended::Exited(7));
    assert!(ptr::eq(current(), parent));

    let lock = parent.lock();
    reset_after_fork();
    assert!(!ptr::eq(current(), parent));
    assert_eq!(current().limits.get(), parent.limits.get());
    assert!(runs_a_job());
    drop(lock);
}
