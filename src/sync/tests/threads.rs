//! Whole primitives under every interleaving, between plain threads: the types as they ship, down
//! to the queue of waiters, the selection and the spin lock, with loom's atomics, cells and parking
//! for std's.
//!
//! Not covered: waits of coroutines, which differ from those of threads in who is woken how (the
//! models of the inbox show that a message to a sleeping thread is not lost); the counts of std's
//! `Arc`; and time, for a model has no clock: its deadlines are over before the wait begins.

use crate::primitive::{AtomicBool, Ordering, UnsafeCell};
use crate::sync::select::{self, Limit, Waiting};
use crate::sync::{Notify, Once, OnceCell, WaitGroup, mpsc, oneshot, watch};
use loom::thread::{JoinHandle, spawn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

fn explore(preemptions_max: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions_max);
    builder.check(body);
}

fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().expect("a thread panicked")
}

/// A number that loom watches: reported unless every access comes after the last write.
#[derive(Default)]
struct Watched(UnsafeCell<u32>);

// SAFETY: loom watches the cell.
unsafe impl Sync for Watched {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Watched {}

impl Watched {
    fn new() -> Arc<Watched> {
        Arc::new(Watched(UnsafeCell::new(0)))
    }

    fn add(&self) {
        // SAFETY: the tests order the accesses by what they test.
        self.0.with_mut(|value| unsafe { *value += 1 });
    }

    fn get(&self) -> u32 {
        // SAFETY: the tests order the accesses by what they test, and loom sees whether they do.
        self.0.with(|value| unsafe { *value })
    }
}

#[test]
fn loom_notify_lets_one_through_for_each_notification() {
    // Goal: a notification reaches a waiter, early or late, with what was written before it.
    // Method: two wait, and whoever is let through lets the next one through; the last one's
    // notification must be kept.
    explore(3, || {
        let (notify, value) = (Arc::new(Notify::new()), Watched::new());
        let waiters = [0, 1].map(|_| {
            let (notify, value) = (notify.clone(), value.clone());
            spawn(move || {
                notify.wait();
                value.add();
                notify.notify_one();
            })
        });
        value.add();
        notify.notify_one();
        waiters.into_iter().for_each(join);
        assert!(notify.wait_timeout(Duration::ZERO));
        assert_eq!(value.get(), 3);
    });
}

#[test]
fn loom_notify_keeps_what_a_waiter_that_left_did_not_take() {
    // Goal: a notification for one who gives up at that moment is taken by it, or kept for others.
    // Method: one waits for no time; another waits for good; two notifications.
    explore(3, || {
        let notify = Arc::new(Notify::new());
        let (leaves, stays) = (notify.clone(), notify.clone());
        let leaves = spawn(move || leaves.wait_timeout(Duration::ZERO));
        let stays = spawn(move || stays.wait());
        notify.notify_one();
        if join(leaves) {
            notify.notify_one();
        }
        join(stays);
        assert!(!notify.wait_timeout(Duration::ZERO));
    });
}

#[test]
fn loom_notify_all_wakes_who_waits_and_keeps_nothing() {
    // Goal: it reaches everybody in the queue, and leaves no state behind that loses the next
    // notification. Method: one waiter, who may come before or after, then a single notification.
    explore(3, || {
        let notify = Arc::new(Notify::new());
        let waiter = notify.clone();
        let waiter = spawn(move || waiter.wait());
        notify.notify_all();
        notify.notify_one();
        join(waiter);
        let is_kept = notify.wait_timeout(Duration::ZERO);
        notify.notify_one();
        assert!(notify.wait_timeout(Duration::ZERO), "after {is_kept}");
    });
}

#[test]
fn loom_notify_publishes_also_where_a_notification_is_kept_already() {
    // Goal: who takes a kept notification sees what came before each that it stands for. Method:
    // one is kept; another comes, of which a flag tells that orders nothing itself.
    explore(4, || {
        let (notify, value) = (Arc::new(Notify::new()), Watched::new());
        let flag = Arc::new(AtomicBool::new(false));
        notify.notify_one();
        let (second, written, said) = (notify.clone(), value.clone(), flag.clone());
        let second = spawn(move || {
            written.add();
            second.notify_one();
            said.store(true, Ordering::Relaxed);
        });
        if flag.load(Ordering::Relaxed) {
            notify.wait();
            assert_eq!(value.get(), 1);
        }
        join(second);
    });
}

#[test]
fn loom_wait_group_waits_for_all_members() {
    // Goal: whoever waits sees what all members did. Method: two members, two who wait.
    explore(2, || {
        let (group, values) = (WaitGroup::new(), [Watched::new(), Watched::new()]);
        let members = [0, 1].map(|index| {
            let (member, value) = (group.clone(), values[index].clone());
            spawn(move || {
                value.add();
                drop(member);
            })
        });
        let (second, seen) = (group.clone(), values.clone());
        let second = spawn(move || {
            second.wait();
            seen[0].get() + seen[1].get()
        });
        group.wait();
        assert_eq!(values[0].get() + values[1].get(), 2);
        assert_eq!(join(second), 2);
        members.into_iter().for_each(join);
    });
}

#[test]
fn loom_once_runs_one_closure_and_shows_what_it_did() {
    // Goal: one runs, and all return after it. Method: three threads call, loom watches the value.
    explore(3, || {
        let (once, value) = (Arc::new(Once::new()), Watched::new());
        let call = |once: &Once, value: &Watched| {
            once.call_once(|| value.add());
            value.get()
        };
        let others = [0, 1].map(|_| {
            let (once, value) = (once.clone(), value.clone());
            spawn(move || call(&once, &value))
        });
        assert_eq!(call(&once, &value), 1);
        others.into_iter().for_each(|other| assert_eq!(join(other), 1));
    });
}

#[test]
fn loom_once_goes_on_after_a_closure_that_unwound() {
    // Goal: who waits for one that unwinds runs instead. Method: one unwinds, two others force.
    explore(2, || {
        let (once, value) = (Arc::new(Once::new()), Watched::new());
        let others = [0, 1].map(|_| {
            let (once, value) = (once.clone(), value.clone());
            spawn(move || once.call_once_force(|_| value.add()))
        });
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            once.call_once_force(|_| resume_unwind(Box::new("on purpose")));
        }));
        others.into_iter().for_each(join);
        assert_eq!(value.get(), 1);
        assert!(once.is_completed() && (unwound.is_ok() || unwound.is_err()));
    });
}

