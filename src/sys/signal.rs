//! Signals: handlers that can pass on what is not theirs, the stack they run on, and masks.
//!
//! A process has one action per signal, and others (Rust's runtime, the program) may have set it
//! before. So a handler is installed with the previous action in hand, and [`chain`] does with a
//! signal what that action would have done. What runs inside a handler here is async-signal-safe
//! (signal-safety(7)): [`chain`], [`write_stderr`], [`fault_address`], [`interrupted`], [`abort`].

use super::cvt;
use libc::{c_int, c_void, siginfo_t};
use std::io;
use std::mem::{self, MaybeUninit};
use std::ptr;

/// A handler that takes all that the kernel tells (SA_SIGINFO): signal, cause, interrupted context.
pub(crate) type Handler = unsafe extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// A handler that was installed without SA_SIGINFO.
type SimpleHandler = unsafe extern "C" fn(c_int);

/// The action of a signal, as it was or shall be again.
#[derive(Clone, Copy)]
pub(crate) struct Action(libc::sigaction);

/// Memory that handlers with SA_ONSTACK run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AlternateStack {
    /// The lowest byte.
    pub(crate) base: *mut u8,
    /// How many.
    pub(crate) bytes: usize,
}

/// Where the interrupted code was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted {
    /// The address of the instruction: of the one that faulted, or of the next.
    pub(crate) pc: usize,
    /// The stack pointer.
    pub(crate) sp: usize,
}

/// Makes `handler` the action of `signal` for the whole process, and returns the action before.
///
/// `flags` are SA_ONSTACK, SA_RESTART, SA_NODEFER, ...; SA_SIGINFO is added. While the handler
/// runs, no signal but its own is blocked.
///
/// # Safety
/// `handler` is async-signal-safe, and sound wherever a thread of this process may be interrupted.
///
/// # Errors
/// EINVAL for a number that is no signal, or SIGKILL, or SIGSTOP.
pub(crate) unsafe fn install_handler(
    signal: c_int,
    handler: Handler,
    flags: c_int,
) -> io::Result<Action> {
    let mut action = Action::default_action();
    action.0.sa_sigaction = handler as libc::sighandler_t;
    action.0.sa_flags = flags | libc::SA_SIGINFO;
    // SAFETY: the caller vouches for the handler; the flags say that the handler takes three
    // arguments.
    unsafe { exchange(signal, &action) }
}

/// The action of `signal` at this moment.
///
/// # Errors
/// EINVAL for a number that is no signal.
pub(crate) fn action_of(signal: c_int) -> io::Result<Action> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is installed, and `action` is writable.
    cvt(unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it filled the action.
    Ok(Action(unsafe { action.assume_init() }))
}

/// Makes `previous` the action of `signal` again.
///
/// # Safety
/// The code of a handler in `previous` still exists.
///
/// # Errors
/// As [`install_handler`].
#[cfg(test)]
pub(crate) unsafe fn restore(signal: c_int, previous: &Action) -> io::Result<()> {
    // SAFETY: the caller vouches that a handler in `previous` still exists.
    unsafe { exchange(signal, previous) }.map(drop)
}

/// Does with a signal what the action `previous` would have done. To be called from a handler, with
/// that handler's own arguments, as the last thing before it returns.
///
/// - A handler is called, in the way that it was installed for. Its mask and its stack are not set
///   up; it runs like the caller.
/// - The default action is restored. A fault then repeats when the handler returns, and acts; a
///   signal that was sent is gone, and the next one acts.
/// - An ignored signal stays ignored, unless it is a fault: the kernel does not let those be
///   ignored (sigaction(2)), and returning would repeat it for ever. It acts by default.
///
/// # Safety
/// The arguments are what the kernel gave the running handler, and `previous` was the action of
/// `signal`.
pub(crate) unsafe fn chain(
    previous: &Action,
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut c_void,
) {
    match previous.0.sa_sigaction {
        libc::SIG_IGN if !is_fault(signal, info) => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: the default action has no code of ours. It cannot fail, for the signal has a
            // handler.
            let _ = unsafe { exchange(signal, &Action::default_action()) };
        }
        handler if previous.0.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the flag says that this is such a function; it was installed by this process.
            let handler: Handler = unsafe { mem::transmute(handler) };
            // SAFETY: the arguments are the kernel's, by the caller's promise.
            unsafe { handler(signal, info, context) };
        }
        handler => {
            // SAFETY: neither of the special values and no SA_SIGINFO: a function of one argument.
            let handler: SimpleHandler = unsafe { mem::transmute(handler) };
            // SAFETY: the argument is the kernel's, by the caller's promise.
            unsafe { handler(signal) };
        }
    }
}

