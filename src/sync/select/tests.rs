//! Tests of `select!`.

use crate::scheduler::unwind::Cancelled;
use crate::sync::{mpsc, oneshot, watch};
use crate::task::yield_now;
use mpsc::{TryRecvError, TrySendError};
use std::cell::Cell;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

const MOMENT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn every_ready_arm_gets_its_turn() {
    // Goal: no ready arm starves. Method: three are always ready; count over many rounds.
    let ((a, from_a), (b, from_b), (c, _from_c)) =
        (mpsc::channel(), mpsc::channel(), mpsc::channel());
    let mut chosen = [0; 3];
    for _ in 0..3_000 {
        a.send(()).unwrap();
        b.send(()).unwrap();
        crate::select! {
            recv(from_a) -> value => { value.unwrap(); chosen[0] += 1 }
            recv(from_b) -> value => { value.unwrap(); chosen[1] += 1 }
            send(c, ()) -> sent => { sent.unwrap(); chosen[2] += 1 }
        }
    }
    assert!(chosen.iter().all(|count| (700..1300).contains(count)), "{chosen:?}");
}

#[test]
fn waits_end_with_whichever_comes_first() {
    // Goal: each kind of arm ends a wait. Method: one after the other, the rest silent.
    crate::run(|| {
        let (values, numbers) = mpsc::channel();
        let (room, full) = mpsc::sync_channel(1);
        let (answer, answered) = oneshot::channel();
        let (change, changes) = watch::channel(0);
        room.send(0).unwrap();
        let waiter = crate::spawn(move || {
            let mut log = Vec::new();
            while log.len() < 5 {
                crate::select! {
                    recv(numbers) -> number => log.push(format!("number {number:?}")),
                    send(room, 1) -> sent => log.push(format!("sent {sent:?}")),
                    recv(answered) -> answer => {
                        if answer.is_ok() || log.len() == 4 {
                            log.push(format!("answer {answer:?}"));
                        }
                        yield_now()
                    }
                    recv(changes) -> change => log.push(format!("{change:?} {}", changes.borrow())),
                    after(LONG) => unreachable!(),
                }
            }
            (log, numbers, changes)
        });
        yield_now();
        values.send(7).unwrap();
        yield_now();
        change.send(8).unwrap();
        yield_now();
        assert_eq!(full.recv(), Ok(0));
        yield_now();
        answer.send("yes").unwrap();
        yield_now();
        drop(values);
        let (log, ..) = waiter.join().unwrap();
        assert_eq!(log[..4], ["number Ok(7)", "Ok(()) 8", "sent Ok(())", "answer Ok(\"yes\")"]);
    });
}

#[test]
fn limits_and_timers_are_kept() {
    // Goal: default, default(t), after and at. Method: nothing else is ever ready.
    let check = || {
        let (_tx, rx) = mpsc::channel::<i32>();
        assert_eq!(crate::select! { recv(rx) -> _ => 1, default => 2 }, 2);
        let start = Instant::now();
        assert_eq!(crate::select! { recv(rx) -> _ => 1, default(MOMENT) => 2 }, 2);
        assert!(start.elapsed() >= MOMENT);
        let chosen = crate::select! {
            recv(rx) -> _ => 1,
            after(LONG) => 2,
            at(Instant::now() + MOMENT) => 3,
            default(LONG) => 4,
        };
        assert_eq!(chosen, 3);
        assert!(start.elapsed() >= 2 * MOMENT);
    };
    check();
    crate::run(check);
}

#[test]
fn value_is_computed_only_for_a_chosen_send() {
    // Goal: an unchosen send keeps its value; a panic in the computation gives the place back.
    // Method: a full channel; then one with room, in which the expression panics.
    crate::run(|| {
        let (tx, rx) = mpsc::sync_channel(1);
        let value = String::from("kept");
        tx.send(String::new()).unwrap();
        let value = crate::select! {
            send(tx, value) -> _ => unreachable!(),
            default => value,
        };
        assert_eq!(rx.recv().as_deref(), Ok(""));
        let sender = tx.clone();
        let failed = crate::spawn(move || {
            let compute = || -> String { panic!("on purpose") };
            crate::select! { send(sender, compute()) -> _ => () }
        });
        assert!(failed.join().is_err());
        assert_eq!(tx.try_send(value), Ok(()));
        assert_eq!(tx.try_send(String::new()), Err(TrySendError::Full(String::new())));
        assert_eq!(rx.try_recv().as_deref(), Ok("kept"));
    });
}

