//! What players do: one step out of many at a time, at random.
//!
//! Any player may be cancelled, by its parent, from the other worker or by a plain thread, and any
//! step may run inside a deadline scope; so whatever a step starts it ends by a destructor.

use super::books::{Books, count};
use super::hub::Hub;
use super::life::{Child, Life};
use super::xorshift::Xorshift;
use cove::JoinHandle;
use cove::net::UnixStream;
use cove::sync::{Barrier, OnceCell, WaitGroup, mpsc};
use cove::task::{self, Builder, Cancelled};
use cove::time::{self, Duration};
use std::cell::{Cell, RefCell};
use std::io;
use std::panic::panic_any;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Players spawn players, to this depth.
const DEPTH_MAX: u32 = 3;

/// No round has more players.
const PLAYERS_MAX: u64 = 1500;

const SHORT_NS: u64 = 200_000;

/// A coroutine that plays.
pub(crate) struct Player {
    pub(super) books: Arc<Books>,
    hub: Arc<Hub>,
    group: WaitGroup,
    pub(super) random: Xorshift,
    depth: u32,
}

cove::coroutine_local! {
    static VISITS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl Player {
    pub(crate) fn new(books: Arc<Books>, hub: Arc<Hub>, random: Xorshift) -> Player {
        Player { books, hub, group: WaitGroup::new(), random, depth: 0 }
    }

    /// Spawns `crowd` players and waits until all, and all of theirs, have ended.
    pub(crate) fn play_crowd(mut self, crowd: u64) {
        for _ in 0..crowd {
            drop(self.spawn_player());
        }
        self.group.wait();
    }

    /// A player with a generator of its own, which comes out of this one's.
    fn another(&mut self) -> Player {
        Player {
            books: self.books.clone(),
            hub: self.hub.clone(),
            group: self.group.clone(),
            random: Xorshift::new(self.random.next()),
            depth: self.depth + 1,
        }
    }

    /// Spawns a player on any kind of stack; the handle detaches it when it is dropped.
    fn spawn_player(&mut self) -> JoinHandle<u64> {
        let player = self.another();
        let life = Life::new(&self.books, &self.group);
        let number = player.random.peek();
        let handle = self.spawn(move || life.run(move || player.play(number)));
        if self.random.once_in(8) {
            self.hub.offer(handle.task());
        }
        handle
    }

    /// Spawns on a shared stack, or a private one of some size.
    fn spawn<T: 'static>(&mut self, function: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
        let spawned = match self.random.below(6) {
            0 | 1 => Builder::new().stack_bytes(64 << 10).spawn(function),
            2 => Builder::new().stack_bytes(1 << 20).spawn(function),
            3 => Builder::new().name("a player").spawn(function),
            // SAFETY: steps that lend locals to other coroutines look at the kind of stack first.
            4 => unsafe { Builder::new().name(SHARED).spawn_on_shared_stack(function) },
            _ => return cove::spawn(function),
        };
        spawned.expect("a coroutine")
    }

    /// Plays some steps; may panic with its number.
    fn play(mut self, number: u64) -> u64 {
        for _ in 0..=self.random.below(10) {
            count(&self.books.steps);
            self.step();
            if self.random.once_in(60) {
                panic_any(number);
            }
        }
        number
    }

    fn short(&mut self) -> Duration {
        Duration::from_nanos(self.random.below(SHORT_NS))
    }

    fn step(&mut self) {
        match self.random.below(26) {
            0 => task::yield_now(),
            1 => time::sleep(self.short()),
            2..=4 => self.step_family(),
            5 => self.step_cancel(),
            6 => self.step_park(),
            7 => self.step_scope(),
            8 | 9 => self.step_timeout(),
            10..=15 => self.step_hub(),
            16 => self.step_channel(),
            17 => self.step_select(),
            18 => self.step_exchange(),
            19 => self.step_close(),
            20 => self.step_datagram(),
            21 => self.step_blocking(),
            22 | 23 => self.step_remote(),
            24 => self.step_together(),
            _ => self.step_local(),
        }
    }

    fn may_spawn(&self) -> bool {
        self.depth < DEPTH_MAX && self.books.spawned.load(Ordering::Relaxed) < PLAYERS_MAX
    }

    /// A player is spawned, and joined, detached, or cancelled at some time.
    fn step_family(&mut self) {
        if !self.may_spawn() {
            return task::yield_now();
        }
        let handle = self.spawn_player();
        match self.random.below(4) {
            0 => return drop(handle),
            1 => handle.cancel(),
            2 => {
                time::sleep(self.short());
                handle.cancel();
            }
            _ => {}
        }
        expect_end(Child::new(handle).join());
    }

    /// One that waits for ever is cancelled.
    fn step_cancel(&mut self) {
        let life = Life::new(&self.books, &self.group);
        let (hub, way) = (self.hub.clone(), self.random.below(5));
        let waiting = self.spawn(move || {
            life.run(move || match way {
                0 => loop {
                    task::park();
                },
                1 => time::sleep(Duration::from_secs(3600)),
                2 => drop(hub.semaphore.acquire_many(1 << 20)),
                3 => {
                    let (_sender, receiver) = mpsc::channel::<()>();
                    assert!(receiver.recv().is_err());
                }
                _ => {
                    let (near, _far) = UnixStream::pair().expect("a pair");
                    let outcome = io::Read::read(&mut &near, &mut [0]);
                    unreachable!("nobody sends: {outcome:?}");
                }
            })
        });
        let waiting = Child::new(waiting);
        (0..self.random.below(3)).for_each(|_| task::yield_now());
        waiting.handle().cancel();
        assert!(waiting.join().expect_err("waits for ever").is::<Cancelled>());
    }

    /// One parks until a flag is set.
    fn step_park(&mut self) {
        let flag = Rc::new(Cell::new(false));
        let seen = flag.clone();
        let parked = Child::new(self.spawn(move || {
            while !seen.get() {
                task::park();
            }
        }));
        (0..self.random.below(3)).for_each(|_| task::yield_now());
        flag.set(true);
        parked.handle().task().unpark();
        parked.join().expect("unparked");
    }

    /// Coroutines borrow from this one, unless its stack is a shared one.
    fn step_scope(&mut self) {
        if task::current().name() == Some(SHARED) {
            return task::yield_now();
        }
        let (sum, wait) = (Cell::new(0), self.short());
        cove::scope(|scope| {
            for number in 1..=4 {
                let sum = &sum;
                scope.spawn(move || {
                    time::sleep(wait / number);
                    sum.set(sum.get() + number);
                });
            }
        });
        assert_eq!(sum.get(), 10);
    }

    /// Any step, or an endless wait, inside a deadline scope.
    fn step_timeout(&mut self) {
        let within = self.short();
        if self.random.once_in(3) {
            assert!(time::timeout(within, || -> () { endless() }).is_err());
        } else {
            let _ = time::timeout(within, || self.step());
        }
    }

    fn step_hub(&mut self) {
        let (value, hub, short) = (self.random.next() >> 16, self.hub.clone(), self.short());
        let between = || time::sleep(short / 10);
        match self.random.below(9) {
            0 => hub.add_to_pair(value, between),
            1 => hub.use_table(self.random.once_in(3), between),
            2 => hub.hold_permits(1 + self.random.below(3) as u32, between),
            3 => hub.send(value, self.random.once_in(2)),
            4 => hub.receive(self.random.once_in(2), short),
            5 => hub.put(value),
            6 => hub.get(short),
            7 => drop(hub.notify.wait_timeout(short)),
            _ => hub.notify.notify_all(),
        }
    }

    /// Numbers in order, from one coroutine to another.
    fn step_channel(&mut self) {
        let (bound, end) = (self.random.below(3) as usize, 1 + self.random.below(20));
        let (sender, receiver) = mpsc::sync_channel(bound);
        let sending = Child::new(self.spawn(move || {
            for number in 0..end {
                if sender.send(number).is_err() {
                    return;
                }
            }
        }));
        if self.random.once_in(5) {
            return drop(receiver);
        }
        assert!(receiver.iter().eq(0..end));
        sending.join().expect("sent");
    }

    /// The first of several.
    fn step_select(&mut self) {
        let (sender, receiver) = mpsc::channel();
        let (rendezvous, meeting) = mpsc::sync_channel(0);
        let (wait, end) = (self.short(), 1 + self.random.below(10));
        let taking = Child::new(self.spawn(move || meeting.iter().sum::<u64>()));
        let sending = Child::new(self.spawn(move || (0..end).all(|n| sender.send(n).is_ok())));
        let (mut received, mut met) = (0, 0);
        while received < end || met < end {
            cove::select! {
                recv(receiver) -> number => match number {
                    Ok(number) => {
                        assert_eq!(number, received);
                        received += 1;
                    }
                    Err(_) => {
                        assert_eq!(received, end);
                        break;
                    }
                },
                send(rendezvous, 1) -> sent => {
                    sent.expect("a receiver");
                    met += 1;
                },
                after(wait) => (),
            }
        }
        drop(rendezvous);
        assert_eq!(taking.join().expect("no panic"), met);
        sending.join().expect("no panic");
    }

    /// A player on the other worker, or on whichever comes first.
    fn step_remote(&mut self) {
        if !self.may_spawn() {
            return task::yield_now();
        }
        let (player, handle) = (self.another(), cove::runtime_handle());
        let life = Life::new(&self.books, &self.group);
        let number = player.random.peek();
        let closure = move || life.run(move || player.play(number));
        let remote = match self.random.below(3) {
            0 => handle.spawn(closure),
            worker => handle.spawn_on(worker as usize - 1, closure),
        };
        match self.random.below(4) {
            0 => return drop(remote),
            1 => remote.cancel(),
            _ => {}
        }
        expect_end(remote.join());
    }

    /// Some meet at a barrier; one value is made once; all are waited for.
    fn step_together(&mut self) {
        let members = 2 + self.random.below(4);
        let (barrier, cell) = (Rc::new(Barrier::new(members as usize)), Rc::new(OnceCell::new()));
        let (group, made) = (WaitGroup::new(), Rc::new(AtomicU64::new(0)));
        let all: Vec<_> = (0..members)
            .map(|number| {
                let (barrier, cell, made) = (barrier.clone(), cell.clone(), made.clone());
                let member = group.clone();
                Child::new(self.spawn(move || {
                    barrier.wait();
                    let value = *cell.get_or_init(|| {
                        task::yield_now();
                        made.fetch_add(1, Ordering::Relaxed);
                        number
                    });
                    drop(member);
                    value
                }))
            })
            .collect();
        group.wait();
        assert_eq!(made.load(Ordering::Relaxed), 1);
        for member in all {
            assert_eq!(Some(&member.join().expect("no panic")), cell.get());
        }
    }

    /// A variable of this coroutine's is there after others have run.
    fn step_local(&mut self) {
        let number = self.random.next();
        VISITS.with_borrow_mut(|visits| visits.push(number));
        task::yield_now();
        VISITS.with_borrow(|visits| assert_eq!(visits.last(), Some(&number)));
    }
}

/// The name of those on shared stacks.
const SHARED: &str = "a sharer";

fn endless() -> ! {
    loop {
        task::park();
    }
}

/// A player ends with its number, with a panic that carries it, or cancelled.
fn expect_end(outcome: std::thread::Result<u64>) {
    if let Err(payload) = outcome {
        assert!(payload.is::<Cancelled>() || payload.is::<u64>());
    }
}

/// Lets everything that was left behind on this worker come to its end.
pub(crate) fn wait_for_the_rest() {
    loop {
        let metrics = cove::metrics();
        let busy = metrics.blocking_threads - metrics.blocking_threads_idle;
        // The caller is one of the live ones.
        if metrics.live == 1 && busy + metrics.blocking_queued == 0 {
            assert_eq!((metrics.timers_armed, metrics.descriptors), (0, 0));
            return;
        }
        task::yield_now();
    }
}