/// The address whose access caused a SIGSEGV or SIGBUS.
///
/// # Safety
/// `info` is what the kernel gave a handler of one of these.
pub(crate) unsafe fn fault_address(info: *const siginfo_t) -> usize {
    // SAFETY: the caller's promise; for these signals the field is the one that is filled.
    unsafe { (*info).si_addr() }.addr()
}

/// Where the code was that the signal interrupted; `None` on processors that this does not know.
///
/// # Safety
/// `context` is what the kernel gave a handler with SA_SIGINFO.
pub(crate) unsafe fn interrupted(context: *const c_void) -> Option<Interrupted> {
    let context = context.cast::<libc::ucontext_t>();
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: the caller's promise: the kernel filled a ucontext_t there.
        let registers = unsafe { &(*context).uc_mcontext.gregs };
        let [pc, sp] = [libc::REG_RIP, libc::REG_RSP].map(|at| registers[at as usize] as usize);
        Some(Interrupted { pc, sp })
    }
    #[cfg(target_arch = "aarch64")]
    {
        // SAFETY: the caller's promise: the kernel filled a ucontext_t there.
        let registers = unsafe { &(*context).uc_mcontext };
        Some(Interrupted { pc: registers.pc as usize, sp: registers.sp as usize })
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = context;
        None
    }
}

/// Writes all of `bytes` to standard error, from wherever: no lock, no buffer, no hook. Retries on
/// EINTR; gives up on every other error, having nobody to tell. May change errno.
pub(crate) fn write_stderr(bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (number, fd) = (libc::SYS_write, libc::STDERR_FILENO);
        // SAFETY: `rest` is readable for its length. The raw call, since libc's name may be a hook.
        let written = unsafe { libc::syscall(number, fd, rest.as_ptr(), rest.len()) };
        match cvt(written) {
            // The kernel never says that it wrote more; zero would repeat for ever.
            Ok(count @ 1..) => rest = &rest[(count as usize).min(rest.len())..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

/// Ends the process with SIGABRT, whatever its handler does. No destructor runs.
pub(crate) fn abort() -> ! {
    // SAFETY: no precondition, and it does not return.
    unsafe { libc::abort() }
}

/// Sends the process SIGALRM in `seconds`; 0 cancels. Returns the seconds that were left of the
/// last one.
pub(crate) fn alarm(seconds: u32) -> u32 {
    // SAFETY: no memory of ours is involved.
    unsafe { libc::alarm(seconds) }
}

/// The least that an [`AlternateStack`] must have: the kernel's signal frame on this processor, and
/// some. A handler needs its own frames on top.
pub(crate) fn alternate_stack_bytes_min() -> usize {
    /// asm/auxvec.h: what the frame takes with all the registers that this processor has.
    const AT_MINSIGSTKSZ: libc::c_ulong = 51;
    // SAFETY: no memory of ours is involved; an unknown entry is 0.
    let frame = unsafe { libc::getauxval(AT_MINSIGSTKSZ) } as usize;
    frame.max(libc::MINSIGSTKSZ)
}

/// The calling thread's alternate stack, if it has one.
///
/// # Errors
/// None in practice.
pub(crate) fn alternate_stack() -> io::Result<Option<AlternateStack>> {
    // SAFETY: nothing is installed.
    unsafe { exchange_alternate_stack(ptr::null()) }
}

/// Gives the calling thread an alternate stack, or (`None`) none; returns the one before.
///
/// # Safety
/// The memory is used by nobody else until another one is set or the thread ends.
///
/// # Errors
/// ENOMEM: fewer bytes than [`alternate_stack_bytes_min`]. EPERM: the thread is running on it now.
pub(crate) unsafe fn set_alternate_stack(
    stack: Option<AlternateStack>,
) -> io::Result<Option<AlternateStack>> {
    let none = AlternateStack { base: ptr::null_mut(), bytes: 0 };
    let flags = if stack.is_some() { 0 } else { libc::SS_DISABLE };
    let AlternateStack { base, bytes } = stack.unwrap_or(none);
    let new = libc::stack_t { ss_sp: base.cast(), ss_flags: flags, ss_size: bytes };
    // SAFETY: the caller vouches that the memory is the kernel's alone from now on.
    unsafe { exchange_alternate_stack(&raw const new) }
}

/// A set of signals, and what a thread blocks.
#[derive(Clone, Copy)]
pub(crate) struct SignalMask(libc::sigset_t);

impl SignalMask {
    /// No signal.
    pub(crate) fn empty() -> SignalMask {
        let mut set = MaybeUninit::uninit();
        // SAFETY: the call initialises the set and cannot fail.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            SignalMask(set.assume_init())
        }
    }

    /// Every signal, apart from those that libc needs for itself.
    pub(crate) fn full() -> SignalMask {
        let mut set = MaybeUninit::uninit();
        // SAFETY: the call initialises the set and cannot fail.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            SignalMask(set.assume_init())
        }
    }

    /// These and `signal`, which must be one.
    pub(crate) fn with(mut self, signal: c_int) -> SignalMask {
        // SAFETY: the set is initialised and ours.
        let added = unsafe { libc::sigaddset(&raw mut self.0, signal) };
        assert_eq!(added, 0, "{signal} is no signal");
        self
    }

    /// Whether `signal` is one of these.
    #[cfg(test)]
    pub(crate) fn contains(&self, signal: c_int) -> bool {
        // SAFETY: the set is initialised, and is only read.
        unsafe { libc::sigismember(&raw const self.0, signal) == 1 }
    }

    /// Makes these what the calling thread blocks; returns what it blocked before.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn set(&self) -> io::Result<SignalMask> {
        self.apply(libc::SIG_SETMASK)
    }

    /// Blocks these too, in the calling thread; returns what it blocked before.
    ///
    /// # Errors
    /// None in practice.
    #[cfg(test)]
    pub(crate) fn block(&self) -> io::Result<SignalMask> {
        self.apply(libc::SIG_BLOCK)
    }

    /// Blocks these no longer, in the calling thread; returns what it blocked before.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn unblock(&self) -> io::Result<SignalMask> {
        self.apply(libc::SIG_UNBLOCK)
    }

    fn apply(&self, how: c_int) -> io::Result<SignalMask> {
        let mut before = SignalMask::empty();
        // SAFETY: both sets are initialised, one is read and the other written during the call.
        let set = unsafe { libc::pthread_sigmask(how, &raw const self.0, &raw mut before.0) };
        super::cvt_number(set)?;
        Ok(before)
    }
}

