//! Tests of the inbox: under loom (`loom_*`) every interleaving, otherwise stress.

use super::*;

#[cfg(loom)]
use loom::{
    cell::UnsafeCell,
    sync::{Arc, Condvar, Mutex},
    thread,
};
#[cfg(not(loom))]
use std::{
    sync::{Arc, Condvar, Mutex},
    thread,
};

/// Counts rings; a sleeper waits until there is one that it has not used.
struct CountingBell {
    rings: Mutex<Rings>,
    rung: Condvar,
}

#[derive(Default)]
struct Rings {
    total: u64,
    unused: u64,
}

impl Bell for CountingBell {
    fn ring(&self) {
        let mut rings = self.rings.lock().unwrap();
        rings.total += 1;
        rings.unused += 1;
        self.rung.notify_one();
    }
}

impl CountingBell {
    /// Waits for a ring, and uses up all there are, as reading an eventfd does.
    fn sleep(&self) {
        let mut rings = self.rings.lock().unwrap();
        while rings.unused == 0 {
            rings = self.rung.wait(rings).unwrap();
        }
        rings.unused = 0;
    }

    fn total(&self) -> u64 {
        self.rings.lock().unwrap().total
    }
}

fn inbox() -> Arc<Inbox<CountingBell>> {
    let bell = CountingBell { rings: Mutex::new(Rings::default()), rung: Condvar::new() };
    Arc::new(Inbox::new(bell))
}

/// The consumer's loop: drains and sleeps until `count` wakes have come. Returns them and the
/// number of sleeps.
fn receive(inbox: &Inbox<CountingBell>, count: usize) -> (Vec<(u32, u64)>, u64) {
    let (mut received, mut sleeps) = (Vec::new(), 0);
    loop {
        inbox.drain(|message| received.push(slot_and_id(&message)));
        if received.len() >= count {
            return (received, sleeps);
        }
        if inbox.prepare_sleep() {
            sleeps += 1;
            inbox.bell().sleep();
            inbox.woke();
        }
    }
}

fn slot_and_id(message: &Message) -> (u32, u64) {
    match message {
        Message::Wake { slot, id } => (*slot, *id),
        other => panic!("only wakes were sent, not {other:?}"),
    }
}

/// Sends wakes `0..count` in the name of `slot`.
fn produce(inbox: &Arc<Inbox<CountingBell>>, slot: u32, count: u64) -> thread::JoinHandle<()> {
    let inbox = Arc::clone(inbox);
    thread::spawn(move || {
        for id in 0..count {
            inbox.push(Message::Wake { slot, id }).expect("the inbox is open");
        }
    })
}

/// Asserts that every slot's ids are exactly `0..count`, in order.
#[cfg(not(loom))]
fn assert_complete_and_ordered(received: &[(u32, u64)], slots: u32, count: u64) {
    assert_eq!(received.len() as u64, u64::from(slots) * count);
    for slot in 0..slots {
        let ids = received.iter().filter(|entry| entry.0 == slot).map(|entry| entry.1);
        assert!(ids.eq(0..count), "messages of producer {slot} are lost, doubled or out of order");
    }
}

/// Preemptions in one execution of a model whose whole space takes hours. Three find nearly every
/// error in practice (loom's documentation, "Combinatorial explosion").
#[cfg(loom)]
const PREEMPTIONS_MAX: usize = 3;

#[cfg(loom)]
fn explore(preemptions_max: Option<usize>, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions_max;
    builder.check(body);
}

#[cfg(loom)]
#[test]
fn loom_two_producers_and_a_sleeper_lose_nothing() {
    // Goal: with two producers, no wake-up is lost and each message comes once, in its producer's
    // order; at most one ring a sleep. Method: every interleaving; a lost wake-up is a deadlock.
    explore(Some(PREEMPTIONS_MAX), || {
        let inbox = inbox();
        let first = produce(&inbox, 0, 2);
        let second = produce(&inbox, 1, 1);
        let (received, sleeps) = receive(&inbox, 3);
        first.join().unwrap();
        second.join().unwrap();
        assert!(inbox.bell().total() <= sleeps, "the bell rang more than once for a sleep");
        let ids = |slot| received.iter().filter(move |entry| entry.0 == slot).map(|entry| entry.1);
        assert!(ids(0).eq(0..2) && ids(1).eq(0..1));
    });
}

