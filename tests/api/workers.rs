//! Runtimes of several workers: where closures run, how they are joined and cancelled from
//! elsewhere, servers on every worker, several runtimes, ending.

use crate::support::until;
use cove::net::{TcpListener, TcpStream};
use cove::sync::{Arc, Barrier, Mutex, Semaphore, mpsc, oneshot};
use cove::task::{self, Cancelled};
use cove::time::{Duration, sleep, timeout};
use cove::{Builder, Runtime, RuntimeHandle};
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(3600);

fn runtime(workers: usize) -> Runtime {
    Builder::new().workers(workers).build().expect("a runtime")
}

/// The worker that the caller is on.
fn here() -> usize {
    cove::runtime_handle().worker().expect("a worker")
}

#[test]
fn closures_go_where_they_are_sent_and_stay_there() {
    // Goal: spawn_on, run_on_each, and that children stay with their parents. Method: everybody
    // tells where it is, before and after a wait.
    let runtime = runtime(3);
    let handle = runtime.handle();
    let on_two = handle.spawn_on(2, || {
        let before = here();
        let child = cove::spawn(|| {
            sleep(Duration::from_micros(100));
            here()
        });
        (before, child.join().unwrap(), here())
    });
    assert_eq!(on_two.join().unwrap(), (2, 2, 2));
    let places = runtime.run(|| {
        let everywhere = cove::runtime_handle().run_on_each(|worker| (worker, here()));
        everywhere.into_iter().map(|place| place.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(places, [(0, 0), (1, 1), (2, 2)]);
    assert_eq!((handle.workers(), handle.worker()), (3, None));
    let refused = catch_unwind(AssertUnwindSafe(|| handle.spawn_on(3, || ())));
    assert!(refused.is_err());
}

#[test]
fn closures_that_have_not_started_go_to_idle_workers() {
    // Goal: a busy worker's queue is worked off by others. Method: the root computes, without ever
    // waiting, until its children have run: that can only be elsewhere.
    let runtime = runtime(2);
    runtime.run(|| {
        let handle = cove::runtime_handle();
        let done = Arc::new(AtomicUsize::new(0));
        let children: Vec<_> = (0..20)
            .map(|_| {
                let done = done.clone();
                handle.spawn(move || {
                    done.fetch_add(1, Ordering::SeqCst);
                    here()
                })
            })
            .collect();
        while done.load(Ordering::SeqCst) < 20 {
            std::hint::spin_loop();
        }
        children.into_iter().for_each(|child| assert_eq!(child.join().unwrap(), 1));
    });
}

#[test]
fn work_is_divided_and_summed_up() {
    // Goal: fork and join over workers. Method: a sum by halves, each half spawned on whichever
    // worker; joins across workers.
    fn sum(handle: RuntimeHandle, from: u64, to: u64) -> u64 {
        if to - from <= 100 {
            return (from..to).sum();
        }
        let middle = from.midpoint(to);
        let other = handle.clone();
        let half = handle.spawn(move || sum(other, middle, to));
        sum(handle, from, middle) + half.join().unwrap()
    }
    for workers in [1, 2, 4] {
        let total = runtime(workers).run(|| sum(cove::runtime_handle(), 0, 50_000));
        assert_eq!(total, 49_999 * 25_000);
    }
}

#[test]
fn panics_values_and_cancellations_cross_threads() {
    // Goal: what join of a remote coroutine brings. Method: one of each kind, joined in the root,
    // on another worker, and on a plain thread.
    let runtime = runtime(2);
    let handle = runtime.handle();
    let check = |handle: &RuntimeHandle| {
        let value = handle.spawn_on(1, || vec![1, 2, 3]);
        let panics = handle.spawn_on(1, || resume_unwind(Box::new("a payload")));
        let (begun, has_begun) = oneshot::channel();
        let dropped = Arc::new(());
        let held = dropped.clone();
        let parks = handle.spawn_on(1, move || {
            let _held = held;
            begun.send(()).unwrap();
            task::park();
        });
        assert_eq!(value.join().unwrap(), [1, 2, 3]);
        let end: std::thread::Result<()> = panics.join();
        assert_eq!(end.unwrap_err().downcast_ref::<&str>(), Some(&"a payload"));
        has_begun.recv().unwrap();
        parks.cancel();
        assert!(parks.join().unwrap_err().is::<Cancelled>());
        assert_eq!(Arc::strong_count(&dropped), 1);
    };
    runtime.run(|| check(&cove::runtime_handle()));
    let inner = handle.clone();
    handle.spawn_on(1, move || cove::spawn(move || check(&inner)).join().unwrap()).join().unwrap();
    let other = std::thread::spawn(move || check(&handle));
    other.join().unwrap();
}

#[test]
fn closures_that_are_cancelled_or_detached_early() {
    // Goal: cancel before the start, and handles that are dropped. Method: worker 1 is kept busy
    // while closures queue behind; one is cancelled and never runs, one is detached and does.
    let runtime = runtime(2);
    let handle = runtime.handle();
    let (free, is_free) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (gate, ran) = (free.clone(), is_free.clone());
    let busy = handle.spawn_on(1, move || {
        while !gate.load(Ordering::SeqCst) {
            std::hint::spin_loop();
        }
    });
    let never = handle.spawn_on(1, || unreachable!("it was cancelled before it began"));
    let counted = ran.clone();
    drop(handle.spawn_on(1, move || counted.fetch_add(1, Ordering::SeqCst)));
    let last = handle.spawn_on(1, move || ran.load(Ordering::SeqCst));
    never.cancel();
    assert!(never.is_finished());
    let end: std::thread::Result<()> = never.join();
    assert!(end.unwrap_err().is::<Cancelled>());
    free.store(true, Ordering::SeqCst);
    busy.join().unwrap();
    assert_eq!(last.join().unwrap(), 1);
}

#[test]
fn a_listener_on_each_worker_serves_one_address() {
    // Goal: SO_REUSEPORT servers. Method: three listeners on one port; clients come until each
    // worker has answered some, and all answers are right.
    const WORKERS: usize = 3;
    let runtime = runtime(WORKERS);
    runtime.run(|| {
        let first = TcpListener::bind_reuse_port("127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap();
        let first = Mutex::new(Some(first));
        let ready = Arc::new(Barrier::new(WORKERS + 1));
        let at_start = ready.clone();
        let servers = cove::runtime_handle().run_on_each(move |worker| {
            let own = if worker == 0 { first.lock().unwrap().take() } else { None };
            let listener = own.unwrap_or_else(|| TcpListener::bind_reuse_port(address).unwrap());
            at_start.wait();
            for client in listener.incoming() {
                let mut client = client.unwrap();
                cove::spawn(move || {
                    let mut number = [0];
                    client.read_exact(&mut number).unwrap();
                    client.write_all(&[number[0], u8::try_from(worker).unwrap()]).unwrap();
                });
            }
        });
        ready.wait();
        let mut counts = [0; WORKERS];
        // Each connection goes to one of three by its hash: in 10,000 all three have come up.
        for number in 0..10_000_u32 {
            let mut stream = TcpStream::connect(address).unwrap();
            let number = (number % 251) as u8;
            stream.write_all(&[number]).unwrap();
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer[0], number);
            counts[usize::from(answer[1])] += 1;
            if counts.iter().all(|count| *count >= 3) {
                break;
            }
        }
        assert!(counts.iter().all(|count| *count >= 3), "{counts:?}");
        for server in servers {
            server.cancel();
            assert!(server.join().unwrap_err().is::<Cancelled>());
        }
    });
}

#[test]
fn runtimes_run_on_several_threads_at_once() {
    // Goal: runtimes do not disturb each other. Method: four threads with a runtime each, which all
    // use one semaphore, one channel and their own coroutines.
    let shared = Arc::new(Semaphore::new(2));
    let (tx, rx) = mpsc::channel();
    let threads: Vec<_> = (0..4_u64)
        .map(|number| {
            let (shared, tx) = (shared.clone(), tx.clone());
            std::thread::spawn(move || {
                let send = move || {
                    (0..50).for_each(|turn| {
                        let _permit = shared.acquire();
                        task::yield_now();
                        tx.send(number * 50 + turn).unwrap();
                    });
                };
                cove::run(|| {
                    let two = [cove::spawn(send.clone()), cove::spawn(send)];
                    two.into_iter().for_each(|sender| sender.join().unwrap());
                });
            })
        })
        .collect();
    drop(tx);
    let mut received: Vec<_> = cove::run(|| rx.iter().collect());
    received.sort_unstable();
    assert_eq!(received, (0..200).flat_map(|n| [n, n]).collect::<Vec<_>>());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn one_runtime_serves_many_threads() {
    // Goal: a handle is for everybody, as long as they like. Method: plain threads spawn and join
    // through clones while the root waits; afterwards joins are cancelled.
    let runtime = runtime(2);
    let handle = runtime.handle();
    let threads: Vec<_> = (0..4_u64)
        .map(|number| {
            let handle = handle.clone();
            std::thread::spawn(move || {
                (0..50).map(|n| handle.spawn(move || n * number)).map(|it| it.join().unwrap()).sum()
            })
        })
        .collect();
    runtime.run(|| until(|| threads.iter().all(|thread| thread.is_finished())));
    let sums: Vec<u64> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(sums, [0, 1225, 2450, 3675]);
    drop(runtime);
    let late = handle.spawn(|| ());
    assert!(late.is_finished() && late.join().unwrap_err().is::<Cancelled>());
}

#[test]
fn remote_joins_end_by_deadline_and_detach() {
    // Goal: a join of another worker's coroutine is a wait as any other. Method: a deadline around
    // it; the coroutine goes on, and answers later.
    let runtime = runtime(2);
    let (tx, rx) = mpsc::channel();
    let (go, may_go) = oneshot::channel::<()>();
    runtime.run(|| {
        let slow = cove::runtime_handle().spawn_on(1, move || {
            may_go.recv().unwrap();
            tx.send("went on").unwrap();
        });
        assert!(timeout(Duration::from_millis(1), || slow.join()).is_err());
        go.send(()).unwrap();
        assert_eq!(rx.recv(), Ok("went on"));
    });
}

#[test]
fn shutdowns_unwind_all_workers_or_say_who_is_left() {
    // Goal: shutdown_timeout. Method: parked coroutines everywhere end in time; one that computes
    // is named, and goes on unharmed.
    let alive = Arc::new(());
    let ending = runtime(3);
    let ready = Arc::new(Barrier::new(4));
    let (held, at_start) = (alive.clone(), ready.clone());
    let parked = ending.handle().run_on_each(move |_| {
        let _held = held.clone();
        at_start.wait();
        // It may return without a reason.
        loop {
            task::park();
        }
    });
    ending.run(|| ready.wait());
    ending.shutdown_timeout(LONG).unwrap();
    assert_eq!(Arc::strong_count(&alive), 1);
    for it in parked {
        let end: std::thread::Result<()> = it.join();
        assert!(end.unwrap_err().is::<Cancelled>());
    }

    let stubborn = runtime(2);
    let (free, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (gate, has_begun) = (free.clone(), begun.clone());
    let busy = stubborn.handle().spawn_on(1, move || {
        has_begun.store(true, Ordering::SeqCst);
        while !gate.load(Ordering::SeqCst) {
            std::hint::spin_loop();
        }
        "its value"
    });
    until(|| begun.load(Ordering::SeqCst));
    let error = stubborn.shutdown_timeout(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.unfinished(), [(1, None)]);
    assert!(error.to_string().contains("worker 1"), "{error}");
    free.store(true, Ordering::SeqCst);
    assert_eq!(busy.join().unwrap(), "its value");
}

#[test]
fn settings_out_of_range_are_errors() {
    // Goal: Builder says what is wrong. Method: the ends of each range.
    for (builder, name) in [
        (Builder::new().workers(0), "workers(0)"),
        (Builder::new().workers(1025), "workers(1025)"),
        (Builder::new().stack_bytes(usize::MAX), "stack_bytes"),
        (Builder::new().shared_stacks(0), "shared_stacks(0)"),
        (Builder::new().blocking_threads_max(0), "blocking_threads_max(0)"),
        (Builder::new().worker_name("a\0b"), "worker_name"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(name), "{error}");
    }
}
