//! `select!`: every kind of arm, several ready ones, fairness, limits, loops, threads.

use cove::sync::{mpsc, oneshot, watch};
use cove::task;
use cove::time::{Duration, Instant, interval, sleep, timeout};

/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn the_arm_that_is_ready_is_taken_and_no_other() {
    // Goal: each kind of arm alone ready. Method: the others never are; what was not chosen keeps
    // its value.
    cove::run(|| {
        let (tx, rx) = mpsc::channel::<u32>();
        let (full, queue) = mpsc::sync_channel(1);
        let (answer, answers) = oneshot::channel::<u32>();
        let (version, versions) = watch::channel(0);
        full.send(1).unwrap();
        let turn = || {
            cove::select! {
                recv(rx) -> value => format!("recv {value:?}"),
                send(full, 2) -> sent => format!("send {sent:?}"),
                recv(answers) -> value => format!("answer {value:?}"),
                recv(versions) -> changed => format!("changed {changed:?} {}", *versions.borrow()),
                default => "default".to_string(),
            }
        };
        assert_eq!(turn(), "default");
        tx.send(5).unwrap();
        assert_eq!((turn(), turn()), ("recv Ok(5)".into(), "default".into()));
        assert_eq!(queue.recv(), Ok(1));
        assert_eq!((turn(), turn()), ("send Ok(())".into(), "default".into()));
        version.send(3).unwrap();
        assert_eq!((turn(), turn()), ("changed Ok(()) 3".into(), "default".into()));
        answer.send(9).unwrap();
        assert_eq!(turn(), "answer Ok(9)");
        // Received: from now on that arm says that nothing will come.
        assert_eq!(turn(), "answer Err(RecvError)");
    });
}

#[test]
fn ends_that_are_gone_make_their_arms_ready() {
    // Goal: disconnection is an event. Method: drop the other end before and during the wait.
    cove::run(|| {
        let (tx, rx) = mpsc::channel::<u32>();
        let (out, sink) = mpsc::sync_channel::<u32>(0);
        let waiter = cove::spawn(move || {
            cove::select! {
                recv(rx) -> value => assert!(value.is_err()),
                after(LONG) => panic!("slept through it"),
            }
            cove::select! {
                send(out, 1) -> sent => sent.unwrap_err().0,
                after(LONG) => panic!("slept through it"),
            }
        });
        task::yield_now();
        drop(tx);
        task::yield_now();
        drop(sink);
        assert_eq!(waiter.join().unwrap(), 1);
    });
}

#[test]
fn one_of_several_ready_arms_is_taken_and_each_gets_its_turn() {
    // Goal: one event for one select!, and no arm starves. Method: two full queues and one with
    // room; drain by select! alone and count.
    cove::run(|| {
        const ROUNDS: usize = 300;
        let (one, first) = mpsc::channel();
        let (two, second) = mpsc::channel();
        let (three, third) = mpsc::sync_channel(ROUNDS);
        for number in 0..ROUNDS {
            one.send(number).unwrap();
            two.send(number).unwrap();
        }
        let mut counts = [0; 3];
        for _ in 0..ROUNDS {
            cove::select! {
                recv(first) -> number => {
                    assert_eq!(number, Ok(counts[0]));
                    counts[0] += 1;
                }
                recv(second) -> number => {
                    assert_eq!(number, Ok(counts[1]));
                    counts[1] += 1;
                }
                send(three, counts[2]) -> sent => {
                    sent.unwrap();
                    counts[2] += 1;
                }
            }
        }
        assert_eq!(counts.iter().sum::<usize>(), ROUNDS);
        // By chance alone an arm would be below a tenth once in more than 10^15 times.
        assert!(counts.iter().all(|count| *count > ROUNDS / 10), "{counts:?}");
        assert_eq!(third.try_iter().count(), counts[2]);
        assert_eq!(first.try_iter().count(), ROUNDS - counts[0]);
        assert_eq!(second.try_iter().count(), ROUNDS - counts[1]);
    });
}

#[test]
fn times_are_waited_for_and_the_earliest_counts() {
    // Goal: after, at, default with a limit. Method: clocks around waits that nothing else ends.
    cove::run(|| {
        let (_tx, rx) = mpsc::channel::<u32>();
        let limit = Duration::from_millis(2);
        let start = Instant::now();
        let chosen = cove::select! {
            recv(rx) -> _ => "value",
            after(LONG) => "long",
            after(limit) => "short",
        };
        assert!(chosen == "short" && start.elapsed() >= limit);
        let instant = Instant::now() + limit;
        cove::select! {
            at(instant) => assert!(Instant::now() >= instant),
            recv(rx) -> _ => panic!("nobody sends"),
        }
        let start = Instant::now();
        let chosen = cove::select! {
            recv(rx) -> _ => false,
            default(limit) => true,
        };
        assert!(chosen && start.elapsed() >= limit);
        // What is long past is as good as now.
        cove::select! {
            at(start) => {}
            after(LONG) => panic!("waited"),
        }
    });
}

