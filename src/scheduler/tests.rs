//! Tests of the scheduler's own parts.
