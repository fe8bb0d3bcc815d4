//! Tests of blocking work on the pool.

use super::*;
use crate::task::{Cancelled, yield_now};
use std::cell::Cell;
use std::process::Command;
use std::rc::Rc;
use std::sync::mpsc;

#[test]
fn the_result_comes_back_and_other_coroutines_run_meanwhile() {
    // Goal: only the coroutine waits, not its thread. Method: the job ends when another coroutine
    // of the same thread has let it.
    let value = crate::run(|| {
        let (go, gone) = mpsc::channel();
        let waiter = crate::spawn(move || blocking(move || gone.recv().map(|n: i32| n + 1)));
        yield_now();
        assert!(!waiter.is_finished());
        go.send(41).expect("the job waits");
        waiter.join().expect("no panic").expect("sent")
    });
    assert_eq!(value, 42);
}

#[test]
fn a_panic_of_the_job_goes_on_in_the_coroutine() {
    // Goal: the payload arrives. Method: raise one past the hook, and join.
    let payload = crate::run(|| {
        let job = || blocking(|| -> () { resume_unwind(Box::new("payload")) });
        crate::spawn(job).join().expect_err("a panic")
    });
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"payload"));
}

#[test]
fn outside_a_runtime_the_job_runs_at_once_on_the_thread() {
    // Goal: no pool is needed. Method: compare thread ids.
    let me = thread::current().id();
    assert_eq!(blocking(|| thread::current().id()), me);
    let other = crate::run(|| blocking(|| thread::current().id()));
    assert_ne!(other, me);
}

/// Sends a word when it is dropped.
struct Told(mpsc::Sender<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

#[test]
fn a_cancelled_coroutine_leaves_its_job_which_drops_its_result() {
    // Goal: cancellation ends the wait at once, the job goes on, and nothing leaks. Method: cancel
    // while the job is held up; then let it go, and wait for its result's destructor.
    let (go, gone) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    crate::run(move || {
        let waiter = crate::spawn(move || {
            let told = Told(tell);
            blocking(move || {
                let _ = gone.recv();
                told
            })
        });
        yield_now();
        waiter.cancel();
        assert!(waiter.join().err().expect("cancelled").is::<Cancelled>());
    });
    assert!(told.try_recv().is_err(), "the job holds its value");
    go.send(()).expect("the job waits");
    assert_eq!(told.recv(), Ok("dropped"));
}

#[test]
fn a_cancelled_coroutine_starts_no_job() {
    // Goal: what is cancelled does nothing more. Method: cancel before the call, with a closure
    // that would send a word if it ran.
    let (tell, told) = mpsc::channel();
    crate::run(move || {
        let waiter = crate::spawn(move || {
            crate::task::current().cancel();
            blocking(move || tell.send("ran"))
        });
        assert!(waiter.join().is_err());
    });
    assert!(told.recv().is_err(), "the closure was dropped");
}

#[test]
fn a_thousand_jobs_all_come_back() {
    // Goal: more jobs than threads. Method: a thousand coroutines with a job each; sum the results.
    let sum = crate::run(|| {
        let coroutines: Vec<_> =
            (0..1000_u64).map(|n| crate::spawn(move || blocking(move || n))).collect();
        coroutines.into_iter().map(|it| it.join().expect("no panic")).sum::<u64>()
    });
    assert_eq!(sum, 499_500);
}

#[test]
fn blocking_in_a_destructor_works_while_the_coroutine_unwinds() {
    // Goal: a destructor may use the pool. Method: panic with such a value alive.
    struct Late(Rc<Cell<i32>>);
    impl Drop for Late {
        fn drop(&mut self) {
            self.0.set(blocking(|| 7));
        }
    }
    let seen = crate::run(|| {
        let seen = Rc::new(Cell::new(0));
        let late = Late(seen.clone());
        let unwinding = crate::spawn(move || {
            let _late = late;
            resume_unwind(Box::new(()))
        });
        let joined: thread::Result<()> = unwinding.join();
        assert!(joined.is_err());
        seen.get()
    });
    assert_eq!(seen, 7);
}

/// Set in the child process of the test below.
const ALONE: &str = "COVE_TEST_FULL_QUEUE";

#[test]
fn a_full_queue_makes_the_coroutine_wait_for_room() {
    // Goal: QueueFull is not an error for a coroutine. Method: a queue of one, in a process of its
    // own, since the limits are the process's; twenty jobs, of which the first is held up.
    if std::env::var_os(ALONE).is_none() {
        let test = "task::blocking::tests::a_full_queue_makes_the_coroutine_wait_for_room";
        let mut alone = Command::new(std::env::current_exe().expect("this program"));
        let output = alone.args([test, "--exact"]).env(ALONE, "1").output().expect("a child");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    configure_blocking(BlockingLimits { threads_max: 1, queue_max: 1, ..Default::default() });
    let sum = crate::run(|| {
        let (go, gone) = mpsc::channel::<()>();
        let first = crate::spawn(move || blocking(move || gone.recv().is_ok()));
        let rest: Vec<_> = (0..20).map(|n| crate::spawn(move || blocking(move || n))).collect();
        while pool::stats().queued == 0 {
            yield_now();
        }
        // The queue is full, so others wait to get in; one of them may be cancelled there.
        let late = crate::spawn(|| blocking(|| ()));
        yield_now();
        late.cancel();
        assert!(late.join().is_err());
        go.send(()).expect("the job waits");
        assert!(first.join().expect("no panic"));
        rest.into_iter().map(|it| it.join().expect("no panic")).sum::<i32>()
    });
    assert_eq!(sum, 190);
}