impl Action {
    /// Whether it is a function, and neither the default nor to ignore the signal.
    pub(crate) fn is_handler(&self) -> bool {
        !matches!(self.0.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN)
    }

    /// What the kernel does when nobody asked for anything.
    fn default_action() -> Action {
        // SAFETY: sigaction is integers and an optional function, for which zeroes are valid; and
        // zeroes are SIG_DFL, no flags, an empty mask.
        let action: libc::sigaction = unsafe { mem::zeroed() };
        debug_assert_eq!(action.sa_sigaction, libc::SIG_DFL);
        Action(action)
    }
}

/// Whether returning from the handler would run into the same signal again.
fn is_fault(signal: c_int, info: *const siginfo_t) -> bool {
    let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];
    // sigaction(2): a code above 0 comes from the kernel, and others from kill and its kin.
    // SAFETY: null is excluded; otherwise it is the kernel's, by the promise of `chain`'s caller.
    faults.contains(&signal) && (info.is_null() || unsafe { (*info).si_code } > 0)
}

/// # Safety
/// A handler in `new` is async-signal-safe, sound wherever it may interrupt, and takes the
/// arguments that the flags say.
unsafe fn exchange(signal: c_int, new: &Action) -> io::Result<Action> {
    let mut previous = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: `new` is readable, `previous` writable; the handler is the caller's promise.
    cvt(unsafe { libc::sigaction(signal, &raw const new.0, previous.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it filled the previous action.
    Ok(Action(unsafe { previous.assume_init() }))
}

/// # Safety
/// `new` is null, or as [`set_alternate_stack`] says.
unsafe fn exchange_alternate_stack(
    new: *const libc::stack_t,
) -> io::Result<Option<AlternateStack>> {
    let mut before = MaybeUninit::<libc::stack_t>::uninit();
    // SAFETY: `new` is the caller's promise, and `before` is writable.
    cvt(unsafe { libc::sigaltstack(new, before.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it filled the stack before.
    let before = unsafe { before.assume_init() };
    let some = before.ss_flags & libc::SS_DISABLE == 0;
    Ok(some.then_some(AlternateStack { base: before.ss_sp.cast(), bytes: before.ss_size }))
}

#[cfg(test)]
#[path = "signal_tests.rs"]
mod tests;
