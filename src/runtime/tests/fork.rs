//! Forking: what the child has, what it has not, and that the parent does not notice.
//!
//! Children report by their exit status. They do not print: another thread of the parent may have
//! held the lock of stdout. An alarm ends those that hang.

use super::{Dropped, runtime};
use crate::net::{TcpListener, TcpStream};
use crate::sync::mpsc;
use crate::task::{self, Cancelled};
use std::cell::Cell;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longer than any child takes.
const ALARM_S: u32 = 60;

/// Forks. In the child, returns none after having set an alarm; in the parent, the child's id.
fn fork() -> Option<i32> {
    // SAFETY: the child does what this file's tests say, which is to use the runtime, malloc and
    // system calls, but no lock that another thread of the parent may hold.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: no memory is involved. Panics are reported without a lock that others hold.
            unsafe { libc::alarm(ALARM_S) };
            None
        }
        child => {
            assert!(child > 0, "fork: {}", std::io::Error::last_os_error());
            Some(child)
        }
    }
}

/// Ends the child: with 0 if `body` returns true, 1 if false, 2 if it panics.
fn exit_with(body: impl FnOnce() -> bool) -> ! {
    let status = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(_) => 2,
    };
    // SAFETY: nothing is to be flushed or unwound in the child.
    unsafe { libc::_exit(status) }
}

/// Waits for the child, letting other coroutines run; tells its exit status.
fn wait_for(child: i32) -> i32 {
    loop {
        let mut status = 0;
        // SAFETY: `status` is writable.
        match unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } {
            0 => crate::time::sleep(Duration::from_millis(1)),
            waited if waited == child && libc::WIFEXITED(status) => {
                return libc::WEXITSTATUS(status);
            }
            // By a signal: SIGALRM if it hung.
            _ => return -libc::WTERMSIG(status),
        }
    }
}

/// Sends a line over a TCP connection to itself and back, in two coroutines.
fn echo_over_tcp() -> std::io::Result<bool> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = crate::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes)?;
        stream.write_all(&bytes)
    });
    let mut stream = TcpStream::connect(address)?;
    crate::time::sleep(Duration::from_millis(1));
    stream.write_all(b"hello")?;
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes)?;
    Ok(server.join().is_ok_and(|served| served.is_ok()) && &bytes == b"hello")
}

/// Uses timers, channels, sockets, blocking work and spawns.
fn use_everything() -> bool {
    let start = Instant::now();
    crate::time::sleep(Duration::from_millis(3));
    let slept = start.elapsed() >= Duration::from_millis(3);
    let (sender, receiver) = mpsc::channel();
    let producer = crate::spawn(move || {
        for number in 0..100 {
            sender.send(number).expect("the receiver lives");
            task::yield_now();
        }
    });
    let mut sum = 0;
    while let Ok(number) = receiver.recv() {
        sum += number;
    }
    let blocking = task::blocking(|| 6 * 7);
    let echoed = echo_over_tcp().expect("loopback");
    slept && producer.join().is_ok() && sum == 4950 && blocking == 42 && echoed
}

#[test]
fn child_goes_on_with_the_root_and_the_parent_with_all() {
    // Goal: the rule, with 100 coroutines parked on sockets and timers, and two more workers.
    // Method: the root forks; the child uses everything, joins one that it lost, and finds none of
    // the others running; then the parent wakes each of its own.
    let runtime = runtime(3);
    let wakeups = Rc::new(Cell::new(0));
    runtime.run(|| {
        let (mut peers, mut parked) = (Vec::new(), Vec::new());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        for number in 0..100 {
            let wakeups = wakeups.clone();
            if number % 2 == 0 {
                parked.push(crate::spawn(move || {
                    crate::time::sleep(Duration::from_millis(20));
                    wakeups.set(wakeups.get() + 1);
                }));
                continue;
            }
            let mut stream =
                TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
            peers.push(listener.accept().expect("accepted").0);
            parked.push(crate::spawn(move || {
                stream.read_exact(&mut [0]).expect("a byte");
                wakeups.set(wakeups.get() + 1);
            }));
        }
        crate::runtime_handle().spawn_on(1, || ()).join().expect("ran");
        task::yield_now();
        let there = crate::runtime_handle().spawn_on(2, task::park);
        let before = wakeups.get();
        match fork() {
            None => exit_with(|| {
                let worked = use_everything() && echo_over_tcp().expect("loopback");
                // Past the deadlines of those that are not here.
                crate::time::sleep(Duration::from_millis(30));
                let lost = parked.pop().expect("some");
                let cancelled = lost.join().expect_err("not here").is::<Cancelled>();
                let remote = there.join().expect_err("not here").is::<Cancelled>();
                let alone = crate::runtime_handle().workers() == 1;
                worked && cancelled && remote && alone && wakeups.get() == before
            }),
            Some(child) => assert_eq!(wait_for(child), 0),
        }
        for peer in &mut peers {
            peer.write_all(b"x").expect("written");
        }
        parked.into_iter().for_each(|handle| handle.join().expect("woken"));
        assert_eq!(wakeups.get(), 100);
        assert!(use_everything());
        there.cancel();
        assert!(there.join().is_err());
    });
}

