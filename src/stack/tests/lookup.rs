//! The registry tells stacks by their addresses, and slabs live as long as their stacks.

use std::cell::Cell;
use std::ptr::NonNull;
use std::thread;

use super::super::registry::Registration;
use super::super::{Slab, Stack, StackConfig, StackPool, locate, set_pool_config, with_pool};
use super::{DEFAULT_BYTES, pool, touch, write_word};
use crate::sys::page_size;

#[test]
fn locate_finds_stacks_and_their_guards() {
    // Goal: each address of a slot leads to its bounds. Method: the edges of several stacks.
    let mut pool = pool();
    let stacks: Vec<_> = (0..100).map(|_| pool.take(DEFAULT_BYTES).expect("a stack")).collect();
    for stack in &stacks {
        let bounds = stack.bounds();
        for address in [bounds.start, bounds.end - 1, bounds.start + 5000] {
            let location = locate(address).expect("a stack");
            assert!(!location.in_guard);
            assert_eq!(location.stack.start, bounds.start);
            assert_eq!(location.stack.len(), DEFAULT_BYTES);
        }
        for address in [bounds.start - 1, bounds.start - page_size()] {
            let location = locate(address).expect("the guard");
            assert!(location.in_guard && location.stack.start == bounds.start);
        }
    }
    let local = 0_u8;
    assert_eq!(locate(&raw const local as usize), None);
    assert_eq!(locate(0), None);
    assert_eq!(locate(usize::MAX), None);
}

#[test]
fn registry_is_right_while_threads_add_and_remove() {
    // Goal: entries of different threads do not mix. Method: threads register ranges that nobody
    // else has, find them, withdraw them, and find nothing.
    const SLOT: usize = 1 << 20;
    let work = |number: usize| {
        for round in 0..2_000_usize {
            // Addresses that no mapping has: above the user half of the address space.
            let base = (1 << 60) + number * (1 << 40) + round % 7 * (1 << 30);
            let slots = 1 + round % 5;
            let registration = Registration::new(base, slots * SLOT, SLOT).expect("memory");
            let last = base + slots * SLOT - 1;
            let location = locate(last).expect("registered");
            assert_eq!(location.stack, last + 1 - SLOT + page_size()..last + 1);
            assert_eq!(locate(last + 1), None);
            drop(registration);
            assert_eq!(locate(last), None);
        }
    };
    thread::scope(|scope| {
        (0..4).for_each(|number| drop(scope.spawn(move || work(number))));
    });
}

#[test]
fn stack_outlives_its_pool_and_takes_its_slab_along() {
    // Goal: a pool may go before its stacks; the slab goes with the last. Method: look it up by
    // address.
    let mut pool = pool();
    let first = pool.take(DEFAULT_BYTES).expect("a stack");
    let second = pool.take(DEFAULT_BYTES).expect("a stack");
    let address = second.bounds().start;
    drop(pool);
    write_word(&second, second.bytes());
    drop(first);
    assert!(locate(address).is_some());
    drop(second);
    assert_eq!(locate(address), None);
}

#[test]
fn leaked_stack_keeps_its_slab_after_the_thread() {
    // Goal: what points into a leaked stack stays valid. Method: leak one in a thread, read it
    // after the thread.
    let address = thread::spawn(|| {
        let stack = with_pool(|pool| pool.take(DEFAULT_BYTES)).expect("a stack");
        write_word(&stack, 64);
        let address = stack.top().as_ptr().addr() - 64;
        std::mem::forget(stack);
        address
    })
    .join()
    .expect("the thread ends well");
    assert!(locate(address).is_some_and(|location| !location.in_guard));
    // SAFETY: the stack was leaked, so nobody else uses it, and it is mapped as the line above
    // says.
    assert_eq!(unsafe { (address as *const u64).read_volatile() }, 0x5AFE);
}

#[test]
fn stacks_can_be_used_while_thread_locals_are_destroyed() {
    // Goal: order of destruction does not matter. Method: a thread-local made before the pool and
    // one made after it, whose destructors each give a stack back and take another.
    struct Late(Cell<Option<(NonNull<Slab>, NonNull<u8>)>>);
    impl Late {
        fn fill(&self) {
            let stack = with_pool(|pool| pool.take(DEFAULT_BYTES)).expect("a stack");
            self.0.set(Some(stack.into_raw()));
        }
    }
    impl Drop for Late {
        fn drop(&mut self) {
            let (slab, top) = self.0.take().expect("filled");
            // SAFETY: the words are from `into_raw`, taken out once, on the same thread.
            let stack = unsafe { Stack::from_raw(slab, top) };
            touch(&stack);
            let other = with_pool(|pool| {
                pool.give(stack);
                pool.take(DEFAULT_BYTES).expect("a stack")
            });
            touch(&other);
            with_pool(|pool| pool.give(other));
        }
    }
    thread_local! {
        static BEFORE: Late = const { Late(Cell::new(None)) };
        static AFTER: Late = const { Late(Cell::new(None)) };
    }
    thread::spawn(|| {
        BEFORE.with(Late::fill);
        AFTER.with(Late::fill);
    })
    .join()
    .expect("the thread ends well");
}

#[test]
fn pool_of_the_thread_can_be_configured() {
    // Goal: a configuration replaces the pool, and old stacks stay valid. Method: hold one across
    // it.
    let old = with_pool(|pool| pool.take(DEFAULT_BYTES)).expect("a stack");
    set_pool_config(StackConfig { default_bytes: 64 << 10, ..StackConfig::default() });
    assert_eq!(with_pool(|pool| pool.default_bytes()), 64 << 10);
    touch(&old);
    with_pool(|pool| {
        pool.give(old);
        assert_eq!(pool.stats().free, 0);
    });
}

#[test]
fn stack_of_another_pool_is_dropped() {
    // Goal: pools do not mix. Method: give a stack to the wrong pool, and to the right one.
    let (mut right, mut wrong): (StackPool, StackPool) = (pool(), pool());
    let (first, second) = (right.take(4096).expect("a stack"), right.take(4096).expect("a stack"));
    wrong.give(first);
    right.give(second);
    assert_eq!((wrong.stats().free, right.stats().free, right.stats().live), (0, 1, 0));
}
