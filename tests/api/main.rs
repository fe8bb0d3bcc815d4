//! The public API as its users see it: one binary, one module per subject.

#[path = "../hostile/alarm.rs"]
mod alarm;
#[allow(dead_code, reason = "written for another program, which uses more of it")]
#[path = "../hostile/child.rs"]
mod child;

mod cancel;
mod channels;
mod coroutines;
mod fs;
mod like_std;
mod local;
mod net;
mod scope;
mod select;
mod shared;
mod signal;
mod spawn;
mod support;
mod sync;
mod time;
mod workers;
