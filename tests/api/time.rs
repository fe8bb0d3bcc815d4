//! Sleeps, ticks, and deadline scopes around everything that waits.

use cove::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use cove::sync::{Barrier, Condvar, Mutex, Notify, RwLock, Semaphore, WaitGroup, mpsc, oneshot};
use cove::task;
use cove::time::{
    Duration, Elapsed, Instant, MissedTick, deadline, interval, interval_at, sleep, sleep_until,
    timeout, timeout_at,
};
use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;

/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(3600);

/// As short as a wait that is to end may be.
const MOMENT: Duration = Duration::from_millis(1);

/// Computes until `instant` has passed, as a busy coroutine does.
fn compute_until(instant: Instant) {
    while Instant::now() < instant {
        std::hint::spin_loop();
    }
}

#[test]
fn no_sleep_ends_early_however_short() {
    // Goal: sleep's promise from nanoseconds on. Method: many lengths, alone and in a crowd, with
    // the clock around each, in a runtime and on a plain thread.
    let lengths_us = [0, 1, 10, 50, 99, 100, 333, 500, 999, 1000, 1001, 2500, 5000];
    let check = |length: Duration| {
        let start = Instant::now();
        sleep(length);
        assert!(start.elapsed() >= length, "{length:?}: {:?}", start.elapsed());
        let instant = Instant::now() + length;
        sleep_until(instant);
        assert!(Instant::now() >= instant, "{length:?}");
    };
    check(Duration::from_nanos(1));
    cove::run(|| {
        let all = || lengths_us.into_iter().map(Duration::from_micros);
        all().for_each(check);
        check(Duration::from_nanos(1));
        let crowd: Vec<_> =
            (0..20).flat_map(|_| all()).map(|length| cove::spawn(move || check(length))).collect();
        crowd.into_iter().for_each(|sleeper| sleeper.join().unwrap());
    });
}

#[test]
fn sleepers_wake_in_the_order_of_their_times() {
    // Goal: order, whatever the order of going to sleep. Method: times from one instant, shuffled;
    // all must have gone to sleep by then, or they are given longer.
    let mut moment = MOMENT;
    while !cove::run(|| sleepers_wake_in_order(moment)) {
        moment *= 2;
    }
}

/// False if the first time had come before all were asleep.
fn sleepers_wake_in_order(moment: Duration) -> bool {
    let (start, order) = (Instant::now() + moment, Rc::new(RefCell::new(Vec::new())));
    let sleepers: Vec<_> = (0..50u64)
        .map(|n| (n * 37) % 50)
        .map(|n| {
            let order = order.clone();
            cove::spawn(move || {
                sleep_until(start + Duration::from_micros(n * 200));
                order.borrow_mut().push(n);
            })
        })
        .collect();
    cove::task::yield_now();
    let all_asleep = Instant::now() < start;
    sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
    assert!(!all_asleep || *order.borrow() == (0..50).collect::<Vec<_>>(), "{order:?}");
    all_asleep
}

#[test]
fn what_is_past_is_due_at_once() {
    // Goal: instants gone by. Method: sleeps, ticks and scopes at the start of the test; a sleep of
    // zero lets the other one run first.
    let past = Instant::now();
    cove::run(|| {
        compute_until(past + Duration::from_micros(10));
        sleep_until(past);
        let other = cove::spawn(|| ());
        sleep(Duration::ZERO);
        assert!(other.is_finished());
        assert_eq!(interval_at(past, LONG).tick(), past);
        assert!(timeout_at(past, || sleep(LONG)).is_err());
        assert_eq!(timeout_at(past, || 1), Ok(1));
        assert!(timeout(Duration::ZERO, task::park).is_err());
        assert!(timeout(Duration::MAX, || sleep(MOMENT)).is_ok());
    });
}