#[test]
fn cancelled_selection_leaves_every_queue() {
    // Goal: no value goes to who was cancelled, none is lost after a decision.
    // Method: cancel while it waits; and after a value was given, before it runs.
    crate::run(|| {
        let (a, from_a) = mpsc::channel();
        let (b, from_b) = mpsc::sync_channel::<i32>(0);
        let (from_a, b) = (Rc::new(from_a), Rc::new(b));
        let select = || {
            let (from_a, b) = (from_a.clone(), b.clone());
            crate::spawn(move || {
                crate::select! {
                    recv(*from_a) -> value => value.unwrap(),
                    send(*b, 1) -> _ => -1,
                }
            })
        };
        let waiter = select();
        yield_now();
        waiter.cancel();
        assert!(waiter.join().unwrap_err().is::<Cancelled>());
        a.send(1).unwrap();
        assert_eq!(from_a.try_recv(), Ok(1));
        assert_eq!(from_b.try_recv(), Err(TryRecvError::Empty));

        let waiter = select();
        yield_now();
        a.send(2).unwrap();
        waiter.cancel();
        assert_eq!(waiter.join().unwrap(), 2);
    });
}

#[test]
fn selections_meet_each_other_without_a_buffer() {
    // Goal: two selections rendezvous, in either role, on one thread and across threads, and a
    // selection never with itself. Method: both offer to send and to receive; sums agree.
    const ROUNDS: u64 = 3_000;
    let (to_right, from_left) = mpsc::sync_channel(0);
    let (to_left, from_right) = mpsc::sync_channel(0);
    crate::run(|| {
        crate::select! {
            send(to_right, 0) -> _ => unreachable!(),
            recv(from_left) -> _ => unreachable!(),
            default(MOMENT) => (),
        }
    });
    type Ends = (mpsc::SyncSender<u64>, mpsc::Receiver<u64>);
    let play = |(tx, rx): Ends| {
        let (mut sent, mut received) = (0, 0);
        for round in 0..ROUNDS {
            crate::select! {
                send(tx, round) -> result => if result.is_ok() { sent += round },
                recv(rx) -> value => received += value.unwrap_or(0),
            }
        }
        // What the other still wants to send or to receive.
        drop(tx);
        (sent, received + rx.iter().sum::<u64>())
    };
    let drain = |pair: ((u64, u64), (u64, u64))| {
        assert_eq!((pair.0.0, pair.0.1), (pair.1.1, pair.1.0));
    };
    let (left, right) = ((to_right, from_right), (to_left, from_left));
    let other = thread::spawn(move || crate::run(|| play(right)));
    drain((crate::run(|| play(left)), other.join().unwrap()));

    let (to_right, from_left) = mpsc::sync_channel(0);
    let (to_left, from_right) = mpsc::sync_channel(0);
    crate::run(|| {
        let other = crate::spawn(move || play((to_left, from_left)));
        drain((play((to_right, from_right)), other.join().unwrap()));
    });
}

#[test]
fn selection_meets_plain_operations_without_a_buffer() {
    // Goal: a waiting select! serves recv, try_recv and send. Method: each against one.
    crate::run(|| {
        let (tx, rx) = mpsc::sync_channel(0);
        let sender = crate::spawn(move || {
            let computed = Cell::new(0);
            let compute = |round| {
                yield_now();
                computed.set(round + 1);
                round
            };
            for round in 0..2 {
                crate::select! { send(tx, compute(round)) -> sent => sent.unwrap() }
            }
            (computed.get(), tx)
        });
        yield_now();
        assert_eq!(rx.try_recv(), Ok(0));
        assert_eq!(rx.recv(), Ok(1));
        let (computed, tx) = sender.join().unwrap();
        assert_eq!(computed, 2);

        let receiver = crate::spawn(move || crate::select! { recv(rx) -> value => (value, rx) });
        yield_now();
        assert_eq!(tx.try_send(2), Ok(()));
        let (value, _rx) = receiver.join().unwrap();
        assert_eq!(value, Ok(2));
        assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)));
    });
}

