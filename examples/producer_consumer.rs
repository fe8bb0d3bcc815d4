//! Producers and consumers around a bounded queue, with a mutex and two condition variables: the
//! program that every text on threads has, with `cove` where it says `std`.
//!
//! ```sh
//! cargo run --example producer_consumer
//! ```

use cove::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;

const CAPACITY: usize = 8;
const PRODUCERS: u64 = 4;
const CONSUMERS: usize = 3;
const ITEMS_EACH: u64 = 1_000;

/// A queue that makes its users wait when it is full or empty.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    not_full: Condvar,
    not_empty: Condvar,
}

#[derive(Default)]
struct State {
    items: VecDeque<u64>,
    closed: bool,
}

impl Queue {
    fn put(&self, item: u64) {
        let state = self.state.lock().unwrap();
        let mut state =
            self.not_full.wait_while(state, |state| state.items.len() == CAPACITY).unwrap();
        state.items.push_back(item);
        self.not_empty.notify_one();
    }

    /// The next item, or none once the queue is closed and empty.
    fn take(&self) -> Option<u64> {
        let state = self.state.lock().unwrap();
        let mut state = self
            .not_empty
            .wait_while(state, |state| state.items.is_empty() && !state.closed)
            .unwrap();
        self.not_full.notify_one();
        state.items.pop_front()
    }

    fn close(&self) {
        self.state.lock().unwrap().closed = true;
        self.not_empty.notify_all();
    }
}

fn main() {
    cove::run(|| {
        let queue = Arc::new(Queue::default());
        let consumers: Vec<_> = (0..CONSUMERS)
            .map(|_| {
                let queue = queue.clone();
                cove::spawn(move || {
                    let (mut count, mut sum) = (0u64, 0);
                    while let Some(item) = queue.take() {
                        count += 1;
                        sum += item;
                        // Stands for work that waits for something, during which others take the
                        // next items. Without any wait one consumer would empty the queue each
                        // time: coroutines give way only where they wait.
                        cove::task::yield_now();
                    }
                    (count, sum)
                })
            })
            .collect();
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let queue = queue.clone();
                cove::spawn(move || {
                    (0..ITEMS_EACH).for_each(|n| queue.put(producer * ITEMS_EACH + n))
                })
            })
            .collect();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        queue.close();
        let mut total = (0, 0);
        for (number, consumer) in consumers.into_iter().enumerate() {
            let (count, sum) = consumer.join().unwrap();
            println!("consumer {number}: {count} items");
            total = (total.0 + count, total.1 + sum);
        }
        let all = PRODUCERS * ITEMS_EACH;
        assert_eq!(total, (all, all * (all - 1) / 2));
        println!("{} items in all, none lost", total.0);
    });
}