#[test]
fn ticks_stay_on_schedule() {
    // Goal: an interval's times. Method: the instants that tick returns, and the clock.
    cove::run(|| {
        let start = Instant::now();
        let mut ticks = interval_at(start, MOMENT);
        for number in 0..5 {
            let due = ticks.tick();
            assert_eq!(due, start + number * MOMENT);
            assert!(Instant::now() >= due);
        }
        assert_eq!(ticks.period(), MOMENT);
        let mut ticks = interval(LONG);
        let first = ticks.tick();
        ticks.reset();
        assert!(timeout(MOMENT, || ticks.tick()).is_err());
        assert!(first >= start);
    });
}

#[test]
fn missed_ticks_come_at_once_late_or_never() {
    // Goal: the three ways. Method: compute for six periods between two ticks; the clock before and
    // after the late one bounds what may come next.
    let period = Duration::from_millis(2);
    let late = |missed| {
        cove::run(|| {
            let mut ticks = interval(period);
            ticks.set_missed_tick(missed);
            assert_eq!(ticks.missed_tick(), missed);
            ticks.tick();
            compute_until(Instant::now() + 6 * period);
            let before = Instant::now();
            let due = ticks.tick();
            let after = Instant::now();
            assert!(due + 5 * period <= before, "it tells when it was due");
            (due, before..after + period, ticks.tick(), ticks.tick())
        })
    };
    let (due, _, second, third) = late(MissedTick::Burst);
    assert_eq!((second, third), (due + period, due + 2 * period));
    let (due, next, second, third) = late(MissedTick::Skip);
    assert_eq!((second - due).as_nanos() % period.as_nanos(), 0);
    assert!(second > next.start && second <= next.end && third >= second + period);
    let (_, next, second, third) = late(MissedTick::Delay);
    assert!(second >= next.start + period && second <= next.end && third >= second + period);
}

#[test]
fn scopes_nest_and_the_earliest_deadline_counts() {
    // Goal: who returns Elapsed. Method: inner before outer, outer before inner, and what deadline
    // tells inside.
    cove::run(|| {
        assert_eq!(deadline(), None);
        let inner_first = timeout(LONG, || {
            let outer = deadline().unwrap();
            let inner = timeout(MOMENT, || {
                assert!(deadline().unwrap() < outer);
                sleep(LONG);
            });
            sleep(MOMENT);
            inner
        });
        assert!(matches!(inner_first, Ok(Err(Elapsed { .. }))));
        let outer_first: Result<Result<(), Elapsed>, Elapsed> = timeout(MOMENT, || {
            let _ = timeout(LONG, || sleep(LONG));
            panic!("went on after the outer deadline");
        });
        assert!(outer_first.is_err());
        assert_eq!(deadline(), None);
        assert_eq!(timeout(LONG, || timeout(LONG, || "in time")), Ok(Ok("in time")));
    });
}

#[test]
fn scopes_bind_their_coroutine_and_no_other() {
    // Goal: children and neighbours go on. Method: spawn inside a scope that runs out; join after.
    cove::run(|| {
        let mut child = None;
        let late = timeout(MOMENT, || {
            child = Some(cove::spawn(|| {
                assert_eq!(deadline(), None);
                sleep(3 * MOMENT);
                "finished"
            }));
            task::park();
        });
        assert!(late.is_err());
        assert_eq!(child.unwrap().join().unwrap(), "finished");
    });
}

