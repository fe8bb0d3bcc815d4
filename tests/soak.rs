//! A random mix of everything, for a while: coroutines that spawn, wait, end, panic and are
//! cancelled, over channels, locks, sockets, blocking threads, and from other threads.
//!
//! Time is cut into rounds. A round gives each of two workers a crowd of coroutines; each of those
//! plays some steps out of `soak/steps.rs`, chosen by a generator that comes out of the round's.
//! When all have ended, what was counted must add up, and nothing may be held any more:
//!
//! ```text
//!   spawned = returned + cancelled + panicked     no live coroutine, timer, registered descriptor
//!   sent = received, by number and by sum         as many open descriptors as before
//! ```
//!
//! `COVE_SEED` repeats a run's choices (not the order in which threads run), `COVE_SOAK_SECONDS`
//! sets its length. A hang ends with a dump of both workers and the seed.

#[path = "hostile/alarm.rs"]
mod alarm;
#[path = "soak/books.rs"]
mod books;
#[path = "soak/hub.rs"]
mod hub;
#[path = "soak/life.rs"]
mod life;
#[path = "soak/outside.rs"]
mod outside;
#[path = "soak/steps.rs"]
mod steps;
#[path = "soak/streams.rs"]
mod streams;
#[path = "soak/xorshift.rs"]
mod xorshift;

use books::{Books, Totals};
use hub::Hub;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use steps::Player;
use xorshift::Xorshift;

/// Coroutines that a round begins with, on each worker.
const CROWD: u64 = 60;

/// A round takes well below a second; one that takes this long hangs.
const ROUND_LIMIT: Duration = Duration::from_secs(60);

/// Rounds after which whatever is made once has been made.
const SETTLING_ROUNDS: u64 = 3;

/// Rounds before memory is looked at for the first time: caches fill, allocators settle.
const WARM_UP_ROUNDS: u64 = 30;

/// The growth of resident memory after that, for whatever the allocator keeps; AddressSanitizer's
/// keeps 256 MiB of freed blocks from use, and their shadow.
const GROWTH_BYTES_MAX: u64 = if cfg!(cove_asan) { 512 << 20 } else { 96 << 20 };

fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

/// Resident memory (proc_pid_statm(5)).
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("sizes");
    let pages = statm.split(' ').nth(1).and_then(|field| field.parse::<u64>().ok());
    pages.expect("a number of pages") * 4096
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("a list of descriptors").count()
}

/// Panics of the players, which carry a number, are nothing to report.
fn silence_players() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<u64>() {
            report(info);
        }
    }));
}

/// Plain threads that send into the hub until they are told to stop.
fn plain_threads(
    hub: &Arc<Hub>,
    seed: u64,
    stop: &Arc<AtomicBool>,
) -> Vec<std::thread::JoinHandle<()>> {
    (0..2)
        .map(|number| {
            let (hub, stop) = (hub.clone(), stop.clone());
            let mut random = Xorshift::new(seed ^ (number + 77));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    hub.meddle(&mut random);
                }
            })
        })
        .collect()
}

/// One round: both workers are given a crowd, and it ends.
fn round(seed: u64) -> Arc<Books> {
    let (books, hub) = (Arc::new(Books::default()), Arc::new(Hub::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let threads = plain_threads(&hub, seed, &stop);
    let handle = cove::runtime_handle();
    let crowds: Vec<_> = (0..2_u64)
        .map(|worker| {
            let (books, hub) = (books.clone(), hub.clone());
            handle.spawn_on(worker as usize, move || {
                let player = Player::new(books, hub, Xorshift::new(seed ^ (worker << 32)));
                player.play_crowd(CROWD);
            })
        })
        .collect();
    for crowd in crowds {
        crowd.join().expect("the crowd's own coroutine neither panics nor is cancelled");
    }
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    hub.check();
    books.check();
    // On each worker, once what was detached has ended.
    for worker in 0..2 {
        let ended = handle.spawn_on(worker, steps::wait_for_the_rest).join();
        ended.expect("nothing is left on the worker");
    }
    books
}

/// Goal: nothing is lost, leaked, mixed up or stuck in any mix of operations. Method: rounds of
/// random steps on two workers; the books of each round, and what the process holds.
#[test]
fn random_mix_leaves_nothing_behind() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = from_environment("COVE_SEED").unwrap_or(now.as_nanos() as u64);
    let seconds = from_environment("COVE_SOAK_SECONDS").unwrap_or(3);
    println!("soak: COVE_SEED={seed} COVE_SOAK_SECONDS={seconds}");
    silence_players();
    let builder = cove::Builder::new().workers(2).shared_stacks(2).blocking_threads_max(4);
    let runtime = builder.build().expect("a runtime");
    alarm::show(runtime.handle());
    let mut random = Xorshift::new(seed);
    let (start, mut rounds, mut totals) = (Instant::now(), 0, Totals::default());
    let (mut open, mut resident) = (0, u64::MAX);
    while rounds <= SETTLING_ROUNDS || start.elapsed() < Duration::from_secs(seconds) {
        alarm::set(ROUND_LIMIT, format!("soak: round {rounds} of COVE_SEED={seed}"));
        let round_seed = random.next();
        totals.add(&runtime.run(|| round(round_seed)));
        rounds += 1;
        if rounds == SETTLING_ROUNDS {
            open = open_descriptors();
        } else if rounds > SETTLING_ROUNDS {
            assert_eq!(open_descriptors(), open, "COVE_SEED={seed}, round {rounds}");
        }
        if rounds == WARM_UP_ROUNDS {
            resident = resident_bytes();
        }
        let growth_bytes = resident_bytes().saturating_sub(resident);
        assert!(growth_bytes <= GROWTH_BYTES_MAX, "{growth_bytes} bytes more, COVE_SEED={seed}");
    }
    alarm::clear();
    println!("soak: {rounds} rounds, {totals}, in {:.1?}", start.elapsed());
    assert!(totals.all_kinds_occurred(), "{totals}");
    drop(runtime);
}
