//! Locks and their kin.

use super::super::log::Log;
use super::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock};
use super::thread;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{PoisonError, TryLockError};
use std::time::Duration;

/// A panic that the hook does not report.
fn fall(text: &'static str) -> ! {
    resume_unwind(Box::new(text))
}

/// A number that a holder of a lock may change, and one who finds it poisoned.
fn inner<T>(error: PoisonError<T>) -> T {
    error.into_inner()
}

pub(crate) fn mutex(log: &mut Log) {
    let mutex = Arc::new(Mutex::new(1));
    log.value((&mutex, mutex.is_poisoned()));
    let guard = mutex.lock().unwrap();
    log.value((&guard, guard.to_string()));
    log.value(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
    log.value(mutex.try_lock().map(drop).unwrap_err().to_string());
    drop(guard);
    log.value(mutex.try_lock().map(|guard| *guard).ok());
    let holder = mutex.clone();
    let end = thread::spawn(move || {
        let mut guard = holder.lock().unwrap();
        *guard = 2;
        fall("held")
    });
    log.end::<()>(end.join());
    log.value((&mutex, mutex.is_poisoned()));
    log.value(mutex.lock().map(drop).unwrap_err().to_string());
    log.value(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
    log.value(mutex.try_lock().map(drop).unwrap_err().to_string());
    log.value(*mutex.lock().unwrap_or_else(inner));
    log.value(mutex.is_poisoned());
    mutex.clear_poison();
    log.value(mutex.lock().map(|guard| *guard).ok());
    // One that goes before the panic does not poison, one caught inside its life neither.
    let end = catch_unwind(AssertUnwindSafe(|| {
        drop(mutex.lock());
        fall("not held")
    }));
    log.end::<()>(end);
    let guard = mutex.lock().unwrap();
    log.end::<()>(catch_unwind(|| fall("caught")));
    drop(guard);
    log.value(mutex.is_poisoned());
    let end = catch_unwind(AssertUnwindSafe(|| {
        let _guard = mutex.lock();
        fall("held")
    }));
    log.end::<()>(end);
    let mut mutex = Arc::into_inner(mutex).unwrap();
    log.value(mutex.get_mut().map(|value| *value).map_err(|error| *error.into_inner()));
    log.value(mutex.into_inner());
    log.value((Mutex::from(5), Mutex::<u8>::default()));
}

pub(crate) fn rwlock(log: &mut Log) {
    let lock = Arc::new(RwLock::new(1));
    log.value((&lock, lock.is_poisoned()));
    let reader = lock.read().unwrap();
    log.value((&reader, lock.try_read().map(|guard| *guard).ok()));
    log.value(lock.try_write().map(drop).unwrap_err().to_string());
    drop(reader);
    let mut writer = lock.try_write().unwrap();
    *writer += 1;
    log.value(&writer);
    log.value(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
    drop(writer);
    for is_writer in [false, true] {
        let holder = lock.clone();
        let end = thread::spawn(move || {
            if is_writer {
                let _guard = holder.write();
                fall("writing")
            }
            let _guard = holder.read();
            fall("reading")
        });
        log.end::<()>(end.join());
        log.value((&lock, lock.is_poisoned()));
    }
    log.value(lock.read().map(|guard| *guard).map_err(|error| *error.into_inner()));
    log.value(lock.write().map(|guard| *guard).map_err(|error| error.to_string()));
    log.value(lock.try_read().map(|guard| *guard).map_err(|error| error.to_string()));
    log.value(lock.try_write().map(|guard| *guard).map_err(|error| error.to_string()));
    lock.clear_poison();
    log.value(lock.read().map(|guard| *guard).ok());
    let mut lock = Arc::into_inner(lock).unwrap();
    log.value(lock.get_mut().map(|value| *value));
    log.value(lock.into_inner());
    log.value((RwLock::from("x"), RwLock::<u8>::default()));
}

pub(crate) fn once(log: &mut Log) {
    let once = Once::new();
    let mut runs = Vec::new();
    log.value(once.is_completed());
    log.end(catch_unwind(AssertUnwindSafe(|| once.call_once(|| fall("once")))));
    log.value(once.is_completed());
    log.value(catch_unwind(AssertUnwindSafe(|| once.call_once(|| runs.push(1)))).is_err());
    once.call_once_force(|state| runs.push(if state.is_poisoned() { 2 } else { 3 }));
    once.call_once(|| runs.push(4));
    once.call_once_force(|_| runs.push(5));
    log.value((once.is_completed(), runs));

    let mut cell = OnceLock::new();
    log.value(cell.get());
    let end = catch_unwind(AssertUnwindSafe(|| *cell.get_or_init(|| fall("cell"))));
    log.end(end);
    log.value(cell.get());
    log.value((cell.set(1), cell.set(2), *cell.get_or_init(|| 3)));
    log.value((cell.clone().get(), cell == OnceLock::from(1), cell == OnceLock::new()));
    *cell.get_mut().unwrap() += 1;
    log.value((cell.take(), cell.get_mut().is_none(), cell.take()));
    log.value((cell.set(7), cell.into_inner(), OnceLock::<u8>::default().get()));

    let cell = Arc::new(OnceLock::new());
    let makers: Vec<_> = (0..8)
        .map(|n| {
            let cell = cell.clone();
            thread::spawn(move || {
                thread::yield_now();
                *cell.get_or_init(|| n)
            })
        })
        .collect();
    let values: Vec<u32> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
    log.value(values.iter().all(|value| Some(value) == cell.get()));
}

pub(crate) fn lazy(log: &mut Log) {
    static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| vec!["made".into(), "late".into()]);
    log.value(&WORDS);
    log.value(WORDS.len());
    log.value((&WORDS, LazyLock::force(&WORDS)));
    let broken = LazyLock::new(|| -> u32 { fall("lazy") });
    log.end(catch_unwind(AssertUnwindSafe(|| *broken)));
    log.value(catch_unwind(AssertUnwindSafe(|| *broken)).is_err());
    log.value(LazyLock::<u32>::default());
}

pub(crate) fn waits(log: &mut Log) {
    let (mutex, changed) = (Mutex::new(3), Condvar::new());
    let guard = mutex.lock().unwrap();
    let (guard, result) = changed.wait_timeout(guard, Duration::ZERO).unwrap();
    log.value((*guard, result));
    let (guard, result) =
        changed.wait_timeout_while(guard, Duration::from_millis(1), |n| *n == 3).unwrap();
    log.value((*guard, result.timed_out()));
    let (guard, result) = changed.wait_timeout_while(guard, Duration::ZERO, |n| *n != 3).unwrap();
    log.value((*guard, result.timed_out()));
    let guard = changed.wait_while(guard, |n| *n != 3).unwrap();
    log.value((guard, &changed));

    let shared = Arc::new((Mutex::new(0), Condvar::new(), Barrier::new(4)));
    let members: Vec<_> = (0..4)
        .map(|_| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (count, changed, barrier) = &*shared;
                let is_leader = barrier.wait().is_leader();
                *count.lock().unwrap() += 1;
                changed.notify_all();
                let count = changed.wait_while(count.lock().unwrap(), |count| *count < 4);
                (is_leader, *count.unwrap())
            })
        })
        .collect();
    let mut ends: Vec<_> = members.into_iter().map(|member| member.join().unwrap()).collect();
    ends.sort_unstable();
    log.value((ends, &shared.2));
    log.value(Barrier::new(1).wait());

    // A wait whose mutex is poisoned meanwhile.
    let shared = Arc::new((Mutex::new(false), Condvar::new()));
    let poisoner = shared.clone();
    let mut guard = shared.0.lock().unwrap();
    let end = thread::spawn(move || {
        let mut guard = poisoner.0.lock().unwrap();
        *guard = true;
        poisoner.1.notify_all();
        fall("with the lock")
    });
    let poisoned = loop {
        match shared.1.wait(guard) {
            Ok(again) if !*again => guard = again,
            ended => break ended.map(|guard| *guard).map_err(|error| error.to_string()),
        }
    };
    log.value(poisoned);
    log.end::<()>(end.join());
}
