//! Tests of channels.


