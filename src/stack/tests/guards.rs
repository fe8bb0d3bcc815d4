//! Every kind of guard catches an overflow, and each falls back to the next.

use std::os::unix::process::ExitStatusExt;
use std::ptr::NonNull;

use super::super::guard::{GuardChain, map_count_max};
use super::super::{Guard, StackConfig, StackPool, StackStats};
use super::{
    DEFAULT_BYTES, MARK, assert_passed, child, in_child, overflow, pool, stderr, stdout, touch,
};
use crate::sys::{limits, mmap, page_size};

const SIGABRT: i32 = 6;
const SIGSEGV: i32 = 11;

/// In the child: takes a few stacks and overflows the last of them, after looking at the stacks'
/// guards.
fn overflow_one(check: impl FnOnce(StackStats)) {
    let mut pool = pool();
    let stacks: Vec<_> = (0..3).map(|_| pool.take(DEFAULT_BYTES).expect("a stack")).collect();
    stacks.iter().for_each(touch);
    check(pool.stats());
    overflow(&stacks[2]);
}

#[test]
fn installed_guard_stops_overflow() {
    // Goal: a write below the stack is fatal. Method: do it in a child whose guards are
    // MADV_GUARD_INSTALL.
    if in_child() {
        let supported = mmap::supports_guard_install();
        return overflow_one(|stats| assert!(!supported || stats.guards_install == 3));
    }
    let output = child("guards::installed_guard_stops_overflow", Some("install"), "");
    assert_eq!(output.status.signal(), Some(SIGSEGV));
    assert!(stdout(&output).contains(MARK));
}

#[test]
fn protected_guard_stops_overflow() {
    // Goal: a write below the stack is fatal. Method: do it in a child whose guards are forced to
    // mprotect.
    if in_child() {
        return overflow_one(|stats| assert_eq!(stats.guards_protect, 3));
    }
    let output = child("guards::protected_guard_stops_overflow", Some("protect"), "");
    assert_eq!(output.status.signal(), Some(SIGSEGV));
    assert!(stdout(&output).contains(MARK));
}

#[test]
fn canary_notices_overflow_when_the_stack_is_given_back() {
    // Goal: an overflow past a canary is noticed by the check, and ends the process when the stack
    // is given back. Method: write below the stack in a child whose guards are forced to canaries.
    if in_child() {
        let mut pool = pool();
        let stack = pool.take(DEFAULT_BYTES).expect("a stack");
        touch(&stack);
        assert_eq!(pool.stats().guards_canary, 1);
        assert!(stack.check_canary());
        overflow(&stack);
        assert!(!stack.check_canary());
        return pool.give(stack);
    }
    let test = "guards::canary_notices_overflow_when_the_stack_is_given_back";
    let output = child(test, Some("canary"), "");
    assert_eq!(output.status.signal(), Some(SIGABRT));
    assert!(stdout(&output).contains(MARK));
    assert!(stderr(&output).contains("overflowed its stack of 131072 bytes"));
    assert_eq!(stderr(&output).matches("a canary, which").count(), 1);
}

#[test]
fn canary_survives_honest_use_reuse_and_trimming() {
    // Goal: no false alarm. Method: fill a whole stack with ones, give it back, trim, take it
    // again.
    let config = StackConfig { guard: Some(Guard::Canary), ..StackConfig::default() };
    let mut pool = StackPool::new(config);
    for _ in 0..3 {
        let stack = pool.take(DEFAULT_BYTES).expect("a stack");
        // SAFETY: these are the usable bytes of a stack that the test owns.
        unsafe { stack.limit().as_ptr().write_bytes(0xFF, stack.bytes()) };
        assert!(stack.check_canary());
        pool.give(stack);
        pool.trim();
    }
}

