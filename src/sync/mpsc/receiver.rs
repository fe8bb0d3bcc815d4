//! The receiving end, and its iterators.

use super::channel::Channel;
use super::{RecvError, RecvTimeoutError, TryRecvError};
use crate::scheduler::wait::NEVER;
use crate::sys;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// The receiving end of a channel. It may move to other threads but not be shared between them.
///
/// ```
/// let (tx, rx) = cove::sync::mpsc::channel();
/// tx.send("one").unwrap();
/// tx.send("two").unwrap();
/// drop(tx);
/// assert_eq!(rx.into_iter().collect::<Vec<_>>(), ["one", "two"]);
/// ```
///
/// ```compile_fail
/// let (_tx, rx) = cove::sync::mpsc::channel::<i32>();
/// std::thread::scope(|scope| scope.spawn(|| rx.recv()).join());
/// ```
pub struct Receiver<T> {
    pub(super) channel: Arc<Channel<T>>,
    /// One thread at a time receives: what it is handed needs no lock.
    not_shared: PhantomData<Cell<()>>,
}

impl<T> Receiver<T> {
    pub(super) fn new(channel: Arc<Channel<T>>) -> Receiver<T> {
        Receiver { channel, not_shared: PhantomData }
    }

    /// Receives a value; waits until there is one.
    ///
    /// ```
    /// let (tx, rx) = cove::sync::mpsc::channel();
    /// let thread = std::thread::spawn(move || tx.send(1).unwrap());
    /// assert_eq!(rx.recv(), Ok(1));
    /// assert!(rx.recv().is_err());
    /// thread.join().unwrap();
    /// ```
    ///
    /// # Errors
    /// When all senders are gone and so are their values.
    #[inline(always)]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.channel.receive(Some(NEVER)).map_err(|_| RecvError)
    }

    /// Receives a value if there is one.
    ///
    /// ```
    /// use cove::sync::mpsc::{TryRecvError, channel};
    /// let (tx, rx) = channel();
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// tx.send(1).unwrap();
    /// drop(tx);
    /// assert_eq!(rx.try_recv(), Ok(1));
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    ///
    /// # Errors
    /// When there is no value, and perhaps never will be.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.channel.receive(None).map_err(|error| match error {
            RecvTimeoutError::Timeout => TryRecvError::Empty,
            RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
        })
    }

    /// Receives a value; waits for at most `timeout`.
    ///
    /// ```
    /// use cove::sync::mpsc::{RecvTimeoutError, channel};
    /// use std::time::Duration;
    /// let (_tx, rx) = channel::<i32>();
    /// assert_eq!(rx.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
    /// ```
    ///
    /// # Errors
    /// When the time is over; or when all senders are gone and so are their values.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        // A value that is there needs no look at the clock.
        match self.channel.receive(None) {
            Err(RecvTimeoutError::Timeout) => {
                self.channel.receive(Some(sys::clock::deadline_ns(timeout)))
            }
            ready => ready,
        }
    }

    /// Receives until all senders are gone.
    ///
    /// ```
    /// let (tx, rx) = cove::sync::mpsc::channel();
    /// std::thread::spawn(move || (0..3).for_each(|number| tx.send(number).unwrap()));
    /// assert_eq!(rx.iter().collect::<Vec<_>>(), [0, 1, 2]);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// Receives what is there, without waiting.
    ///
    /// ```
    /// let (tx, rx) = cove::sync::mpsc::channel();
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.channel.remove_receiver();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// What [`Receiver::iter`] returns. See [`Receiver::iter`] for an example.
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// What [`Receiver::try_iter`] returns. See [`Receiver::try_iter`] for an example.
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// A receiver as an iterator that owns it. See [`Receiver`] for an example.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}
