//! What a bare switch costs.
//!
//! Question: nanoseconds for one resume and the suspend that answers it, beside the same pair of
//! corosensei in the same process, with nothing handed over and with a word each way.
//! Warm-up: criterion's. Baseline: corosensei.

#![allow(missing_docs, reason = "criterion_group! makes a public function without any")]

use corosensei::CoroutineResult;
use cove::coroutine::{Coroutine, CoroutineState, Suspender};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

fn resume_and_suspend(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resume + suspend");

    let mut ours = Coroutine::new(|suspender: &Suspender<(), ()>, ()| {
        loop {
            suspender.suspend(());
        }
    });
    group.bench_function("cove, nothing", |bencher| {
        bencher.iter(|| -> CoroutineState<(), ()> { ours.resume(()) })
    });
    let mut theirs = corosensei::Coroutine::new(|yielder: &corosensei::Yielder<(), ()>, ()| {
        loop {
            yielder.suspend(());
        }
    });
    group.bench_function("corosensei, nothing", |bencher| {
        bencher.iter(|| -> CoroutineResult<(), ()> { theirs.resume(()) })
    });

    let mut ours = Coroutine::new(|suspender: &Suspender<u64, u64>, first| {
        let mut value = first;
        loop {
            value = suspender.suspend(value + 1);
        }
    });
    group.bench_function("cove, a word", |bencher| {
        bencher.iter(|| -> CoroutineState<u64, ()> { ours.resume(black_box(7)) })
    });
    let mut theirs =
        corosensei::Coroutine::new(|yielder: &corosensei::Yielder<u64, u64>, first| {
            let mut value = first;
            loop {
                value = yielder.suspend(value + 1);
            }
        });
    group.bench_function("corosensei, a word", |bencher| {
        bencher.iter(|| -> CoroutineResult<u64, ()> { theirs.resume(black_box(7)) })
    });
    group.finish();
}

fn create_and_finish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("create + finish");
    group.bench_function("cove, pooled stack", |bencher| {
        bencher.iter(|| {
            let mut coroutine = Coroutine::new(|_: &Suspender<u64, ()>, input| input);
            coroutine.resume(black_box(1))
        })
    });
    group.bench_function("cove, unwound when dropped", |bencher| {
        bencher.iter(|| {
            let mut coroutine = Coroutine::new(|suspender: &Suspender<(), ()>, ()| {
                suspender.suspend(());
            });
            coroutine.resume(())
        })
    });
    group.finish();
}

criterion_group!(benches, resume_and_suspend, create_and_finish);
criterion_main!(benches);
