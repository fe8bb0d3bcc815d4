//! Tests of bare coroutines.
