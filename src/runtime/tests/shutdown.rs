//! Ending: with parked, busy, unstarted and stubborn coroutines; many of them.

use super::{Builder, Dropped, runtime};
use crate::task::{self, Cancelled};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn dropping_ends_every_coroutine_of_every_worker() {
    // Goal: all unwind, nobody who joins is left waiting. Method: parked, sleeping and yielding
    // coroutines on each worker, their handles joined afterwards, and by a thread meanwhile.
    let dropped = Dropped::default();
    let runtime = runtime(3);
    let begun = Arc::new(crate::sync::Semaphore::new(0));
    let mut joins = Vec::new();
    for kind in 0..9 {
        let (guard, begun) = (dropped.guard(), begun.clone());
        joins.push(runtime.handle().spawn_on(kind % 3, move || {
            let _guard = guard;
            begun.add_permits(1);
            match kind / 3 {
                0 => task::park(),
                1 => crate::time::sleep(Duration::from_secs(3600)),
                _ => loop {
                    task::yield_now();
                },
            }
        }));
    }
    runtime.run(|| begun.acquire_many(9).forget());
    let last = joins.pop().expect("nine");
    let thread = std::thread::spawn(move || last.join());
    drop(runtime);
    assert_eq!(dropped.count(), 9);
    for join in joins {
        assert!(join.join().expect_err("cancelled").is::<Cancelled>());
    }
    assert!(thread.join().expect("no panic").expect_err("cancelled").is::<Cancelled>());
}

#[test]
fn closures_that_nobody_started_are_dropped_and_their_joins_cancelled() {
    // Goal: no closure is lost in a queue or an inbox; handles outlive the runtime. Method:
    // closures for a first worker that never runs, and for a runtime that is gone.
    let dropped = Dropped::default();
    let runtime = runtime(1);
    let handle = runtime.handle();
    let send = |on: bool| {
        let guard = dropped.guard();
        let work = move || drop(guard);
        if on { handle.spawn_on(0, work) } else { handle.spawn(work) }
    };
    let early = [send(true), send(false)];
    assert!(early.iter().all(|join| !join.is_finished()));
    drop(runtime);
    let late = [send(true), send(false)];
    assert_eq!(dropped.count(), 4);
    for join in early.into_iter().chain(late) {
        assert!(join.join().expect_err("cancelled").is::<Cancelled>());
    }
}

/// Its destructor waits until it is told to stop.
struct Lingers(Arc<AtomicBool>);