/// A wait without an end, by name.
type Wait = (&'static str, Box<dyn Fn()>);

fn waits() -> Vec<Wait> {
    let (mutex, lock) = (Rc::new(Mutex::new(())), Rc::new(RwLock::new(())));
    let (held_mutex, held_lock) = (mutex.clone(), lock.clone());
    cove::spawn(move || {
        let _guards = (held_mutex.lock(), held_lock.write());
        task::park();
    });
    task::yield_now();
    let (tx, rx) = mpsc::sync_channel(1);
    tx.send(1).unwrap();
    let group = WaitGroup::new();
    let (open, empty) = mpsc::channel::<u8>();
    let reading = lock.clone();
    vec![
        ("sleep", Box::new(|| sleep(LONG))),
        ("park", Box::new(task::park)),
        ("lock", Box::new(move || drop(mutex.lock()))),
        ("read lock", Box::new(move || drop(reading.read()))),
        ("write lock", Box::new(move || drop(lock.write()))),
        ("semaphore", Box::new(|| drop(Semaphore::new(0).acquire()))),
        ("barrier", Box::new(|| assert!(Barrier::new(2).wait().is_leader()))),
        ("notify", Box::new(|| Notify::new().wait())),
        ("condvar", Box::new(|| drop(Condvar::new().wait(Mutex::new(()).lock().unwrap())))),
        ("wait group", Box::new(move || group.clone().wait())),
        ("send", Box::new(move || assert!(tx.send(2).is_ok(), "{rx:?}"))),
        ("recv", Box::new(move || assert!(empty.recv().is_ok(), "{open:?}"))),
        (
            "oneshot",
            Box::new(|| {
                let (_tx, rx) = oneshot::channel::<u8>();
                let _ = rx.recv();
            }),
        ),
        ("join", Box::new(|| drop(cove::spawn(task::park).join()))),
        ("scope", Box::new(|| cove::scope(|scope| drop(scope.spawn(task::park))))),
        ("remote join", Box::new(|| drop(cove::runtime_handle().spawn(task::park).join()))),
        ("select", Box::new(|| cove::select! { after(LONG) => {} })),
        (
            "tick",
            Box::new(|| assert!(interval_at(Instant::now() + LONG, LONG).tick() < Instant::now())),
        ),
    ]
}

#[test]
fn deadlines_unwind_every_wait_but_input_and_output() {
    // Goal: time::timeout around whatever has no error to return. Method: a table of waits without
    // an end; destructors must run, and the clock must have passed the deadline.
    cove::run(|| {
        for (name, wait) in waits() {
            let dropped = Rc::new(());
            let held = dropped.clone();
            let start = Instant::now();
            let outcome = timeout(MOMENT, move || {
                let _held = held;
                wait();
            });
            assert!(outcome.is_err(), "{name}");
            assert!(start.elapsed() >= MOMENT, "{name}");
            assert_eq!(Rc::strong_count(&dropped), 1, "{name}");
        }
    });
}

#[test]
fn deadlines_make_input_and_output_return_timed_out() {
    // Goal: I/O in a scope is an error of kind TimedOut, and the socket stays usable. Method: every
    // blocking call of every socket, on which nothing happens.
    fn times_out<T>(name: &str, operation: impl FnOnce() -> io::Result<T>) {
        let outcome = timeout(MOMENT, || operation().map(drop).map_err(|error| error.kind()));
        assert_eq!(outcome, Ok(Err(ErrorKind::TimedOut)), "{name}");
    }
    cove::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        times_out("accept", || listener.accept());
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        let mut buffer = [0; 16];
        times_out("read", || near.read(&mut buffer));
        times_out("peek", || near.peek(&mut buffer));
        times_out("write", || near.write_all(&vec![0; 64 << 20]));
        times_out("udp", || UdpSocket::bind("127.0.0.1:0")?.recv_from(&mut [0; 4]));
        let (mut one, mut two) = UnixStream::pair().unwrap();
        times_out("unix", || one.read(&mut buffer));
        // The shorter of a socket's own limit and the scope's counts, and the error tells.
        one.set_read_timeout(Some(MOMENT)).unwrap();
        let own = timeout(LONG, || one.read(&mut buffer).unwrap_err().kind());
        assert_eq!(own, Ok(ErrorKind::WouldBlock));
        two.write_all(b"usable").unwrap();
        assert_eq!(timeout(LONG, || one.read(&mut buffer)).unwrap().unwrap(), 6);
        drop(far);
    });
}
