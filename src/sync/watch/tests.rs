//! Tests of watches.

use super::*;
use crate::scheduler::unwind::Cancelled;
use crate::task::yield_now;
use std::rc::Rc;
use std::thread;

#[test]
fn every_receiver_sees_the_last_value_and_versions_only_grow() {
    // Goal: no watcher misses the end, or goes back. Method: threads with and without runtimes
    // watch a counter that another thread raises.
    const LAST: u64 = 20_000;
    let (tx, rx) = channel(0);
    let watch = |rx: Receiver<u64>| {
        let mut seen = 0;
        while rx.changed().is_ok() {
            let value = *rx.borrow();
            assert!(value >= seen, "{value} after {seen}");
            seen = value;
        }
        seen
    };
    let threads: Vec<_> = (0..4)
        .map(|index| {
            let rx = rx.clone();
            thread::spawn(move || match index {
                0 => watch(rx),
                _ => crate::run(|| {
                    let other = rx.clone();
                    let coroutine = crate::spawn(move || watch(other));
                    watch(rx).min(coroutine.join().unwrap())
                }),
            })
        })
        .collect();
    drop(rx);
    for value in 1..=LAST {
        // The watchers are there for as long as this sender is.
        tx.send(value).unwrap();
    }
    drop(tx);
    threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), LAST));
}

#[test]
fn senders_wait_for_borrowers_and_borrowers_for_senders() {
    // Goal: a borrowed value does not change, even over a yield, and nobody sees half a change.
    // Method: a coroutine holds a reference, another one a change, over yields.
    crate::run(|| {
        let (tx, rx) = channel((0, 0));
        let borrowed = rx.borrow();
        let sender = crate::spawn(move || {
            tx.send_modify(|pair| {
                pair.0 += 1;
                yield_now();
                pair.1 += 1;
            });
            tx
        });
        yield_now();
        assert_eq!(*borrowed, (0, 0));
        assert_eq!(*rx.borrow(), (0, 0), "reading again while a sender waits");
        drop(borrowed);
        yield_now();
        assert_eq!(*rx.borrow(), (1, 1));
        assert_eq!(rx.changed(), Ok(()));
        let tx = sender.join().unwrap();
        assert_eq!(tx.send_replace((2, 2)), (1, 1));
        assert_eq!(rx.has_changed(), Ok(true));
        drop(tx);
        assert_eq!((rx.changed(), rx.changed()), (Ok(()), Err(RecvError)));
    });
}

#[test]
fn panicking_change_frees_the_value_and_tells_nobody() {
    // Goal: a panic in the closure leaves a usable watch. Method: panic in a coroutine, look after.
    crate::run(|| {
        let (tx, rx) = channel(0);
        let tx = Rc::new(tx);
        let other = tx.clone();
        let result = crate::spawn(move || other.send_modify(|_| panic!("on purpose"))).join();
        assert!(result.is_err());
        assert_eq!(rx.has_changed(), Ok(false));
        tx.send(1).unwrap();
        assert_eq!(*rx.borrow_and_update(), 1);
    });
}

#[test]
fn cancelled_watcher_leaves_the_others_waiting() {
    // Goal: cancellation takes one waiter out. Method: two wait, one is cancelled, one change.
    crate::run(|| {
        let (tx, rx) = channel(0);
        let watchers: Vec<_> = (0..2)
            .map(|_| {
                let rx = rx.clone();
                crate::spawn(move || rx.wait_for(|value| *value == 1).map(|value| *value))
            })
            .collect();
        yield_now();
        watchers[0].cancel();
        yield_now();
        tx.send(1).unwrap();
        let mut results = watchers.into_iter().map(|watcher| watcher.join());
        assert!(results.next().unwrap().unwrap_err().is::<Cancelled>());
        assert_eq!(results.next().unwrap().unwrap(), Ok(1));
        assert_eq!(tx.receiver_count(), 1);
    });
}
