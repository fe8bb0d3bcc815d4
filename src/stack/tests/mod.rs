//! Tests of the private stacks. What ends or measures a whole process runs in a child: the test's
//! own binary, started again for that one test.

mod guards;
mod limits;
mod lookup;
mod measure;
mod pool;
mod reuse;

use std::process::{Command, Output};

use super::{Stack, StackConfig, StackPool};

/// Set in a child.
const CHILD: &str = "COVE_STACK_TEST_CHILD";

/// What a child prints before it does what shall end it.
const MARK: &str = "about to";

const DEFAULT_BYTES: usize = 128 << 10;

/// A pool whose stacks are those of a user who configured nothing.
fn pool() -> StackPool {
    StackPool::new(StackConfig::default())
}

/// Writes the topmost word, as any coroutine does.
fn touch(stack: &Stack) {
    write_word(stack, size_of::<u64>());
}

/// Writes the word that ends `depth` bytes below the top, rounded up to a word.
fn write_word(stack: &Stack, depth: usize) {
    assert!(depth <= stack.bytes());
    let address = stack.top().as_ptr().wrapping_sub(depth.next_multiple_of(size_of::<u64>()));
    // SAFETY: the address is in a stack that the test owns, and aligned like the top.
    unsafe { address.cast::<u64>().write_volatile(0x5AFE) };
}

/// Writes the word below the stack. What happens then depends on the guard.
fn overflow(stack: &Stack) {
    println!("{MARK} overflow");
    let address = stack.limit().as_ptr().wrapping_sub(size_of::<u64>());
    // SAFETY: it is in the guard, which is a part of the stack's slot: a fault, or a page of the
    // slot's own.
    unsafe { address.cast::<u64>().write_volatile(0xBAD) };
}

/// Whether the test runs in a child.
fn in_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs `test` (its path below this module) in a child, in a shell that first does `limits`, like
/// `ulimit -v 1000;`.
fn child(test: &str, guard: Option<&str>, limits: &str) -> Output {
    let module = module_path!().split_once("::").expect("a crate and a module").1;
    let binary = std::env::current_exe().expect("the test binary has a path");
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -c 0; {limits} exec \"$@\""), "sh"])
        .arg(binary)
        .args([&format!("{module}::{test}"), "--exact", "--nocapture", "--include-ignored"])
        .env(CHILD, "1")
        .env_remove("COVE_GUARD");
    if let Some(guard) = guard {
        command.env("COVE_GUARD", guard);
    }
    let output = command.output().expect("the test binary starts");
    println!("{}", stdout(&output));
    println!("{}", stderr(&output));
    output
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that the child ran its test, one, to the end.
fn assert_passed(output: &Output) {
    assert!(output.status.success() && stdout(output).contains("1 passed"), "{}", output.status);
}

/// A number of bytes from /proc/self/status, like `VmRSS`.
fn status_bytes(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let line = status.lines().find(|line| line.starts_with(field)).expect("a field of proc(5)");
    let number = line.split_whitespace().nth(1).expect("a number");
    number.parse::<usize>().expect("a number of KiB") << 10
}
