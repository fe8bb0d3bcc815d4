//! The lock under every interleaving.
//!
//! loom has no membarrier(2). Here both halves of the barrier are SeqCst fences, which is what the
//! pair amounts to: for each barrier of the other thread there is a place in the home thread's
//! program at which it, too, has passed one, and the protocol must hold wherever that is. A fence
//! at the one place where `barrier_here` stands is less than that in general. It is enough here,
//! because the home thread's only accesses that matter are the store before that place and the load
//! after it: a barrier before the store orders the load after it as well (which then sees NOBODY),
//! and one after the load has the store before it.
//!
//! Not covered: that the kernel does what the manual says, that the compiler keeps the order of the
//! two accesses, and an address that a later scheduler has again.

use super::{BiasedLock, NOBODY};
use crate::primitive::Ordering;
use loom::sync::Arc;

/// Stands for the address of the home thread's scheduler; any but 0 and NOBODY will do.
const HOME: usize = 64;

#[test]
fn loom_home_and_one_other_thread_exclude_each_other() {
    // Goal: nobody is inside with the home thread, before, while or after the bias ends; and each
    // sees what the other wrote. Method: both enter twice; loom watches the value.
    loom::model(|| {
        let lock = Arc::new(BiasedLock::biased(HOME, 0));
        let other = lock.clone();
        let thread = loom::thread::spawn(move || {
            *other.lock_from(0) += 1;
            *other.lock_from(0) += 1;
        });
        *lock.lock_from(HOME) += 1;
        *lock.lock_from(HOME) += 1;
        thread.join().expect("the other thread panicked");
        assert_eq!(*lock.lock_from(HOME), 4);
        assert_eq!(lock.home.load(Ordering::Relaxed), NOBODY);
    });
}

#[test]
fn loom_two_other_threads_end_the_bias_once() {
    // Goal: the second to come, while the first still waits for the home thread, does not pass it.
    // Method: the home thread and two others, few preemptions.
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let lock = Arc::new(BiasedLock::biased(HOME, 0));
        let others = [128, 0].map(|here| {
            let lock = lock.clone();
            loom::thread::spawn(move || *lock.lock_from(here) += 1)
        });
        *lock.lock_from(HOME) += 1;
        others.into_iter().for_each(|other| other.join().expect("a thread panicked"));
        assert_eq!(*lock.lock_from(HOME), 3);
    });
}
