//! Channels for a single value: the answer to a request, the end of a task.
//!
//! ```
//! use cove::sync::oneshot;
//!
//! cove::run(|| {
//!     let (tx, rx) = oneshot::channel();
//!     cove::spawn(move || tx.send(6 * 7));
//!     assert_eq!(rx.recv(), Ok(42));
//! });
//! ```
//!
//! Either end may be on any thread, with a runtime or without. A receiver can be an arm of
//! [`select!`](crate::select!).

use super::select::{Place, Selectable, sealed};
use crate::primitive::SpinLock;
use crate::scheduler::wait::{NEVER, WaitKind, WaitQueue, Waited, wait};
use crate::sys;
use std::fmt;
use std::sync::Arc;
pub use std::sync::mpsc::{RecvError, RecvTimeoutError, TryRecvError};
use std::time::Duration;

#[cfg(test)]
#[path = "oneshot_tests.rs"]
mod tests;

/// Makes a channel for one value.
///
/// ```
/// let (tx, rx) = cove::sync::oneshot::channel();
/// tx.send("done").unwrap();
/// assert_eq!(rx.recv(), Ok("done"));
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let state = State {
        value: None,
        sender_gone: false,
        receiver_gone: false,
        receivers: WaitQueue::new(),
    };
    let shared = Arc::new(SpinLock::new(state));
    (Sender { shared: shared.clone() }, Receiver { shared })
}

struct State<T> {
    value: Option<T>,
    /// Set with the value, too: nothing more will come.
    sender_gone: bool,
    receiver_gone: bool,
    receivers: WaitQueue,
}

impl<T> State<T> {
    /// Whether a receiver need not wait.
    fn is_settled(&self) -> bool {
        self.value.is_some() || self.sender_gone
    }
}

/// The sending end: it sends once. See [`Sender::send`] for an example.
pub struct Sender<T> {
    shared: Arc<SpinLock<State<T>>>,
}

impl<T> Sender<T> {
    /// Sends the value; never waits.
    ///
    /// ```
    /// let (tx, rx) = cove::sync::oneshot::channel();
    /// drop(rx);
    /// assert_eq!(tx.send(1), Err(1));
    /// ```
    ///
    /// # Errors
    /// The value itself, when the receiver is gone.
    pub fn send(self, value: T) -> Result<(), T> {
        let mut state = self.shared.lock();
        if state.receiver_gone {
            return Err(value);
        }
        state.value = Some(value);
        state.sender_gone = true;
        let wakeups = state.receivers.wake_all();
        drop(state);
        wakeups.send();
        Ok(())
    }

    /// Whether the receiver is gone, so that nobody waits for the value any more.
    ///
    /// ```
    /// let (tx, rx) = cove::sync::oneshot::channel::<i32>();
    /// assert!(!tx.is_closed());
    /// drop(rx);
    /// assert!(tx.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.lock().receiver_gone
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.sender_gone = true;
        let wakeups = state.receivers.wake_all();
        drop(state);
        wakeups.send();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// The receiving end: it receives once. See [`Receiver::recv`] for an example.
pub struct Receiver<T> {
    shared: Arc<SpinLock<State<T>>>,
}

impl<T> Receiver<T> {
    /// Receives the value; waits until it is there.
    ///
    /// ```
    /// let (tx, rx) = cove::sync::oneshot::channel::<i32>();
    /// let thread = std::thread::spawn(move || drop(tx));
    /// assert!(rx.recv().is_err());
    /// thread.join().unwrap();
    /// ```
    ///
    /// # Errors
    /// When the sender is gone without having sent.
    pub fn recv(self) -> Result<T, RecvError> {
        self.receive(NEVER).map_err(|_| RecvError)
    }

    /// Receives the value if it is there.
    ///
    /// ```
    /// use cove::sync::oneshot::{TryRecvError, channel};
    /// let (tx, rx) = channel();
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.try_recv(), Ok(1));
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    ///
    /// # Errors
    /// When there is no value yet; or none will come, because it has been received or the sender is
    /// gone.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut state = self.shared.lock();
        match state.value.take() {
            Some(value) => Ok(value),
            None if state.sender_gone => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Receives the value; waits for at most `timeout`. It can be called again.
    ///
    /// ```
    /// use cove::sync::oneshot::{RecvTimeoutError, channel};
    /// use std::time::Duration;
    /// let (tx, rx) = channel();
    /// let moment = Duration::from_millis(1);
    /// assert_eq!(rx.recv_timeout(moment), Err(RecvTimeoutError::Timeout));
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.recv_timeout(moment), Ok(1));
    /// ```
    ///
    /// # Errors
    /// When the time is over; or no value will come.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.receive(sys::clock::deadline_ns(timeout))
    }

    fn receive(&self, deadline_ns: u64) -> Result<T, RecvTimeoutError> {
        loop {
            let mut state = self.shared.lock();
            if let Some(value) = state.value.take() {
                return Ok(value);
            }
            if state.sender_gone {
                return Err(RecvTimeoutError::Disconnected);
            }
            let (shared, kind) = (&*self.shared, WaitKind::Receive);
            match wait(shared, state, |state| &mut state.receivers, kind, 0, deadline_ns) {
                Waited::Notified => {}
                Waited::TimedOut => return Err(RecvTimeoutError::Timeout),
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.receiver_gone = true;
        let unreceived = state.value.take();
        drop(state);
        drop(unreceived);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl<T> sealed::Sealed for Receiver<T> {}

impl<T> Selectable for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn attempt(&self) -> Option<Self::Output> {
        match self.try_recv() {
            Ok(value) => Some(Ok(value)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError)),
            Err(TryRecvError::Empty) => None,
        }
    }

    unsafe fn enter(&self, place: Place<'_>) -> bool {
        let mut state = self.shared.lock();
        if state.is_settled() {
            return false;
        }
        // SAFETY: as the caller says.
        unsafe { state.receivers.push(&place.0.waiter) };
        true
    }

    unsafe fn leave(&self, place: Place<'_>) {
        // SAFETY: as the caller says.
        unsafe { self.shared.lock().receivers.remove(&place.0.waiter) };
    }
}
