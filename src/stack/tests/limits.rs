//! Exhaustion is an error that names the limit; never an abort.

use std::fs::File;
use std::io;

use super::super::guard::map_count_max;
use super::super::{STACK_BYTES_MAX, Stack, StackError, StackPool};
use super::{DEFAULT_BYTES, assert_passed, child, in_child, pool, touch};
use crate::sys::page_size;

/// Takes stacks until there are no more.
fn take_all(pool: &mut StackPool, bytes: usize, stacks: &mut Vec<Stack>) -> StackError {
    loop {
        match pool.take(bytes) {
            Ok(stack) => stacks.push(stack),
            Err(error) => return error,
        }
        assert!(stacks.len() < stacks.capacity(), "there is no limit");
    }
}

#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer needs more address space than the limit")]
fn address_space_limit_is_named() {
    // Goal: RLIMIT_AS is met by an error that says what to do, and the pool goes on after it.
    // Method: a child with 1 GiB takes stacks until it fails, gives one back, takes it again.
    if in_child() {
        let mut pool = pool();
        let mut stacks = Vec::with_capacity(20_000);
        let error = take_all(&mut pool, DEFAULT_BYTES, &mut stacks);
        assert!(stacks.len() > 4_000, "only {} stacks", stacks.len());
        assert!(
            matches!(error, StackError::AddressSpace { limit_bytes, .. } if limit_bytes == 1 << 30)
        );
        let error = io::Error::from(error);
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        let text = error.to_string();
        for part in ["ulimit -v", "1073741824", "prlimit --as", "smaller stacks"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        pool.give(stacks.pop().expect("some stack"));
        return touch(&pool.take(DEFAULT_BYTES).expect("the one given back"));
    }
    assert_passed(&child("limits::address_space_limit_is_named", None, "ulimit -v 1048576;"));
}

#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer needs more address space than the limit")]
fn address_space_limit_is_named_with_protected_guards() {
    // Goal: counting mappings when there is no address space left does not abort. Method: as above,
    // with mprotect.
    if in_child() {
        let mut stacks = Vec::with_capacity(20_000);
        let error = take_all(&mut pool(), DEFAULT_BYTES, &mut stacks);
        return assert!(matches!(error, StackError::AddressSpace { .. }), "{error:?}");
    }
    let test = "limits::address_space_limit_is_named_with_protected_guards";
    assert_passed(&child(test, Some("protect"), "ulimit -v 1048576;"));
}

#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer needs more address space than the limit")]
fn idle_stacks_of_another_size_make_room() {
    // Goal: address space that idle slabs hold is used before giving up. Method: a child with 1 GiB
    // gives all its small stacks back, and then wants large ones.
    if in_child() {
        let mut pool = pool();
        let mut stacks = Vec::with_capacity(20_000);
        take_all(&mut pool, DEFAULT_BYTES, &mut stacks);
        stacks.drain(..).for_each(|stack| pool.give(stack));
        let large = pool.take(600 << 20).expect("room after a trim");
        return touch(&large);
    }
    assert_passed(&child(
        "limits::idle_stacks_of_another_size_make_room",
        None,
        "ulimit -v 1048576;",
    ));
}

#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer ends the process when mappings run out")]
fn mapping_limit_is_named() {
    // Goal: vm.max_map_count is met by an error that names it. Method: a child maps the same page
    // of a file, which cannot merge, until the kernel makes no more mappings; then it wants a
    // stack.
    if in_child() {
        let file = std::env::current_exe().and_then(File::open).expect("the test binary");
        let mut options = memmap2::MmapOptions::new();
        options.len(page_size());
        let mut mappings = Vec::with_capacity(map_count_max());
        // SAFETY: nobody reads the mappings, so that it does not matter what becomes of the file.
        while let Ok(mapping) = unsafe { options.map(&file) } {
            mappings.push(mapping);
        }
        let error = pool().take(DEFAULT_BYTES).expect_err("no mapping left");
        println!("{} mappings", mappings.len());
        drop(mappings);
        assert!(matches!(error, StackError::Mappings { .. }), "{error:?}");
        assert!(error.to_string().contains("sysctl vm.max_map_count="), "{error}");
        return;
    }
    if std::env::var_os("COVE_EMULATED").is_some() {
        return println!("skipped: the mappings of qemu itself count too");
    }
    if map_count_max() > 200_000 {
        return println!("skipped: vm.max_map_count is too large here to be used up");
    }
    assert_passed(&child("limits::mapping_limit_is_named", None, ""));
}

#[test]
fn sizes_out_of_range_are_rounded_up_or_refused() {
    // Goal: less than a page is a page, more than 1 GiB is an error. Method: ask for the edges.
    let mut pool = pool();
    let error = pool.take(STACK_BYTES_MAX + 1).expect_err("too large");
    assert_eq!(error, StackError::Size { bytes: STACK_BYTES_MAX + 1 });
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    assert!(pool.take(usize::MAX).is_err());
    for bytes in [0, 1, 4095, 4096] {
        assert!(pool.take(bytes).expect("a stack").bytes() >= 4096 * 15 / 16);
    }
}
