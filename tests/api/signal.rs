//! Signals, each test in a process of its own, since they concern all of it.

use crate::child::{alone, observed};
use cove::signal::{
    SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, Signal, Signals, ctrl_c, wait,
};
use cove::task;
use cove::time::{Duration, timeout};
use std::io::ErrorKind;
use std::process::Command;
use std::sync::mpsc;

/// As short as a wait that is to end may be.
const MOMENT: Duration = Duration::from_millis(1);

/// Sends a signal to this process: it arrives on whichever thread, at whatever time.
fn send(signal: Signal) {
    // SAFETY: sends a signal, for which the caller has seen to a handler.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal.number()) }, 0);
}

#[test]
fn ctrl_c_ends_the_wait_and_the_others_go_on() {
    // Goal: the usual end of a server. Method: wait, with a worker that goes on until the root has
    // heard of the signal and cancels it.
    alone("signal::ctrl_c_ends_the_wait_and_the_others_go_on", || {
        cove::run(|| {
            let worker = cove::spawn(|| {
                loop {
                    task::yield_now();
                }
            });
            let waiter = cove::spawn(ctrl_c);
            task::yield_now();
            send(SIGINT);
            waiter.join().unwrap().unwrap();
            assert!(!worker.is_finished());
            worker.cancel();
        });
    });
}

#[test]
fn signals_are_told_apart_and_counted_from_the_making_on() {
    // Goal: Signals. Method: signals before the making (of a kind that has a handler), before the
    // wait and during it.
    alone("signal::signals_are_told_apart_and_counted_from_the_making_on", || {
        cove::run(|| {
            let mut early = Signals::new(&[SIGUSR1]).unwrap();
            send(SIGUSR1);
            assert_eq!(early.recv().unwrap(), SIGUSR1);
            let mut signals = Signals::new(&[SIGUSR1, SIGUSR2, SIGHUP]).unwrap();
            assert_eq!(signals.try_recv(), None);
            send(SIGUSR2);
            assert_eq!(signals.recv().unwrap(), SIGUSR2);
            let waiter = cove::spawn(move || (signals.recv().unwrap(), signals.try_recv()));
            task::yield_now();
            send(SIGHUP);
            assert_eq!(waiter.join().unwrap(), (SIGHUP, None));
            assert_eq!(early.try_recv(), None);
            assert_eq!(format!("{SIGHUP} {:?}", Signal::from_number(34)), "SIGHUP signal 34");
        });
    });
}

#[test]
fn every_worker_and_every_thread_hears_of_a_signal() {
    // Goal: one signal, many listeners. Method: a listener on each of three workers and on a plain
    // thread; one signal once all have been made.
    alone("signal::every_worker_and_every_thread_hears_of_a_signal", || {
        let runtime = cove::Builder::new().workers(3).build().unwrap();
        let (ready, is_ready) = mpsc::channel();
        let on_thread = ready.clone();
        let listen = move |ready: &mpsc::Sender<()>| {
            let mut signals = Signals::new(&[SIGTERM, SIGUSR1]).unwrap();
            ready.send(()).unwrap();
            signals.recv().unwrap()
        };
        let thread = std::thread::spawn(move || listen(&on_thread));
        let ready = std::sync::Mutex::new(ready);
        let listeners = runtime.handle().run_on_each(move |_| {
            let ready = ready.lock().unwrap().clone();
            listen(&ready)
        });
        let heard: Vec<_> = runtime.run(|| {
            cove::spawn(move || {
                cove::task::blocking(move || (0..4).for_each(|_| is_ready.recv().unwrap()));
                send(SIGUSR1);
            });
            listeners.into_iter().map(|listener| listener.join().unwrap()).collect()
        });
        assert_eq!(heard, [SIGUSR1; 3]);
        assert_eq!(thread.join().unwrap(), SIGUSR1);
    });
}

#[test]
fn signals_that_nobody_asked_for_keep_their_action() {
    // Goal: only the chosen kinds are handled. Method: wait for one, get another, whose action is
    // to end the process.
    let name = "signal::signals_that_nobody_asked_for_keep_their_action";
    let child = observed(name, &[], || {
        cove::run(|| {
            let _signals = Signals::new(&[SIGUSR1]).unwrap();
            send(SIGUSR1);
            eprintln!("still here");
            send(SIGUSR2);
            task::park();
        });
    });
    if let Some(child) = child {
        child.ended_by(SIGUSR2.number());
        child.says("still here");
    }
}

#[test]
fn children_that_end_are_heard_of() {
    // Goal: SIGCHLD and real-time signals. Method: a real child process; a signal by number.
    alone("signal::children_that_end_are_heard_of", || {
        cove::run(|| {
            let real_time = Signal::from_number(libc::SIGRTMIN() + 3);
            let mut signals = Signals::new(&[SIGCHLD, real_time]).unwrap();
            let mut child = Command::new("true").spawn().unwrap();
            assert_eq!(signals.recv().unwrap(), SIGCHLD);
            assert!(child.wait().unwrap().success());
            send(real_time);
            assert_eq!(signals.recv().unwrap(), real_time);
        });
    });
}

#[test]
fn waits_for_signals_end_by_deadline_and_cancellation() {
    // Goal: they are waits as any other. Method: no signal comes; later one does.
    alone("signal::waits_for_signals_end_by_deadline_and_cancellation", || {
        cove::run(|| {
            let late = timeout(MOMENT, || wait(&[SIGUSR1, SIGUSR2])).unwrap();
            assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
            let waiter = cove::spawn(ctrl_c);
            task::yield_now();
            waiter.cancel();
            assert!(waiter.join().unwrap_err().is::<task::Cancelled>());
            let mut signals = Signals::new(&[SIGINT]).unwrap();
            send(SIGINT);
            assert_eq!(signals.recv().unwrap(), SIGINT);
            for signals in [&[][..], &[Signal::from_number(libc::SIGKILL)], &[SIGINT, bad()]] {
                assert_eq!(Signals::new(signals).unwrap_err().kind(), ErrorKind::InvalidInput);
            }
        });
    });
}

fn bad() -> Signal {
    Signal::from_number(1000)
}
