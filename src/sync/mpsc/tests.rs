//! Tests of channels.
