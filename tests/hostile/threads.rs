//! Threads run out: errors that say so, and everything works again afterwards.

use crate::child::{self, limit};
use std::io;

/// Nobody's number: limits on threads do not hold for root.
const NOBODY: u32 = 65_534;

/// From here on no thread can be started, until `more`. False where that cannot be had: for root in
/// a user namespace that has nobody else.
fn no_more() -> bool {
    // SAFETY: these touch no memory of ours. The identity is given up for good, in a child.
    unsafe {
        if libc::geteuid() == 0 && libc::setresuid(NOBODY, NOBODY, NOBODY) != 0 {
            assert!(child::is_emulated(), "root cannot become nobody");
            return false;
        }
    }
    limit(libc::RLIMIT_NPROC, 0);
    assert!(std::thread::Builder::new().spawn(|| ()).is_err(), "the limit does not hold");
    true
}

/// Threads can be started again.
fn more() {
    limit(libc::RLIMIT_NPROC, libc::RLIM_INFINITY);
}

#[track_caller]
fn names_the_limit<T>(outcome: io::Result<T>) {
    let error = outcome.err().expect("no thread can be started");
    assert!(error.to_string().contains("ulimit -u"), "{error}");
}

/// Goal: blocking work without threads is an error, a panic of the coroutine where there is no room
/// for an error, and work again later. Method: `RLIMIT_NPROC` of a process of nobody's.
#[test]
fn blocking_work_without_threads_is_an_error() {
    child::in_runtime("threads::blocking_work_without_threads_is_an_error", || {
        if !no_more() {
            return;
        }
        names_the_limit(cove::task::try_blocking(|| ()));
        names_the_limit(cove::fs::read("/dev/null"));
        names_the_limit(cove::fs::File::open("/dev/null"));
        let found = cove::net::ToSocketAddrs::to_socket_addrs("localhost:80");
        names_the_limit(found.map(drop));
        let payload = cove::spawn(|| cove::task::blocking(|| ())).join().expect_err("a panic");
        let text = payload.downcast_ref::<String>().expect("a text");
        assert!(text.contains("ulimit -u"), "{text}");
        assert_eq!(cove::metrics().blocking_queued, 0);
        more();
        assert_eq!(cove::task::blocking(|| 42), 42);
        assert_eq!(cove::fs::read("/dev/null").expect("nothing"), []);
        // One thread is enough for all, as long as it lives.
        assert!(no_more());
        let jobs: Vec<_> = (0..100).map(|n| cove::spawn(move || blocking(n))).collect();
        let sum: u32 = jobs.into_iter().map(|job| job.join().expect("a result")).sum();
        assert_eq!(sum, 4950);
    });
}

fn blocking(number: u32) -> u32 {
    cove::task::blocking(move || number)
}

/// Goal: no workers without threads: an error that names the limit, and nothing left behind.
/// Method: as above; then again with threads.
#[test]
fn building_a_runtime_without_threads_is_an_error() {
    child::alone("threads::building_a_runtime_without_threads_is_an_error", || {
        drop(cove::Builder::new().workers(3).build().expect("a runtime"));
        if !no_more() {
            return;
        }
        let before = crate::holdings::open();
        for _ in 0..3 {
            names_the_limit(cove::Builder::new().workers(3).build());
            assert_eq!(before, crate::holdings::open());
        }
        assert_eq!(cove::run(|| cove::spawn(|| 1).join().expect("a result")), 1);
        more();
        let runtime = cove::Builder::new().workers(3).build().expect("threads");
        assert_eq!(runtime.handle().spawn_on(2, || 7).join().expect("a result"), 7);
    });
}
