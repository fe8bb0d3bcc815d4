//! Stackful coroutines for Linux: write blocking code, run a million of it.

pub mod coroutine;
pub mod task;

mod arch;
mod list;
mod primitive;
mod reactor;
mod runtime;
mod scheduler;
mod stack;
mod sys;
mod timer;

pub use runtime::{Builder, Runtime, run};
pub use stack::StackError;
pub use task::{JoinHandle, scope, spawn};
