//! Mutexes in coroutines, across threads, poisoned, cancelled, starved; and the word under loom.

#[cfg(loom)]
mod model;

#[cfg(not(loom))]
mod behaviour;