#[test]
fn arms_may_leave_loops_and_functions() {
    // Goal: expressions with control flow. Method: a loop that is broken, a function with `?`.
    fn first_even(numbers: &mpsc::Receiver<u32>) -> Result<u32, mpsc::RecvError> {
        loop {
            cove::select! {
                recv(numbers) -> number => {
                    let number = number?;
                    if number % 2 == 0 {
                        return Ok(number);
                    }
                }
                after(LONG) => break Ok(0),
            }
        }
    }
    cove::run(|| {
        let (tx, rx) = mpsc::channel();
        [1, 3, 4, 5].into_iter().for_each(|number| tx.send(number).unwrap());
        drop(tx);
        assert_eq!(first_even(&rx), Ok(4));
        assert_eq!(first_even(&rx), Err(mpsc::RecvError));
    });
}

#[test]
fn a_server_loop_serves_commands_ticks_and_its_end() {
    // Goal: the loop that servers are made of. Method: commands, a ticker, a stop by oneshot; all
    // must have had their turns.
    cove::run(|| {
        let (commands, inbox) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let (ticks, ticker) = mpsc::sync_channel(1);
        cove::spawn(move || {
            let mut interval = interval(Duration::from_micros(200));
            while ticks.send(interval.tick()).is_ok() {}
        });
        let server = cove::spawn(move || {
            let (mut sum, mut ticked) = (0, 0);
            loop {
                cove::select! {
                    recv(inbox) -> number => sum += number.unwrap_or(0),
                    recv(ticker) -> tick => ticked += usize::from(tick.is_ok()),
                    recv(stopped) -> reason => return (sum, ticked, reason),
                }
            }
        });
        for number in 1..=10 {
            commands.send(number).unwrap();
            sleep(Duration::from_micros(500));
        }
        stop.send("enough").unwrap();
        let (sum, ticked, reason) = server.join().unwrap();
        assert_eq!((sum, reason), (55, Ok("enough")));
        assert!(ticked > 0);
        drop(commands);
    });
}

#[test]
fn selections_of_threads_and_runtimes_share_the_work() {
    // Goal: no value is lost or doubled whoever waits how. Method: producers in a thread and a
    // runtime; consumers select over both queues, one in a runtime, one on a plain thread.
    let (one, first) = mpsc::channel::<u64>();
    let (two, second) = mpsc::sync_channel::<u64>(3);
    let (results, sums) = mpsc::channel();
    let forward = move |first: mpsc::Receiver<u64>, second: mpsc::Receiver<u64>| {
        let (mut sum, mut open) = (0, 2);
        let (mut is_first_open, mut is_second_open) = (true, true);
        while open > 0 {
            let value = if is_first_open && is_second_open {
                cove::select! {
                    recv(first) -> value => { is_first_open = value.is_ok(); value }
                    recv(second) -> value => { is_second_open = value.is_ok(); value }
                }
            } else if is_first_open {
                first.recv().inspect_err(|_| is_first_open = false)
            } else {
                second.recv().inspect_err(|_| is_second_open = false)
            };
            match value {
                Ok(value) => sum += value,
                Err(_) => open -= 1,
            }
        }
        results.send(sum).unwrap();
    };
    let (three, third) = mpsc::channel::<u64>();
    let (four, fourth) = mpsc::sync_channel::<u64>(0);
    let on_thread = forward.clone();
    let thread = std::thread::spawn(move || on_thread(third, fourth));
    let producer = std::thread::spawn(move || {
        (1..=500).for_each(|n| one.send(n).unwrap());
        (1..=500).for_each(|n| four.send(n).unwrap());
    });
    cove::run(|| {
        let consumer = cove::spawn(move || forward(first, second));
        for number in 1..=500 {
            two.send(number).unwrap();
            three.send(number).unwrap();
        }
        drop((two, three));
        consumer.join().unwrap();
    });
    producer.join().unwrap();
    thread.join().unwrap();
    assert_eq!(sums.iter().collect::<Vec<_>>(), [500 * 501, 500 * 501]);
}

#[test]
fn deadline_scopes_end_a_selection_and_lose_nothing() {
    // Goal: time::timeout around select!. Method: nothing is ready until the time is up; then the
    // channels still work.
    cove::run(|| {
        let (tx, rx) = mpsc::channel();
        let late = timeout(Duration::from_millis(1), || {
            cove::select! {
                recv(rx) -> value => value,
                after(LONG) => Ok(0),
            }
        });
        assert!(late.is_err());
        tx.send(1).unwrap();
        cove::select! {
            recv(rx) -> value => assert_eq!(value, Ok(1)),
            after(LONG) => panic!("the value is lost"),
        }
    });
}
