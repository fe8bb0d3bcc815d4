//! Stackful coroutines for Linux: write blocking code, run a million of it.

pub mod coroutine;

mod arch;
mod list;
mod primitive;
mod scheduler;
mod stack;
mod sys;
mod timer;
