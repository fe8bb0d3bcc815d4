//! Waits for locks and their kin.

use super::plain::{LONG, MOMENT};
use super::{Case, Kind, MANY, hold, wait_for};
use cove::sync::{
    Barrier, Condvar, LazyLock, Mutex, Notify, Once, OnceCell, PoisonError, RwLock, Semaphore,
    WaitGroup,
};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

const fn kind(name: &'static str, shown: &'static str, make: fn() -> Case) -> Kind {
    Kind { name, shown, is_io: false, sharers_max: MANY, total_max: MANY, make }
}

const fn alone(name: &'static str, shown: &'static str, make: fn() -> Case) -> Kind {
    Kind { sharers_max: 1, ..kind(name, shown, make) }
}

pub(crate) const KINDS: &[Kind] = &[
    kind("mutex", "mutex", mutex),
    kind("read lock", "read-write lock", read_lock),
    kind("write lock", "read-write lock", write_lock),
    kind("write lock behind a reader", "read-write lock", write_lock_behind_reader),
    kind("condvar", "condition variable", condvar),
    kind("condvar with a time-out", "condition variable", condvar_timeout),
    kind("semaphore", "semaphore", semaphore),
    kind("semaphore, many permits", "semaphore", semaphore_many),
    kind("semaphore, owned permit", "semaphore", semaphore_owned),
    alone("barrier", "barrier", barrier),
    kind("wait group", "wait group", wait_group),
    kind("once cell", "once cell", once_cell),
    kind("once", "once cell", once),
    // A lock whose maker was unwound panics, at length.
    Kind { total_max: 3, ..kind("lazy lock", "once cell", lazy_lock) },
    kind("notify", "notify", notify),
    kind("notify with a time-out", "notify", notify_timeout),
];

fn mutex() -> Case {
    let mutex = Rc::new(Mutex::new(0));
    let [held, waited_for] = [mutex.clone(), mutex.clone()];
    let release = hold(move |held_up| {
        let guard = held.lock();
        held_up();
        drop(guard);
    });
    let wait = move || {
        *waited_for.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Ok(())
    };
    let check = move || {
        release();
        // Whoever only waited for it has not poisoned it.
        assert_eq!(*mutex.try_lock().expect("free and not poisoned"), 0);
    };
    Case::new(wait, check)
}

/// A lock that is held for writing, or else for reading, and the release.
fn held_lock(writing: bool) -> (Rc<RwLock<u32>>, impl FnOnce()) {
    let lock = Rc::new(RwLock::new(0));
    let held = lock.clone();
    let release = hold(move |held_up| {
        let guards = if writing { (Some(held.write()), None) } else { (None, Some(held.read())) };
        held_up();
        drop(guards);
    });
    (lock, release)
}

fn check_lock(lock: &RwLock<u32>, release: impl FnOnce()) {
    release();
    assert_eq!(*lock.try_read().expect("free and not poisoned"), 0);
    *lock.try_write().expect("free and not poisoned") += 1;
}

fn read_lock() -> Case {
    let (lock, release) = held_lock(true);
    let waited_for = lock.clone();
    let wait = move || {
        drop(waited_for.read());
        Ok(())
    };
    Case::new(wait, move || check_lock(&lock, release))
}

fn write_lock() -> Case {
    let (lock, release) = held_lock(true);
    let waited_for = lock.clone();
    let wait = move || {
        *waited_for.write().unwrap_or_else(PoisonError::into_inner) += 1;
        Ok(())
    };
    Case::new(wait, move || check_lock(&lock, release))
}

fn write_lock_behind_reader() -> Case {
    let (lock, release) = held_lock(false);
    let waited_for = lock.clone();
    let wait = move || {
        *waited_for.write().unwrap_or_else(PoisonError::into_inner) += 1;
        Ok(())
    };
    let check = move || {
        // A writer that has gone does not keep readers out.
        assert!(lock.try_read().is_ok());
        check_lock(&lock, release);
    };
    Case::new(wait, check)
}

/// A condition variable with its mutex.
type Pair = Rc<(Mutex<bool>, Condvar)>;

/// The waiter unwound with the mutex in its hand, and so has poisoned it.
fn check_condvar(pair: &Pair) {
    pair.0.clear_poison();
    let of_waiter = pair.clone();
    let waiter = cove::spawn(move || {
        let guard = of_waiter.0.lock().expect("not poisoned");
        let guard = of_waiter.1.wait_while(guard, |set| !*set).expect("not poisoned");
        assert!(*guard);
    });
    wait_for(&waiter.task(), "condition variable");
    *pair.0.lock().expect("not poisoned") = true;
    pair.1.notify_one();
    waiter.join().expect("notified");
}

fn condvar() -> Case {
    let pair = Pair::default();
    let waited_for = pair.clone();
    let wait = move || {
        let mut guard = waited_for.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            guard = waited_for.1.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    };
    Case::new(wait, move || check_condvar(&pair))
}

