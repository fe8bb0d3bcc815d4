//! The thread's own pool.

use std::cell::RefCell;

use super::config::StackConfig;
use super::overflow;
use super::pool::StackPool;

thread_local! {
    /// Made on first use. Stacks that are still live when the thread ends keep their slabs.
    static POOL: RefCell<Option<StackPool>> = const { RefCell::new(None) };
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
    let mut f = Some(f);
    let with_own = POOL.try_with(|pool| {
        let f = f.take().expect("called once");
        f(pool.borrow_mut().get_or_insert_with(|| {
            overflow::prepare_thread();
            StackPool::new(StackConfig::default())
        }))
    });
    match (with_own, f) {
        (Ok(result), _) => result,
        (Err(_), Some(f)) => f(&mut StackPool::new(StackConfig::default())),
        (Err(_), None) => unreachable!("a function that was called gave a result"),
    }
}

/// Replaces the thread's pool by an empty one with this configuration. Stacks of the old one stay
/// valid until they are given back or dropped; they are not reused.
pub(crate) fn set_pool_config(config: StackConfig) {
    overflow::prepare_thread();
    // An error means that the thread is ending: whatever pool it gets now is temporary.
    let _ = POOL.try_with(|pool| *pool.borrow_mut() = Some(StackPool::new(config)));
}
