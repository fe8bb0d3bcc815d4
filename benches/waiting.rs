//! What waiting costs.
//!
//! Questions: nanoseconds for a timer that is armed and cancelled, for one that fires, for a mutex
//! with and without contention, for a message there and back between two coroutines.
//! Warm-up: criterion's. Baseline: std's mutex for the uncontended one; else the figure before the
//! change under test.

#![allow(missing_docs, reason = "criterion_group! makes a public function without any")]

use cove::sync::{Mutex, mpsc};
use cove::{task, time};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

fn timers(criterion: &mut Criterion) {
    criterion.bench_function("timer armed + cancelled", |bencher| {
        cove::run(|| {
            bencher.iter(|| {
                task::current().unpark();
                // The token is there, so the park ends at once; with it the timer.
                task::park_timeout(Duration::from_secs(60));
            })
        })
    });
    criterion.bench_function("timer fired, of 1,000 at once", |bencher| {
        bencher.iter_custom(|count| {
            cove::run(|| {
                let handles: Vec<_> = (0..1000)
                    .map(|_| {
                        cove::spawn(move || {
                            (0..count).for_each(|_| time::sleep(Duration::ZERO));
                        })
                    })
                    .collect();
                let start = Instant::now();
                handles.into_iter().for_each(|handle| handle.join().expect("no panic"));
                start.elapsed() / 1000
            })
        })
    });
}

fn mutexes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mutex");
    let ours = Mutex::new(0u64);
    group.bench_function("cove, uncontended", |bencher| {
        bencher.iter(|| *ours.lock().expect("not poisoned") += 1)
    });
    let theirs = std::sync::Mutex::new(0u64);
    group.bench_function("std, uncontended", |bencher| {
        bencher.iter(|| *theirs.lock().expect("not poisoned") += 1)
    });
    group.bench_function("cove, held over a yield by two", |bencher| {
        bencher.iter_custom(|count| {
            cove::run(|| {
                let mutex = Rc::new(Mutex::new(0u64));
                let start = Instant::now();
                let handles: Vec<_> = (0..2)
                    .map(|_| {
                        let mutex = mutex.clone();
                        cove::spawn(move || {
                            for _ in 0..count {
                                let mut guard = mutex.lock().expect("not poisoned");
                                *guard += 1;
                                task::yield_now();
                            }
                        })
                    })
                    .collect();
                handles.into_iter().for_each(|handle| handle.join().expect("no panic"));
                start.elapsed() / 2
            })
        })
    });
    group.finish();
}

fn channels(criterion: &mut Criterion) {
    criterion.bench_function("channel, there and back", |bencher| {
        bencher.iter_custom(|count| {
            cove::run(|| {
                let (there, requests) = mpsc::channel::<u64>();
                let (back, answers) = mpsc::channel::<u64>();
                let echo = cove::spawn(move || {
                    requests.iter().try_for_each(|value| back.send(value)).is_ok()
                });
                let start = Instant::now();
                for value in 0..count {
                    there.send(value).expect("the echo listens");
                    assert_eq!(black_box(answers.recv()), Ok(value));
                }
                let elapsed = start.elapsed();
                drop(there);
                assert!(echo.join().expect("no panic"));
                elapsed
            })
        })
    });
}

criterion_group!(benches, timers, mutexes, channels);
criterion_main!(benches);