fn condvar_timeout() -> Case {
    let pair = Pair::default();
    let waited_for = pair.clone();
    let wait = move || {
        let mut guard = waited_for.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let waited = waited_for.1.wait_timeout(guard, LONG);
            guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    };
    Case::new(wait, move || check_condvar(&pair))
}

/// All permits come back, and the next one waits no more.
fn check_semaphore(semaphore: &Semaphore, permits: usize) {
    assert_eq!(semaphore.available_permits(), permits);
    semaphore.add_permits(5);
    drop(semaphore.acquire_many(5));
    assert_eq!(semaphore.available_permits(), permits + 5);
}

fn semaphore() -> Case {
    let semaphore = Rc::new(Semaphore::new(0));
    let waited_for = semaphore.clone();
    let wait = move || {
        drop(waited_for.acquire());
        Ok(())
    };
    Case::new(wait, move || check_semaphore(&semaphore, 0))
}

fn semaphore_many() -> Case {
    // Two are there, three are wanted: while somebody waits, nobody else gets the two.
    let semaphore = Rc::new(Semaphore::new(2));
    let waited_for = semaphore.clone();
    let wait = move || {
        drop(waited_for.acquire_many(3));
        Ok(())
    };
    Case::new(wait, move || check_semaphore(&semaphore, 2))
}

fn semaphore_owned() -> Case {
    let semaphore = Arc::new(Semaphore::new(0));
    let waited_for = semaphore.clone();
    let wait = move || {
        drop(waited_for.acquire_owned());
        Ok(())
    };
    Case::new(wait, move || check_semaphore(&semaphore, 0))
}

fn barrier() -> Case {
    let barrier = Rc::new(Barrier::new(2));
    let waited_for = barrier.clone();
    let wait = move || {
        waited_for.wait();
        Ok(())
    };
    // Whoever was cancelled does not count: two more are needed.
    let check = move || {
        let first = barrier.clone();
        let first = cove::spawn(move || first.wait().is_leader());
        wait_for(&first.task(), "barrier");
        let second = barrier.wait().is_leader();
        assert!(first.join().expect("released") != second);
    };
    Case::new(wait, check)
}

fn wait_group() -> Case {
    let group = WaitGroup::new();
    let member = group.clone();
    let wait = move || {
        // A clone is a member too, until it waits.
        group.clone().wait();
        Ok(())
    };
    let check = move || {
        let last = cove::spawn(move || member.wait());
        cove::task::yield_now();
        last.join().expect("all are done");
    };
    // The group itself lives in the closure that waits, which the tests drop before they check.
    Case::new(wait, check)
}

fn once_cell() -> Case {
    let cell = Rc::new(OnceCell::new());
    let [made, waited_for] = [cell.clone(), cell.clone()];
    let release = hold(move |held_up| {
        made.get_or_init(|| {
            held_up();
            7
        });
    });
    let wait = move || {
        waited_for.get_or_init(|| 8);
        Ok(())
    };
    let check = move || {
        release();
        assert_eq!(cell.get(), Some(&7));
    };
    Case::new(wait, check)
}

fn once() -> Case {
    let once = Rc::new(Once::new());
    let [run, waited_for] = [once.clone(), once.clone()];
    let release = hold(move |held_up| run.call_once(held_up));
    let wait = move || {
        waited_for.call_once_force(|_| ());
        Ok(())
    };
    let check = move || {
        release();
        assert!(once.is_completed());
    };
    Case::new(wait, check)
}

fn lazy_lock() -> Case {
    type Step = Box<dyn FnOnce()>;
    let entered: Rc<Cell<Option<Step>>> = Rc::default();
    let inside = entered.clone();
    let lazy = Rc::new(LazyLock::new(move || {
        let enter = inside.take().expect("made once");
        enter();
        9
    }));
    let [made, waited_for] = [lazy.clone(), lazy.clone()];
    let (release, released) = cove::sync::mpsc::channel::<()>();
    entered.set(Some(Box::new(move || _ = released.recv())));
    let maker = cove::spawn(move || **made);
    wait_for(&maker.task(), "channel receive");
    let wait = move || {
        assert_eq!(**waited_for, 9);
        Ok(())
    };
    let check = move || {
        drop(release);
        assert_eq!(maker.join().expect("made"), 9);
        assert_eq!(**lazy, 9);
    };
    Case::new(wait, check)
}

/// Exactly one notification is kept, and none was.
fn check_notify(notify: &Notify) {
    assert!(!notify.wait_timeout(MOMENT));
    notify.notify_one();
    notify.wait();
    assert!(!notify.wait_timeout(MOMENT));
}

fn notify() -> Case {
    let notify = Rc::new(Notify::new());
    let waited_for = notify.clone();
    let wait = move || {
        waited_for.wait();
        Ok(())
    };
    Case::new(wait, move || check_notify(&notify))
}

fn notify_timeout() -> Case {
    let notify = Rc::new(Notify::new());
    let waited_for = notify.clone();
    let wait = move || {
        assert!(!waited_for.wait_timeout(LONG));
        Ok(())
    };
    Case::new(wait, move || check_notify(&notify))
}
