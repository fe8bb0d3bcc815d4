//! Channels as programs use them: against a model, between runtimes and threads, oneshot, watch.

use cove::sync::mpsc::{self, RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use cove::sync::{oneshot, watch};
use cove::task;
use cove::time::{Duration, Instant};
use proptest::collection::vec;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(3600);

/// What can be done to a channel.
#[derive(Clone, Debug)]
enum Step {
    TrySend,
    Send,
    TryRecv,
    RecvAtOnce,
    Recv,
    Drain,
    AddSender,
    DropSender,
    DropReceiver,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::TrySend),
        4 => Just(Step::Send),
        4 => Just(Step::TryRecv),
        2 => Just(Step::RecvAtOnce),
        4 => Just(Step::Recv),
        1 => Just(Step::Drain),
        1 => Just(Step::AddSender),
        1 => Just(Step::DropSender),
        1 => Just(Step::DropReceiver),
    ]
}

/// Declares a function that takes steps on one library's channel and notes their results. A step
/// that would wait is left out, as the model tells.
macro_rules! player {
    ($name:ident, $mpsc:path) => {
        fn $name(bound: usize, steps: &[Step]) -> Vec<String> {
            use $mpsc as mpsc;
            let (tx, rx) = mpsc::sync_channel(bound);
            let (mut senders, mut receiver) = (vec![tx], Some(rx));
            let (mut log, mut queue) = (Vec::new(), Model::new(bound));
            for (number, step) in steps.iter().enumerate() {
                if queue.skips(step) {
                    continue;
                }
                log.push(match (step, senders.last(), &receiver) {
                    (Step::TrySend, Some(tx), _) => format!("{:?}", tx.try_send(number)),
                    (Step::Send, Some(tx), _) => format!("{:?}", tx.send(number)),
                    (Step::TryRecv, _, Some(rx)) => format!("{:?}", rx.try_recv()),
                    (Step::RecvAtOnce, _, Some(rx)) => {
                        format!("{:?}", rx.recv_timeout(Duration::ZERO))
                    }
                    (Step::Recv, _, Some(rx)) => format!("{:?}", rx.recv()),
                    (Step::Drain, _, Some(rx)) => {
                        format!("{:?}", rx.try_iter().collect::<Vec<_>>())
                    }
                    (Step::AddSender, Some(tx), _) => {
                        senders.push(tx.clone());
                        String::new()
                    }
                    (Step::DropSender, ..) => format!("{}", senders.pop().is_some()),
                    (Step::DropReceiver, ..) => format!("{}", receiver.take().is_some()),
                    _ => String::new(),
                });
                queue.play(number, step);
            }
            log
        }
    };
}

player!(play_cove, mpsc);
player!(play_std, std::sync::mpsc);

/// A channel without waits: what the steps must bring, written down from std's documentation.
struct Model {
    bound: usize,
    values: VecDeque<usize>,
    senders: usize,
    received: bool,
    log: Vec<String>,
}

impl Model {
    fn new(bound: usize) -> Model {
        Model { bound, values: VecDeque::new(), senders: 1, received: true, log: Vec::new() }
    }

    /// Whether the step would wait for somebody.
    fn skips(&self, step: &Step) -> bool {
        match step {
            Step::Send => self.received && self.values.len() >= self.bound,
            Step::Recv => self.values.is_empty() && self.senders > 0,
            _ => false,
        }
    }

