//! Dumps on a signal, and the stall watchdog.
//!
//! What goes to standard error is tested in a child: this very program, run again with the
//! scenario's name in the environment.

use cove::coroutine::{Coroutine, CoroutineState, Suspender};
use cove::signal::{SIGUSR1, SIGUSR2, Signal};
use cove::{Builder, Stall, task};
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Names the scenario in a child's environment.
const SCENARIO: &str = "COVE_WATCHING_SCENARIO";

/// Whether this processor's switch lets backtraces be taken.
const SHOWS_FRAMES: bool =
    cfg!(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(cove_portable)));

/// What a stall is in these tests, and how long they wait for one that must come.
const LIMIT: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(60);

#[inline(never)]
fn user_computes_until(done: impl Fn() -> bool) {
    let since = Instant::now();
    while !done() {
        // Not always at the clock: where that is emulated, nobody can be unwound from it.
        for round in 0..100_000 {
            black_box(round);
        }
        assert!(since.elapsed() < PATIENCE, "nobody noticed");
    }
}

/// Goal: the report names the coroutine and its function. Method: one that computes until the
/// report is there.
#[test]
fn watchdog_names_the_coroutine_that_does_not_yield() {
    let (stalled, stalls) = mpsc::channel::<Stall>();
    let noticed = Arc::new(AtomicBool::new(false));
    let seen = noticed.clone();
    let builder = Builder::new().on_stall(LIMIT, move |stall| {
        stalled.send(stall.clone()).expect("the test waits");
        seen.store(true, Ordering::Release);
    });
    let id = builder.build().expect("a runtime").run(|| {
        let busy = move || user_computes_until(|| noticed.load(Ordering::Acquire));
        let busy = task::Builder::new().name("busy").spawn(busy).expect("a coroutine");
        let id = busy.task().id().get();
        busy.join().expect("noticed");
        id
    });
    let stall = stalls.recv().expect("a stall");
    assert_eq!((stall.id, stall.name.as_deref()), (id, Some("busy")));
    assert!(stall.duration >= LIMIT, "{stall}");
    let named = |frame: &task::Frame| {
        frame.function.as_deref().is_some_and(|name| name.contains("user_computes_until"))
    };
    assert!(!SHOWS_FRAMES || stall.backtrace.iter().any(named), "{stall}");
}

/// Has a frame of many pages, on entry to which the compiler's loop of probes moves the stack
/// pointer.
#[inline(never)]
fn user_keeps_much(number: usize) -> usize {
    let mut local = [number; 8000];
    black_box(&mut local);
    local[number % local.len()]
}

/// How long coroutines are interrupted anywhere, should reports come slowly.
const AWHILE: Duration = Duration::from_secs(5);

/// Goal: wherever a coroutine is interrupted, the report comes and the process stays. Method: for a
/// while, one that resumes another coroutine all the time and has large frames.
#[test]
fn watchdog_may_interrupt_anywhere() {
    let reports = Arc::new(AtomicU32::new(0));
    let count = reports.clone();
    let builder = Builder::new().on_stall(Duration::from_millis(1), move |stall| {
        // To show it is to name its frames.
        assert!(stall.to_string().contains(" without a wait"), "{stall}");
        count.fetch_add(1, Ordering::Release);
    });
    builder.build().expect("a runtime").run(|| {
        cove::spawn(move || {
            let mut squares = Coroutine::new(|suspender: &Suspender<usize, usize>, mut number| {
                loop {
                    number = suspender.suspend(black_box(number * number));
                }
            });
            let (since, mut sum) = (Instant::now(), 0_usize);
            let enough = |count: u32| count >= 30 || count > 0 && since.elapsed() > AWHILE;
            while !enough(reports.load(Ordering::Acquire)) {
                for number in 0..if cfg!(debug_assertions) { 5_000 } else { 500_000 } {
                    let CoroutineState::<_, ()>::Yielded(square) = squares.resume(number) else {
                        unreachable!("it never ends");
                    };
                    sum = sum.wrapping_add(square);
                    if number % 64 == 0 {
                        sum = sum.wrapping_add(user_keeps_much(number));
                    }
                }
                cove::task::yield_now();
                assert!(since.elapsed() < PATIENCE, "only {reports:?} reports");
            }
            black_box(sum);
        })
        .join()
        .expect("no panic");
    });
}

/// Goal: one report for each stall, not one for each look, and another one for the next stall.
/// Method: two stalls, each several times as long as the limit.
#[test]
fn watchdog_reports_each_stall_once() {
    let reports = Arc::new(AtomicU32::new(0));
    let count = reports.clone();
    let builder = Builder::new().on_stall(LIMIT, move |_| {
        count.fetch_add(1, Ordering::Release);
    });
    builder.build().expect("a runtime").run(|| {
        for stall in 1..=2 {
            user_computes_until(|| reports.load(Ordering::Acquire) == stall);
            let noticed = Instant::now();
            user_computes_until(|| noticed.elapsed() > 5 * LIMIT);
            assert_eq!(reports.load(Ordering::Acquire), stall);
            cove::time::sleep(Duration::from_millis(1));
        }
    });
}

