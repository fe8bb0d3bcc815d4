//! Semaphores in coroutines and across threads; and the counter under loom.

#[cfg(loom)]
mod model;

#[cfg(not(loom))]
mod behaviour;
