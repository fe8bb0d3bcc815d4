//! Stack overflow: a message that names the coroutine, its stack's size and its frames; then abort.
//!
//! ```text
//!   fault (SIGSEGV, SIGBUS)
//!     |  in the guard of the stack that is running?   ->  message, backtrace, abort
//!     |  on a checked shared stack that is put away?  ->  message, backtrace, abort
//!     +- anything else                                ->  the handler that was there before
//! ```
//!
//! The handlers are installed once for the process, when a thread first takes a stack, and pass on
//! what is not theirs: to std's handler, which reports overflows of threads, or to the program's.
//! One that the program installs later replaces them, and should pass on likewise. Each thread that
//! takes stacks gets an alternate signal stack, since there is no room on the one that overflowed.
//!
//! The message comes first, straight to descriptor 2, so that it appears whatever the overflow
//! interrupted. Naming the frames then needs memory and std's locks. If the overflow happened
//! inside malloc that can hang, so a SIGALRM ends it, with bare addresses in place of names.

use std::cell::Cell;
use std::fmt::{self, Write};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};
use std::sync::{Once, OnceLock};

use super::guard::say;
use super::registry::{Location, locate};
use crate::arch::backtrace::Addresses;
use crate::arch::symbols::Symbols;
use crate::sys::mmap::{self, Mapping};
use crate::sys::page_size;
use crate::sys::signal::{self, Action, AlternateStack, SignalMask};

/// Room for the signal frame (12 KiB with all of AVX-512 and AMX), std's naming of frames, and what
/// the handlers of others need. Untouched pages cost nothing.
const ALTERNATE_STACK_BYTES: usize = 256 << 10;

/// How long naming the frames may take: long for a large program on a slow machine.
const NAMING_SECONDS_MAX: u32 = 10;

/// The frames that are shown: those at the overflow and those at the root. In between a recursion
/// repeats itself.
const FRAMES_FIRST: usize = 32;
const FRAMES_LAST: usize = 16;

/// More frames are not walked: a gigabyte of small ones would take minutes.
const FRAMES_MAX: usize = 200_000;

/// The code of a fault at a page that is there but may not be accessed (SEGV_ACCERR, siginfo.h).
const ACCESS_DENIED: i32 = 2;

type Frames = Addresses<FRAMES_FIRST, FRAMES_LAST>;

/// Whose stack somebody wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The one that is running.
    Running,
    /// One that is put away.
    PutAway,
}

/// Writes who the coroutine is that a stack (its usable bytes) belongs to, such as `coroutine 7
/// 'parser'`. Called in a signal handler: it may read, and write to the given place, no more.
pub(crate) type Describe = fn(Whose, &Range<usize>, &mut dyn Write) -> fmt::Result;

static DESCRIBE: OnceLock<Describe> = OnceLock::new();

/// The actions of SIGSEGV and SIGBUS before ours.
static PREVIOUS: [OnceLock<Action>; 2] = [const { OnceLock::new() }; 2];

const SIGNALS: [i32; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Tells who can say whose stack is whose.
pub(crate) fn set_describe(describe: Describe) {
    // The first one stays; there is only one.
    let _ = DESCRIBE.set(describe);
}

/// Makes overflows of coroutines on this thread reported ones. Cheap after the first time.
pub(super) fn prepare_thread() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
            // SAFETY: the handler only reads, until it has decided to end the process.
            match unsafe { signal::install_handler(signal, on_fault, libc::SA_ONSTACK) } {
                Ok(action) => drop(previous.set(action)),
                Err(error) => say(format_args!("no handler for signal {signal}: {error}")),
            }
        }
    });
    // An error means that the thread is ending.
    let _ = ALTERNATE.try_with(|alternate| {
        if let Err(error) = alternate.set_up() {
            say(format_args!("no alternate signal stack, so overflows end in silence: {error}"));
        }
    });
}

thread_local! {
    static ALTERNATE: Alternate =
        const { Alternate { memory: Cell::new(None), outer: Cell::new(None) } };
}

/// The thread's alternate signal stack, if it is ours.
struct Alternate {
    memory: Cell<Option<Mapping>>,
    /// The one before.
    outer: Cell<Option<AlternateStack>>,
}

