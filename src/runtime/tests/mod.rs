//! Tests of runtimes.
