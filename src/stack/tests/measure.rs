//! Measurements, to be run by hand: `cargo test --release --lib stack::tests::measure -- --ignored
//! --nocapture`.

use std::time::Instant;

use super::{DEFAULT_BYTES, pool, status_bytes, touch};

#[test]
#[ignore = "a measurement, and 4.4 GB"]
fn million_stacks() {
    // Question: what do a million default stacks cost each? Method: take and touch them, give them
    // back, take them again, once. Unit: ns and bytes each.
    const COUNT: usize = 1_000_000;
    let mut pool = pool();
    let mut stacks: Vec<Option<super::Stack>> = Vec::new();
    stacks.resize_with(COUNT, || None);
    let before = (status_bytes("RssAnon"), status_bytes("VmPTE"));
    let mut time = Instant::now();
    let mut lap = |what: &str| {
        println!("{what}: {:.0} ns each", time.elapsed().as_nanos() as f64 / COUNT as f64);
        time = Instant::now();
    };
    for place in &mut stacks {
        *place = Some(pool.take(DEFAULT_BYTES).expect("a stack"));
    }
    lap("take (map, guard)");
    stacks.iter().flatten().for_each(touch);
    lap("touch");
    println!(
        "{:.1} bytes resident each, {:.1} of page tables, {:?}",
        (status_bytes("RssAnon") - before.0) as f64 / COUNT as f64,
        (status_bytes("VmPTE") - before.1) as f64 / COUNT as f64,
        pool.stats()
    );
    for place in &mut stacks {
        pool.give(place.take().expect("taken"));
    }
    lap("give (trimming above the watermark)");
    println!("{} bytes resident, {:?}", status_bytes("RssAnon"), pool.stats());
    for place in &mut stacks {
        *place = Some(pool.take(DEFAULT_BYTES).expect("a stack"));
    }
    lap("take again");
}

#[test]
#[ignore = "a measurement"]
fn pool_hits() {
    // Question: what does a stack from the pool cost? Method: pairs of take and give, one stack at
    // a time and ten thousand at a time. Unit: ns a pair, minimum and median of 21 rounds. Warm-up:
    // the first round.
    for batch in [1, 100, 10_000] {
        let mut pool = pool();
        let mut stacks = Vec::with_capacity(batch);
        let mut rounds: Vec<f64> = (0..21)
            .map(|_| {
                let start = Instant::now();
                let repeats = 1_000_000 / batch;
                for _ in 0..repeats {
                    for _ in 0..batch {
                        stacks.push(pool.take(DEFAULT_BYTES).expect("a stack"));
                    }
                    stacks.drain(..).for_each(|stack| pool.give(stack));
                }
                start.elapsed().as_nanos() as f64 / (repeats * batch) as f64
            })
            .collect();
        rounds.sort_by(f64::total_cmp);
        println!("batches of {batch}: {:.1} ns minimum, {:.1} ns median", rounds[0], rounds[10]);
    }
}
