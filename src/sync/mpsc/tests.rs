//! Tests of channels.

use super::*;
use crate::scheduler::unwind::Cancelled;
use crate::scheduler::{Scheduler, wait::WaitKind};
use crate::task::{JoinHandle, yield_now};
use crate::time::timeout;
use proptest::{collection::vec, prelude::*};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

const MOMENT: Duration = Duration::from_millis(1);

/// The number of coroutines of this thread that wait in a way.
fn waiting(kind: WaitKind) -> usize {
    let mut count = 0;
    let scheduler = Scheduler::current().expect("inside a runtime");
    scheduler.for_each_task(|task| count += usize::from(task.kind.get() == kind));
    count
}

/// Lets others run until so many wait.
fn until_waiting(kind: WaitKind, count: usize) {
    while waiting(kind) != count {
        yield_now();
    }
}

fn assert_cancelled<T>(handle: JoinHandle<T>) {
    assert!(handle.join().err().expect("it has returned").is::<Cancelled>());
}

#[test]
fn values_arrive_in_the_order_of_each_sender() {
    // Goal: first in, first out, whether the receiver waits, lags or takes a burst.
    // Method: consecutive numbers in batches of every size around a block's.
    crate::run(|| {
        let (tx, rx) = channel();
        let sender = crate::spawn(move || {
            let mut number = 0;
            for batch in (0..20).chain([300]) {
                for _ in 0..batch {
                    tx.send(number).unwrap();
                    number += 1;
                }
                yield_now();
            }
            number
        });
        assert!(rx.iter().enumerate().all(|(index, number)| index == number));
        assert_eq!(sender.join().unwrap(), 490);
    });
}

#[test]
fn both_ends_learn_that_the_other_is_gone() {
    // Goal: disconnection in either direction, for who waits and for who comes later.
    // Method: drop the last end while the other waits in each kind of wait.
    crate::run(|| {
        let (tx, rx) = channel::<i32>();
        let other = tx.clone();
        let receiver = crate::spawn(move || rx.recv());
        until_waiting(WaitKind::Receive, 1);
        drop(tx);
        yield_now();
        assert_eq!(waiting(WaitKind::Receive), 1, "one sender is left");
        drop(other);
        assert_eq!(receiver.join().unwrap(), Err(RecvError));

        for bound in [0, 1] {
            let (tx, rx) = sync_channel(bound);
            (0..bound).for_each(|_| tx.send("queued").unwrap());
            let blocked =
                crate::spawn(move || (tx.send("blocked"), tx.send("late"), tx.try_send("last")));
            until_waiting(WaitKind::Send, 1);
            drop(rx);
            let gone = TrySendError::Disconnected("last");
            let expected = (Err(SendError("blocked")), Err(SendError("late")), Err(gone));
            assert_eq!(blocked.join().unwrap(), expected);
        }
    });
}

#[test]
fn sending_waits_exactly_while_the_channel_is_full() {
    // Goal: the bound holds, blocked senders go on in order, one for each value taken.
    // Method: five coroutines send into a channel of two.
    crate::run(|| {
        let (tx, rx) = sync_channel(2);
        for number in 0..5 {
            let tx = tx.clone();
            crate::spawn(move || tx.send(number).unwrap());
        }
        for (blocked, number) in [3, 2, 1, 0, 0].into_iter().zip(0..) {
            until_waiting(WaitKind::Send, blocked);
            assert_eq!(
                tx.try_send(9),
                if number < 4 { Err(TrySendError::Full(9)) } else { Ok(()) }
            );
            assert_eq!(rx.recv(), Ok(number));
        }
        assert_eq!(rx.try_recv(), Ok(9));
    });
}

#[test]
fn rendezvous_ends_when_the_value_is_taken() {
    // Goal: with bound 0 nobody sends without a receiver, or returns before it has come.
    // Method: the order of events of both sides, each coming first once.
    crate::run(|| {
        let (tx, rx) = sync_channel(0);
        assert_eq!(tx.try_send(0), Err(TrySendError::Full(0)));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        let events = Rc::new(RefCell::new(Vec::new()));
        let log = events.clone();
        let sender = crate::spawn(move || {
            tx.send(1).unwrap();
            log.borrow_mut().push("sent 1");
            tx
        });
        until_waiting(WaitKind::Send, 1);
        events.borrow_mut().push("receive 1");
        assert_eq!(rx.recv(), Ok(1));
        let tx = sender.join().unwrap();
        assert_eq!(*events.borrow(), ["receive 1", "sent 1"]);

        let receiver = crate::spawn(move || (rx.recv(), rx.recv()));
        until_waiting(WaitKind::Receive, 1);
        assert_eq!(tx.try_send(2), Ok(()));
        assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)), "the receiver has its value");
        tx.send(4).unwrap();
        assert_eq!(receiver.join().unwrap(), (Ok(2), Ok(4)));
    });
}

