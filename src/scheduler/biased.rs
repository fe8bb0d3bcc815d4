//! A spin lock that costs its home thread no atomic read-modify-write.
//!
//! Most channels never leave the thread that made them. The lock is biased towards that thread: it
//! enters by plain stores and loads, in a tenth of the time. The first other thread to come ends
//! the bias for good; from then on this is an ordinary spin lock.
//!
//! ```text
//!   home thread                                other thread
//!   -----------                                ------------
//!   home == me?                                take the shared lock
//!   busy = true                                home = NOBODY
//!   (the compiler keeps the order)             barrier on every running thread
//!   home == me still?  inside                  wait until busy == false, inside
//!   busy = false
//! ```
//!
//! This is Dekker's agreement: each side writes its own word, then reads the other's, and at least
//! one must see the other's write. The processor may let the home thread read before its write is
//! visible; the barrier that the other thread makes it pass (membarrier(2)) mends that. If the home
//! thread has read `home` before the barrier, then its `busy` is visible after it; if it reads
//! `home` later, it sees NOBODY. Everything that it wrote inside earlier is visible to whoever has
//! seen `busy` fall (release, acquire).
//!
//! A thread is known by its scheduler's address. Should a later scheduler get the same one, then
//! the former is gone, was not inside, and handed its writes over with the memory.

#[cfg(all(test, loom))]
mod model;

use super::Scheduler;
use super::wait::Lock;
#[cfg(all(test, loom))]
use crate::primitive::fence;
use crate::primitive::{
    AtomicBool, AtomicUsize, Exclusion, Ordering, UnsafeCell, spin_loop, yield_now,
};
use crate::sys::membarrier;
use std::ops::{Deref, DerefMut};

/// No thread's scheduler has this address, nor has a thread without one (which counts as 0).
const NOBODY: usize = 1;

/// Biases that may end in a process: beyond, new locks are unbiased from the start. At two
/// microseconds each they cost it some milliseconds in all, however many locks cross threads.
const ENDINGS_MAX: usize = if cfg!(test) { 64 } else { 1000 };

/// How many biases have ended. std's, for loom's cannot be static.
static ENDINGS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// The home thread's half of the barrier: the compiler keeps the order, and the processor does when
/// another thread asks for it by the other half.
#[inline(always)]
fn barrier_here() {
    #[cfg(not(all(loom, test)))]
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(all(loom, test))]
    fence(Ordering::SeqCst);
}

/// The other half: every running thread passes a barrier before this returns.
fn barrier_everywhere() {
    #[cfg(all(loom, test))]
    fence(Ordering::SeqCst);
    #[cfg(not(all(loom, test)))]
    if let Err(error) = membarrier::barrier_everywhere() {
        eprintln!("cove: the kernel granted membarrier and now refuses it: {error}. Aborting.");
        std::process::abort();
    }
}

/// A value behind the lock. The guard must be dropped before anything that may park.
pub(crate) struct BiasedLock<T> {
    /// The scheduler towards which the lock is biased; becomes NOBODY once, under `shared`.
    home: AtomicUsize,
    /// Whether the home thread is inside. Written by it alone.
    busy: AtomicBool,
    /// Excludes all other threads, and the home thread after the bias has ended.
    shared: Exclusion,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands the value to one thread at a time, which amounts to sending it there.
unsafe impl<T: Send> Send for BiasedLock<T> {}
// SAFETY: shared access to the lock gives access to the value to one thread at a time, exclusive
// and ordered after that of the thread before, which amounts to sending it there.
unsafe impl<T: Send> Sync for BiasedLock<T> {}

impl<T> BiasedLock<T> {
    /// Wraps `value`; biased towards the calling thread if that runs a scheduler.
    pub(crate) fn new(value: T) -> BiasedLock<T> {
        let here = Scheduler::current_pointer().addr();
        let is_worth_it = here != 0
            && ENDINGS.load(Ordering::Relaxed) < ENDINGS_MAX
            && membarrier::is_available();
        BiasedLock::biased(if is_worth_it { here } else { NOBODY }, value)
    }

