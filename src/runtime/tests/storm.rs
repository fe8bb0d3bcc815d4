//! Storms of wake-ups and closures across threads.

use super::runtime;
use crate::sync::{Mutex, Semaphore};
use crate::task;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[test]
fn unparks_from_everywhere_are_never_lost() {
    // Goal: each token arrives. Method: pairs of coroutines on two workers hand a turn back and
    // forth by `unpark` alone; plain threads throw in unparks that mean nothing.
    const ROUNDS: u64 = 2_000;
    let runtime = runtime(2);
    let handle = runtime.handle();
    let turn = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let (there, here) = std::sync::mpsc::channel();
    let (back, partner) = std::sync::mpsc::channel::<task::Handle>();
    let player = {
        let turn = turn.clone();
        move || {
            there.send(task::current()).expect("awaited");
            let partner = partner.recv().expect("sent");
            play(&turn, 1, &partner);
        }
    };
    let played = handle.spawn_on(1, player);
    runtime.run(|| {
        let other = here.recv().expect("sent");
        back.send(task::current()).expect("awaited");
        let noise: Vec<_> = [other.clone(), task::current()]
            .into_iter()
            .map(|target| {
                let stop = stop.clone();
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        target.unpark();
                        std::thread::yield_now();
                    }
                })
            })
            .collect();
        play(&turn, 0, &other);
        played.join().expect("played");
        stop.store(true, Ordering::Relaxed);
        noise.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
    assert_eq!(turn.load(Ordering::Relaxed), ROUNDS);

    /// Takes every other turn.
    fn play(turn: &AtomicU64, parity: u64, partner: &task::Handle) {
        loop {
            let now = turn.load(Ordering::Acquire);
            if now == ROUNDS {
                return partner.unpark();
            }
            if now % 2 == parity {
                turn.store(now + 1, Ordering::Release);
                partner.unpark();
            } else {
                task::park();
            }
        }
    }
}

#[test]
fn locks_and_permits_cross_workers() {
    // Goal: sync primitives between coroutines of several workers and threads. Method: all of them
    // add to one counter under one lock, with permits to go round.
    const EACH: u64 = 300;
    let runtime = runtime(3);
    let shared = Arc::new((Mutex::new(0_u64), Semaphore::new(2)));
    let add = {
        let shared = shared.clone();
        move |_| {
            for _ in 0..EACH {
                let _permit = shared.1.acquire();
                *shared.0.lock().expect("no panic") += 1;
            }
        }
    };
    let thread = std::thread::spawn({
        let add = add.clone();
        move || add(0)
    });
    runtime.run(|| {
        let mut joins = Vec::new();
        for _ in 0..4 {
            joins.extend(crate::runtime_handle().run_on_each(add.clone()));
        }
        joins.into_iter().for_each(|join| join.join().expect("ran"));
    });
    thread.join().expect("no panic");
    assert_eq!(*shared.0.lock().expect("no panic"), 13 * EACH);
}

#[test]
fn cancellations_race_with_starts_and_ends() {
    // Goal: each handle gets a result whatever comes first. Method: threads cancel closures that
    // workers are just starting, stealing or ending.
    const EACH: usize = 500;
    let runtime = runtime(3);
    let handle = runtime.handle();
    let ran = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..2)
        .map(|number| {
            let (handle, ran) = (handle.clone(), ran.clone());
            std::thread::spawn(move || {
                let mut results = [0, 0];
                for round in 0..EACH {
                    let ran = ran.clone();
                    let work = move || {
                        ran.fetch_add(1, Ordering::Relaxed);
                        task::yield_now();
                    };
                    let on = (number + round) % 4;
                    let join = match on {
                        0 => handle.spawn(work),
                        worker => handle.spawn_on(worker % 2 + 1, work),
                    };
                    if round % 3 != 0 {
                        join.cancel();
                    }
                    results[usize::from(join.join().is_ok())] += 1;
                }
                results
            })
        })
        .collect();
    for thread in threads {
        let [cancelled, ended] = thread.join().expect("no panic");
        assert_eq!(cancelled + ended, EACH);
        assert!(ended >= EACH / 3);
    }
    assert!(ran.load(Ordering::Relaxed) >= 2 * EACH as u64 / 3);
}
