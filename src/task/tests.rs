//! Tests of spawning, joining, cancelling.