#[test]
fn selections_on_many_threads_neither_lose_nor_double() {
    // Goal: checksums hold when several selections compete for each channel.
    // Method: two threads send by select! over two bounded channels; this one's coroutines share
    // both receivers, and a watch tells them the end.
    const EACH: u64 = 5_000;
    let ((a, from_a), (b, from_b)) = (mpsc::sync_channel(1), mpsc::sync_channel(3));
    let (stop, stopped) = watch::channel(false);
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let (a, b) = (a.clone(), b.clone());
            thread::spawn(move || {
                crate::run(|| {
                    for value in 1..=EACH {
                        crate::select! {
                            send(a, value) -> sent => sent.unwrap(),
                            send(b, value) -> sent => sent.unwrap(),
                        }
                    }
                })
            })
        })
        .collect();
    let sum = crate::run(|| {
        let (from_a, from_b) = (Rc::new(from_a), Rc::new(from_b));
        let (sum, count) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let stop = Rc::new(stop);
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let (from_a, from_b, stopped) = (from_a.clone(), from_b.clone(), stopped.clone());
                let (sum, count, stop) = (sum.clone(), count.clone(), stop.clone());
                crate::spawn(move || {
                    loop {
                        let value = crate::select! {
                            recv(*from_a) -> value => value.unwrap(),
                            recv(*from_b) -> value => value.unwrap(),
                            recv(stopped) -> _ => break,
                        };
                        sum.set(sum.get() + value);
                        count.set(count.get() + 1);
                        if count.get() == 2 * EACH {
                            stop.send(true).unwrap();
                        }
                    }
                })
            })
            .collect();
        receivers.into_iter().for_each(|receiver| receiver.join().unwrap());
        sum.get()
    });
    assert_eq!(sum, EACH * (EACH + 1));
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}

#[test]
fn arms_take_every_shape_of_expression() {
    // Goal: temporaries as sources, control flow out of arms, patterns. Method: it compiles, runs.
    struct Holder(mpsc::Sender<(u8, u8)>, mpsc::Receiver<(u8, u8)>);
    impl Holder {
        fn rx(&self) -> &mpsc::Receiver<(u8, u8)> {
            &self.1
        }
    }
    fn orphan() -> mpsc::Receiver<()> {
        mpsc::channel().1
    }
    fn run(holder: Holder) -> Result<u8, mpsc::RecvError> {
        let mut sum = 0;
        loop {
            holder.0.send((1, 2)).unwrap();
            crate::select! {
                recv(holder.rx()) -> pair => {
                    let (first, second) = pair?;
                    sum += first + second;
                    if sum < 9 {
                        continue;
                    }
                    break;
                },
            }
        }
        crate::select! {
            recv(orphan()) -> gone => {
                assert!(gone.is_err());
                drop(holder);
                Ok(sum)
            }
            after(LONG) => Ok(0)
        }
    }
    let (tx, rx) = mpsc::channel();
    assert_eq!(run(Holder(tx, rx)), Ok(9));
}

#[test]
fn time_that_has_come_already_lets_the_others_run() {
    // Goal: a loop that is always late does not keep the thread. Method: one that ends only when
    // another coroutine has run.
    let ran = std::rc::Rc::new(std::cell::Cell::new(false));
    crate::run(|| {
        let (note, (_tx, rx)) = (ran.clone(), mpsc::channel::<()>());
        crate::spawn(move || note.set(true));
        let rounds = (0..1000).take_while(|_| {
            crate::select! {
                recv(rx) -> gone => unreachable!("{gone:?}"),
                after(Duration::ZERO) => (),
            }
            !ran.get()
        });
        assert_eq!(rounds.count(), 0);
    });
}