/// Goal: who sleeps, or stands still between two runs, is neither reported nor woken. Method: count
/// the sleeps and reports of a runtime that waits for many times the limit.
#[test]
fn watchdog_leaves_sleeping_runtimes_alone() {
    let reports = Arc::new(AtomicU32::new(0));
    let count = reports.clone();
    let builder = Builder::new().on_stall(Duration::from_millis(5), move |_| {
        count.fetch_add(1, Ordering::Release);
    });
    let runtime = builder.build().expect("a runtime");
    let sleeps = runtime.run(|| {
        let before = cove::metrics().sleeps;
        cove::time::sleep(Duration::from_millis(100));
        cove::metrics().sleeps - before
    });
    let since = Instant::now();
    user_computes_until(|| since.elapsed() > Duration::from_millis(50));
    runtime.run(|| assert_eq!(reports.load(Ordering::Acquire), 0));
    // The timer's rounding may take a second one.
    assert!((1..=2).contains(&sleeps), "{sleeps}");
}

fn scenario_stall_on_stderr() {
    let runtime = Builder::new().stall_watchdog(LIMIT).build().expect("a runtime");
    runtime.run(|| {
        let busy = || {
            let since = Instant::now();
            user_computes_until(|| since.elapsed() > 50 * LIMIT);
        };
        let busy = task::Builder::new().name("busy").spawn(busy).expect("a coroutine");
        busy.join().expect("a result");
    });
}

fn raise(signal: Signal) {
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::raise(signal.number()) }, 0);
}

fn scenario_dump() {
    let builder = Builder::new().workers(2).dump_on_signal(SIGUSR1);
    builder.build().expect("a runtime").run(|| {
        let sleeper = || cove::time::sleep(Duration::from_secs(3600));
        let _sleeper = task::Builder::new().name("long sleeper").spawn(sleeper).expect("one");
        task::yield_now();
        raise(SIGUSR1);
        // SLEEP: the other worker's dump has no event to wait for.
        std::thread::sleep(Duration::from_millis(500));
        cove::time::sleep(Duration::from_millis(1));
    });
}

fn scenario_dump_while_computing() {
    let builder = Builder::new().dump_on_signal(SIGUSR1);
    builder.build().expect("a runtime").run(|| {
        let busy = || (0..2).for_each(|_| raise(SIGUSR1));
        let busy = task::Builder::new().name("busy").spawn(busy).expect("a coroutine");
        busy.join().expect("a result");
        cove::time::sleep(Duration::from_millis(1));
    });
}

static EARLIER: AtomicBool = AtomicBool::new(false);

extern "C" fn earlier(_: i32) {
    EARLIER.store(true, Ordering::Relaxed);
}

fn scenario_dump_after_another_handler() {
    let handler = earlier as *const () as usize;
    // SAFETY: the handler is async-signal-safe.
    assert_ne!(unsafe { libc::signal(libc::SIGUSR2, handler) }, libc::SIG_ERR);
    scenario_dump_twice(SIGUSR2);
    assert!(EARLIER.load(Ordering::Relaxed));
}

fn scenario_dump_twice(signal: Signal) {
    let runtime = Builder::new().dump_on_signal(signal).build().expect("a runtime");
    runtime.run(|| {
        for _ in 0..2 {
            raise(signal);
            cove::time::sleep(Duration::from_millis(1));
        }
    });
    drop(runtime);
    // Nobody listens any more; the handler is still there.
    raise(signal);
}

const SCENARIOS: &[(&str, fn())] = &[
    ("stall", scenario_stall_on_stderr),
    ("dump", scenario_dump),
    ("computing", scenario_dump_while_computing),
    ("earlier", scenario_dump_after_another_handler),
];

/// Goal: the children of the other tests. Method: runs the scenario that the environment names.
#[test]
fn scenario() {
    let Ok(name) = std::env::var(SCENARIO) else { return };
    let scenario = SCENARIOS.iter().find(|scenario| scenario.0 == name).expect("a scenario");
    scenario.1();
}

/// Runs a scenario in a child, which must succeed; returns what it wrote to stderr.
fn run(scenario: &str) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "scenario", "--nocapture", "--test-threads=1"]);
    let output = command.env(SCENARIO, scenario).output().expect("a child");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{:?}: {text}", output.status);
    text
}

/// Goal: without a callback the report is on standard error. Method: look for it there.
#[test]
fn watchdog_reports_on_standard_error() {
    let text = run("stall");
    assert_eq!(text.matches(" 'busy' has kept thread ").count(), 1, "{text}");
    assert!(!SHOWS_FRAMES || text.contains("user_computes_until"), "{text}");
}

/// Goal: every worker prints its dump, woken from its sleep if need be. Method: two, one asleep.
#[test]
fn signal_makes_every_worker_print_a_dump() {
    let text = run("dump");
    assert_eq!(text.matches(" coroutines of thread ").count(), 2, "{text}");
    assert!(text.contains(" 'long sleeper' (") && text.contains("parked, sleeping, "), "{text}");
    assert!(!SHOWS_FRAMES || text.contains("cove::time::sleep"), "{text}");
}

/// Goal: a thread that cannot print a dump says why. Method: two signals while one coroutine runs.
#[test]
fn signal_names_the_coroutine_that_keeps_the_dump_waiting() {
    let text = run("computing");
    assert!(text.contains("no dump of this thread yet: it is kept by coroutine "), "{text}");
    assert!(text.contains(" 'busy', which does not wait"), "{text}");
    assert_eq!(text.matches(" coroutines of thread ").count(), 1, "{text}");
}

/// Goal: the handler from before is called; signals after the runtime's end are harmless. Method:
/// a handler that notes it, and one more signal.
#[test]
fn signal_still_reaches_the_handler_from_before() {
    let text = run("earlier");
    assert_eq!(text.matches(" coroutines of thread ").count(), 2, "{text}");
}
