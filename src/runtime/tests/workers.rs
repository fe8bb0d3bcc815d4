//! Many workers: closures that travel, are stolen, wait for room; and idle ones that stay asleep.

use super::{Builder, Dropped, panic_of, runtime};
use crate::RuntimeHandle;
use crate::scheduler::Scheduler;
use crate::scheduler::crew::UNSTARTED_MAX;
use crate::sync::Semaphore;
use crate::task;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

fn worker() -> usize {
    RuntimeHandle::current().worker().expect("on a worker")
}

#[test]
fn closures_run_on_the_worker_that_they_were_sent_to_in_order() {
    // Goal: place and order. Method: numbered closures to each of three workers from a plain
    // thread and from a coroutine.
    let runtime = runtime(3);
    let handle = runtime.handle();
    let seen: Arc<Mutex<Vec<(usize, usize)>>> = Arc::default();
    let send_all = {
        let (handle, seen) = (handle.clone(), seen.clone());
        move || {
            let mut joins = Vec::new();
            for number in 0..30 {
                let seen = seen.clone();
                let note = move || seen.lock().expect("no panic").push((worker(), number));
                joins.push(handle.spawn_on(number % 3, note));
            }
            joins
        }
    };
    let from_outside = std::thread::spawn(send_all.clone()).join().expect("sent");
    runtime.run(|| {
        from_outside.into_iter().for_each(|join| join.join().expect("ran"));
        send_all().into_iter().for_each(|join| join.join().expect("ran"));
    });
    let seen = seen.lock().expect("no panic");
    for worker in 0..3 {
        let numbers: Vec<_> = seen.iter().filter(|seen| seen.0 == worker).map(|s| s.1).collect();
        let once: Vec<_> = (worker..30).step_by(3).collect();
        assert_eq!(numbers, [once.clone(), once].concat());
    }
}

#[test]
fn unstarted_closures_spread_over_idle_workers() {
    // Goal: stealing. Method: each closure blocks its thread until all workers have one, so the
    // test ends only if every worker takes part.
    const WORKERS: usize = 4;
    let runtime = runtime(WORKERS);
    let barrier = Arc::new(std::sync::Barrier::new(WORKERS));
    let workers: HashSet<usize> = runtime.run(|| {
        let handle = crate::runtime_handle();
        let block = |_| {
            let barrier = barrier.clone();
            handle.spawn(move || {
                barrier.wait();
                worker()
            })
        };
        let joins: Vec<_> = (0..WORKERS).map(block).collect();
        joins.into_iter().map(|join| join.join().expect("ran")).collect()
    });
    assert_eq!(workers.len(), WORKERS);
}

#[test]
fn workers_count_together() {
    // Goal: no closure is lost or run twice. Method: a tree of closures, each of which spawns more
    // from wherever it runs, adds up.
    fn grow(depth: u32, count: Arc<AtomicU64>) {
        count.fetch_add(1, Ordering::Relaxed);
        if depth == 0 {
            return;
        }
        let handle = crate::runtime_handle();
        let branch = |_| {
            let count = count.clone();
            handle.spawn(move || grow(depth - 1, count))
        };
        let joins: Vec<_> = (0..3).map(branch).collect();
        task::yield_now();
        joins.into_iter().for_each(|join| join.join().expect("ran"));
    }
    let runtime = runtime(3);
    let count = Arc::new(AtomicU64::new(0));
    runtime.run(|| grow(7, count.clone()));
    assert_eq!(count.load(Ordering::Relaxed), (3_u64.pow(8) - 1) / 2);
}

