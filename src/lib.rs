//! Stackful coroutines for Linux: write blocking code, run a million of it.

pub mod coroutine;
pub mod fs;
pub mod local;
pub mod net;
pub mod signal;
pub mod sync;
pub mod task;
pub mod time;

mod arch;
mod inspect;
mod list;
mod primitive;
mod reactor;
mod runtime;
mod scheduler;
mod stack;
mod sys;
mod timer;

pub use inspect::{Metrics, metrics};
pub use runtime::{
    Builder, RemoteJoinHandle, Runtime, RuntimeHandle, ShutdownError, run, runtime_handle,
};
pub use stack::{Guard, StackConfig, StackError};
pub use task::{JoinHandle, scope, spawn};
