//! The coroutines: a million that sleep, send a message and return a value, and the one that
//! receives the messages.

use cove::sync::mpsc::{Receiver, Sender, channel};
use cove::{JoinHandle, time};
use hdrhistogram::Histogram;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What all coroutines know.
pub(crate) struct Plan {
    pub(crate) first: Instant,
    span: Duration,
    messages: Sender<Message>,
}

struct Message {
    value: u64,
    /// None if the coroutine woke before its deadline.
    late_us: Option<u32>,
}

/// What was received.
pub(crate) struct Tally {
    pub(crate) sum: u64,
    pub(crate) early: u64,
    pub(crate) late_us: Histogram<u64>,
}

/// What each coroutine does.
pub(crate) fn live(plan: Rc<Plan>, number: u32) -> u64 {
    plan.sleep(number);
    plan.report(number)
}

impl Plan {
    /// The deadlines are spread evenly, and neighbours in time are not neighbours in memory.
    fn deadline(&self, number: u32) -> Instant {
        let part = f64::from(number.wrapping_mul(0x9e37_79b9)) / 2f64.powi(32);
        self.first + self.span.mul_f64(part)
    }

    /// What a coroutine does until it wakes. This and the rest are functions of their own, because
    /// the frames that are live during the wait are what a shared stack must keep for each.
    #[inline(never)]
    fn sleep(&self, number: u32) {
        time::sleep_until(self.deadline(number));
    }

    #[inline(never)]
    fn report(&self, number: u32) -> u64 {
        let late = Instant::now().checked_duration_since(self.deadline(number));
        let late_us = late.map(|late| late.as_micros().try_into().unwrap_or(u32::MAX));
        let value = u64::from(number) + 1;
        // The receiver stays until all senders are gone.
        let _ = self.messages.send(Message { value, late_us });
        value
    }
}

/// The plan with its first deadline `ahead`, and the coroutine that receives the messages.
pub(crate) fn prepare(ahead: Duration, span: Duration) -> (Rc<Plan>, JoinHandle<Tally>) {
    let (messages, receiver) = channel();
    let plan = Plan { first: Instant::now() + ahead, span, messages };
    (Rc::new(plan), cove::spawn(move || receive(receiver)))
}

fn receive(messages: Receiver<Message>) -> Tally {
    let late_us = Histogram::new(3).expect("three digits are a valid precision");
    let mut tally = Tally { sum: 0, early: 0, late_us };
    for message in messages {
        tally.sum += message.value;
        match message.late_us {
            Some(late_us) => tally.late_us += u64::from(late_us),
            None => tally.early += 1,
        }
    }
    tally
}
