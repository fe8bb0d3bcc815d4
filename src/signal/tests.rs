//! Tests of waiting for signals.

use super::*;
use crate::task::{Cancelled, yield_now};
use crate::time::{Duration, timeout};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicI32;
use std::sync::mpsc;

/// A real-time signal that one test has for itself.
fn private(n: i32) -> Signal {
    Signal::from_number(libc::SIGRTMIN() + 5 + n)
}

/// Sends `signal` to this very thread; it is handled before this returns (kill(2)).
fn send(signal: Signal) {
    sys::thread::tgkill(sys::thread::gettid(), signal.number()).expect("sent");
}

#[test]
fn a_signal_ends_the_wait_for_it_and_no_other() {
    // Goal: who waits for what. Method: two coroutines with different signals; send both in turn.
    let (first, second) = (private(0), private(1));
    crate::run(|| {
        let waiters = [first, second].map(|signal| crate::spawn(move || wait(&[signal])));
        yield_now();
        let [one, two] = waiters;
        send(first);
        assert_eq!(one.join().expect("no panic").expect("a signal"), first);
        assert!(!two.is_finished());
        send(second);
        assert_eq!(two.join().expect("no panic").expect("a signal"), second);
    });
}

#[test]
fn every_stream_hears_of_a_signal_and_repetitions_count_as_one() {
    // Goal: broadcast, within a runtime. Method: two streams, three signals, before and during
    // recv.
    let signal = private(2);
    crate::run(|| {
        let mut streams = [0, 1].map(|_| Signals::new(&[signal, SIGURG]).expect("handlers"));
        for stream in &mut streams {
            assert_eq!(stream.try_recv(), None);
        }
        send(signal);
        send(signal);
        for mut stream in streams {
            assert_eq!(stream.recv().expect("a signal"), signal);
            assert_eq!(stream.try_recv(), None);
            let waiter = crate::spawn(move || stream.recv());
            yield_now();
            send(signal);
            assert_eq!(waiter.join().expect("no panic").expect("a signal"), signal);
        }
    });
}

#[test]
fn several_runtimes_and_a_plain_thread_hear_of_one_signal() {
    // Goal: broadcast across threads. Method: two runtimes and a thread wait; each says when it
    // takes note; the signal comes once.
    let signal = private(3);
    let (ready, readies) = mpsc::channel();
    std::thread::scope(|scope| {
        let listeners = [true, true, false].map(|in_runtime| {
            let ready = ready.clone();
            scope.spawn(move || {
                let listen = || {
                    let mut signals = Signals::new(&[signal]).expect("handlers");
                    ready.send(()).expect("the test waits");
                    signals.recv()
                };
                if in_runtime { crate::run(listen) } else { listen() }
            })
        });
        listeners.iter().for_each(|_| readies.recv().expect("ready"));
        send(signal);
        for listener in listeners {
            assert_eq!(listener.join().expect("no panic").expect("a signal"), signal);
        }
    });
}

#[test]
fn streams_come_and_go_on_one_runtime() {
    // Goal: no watch outlives its stream, though descriptors are used again. Method: wait by many
    // streams in turn, each with a signal; then one by time-out and one by cancelling.
    let signal = private(4);
    crate::run(|| {
        for _ in 0..50 {
            let waiter = crate::spawn(move || wait(&[signal]));
            yield_now();
            send(signal);
            assert!(waiter.join().expect("no panic").is_ok());
        }
        let late = timeout(Duration::from_millis(1), || wait(&[signal])).expect("returned");
        assert_eq!(late.expect_err("no signal").kind(), io::ErrorKind::TimedOut);
        let waiter = crate::spawn(move || wait(&[signal]));
        yield_now();
        waiter.cancel();
        assert!(waiter.join().expect_err("cancelled").is::<Cancelled>());
        let mut stream = Signals::new(&[signal]).expect("handlers");
        send(signal);
        assert_eq!(stream.recv().expect("a signal"), signal);
    });
}

#[test]
fn a_stream_may_wait_in_one_runtime_after_another() {
    // Goal: the watch moves along. Method: the same stream in two runtimes, one after the other.
    let signal = private(5);
    let mut stream = Signals::new(&[signal]).expect("handlers");
    for _ in 0..2 {
        crate::run(|| {
            let sender = crate::spawn(move || send(signal));
            assert_eq!(stream.recv().expect("a signal"), signal);
            sender.join().expect("no panic");
        });
    }
}

static EARLIER: AtomicI32 = AtomicI32::new(0);

unsafe extern "C" fn earlier(signal: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    EARLIER.fetch_add(signal, Ordering::Relaxed);
}

#[test]
fn a_handler_that_was_there_before_is_called_and_errno_is_kept() {
    // Goal: chaining. Method: install one first, then ours, then send.
    let signal = private(6);
    // SAFETY: the handler touches an atomic only.
    unsafe { sys::signal::install_handler(signal.number(), earlier, 0) }.expect("installed");
    let mut stream = Signals::new(&[signal]).expect("handlers");
    let errno = sys::thread::errno_location();
    // SAFETY: errno is this thread's own.
    unsafe { *errno = 77 };
    // SAFETY: the signal has a handler.
    unsafe { libc::raise(signal.number()) };
    // SAFETY: errno is this thread's own, and the thread has not changed.
    assert_eq!(unsafe { *errno }, 77);
    assert_eq!(EARLIER.load(Ordering::Relaxed), signal.number());
    assert_eq!(stream.try_recv(), Some(signal));
}

#[test]
fn what_cannot_be_waited_for_is_refused() {
    // Goal: errors instead of a broken process. Method: faults, SIGKILL, no numbers of signals.
    let wrong = [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, libc::SIGBUS, 0, -1, 65, i32::MAX];
    for number in wrong {
        let error = Signals::new(&[Signal::from_number(number)]).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    }
    assert_eq!(Signals::new(&[]).expect_err("none").kind(), io::ErrorKind::InvalidInput);
    assert_eq!(format!("{SIGTERM} {:?}", Signal::from_number(99)), "SIGTERM signal 99");
}

/// Set in the child process of the test below.
const CHILD: &str = "COVE_TEST_CTRL_C";

#[test]
fn ctrl_c_of_a_process_ends_the_wait_and_not_the_process() {
    // Goal: a real SIGINT from outside. Method: a child that says when it waits; send it two.
    if std::env::var_os(CHILD).is_some() {
        crate::run(|| {
            let waiter = crate::spawn(ctrl_c);
            yield_now();
            println!("waiting");
            std::io::stdout().flush().expect("written");
            waiter.join().expect("no panic").expect("a signal");
            println!("first");
            let mut signals = Signals::new(&[SIGTERM, SIGINT]).expect("handlers");
            println!("waiting");
            println!("second {}", signals.recv().expect("a signal"));
        });
        return;
    }
    let test = "signal::tests::ctrl_c_of_a_process_ends_the_wait_and_not_the_process";
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let id = child.id().to_string();
    let interrupt = || {
        let kill = Command::new("kill").args(["-INT", &id]).status();
        assert!(kill.expect("kill(1)").success());
    };
    let mut seen = Vec::new();
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        let line = line.expect("text");
        if line.ends_with("waiting") {
            interrupt();
        }
        seen.push(line);
    }
    let status = child.wait().expect("its end");
    assert!(status.success(), "{status}: {seen:?}");
    assert!(seen.iter().any(|line| line == "first"), "{seen:?}");
    assert!(seen.iter().any(|line| line == "second SIGINT"), "{seen:?}");
}
