//! What the long-lived works (an echo server, an idle runtime) say to the harness.
//!
//! The child prints one line of figures when it is ready. Each SIGUSR1 is then answered by a line
//! with what the process has used so far. The handler needs no thread: with a second thread, libc's
//! calls would take the longer way that cancellation of threads needs, and be slower than in a
//! program that serves and does nothing else.

use crate::figures::{Figures, figures};
use crate::processor::check;
use std::io::{self, Write as _};
use std::process;

/// Tells that the work is ready, and answers from now on.
pub(crate) fn ready(facts: &Figures) {
    // SAFETY: all zeroes is an action without flags that blocks no other signal.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int) = tell_used;
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the handler has the type that goes with the flags, and does what a handler may.
    let status = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
    check(status).expect("the action is valid");
    say(facts);
}

/// As [`ready`], for a server on this port.
pub(crate) fn listening(port: u16) {
    ready(&figures([("port", f64::from(port))]));
}

/// Writes what the process has used: two system calls and numbers formatted in place.
extern "C" fn tell_used(_signal: libc::c_int) {
    // SAFETY: all zeroes is a valid structure of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes the structure.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let us = |time: libc::timeval| i128::from(time.tv_sec) * 1_000_000 + i128::from(time.tv_usec);
    let mut line = [0; 128];
    let mut rest = &mut line[..];
    let (user_us, system_us) = (us(usage.ru_utime), us(usage.ru_stime));
    // Two numbers of any size fit.
    let _ = writeln!(rest, "{{\"user_us\":{user_us},\"system_us\":{system_us}}}");
    let length = 128 - rest.len();
    // SAFETY: the kernel reads what was written there. A reader that is gone has no use for it.
    unsafe { libc::write(libc::STDOUT_FILENO, line.as_ptr().cast(), length) };
}

fn say(facts: &Figures) {
    let line = serde_json::to_string(facts).expect("numbers by name are valid JSON");
    // If nobody listens any more, nobody misses it.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints the figures of a work and ends the process: a million coroutines need not be unwound.
pub(crate) fn answer(figures: &Figures) -> ! {
    say(figures);
    process::exit(0);
}
