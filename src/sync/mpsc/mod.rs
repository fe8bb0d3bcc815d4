//! Channels with many senders and one receiver: [`std::sync::mpsc`] for coroutines and threads.
//!
//! Names, behaviour and error types are std's. An operation that must wait lets other coroutines
//! run meanwhile; on a thread without a runtime it blocks the thread. The ends may be on any
//! threads, with or without runtimes.
//!
//! ```
//! use cove::sync::mpsc;
//!
//! cove::run(|| {
//!     let (tx, rx) = mpsc::channel();
//!     for number in 0..10 {
//!         let tx = tx.clone();
//!         cove::spawn(move || tx.send(number).unwrap());
//!     }
//!     drop(tx);
//!     assert_eq!(rx.iter().sum::<i32>(), 45);
//! });
//! ```
//!
//! # Cancellation
//! A coroutine that is cancelled while it waits in here unwinds. A value is then either received or
//! still in the channel; one that was to be sent is either sent, or dropped with the unwinding.
//!
//! # Cost
//! Each operation takes one lock, whether it waits or not, and the lock is all but free while only
//! the thread that made the channel uses it. Values lie in blocks of up to 2 KiB; no message
//! allocates for itself, and after a burst the blocks are given back.

mod arms;
mod blocks;
mod channel;
mod receiver;
mod sender;

pub use receiver::{IntoIter, Iter, Receiver, TryIter};
pub use sender::{SendTimeoutError, Sender, SyncSender};
pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

use channel::{Channel, UNBOUNDED};
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Makes a channel without a limit: sending never waits.
///
/// ```
/// let (tx, rx) = cove::sync::mpsc::channel();
/// tx.send("hello").unwrap();
/// assert_eq!(rx.recv(), Ok("hello"));
/// drop(tx);
/// assert!(rx.recv().is_err());
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel::new(UNBOUNDED));
    (Sender { channel: channel.clone() }, Receiver::new(channel))
}

/// Makes a channel that holds up to `bound` values: sending waits while it is full. With bound 0
/// each value goes from hand to hand: sending waits for the receiver.
///
/// ```
/// use cove::sync::mpsc;
///
/// cove::run(|| {
///     let (tx, rx) = mpsc::sync_channel(1);
///     tx.send(1).unwrap();
///     assert_eq!(tx.try_send(2), Err(mpsc::TrySendError::Full(2)));
///     let sender = cove::spawn(move || tx.send(2).unwrap());
///     assert_eq!((rx.recv(), rx.recv()), (Ok(1), Ok(2)));
///     sender.join().unwrap();
/// });
/// ```
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let bound = bound.min(UNBOUNDED - 1);
    let channel = Arc::new(Channel::new(bound));
    (SyncSender { channel: channel.clone() }, Receiver::new(channel))
}
