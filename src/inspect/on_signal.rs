//! The dump that a signal asks for.
//!
//! ```text
//!   handler:  wants_dump of every scheduler that listens = true, rings its bell
//!   loop:     in its next turn, or woken from its sleep, prints a dump to stderr
//! ```
//!
//! The handler touches atomics and writes to bells. A thread on which a coroutine computes comes to
//! no turn of its loop; if that thread takes the next such signal, the handler names the coroutine.
//!
//! The handler stays until the process ends, and calls the one that was there before.

use super::gather;
use crate::scheduler::{Scheduler, registry};
use crate::stack::overflow::Text;
use crate::sys;
use crate::sys::signal::Action;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

/// The largest number of a signal on Linux is 64.
const SIGNALS: usize = 65;

/// The action of each signal before ours, leaked; null while ours is not installed.
static PREVIOUS: [AtomicPtr<Action>; SIGNALS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; SIGNALS];

/// Held while a handler is installed.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Has the scheduler print a dump whenever the process gets `signal`.
///
/// # Errors
/// `InvalidInput` if there is no such signal, or it cannot be handled.
pub(crate) fn listen(scheduler: &Scheduler, signal: i32) -> io::Result<()> {
    install(signal)?;
    scheduler.on_dump_request.set(Some(print));
    scheduler.registration.entry().dump_signal.store(signal, Ordering::Relaxed);
    Ok(())
}

fn install(signal: i32) -> io::Result<()> {
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let refused = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
    let previous = sys::signal::action_of(signal).map_err(refused)?;
    if !PREVIOUS[signal as usize].load(Ordering::Acquire).is_null() {
        return Ok(());
    }
    // The handler must not enter the dynamic loader.
    sys::real::resolve_all();
    let previous = Box::into_raw(Box::new(previous));
    PREVIOUS[signal as usize].store(previous, Ordering::Release);
    let flags = libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: the handler is async-signal-safe.
    let installed = unsafe { sys::signal::install_handler(signal, handle, flags) };
    if let Err(error) = installed {
        PREVIOUS[signal as usize].store(ptr::null_mut(), Ordering::Release);
        // SAFETY: made above, and taken back before any handler could see it.
        drop(unsafe { Box::from_raw(previous) });
        return Err(refused(error));
    }
    Ok(())
}

/// # Safety
/// Called by the kernel.
unsafe extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let errno = sys::thread::errno_location();
    // SAFETY: errno's place is the thread's own.
    let before = unsafe { *errno };
    for entry in registry::entries() {
        if entry.dump_signal.load(Ordering::Relaxed) != signal {
            continue;
        }
        entry.pinned(|bell, thread_id| {
            let again = entry.wants_dump.swap(true, Ordering::Relaxed);
            if again && thread_id == sys::thread::gettid() {
                complain();
            }
            // eventfd(2) lists no reason why it could fail, and nobody could be told.
            let _ = bell.ring();
        });
    }
    // SAFETY: null, or leaked when this handler was installed.
    if let Some(previous) = unsafe { PREVIOUS[signal as usize].load(Ordering::Acquire).as_ref() } {
        if previous.is_handler() {
            // SAFETY: the arguments are the kernel's, and `previous` was the signal's action.
            unsafe { sys::signal::chain(previous, signal, info, context) };
        }
    }
    // SAFETY: errno's place is the thread's own and lives as long as the thread, which has stayed
    // the same: this is a signal handler.
    unsafe { *errno = before };
}

/// Names the coroutine that keeps this thread from its loop.
fn complain() {
    let Some(scheduler) = Scheduler::current().filter(|scheduler| !scheduler.is_in_loop()) else {
        return;
    };
    let mut text = Text::new();
    // What does not fit is cut off.
    let _ = text.write_str("cove: no dump of this thread yet: it is kept by ");
    let _ = scheduler.current_task().write_name(&mut text);
    let _ = text.write_str(", which does not wait\n");
    text.flush();
}

/// Prints a dump. Called by the loop.
fn print(scheduler: &Scheduler) {
    let dump = gather::dump_of(scheduler);
    // A closed stderr is no reason to stop, and there is nowhere else to complain.
    let _ = write!(io::stderr().lock(), "cove: {dump}");
}
