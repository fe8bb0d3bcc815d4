//! Waits for coroutines, for time and for blocking threads.

use super::{Case, Kind, MANY, hold, wait_for};
use crate::holdings::yield_until;
use cove::sync::mpsc;
use cove::task;
use cove::time::{self, Duration, Instant};
use std::cell::Cell;
use std::net::ToSocketAddrs as _;
use std::rc::Rc;

/// Longer than any test.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// A time in which something must end that ends at once.
pub(crate) const MOMENT: Duration = Duration::from_micros(50);

const fn plain(name: &'static str, shown: &'static str, make: fn() -> Case) -> Kind {
    Kind { name, shown, is_io: false, sharers_max: MANY, total_max: MANY, make }
}

const fn alone(name: &'static str, shown: &'static str, make: fn() -> Case) -> Kind {
    Kind { sharers_max: 1, ..plain(name, shown, make) }
}

/// The pool takes so many jobs at a time.
const JOBS_MAX: usize = 10_000;

pub(crate) const KINDS: &[Kind] = &[
    plain("park", "unpark", park),
    plain("park_timeout", "unpark", park_timeout),
    plain("sleep", "sleeping", sleep),
    plain("interval", "sleeping", interval),
    alone("join", "join", join),
    alone("join of another worker's", "join", join_remote),
    plain("scope", "the coroutines of a scope", scope),
    Kind { total_max: JOBS_MAX, ..plain("blocking", "blocking call", blocking) },
    Kind { is_io: true, total_max: JOBS_MAX, ..plain("look-up", "blocking call", look_up) },
];

fn park() -> Case {
    let wait = || loop {
        task::park();
    };
    let check = || {
        let go = Rc::new(Cell::new(false));
        let seen = go.clone();
        let parked = cove::spawn(move || {
            while !seen.get() {
                task::park();
            }
        });
        wait_for(&parked.task(), "unpark");
        go.set(true);
        parked.task().unpark();
        parked.join().expect("unparked");
    };
    Case::new(wait, check)
}

fn park_timeout() -> Case {
    let wait = || loop {
        task::park_timeout(LONG);
    };
    Case::new(wait, || cove::spawn(|| task::park_timeout(MOMENT)).join().expect("timed out"))
}

fn check_sleep() {
    let start = Instant::now();
    cove::spawn(|| time::sleep(MOMENT)).join().expect("slept");
    assert!(start.elapsed() >= MOMENT);
}

fn sleep() -> Case {
    let wait = || {
        time::sleep(LONG);
        Ok(())
    };
    Case::new(wait, check_sleep)
}

fn interval() -> Case {
    let wait = || {
        let mut interval = time::interval(LONG);
        loop {
            interval.tick();
        }
    };
    Case::new(wait, check_sleep)
}

fn join() -> Case {
    let joined = cove::spawn(task::park);
    let handle = joined.task();
    let joined = Cell::new(Some(joined));
    let wait = move || {
        let joined = joined.take().expect("one waits");
        drop(joined.join());
        Ok(())
    };
    // The joined one must not have been cancelled with its joiner: it still waits.
    let check = move || {
        assert!(super::waits(handle.id().get(), "unpark"));
        let live = cove::metrics().live;
        handle.unpark();
        yield_until(|| cove::metrics().live < live);
    };
    Case::new(wait, check)
}

fn join_remote() -> Case {
    let (release, released) = mpsc::channel::<()>();
    let joined = cove::runtime_handle().spawn_on(1, move || _ = released.recv());
    let joined = Cell::new(Some(joined));
    let wait = move || {
        let joined = joined.take().expect("one waits");
        drop(joined.join());
        Ok(())
    };
    let check = move || {
        drop(release);
        let answer = cove::runtime_handle().spawn_on(1, || 42).join();
        assert_eq!(answer.expect("a result"), 42);
    };
    Case::new(wait, check)
}

fn scope() -> Case {
    let live = Rc::new(Cell::new(0_usize));
    let of_wait = live.clone();
    let wait = move || {
        let guard = Count::new(&of_wait);
        cove::scope(|scope| {
            scope.spawn(|| {
                let _counted = &guard;
                let _also = Count::new(&of_wait);
                task::park_timeout(LONG);
            });
        });
        Ok(())
    };
    let check = move || {
        assert_eq!(live.get(), 0, "a coroutine of the scope has outlived it");
        let sum = cove::scope(|scope| scope.spawn(|| 6 * 7).join().expect("a result"));
        assert_eq!(sum, 42);
    };
    Case::new(wait, check)
}

/// Counts those that exist.
struct Count<'a>(&'a Cell<usize>);

impl Count<'_> {
    fn new(count: &Cell<usize>) -> Count<'_> {
        count.set(count.get() + 1);
        Count(count)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn blocking() -> Case {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Arc::new(std::sync::Mutex::new(released));
    let wait = move || {
        let released = released.clone();
        task::blocking(move || {
            let released = released.lock().expect("no panic");
            // Ends when the test lets go.
            let _ = released.recv();
        });
        Ok(())
    };
    let check = move || {
        drop(release);
        assert_eq!(task::blocking(|| 42), 42);
    };
    Case::new(wait, check)
}

fn look_up() -> Case {
    // All threads of the pool are busy, so the look-up cannot begin.
    let mut releases = Vec::new();
    for _ in 0..super::BLOCKING_THREADS {
        releases.push(hold(|held| {
            let (release, released) = std::sync::mpsc::channel::<()>();
            let busy = cove::spawn(|| task::blocking(move || _ = released.recv()));
            wait_for(&busy.task(), "blocking call");
            held();
            drop(release);
            busy.join().expect("the job ends");
        }));
    }
    let wait = || {
        let found = cove::net::ToSocketAddrs::to_socket_addrs("localhost:80");
        found.map(drop)
    };
    let check = move || {
        releases.into_iter().for_each(|release| release());
        let found = cove::net::ToSocketAddrs::to_socket_addrs("localhost:80").expect("addresses");
        let wanted = "localhost:80".to_socket_addrs().expect("addresses");
        assert_eq!(found.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    };
    Case::new(wait, check)
}
