//! Locks and what else synchronises, held across yields and shared by runtimes and plain threads.

use cove::sync::{
    Arc, Barrier, Condvar, LazyLock, Mutex, Notify, Once, OnceCell, RwLock, Semaphore,
    TryLockError, WaitGroup,
};
use cove::task;
use cove::time::{Duration, Instant};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(3600);

/// Runs `role` with its number on two plain threads and in two runtimes of four coroutines each,
/// and brings back the results.
fn everywhere<T: Send + 'static>(role: impl Fn(usize) -> T + Send + Clone + 'static) -> Vec<T> {
    let mut threads = Vec::new();
    for number in 0..2 {
        let role = role.clone();
        threads.push(std::thread::spawn(move || vec![role(number)]));
    }
    for first in [2, 6] {
        let role = role.clone();
        threads.push(std::thread::spawn(move || {
            cove::run(|| {
                let spawn = |number| {
                    let role = role.clone();
                    cove::spawn(move || role(number))
                };
                let coroutines: Vec<_> = (first..first + 4).map(spawn).collect();
                coroutines.into_iter().map(|coroutine| coroutine.join().unwrap()).collect()
            })
        }));
    }
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

/// How many `everywhere` runs.
const EVERYBODY: usize = 10;

#[test]
fn mutex_excludes_everybody_while_its_holder_yields() {
    // Goal: a section with a wait inside is still exclusive. Method: read, yield, write, by threads
    // and coroutines; every tenth by try_lock.
    let count = Arc::new(Mutex::new(0));
    let shared = count.clone();
    let refused = everywhere(move |_| {
        let mut refused = 0;
        for turn in 0..100 {
            let mut guard = if turn % 10 == 0 {
                loop {
                    match shared.try_lock() {
                        Ok(guard) => break guard,
                        Err(TryLockError::WouldBlock) => refused += 1,
                        Err(TryLockError::Poisoned(error)) => panic!("{error}"),
                    }
                    task::yield_now();
                }
            } else {
                shared.lock().unwrap()
            };
            let before = *guard;
            task::yield_now();
            *guard = before + 1;
        }
        refused
    });
    assert_eq!(refused.len(), EVERYBODY);
    assert_eq!(*count.lock().unwrap(), 100 * EVERYBODY);
}

#[test]
fn rwlock_shows_whole_states_and_lets_readers_in_together() {
    // Goal: readers share, writers do not, across waits. Method: a pair that must stay equal; two
    // readers that can only go on together.
    let pair = Arc::new(RwLock::new((0, 0)));
    let shared = pair.clone();
    everywhere(move |number| {
        for _ in 0..50 {
            if number % 2 == 0 {
                let mut pair = shared.write().unwrap();
                pair.0 += 1;
                task::yield_now();
                pair.1 += 1;
            } else {
                let pair = shared.read().unwrap();
                let first = pair.0;
                task::yield_now();
                assert_eq!(first, pair.1);
            }
        }
    });
    assert_eq!(*pair.read().unwrap(), (50 * EVERYBODY / 2, 50 * EVERYBODY / 2));
    let meeting = Arc::new((RwLock::new(()), Barrier::new(EVERYBODY)));
    everywhere(move |_| {
        let _guard = meeting.0.read().unwrap();
        meeting.1.wait();
    });
}

#[test]
fn a_lock_that_a_runtime_leaves_behind_is_poisoned_and_open() {
    // Goal: a runtime's end releases what its coroutines hold. Method: park with both locks held;
    // look from outside.
    let locks = Arc::new((Mutex::new(1), RwLock::new(2), RwLock::new(3)));
    let held = locks.clone();
    cove::run(|| {
        cove::spawn(move || {
            let _guards = (held.0.lock(), held.1.write(), held.2.read());
            task::park();
        });
        task::yield_now();
        assert!(matches!(locks.0.try_lock(), Err(TryLockError::WouldBlock)));
        assert!(locks.2.try_read().is_ok() && locks.2.try_write().is_err());
    });
    assert_eq!(**locks.0.lock().unwrap_err().get_ref(), 1);
    assert!(locks.1.is_poisoned() && !locks.2.is_poisoned());
    assert!(locks.1.try_write().is_err_and(|error| matches!(error, TryLockError::Poisoned(_))));
    assert_eq!(*locks.2.write().unwrap(), 3);
}

#[test]
fn condvars_make_a_bounded_queue_between_everybody() {
    // Goal: no notification is lost in any mixture. Method: a queue with room for two, half of the
    // participants produce, half consume, with time limits on one side.
    struct Queue {
        values: Mutex<VecDeque<usize>>,
        room: Condvar,
        filled: Condvar,
    }
    let queue = Arc::new(Queue {
        values: Mutex::new(VecDeque::new()),
        room: Condvar::new(),
        filled: Condvar::new(),
    });
    let sums = everywhere(move |number| {
        let mut sum = 0;
        for value in 0..100 {
            let values = queue.values.lock().unwrap();
            if number % 2 == 0 {
                let mut values = queue.room.wait_while(values, |it| it.len() == 2).unwrap();
                values.push_back(value);
                queue.filled.notify_one();
            } else {
                let (mut values, result) =
                    queue.filled.wait_timeout_while(values, LONG, |it| it.is_empty()).unwrap();
                assert!(!result.timed_out());
                sum += values.pop_front().unwrap();
                queue.room.notify_one();
            }
        }
        sum
    });
    assert_eq!(sums.iter().sum::<usize>(), EVERYBODY / 2 * 99 * 50);
}

#[test]
fn condvar_time_limits_are_never_early() {
    // Goal: wait_timeout. Method: nobody notifies; spurious ends aside, the clock tells.
    cove::run(|| {
        let (mutex, changed) = (Mutex::new(false), Condvar::new());
        let limit = Duration::from_millis(2);
        let start = Instant::now();
        let guard = mutex.lock().unwrap();
        let (guard, result) = changed.wait_timeout_while(guard, limit, |set| !*set).unwrap();
        assert!(result.timed_out() && start.elapsed() >= limit && !*guard);
    });
}

#[test]
fn semaphore_bounds_how_many_are_inside() {
    // Goal: at most three at a time, among everybody. Method: count inside, across yields.
    let gate = Arc::new((Semaphore::new(3), AtomicUsize::new(0)));
    let shared = gate.clone();
    let most = everywhere(move |number| {
        let (semaphore, inside) = &*shared;
        (0..50)
            .map(|_| {
                let _permit = match number % 3 {
                    0 => semaphore.acquire(),
                    1 => semaphore.acquire_many(2),
                    _ => semaphore.acquire_timeout(LONG).unwrap(),
                };
                let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                task::yield_now();
                inside.fetch_sub(1, Ordering::SeqCst);
                now
            })
            .max()
    });
    assert!(most.iter().all(|most| (1..=3).contains(&most.unwrap())));
    assert_eq!(gate.0.available_permits(), 3);
}

#[test]
fn permits_are_counted_forgotten_added_and_sent_along() {
    // Goal: every method of a semaphore and of permits. Method: a sequence with known counts.
    let semaphore = Arc::new(Semaphore::new(2));
    let one = semaphore.acquire();
    assert_eq!((one.permits(), semaphore.available_permits()), (1, 1));
    assert!(semaphore.try_acquire_many(2).is_none());
    semaphore.try_acquire().unwrap().forget();
    assert!(semaphore.try_acquire().is_none());
    assert!(semaphore.acquire_timeout(Duration::from_millis(1)).is_none());
    semaphore.add_permits(3);
    assert_eq!(semaphore.acquire_many(3).permits(), 3);
    drop(one);
    assert_eq!(semaphore.available_permits(), 4);
    cove::run(|| {
        let owned = semaphore.acquire_owned();
        assert!(Arc::ptr_eq(owned.semaphore(), &semaphore));
        let holder = cove::spawn(move || {
            task::yield_now();
            drop(owned);
        });
        assert_eq!(semaphore.available_permits(), 3);
        drop(semaphore.acquire_many(4));
        assert!(holder.is_finished());
    });
}

#[test]
fn barrier_keeps_everybody_in_step() {
    // Goal: rounds with one leader each. Method: count arrivals of the round before the barrier.
    const ROUNDS: usize = 20;
    let shared = Arc::new((Barrier::new(EVERYBODY), AtomicUsize::new(0)));
    let led = everywhere(move |_| {
        let (barrier, arrived) = &*shared;
        let mut led = 0;
        for round in 1..=ROUNDS {
            arrived.fetch_add(1, Ordering::SeqCst);
            led += usize::from(barrier.wait().is_leader());
            assert!(arrived.load(Ordering::SeqCst) >= round * EVERYBODY);
            barrier.wait();
        }
        led
    });
    assert_eq!(led.iter().sum::<usize>(), ROUNDS);
}

#[test]
fn wait_group_waits_for_members_that_return_panic_or_are_cancelled() {
    // Goal: every end counts, and those on threads. Method: one member of each kind; the wait must
    // end, and not before the last.
    cove::run(|| {
        let (group, done) = (WaitGroup::new(), Rc::new(Cell::new(false)));
        let member = group.clone();
        let panics = cove::spawn(move || {
            let _member = member;
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        let member = group.clone();
        let parks = cove::spawn(move || {
            let _member = member;
            task::park();
        });
        let member = group.clone();
        std::thread::spawn(move || drop(member));
        let (member, last) = (group.clone(), done.clone());
        cove::spawn(move || {
            (0..5).for_each(|_| task::yield_now());
            parks.cancel();
            last.set(true);
            drop(member);
        });
        group.wait();
        assert!(done.get());
        assert!(panics.join().is_err());
    });
}

#[test]
fn values_are_made_once_though_their_makers_wait() {
    // Goal: one maker, all others wait for it. Method: makers that yield, everywhere.
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static LAZY: LazyLock<usize> = LazyLock::new(|| {
        task::yield_now();
        MADE.fetch_add(1, Ordering::SeqCst)
    });
    static ONCE: Once = Once::new();
    static CELL: OnceCell<usize> = OnceCell::new();
    let seen = everywhere(|number| {
        ONCE.call_once(|| {
            task::yield_now();
            MADE.fetch_add(10, Ordering::SeqCst);
        });
        assert!(ONCE.is_completed() && MADE.load(Ordering::SeqCst) >= 10);
        let cell = *CELL.get_or_init(|| {
            task::yield_now();
            MADE.fetch_add(100, Ordering::SeqCst);
            number
        });
        (*LAZY, cell)
    });
    assert_eq!(MADE.load(Ordering::SeqCst), 111);
    assert!(seen.iter().all(|values| *values == seen[0]));
}

#[test]
fn makers_that_fail_leave_the_cell_to_the_next() {
    // Goal: get_or_try_init with errors. Method: three makers in turn, of which the second succeeds
    // while the third waits.
    cove::run(|| {
        let (cell, log) = (Rc::new(OnceCell::new()), Rc::new(RefCell::new(Vec::new())));
        let makers: Vec<_> = [Err("no"), Ok(2), Ok(3)]
            .into_iter()
            .map(|outcome: Result<u32, &str>| {
                let (cell, log) = (cell.clone(), log.clone());
                cove::spawn(move || {
                    let make = || {
                        task::yield_now();
                        log.borrow_mut().push(outcome);
                        outcome
                    };
                    cell.get_or_try_init(make).copied()
                })
            })
            .collect();
        let results: Vec<_> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
        assert_eq!(results, [Err("no"), Ok(2), Ok(2)]);
        assert_eq!(*log.borrow(), [Err("no"), Ok(2)]);
        assert_eq!(cell.set(4), Err(4));
    });
}

#[test]
fn notifications_pass_a_turn_between_threads_and_coroutines() {
    // Goal: no notification is lost, one is kept. Method: a token round a ring of everybody.
    const ROUNDS: usize = 50;
    let ring: Arc<Vec<Notify>> = Arc::new((0..EVERYBODY).map(|_| Notify::new()).collect());
    let turn = Arc::new(AtomicUsize::new(0));
    ring[0].notify_one();
    let shared = turn.clone();
    everywhere(move |number| {
        for round in 0..ROUNDS {
            if round % 2 == 0 {
                ring[number].wait();
            } else {
                assert!(ring[number].wait_timeout(LONG));
            }
            assert_eq!(shared.fetch_add(1, Ordering::SeqCst) % EVERYBODY, number);
            ring[(number + 1) % EVERYBODY].notify_one();
        }
    });
    assert_eq!(turn.load(Ordering::SeqCst), ROUNDS * EVERYBODY);
}

#[test]
fn notify_all_wakes_those_who_wait_and_keeps_nothing() {
    // Goal: the difference between notify_one and notify_all. Method: count who comes through.
    cove::run(|| {
        let notify = Arc::new(Notify::new());
        let waiters: Vec<_> = (0..5)
            .map(|_| notify.clone())
            .map(|notify| cove::spawn(move || notify.wait()))
            .collect();
        task::yield_now();
        notify.notify_all();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        let moment = Duration::from_millis(1);
        assert!(!notify.wait_timeout(moment));
        notify.notify_one();
        notify.notify_one();
        assert!(notify.wait_timeout(LONG) && !notify.wait_timeout(moment));
    });
}
