//! The two ends of a channel as arms of `select!`.
//!
//! A receive arm that is claimed has been given its value, or is to look again. A send arm that is
//! claimed, or finds room, holds a reservation: the expression for the value is computed only once
//! the arm is chosen, so that the value is still there for whoever chose another one.

use super::channel::{Channel, State};
use super::{Receiver, Sender, SyncSender};
use crate::sync::select::{Place, Selectable, Sends, sealed};
use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError};

impl<T> State<T> {
    /// Whether a receive arm would succeed at once.
    fn is_receivable(&self, place: Place<'_>) -> bool {
        self.queue.len() > 0
            || !self.offers.is_empty()
            || self.senders == 0
            || (self.bound == 0 && (self.reserved > 0 || self.arms.has_rival(place.0)))
    }

    /// Whether a send arm would succeed at once.
    fn is_sendable(&self, place: Place<'_>) -> bool {
        self.receiver_gone
            || self.has_room()
            || (self.bound == 0 && self.reserved == 0 && self.receivers.has_rival(place.0))
    }

    /// Takes a place for one value, if there is one or the receiver waits for it.
    fn reserve(&mut self) -> bool {
        if !self.has_room() {
            if self.bound > 0 || self.reserved > 0 {
                return false;
            }
            let Some(receiver) = self.receivers.claim() else { return false };
            receiver.wake();
        }
        self.reserved += 1;
        true
    }
}

impl<T> Channel<T> {
    /// Sends a value in a reserved place, or gives it back if the receiver is gone.
    fn complete(&self, value: T) -> Result<(), SendError<T>> {
        let mut state = self.lock.lock();
        state.reserved -= 1;
        if state.receiver_gone {
            return Err(SendError(value));
        }
        if let Err(value) = self.hand_over(&mut state, value) {
            state.queue.push(value);
        }
        self.settle(&mut state);
        Ok(())
    }

    /// Gives a reserved place up.
    fn withdraw(&self) {
        let mut state = self.lock.lock();
        state.reserved -= 1;
        if state.receiver_gone {
            return;
        }
        self.settle(&mut state);
    }

    /// After a reservation has ended: whoever counted on it looks again.
    fn settle(&self, state: &mut State<T>) {
        if state.bound == 0 {
            // Who waits for a promise waits without a deadline.
            state.receivers.wake_all().send();
        }
        state.admit();
    }
}

impl<T> sealed::Sealed for Receiver<T> {}

impl<T> Selectable for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn attempt(&self) -> Option<Self::Output> {
        match self.channel.receive(None) {
            Ok(value) => Some(Ok(value)),
            Err(RecvTimeoutError::Disconnected) => Some(Err(RecvError)),
            Err(RecvTimeoutError::Timeout) => None,
        }
    }

    unsafe fn enter(&self, place: Place<'_>) -> bool {
        let mut state = self.channel.lock.lock();
        if state.is_receivable(place) {
            return false;
        }
        // SAFETY: as the caller says.
        unsafe { state.receivers.push(&place.0.waiter) };
        true
    }

    unsafe fn leave(&self, place: Place<'_>) {
        // SAFETY: as the caller says.
        unsafe { self.channel.lock.lock().receivers.remove(&place.0.waiter) };
    }

    fn accept(&self) -> Option<Self::Output> {
        self.channel.handed_over().map(Ok).or_else(|| self.attempt())
    }
}

/// A sender as an arm of `select!`.
#[doc(hidden)]
pub struct Sending<'a, T> {
    channel: &'a Channel<T>,
}

/// A reservation in a channel, as the arm's output: without a destructor, so that nothing stays
/// borrowed while the arm's expression runs. Each is redeemed by `place`.
#[doc(hidden)]
pub struct Reserved<'a, T> {
    channel: &'a Channel<T>,
}

impl<'a, T> Reserved<'a, T> {
    /// The place, which is given up if the computation of its value panics.
    pub fn place(self) -> Reservation<'a, T> {
        Reservation { channel: self.channel }
    }
}

/// A place for one value in a channel.
#[doc(hidden)]
pub struct Reservation<'a, T> {
    channel: &'a Channel<T>,
}

impl<T> Reservation<'_, T> {
    /// Sends the value.
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        std::mem::ManuallyDrop::new(self).channel.complete(value)
    }
}

impl<T> Drop for Reservation<'_, T> {
    fn drop(&mut self) {
        self.channel.withdraw();
    }
}

impl<T> sealed::Sealed for Sending<'_, T> {}

impl<'a, T> Selectable for Sending<'a, T> {
    type Output = Reserved<'a, T>;

    fn attempt(&self) -> Option<Reserved<'a, T>> {
        let mut state = self.channel.lock.lock();
        // A place in a channel without a receiver is as good as any: sending fails there.
        if state.receiver_gone {
            state.reserved += 1;
        } else if !state.reserve() {
            return None;
        }
        Some(Reserved { channel: self.channel })
    }

    unsafe fn enter(&self, place: Place<'_>) -> bool {
        let mut state = self.channel.lock.lock();
        if state.is_sendable(place) {
            return false;
        }
        // SAFETY: as the caller says.
        unsafe { state.arms.push(&place.0.waiter) };
        true
    }

    unsafe fn leave(&self, place: Place<'_>) {
        // SAFETY: as the caller says.
        unsafe { self.channel.lock.lock().arms.remove(&place.0.waiter) };
    }

    fn accept(&self) -> Option<Reserved<'a, T>> {
        // Whoever claimed the arm has made the reservation.
        Some(Reserved { channel: self.channel })
    }
}

impl<T> sealed::Sealed for Sender<T> {}
impl<T> sealed::Sealed for SyncSender<T> {}

impl<T> Sends for Sender<T> {
    type Arm<'a>
        = Sending<'a, T>
    where
        T: 'a;

    fn arm(&self) -> Sending<'_, T> {
        Sending { channel: &self.channel }
    }
}

impl<T> Sends for SyncSender<T> {
    type Arm<'a>
        = Sending<'a, T>
    where
        T: 'a;

    fn arm(&self) -> Sending<'_, T> {
        Sending { channel: &self.channel }
    }
}
