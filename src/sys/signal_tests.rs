//! Tests of signals. Those that end a process run in a forked child, which does nothing but
//! async-signal-safe calls and tells its findings by its exit status.

use super::super::mmap::{Mapping, protect_none};
use super::super::process::{Ended, in_child};
use super::super::{page_size, thread};
use super::*;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};

const ALTERNATE_BYTES: usize = 64 * 1024;

static RECEIVED: AtomicI32 = AtomicI32::new(0);
static CHAINED: AtomicI32 = AtomicI32::new(0);
static FAULT_AT: AtomicUsize = AtomicUsize::new(0);
static HANDLER_STACK: AtomicUsize = AtomicUsize::new(0);
static PREVIOUS: AtomicPtr<Action> = AtomicPtr::new(ptr::null_mut());

unsafe extern "C" fn count(signal: c_int, _info: *mut siginfo_t, _context: *mut c_void) {
    RECEIVED.fetch_add(signal, Ordering::Relaxed);
}

unsafe extern "C" fn count_simple(signal: c_int) {
    CHAINED.fetch_add(signal, Ordering::Relaxed);
}

unsafe extern "C" fn count_full(signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    CHAINED.fetch_add(1000 * signal + info.is_null() as c_int, Ordering::Relaxed);
}

/// Ends the process with 0 if everything that the kernel tells about the fault is right.
unsafe extern "C" fn check_fault(_signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let local = 0_u8;
    // SAFETY: the kernel's own arguments; _exit ends the process here.
    unsafe {
        let Some(Interrupted { pc, sp }) = interrupted(context) else { libc::_exit(10) };
        let stack = HANDLER_STACK.load(Ordering::Relaxed);
        let on_alternate = (stack..stack + ALTERNATE_BYTES).contains(&(&raw const local).addr());
        let right_address = fault_address(info) == FAULT_AT.load(Ordering::Relaxed);
        let sp_of_another_stack = sp != 0 && !(stack..stack + ALTERNATE_BYTES).contains(&sp);
        libc::_exit(match (right_address, on_alternate, sp_of_another_stack, pc != 0) {
            (true, true, true, true) => 0,
            (false, ..) => 11,
            (_, false, ..) => 12,
            _ => 13,
        });
    }
}

unsafe extern "C" fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's own arguments, and the action that was installed before this one.
    unsafe { chain(&*PREVIOUS.load(Ordering::Relaxed), signal, info, context) };
}

fn ignored() -> Action {
    let mut action = Action::default_action();
    action.0.sa_sigaction = libc::SIG_IGN;
    action
}

fn os_error<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

fn inaccessible_page() -> Mapping {
    let page = Mapping::reserve(page_size()).expect("space");
    // SAFETY: a whole page of a mapping that the caller alone uses.
    unsafe { protect_none(page.base().as_ptr(), page.len()) }.expect("protect");
    page
}

#[test]
fn handler_runs_and_the_previous_action_comes_back() {
    // Goal: install, receive, restore. Method: SIGUSR1 to this very thread; tgkill(2) delivers
    // before it returns. SAFETY: the handler adds to an atomic.
    let previous = unsafe { install_handler(libc::SIGUSR1, count, libc::SA_RESTART) };
    let previous = previous.expect("a handler");
    thread::tgkill(thread::gettid(), libc::SIGUSR1).expect("sent");
    assert_eq!(RECEIVED.load(Ordering::Relaxed), libc::SIGUSR1);
    // SAFETY: the previous action is the process's default.
    unsafe { restore(libc::SIGUSR1, &previous) }.expect("restored");
    // SAFETY: the previous action, the default, has no handler; only to look at what is installed.
    let now = unsafe { exchange(libc::SIGUSR1, &previous) }.expect("an action");
    assert_eq!(now.0.sa_sigaction, previous.0.sa_sigaction);
    // SAFETY: the handler would be sound; SIGKILL just cannot have one.
    let refused = unsafe { install_handler(libc::SIGKILL, count, 0) };
    assert_eq!(os_error(refused), Some(libc::EINVAL));
}

