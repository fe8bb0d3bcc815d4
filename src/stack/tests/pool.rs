//! The pool: order of reuse, trimming, and a count of stacks that mappings would not allow.

use std::os::unix::process::ExitStatusExt;

use super::super::{Stack, StackConfig, StackPool};
use super::{
    DEFAULT_BYTES, MARK, assert_passed, child, in_child, overflow, pool, status_bytes, stdout,
    touch,
};
use crate::sys::limits;

/// More than the default of vm.max_map_count, which is 65,530.
const MANY: usize = 70_000;

fn take_touched(pool: &mut StackPool, count: usize) -> Vec<Stack> {
    let mut stacks = Vec::with_capacity(count);
    for _ in 0..count {
        let stack = pool.take(DEFAULT_BYTES).expect("a stack");
        touch(&stack);
        stacks.push(stack);
    }
    stacks
}

#[test]
fn stacks_are_reused_last_in_first_out_by_size() {
    // Goal: the warmest stack is taken first. Method: compare tops; another size in between changes
    // nothing.
    let mut pool = pool();
    let tops: Vec<_> = take_touched(&mut pool, 5)
        .into_iter()
        .map(|stack| {
            let top = stack.top();
            pool.give(stack);
            top
        })
        .collect();
    let other = pool.take(4096).expect("a stack");
    for top in tops.iter().rev() {
        let stack = pool.take(DEFAULT_BYTES - 5).expect("a stack");
        assert_eq!(stack.top(), *top);
        std::mem::forget(stack);
    }
    pool.give(other);
    let stats = pool.stats();
    assert_eq!((stats.hits, stats.misses, stats.live, stats.free), (5, 6, 5, 1));
}

#[test]
fn small_programs_reserve_little() {
    // Goal: the first slab is small, later ones are larger. Method: one stack, then some hundred.
    let mut pool = pool();
    assert_eq!(pool.stats().reserved_bytes, 0);
    let first = take_touched(&mut pool, 1);
    assert!(pool.stats().reserved_bytes <= 8 << 20);
    let more = take_touched(&mut pool, 1_000);
    assert!(pool.stats().slabs <= 6);
    drop((first, more));
}

#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer's own notes count as memory")]
fn more_stacks_than_mappings_cost_a_page_each() {
    // Goal: the number of stacks is not limited by mappings, and a stack costs one page, its share
    // of page tables, and no bookkeeping to speak of. Method: a child takes and touches many, and
    // reads its status.
    if in_child() {
        let mut pool = pool();
        let mut stacks = Vec::with_capacity(MANY);
        stacks.resize_with(MANY, || None);
        let before = status_bytes("RssAnon") + status_bytes("VmPTE");
        for place in &mut stacks {
            let stack = pool.take(DEFAULT_BYTES).expect("a stack");
            touch(&stack);
            *place = Some(stack);
        }
        let each = (status_bytes("RssAnon") + status_bytes("VmPTE") - before) / MANY;
        println!("{each} bytes each, {:?}", pool.stats());
        assert!(each < 4096 + 400, "{each} bytes each");
        assert!(limits::map_count().expect("/proc") < 40_000);
        assert_eq!(pool.stats().live, MANY);
        return;
    }
    if !crate::sys::mmap::supports_guard_install() {
        return println!("skipped: the number of guards needs MADV_GUARD_INSTALL");
    }
    assert_passed(&child("pool::more_stacks_than_mappings_cost_a_page_each", None, ""));
}

#[test]
fn trimming_returns_memory_and_keeps_guards() {
    // Goal: trimmed stacks cost nothing, idle slabs go but for one, and guards stay. Method: a
    // child takes, touches and gives back, trims, reads its resident size, takes a stack again and
    // overflows it.
    if in_child() {
        let mut pool = pool();
        let before = status_bytes("RssAnon");
        let stacks = take_touched(&mut pool, 8_000);
        let full = status_bytes("RssAnon");
        assert!(full - before >= 8_000 * 4096);
        let reserved = pool.stats().reserved_bytes;
        stacks.into_iter().for_each(|stack| pool.give(stack));
        assert_eq!(pool.stats().free, 8_000);
        pool.trim();
        let trimmed = status_bytes("RssAnon");
        assert!(trimmed < before + 2_000 * 1024, "{before} {full} {trimmed}");
        let stats = pool.stats();
        assert_eq!((stats.slabs, stats.trim_failures), (1, 0));
        assert!(stats.reserved_bytes < reserved / 10);
        let stack = pool.take(DEFAULT_BYTES).expect("a stack");
        assert_eq!(pool.stats().hits, 1);
        assert_eq!(stack.high_water_bytes(), 0);
        return overflow(&stack);
    }
    let output = child("pool::trimming_returns_memory_and_keeps_guards", None, "");
    assert_eq!(output.status.signal(), Some(11));
    assert!(stdout(&output).contains(MARK));
}

