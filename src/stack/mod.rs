//! Stacks for coroutines: private ones, cut from slabs, guarded, pooled and coloured.
//!
//! One mapping per stack would meet `vm.max_map_count` at 32 thousand coroutines. So stacks of one
//! size are cut from a *slab*: one big `MAP_NORESERVE` mapping whose pages cost nothing until they
//! are touched. Each slot of a slab is a guard page and the usable bytes above it:
//!
//! ```text
//!            slab (one mapping, one size class)
//!   base                                                                    base + len
//!   |  slot 0            |  slot 1            |  slot 2            |   ...  |
//!   +-----+--------------+-----+--------------+-----+--------------+--------+
//!   |guard| stack        |guard| stack        |guard| stack        |        |
//!   +-----+--------------+-----+--------------+-----+--------------+--------+
//!
//!            slot (stride bytes)
//!   low addresses                                                 high addresses
//!   +-----------+--------------------------------------------+----------------+
//!   | guard     | usable bytes, untouched pages cost nothing | colour (0 ..   |
//!   | one page  |                     <- the stack grows     | 23 cache lines)|
//!   +-----------+--------------------------------------------+----------------+
//!   guard start  limit()                                      top()           slot end
//! ```
//!
//! * **Guards** ([`Guard`]) are armed when a slot is used for the first time, and stay for as long
//!   as the slab lives: neither reuse nor trimming removes them.
//! * **Reuse** is last in, first out for each size, because the stack that was used last is the one
//!   whose pages are resident and cached. Taking a pooled stack makes no system call.
//! * **Trimming**: when the free stacks of one size hold more resident memory than a watermark, the
//!   pages of those that nobody has used for some seconds go back to the kernel in one batch,
//!   neighbours in one call.
//! * **Colouring**: the slots are a whole number of pages apart, so without it the hottest frames
//!   of all coroutines would meet in a few sets of the first-level cache.
//! * **Ownership**: a pool belongs to its thread and so does each stack. A slab counts its live
//!   stacks; it is unmapped when the pool is gone and the last of them is too. A leaked stack keeps
//!   its slab.
//!
//! Nothing here is atomic but the registry, by which the overflow handler (a signal handler) finds
//! out which stack an address belongs to: `registry::locate`.
//!
//! Shared stacks, which coroutines copy themselves out of and into, are in `shared.rs`.

mod class;
mod config;
mod error;
mod guard;
pub(crate) mod overflow;
mod pool;
mod private;
mod registry;
mod residency;
mod slab;
mod thread;

#[cfg(test)]
mod tests;

pub use config::Guard;
pub(crate) use config::StackConfig;
pub use error::StackError;
pub(crate) use guard::{has_canaries, say};
#[cfg(test)]
pub(crate) use pool::{StackPool, StackStats};
pub(crate) use private::Stack;
#[cfg(test)]
pub(crate) use registry::locate;
pub(crate) use slab::Slab;
pub(crate) use thread::{set_pool_config, with_pool};

/// The size of a stack if none is asked for, in bytes: libco's, and enough for a panic's message.
pub(crate) const DEFAULT_BYTES: usize = 128 << 10;

/// The smallest stack that can be had, in bytes. Less is rounded up to it.
pub(crate) const STACK_BYTES_MIN: usize = 4 << 10;

/// The largest stack that can be had, in bytes. More is [`StackError::Size`].
pub(crate) const STACK_BYTES_MAX: usize = 1 << 30;
