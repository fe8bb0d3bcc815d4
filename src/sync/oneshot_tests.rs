//! Tests of channels for one value.

use super::*;
use crate::scheduler::unwind::Cancelled;
use crate::task::yield_now;
use std::rc::Rc;
use std::thread;

#[test]
fn value_crosses_threads_in_both_directions() {
    // Goal: any pair of coroutine and plain thread. Method: requests that carry their answer's end.
    const ROUNDS: u32 = 1_000;
    let (requests, inbox) = crate::sync::mpsc::channel::<(u32, Sender<u32>)>();
    let server = thread::spawn(|| {
        crate::run(|| inbox.into_iter().for_each(|(number, tx)| tx.send(2 * number).unwrap()))
    });
    let ask = |number| {
        let (tx, rx) = channel();
        requests.send((number, tx)).unwrap();
        assert_eq!(rx.recv(), Ok(2 * number));
    };
    crate::run(|| (0..ROUNDS).for_each(ask));
    (0..ROUNDS).for_each(ask);
    drop(requests);
    server.join().unwrap();
}

#[test]
fn value_is_dropped_exactly_once_whoever_goes_first() {
    // Goal: neither end leaks or doubles the value. Method: count references in every order.
    let value = Rc::new(());
    let (tx, rx) = channel();
    tx.send(value.clone()).unwrap();
    drop(rx);
    let (tx, rx) = channel();
    drop(rx);
    assert!(tx.is_closed());
    drop(tx.send(value.clone()).unwrap_err());
    let (tx, rx) = channel();
    tx.send(value.clone()).unwrap();
    drop(rx.recv().unwrap());
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn cancelled_receiver_closes_the_channel() {
    // Goal: the sender learns of a cancelled receiver. Method: cancel while it waits.
    crate::run(|| {
        let (tx, rx) = channel::<i32>();
        let receiver = crate::spawn(move || rx.recv());
        yield_now();
        receiver.cancel();
        assert!(receiver.join().unwrap_err().is::<Cancelled>());
        assert!(tx.is_closed());
        assert_eq!(tx.send(1), Err(1));
    });
}
