//! What the tests of this folder share.

#[cfg(loom)]
pub(super) mod model;

#[cfg(not(loom))]
pub(super) mod support;
