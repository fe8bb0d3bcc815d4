//! The sending ends.

use super::channel::Channel;
use super::{SendError, TrySendError};
use crate::scheduler::wait::NEVER;
use crate::sys;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The sending end of an unbounded channel; clones send to the same receiver.
///
/// ```
/// cove::run(|| {
///     let (tx, rx) = cove::sync::mpsc::channel();
///     for number in 0..3 {
///         let tx = tx.clone();
///         cove::spawn(move || tx.send(number));
///     }
///     drop(tx);
///     assert_eq!(rx.iter().sum::<i32>(), 3);
/// });
/// ```
pub struct Sender<T> {
    pub(super) channel: Arc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Sends a value, without ever waiting.
    ///
    /// ```
    /// let (tx, rx) = cove::sync::mpsc::channel();
    /// let other = tx.clone();
    /// tx.send(1).unwrap();
    /// other.send(2).unwrap();
    /// drop(rx);
    /// assert_eq!(tx.send(3).unwrap_err().0, 3);
    /// ```
    ///
    /// # Errors
    /// When the receiver is gone; the error holds the value.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        match self.channel.try_send(value) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(value) | TrySendError::Disconnected(value)) => {
                Err(SendError(value))
            }
        }
    }
}

/// The sending end of a bounded channel; clones send to the same receiver.
///
/// ```
/// cove::run(|| {
///     let (tx, rx) = cove::sync::mpsc::sync_channel(2);
///     let sender = cove::spawn(move || (0..10).all(|number| tx.send(number).is_ok()));
///     assert!(rx.iter().eq(0..10)); // The sender is never more than two numbers ahead.
///     assert!(sender.join().unwrap());
/// });
/// ```
pub struct SyncSender<T> {
    pub(super) channel: Arc<Channel<T>>,
}

impl<T> SyncSender<T> {
    /// Sends a value; waits while the channel is full (with bound 0: until the value is received).
    ///
    /// ```
    /// cove::run(|| {
    ///     let (tx, rx) = cove::sync::mpsc::sync_channel(0);
    ///     let receiver = cove::spawn(move || rx.recv());
    ///     tx.send("from hand to hand").unwrap();
    ///     assert_eq!(receiver.join().unwrap(), Ok("from hand to hand"));
    /// });
    /// ```
    ///
    /// # Errors
    /// When the receiver is gone; the error holds the value.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.channel.send(value, NEVER).map_err(|refused| SendError(refused.value))
    }

    /// Sends a value if that needs no waiting.
    ///
    /// ```
    /// use cove::sync::mpsc::{TrySendError, sync_channel};
    /// let (tx, rx) = sync_channel(1);
    /// assert_eq!(tx.try_send(1), Ok(()));
    /// assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    /// drop(rx);
    /// assert_eq!(tx.try_send(3), Err(TrySendError::Disconnected(3)));
    /// ```
    ///
    /// # Errors
    /// When the channel is full (with bound 0: when the receiver is not waiting), or the receiver
    /// is gone; the error holds the value.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.channel.try_send(value)
    }

    /// Sends a value; waits for at most `timeout` while the channel is full.
    ///
    /// ```
    /// use cove::sync::mpsc::{SendTimeoutError, sync_channel};
    /// use std::time::Duration;
    /// let (tx, _rx) = sync_channel(1);
    /// tx.send(1).unwrap();
    /// let refused = tx.send_timeout(2, Duration::from_millis(1));
    /// assert_eq!(refused, Err(SendTimeoutError::Timeout(2)));
    /// ```
    ///
    /// # Errors
    /// When the time is over or the receiver is gone; the error holds the value.
    pub fn send_timeout(&self, value: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.channel.send(value, sys::clock::deadline_ns(timeout)).map_err(|refused| {
            if refused.gone {
                SendTimeoutError::Disconnected(refused.value)
            } else {
                SendTimeoutError::Timeout(refused.value)
            }
        })
    }
}

/// Why [`SyncSender::send_timeout`] did not send; holds the value.
/// See [`SyncSender::send_timeout`] for an example.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendTimeoutError<T> {
    /// The channel has been full for all the time.
    Timeout(T),
    /// The receiver is gone.
    Disconnected(T),
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendTimeoutError::Timeout(_) => f.write_str("Timeout(..)"),
            SendTimeoutError::Disconnected(_) => f.write_str("Disconnected(..)"),
        }
    }
}

impl<T> fmt::Display for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendTimeoutError::Timeout(_) => f.write_str("timed out sending on a full channel"),
            SendTimeoutError::Disconnected(_) => f.write_str("sending on a closed channel"),
        }
    }
}

impl<T> std::error::Error for SendTimeoutError<T> {}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.channel.add_sender();
        Sender { channel: self.channel.clone() }
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> SyncSender<T> {
        self.channel.add_sender();
        SyncSender { channel: self.channel.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.channel.remove_sender();
    }
}

impl<T> Drop for SyncSender<T> {
    fn drop(&mut self) {
        self.channel.remove_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
    }
}
