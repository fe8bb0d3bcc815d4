//! Seeing inside a runtime: dumps of its coroutines, counters, the stall watchdog, gdb.
//!
//! | file | holds |
//! |---|---|
//! | `dump.rs`, `gather.rs` | what is known of each coroutine; finding it out |
//! | `frames.rs` | frames with names; cutting off those of the runtime |
//! | `json.rs` | JSON, written by hand |
//! | `metrics.rs` | counters |
//! | `on_signal.rs` | the dump that a signal asks for |
//! | `watchdog.rs`, `interrupt.rs` | who does not let others run; asking that thread where it is |
//! | `gdb/cove_gdb.py` | `cove list` and `cove bt` for gdb, live and on cores |
//!
//! Nothing here runs, and nothing is counted that the scheduler does not count anyway, unless it is
//! asked for.

mod dump;
mod frames;
mod gather;
mod interrupt;
mod json;
mod metrics;
pub(crate) mod on_signal;
pub(crate) mod watchdog;

pub use dump::{CoroutineDump, Dump, StackDump, StackKind, State};
pub use frames::Frame;
pub use gather::dump;
pub use metrics::{Metrics, metrics};
pub use watchdog::Stall;
