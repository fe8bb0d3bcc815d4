//! Reader-writer locks in coroutines and across threads; and the word under loom.

#[cfg(loom)]
mod model;

#[cfg(not(loom))]
mod behaviour;
