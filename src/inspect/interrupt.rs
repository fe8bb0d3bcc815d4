//! Asking a thread where it is: a signal, whose handler notes the coroutine and its frames.
//!
//! ```text
//!   IDLE --ask--> ASKED --handler--> BUSY --handler--> DONE --ask--> IDLE
//! ```
//!
//! One question at a time in the whole process. The signal is SIGURG, which programs do not use
//! unless they expect urgent data at a socket, and which does nothing by default; a handler for it
//! that was there before is called for those that are not ours. Interrupted system calls go on,
//! apart from those that never do, such as `epoll_wait` and `nanosleep` (signal(7)).
//!
//! The handler unwinds the interrupted stack, which must be in order at that point. It is, but for
//! the few instructions of a switch of stacks, by the scheduler or by a bare coroutine. Their texts
//! are known; whoever is interrupted in one is asked again, a little later.

use crate::arch::backtrace::{Addresses, IS_SUPPORTED};
use crate::scheduler::Scheduler;
use crate::sys;
use crate::sys::signal::Action;
use std::cell::UnsafeCell;
use std::io;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a thread may take to answer; it may not even get a processor at once.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// The bytes of a name that are kept.
const NAME_BYTES_MAX: usize = 64;

/// A thread that is interrupted in a switch is asked again, so many times.
const QUESTIONS_MAX: u32 = 50;

/// More frames are not walked.
const FRAMES_MAX: usize = 1000;

/// What a thread was seen doing.
pub(super) struct Sighting {
    pub(super) id: u64,
    /// It was in a switch, where nothing can be seen.
    is_between: bool,
    pub(super) is_root: bool,
    name: [u8; NAME_BYTES_MAX],
    name_len: usize,
    pub(super) frames: Addresses<48, 8>,
}

impl Sighting {
    const NOTHING: Sighting = Sighting {
        id: 0,
        is_between: false,
        is_root: false,
        name: [0; NAME_BYTES_MAX],
        name_len: 0,
        frames: Addresses::EMPTY,
    };

    /// The coroutine's name, perhaps cut off.
    pub(super) fn name(&self) -> Option<String> {
        let name = &self.name[..self.name_len];
        (self.name_len > 0).then(|| String::from_utf8_lossy(name).into_owned())
    }
}

const IDLE: u32 = 0;
const ASKED: u32 = 1;
const BUSY: u32 = 2;
const DONE: u32 = 3;

/// The question and its answer.
struct Slot {
    state: AtomicU32,
    thread_id: AtomicI32,
    switches: AtomicU64,
    /// The handler's while BUSY, the asker's otherwise.
    sighting: UnsafeCell<Sighting>,
}

// SAFETY: `state` hands the sighting from one to the other.
unsafe impl Sync for Slot {}

static SLOT: Slot = Slot {
    state: AtomicU32::new(IDLE),
    thread_id: AtomicI32::new(0),
    switches: AtomicU64::new(0),
    sighting: UnsafeCell::new(Sighting::NOTHING),
};

/// Held by who asks.
static ASKING: Mutex<()> = Mutex::new(());

static PREVIOUS: OnceLock<Action> = OnceLock::new();

/// Installs the handler.
///
/// # Errors
/// None in practice.
pub(super) fn install() -> io::Result<()> {
    let _asking = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
    if PREVIOUS.get().is_none() {
        // First, so that the handler always finds it.
        let _ = PREVIOUS.set(sys::signal::action_of(libc::SIGURG)?);
        let flags = libc::SA_ONSTACK | libc::SA_RESTART;
        // SAFETY: the handler is async-signal-safe.
        unsafe { sys::signal::install_handler(libc::SIGURG, handle, flags)? };
    }
    Ok(())
}

