//! What the tests of this folder share.

#[cfg(loom)]
pub(super) mod model;

#[cfg(loom)]
mod threads;

#[cfg(not(loom))]
pub(super) mod support;
