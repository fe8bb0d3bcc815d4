//! Waits for channels, and for the first of several.

use super::plain::LONG;
use super::{Case, Kind, MANY};
use cove::sync::{mpsc, oneshot, watch};
use std::cell::Cell;
use std::rc::Rc;

const fn kind(name: &'static str, shown: &'static str, make: fn() -> Case) -> Kind {
    Kind { name, shown, is_io: false, sharers_max: MANY, total_max: MANY, make }
}

pub(crate) const KINDS: &[Kind] = &[
    kind("receive", "channel receive", receive),
    kind("receive with a time-out", "channel receive", receive_timeout),
    kind("receive, bounded", "channel receive", receive_bounded),
    kind("receive, rendezvous", "channel receive", receive_rendezvous),
    kind("send, bounded", "channel send", send_bounded),
    kind("send with a time-out", "channel send", send_timeout),
    kind("send, rendezvous", "channel send", send_rendezvous),
    kind("select to receive", "select", select_receive),
    kind("select to send", "select", select_send),
    kind("select by time", "select", select_time),
    Kind { sharers_max: 1, ..kind("oneshot", "channel receive", oneshot_receive) },
    kind("watch", "watch", watch_change),
    kind("watch for a value", "watch", watch_value),
    kind("select a change", "select", select_change),
];

fn receive() -> Case {
    let (sender, receiver) = mpsc::channel();
    let receiver = Rc::new(receiver);
    let waited_for = receiver.clone();
    let wait = move || {
        assert!(waited_for.recv().is_err());
        Ok(())
    };
    let check = move || {
        sender.send(1).expect("a receiver");
        assert_eq!(receiver.recv(), Ok(1));
        drop(sender);
        assert!(receiver.recv().is_err());
    };
    Case::new(wait, check)
}

fn receive_timeout() -> Case {
    let (sender, receiver) = mpsc::channel();
    let receiver = Rc::new(receiver);
    let waited_for = receiver.clone();
    let wait = move || {
        assert!(waited_for.recv_timeout(LONG).is_err());
        Ok(())
    };
    let check = move || {
        sender.send(1).expect("a receiver");
        assert_eq!(receiver.recv_timeout(LONG), Ok(1));
    };
    Case::new(wait, check)
}

/// Two go through in order, by a sender of its own.
fn check_bounded(sender: mpsc::SyncSender<u32>, receiver: &mpsc::Receiver<u32>) {
    let sending = cove::spawn(move || (1..=2).for_each(|n| sender.send(n).expect("a receiver")));
    assert_eq!([receiver.recv(), receiver.recv()], [Ok(1), Ok(2)]);
    assert!(receiver.recv().is_err());
    sending.join().expect("sent");
}

fn receive_from(bound: usize) -> Case {
    let (sender, receiver) = mpsc::sync_channel(bound);
    let receiver = Rc::new(receiver);
    let waited_for = receiver.clone();
    let wait = move || {
        assert!(waited_for.recv().is_err());
        Ok(())
    };
    Case::new(wait, move || check_bounded(sender, &receiver))
}

fn receive_bounded() -> Case {
    receive_from(1)
}

fn receive_rendezvous() -> Case {
    receive_from(0)
}

/// A channel whose buffer is full, and how to wait for room. What the one who waited wanted to send
/// must not arrive.
fn send_to(bound: usize, send: fn(&mpsc::SyncSender<u32>, u32)) -> Case {
    let (sender, receiver) = mpsc::sync_channel(bound);
    (0..bound).for_each(|_| sender.send(0).expect("a receiver"));
    let waiting = sender.clone();
    let wait = move || {
        send(&waiting, 99);
        Ok(())
    };
    let check = move || {
        (0..bound).for_each(|_| assert_eq!(receiver.recv(), Ok(0)));
        check_bounded(sender, &receiver);
    };
    Case::new(wait, check)
}

fn send_bounded() -> Case {
    send_to(2, |sender, value| _ = sender.send(value))
}

fn send_timeout() -> Case {
    send_to(2, |sender, value| _ = sender.send_timeout(value, LONG))
}

fn send_rendezvous() -> Case {
    send_to(0, |sender, value| _ = sender.send(value))
}

fn select_receive() -> Case {
    let channels = [mpsc::sync_channel(0), mpsc::sync_channel(1)];
    let [(first, one), (second, two)] = channels;
    let receivers = Rc::new((one, two));
    let waited_for = receivers.clone();
    let wait = move || {
        let (one, two) = &*waited_for;
        cove::select! {
            recv(one) -> value => assert!(value.is_err()),
            recv(two) -> value => assert!(value.is_err()),
            after(LONG) => (),
        }
        Ok(())
    };
    let check = move || {
        check_bounded(first, &receivers.0);
        check_bounded(second, &receivers.1);
    };
    Case::new(wait, check)
}

fn select_send() -> Case {
    send_to(0, |sender, value| {
        cove::select! {
            send(sender, value) -> sent => assert!(sent.is_err()),
            after(LONG) => (),
        }
    })
}

fn select_time() -> Case {
    let wait = || {
        cove::select! { after(LONG) => () }
        Ok(())
    };
    Case::new(wait, || cove::select! { after(super::plain::MOMENT) => () })
}

fn oneshot_receive() -> Case {
    let (sender, receiver) = oneshot::channel::<u32>();
    let receiver = Cell::new(Some(receiver));
    let wait = move || {
        let receiver = receiver.take().expect("one waits");
        assert!(receiver.recv().is_err());
        Ok(())
    };
    // The receiver went with the one who waited.
    Case::new(wait, move || assert_eq!(sender.send(1), Err(1)))
}

/// A change is seen by whoever waits for it, once.
fn check_watch(sender: &watch::Sender<u32>, receiver: &Rc<watch::Receiver<u32>>) {
    let waiting = receiver.clone();
    let waiting = cove::spawn(move || {
        waiting.changed().expect("a sender");
        *waiting.borrow_and_update()
    });
    super::wait_for(&waiting.task(), "watch");
    sender.send(7).expect("a receiver");
    assert_eq!(waiting.join().expect("told"), 7);
    assert_eq!(receiver.has_changed(), Ok(false));
}

fn watch_change() -> Case {
    let (sender, receiver) = watch::channel(0);
    let receiver = Rc::new(receiver);
    let waiting = receiver.clone();
    let wait = move || {
        assert!(waiting.changed().is_err());
        Ok(())
    };
    Case::new(wait, move || check_watch(&sender, &receiver))
}

fn watch_value() -> Case {
    let (sender, receiver) = watch::channel(0);
    let receiver = Rc::new(receiver);
    let waiting = receiver.clone();
    let wait = move || {
        assert!(waiting.wait_for(|value| *value == 99).is_err());
        Ok(())
    };
    Case::new(wait, move || check_watch(&sender, &receiver))
}

fn select_change() -> Case {
    let (sender, receiver) = watch::channel(0);
    let receiver = Rc::new(receiver);
    let waiting = receiver.clone();
    let wait = move || {
        let waiting = &*waiting;
        cove::select! {
            recv(waiting) -> change => assert!(change.is_err()),
            after(LONG) => (),
        }
        Ok(())
    };
    Case::new(wait, move || check_watch(&sender, &receiver))
}
