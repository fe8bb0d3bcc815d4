//! Tests of selecting among channels and timers.
