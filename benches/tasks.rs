//! What scheduling costs.
//!
//! Questions: nanoseconds for a yield among 2, 1,000 and 30,000 coroutines; for spawn and join; for
//! park and unpark; for a turn on a shared stack by the bytes that it copies.
//! Warm-up: criterion's. Baseline: the figure of the same bench before the change under test.

#![allow(missing_docs, reason = "criterion_group! makes a public function without any")]

use cove::task::{self, Builder};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Spawns `count` coroutines that run `step` again and again, and times `rounds` yields of the
/// root.
fn rounds(count: u64, rounds: u64, shared: bool, step: fn()) -> Duration {
    cove::run(|| {
        let stop = Rc::new(Cell::new(false));
        let handles: Vec<_> = (0..count)
            .map(|_| {
                let stop = stop.clone();
                let work = move || {
                    while !stop.get() {
                        step();
                    }
                };
                if shared {
                    // SAFETY: the closure lends no local to anyone over a wait.
                    unsafe { Builder::new().spawn_on_shared_stack(work) }.expect("a stack")
                } else {
                    cove::spawn(work)
                }
            })
            .collect();
        (0..3).for_each(|_| task::yield_now());
        let start = Instant::now();
        (0..rounds).for_each(|_| task::yield_now());
        let elapsed = start.elapsed();
        stop.set(true);
        handles.into_iter().for_each(|handle| handle.join().expect("no panic"));
        elapsed
    })
}

fn yields(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("yield round");
    for others in [1u64, 999, 29_999] {
        group.throughput(Throughput::Elements(others + 1));
        group.bench_function(BenchmarkId::from_parameter(others + 1), |bencher| {
            bencher.iter_custom(|count| rounds(others, count, false, task::yield_now))
        });
    }
    group.finish();
}

fn spawn_and_join(criterion: &mut Criterion) {
    criterion.bench_function("spawn + join", |bencher| {
        cove::run(|| bencher.iter(|| cove::spawn(|| black_box(1)).join().expect("no panic")))
    });
    criterion.bench_function("scope with one child", |bencher| {
        cove::run(|| bencher.iter(|| cove::scope(|scope| scope.spawn(|| black_box(1)).join().ok())))
    });
}

fn park_and_unpark(criterion: &mut Criterion) {
    criterion.bench_function("unpark + park", |bencher| {
        bencher.iter_custom(|count| {
            cove::run(|| {
                let parked = cove::spawn(move || (0..count).for_each(|_| task::park()));
                let handle = parked.task();
                task::yield_now();
                let start = Instant::now();
                while !parked.is_finished() {
                    handle.unpark();
                    task::yield_now();
                }
                start.elapsed()
            })
        })
    });
}

/// Yields with `BYTES` of live frame.
fn hold<const BYTES: usize>() {
    let frame = [1u8; BYTES];
    black_box(&frame);
    task::yield_now();
    black_box(&frame);
}

fn shared_stacks(criterion: &mut Criterion) {
    // Eight coroutines on four stacks: each turn copies one out and one in.
    let mut group = criterion.benchmark_group("shared stack, copy out + in");
    let sizes: [(u64, fn()); 4] =
        [(64, hold::<64>), (512, hold::<512>), (4096, hold::<4096>), (32_768, hold::<32_768>)];
    for (bytes, step) in sizes {
        group.throughput(Throughput::Bytes(8 * 2 * bytes));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter_custom(|count| rounds(8, count, true, step))
        });
    }
    group.finish();
}

criterion_group!(benches, yields, spawn_and_join, park_and_unpark, shared_stacks);
criterion_main!(benches);
