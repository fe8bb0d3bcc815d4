//! (placeholder)

pub mod mpsc;
pub mod select;