#[test]
fn loom_cell_is_filled_once_though_makers_fail() {
    // Goal: a reader sees a complete value or none; who waits for a maker that fails makes it.
    // Method: one maker fails, one succeeds, one thread only looks.
    explore(3, || {
        let cell = Arc::new(OnceCell::new());
        let (fails, looks) = (cell.clone(), cell.clone());
        let fails = spawn(move || fails.get_or_try_init(|| Err(())).copied());
        let looks = spawn(move || looks.get().copied());
        assert_eq!(*cell.get_or_init(|| 7), 7);
        assert!(matches!(join(fails), Ok(7) | Err(())));
        assert!(matches!(join(looks), Some(7) | None));
    });
}

#[test]
fn loom_oneshot_delivers_or_gives_back() {
    // Goal: a value arrives, with what was written before it, or comes back when nobody is there.
    // Method: a receiver that waits, and one that leaves.
    explore(4, || {
        let ((tx, rx), value) = (oneshot::channel(), Watched::new());
        let written = value.clone();
        let sender = spawn(move || {
            written.add();
            tx.send(written)
        });
        assert_eq!(rx.recv().map(|value| value.get()), Ok(1));
        assert!(join(sender).is_ok());
    });
    explore(4, || {
        let (tx, rx) = oneshot::channel();
        let value = Arc::new(());
        let sent = value.clone();
        let sender = spawn(move || tx.send(sent).is_ok());
        let received = rx.recv_timeout(Duration::ZERO).is_ok();
        drop(rx);
        let was_sent = join(sender);
        assert!(was_sent || !received);
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn loom_oneshot_receiver_learns_that_the_sender_is_gone() {
    // Goal: it does not wait for one who will not send. Method: drop the sender while it waits.
    explore(4, || {
        let (tx, rx) = oneshot::channel::<u32>();
        let sender = spawn(move || drop(tx));
        assert!(rx.recv().is_err());
        join(sender);
    });
}

#[test]
fn loom_watch_shows_the_last_value_and_the_end() {
    // Goal: no change and no end is missed, no half-written value is read. Method: one sends two
    // values and leaves; another watches until the end, while a third looks.
    explore(2, || {
        let (tx, rx) = watch::channel([0, 0]);
        let looks = rx.clone();
        let watcher = spawn(move || {
            let mut last = [0, 0];
            while rx.changed().is_ok() {
                let value = *rx.borrow();
                assert!(value >= last);
                last = value;
            }
            last
        });
        let looks = spawn(move || *looks.borrow());
        tx.send([1, 1]).expect("there are receivers");
        tx.send_modify(|value| *value = [2, 2]);
        drop(tx);
        assert_eq!(join(watcher), [2, 2]);
        let [first, second] = join(looks);
        assert_eq!(first, second);
    });
}

#[test]
fn loom_channel_hands_over_every_value_in_order() {
    // Goal: with room for one, values come once each and in order, and the end comes last; in the
    // hand, the queue and the offers alike. Method: a sender of three and a receiver.
    explore(3, || {
        let (tx, rx) = mpsc::sync_channel(1);
        let sender = spawn(move || {
            for value in 0..3 {
                tx.send(Box::new(value)).expect("the receiver is there");
            }
        });
        let received: Vec<i32> =
            std::iter::from_fn(|| rx.recv().ok()).map(|value| *value).collect();
        assert_eq!(received, [0, 1, 2]);
        join(sender);
    });
}

#[test]
fn loom_channel_send_that_gives_up_is_not_received() {
    // Goal: a value that was offered comes back or arrives, never both or neither. Method: a sender
    // without time, at a channel without room, while the receiver takes what there is.
    explore(3, || {
        let (tx, rx) = mpsc::sync_channel(0);
        let value = Arc::new(());
        let sent = value.clone();
        let sender = spawn(move || tx.send_timeout(sent, Duration::ZERO).is_ok());
        let received = rx.try_recv().is_ok();
        drop(rx);
        assert_eq!(join(sender), received);
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

/// Receives from either; says from which.
fn either(first: &oneshot::Receiver<u32>, second: &oneshot::Receiver<u32>) -> usize {
    let (mut first, mut second) = (Waiting::new(first), Waiting::new(second));
    select::wait(&mut [&mut first, &mut second], Limit::Unlimited);
    match (first.take(), second.take()) {
        (Some(Ok(1)), None) => 0,
        (None, Some(Ok(2))) => 1,
        outputs => panic!("not exactly one arm has won: {outputs:?}"),
    }
}

#[test]
fn loom_selection_takes_exactly_one_of_two() {
    // Goal: of two that become ready at once one wins, and the other keeps its value. Nobody looks
    // at the selection when it is gone. Method: two senders against one selection.
    explore(3, || {
        let ((tx1, rx1), (tx2, rx2)) = (oneshot::channel(), oneshot::channel());
        let senders = [spawn(move || tx1.send(1)), spawn(move || tx2.send(2))];
        let winner = either(&rx1, &rx2);
        assert_eq!(if winner == 0 { rx2.recv() } else { rx1.recv() }, Ok(2 - winner as u32));
        senders.into_iter().for_each(|sender| assert_eq!(join(sender), Ok(())));
    });
}

#[test]
fn loom_selection_that_gives_up_loses_nothing() {
    // Goal: a value that comes while a selection runs out of time is received by it, or left.
    // Method: a selection without time, then a plain receive.
    explore(4, || {
        let (tx, rx) = oneshot::channel();
        let sender = spawn(move || tx.send(1));
        let mut arm = Waiting::new(&rx);
        // A limit that is over when the arm has entered its queue, but not looked at before.
        select::wait(&mut [&mut arm], Limit::After(Duration::ZERO));
        let output = arm.take().unwrap_or_else(|| rx.recv().map_err(|_| mpsc::RecvError));
        assert_eq!(output, Ok(1));
        assert_eq!(join(sender), Ok(()));
    });
}

#[test]
fn loom_selections_pass_on_what_they_did_not_take() {
    // Goal: a value that goes to a selection which another arm has decided reaches somebody else.
    // Method: a selection waits for a channel and a oneshot, which both become ready; a thread
    // waits for the channel as well.
    explore(2, || {
        let ((tx, rx), (tx1, rx1)) = (mpsc::channel(), oneshot::channel());
        let senders = [spawn(move || tx.send(2).is_ok()), spawn(move || tx1.send(1).is_ok())];
        let (mut channel, mut once) = (Waiting::new(&rx), Waiting::new(&rx1));
        select::wait(&mut [&mut channel, &mut once], Limit::Unlimited);
        match (channel.take(), once.take()) {
            (Some(received), None) => assert_eq!((received, rx1.recv()), (Ok(2), Ok(1))),
            (None, Some(received)) => assert_eq!((received, rx.recv()), (Ok(1), Ok(2))),
            outputs => panic!("not exactly one arm has won: {outputs:?}"),
        }
        assert!(senders.map(join) == [true; 2]);
    });
}