    fn play(&mut self, number: usize, step: &Step) {
        let gone = self.senders == 0;
        let line = match step {
            Step::TrySend | Step::Send | Step::AddSender if gone => String::new(),
            Step::TrySend if !self.received => {
                format!("{:?}", Err::<(), _>(TrySendError::Disconnected(number)))
            }
            Step::TrySend if self.values.len() >= self.bound => {
                format!("{:?}", Err::<(), _>(TrySendError::Full(number)))
            }
            Step::Send if !self.received => format!("{:?}", Err::<(), _>(mpsc::SendError(number))),
            Step::TrySend | Step::Send => {
                self.values.push_back(number);
                "Ok(())".into()
            }
            Step::DropReceiver => {
                self.values.clear();
                format!("{}", std::mem::take(&mut self.received))
            }
            Step::DropSender => {
                self.senders = self.senders.saturating_sub(1);
                format!("{}", !gone)
            }
            Step::AddSender => {
                self.senders += 1;
                String::new()
            }
            _ if !self.received => String::new(),
            Step::Drain => format!("{:?}", self.values.drain(..).collect::<Vec<_>>()),
            Step::TryRecv => {
                let none = if gone { TryRecvError::Disconnected } else { TryRecvError::Empty };
                format!("{:?}", self.values.pop_front().ok_or(none))
            }
            Step::RecvAtOnce => {
                let timeout = RecvTimeoutError::Timeout;
                let none = if gone { RecvTimeoutError::Disconnected } else { timeout };
                format!("{:?}", self.values.pop_front().ok_or(none))
            }
            Step::Recv => format!("{:?}", self.values.pop_front().ok_or(mpsc::RecvError)),
        };
        self.log.push(line);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_operation_agrees_with_a_model_and_with_std(
        bound in 0..5usize,
        steps in vec(step(), 0..80),
    ) {
        // Goal: results and errors in any order of operations. Method: the same steps on a deque,
        // on std's channel, on ours in a runtime and on ours without one.
        let mut model = Model::new(bound);
        for (number, step) in steps.iter().enumerate() {
            if !model.skips(step) {
                model.play(number, step);
            }
        }
        prop_assert_eq!(&play_std(bound, &steps), &model.log);
        prop_assert_eq!(&play_cove(bound, &steps), &model.log);
        prop_assert_eq!(&cove::run(|| play_cove(bound, &steps)), &model.log);
    }

    #[test]
    fn values_of_each_sender_stay_in_order_whatever_the_turns(
        bound in 0..4usize,
        senders in vec(vec(any::<bool>(), 0..20), 1..5),
        receiver in vec(0..3u8, 1..10),
    ) {
        // Goal: nothing lost, doubled or overtaken when both sides wait. Method: senders that yield
        // or not between sends, a receiver that mixes its ways of receiving, all at random.
        let total: usize = senders.iter().map(Vec::len).sum();
        let received = cove::run(|| {
            let (tx, rx) = mpsc::sync_channel(bound);
            for (sender, yields) in senders.iter().cloned().enumerate() {
                let tx = tx.clone();
                cove::spawn(move || {
                    for (number, yields) in yields.into_iter().enumerate() {
                        tx.send((sender, number)).expect("a receiver");
                        if yields {
                            task::yield_now();
                        }
                    }
                });
            }
            drop(tx);
            let mut received = Vec::new();
            let mut ways = receiver.iter().cycle();
            loop {
                let value = match ways.next() {
                    Some(0) => rx.recv().ok(),
                    Some(1) => rx.recv_timeout(LONG).ok(),
                    _ => cove::select! { recv(rx) -> value => value.ok() },
                };
                match value {
                    Some(value) => received.push(value),
                    None => return received,
                }
            }
        });
        prop_assert_eq!(received.len(), total);
        for (sender, yields) in senders.iter().enumerate() {
            let of_sender: Vec<_> =
                received.iter().filter(|value| value.0 == sender).map(|value| value.1).collect();
            prop_assert_eq!(of_sender, (0..yields.len()).collect::<Vec<_>>());
        }
    }
}

#[test]
fn runtimes_and_a_thread_pass_values_round() {
    // Goal: every mixture of waiters on two ends. Method: a ring of a runtime, a plain thread and
    // another runtime, with and without room in its channels.
    for bound in [0, 1, 16] {
        let (to_thread, from_first) = mpsc::sync_channel::<u32>(bound);
        let (to_second, from_thread) = mpsc::sync_channel(bound);
        let (to_first, from_second) = mpsc::sync_channel(bound);
        let thread = std::thread::spawn(move || {
            from_first.iter().for_each(|value| to_second.send(value + 1).unwrap());
        });
        let second = std::thread::spawn(move || {
            cove::run(|| from_thread.iter().for_each(|value| to_first.send(value * 2).unwrap()));
        });
        let sum = cove::run(|| {
            let sender = cove::spawn(move || (0..200).for_each(|n| to_thread.send(n).unwrap()));
            let sum: u32 = from_second.iter().sum();
            sender.join().unwrap();
            sum
        });
        assert_eq!(sum, (0..200).map(|n| (n + 1) * 2).sum());
        thread.join().unwrap();
        second.join().unwrap();
    }
}

#[test]
fn end_of_a_runtime_closes_the_channels_of_its_coroutines() {
    // Goal: the other side learns of a runtime's end. Method: a thread waits for a sender, and
    // another with a value for a receiver, that parked coroutines of the runtime hold.
    let (tx, rx) = mpsc::channel::<u32>();
    let (to_parked, from_thread) = mpsc::sync_channel::<u32>(0);
    let receiver = std::thread::spawn(move || (rx.recv(), rx.recv()));
    let sender = std::thread::spawn(move || to_parked.send(1));
    cove::run(|| {
        cove::spawn(move || {
            tx.send(7).unwrap();
            task::park();
            drop((tx, from_thread));
        });
        task::yield_now();
    });
    assert_eq!(receiver.join().unwrap(), (Ok(7), Err(mpsc::RecvError)));
    assert_eq!(sender.join().unwrap(), Err(mpsc::SendError(1)));
}

#[test]
fn timeouts_are_never_early_and_hand_values_back() {
    // Goal: recv_timeout and send_timeout. Method: nobody comes; the clock; then somebody comes.
    cove::run(|| {
        let limit = Duration::from_millis(3);
        let (tx, rx) = mpsc::sync_channel(1);
        let start = Instant::now();
        assert_eq!(rx.recv_timeout(limit), Err(RecvTimeoutError::Timeout));
        assert!(start.elapsed() >= limit);
        tx.send(1).unwrap();
        let start = Instant::now();
        assert_eq!(tx.send_timeout(2, limit), Err(SendTimeoutError::Timeout(2)));
        assert!(start.elapsed() >= limit);
        let sender = cove::spawn(move || tx.send_timeout(3, LONG));
        assert_eq!((rx.recv_timeout(LONG), rx.recv_timeout(LONG)), (Ok(1), Ok(3)));
        assert_eq!(sender.join().unwrap(), Ok(()));
        assert_eq!(rx.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    });
}

#[test]
fn values_that_nobody_takes_are_dropped_once() {
    // Goal: no value leaks or is dropped twice. Method: count an Rc in queues, in senders that
    // wait, and in an error.
    let value = Rc::new(());
    cove::run(|| {
        let (tx, rx) = mpsc::sync_channel(2);
        let (started, value) = (Rc::new(Cell::new(0)), value.clone());
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let (tx, value, started) = (tx.clone(), value.clone(), started.clone());
                cove::spawn(move || {
                    started.set(started.get() + 1);
                    tx.send(value).is_ok()
                })
            })
            .collect();
        crate::support::until(|| started.get() == 4);
        assert_eq!(Rc::strong_count(&value), 6);
        drop(rx);
        let sent: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        assert_eq!(sent, [true, true, false, false]);
        let refused = tx.send(value.clone()).unwrap_err();
        assert_eq!(Rc::strong_count(&value), 3);
        drop(refused);
    });
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn oneshot_carries_an_answer_from_wherever() {
    // Goal: requests with answers. Method: a server coroutine, a thread that answers, one gone.
    cove::run(|| {
        let (requests, inbox) = mpsc::channel::<(u32, oneshot::Sender<u32>)>();
        cove::spawn(move || {
            for (number, answer) in inbox {
                match number {
                    0 => drop(answer),
                    1 => drop(std::thread::spawn(move || answer.send(11))),
                    _ => assert_eq!(answer.send(number * 2), Ok(())),
                }
            }
        });
        let ask = |number| {
            let (answer, answers) = oneshot::channel();
            requests.send((number, answer)).unwrap();
            answers.recv()
        };
        assert_eq!((ask(0), ask(1), ask(2)), (Err(oneshot::RecvError), Ok(11), Ok(4)));
        let (answer, answers) = oneshot::channel();
        assert_eq!(answers.recv_timeout(Duration::ZERO), Err(oneshot::RecvTimeoutError::Timeout));
        drop(answers);
        assert!(answer.is_closed());
        assert_eq!(answer.send("back"), Err("back"));
    });
}

#[test]
fn watch_shows_the_last_value_and_when_it_changed() {
    // Goal: every method of both ends. Method: a sequence whose results are known.
    let (tx, rx) = watch::channel(1);
    assert_eq!((*rx.borrow(), rx.has_changed(), tx.receiver_count()), (1, Ok(false), 1));
    tx.send(2).unwrap();
    assert_eq!((rx.has_changed(), *rx.borrow(), rx.has_changed()), (Ok(true), 2, Ok(true)));
    assert_eq!((*rx.borrow_and_update(), rx.has_changed()), (2, Ok(false)));
    assert_eq!(tx.send_replace(3), 2);
    tx.send_modify(|value| *value += 1);
    assert!(!tx.send_if_modified(|_| false));
    assert!(tx.send_if_modified(|value| std::mem::replace(value, 5) != 5));
    assert_eq!((rx.changed(), *rx.borrow()), (Ok(()), 5));
    let (late, other) = (tx.subscribe(), tx.clone());
    assert_eq!((late.has_changed(), tx.receiver_count()), (Ok(false), 2));
    other.send(6).unwrap();
    assert_eq!(late.wait_for(|value| *value == 6).map(|value| *value), Ok(6));
    drop((tx, other));
    assert_eq!((rx.changed(), rx.changed()), (Ok(()), Err(watch::RecvError)));
    assert_eq!(*rx.borrow(), 6);
    assert!(rx.wait_for(|value| *value == 7).is_err());
    let (tx, rx) = watch::channel(1);
    drop(rx);
    assert_eq!(tx.send(2), Err(watch::SendError(2)));
}

#[test]
fn watchers_of_runtimes_and_threads_reach_the_last_value() {
    // Goal: nobody sleeps through the last change. Method: a sender counts up while coroutines and
    // a thread watch; each must see numbers that only grow, up to the last.
    let (tx, rx) = watch::channel(0);
    let watch_all = |rx: watch::Receiver<u32>| {
        let mut seen = 0;
        while rx.changed().is_ok() {
            let now = *rx.borrow_and_update();
            assert!(now > seen);
            seen = now;
        }
        seen
    };
    let of_thread = rx.clone();
    let thread = std::thread::spawn(move || watch_all(of_thread));
    cove::run(|| {
        let watchers: Vec<_> =
            (0..3).map(|_| rx.clone()).map(|rx| cove::spawn(move || watch_all(rx))).collect();
        for number in 1..=200 {
            tx.send(number).unwrap();
            task::yield_now();
        }
        drop(tx);
        watchers.into_iter().for_each(|watcher| assert_eq!(watcher.join().unwrap(), 200));
    });
    assert_eq!(thread.join().unwrap(), 200);
}