#[test]
fn full_queue_makes_coroutines_and_threads_wait() {
    // Goal: never more than the limit unstarted, and everybody goes on as there is room. Method: a
    // worker that is kept busy, two who send to it, a counter of those under way.
    let runtime = runtime(2);
    let handle = runtime.handle();
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let busy = handle.spawn_on(1, move || {
        begun.send(()).expect("awaited");
        released.recv().expect("released");
    });
    has_begun.recv().expect("begun");
    let sent = Arc::new(AtomicUsize::new(0));
    let send = {
        let (handle, sent) = (handle.clone(), sent.clone());
        move || {
            for _ in 0..UNSTARTED_MAX {
                drop(handle.spawn_on(1, || ()));
                sent.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let thread = std::thread::spawn(send.clone());
    runtime.run(|| {
        let coroutine = crate::spawn(send);
        while sent.load(Ordering::SeqCst) < UNSTARTED_MAX {
            task::yield_now();
        }
        for _ in 0..1000 {
            task::yield_now();
        }
        assert_eq!(sent.load(Ordering::SeqCst), UNSTARTED_MAX);
        release.send(()).expect("awaited");
        assert!(coroutine.join().is_ok());
    });
    thread.join().expect("sent");
    busy.join().expect("ran");
    assert_eq!(sent.load(Ordering::SeqCst), 2 * UNSTARTED_MAX);
}

#[test]
fn thread_of_the_first_worker_does_not_wait_for_itself() {
    // Goal: no deadlock between two runs. Method: more than the limit, then run them.
    let runtime = runtime(1);
    let handle = runtime.handle();
    let count = Arc::new(AtomicUsize::new(0));
    for number in 0..2 * UNSTARTED_MAX + 10 {
        let count = count.clone();
        let add = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        drop(if number % 2 == 0 { handle.spawn(add) } else { handle.spawn_on(0, add) });
    }
    runtime.run(|| {
        while count.load(Ordering::Relaxed) < 2 * UNSTARTED_MAX + 10 {
            task::yield_now();
        }
    });
}

#[test]
fn panics_and_cancellations_come_out_of_join() {
    // Goal: each way to end, on another worker. Method: a panic, a cancelled wait, a closure that
    // is cancelled before it can start, and one whose destructor panics.
    let runtime = runtime(2);
    let handle = runtime.handle();
    let payload = handle.spawn_on(1, || panic!("by design")).join().expect_err("panicked");
    assert_eq!(payload.downcast_ref(), Some(&"by design"));
    let parked = handle.spawn_on(1, task::park);
    parked.cancel();
    assert!(parked.join().expect_err("cancelled").is::<task::Cancelled>());
    let dropped = Dropped::default();
    let guard = dropped.guard();
    let unstarted = handle.spawn_on(0, move || drop(guard));
    unstarted.cancel();
    assert_eq!((dropped.count(), unstarted.is_finished()), (1, true));
    unstarted.cancel();
    assert!(unstarted.join().expect_err("cancelled").is::<task::Cancelled>());
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("of a destructor");
        }
    }
    let bad = Bad;
    let unstarted = handle.spawn_on(0, move || drop(bad));
    unstarted.cancel();
    let payload = unstarted.join().expect_err("panicked");
    assert_eq!(payload.downcast_ref(), Some(&"of a destructor"));
    assert!(panic_of(|| drop(handle.spawn_on(2, || ()))).contains("worker 2"));
    runtime.run(|| (0..200).for_each(|_| task::yield_now()));
}

#[test]
fn join_waits_in_coroutines_and_in_threads() {
    // Goal: every kind of caller. Method: a gate on worker 1; its joiners are a coroutine of the
    // same worker, one of another, and a plain thread.
    let runtime = runtime(2);
    let handle = runtime.handle();
    let gate = Arc::new(Semaphore::new(0));
    let gated = |value: u32| {
        let gate = gate.clone();
        handle.spawn_on(1, move || {
            gate.acquire().forget();
            value
        })
    };
    let (first, second, third) = (gated(1), gated(2), gated(4));
    let same = handle.spawn_on(1, move || first.join().expect("ran"));
    let thread = std::thread::spawn(move || second.join().expect("ran"));
    let sum = runtime.run(|| {
        let other = crate::spawn(move || third.join().expect("ran"));
        task::yield_now();
        gate.add_permits(3);
        other.join().expect("joined") + same.join().expect("joined")
    });
    assert_eq!(sum + thread.join().expect("joined"), 7);
}

#[test]
fn closure_runs_once_on_each_worker() {
    // Goal: run_on_each. Method: the numbers that come back, and where they ran.
    let runtime = runtime(4);
    let seen: Vec<_> = runtime.run(|| {
        let joins = crate::runtime_handle().run_on_each(|given| (given, worker()));
        joins.into_iter().map(|join| join.join().expect("ran")).collect()
    });
    assert_eq!(seen, [(0, 0), (1, 1), (2, 2), (3, 3)]);
}

/// Turns, sleeps and polls of the calling thread's scheduler.
fn counters() -> [u64; 3] {
    let counters = &Scheduler::current().expect("in a runtime").counters;
    [counters.turns.get(), counters.sleeps.get(), counters.polls.get()]
}

#[test]
fn idle_workers_stay_asleep() {
    // Goal: no tick, no polling. Method: a worker counts its turns and sleeps before and after a
    // time in which it has nothing to do, spent in one long wait by the others; the difference is
    // the one sleep in between.
    let runtime = runtime(3);
    let handle = runtime.handle();
    let before = handle.spawn_on(2, counters).join().expect("ran");
    runtime.run(|| crate::time::sleep(Duration::from_millis(50)));
    let after = handle.spawn_on(2, counters).join().expect("ran");
    let [turns, sleeps, polls] = [0, 1, 2].map(|counter| after[counter] - before[counter]);
    assert!(sleeps == 1 && polls == 1 && turns <= 3, "{turns} turns, {sleeps} sleeps");
}

#[test]
fn a_push_wakes_one_worker_that_sleeps() {
    // Goal: no herd. Method: four idle workers, some closures one after another; all workers
    // together wake up about once for each.
    const CLOSURES: u64 = 100;
    let runtime = runtime(4);
    let handle = runtime.handle();
    let sleeps = || (1..4).map(|w| handle.spawn_on(w, counters).join().expect("ran")[1]).sum();
    let before: u64 = sleeps();
    runtime.run(|| {
        // The root's thread is blocked, so that only the others can take the closures.
        for _ in 0..CLOSURES {
            let (done, is_done) = mpsc::channel();
            drop(handle.spawn(move || done.send(()).expect("awaited")));
            is_done.recv().expect("done");
        }
    });
    let after: u64 = sleeps();
    assert!(after - before <= CLOSURES * 3 / 2 + 6, "{} wake-ups", after - before);
}

#[test]
fn handle_tells_where_the_caller_is() {
    // Goal: worker() and try_current in all places. Method: a thread, another runtime, workers.
    let (runtime, other) = (runtime(2), runtime(1));
    let handle = runtime.handle();
    assert!(RuntimeHandle::try_current().is_none() && handle.worker().is_none());
    assert_eq!(other.run(|| handle.worker()), None);
    assert_eq!(runtime.run(|| handle.worker()), Some(0));
    assert_eq!(format!("{handle:?}"), "RuntimeHandle { workers: 2 }");
}

#[test]
fn pinned_workers_have_one_processor_each() {
    // Goal: pinning, and that it ends with the runtime. Method: ask each thread what it may use.
    let cpus = || crate::sys::thread::CpuSet::of_this_thread().expect("a set").iter().collect();
    let before: Vec<usize> = cpus();
    let runtime = Builder::new().workers(3).pin_workers(true).build().expect("a runtime");
    let sets: Vec<Vec<usize>> = runtime.run(|| {
        let joins = crate::runtime_handle().run_on_each(move |_| cpus());
        joins.into_iter().map(|join| join.join().expect("ran")).collect()
    });
    for (worker, set) in sets.into_iter().enumerate() {
        assert_eq!(set, [before[worker % before.len()]]);
    }
    drop(runtime);
    assert_eq!(cpus(), before);
}

#[test]
fn workers_that_cannot_start_are_errors_with_advice() {
    // Goal: no descriptor left. Method: a child process with a small limit.
    let ended = crate::sys::process::in_child(|| {
        let limit = libc::rlimit { rlim_cur: 6, rlim_max: 6 };
        // SAFETY: the limit is readable.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        match Builder::new().workers(4).build() {
            Ok(_) => 1,
            Err(error) if error.to_string().contains("ulimit -n") => 0,
            Err(_) => 2,
        }
    });
    assert_eq!(ended, crate::sys::process::Ended::Exited(0));
}
