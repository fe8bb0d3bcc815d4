//! Channels.

use super::super::log::Log;
use super::sync::mpsc::{self, RecvTimeoutError, TrySendError};
use super::thread;
use std::time::Duration;

/// As short as a wait that is to end may be.
const MOMENT: Duration = Duration::from_millis(1);

pub(crate) fn states(log: &mut Log) {
    let (tx, rx) = mpsc::channel();
    log.value(rx.try_recv());
    log.value(rx.recv_timeout(MOMENT));
    log.value(rx.recv_timeout(Duration::ZERO));
    log.value((tx.send(1), tx.clone().send(2), tx.send(3)));
    log.value((rx.recv(), rx.try_recv(), rx.recv_timeout(Duration::ZERO)));
    log.value(tx.send(4));
    log.value(rx.try_iter().collect::<Vec<_>>());
    log.value((tx.send(5), tx.send(6)));
    drop(tx);
    log.value(rx.recv());
    log.value(rx.iter().collect::<Vec<_>>());
    log.value((rx.recv(), rx.try_recv(), rx.recv_timeout(MOMENT)));
    for value in &rx {
        log.value(value);
    }
    log.value(rx.into_iter().next());
    let (tx, rx) = mpsc::channel::<String>();
    drop(rx);
    log.value(tx.send("back".into()));
    let error = tx.send("text".into()).unwrap_err();
    log.value((error.to_string(), error.0));

    for bound in [0, 1, 3] {
        let (tx, rx) = mpsc::sync_channel(bound);
        let sent: Vec<_> = (0..5).map(|number| tx.try_send(number)).collect();
        log.value(sent);
        log.value((rx.try_recv(), rx.try_recv()));
        log.value(tx.try_send(9));
        log.value(rx.try_iter().collect::<Vec<_>>());
        log.value(tx.try_send(10));
        drop(rx);
        log.value((tx.send(11), tx.try_send(12)));
        let (tx, rx) = mpsc::sync_channel(bound);
        let (one, two) = (tx.try_send(1).is_ok(), tx.clone().try_send(2).is_ok());
        drop(tx);
        log.value((one, two, rx.iter().collect::<Vec<_>>(), rx.try_recv()));
    }
    let texts = [TrySendError::Full(1).to_string(), TrySendError::Disconnected(1).to_string()];
    log.value(texts);
    log.value((mpsc::RecvError.to_string(), RecvTimeoutError::Timeout.to_string()));
    log.value((mpsc::TryRecvError::Empty.to_string(), format!("{:?}", mpsc::SendError(1))));
    let (tx, rx) = mpsc::channel::<u8>();
    log.value((&tx, &rx));
    let (tx, rx) = mpsc::sync_channel::<u8>(1);
    log.value((&tx, &rx));
}

pub(crate) fn transfers(log: &mut Log) {
    for bound in [0, 1, 7] {
        // The receiver is waited for, and the sender.
        let (tx, rx) = mpsc::sync_channel(bound);
        let sender = thread::spawn(move || (0..20).map(|n| tx.send(n)).collect::<Vec<_>>());
        log.value((0..20).map(|_| rx.recv()).collect::<Vec<_>>());
        log.end(sender.join());
        log.value(rx.recv());

        // A receiver that goes away, wherever the sender stands.
        let (tx, rx) = mpsc::sync_channel(bound);
        let sender = thread::spawn(move || (0..100).find_map(|n| tx.send(n).err()).is_some());
        log.value((rx.recv(), rx.recv()));
        drop(rx);
        log.end(sender.join());
    }
    // A sender that goes away ends a wait, with and without a limit.
    let (tx, rx) = mpsc::channel::<u8>();
    let receiver = thread::spawn(move || (rx.recv_timeout(Duration::from_secs(600)), rx.recv()));
    thread::yield_now();
    drop(tx);
    log.end(receiver.join());
    // Several senders; each one's values stay in order.
    let (tx, rx) = mpsc::channel();
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let tx = tx.clone();
            thread::spawn(move || (0..50).for_each(|n| tx.send((sender, n)).expect("received")))
        })
        .collect();
    drop(tx);
    let mut received: Vec<_> = rx.iter().collect();
    received.sort_by_key(|(sender, _)| *sender);
    log.value(received);
    senders.into_iter().for_each(|sender| log.end(sender.join()));
    // Through a channel goes a channel.
    let (tx, rx) = mpsc::channel::<(u32, mpsc::Sender<u32>)>();
    let server = thread::spawn(move || {
        rx.iter().map(|(number, answer)| answer.send(number * 2)).collect::<Vec<_>>()
    });
    for number in 0..3 {
        let (answer, answers) = mpsc::channel();
        tx.send((number, answer)).expect("a server");
        log.value(answers.iter().collect::<Vec<_>>());
    }
    drop(tx);
    log.end(server.join());
}