#[test]
fn chaining_calls_each_kind_of_handler_in_its_own_way() {
    // Goal: one argument or three, and nothing for an ignored signal. Method: call chain directly.
    let mut action = Action::default_action();
    action.0.sa_sigaction = count_simple as *const () as libc::sighandler_t;
    // SAFETY: zeroes are a valid siginfo_t: of nobody's signal, with code 0 (sent by a process).
    let mut info: siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: the handlers take any arguments, and none of these changes the process's actions.
    unsafe {
        chain(&action, 3, &mut info, ptr::null_mut());
        assert_eq!(CHAINED.swap(0, Ordering::Relaxed), 3);
        action.0.sa_sigaction = count_full as *const () as libc::sighandler_t;
        action.0.sa_flags = libc::SA_SIGINFO;
        chain(&action, 3, &mut info, ptr::null_mut());
        assert_eq!(CHAINED.swap(0, Ordering::Relaxed), 3000);
        chain(&ignored(), libc::SIGSEGV, &mut info, ptr::null_mut());
        chain(&ignored(), libc::SIGURG, &mut info, ptr::null_mut());
        assert_eq!(CHAINED.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn fault_arrives_on_the_alternate_stack_with_its_address_and_registers() {
    // Goal: all that an overflow report needs. Method: a child touches a protected page.
    // The two statics are this test's alone; the child finds them as they are at the fork.
    let guard = inaccessible_page();
    let stack = Mapping::reserve(ALTERNATE_BYTES).expect("space");
    FAULT_AT.store(guard.base().as_ptr().addr(), Ordering::Relaxed);
    HANDLER_STACK.store(stack.base().as_ptr().addr(), Ordering::Relaxed);
    let ended = in_child(|| {
        let memory = AlternateStack { base: stack.base().as_ptr(), bytes: stack.len() };
        // SAFETY: the stack is this child's alone; the handler only calls what is
        // async-signal-safe; the access is meant to fault.
        unsafe {
            if set_alternate_stack(Some(memory)).is_err() || alternate_stack().is_err() {
                return 20;
            }
            let _ = install_handler(libc::SIGSEGV, check_fault, libc::SA_ONSTACK);
            guard.base().as_ptr().read_volatile();
        }
        21
    });
    assert_eq!(ended, Ended::Exited(0));
}

#[test]
fn fault_that_is_passed_on_kills_by_the_default_and_by_ignored_actions() {
    // Goal: no endless repetition and no swallowed fault. Method: a child per previous action;
    // should it hang, its alarm ends it with another signal.
    let guard = inaccessible_page();
    for mut previous in [Action::default_action(), ignored()] {
        PREVIOUS.store(&mut previous, Ordering::Relaxed);
        let ended = in_child(|| {
            alarm(20);
            // SAFETY: the handler only calls what is async-signal-safe; the access is meant to
            // fault.
            unsafe {
                let _ = install_handler(libc::SIGSEGV, pass_on, 0);
                guard.base().as_ptr().read_volatile();
            }
            21
        });
        assert_eq!(ended, Ended::Killed(libc::SIGSEGV));
    }
}

#[test]
fn abort_and_alarm_end_the_process_by_their_signals() {
    // Goal: the right signal each. Method: a child that aborts; alarms that are set and cancelled.
    assert_eq!(in_child(|| abort()), Ended::Killed(libc::SIGABRT));
    let left = in_child(|| {
        alarm(1000);
        if (990..=1000).contains(&alarm(0)) { 0 } else { 1 }
    });
    assert_eq!(left, Ended::Exited(0));
}

#[test]
fn alternate_stack_is_per_thread_and_can_be_taken_off() {
    // Goal: install, query, remove, refuse. Method: in a thread of its own; Rust gave it one
    // already.
    let memory = Mapping::reserve(1 << 20).expect("space");
    let ours = AlternateStack { base: memory.base().as_ptr(), bytes: memory.len() };
    let small = AlternateStack { bytes: 16, ..ours };
    assert!(alternate_stack_bytes_min() >= libc::MINSIGSTKSZ);
    // SAFETY: the memory is this thread's alone, and is off again before it is unmapped.
    unsafe {
        let rusts = set_alternate_stack(Some(ours)).expect("install");
        assert_eq!(alternate_stack().expect("query"), Some(ours));
        assert_eq!(os_error(set_alternate_stack(Some(small))), Some(libc::ENOMEM));
        assert_eq!(set_alternate_stack(None).expect("remove"), Some(ours));
        assert_eq!(alternate_stack().expect("query"), None);
        set_alternate_stack(rusts).expect("restore");
    }
}

#[test]
fn masks_block_unblock_and_come_back() {
    // Goal: each operation returns what was before. Method: SIGURG, which nothing here uses.
    let urgent = SignalMask::empty().with(libc::SIGURG);
    assert!(urgent.contains(libc::SIGURG) && !urgent.contains(libc::SIGHUP));
    let before = urgent.block().expect("block");
    assert!(!before.contains(libc::SIGURG));
    assert!(urgent.unblock().expect("unblock").contains(libc::SIGURG));
    assert!(!SignalMask::full().set().expect("set").contains(libc::SIGURG));
    let full = before.set().expect("set");
    assert!(full.contains(libc::SIGURG) && full.contains(libc::SIGHUP));
}

#[test]
fn writing_to_standard_error_writes_everything_or_gives_up() {
    // Goal: all bytes arrive, and a closed descriptor is no loop. Method: a child whose standard
    // error is a pipe of its own, then nothing.
    let ended = in_child(|| {
        let (mut ends, mut got) = ([-1; 2], [0_u8; 32]);
        // SAFETY: calls on the child's own descriptors; `ends` takes two numbers, `got` is writable
        // for its length.
        unsafe {
            if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
                return 20;
            }
            libc::dup2(ends[1], libc::STDERR_FILENO);
            write_stderr(b"cove: overflow");
            let read = libc::read(ends[0], got.as_mut_ptr().cast(), got.len());
            libc::close(libc::STDERR_FILENO);
            write_stderr(b"nobody reads this");
            if read == 14 && &got[..14] == b"cove: overflow" { 0 } else { 21 }
        }
    });
    assert_eq!(ended, Ended::Exited(0));
}