#[test]
fn child_of_a_coroutine_exits_when_that_has_ended() {
    // Goal: the survivor and what it spawns run to their end, then the child exits with 0, or with
    // 101 after a panic. Method: both, on the first worker and on another; nothing is dropped.
    let runtime = runtime(2);
    let dropped = Dropped::default();
    let handle = runtime.handle();
    let children = |guard: super::Counted, fails: bool| {
        let child = fork();
        if child.is_none() {
            assert!(use_everything());
            drop(crate::spawn(|| crate::time::sleep(Duration::from_millis(2))));
            // The hook would take the lock of stderr.
            std::mem::forget(guard);
            if fails {
                std::panic::resume_unwind(Box::new("in the child"));
            }
        }
        child
    };
    runtime.run(|| {
        for (worker, fails) in [(0, false), (0, true), (1, false), (1, true)] {
            let guard = dropped.guard();
            let forked = handle.spawn_on(worker, move || children(guard, fails));
            let child = forked.join().expect("no panic in the parent").expect("the parent");
            assert_eq!(wait_for(child), if fails { 101 } else { 0 });
        }
    });
    drop(runtime);
    assert_eq!(dropped.count(), 4);
}

#[test]
fn descriptors_from_before_the_fork_work_on_both_sides() {
    // Goal: a registered socket registers anew in the child, and stays registered in the parent.
    // Method: a connection that both have waited on already; each side's byte goes to whoever is
    // told to read next.
    crate::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("bound");
        let mut near = TcpStream::connect(address).expect("connected");
        let mut far = listener.accept().expect("accepted").0;
        let mut exchange = |rounds: usize| {
            for round in 0..rounds {
                crate::scope(|scope| {
                    let reader = scope.spawn(|| {
                        let mut byte = [0];
                        far.read_exact(&mut byte).map(|()| byte[0])
                    });
                    task::yield_now();
                    near.write_all(&[round as u8]).expect("written");
                    assert_eq!(reader.join().expect("read").expect("read"), round as u8);
                });
            }
            true
        };
        exchange(3);
        for _ in 0..2 {
            match fork() {
                None => exit_with(|| exchange(5)),
                Some(child) => assert_eq!(wait_for(child), 0),
            }
            exchange(3);
        }
    });
}

#[test]
fn ending_runtimes_in_the_child_waits_for_nobody() {
    // Goal: run returns and the runtime is dropped in the child, without its threads. Method: fork
    // in the root of a runtime with three workers, and let the child drop it.
    let dropped = Dropped::default();
    let runtime = runtime(3);
    let guard = dropped.guard();
    let child = runtime.run(|| {
        drop(crate::spawn(move || {
            let _guard = guard;
            task::park();
        }));
        task::yield_now();
        fork()
    });
    let count = dropped.0.clone();
    let end = move || {
        drop(runtime);
        count.load(Ordering::Relaxed)
    };
    match child {
        None => exit_with(|| end() == 0 && crate::run(use_everything)),
        Some(child) => {
            assert_eq!(crate::run(|| wait_for(child)), 0);
            assert_eq!(end(), 1);
        }
    }
}

#[test]
fn runtime_that_was_not_running_begins_anew_in_the_child() {
    // Goal: a fork between two runs, as a daemon does, and on a thread of its own. Method: the
    // child enters the runtime again, and finds no coroutine; a thread without any makes its first
    // one.
    let runtime = runtime(1);
    let ran = Rc::new(Cell::new(0));
    let note = ran.clone();
    let lost = runtime.run(|| crate::spawn(move || note.set(note.get() + 1)));
    match fork() {
        None => exit_with(|| {
            let worked = runtime.run(use_everything);
            let cancelled = runtime.run(|| lost.join()).expect_err("not here").is::<Cancelled>();
            drop(runtime);
            worked && cancelled && ran.get() == 0
        }),
        Some(child) => assert_eq!(runtime.run(|| wait_for(child)), 0),
    }
    assert!(runtime.run(|| lost.join()).is_ok() && ran.get() == 1);
    let thread = std::thread::spawn(|| match fork() {
        None => exit_with(|| crate::run(use_everything)),
        Some(child) => crate::run(|| wait_for(child)),
    });
    assert_eq!(thread.join().expect("no panic"), 0);
}

#[test]
fn child_may_fork_again() {
    // Goal: each generation has one survivor. Method: three, each with a coroutine that its child
    // must not run.
    fn generation(left: usize, others: &Arc<AtomicUsize>) -> bool {
        let of_other = others.clone();
        let other = crate::spawn(move || {
            crate::time::sleep(Duration::from_millis(2));
            of_other.fetch_add(1, Ordering::Relaxed);
        });
        task::yield_now();
        let good = match fork() {
            None => exit_with(|| {
                crate::time::sleep(Duration::from_millis(5));
                let none = others.load(Ordering::Relaxed) == 0;
                none && (left == 0 || generation(left - 1, others))
            }),
            Some(child) => wait_for(child) == 0,
        };
        good && other.join().is_ok()
    }
    crate::run(|| assert!(generation(2, &Arc::default())));
}

#[test]
fn commands_start_from_coroutines() {
    // Goal: fork and exec by std, with a function of the user's in between, works and leaves the
    // runtime whole. Method: a shell's exit status, beside a sleeping coroutine.
    use std::os::unix::process::CommandExt;
    crate::run(|| {
        let beside = crate::spawn(|| crate::time::sleep(Duration::from_millis(2)));
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", "exit 7"]);
        // SAFETY: the function does nothing; its presence makes std use fork.
        unsafe { command.pre_exec(|| Ok(())) };
        assert_eq!(command.status().expect("a shell").code(), Some(7));
        assert!(beside.join().is_ok());
    });
}