#[cfg(loom)]
#[test]
fn loom_push_publishes_what_came_before_it() {
    // Goal: what a producer wrote before its push is visible to the consumer, also under a later
    // push of somebody else. Method: plain cells, whose unordered access loom reports.
    explore(Some(PREEMPTIONS_MAX), || {
        let inbox = inbox();
        let cells = Arc::new([UnsafeCell::new(0_u32), UnsafeCell::new(0_u32)]);
        let producers = [0, 1].map(|index| {
            let (inbox, cells) = (Arc::clone(&inbox), Arc::clone(&cells));
            thread::spawn(move || {
                // SAFETY: the consumer reads the cell only after this thread's push.
                cells[index].with_mut(|cell| unsafe { *cell = 7 });
                inbox.push(Message::Wake { slot: index as u32, id: 0 }).expect("open");
            })
        });
        for (slot, _) in receive(&inbox, 2).0 {
            // SAFETY: the writer pushed this message after its only write.
            assert_eq!(cells[slot as usize].with(|cell| unsafe { *cell }), 7);
        }
        producers.into_iter().for_each(|producer| producer.join().unwrap());
    });
}

#[cfg(loom)]
#[test]
fn loom_push_against_close_is_kept_or_handed_back() {
    // Goal: every push is either in the batch that `close` returns, or handed back; and a refused
    // one sees what the consumer did before the close. Method: every interleaving of two pushers.
    explore(None, || {
        let inbox = inbox();
        let last_act = Arc::new(UnsafeCell::new(0_u32));
        let pushers = [0, 1].map(|slot| {
            let (inbox, last_act) = (Arc::clone(&inbox), Arc::clone(&last_act));
            thread::spawn(move || match inbox.push(Message::Wake { slot, id: 0 }) {
                Ok(()) => false,
                Err(message) => {
                    assert_eq!(slot_and_id(&message), (slot, 0));
                    // SAFETY: the consumer's only write comes before the close.
                    assert_eq!(last_act.with(|cell| unsafe { *cell }), 1);
                    true
                }
            })
        });
        // SAFETY: pushers read the cell only when they find the inbox closed.
        last_act.with_mut(|cell| unsafe { *cell = 1 });
        let mut kept = [false; 2];
        for message in inbox.close() {
            let slot = slot_and_id(&message).0 as usize;
            assert!(!kept[slot], "message {slot} came twice");
            kept[slot] = true;
        }
        let refused = pushers.map(|pusher| pusher.join().unwrap());
        assert_eq!(kept, refused.map(|refused| !refused));
        assert_eq!(inbox.close().count(), 0);
    });
}

#[cfg(loom)]
#[test]
fn loom_sleep_cut_short_by_a_deadline_loses_nothing() {
    // Goal: a sleep that a deadline ends at the moment of a push loses nothing, and the late ring
    // does not break the next sleep. Method: the consumer takes its announcement back at once.
    explore(None, || {
        let inbox = inbox();
        let producer = produce(&inbox, 0, 1);
        let announced = inbox.prepare_sleep();
        if announced {
            inbox.woke();
        }
        let (received, sleeps) = receive(&inbox, 1);
        producer.join().unwrap();
        assert_eq!(received, [(0, 0)]);
        assert!(inbox.bell().total() <= sleeps + u64::from(announced));
    });
}

#[cfg(loom)]
#[test]
fn loom_bell_is_silent_while_the_consumer_is_awake() {
    // Goal: the bell never rings for a consumer that announced no sleep. Method: two pushers
    // against a consumer that only polls.
    explore(None, || {
        let inbox = inbox();
        let producers = [produce(&inbox, 0, 1), produce(&inbox, 1, 1)];
        let mut count = inbox.drain(drop);
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        count += inbox.drain(drop);
        assert_eq!(count, 2);
        assert_eq!(inbox.bell().total(), 0);
    });
}

#[cfg(not(loom))]
#[test]
fn many_producers_and_a_sleeper_lose_nothing() {
    // Goal: nothing is lost, doubled or reordered on real threads, and a sleep has at most one
    // ring. Method: four producers against one consumer that sleeps whenever it can.
    const PRODUCERS: u32 = 4;
    const EACH: u64 = 50_000;
    let inbox = inbox();
    let producers: Vec<_> = (0..PRODUCERS).map(|slot| produce(&inbox, slot, EACH)).collect();
    let (received, sleeps) = receive(&inbox, PRODUCERS as usize * EACH as usize);
    for producer in producers {
        producer.join().unwrap();
    }
    assert!(inbox.bell().total() <= sleeps, "the bell rang more than once for a sleep");
    assert_complete_and_ordered(&received, PRODUCERS, EACH);
}

