//! The board under every interleaving, with the real inbox, and loom's own way of sleeping.
//!
//! What a worker does between two sleeps is here a few lines (`Worker::work`), in the order of
//! `Scheduler::turn`: messages, its own queue, others' queues, sleep.

use super::*;
use crate::scheduler::inbox::Message;
use loom::sync::{Arc, Condvar, Mutex};

/// As an eventfd: a sleep uses up all rings.
#[derive(Default)]
struct Doorbell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell for Doorbell {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

impl Doorbell {
    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

struct Crew {
    board: Board<u32>,
    inboxes: Vec<Inbox<Doorbell>>,
}

impl Crew {
    fn new(workers: usize, room: usize) -> Arc<Crew> {
        let inboxes = (0..workers).map(|_| Inbox::new(Doorbell::default())).collect();
        Arc::new(Crew { board: Board::new(workers, room), inboxes })
    }

    /// As `Crew::push` outside.
    fn push(&self, index: usize, item: u32) {
        assert!(self.board.push(index, item, || true));
        self.wake_idle();
    }

    fn wake_idle(&self) {
        if let Some(index) = self.board.claim_idle() {
            let nudge = Message::Wake { slot: 0, id: 0 };
            self.inboxes[index].push(nudge).expect("the inbox is open");
        }
    }

    /// Runs one item, whosever it was.
    fn work(&self, index: usize) -> u32 {
        loop {
            self.inboxes[index].drain(drop);
            let found = self.board.take(index).or_else(|| self.board.steal(index));
            if let Some(item) = found {
                return item;
            }
            let inbox = &self.inboxes[index];
            self.board.sleep(index, inbox, || inbox.bell().wait());
        }
    }

    /// Goes to sleep, is woken by something else at once, and has that to do from then on.
    fn be_busy(&self, index: usize) {
        let was_claimed = self.board.sleep(index, &self.inboxes[index], || {});
        if was_claimed && self.board.has_any_queued() {
            self.wake_idle();
        }
    }
}

fn explore(preemptions_max: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions_max);
    builder.check(body);
}

#[test]
fn loom_a_pushed_item_is_stolen_by_a_worker_that_sleeps() {
    // Goal: an item in the queue of a worker that does not look at it is found by one that was
    // about to sleep. Method: worker 1 is busy for good; a lost wake-up is a deadlock.
    explore(4, || {
        let crew = Crew::new(2, 8);
        let thief = crew.clone();
        let thread = loom::thread::spawn(move || thief.work(0));
        crew.push(1, 7);
        assert_eq!(thread.join().unwrap(), 7);
    });
}

#[test]
fn loom_a_worker_that_was_woken_but_is_busy_passes_the_item_on() {
    // Goal: an item in the queue of a sleeping worker is run though the worker that was woken for
    // it has something else to do. Method: worker 0 sleeps for a moment and is busy then; worker 1,
    // who sleeps over its own queue, must be woken. A lost wake-up is a deadlock.
    explore(3, || {
        let crew = Crew::new(2, 8);
        let (busy, worker) = (crew.clone(), crew.clone());
        let busy = loom::thread::spawn(move || busy.be_busy(0));
        let worker = loom::thread::spawn(move || worker.work(1));
        crew.push(1, 7);
        busy.join().unwrap();
        assert_eq!(worker.join().unwrap(), 7);
    });
}

#[test]
fn loom_an_item_is_passed_on_until_somebody_has_time() {
    // Goal: as above, when the worker to whom it is passed is busy as well: it, too, sees that
    // there is something to pass on. Method: two busy workers before the one whose queue it is in.
    explore(2, || {
        let crew = Crew::new(3, 8);
        let busy = [0, 1].map(|index| {
            let crew = crew.clone();
            loom::thread::spawn(move || crew.be_busy(index))
        });
        let worker = crew.clone();
        let worker = loom::thread::spawn(move || worker.work(2));
        crew.push(2, 7);
        busy.into_iter().for_each(|busy| busy.join().unwrap());
        assert_eq!(worker.join().unwrap(), 7);
    });
}

#[test]
fn loom_two_pushes_wake_two_workers() {
    // Goal: each of two items is run once, by whichever worker. Method: two workers run one each;
    // the items come to one queue from a thread outside, with room for one only, so that the second
    // push may have to wait.
    explore(2, || {
        let crew = Crew::new(2, 1);
        let workers = [0, 1].map(|index| {
            let crew = crew.clone();
            loom::thread::spawn(move || crew.work(index))
        });
        crew.push(0, 1);
        crew.push(0, 2);
        let ran = workers.map(|worker| worker.join().unwrap());
        assert!(ran == [1, 2] || ran == [2, 1], "{ran:?}");
    });
}

#[test]
fn loom_close_drops_what_is_queued_and_refuses_the_rest() {
    // Goal: an item is dropped by `close`, or refused, or taken, once; who waits for room gets an
    // answer. Method: two pushers to a queue with room for one, a closer.
    explore(3, || {
        let board = Arc::new(Board::<std::sync::Arc<()>>::new(1, 1));
        let item = std::sync::Arc::new(());
        let pushers = [0, 1].map(|_| {
            let (board, item) = (board.clone(), item.clone());
            loom::thread::spawn(move || board.push(0, item, || true))
        });
        board.close();
        pushers.into_iter().for_each(|pusher| {
            pusher.join().unwrap();
        });
        assert_eq!(std::sync::Arc::strong_count(&item), 1);
        assert!(board.take(0).is_none());
    });
}