#[test]
fn values_of_many_threads_all_arrive_once() {
    // Goal: no loss, no duplicate, order by sender, with runtimes and plain threads on both sides.
    // Method: four threads of two coroutines send numbered values; every kind of channel.
    const EACH: u64 = 2_000;
    fn check(bound: Option<usize>, receive_in_runtime: bool) {
        let (tx, rx) = match bound {
            Some(bound) => sync_channel(bound),
            None => {
                let (tx, rx) = channel();
                (SyncSender { channel: tx.channel.clone() }, {
                    tx.channel.add_sender();
                    rx
                })
            }
        };
        let send = |tx: SyncSender<_>, sender: usize| {
            (0..EACH).for_each(|number| tx.send((sender, number)).unwrap());
        };
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (first, second) = (tx.clone(), tx.clone());
                thread::spawn(move || match thread {
                    0 => (send(first, 0), send(second, 1)),
                    _ => crate::run(|| {
                        let other = crate::spawn(move || send(first, 2 * thread));
                        (send(second, 2 * thread + 1), other.join().unwrap())
                    }),
                })
            })
            .collect();
        drop(tx);
        let receive = move || {
            let mut next = [0; 8];
            for (sender, number) in &rx {
                assert_eq!(next[sender], number, "sender {sender} of {bound:?}");
                next[sender] += 1;
            }
            next
        };
        let next = if receive_in_runtime { crate::run(receive) } else { receive() };
        assert_eq!(next, [EACH; 8]);
        for thread in threads {
            thread.join().unwrap();
        }
    }
    for bound in [None, Some(0), Some(1), Some(16)] {
        check(bound, true);
        check(bound, false);
    }
}

#[test]
fn coroutines_may_share_a_receiver() {
    // Goal: each value reaches one of the coroutines that wait, though several are woken at once.
    // Method: three of them share the receiver; values come singly, in bursts, from two threads.
    crate::run(|| {
        let (tx, rx) = channel();
        let (rx, sums) = (Rc::new(rx), Rc::new(RefCell::new([0; 3])));
        let receivers: Vec<_> = (0..3)
            .map(|index| {
                let (rx, sums) = (rx.clone(), sums.clone());
                crate::spawn(move || {
                    rx.iter().for_each(|value: u64| sums.borrow_mut()[index] += value)
                })
            })
            .collect();
        until_waiting(WaitKind::Receive, 3);
        let remote = tx.clone();
        let thread =
            thread::spawn(move || (0..5_000).for_each(|value| remote.send(value).unwrap()));
        for value in 0..5_000 {
            tx.send(value).unwrap();
            if value % 7 == 0 {
                yield_now();
            }
        }
        drop(tx);
        receivers.into_iter().for_each(|receiver| receiver.join().unwrap());
        thread.join().unwrap();
        assert_eq!(sums.borrow().iter().sum::<u64>(), 4_999 * 5_000);
    });
}

#[test]
fn cancelled_waits_lose_no_value_and_send_none() {
    // Goal: who is cancelled leaves the queue; a value handed over before that is still received.
    // Method: cancel a receiver and a sender that wait, and a receiver between hand-over and run.
    crate::run(|| {
        let (tx, rx) = sync_channel(1);
        let rx = Rc::new(rx);
        let receive = |rx: &Rc<Receiver<_>>| {
            let rx = rx.clone();
            crate::spawn(move || rx.recv())
        };
        let receiver = receive(&rx);
        until_waiting(WaitKind::Receive, 1);
        receiver.cancel();
        assert_cancelled(receiver);

        let receiver = receive(&rx);
        until_waiting(WaitKind::Receive, 1);
        tx.send(Rc::new(1)).unwrap();
        receiver.cancel();
        assert_eq!(receiver.join().unwrap(), Ok(Rc::new(1)));

        let kept = Rc::new(3);
        tx.send(Rc::new(2)).unwrap();
        let sender = {
            let (tx, kept) = (tx.clone(), kept.clone());
            crate::spawn(move || tx.send(kept))
        };
        until_waiting(WaitKind::Send, 1);
        assert_eq!(Rc::strong_count(&kept), 2);
        sender.cancel();
        assert_cancelled(sender);
        assert_eq!(Rc::strong_count(&kept), 1);
        assert_eq!((rx.recv(), rx.try_recv()), (Ok(Rc::new(2)), Err(TryRecvError::Empty)));
    });
}

