//! Scratch timing.
use std::time::Instant;
use cove::coroutine::*;
fn main() {
    // P1
    let mut co = Coroutine::new(|s: &Suspender<(), ()>, ()| loop { s.suspend(()) });
    for _ in 0..3 {
        let n = 20_000_000u64;
        let t = Instant::now();
        for _ in 0..n { let _: CoroutineState<(), ()> = co.resume(()); }
        println!("resume+yield {:.2} ns", t.elapsed().as_nanos() as f64 / n as f64);
    }
    drop(co);
    cove::run(|| {
        for _ in 0..3 {
            let n = 10_000_000u64;
            let t = Instant::now();
            let h = cove::spawn(move || for _ in 0..n { cove::task::yield_now() });
            for _ in 0..n { cove::task::yield_now() }
            h.join().unwrap();
            println!("yield 2 {:.2} ns", t.elapsed().as_nanos() as f64 / (2 * n) as f64);
        }
        for _ in 0..3 {
            let n = 2_000_000u64;
            let t = Instant::now();
            for i in 0..n { assert_eq!(cove::spawn(move || i).join().unwrap(), i); }
            println!("spawn+join {:.2} ns", t.elapsed().as_nanos() as f64 / n as f64);
        }
        for count in [1000u64, 30_000, 1_000_000] {
            let rounds = 10_000_000 / count;
            let t = Instant::now();
            let hs: Vec<_> = (0..count).map(|_| cove::spawn(move || for _ in 0..rounds + 1 { cove::task::yield_now() })).collect();
            cove::task::yield_now();
            println!("spawn {count}: {:.1} ns", t.elapsed().as_nanos() as f64 / count as f64);
            let t = Instant::now();
            for _ in 0..rounds { cove::task::yield_now(); }
            println!("yield {count}: {:.2} ns", t.elapsed().as_nanos() as f64 / (rounds * (count + 1)) as f64);
            for h in hs { h.join().unwrap(); }
        }
    });
}