/// Where the thread is, if it runs a coroutine and has not switched since its count was `switches`.
pub(super) fn ask(thread_id: i32, switches: u64) -> Option<Sighting> {
    let _asking = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..QUESTIONS_MAX {
        match ask_once(thread_id, switches) {
            Some(sighting) if sighting.is_between => {}
            answer => return answer.filter(|sighting| sighting.id != 0),
        }
    }
    None
}

/// Asks once; `ASKING` is held. None if there is no answer.
fn ask_once(thread_id: i32, switches: u64) -> Option<Sighting> {
    SLOT.thread_id.store(thread_id, Ordering::Relaxed);
    SLOT.switches.store(switches, Ordering::Relaxed);
    SLOT.state.store(ASKED, Ordering::Release);
    // An error means that the thread is gone.
    let asked = sys::thread::tgkill(thread_id, libc::SIGURG).is_ok();
    let since = Instant::now();
    while SLOT.state.load(Ordering::Acquire) != DONE {
        if !asked || since.elapsed() > ANSWER_TIME_MAX {
            let taken_back =
                SLOT.state.compare_exchange(ASKED, IDLE, Ordering::Acquire, Ordering::Relaxed);
            if taken_back.is_ok() {
                return None;
            }
        }
        thread::park_timeout(Duration::from_millis(1));
    }
    // SAFETY: the handler is through, and nobody else asks.
    let sighting = unsafe { std::ptr::replace(SLOT.sighting.get(), Sighting::NOTHING) };
    SLOT.state.store(IDLE, Ordering::Relaxed);
    Some(sighting)
}

/// # Safety
/// Called by the kernel.
unsafe extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let errno = sys::thread::errno_location();
    // SAFETY: errno's place is the thread's own.
    let before = unsafe { *errno };
    let is_ours = SLOT.thread_id.load(Ordering::Relaxed) == sys::thread::gettid()
        && SLOT.state.compare_exchange(ASKED, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok();
    if is_ours {
        // SAFETY: the sighting is ours while we are BUSY; the context is the kernel's.
        unsafe { look(&mut *SLOT.sighting.get(), context) };
        SLOT.state.store(DONE, Ordering::Release);
    } else if let Some(previous) = PREVIOUS.get().filter(|previous| previous.is_handler()) {
        // SAFETY: the arguments are the kernel's, and `previous` was the signal's action.
        unsafe { sys::signal::chain(previous, signal, info, context) };
    }
    // SAFETY: errno's place is the thread's own and lives as long as the thread, which has stayed
    // the same: this is a signal handler.
    unsafe { *errno = before };
}

/// Notes which coroutine of this thread was interrupted, and its frames.
///
/// # Safety
/// `context` is what the kernel gave the handler.
unsafe fn look(sighting: &mut Sighting, context: *const libc::c_void) {
    let Some(scheduler) = Scheduler::current().filter(|scheduler| !scheduler.is_in_loop()) else {
        return;
    };
    if scheduler.counters.switches.load(Ordering::Relaxed) != SLOT.switches.load(Ordering::Relaxed)
    {
        return;
    }
    // SAFETY: as the caller says.
    let interrupted = unsafe { sys::signal::interrupted(context) };
    if interrupted.as_ref().is_some_and(|at| sys::unwind::is_in_switch(at.pc)) {
        sighting.is_between = true;
        return;
    }
    let task = scheduler.current_task();
    let name = task.extra().and_then(|extra| extra.name.as_deref()).unwrap_or_default();
    sighting.name_len = name.len().min(NAME_BYTES_MAX);
    sighting.name[..sighting.name_len].copy_from_slice(&name.as_bytes()[..sighting.name_len]);
    sighting.is_root = task.stack_bounds().is_none();
    if let Some(at) = interrupted {
        if IS_SUPPORTED {
            sighting.frames.collect_after(at.pc.wrapping_add(1), FRAMES_MAX);
        } else {
            // The switch is not ours, and may be what was interrupted.
            sighting.frames.push(at.pc.wrapping_add(1));
        }
    }
    sighting.id = task.id;
}