#[test]
fn deadline_scopes_end_waits() {
    // Goal: an enclosing deadline unwinds out of a wait that has none, or a later one.
    // Method: scopes around each kind; nothing is sent thereby.
    crate::run(|| {
        let (tx, rx) = sync_channel(0);
        assert!(timeout(MOMENT, || rx.recv_timeout(MOMENT * 100_000)).is_err());
        assert!(timeout(MOMENT, || rx.recv()).is_err());
        assert!(timeout(MOMENT, || tx.send(1)).is_err());
        assert!(timeout(MOMENT, || crate::select! { recv(rx) -> value => value }).is_err());
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
    });
}

#[test]
fn a_send_that_fails_was_not_received_by_another_thread() {
    // Goal: whichever way a send ends early, failure means that nobody gets the value, and success
    // that somebody does. Method: a plain thread receives, while deadlines fall into the moments at
    // which it takes offers; then compare what it got with what was said to be sent.
    const VALUES: u32 = 20_000;
    for bound in [0, 1] {
        let (tx, rx) = sync_channel(bound);
        let receiver = thread::spawn(move || {
            let spin = |value: &u32| (0..value % 7 * 200).for_each(|_| std::hint::spin_loop());
            rx.into_iter().inspect(spin).collect::<Vec<_>>()
        });
        let sent = crate::run(move || {
            let send = |value: &u32| {
                let limit = Duration::from_micros(u64::from(value * 7 % 30));
                match value % 2 {
                    0 => timeout(limit, || tx.send(*value)).is_ok(),
                    _ => tx.send_timeout(*value, limit).is_ok(),
                }
            };
            (0..VALUES).filter(send).collect::<Vec<_>>()
        });
        assert!(receiver.join().unwrap() == sent, "bound {bound}");
    }
}

#[test]
fn timeouts_hand_the_value_back() {
    // Goal: a timed-out send gives its value back and leaves nothing; likewise on plain threads.
    // Method: full channels and empty ones, in a runtime and outside.
    let check = || {
        for bound in [0, 2] {
            let (tx, rx) = sync_channel(bound);
            (0..bound).for_each(|_| tx.send(0).unwrap());
            assert_eq!(tx.send_timeout(1, MOMENT), Err(SendTimeoutError::Timeout(1)));
            assert_eq!(rx.try_iter().count(), bound);
            assert_eq!(rx.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout));
            drop(rx);
            assert_eq!(tx.send_timeout(1, MOMENT), Err(SendTimeoutError::Disconnected(1)));
        }
    };
    check();
    crate::run(check);
}

#[test]
fn queued_values_drop_with_the_receiver_and_outside_the_lock() {
    // Goal: what nobody will receive is dropped at once, and may use the channel in its destructor.
    // Method: values that send to their own channel when dropped, and count.
    struct Sends(Sender<Option<Sends>>, Rc<RefCell<u32>>);
    impl Drop for Sends {
        fn drop(&mut self) {
            *self.1.borrow_mut() += 1;
            assert!(self.0.send(None).is_err());
        }
    }
    let dropped = Rc::new(RefCell::new(0));
    let (tx, rx) = channel();
    for _ in 0..10 {
        tx.send(Some(Sends(tx.clone(), dropped.clone()))).unwrap();
    }
    drop(rx);
    assert_eq!(*dropped.borrow(), 10);
}

#[test]
fn iterators_end_with_the_senders() {
    // Goal: the three iterators. Method: as in std's documentation.
    let (tx, rx) = channel();
    (0..3).for_each(|number| tx.send(number).unwrap());
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    tx.send(3).unwrap();
    drop(tx);
    assert_eq!((&rx).into_iter().collect::<Vec<_>>(), [3]);
    assert_eq!(rx.into_iter().count(), 0);
}

proptest! {
    #[test]
    fn try_operations_agree_with_a_deque(bound in 1..5usize, steps in vec(any::<bool>(), 0..60)) {
        // Goal: a bounded channel is a queue with a limit. Method: the same steps on a deque.
        let (tx, rx) = sync_channel(bound);
        let mut model = VecDeque::new();
        for (number, is_send) in steps.into_iter().enumerate() {
            if is_send {
                let refused = (model.len() == bound).then_some(TrySendError::Full(number));
                prop_assert_eq!(tx.try_send(number).err(), refused);
                if refused.is_none() {
                    model.push_back(number);
                }
            } else {
                prop_assert_eq!(rx.try_recv().ok(), model.pop_front());
            }
        }
        drop(tx);
        prop_assert_eq!(rx.into_iter().collect::<Vec<_>>(), Vec::from(model));
    }
}
