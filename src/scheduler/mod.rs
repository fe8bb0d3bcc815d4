//! (placeholder)
mod inbox;
mod pool;
