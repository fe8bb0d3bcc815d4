//! Sizes, colours and the high-water mark of single stacks.

use std::collections::HashSet;

use super::super::{STACK_BYTES_MAX, StackConfig, StackPool};
use super::{DEFAULT_BYTES, pool, touch, write_word};
use crate::sys::page_size;

#[test]
fn every_size_is_usable_from_end_to_end() {
    // Goal: a stack has what was asked for, less its colour. Method: write the ends, from 4 KiB to
    // 1 GiB.
    let mut pool = pool();
    for bytes in [4 << 10, 5000, 8 << 10, 64 << 10, 128 << 10, 1 << 20, 100 << 20, STACK_BYTES_MAX]
    {
        for _ in 0..3 {
            let stack = pool.take(bytes).expect("a stack");
            assert!(stack.bytes() + stack.bytes() / 15 >= bytes, "{bytes}: {}", stack.bytes());
            assert!(stack.bytes() <= bytes.next_multiple_of(page_size()));
            assert_eq!(stack.limit().as_ptr().addr() % page_size(), 0);
            touch(&stack);
            write_word(&stack, stack.bytes());
            std::mem::forget(stack);
        }
    }
}

#[test]
fn colours_spread_tops_over_the_cache_within_one_page() {
    // Goal: tops fall into many sets, are aligned, and leave the top page enough for a small
    // coroutine.
    // Method: take a hundred stacks and look at the tops' places in their pages.
    let mut pool = pool();
    let mut sets = HashSet::new();
    for _ in 0..100 {
        let stack = pool.take(DEFAULT_BYTES).expect("a stack");
        let top = stack.top().as_ptr().addr();
        assert_eq!(top % 64, 0);
        let below_page_end = top.next_multiple_of(page_size()) - top;
        assert!(below_page_end + 128 + 2048 <= 4096, "{below_page_end}");
        sets.insert(below_page_end / 64);
        std::mem::forget(stack);
    }
    assert_eq!(sets.len(), super::super::slab::COLOURS_MAX);
}

#[test]
fn without_colours_tops_end_their_pages() {
    // Goal: colouring can be switched off. Method: look at the tops.
    let mut pool = StackPool::new(StackConfig { colour: false, ..StackConfig::default() });
    let stacks: Vec<_> = (0..50).map(|_| pool.take(DEFAULT_BYTES).expect("a stack")).collect();
    for stack in &stacks {
        assert_eq!(stack.top().as_ptr().addr() % page_size(), 0);
        assert_eq!(stack.bytes(), DEFAULT_BYTES);
    }
}

#[test]
fn high_water_is_exact_to_the_word() {
    // Goal: the deepest word written is found, in small and in huge stacks. Method: write single
    // words.
    let mut pool = pool();
    for (bytes, depths) in [
        (4 << 10, &[8, 64, 2000, 3800][..]),
        (128 << 10, &[8, 4096, 10_000, 100_000]),
        (1 << 30, &[8, 1 << 20, 700 << 20, (1 << 30) - 4096]),
    ] {
        let stack = pool.take(bytes).expect("a stack");
        assert_eq!(stack.high_water_bytes(), 0);
        for depth in depths {
            write_word(&stack, *depth);
            assert_eq!(stack.high_water_bytes(), *depth, "of {bytes}");
        }
    }
}

#[test]
fn high_water_skips_pages_of_zeros() {
    // Goal: a page that is resident but zero does not count. Method: write zeros deep, a one higher
    // up.
    let mut pool = pool();
    let stack = pool.take(DEFAULT_BYTES).expect("a stack");
    write_word(&stack, 9_000);
    // SAFETY: the range is in a stack that the test owns.
    unsafe { stack.limit().as_ptr().write_bytes(0, 3 * page_size()) };
    assert_eq!(stack.high_water_bytes(), 9_000);
}
