//! Tests of bare coroutines. What ends a whole process runs in a child: the test's own binary,
//! started again for that one test.

mod dropping;
mod nesting;
mod panics;
mod registers;
mod stacks;
mod values;

use std::cell::Cell;
use std::process::{Command, Output};
use std::rc::Rc;

/// Set in a child.
const CHILD: &str = "COVE_COROUTINE_TEST_CHILD";

/// Counts its drops.
#[derive(Clone, Default)]
struct Counted(Rc<Cell<u32>>);

impl Counted {
    fn count(&self) -> u32 {
        self.0.get()
    }

    /// Another one that counts in the same place.
    fn guard(&self) -> Counted {
        self.clone()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Calls a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Runs `body` in a child process that runs the test `name` alone, and returns how it ended. In the
/// child, does not return.
fn in_child(name: &str, body: impl FnOnce()) -> Output {
    in_child_with(name, &[], body)
}

/// As [`in_child`], with variables set.
fn in_child_with(name: &str, environment: &[(&str, String)], body: impl FnOnce()) -> Output {
    if std::env::var_os(CHILD).is_some() {
        body();
        std::process::exit(0);
    }
    let program = std::env::current_exe().expect("the test's own path");
    let path = format!("coroutine::tests::{name}");
    Command::new(program)
        .args([&path, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .envs(environment.iter().cloned())
        .output()
        .expect("a child process")
}