#[cfg(not(loom))]
#[test]
fn close_amid_pushes_splits_each_producer_at_one_point() {
    // Goal: a close in the middle of heavy pushing splits the messages exactly: a prefix of each
    // producer's is delivered, the rest is handed back. Method: close after the first ones arrive.
    const EACH: u64 = 20_000;
    let inbox = inbox();
    let producers = [0, 1, 2].map(|slot| {
        let inbox = Arc::clone(&inbox);
        thread::spawn(move || {
            let refused: Vec<u64> = (0..EACH)
                .filter_map(|id| inbox.push(Message::Wake { slot, id }).err())
                .map(|message| slot_and_id(&message).1)
                .collect();
            refused
        })
    });
    let mut received = receive(&inbox, 1).0;
    received.extend(inbox.close().map(|message| slot_and_id(&message)));
    for (slot, producer) in producers.into_iter().enumerate() {
        let refused = producer.join().unwrap();
        let kept = EACH - refused.len() as u64;
        assert!(refused.into_iter().eq(kept..EACH));
        let ids = received.iter().filter(|entry| entry.0 == slot as u32).map(|entry| entry.1);
        assert!(ids.eq(0..kept));
    }
}

#[cfg(not(loom))]
#[test]
fn states_follow_the_protocol_of_the_sleep() {
    // Goal: every state refuses and allows what it should. Method: one thread walks through them.
    let inbox = inbox();
    assert!(inbox.is_empty());
    assert!(inbox.prepare_sleep());
    assert!(inbox.is_empty());
    inbox.woke();
    inbox.push(Message::Shutdown).unwrap();
    assert!(!inbox.is_empty());
    assert!(!inbox.prepare_sleep(), "a queued message forbids the sleep");
    assert_eq!(inbox.drain(drop), 1);
    assert_eq!(inbox.bell().total(), 0, "the consumer was awake");

    assert!(inbox.prepare_sleep());
    inbox.push(Message::Release { token: 5 }).unwrap();
    inbox.push(Message::Cancel { slot: 1, id: 2 }).unwrap();
    assert_eq!(inbox.bell().total(), 1, "only the first push of a sleep rings");
    inbox.woke();
    assert!(!inbox.is_empty(), "waking leaves what was queued");

    assert_eq!(inbox.close().count(), 2);
    assert!(inbox.is_empty());
    assert!(!inbox.prepare_sleep());
    assert!(inbox.push(Message::Shutdown).is_err());
    assert_eq!(inbox.drain(drop), 0);
    assert!(inbox.push(Message::Shutdown).is_err(), "draining does not open it again");
}

#[cfg(not(loom))]
#[test]
fn drain_leaves_what_arrives_meanwhile() {
    // Goal: `drain` delivers what was there when it began, so a handler that pushes cannot hold the
    // scheduler for ever. Method: each delivered closure queues another.
    let inbox = inbox();
    inbox.push(Message::Wake { slot: 0, id: 0 }).unwrap();
    for round in 0..3 {
        let count = inbox.drain(|message| {
            assert_eq!(slot_and_id(&message), (0, round));
            inbox.push(Message::Wake { slot: 0, id: round + 1 }).unwrap();
        });
        assert_eq!(count, 1);
    }
}

#[cfg(not(loom))]
#[test]
fn undelivered_closures_are_dropped() {
    // Goal: closures nobody runs are dropped, not leaked: when the inbox goes, when a batch goes,
    // when a delivery panics. Method: closures that own a counted reference.
    let witness = Arc::new(());
    let fill = || {
        let inbox = inbox();
        for _ in 0..3 {
            let held = Arc::clone(&witness);
            inbox.push(Message::Run(Box::new(move || drop(held)))).unwrap();
        }
        inbox
    };
    drop(fill());
    assert_eq!(Arc::strong_count(&witness), 1);
    drop(fill().close().next());
    assert_eq!(Arc::strong_count(&witness), 1);
    let inbox = fill();
    let delivery =
        std::panic::AssertUnwindSafe(|| inbox.drain(|_| std::panic::resume_unwind(Box::new(()))));
    assert!(std::panic::catch_unwind(delivery).is_err());
    assert_eq!(Arc::strong_count(&witness), 1);
    assert!(inbox.is_empty());
}