impl Drop for Lingers {
    fn drop(&mut self) {
        while !self.0.load(Ordering::Relaxed) {
            crate::time::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn timed_shutdown_reports_what_did_not_end() {
    // Goal: the workers, and that the call comes back. Method: one coroutine whose destructor waits
    // for long on worker 1, and a busy one on worker 2; worker 3 has none.
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = runtime(4);
    let handle = runtime.handle();
    let lingers = Lingers(stop.clone());
    let far = handle.spawn_on(1, move || {
        let _lingers = lingers;
        task::park();
    });
    let of_busy = stop.clone();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let busy = handle.spawn_on(2, move || {
        begun.send(()).expect("awaited");
        while !of_busy.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
    });
    has_begun.recv().expect("begun");
    handle.spawn_on(1, || ()).join().expect("ran");
    let error = runtime.shutdown_timeout(Duration::from_millis(50)).expect_err("not in time");
    assert_eq!(error.unfinished(), [(1, Some(1)), (2, None)]);
    let message = error.to_string();
    assert!(message.contains("worker 1 (1 coroutines left)"), "{message}");
    assert!(message.contains("worker 2 (a coroutine computes"), "{message}");
    stop.store(true, Ordering::Relaxed);
    assert!(busy.join().is_ok());
    assert!(far.join().expect_err("cancelled").is::<Cancelled>());
}

#[test]
fn what_the_first_worker_leaves_behind_never_runs_again() {
    // Goal: the rest of a timed shutdown is leaked, soundly. Method: in a destructor of a panicking
    // thread, where coroutines that unwind do not keep the thread, leave one that lingers; use its
    // handles and the thread afterwards.
    struct Ends(Option<crate::Runtime>, Option<task::JoinHandle<()>>);
    impl Drop for Ends {
        fn drop(&mut self) {
            let runtime = self.0.take().expect("once");
            let error = runtime.shutdown_timeout(Duration::from_millis(10)).expect_err("lingers");
            assert_eq!(error.unfinished(), [(0, Some(1))]);
            assert!(error.to_string().contains("(lingerer)"), "{error}");
            let left = self.1.take().expect("once");
            assert!(!left.is_finished());
            left.cancel();
            left.task().unpark();
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let lingers = Lingers(stop.clone());
    let runtime = runtime(1);
    let left = runtime.run(|| {
        let builder = task::Builder::new().name("lingerer");
        let left = builder.spawn(move || {
            let _lingers = lingers;
            task::park();
        });
        task::yield_now();
        left.expect("spawned")
    });
    super::panic_of(move || {
        let _ends = Ends(Some(runtime), Some(left));
        panic!("by design");
    });
    stop.store(true, Ordering::Relaxed);
    assert_eq!(crate::run(|| crate::spawn(|| 5).join()).ok(), Some(5));
    assert_eq!(Arc::strong_count(&stop), 2, "nothing of it was dropped");
}

#[test]
fn timed_shutdown_of_what_ends_is_a_success() {
    // Goal: Ok, and long before the time is over. Method: parked coroutines on two workers.
    let runtime = runtime(2);
    let parked = runtime.run(|| crate::runtime_handle().run_on_each(|_| task::park()));
    let start = Instant::now();
    assert_eq!(runtime.shutdown_timeout(Duration::from_secs(60)), Ok(()));
    assert!(start.elapsed() < Duration::from_secs(30));
    assert!(parked.into_iter().all(|join| join.join().is_err()));
}

#[test]
fn coroutines_of_different_workers_may_join_each_other_while_ending() {
    // Goal: unwinding that waits across workers ends. Method: destructors that join a coroutine of
    // the other worker.
    struct Joins(Option<crate::RemoteJoinHandle<()>>);
    impl Drop for Joins {
        fn drop(&mut self) {
            let result = self.0.take().expect("once").join();
            assert!(result.expect_err("cancelled").is::<Cancelled>());
        }
    }
    let runtime = runtime(2);
    let handle = runtime.handle();
    let crossed = (0..2).map(|worker| {
        let joins = Joins(Some(handle.spawn_on(1 - worker, task::park)));
        handle.spawn_on(worker, move || {
            let _joins = joins;
            task::park();
        })
    });
    let crossed: Vec<_> = crossed.collect();
    runtime.run(|| {
        handle.spawn_on(1, || ()).join().expect("ran");
        task::yield_now();
    });
    drop(runtime);
    assert!(crossed.into_iter().all(|join| join.join().is_err()));
}

/// Parks `count` coroutines, drops the runtime, and tells how long that took and how much resident
/// memory it needed at most on top.
fn end_parked(count: usize) -> (Duration, usize) {
    let dropped = Dropped::default();
    let runtime = Builder::new().stack_bytes(16 << 10).build().expect("a runtime");
    runtime.run(|| {
        for _ in 0..count {
            let guard = dropped.guard();
            drop(crate::spawn(move || {
                let _guard = guard;
                task::park();
            }));
        }
        task::yield_now();
    });
    let before = resident_bytes();
    let start = Instant::now();
    drop(runtime);
    let passed = start.elapsed();
    assert_eq!(dropped.count(), count);
    (passed, peak_bytes().saturating_sub(before))
}

fn resident_bytes() -> usize {
    status_bytes("VmRSS:")
}

fn peak_bytes() -> usize {
    status_bytes("VmHWM:")
}

fn status_bytes(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc(5)");
    let line = status.lines().find(|line| line.starts_with(field)).expect("a field of proc(5)");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<usize>().ok()).expect("kB") << 10
}

#[test]
fn many_parked_coroutines_unwind_when_the_runtime_is_dropped() {
    // Goal: all of them, in reasonable time. Method: twenty thousand.
    let (passed, _) = end_parked(20_000);
    assert!(passed < Duration::from_secs(60), "{passed:?}");
}

#[test]
#[ignore = "takes gigabytes; by hand: cargo test --release --lib a_million_p -- --ignored"]
fn a_million_parked_coroutines_unwind_in_bounded_memory() {
    // Goal: as above, with little memory beyond what they had. Method: a million, alone in the
    // process; the numbers are printed.
    for count in [200_000, 1_000_000] {
        let (passed, extra_bytes) = end_parked(count);
        eprintln!("{count}: {passed:?}, {} MiB on top at most", extra_bytes >> 20);
        assert!(extra_bytes < 256 << 20);
    }
}
