//! The public API as its users see it: one binary, one module per subject.

mod cancel;
mod channels;
mod like_std;
mod scope;
mod select;
mod shared;
mod spawn;
mod support;
mod sync;
mod time;