impl Alternate {
    fn set_up(&self) -> io::Result<()> {
        let outer = signal::alternate_stack()?;
        if outer.is_some_and(|outer| outer.bytes >= ALTERNATE_STACK_BYTES) {
            return Ok(());
        }
        let bytes = ALTERNATE_STACK_BYTES.max(2 * signal::alternate_stack_bytes_min());
        let memory = Mapping::reserve(page_size() + bytes)?;
        let guard = memory.base().as_ptr();
        // SAFETY: the first page of a mapping that is ours and not in use yet.
        unsafe {
            if mmap::supports_guard_install() {
                mmap::guard_install(guard, page_size())?;
            } else {
                mmap::protect_none(guard, page_size())?;
            }
        }
        let base = guard.wrapping_add(page_size());
        let stack = AlternateStack { base, bytes: memory.len() - page_size() };
        // SAFETY: nobody else uses the memory; it is kept until another stack is set, in `drop`.
        self.outer.set(unsafe { signal::set_alternate_stack(Some(stack))? });
        self.memory.set(Some(memory));
        Ok(())
    }
}

impl Drop for Alternate {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        let start = memory.base().as_ptr().addr();
        let ours = start..start + memory.len();
        match signal::alternate_stack() {
            // SAFETY: ours is still set, so whoever set the one before has not taken it away
            // meanwhile: std, for one, disables whatever is set before it frees its own.
            Ok(Some(stack)) if ours.contains(&stack.base.addr()) => unsafe {
                if signal::set_alternate_stack(self.outer.take()).is_err() {
                    std::mem::forget(memory);
                }
            },
            _ => {}
        }
    }
}

/// What a fault turned out to be.
enum Finding {
    Overflow(Location),
    PutAway(Location),
}

/// The handler of SIGSEGV and SIGBUS.
///
/// # Safety
/// Called by the kernel.
unsafe extern "C" fn on_fault(number: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the arguments are the kernel's.
    unsafe {
        if let Some(finding) = examine(info, context) {
            let pc = signal::interrupted(context).map_or(0, |at| at.pc);
            report(&finding, signal::fault_address(info), pc);
        }
        let previous = SIGNALS.iter().position(|own| *own == number).map(|at| PREVIOUS[at].get());
        match previous.flatten() {
            Some(previous) => signal::chain(previous, number, info, context),
            // Being installed at this moment: the fault repeats until that is over.
            None => std::thread::yield_now(),
        }
    }
}

/// # Safety
/// The arguments are what the kernel gave the handler.
unsafe fn examine(info: *mut libc::siginfo_t, context: *mut libc::c_void) -> Option<Finding> {
    // SAFETY: as the caller says. Codes above zero are those of faults; others were sent.
    let (code, address) = unsafe { ((*info).si_code, signal::fault_address(info)) };
    if code <= 0 {
        return None;
    }
    let location = locate(address)?;
    if !location.in_guard {
        return (code == ACCESS_DENIED).then_some(Finding::PutAway(location));
    }
    // SAFETY: the context is the kernel's, as the caller says. Where the stack pointer is not
    // known, any access to a guard counts.
    let running = unsafe { signal::interrupted(context) }.map(|at| locate(at.sp));
    let is_own =
        running.is_none_or(|running| running.is_some_and(|own| own.stack == location.stack));
    is_own.then_some(Finding::Overflow(location))
}

/// The thread that reports, or 0.
static REPORTER: AtomicI32 = AtomicI32::new(0);

/// Tells what happened and ends the process.
#[cold]
fn report(finding: &Finding, address: usize, pc: usize) -> ! {
    let me = crate::sys::thread::gettid();
    match REPORTER.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {}
        // The reporting itself failed.
        Err(reporter) if reporter == me => {
            let mut text = Text::new();
            let _ = writeln!(text, "      ... the stack cannot be walked any further");
            text.flush();
            signal::abort()
        }
        Err(_) => loop {
            std::thread::yield_now();
        },
    }
    let mut text = Text::new();
    // Text that does not fit is cut off.
    let _ = match finding {
        Finding::Overflow(location) => write_overflow(&mut text, &location.stack),
        Finding::PutAway(location) => write_put_away(&mut text, &location.stack, address),
    };
    text.flush();
    // A fault in what follows comes here again, and ends the process as the text says it will end;
    // one that is blocked would do so without a word. If it stays blocked, so be it.
    let _ = SIGNALS.iter().fold(SignalMask::empty(), |mask, one| mask.with(*one)).unblock();
    write_frames(pc);
    signal::abort()
}

fn describe(whose: Whose, stack: &Range<usize>, text: &mut Text) -> fmt::Result {
    match DESCRIBE.get() {
        Some(describe) => describe(whose, stack, text),
        None => text.write_str("a Coroutine"),
    }
}