#[test]
fn configured_kind_of_guard_is_used() {
    // Goal: the configuration's field forces a kind, as the environment does. Method: count what is
    // used.
    if std::env::var_os("COVE_GUARD").is_some() {
        return println!("skipped: the environment forces the kind");
    }
    let install = usize::from(mmap::supports_guard_install());
    let cases = [
        (None, [install, 1 - install, 0]),
        (Some(Guard::Install), [install, 1 - install, 0]),
        (Some(Guard::Protect), [0, 1, 0]),
        (Some(Guard::Canary), [0, 0, 1]),
    ];
    for (guard, expected) in cases {
        let mut pool = StackPool::new(StackConfig { guard, ..StackConfig::default() });
        let _stack = pool.take(DEFAULT_BYTES).expect("a stack");
        let stats = pool.stats();
        let counts = [stats.guards_install, stats.guards_protect, stats.guards_canary];
        assert_eq!(counts, expected, "{guard:?}");
    }
}

#[test]
fn protected_guards_leave_half_of_the_mappings() {
    // Goal: mprotect guards stop at half of vm.max_map_count, and canaries follow. Method: force
    // mprotect in a child and take enough stacks for all of the mappings.
    if in_child() {
        let max = map_count_max();
        let mut pool = pool();
        let stacks: Vec<_> = (0..max / 2 + 10).map(|_| pool.take(4096).expect("a stack")).collect();
        let stats = pool.stats();
        assert!(stats.guards_protect > max / 8, "{stats:?}");
        assert!(stats.guards_protect * 2 < max / 2, "{stats:?}");
        assert_eq!(stats.guards_protect + stats.guards_canary, stacks.len());
        assert!(limits::map_count().expect("/proc") < max * 6 / 10);
        return;
    }
    if map_count_max() > 200_000 {
        return println!("skipped: vm.max_map_count is too large here to be used up");
    }
    let output = child("guards::protected_guards_leave_half_of_the_mappings", Some("protect"), "");
    assert_passed(&output);
    assert_eq!(stderr(&output).matches("a canary, which").count(), 1);
}

#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer makes mlockall do nothing")]
fn locked_memory_falls_back_to_protected_guards() {
    // Goal: where MADV_GUARD_INSTALL is refused, mprotect follows. Method: arm a page that is
    // locked in memory, then one that nothing can be done with, since it is not mapped.
    let page = page_size();
    let config = StackConfig { guard: Some(Guard::Install), ..StackConfig::default() };
    let chain = GuardChain::new(&config);
    let locked = memmap2::MmapMut::map_anon(2 * page).expect("memory");
    locked.lock().expect("two pages are within RLIMIT_MEMLOCK");
    let start = NonNull::new(locked.as_ptr().cast_mut()).expect("mapped");
    // SAFETY: nobody uses the pages.
    unsafe { chain.arm(0, start) };
    let gone = mmap::Mapping::reserve(1 << 30).expect("address space");
    let nowhere = gone.base();
    drop(gone);
    if std::env::var_os("COVE_GUARD").is_none() {
        assert_eq!(chain.kind(0), Guard::Protect);
    }
    // Another test may have mapped something there meanwhile.
    if mmap::resident_pages(nowhere.as_ptr(), page).is_err() {
        // SAFETY: nobody uses the page.
        unsafe { chain.arm(1, nowhere) };
        assert_eq!(chain.kind(1), Guard::Canary);
    }
}

#[test]
fn unknown_guard_in_the_environment_is_named_and_ignored() {
    // Goal: a typing error is not silent. Method: a child with a wrong COVE_GUARD takes a stack.
    if in_child() {
        return touch(&pool().take(DEFAULT_BYTES).expect("a stack"));
    }
    let output =
        child("guards::unknown_guard_in_the_environment_is_named_and_ignored", Some("gaurd"), "");
    assert_passed(&output);
    assert!(stderr(&output).contains("COVE_GUARD=\"gaurd\" is not one of"));
}

#[test]
fn empty_guard_in_the_environment_is_as_none() {
    // Goal: a variable that is set to nothing says nothing. Method: a child with an empty
    // COVE_GUARD takes a stack of a configured kind.
    if in_child() {
        let config = StackConfig { guard: Some(Guard::Protect), ..StackConfig::default() };
        let mut pool = StackPool::new(config);
        touch(&pool.take(DEFAULT_BYTES).expect("a stack"));
        return assert_eq!(pool.stats().guards_protect, 1);
    }
    let output = child("guards::empty_guard_in_the_environment_is_as_none", Some(""), "");
    assert_passed(&output);
    assert!(!stderr(&output).contains("COVE_GUARD"));
}
