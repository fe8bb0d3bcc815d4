//! The thread's own pool.
//!
//! Every coroutine's life begins and ends with it, so that its place is kept in a variable without
//! a destructor: reading one that has a destructor means asking first whether the thread is ending.

use std::cell::{Cell, UnsafeCell};
use std::panic::{catch_unwind, resume_unwind};
use std::ptr;
use std::sync::Once;

use super::config::StackConfig;
use super::overflow;
use super::pool::StackPool;

thread_local! {
    /// Made on first use. Stacks that are still live when the thread ends keep their slabs.
    static POOL: Place = const { Place(UnsafeCell::new(None)) };

    /// Where the pool is while nobody uses it: null before it is made and after its end, [`BUSY`]
    /// while somebody uses it.
    static IDLE: Cell<*mut StackPool> = const { Cell::new(ptr::null_mut()) };
}

/// No pool's address.
const BUSY: *mut StackPool = ptr::without_provenance_mut(1);

/// What the pool lies in.
struct Place(UnsafeCell<Option<StackPool>>);

impl Drop for Place {
    fn drop(&mut self) {
        IDLE.set(ptr::null_mut());
    }
}

/// Somebody's use of the pool.
struct Use(*mut StackPool);

impl Drop for Use {
    #[inline]
    fn drop(&mut self) {
        IDLE.set(self.0);
    }
}

/// Calls `f` with the thread's own pool.
///
/// Late in the thread's life, when its thread-locals are being destroyed, `f` gets a pool of the
/// moment instead: stacks can still be taken, and those that are given back are dropped.
///
/// # Panics
///
/// If `f` calls it again.
#[inline]
pub(crate) fn with_pool<R>(f: impl FnOnce(&mut StackPool) -> R) -> R {
    let mut idle = IDLE.replace(BUSY);
    if idle.is_null() || idle == BUSY {
        idle = make(idle);
    }
    if idle.is_null() {
        return with_pool_of_the_moment(f);
    }
    let pool = Use(idle);
    // SAFETY: the pool is in its place until the thread ends, and nobody else has a reference to
    // it, because whoever uses it has found it idle, and it is not until `pool` is dropped.
    f(unsafe { &mut *pool.0 })
}

#[cold]
#[inline(never)]
fn with_pool_of_the_moment<R>(f: impl FnOnce(&mut StackPool) -> R) -> R {
    IDLE.set(ptr::null_mut());
    f(&mut StackPool::new(StackConfig::default()))
}

/// Does what must be done on a stack with room before the thread has small ones.
fn prepare_thread() {
    overflow::prepare_thread();
    bind_unwinder();
}

/// Unwinds once for the process. Where symbols are bound at their first call (ld.so(8),
/// `LD_BIND_NOW`), the loader binds the unwinder's then, and needs some KiB of stack for each.
fn bind_unwinder() {
    static BIND: Once = Once::new();
    if cfg!(panic = "unwind") {
        BIND.call_once(|| {
            let outcome = catch_unwind(|| resume_unwind(Box::new(())));
            assert!(outcome.is_err(), "an unwinding is caught");
        });
    }
}

/// Makes the thread's pool, of which there was `before`, and tells where it is; null if the thread
/// is ending.
#[cold]
fn make(before: *mut StackPool) -> *mut StackPool {
    assert!(before != BUSY, "a thread's pool of stacks is used inside its own use");
    IDLE.set(ptr::null_mut());
    prepare_thread();
    let made = POOL.try_with(|place| {
        // SAFETY: nobody uses the pool, and none is there yet.
        let pool = unsafe { &mut *place.0.get() };
        ptr::from_mut(pool.insert(StackPool::new(StackConfig::default())))
    });
    made.unwrap_or(ptr::null_mut())
}

/// Replaces the thread's pool by an empty one with this configuration. Stacks of the old one stay
/// valid until they are given back or dropped; they are not reused.
pub(crate) fn set_pool_config(config: StackConfig) {
    prepare_thread();
    assert!(IDLE.get() != BUSY, "a thread's pool of stacks is replaced inside its own use");
    // An error means that the thread is ending: whatever pool it gets now is temporary.
    let _ = POOL.try_with(|place| {
        // SAFETY: nobody uses the pool.
        let pool = unsafe { &mut *place.0.get() };
        IDLE.set(pool.insert(StackPool::new(config)));
    });
}