fn write_overflow(text: &mut Text, stack: &Range<usize>) -> fmt::Result {
    text.write_str("\ncove: stack overflow in ")?;
    describe(Whose::Running, stack, text)?;
    writeln!(
        text,
        ": its {}-byte stack at {:#x}..{:#x} is used up. If it does not recurse without end, raise \
         the size with cove::task::Builder::stack_bytes (Coroutine::with_stack_bytes). Aborting.",
        stack.len(),
        stack.start,
        stack.end
    )
}

fn write_put_away(text: &mut Text, stack: &Range<usize>, address: usize) -> fmt::Result {
    write!(
        text,
        "\ncove: access to the stack of a coroutine on a shared stack while it does not run: \
         address {address:#x} belongs to "
    )?;
    describe(Whose::PutAway, stack, text)?;
    writeln!(
        text,
        ". Something points to its local variables while it waits; see \
         cove::task::Builder::spawn_on_shared_stack. Aborting."
    )
}

/// The frames of the report, for the alarm.
static FRAMES: AtomicPtr<Frames> = AtomicPtr::new(std::ptr::null_mut());

/// Writes a backtrace from `pc` on.
fn write_frames(pc: usize) {
    let mut frames = Frames::EMPTY;
    frames.collect_after(pc.wrapping_add(1), FRAMES_MAX);
    if frames.first().is_empty() {
        frames.push(pc.wrapping_add(1));
    }
    FRAMES.store(&raw mut frames, Ordering::Release);
    // SAFETY: the handler ends the process.
    let alarm = unsafe { signal::install_handler(libc::SIGALRM, on_alarm, libc::SA_ONSTACK) };
    if alarm.is_ok() && SignalMask::empty().with(libc::SIGALRM).unblock().is_ok() {
        signal::alarm(NAMING_SECONDS_MAX);
    }
    let mut symbols = Symbols::new();
    let mut number = 0;
    for pc in frames.first() {
        write_frame(&mut number, *pc, &mut symbols);
    }
    if frames.left_out() > 0 {
        let mut text = Text::new();
        let _ = writeln!(text, "      ... {} frames ...", frames.left_out());
        text.flush();
        number += frames.left_out();
    }
    for pc in frames.last() {
        write_frame(&mut number, pc, &mut symbols);
    }
}

fn write_frame(number: &mut usize, pc: usize, symbols: &mut Symbols) {
    let mut text = Text::new();
    let found = symbols.resolve(pc);
    if found.is_empty() {
        let _ = writeln!(text, "{number:4}: {pc:#x}");
    }
    for symbol in found.iter() {
        let _ = writeln!(text, "{number:4}: {}", symbol.function);
        if let (Some(file), Some(line)) = (&symbol.file, symbol.line) {
            let _ = writeln!(text, "             at {file}:{line}");
        }
    }
    text.flush();
    *number += 1;
}

/// Ends a report that hangs.
///
/// # Safety
/// Called by the kernel.
unsafe extern "C" fn on_alarm(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let reporter = REPORTER.load(Ordering::Relaxed);
    if reporter != crate::sys::thread::gettid() {
        // The kernel may choose any thread. This one may have little room on its alternate stack.
        let _ = crate::sys::thread::tgkill(reporter, libc::SIGALRM);
        return;
    }
    signal::write_stderr(b"cove: naming the frames hangs. Their return addresses:\n");
    // SAFETY: null, or frames that were complete when they were published, on a stack that is never
    // left.
    if let Some(frames) = unsafe { FRAMES.load(Ordering::Acquire).as_ref() } {
        for pc in frames.first().iter().copied().chain(frames.last()) {
            let mut text = Text::new();
            let _ = writeln!(text, "      {pc:#x}");
            text.flush();
        }
    }
    signal::abort()
}

/// Ends the process because a stack's canary is gone, noticed when its coroutine stopped.
#[cold]
pub(crate) fn abort_for_canary(stack: Range<usize>) -> ! {
    let mut text = Text::new();
    let _ = write_overflow(&mut text, &stack);
    let _ = writeln!(text, "cove: noticed by the canary below it, after the fact.");
    text.flush();
    signal::abort()
}

/// Text for standard error, put together without memory.
pub(crate) struct Text {
    bytes: [u8; 1024],
    len: usize,
}

impl Text {
    /// No text.
    pub(crate) fn new() -> Text {
        Text { bytes: [0; 1024], len: 0 }
    }

    /// Writes it out.
    pub(crate) fn flush(&mut self) {
        signal::write_stderr(&self.bytes[..self.len]);
        self.len = 0;
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fitting = text.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + fitting].copy_from_slice(&text.as_bytes()[..fitting]);
        self.len += fitting;
        if fitting == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