    fn biased(home: usize, value: T) -> BiasedLock<T> {
        BiasedLock {
            home: AtomicUsize::new(home),
            busy: AtomicBool::new(false),
            shared: Exclusion::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock; waits until it is open.
    #[inline(always)]
    pub(crate) fn lock(&self) -> BiasedGuard<'_, T> {
        self.lock_from(Scheduler::current_pointer().addr())
    }

    /// Takes the lock for the thread whose scheduler has the address `here`.
    #[inline(always)]
    fn lock_from(&self, here: usize) -> BiasedGuard<'_, T> {
        if self.home.load(Ordering::Relaxed) == here {
            debug_assert!(!self.busy.load(Ordering::Relaxed), "a section must not park or nest");
            self.busy.store(true, Ordering::Relaxed);
            barrier_here();
            if self.home.load(Ordering::Relaxed) == here {
                return BiasedGuard { lock: self, is_home: true };
            }
            self.busy.store(false, Ordering::Release);
        }
        self.shared.lock();
        if self.home.load(Ordering::Relaxed) != NOBODY {
            self.end_bias();
        }
        BiasedGuard { lock: self, is_home: false }
    }

    /// Ends the bias, and waits until the home thread is outside. The shared lock is held.
    #[cold]
    fn end_bias(&self) {
        ENDINGS.fetch_add(1, Ordering::Relaxed);
        self.home.store(NOBODY, Ordering::Relaxed);
        barrier_everywhere();
        let mut spins = 0;
        while self.busy.load(Ordering::Acquire) {
            spins += 1;
            if spins % 64 == 0 { yield_now() } else { spin_loop() }
        }
    }
}

/// Access to the value, until dropped.
pub(crate) struct BiasedGuard<'a, T> {
    lock: &'a BiasedLock<T>,
    is_home: bool,
}

impl<T> Deref for BiasedGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock and outlives the reference: nobody else has the value.
        self.lock.value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for BiasedGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock, and is borrowed exclusively by the reference.
        self.lock.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for BiasedGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.is_home {
            self.lock.busy.store(false, Ordering::Release);
        } else {
            // SAFETY: a guard that is not at home holds the shared lock, and is gone afterwards.
            unsafe { self.lock.shared.unlock() };
        }
    }
}

impl<T> Lock for BiasedLock<T> {
    type State = T;
    type Guard<'a>
        = BiasedGuard<'a, T>
    where
        T: 'a;

    fn lock(&self) -> BiasedGuard<'_, T> {
        self.lock()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn no_increment_is_lost_when_the_bias_ends_in_the_middle() {
        // Goal: home and other threads exclude each other before, while and after the bias ends.
        // Method: plain increments by the home thread, joined by another one at any moment.
        const ROUNDS: u64 = 20_000;
        for _ in 0..50 {
            let lock = crate::run(|| {
                let lock = Arc::new(BiasedLock::new(0));
                let go = Arc::new(AtomicBool::new(false));
                let other = {
                    let (lock, go) = (lock.clone(), go.clone());
                    std::thread::spawn(move || {
                        while !go.load(Ordering::Acquire) {
                            spin_loop();
                        }
                        (0..ROUNDS).for_each(|_| *lock.lock() += 1);
                    })
                };
                for round in 0..ROUNDS {
                    if round == ROUNDS / 8 {
                        go.store(true, Ordering::Release);
                    }
                    *lock.lock() += 1;
                }
                other.join().expect("the other thread panicked");
                lock
            });
            assert_eq!(*lock.lock(), 2 * ROUNDS);
        }
    }

    #[test]
    fn lock_is_open_to_its_thread_after_the_runtime_has_ended() {
        // Goal: a thread without a scheduler is nobody's home. Method: leave the runtime, lock.
        let lock = crate::run(|| BiasedLock::new(1));
        *lock.lock() += 1;
        assert_eq!(lock.home.load(Ordering::Relaxed), NOBODY);
        assert_eq!(*BiasedLock::new(3).lock() + *lock.lock(), 5);
    }
}