#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer's own notes count as memory")]
fn free_stacks_hold_no_more_than_the_watermark() {
    // Goal: the pool trims by itself, and keeps the warm ones. Method: a child with a watermark of
    // 8 MiB and no decay gives 40 MiB back, then takes what was given back last.
    if in_child() {
        let config =
            StackConfig { watermark_bytes: 8 << 20, decay_ns: 0, ..StackConfig::default() };
        let mut pool = StackPool::new(config);
        let before = status_bytes("RssAnon");
        let mut stacks = take_touched(&mut pool, 10_000);
        let keep = stacks.pop().expect("a stack");
        let warmest = stacks.last().expect("a stack").top();
        stacks.into_iter().for_each(|stack| pool.give(stack));
        let held = status_bytes("RssAnon") - before;
        assert!(held < 12 << 20, "{held}");
        assert!(held > 2 << 20, "{held}: the warm ones are kept");
        let stack = pool.take(DEFAULT_BYTES).expect("a stack");
        assert_eq!(stack.top(), warmest);
        assert!(stack.high_water_bytes() > 0);
        drop(keep);
        return;
    }
    assert_passed(&child("pool::free_stacks_hold_no_more_than_the_watermark", None, ""));
}

#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer's own notes count as memory")]
fn what_nobody_used_goes_back_when_its_time_is_over() {
    // Goal: no trim while a crowd may come again; then only of what did not come again. Method: a
    // child with a decay of 50 ms gives 40 MiB back, uses a quarter of it, and lets the time pass.
    if in_child() {
        let decay_ns = 50_000_000;
        let config = StackConfig { watermark_bytes: 8 << 20, decay_ns, ..StackConfig::default() };
        let mut pool = StackPool::new(config);
        let before = status_bytes("RssAnon");
        let held = || (status_bytes("RssAnon") - before) >> 20;
        let give = |pool: &mut StackPool, stacks: Vec<Stack>| {
            stacks.into_iter().for_each(|stack| pool.give(stack));
        };
        let now_ns = crate::sys::clock::monotonic_ns;
        let wait_until_due = |pool: &StackPool| {
            let due_ns = pool.trim_due_ns().expect("a decay");
            while now_ns() < due_ns {
                std::hint::spin_loop();
            }
        };
        let begin_ns = now_ns();
        let stacks = take_touched(&mut pool, 10_000);
        give(&mut pool, stacks);
        assert!(pool.trim_due_ns() >= Some(begin_ns + decay_ns));
        assert!(held() >= 39 || now_ns() >= begin_ns + decay_ns, "{}", held());
        // The first decay began before all were back; now one begins with all.
        wait_until_due(&pool);
        pool.trim_due();
        let again = take_touched(&mut pool, 2_500);
        give(&mut pool, again);
        wait_until_due(&pool);
        pool.trim_due();
        assert!((9..=12).contains(&held()), "{} MiB of those used again", held());
        wait_until_due(&pool);
        pool.trim_due();
        assert!((3..=6).contains(&held()) && pool.trim_due_ns().is_none(), "{}", held());
        return;
    }
    let child = child("pool::what_nobody_used_goes_back_when_its_time_is_over", None, "");
    assert_passed(&child);
}

#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer's own notes count as memory")]
fn huge_stacks_are_trimmed_at_once() {
    // Goal: a stack larger than the watermark does not keep its memory. Method: write 100 MiB of
    // one, give it back.
    if in_child() {
        let mut pool = pool();
        let before = status_bytes("RssAnon");
        let stack = pool.take(512 << 20).expect("a stack");
        let deep = 100 << 20;
        // SAFETY: the range is in a stack that the test owns.
        unsafe { stack.top().as_ptr().sub(deep).write_bytes(1, deep) };
        assert!(status_bytes("RssAnon") - before >= deep);
        pool.give(stack);
        assert!(status_bytes("RssAnon") - before < 1 << 20);
        return;
    }
    assert_passed(&child("pool::huge_stacks_are_trimmed_at_once", None, ""));
}

#[test]
fn random_takes_gives_and_trims_keep_the_books() {
    // Goal: counts agree and no two live stacks overlap. Method: random operations, each live stack
    // marked with its number at both ends. The seed is printed.
    let mut seed = 0x9E37_79B9_u64;
    println!("seed {seed}");
    let mut random = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound
    };
    let mut pool =
        StackPool::new(StackConfig { watermark_bytes: 1 << 20, ..StackConfig::default() });
    let mut live: Vec<(Stack, u64)> = Vec::new();
    let ends = |stack: &Stack| [stack.top().as_ptr().wrapping_sub(8), stack.limit().as_ptr()];
    for step in 0..30_000_u64 {
        // Long phases of growth and of decline, so that slabs become idle.
        let growing = step / 3_000 % 2 == 0;
        if random(10) < if growing { 7 } else { 3 } {
            let bytes = [4 << 10, 20 << 10, 128 << 10][random(3)];
            let stack = pool.take(bytes).expect("a stack");
            for end in ends(&stack) {
                // SAFETY: both words are in a stack that the test owns.
                unsafe { end.cast::<u64>().write_volatile(step) };
            }
            live.push((stack, step));
        } else if !live.is_empty() {
            let (stack, mark) = live.swap_remove(random(live.len()));
            for end in ends(&stack) {
                // SAFETY: both words are in a stack that the test still owns.
                assert_eq!(unsafe { end.cast::<u64>().read_volatile() }, mark);
            }
            pool.give(stack);
        }
        if random(500) == 0 {
            pool.trim();
        }
        if step % 100 == 0 {
            assert_eq!(pool.stats().live, live.len());
        }
    }
    live.drain(..).for_each(|(stack, _)| pool.give(stack));
    pool.trim();
    assert!(pool.stats().slabs <= 3, "one idle slab for each size: {:?}", pool.stats());
}
