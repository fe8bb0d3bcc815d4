//! Atomics, cells and locks: from std, or from loom when its model checker runs the tests.
//!
//! Everything that is shared between threads takes its primitives from here, so that
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib loom_` explores the interleavings of the very
//! code that ships. loom is a dev-dependency, so the switch needs `test` as well. Its constructors
//! are not const; neither are then those of the types built on them.

#[cfg(not(all(loom, test)))]
mod chosen {
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};
    pub(crate) use std::sync::atomic::{Ordering, fence};
    pub(crate) use std::thread::{self, yield_now};

    /// What excludes threads from each other in the locks built on it.
    pub(crate) type Exclusion = super::RawLock;

    /// `std::cell::UnsafeCell` with the interface of loom's, which must see every access.
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T: ?Sized>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// Wraps `value`.
        pub(crate) const fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }
    }

    impl<T: ?Sized> UnsafeCell<T> {
        /// Runs `read` with a pointer that it may read through.
        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        /// Runs `write` with a pointer that it may read and write through.
        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }
}

#[cfg(all(loom, test))]
mod chosen {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};
    pub(crate) use loom::sync::atomic::{Ordering, fence};
    pub(crate) use loom::thread::yield_now;

    pub(crate) mod thread {
        use loom::sync::Notify;
        use std::sync::Arc;

        loom::thread_local! {
            static HERE: Thread = Thread(Arc::new(Notify::new()));
        }

        /// As std's. Not loom's own, which takes a thread that waits for a lock for a parked one.
        #[derive(Clone)]
        pub(crate) struct Thread(Arc<Notify>);

        impl Thread {
            pub(crate) fn unpark(&self) {
                self.0.notify();
            }
        }

        pub(crate) fn current() -> Thread {
            HERE.with(Clone::clone)
        }

        pub(crate) fn park() {
            current().0.wait();
        }

        /// A model knows no time: the park ends for no reason.
        pub(crate) fn park_timeout(_: std::time::Duration) {
            loom::thread::yield_now();
        }
    }

    /// Stands for `RawLock`, which has models of its own: many threads that spin are too much for
    /// a model.
    pub(crate) struct Exclusion {
        mutex: loom::sync::Mutex<()>,
        /// The holder's.
        guard: std::cell::UnsafeCell<Option<loom::sync::MutexGuard<'static, ()>>>,
    }

    // SAFETY: only the holder touches the guard.
    unsafe impl Sync for Exclusion {}
    // SAFETY: a lock that moves is open, so that it holds no guard of any thread.
    unsafe impl Send for Exclusion {}

    impl Exclusion {
        pub(crate) fn new() -> Exclusion {
            let guard = std::cell::UnsafeCell::new(None);
            Exclusion { mutex: loom::sync::Mutex::new(()), guard }
        }

        pub(crate) fn lock(&self) {
            let guard = self.mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // SAFETY: the lock is held, and its guard goes before it does: in `unlock`.
            unsafe { *self.guard.get() = Some(std::mem::transmute(guard)) };
        }

        /// # Safety
        /// The caller holds the lock.
        pub(crate) unsafe fn unlock(&self) {
            // SAFETY: the caller is the holder.
            drop(unsafe { (*self.guard.get()).take() });
        }
    }
}

pub(crate) use chosen::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Exclusion, Ordering, UnsafeCell,
    fence, spin_loop, thread, yield_now,
};

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// How often a waiter looks again before it offers its processor to others: about a microsecond,
/// more than any section here takes unless its holder was preempted. None under loom, where a
/// relaxed load may return the old value for ever; only the exchange is sure to see the new one.
const SPINS_MAX: u32 = if cfg!(all(loom, test)) { 0 } else { 64 };

/// A lock of one byte for sections of a few instructions, which must not block, park or call out.
pub(crate) struct RawLock {
    /// Taken by acquire, given back by release: a section sees all that earlier ones wrote.
    locked: AtomicBool,
}

impl RawLock {
    /// An open lock.
    #[cfg(not(all(loom, test)))]
    pub(crate) const fn new() -> RawLock {
        RawLock { locked: AtomicBool::new(false) }
    }

    /// An open lock.
    #[cfg(all(loom, test))]
    pub(crate) fn new() -> RawLock {
        RawLock { locked: AtomicBool::new(false) }
    }

    /// Takes the lock if it is open, and says whether it was. Not a swap, which costs the same: in
    /// loom's model one that is refused could read what it wrote itself for ever.
    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes the lock; waits until it is open.
    #[inline]
    pub(crate) fn lock(&self) {
        while !self.try_lock() {
            self.wait();
        }
    }

    /// Opens the lock.
    ///
    /// # Safety
    ///
    /// The caller holds the lock.
    #[inline]
    pub(crate) unsafe fn unlock(&self) {
        debug_assert!(self.locked.load(Ordering::Relaxed), "opened a lock that nobody holds");
        self.locked.store(false, Ordering::Release);
    }

    /// Waits a while, by reading only: waiters share the cache line until the holder writes it.
    #[cold]
    fn wait(&self) {
        for _ in 0..SPINS_MAX {
            if !self.locked.load(Ordering::Relaxed) {
                return;
            }
            spin_loop();
        }
        yield_now();
    }
}

/// A value behind an [`Exclusion`]. The guard must be dropped before anything that may park.
pub(crate) struct SpinLock<T> {
    raw: Exclusion,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands the value to one thread at a time, which amounts to sending it there.
unsafe impl<T: Send> Send for SpinLock<T> {}
// SAFETY: shared access to the lock gives access to the value to one thread at a time, exclusive
// and ordered after that of the thread before, which amounts to sending it there.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// Wraps `value`, unlocked.
    #[cfg(not(all(loom, test)))]
    pub(crate) const fn new(value: T) -> SpinLock<T> {
        SpinLock { raw: Exclusion::new(), value: UnsafeCell::new(value) }
    }

    /// Wraps `value`, unlocked.
    #[cfg(all(loom, test))]
    pub(crate) fn new(value: T) -> SpinLock<T> {
        SpinLock { raw: Exclusion::new(), value: UnsafeCell::new(value) }
    }

    /// Takes the lock; waits until it is open.
    #[inline]
    pub(crate) fn lock(&self) -> SpinGuard<'_, T> {
        self.raw.lock();
        SpinGuard { lock: self, on_this_thread: PhantomData }
    }

    /// Takes the lock if it is open.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        self.raw.try_lock().then(|| SpinGuard { lock: self, on_this_thread: PhantomData })
    }
}

/// Access to the value of a [`SpinLock`], until dropped.
pub(crate) struct SpinGuard<'a, T> {
    lock: &'a SpinLock<T>,
    /// Keeps the guard on its thread: a section that moves would outlast a few instructions.
    on_this_thread: PhantomData<*mut T>,
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock and outlives the reference: nobody else has the value.
        self.lock.value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock, and is borrowed exclusively by the reference.
        self.lock.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard holds the lock, and is gone afterwards.
        unsafe { self.lock.raw.unlock() };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn try_lock_fails_while_a_guard_lives() {
        // Goal: a held lock refuses, an open one does not. Method: one thread, in and out.
        static LOCK: SpinLock<u32> = SpinLock::new(1);
        let mut guard = LOCK.lock();
        *guard += 1;
        assert!(LOCK.try_lock().is_none());
        drop(guard);
        assert_eq!(LOCK.try_lock().map(|guard| *guard), Some(2));
    }

    #[test]
    fn increments_by_many_threads_all_count() {
        // Goal: sections exclude each other under real preemption.
        // Method: more threads than processors add to a plain integer.
        let (threads, rounds) = (8, 10_000);
        let total = SpinLock::new(0u64);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..rounds).for_each(|_| *total.lock() += 1));
            }
        });
        assert_eq!(*total.lock(), threads * rounds);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;

    /// A number behind the lock as it ships.
    struct Model {
        lock: RawLock,
        value: UnsafeCell<u32>,
    }

    // SAFETY: the value is touched by the holder only, which is what the model checks.
    unsafe impl Sync for Model {}

    impl Model {
        fn new() -> Arc<Model> {
            Arc::new(Model { lock: RawLock::new(), value: UnsafeCell::new(0) })
        }

        /// Adds one to the value of the lock, which is held, and opens it.
        fn add_and_unlock(&self) -> u32 {
            // SAFETY: the caller holds the lock; loom reports it if somebody else does, too.
            unsafe {
                let value = self.value.with_mut(|value| {
                    *value += 1;
                    *value
                });
                self.lock.unlock();
                value
            }
        }
    }

    #[test]
    fn loom_lock_excludes_and_publishes() {
        // Goal: in no interleaving are two threads inside, or do they miss each other's writes.
        // Method: loom's cell reports any access that is not ordered after the previous one.
        loom::model(|| {
            let model = Model::new();
            let other = Arc::clone(&model);
            let thread = loom::thread::spawn(move || {
                other.lock.lock();
                other.add_and_unlock();
            });
            model.lock.lock();
            model.add_and_unlock();
            thread.join().expect("the other thread panicked");
            model.lock.lock();
            assert_eq!(model.add_and_unlock(), 3);
        });
    }

    #[test]
    fn loom_try_lock_never_waits_and_never_shares() {
        // Goal: a refused try_lock leaves the value alone; a granted one has it alone.
        // Method: one thread tries while the other locks; the sum tells who got in.
        loom::model(|| {
            let model = Model::new();
            let other = Arc::clone(&model);
            let thread = loom::thread::spawn(move || {
                let granted = other.lock.try_lock();
                if granted {
                    other.add_and_unlock();
                }
                u32::from(granted)
            });
            model.lock.lock();
            model.add_and_unlock();
            let granted = thread.join().expect("the other thread panicked");
            model.lock.lock();
            assert_eq!(model.add_and_unlock(), 2 + granted);
        });
    }
}
