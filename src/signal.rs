//! Waiting for signals that are sent to the process.
//!
//! ```text
//!   handler:  RECEIVED[signal] += 1, rings BELL, calls the handler that was there before
//!                                      |
//!                      +---------------+---------------+   an edge in the epoll instance of every
//!                      v                               v   runtime that waits
//!   Signals of one runtime: compares RECEIVED     Signals of another one
//! ```
//!
//! So every [`Signals`] of every runtime hears of every signal. The bell, an eventfd, is never
//! drained and never closed: each ring is a new edge nevertheless, and each `Signals` waits by a
//! duplicate of its own. The handler touches atomics, reads one pointer and writes to the bell; it
//! allocates nothing and takes no lock (signal-safety(7)).
//!
//! # State of the process
//! A signal's action belongs to the whole process. The first use of a signal here installs a
//! handler for it, which stays until the process ends: from then on the signal does not end the
//! process any more, whether somebody waits for it or not: a second Ctrl-C after the wait for the
//! first one is swallowed, unless somebody waits again. A handler that was there before is
//! called as well, after ours; the default action and "ignore" are replaced. A handler that
//! somebody else installs later replaces ours, unless it calls it in turn. Handlers run on the
//! thread's alternate stack, if it has one, since coroutines' stacks are small, and interrupted
//! system calls go on (`SA_RESTART`).
//!
//! After fork(2), the child counts its own signals; a new program after execve(2) finds the
//! default actions.

use crate::scheduler::Scheduler;
use crate::scheduler::readiness::{Direction, Registration};
use crate::scheduler::wait::NEVER;
use crate::sys;
use crate::sys::epoll::{Epoll, Event, Interest};
use crate::sys::eventfd::EventFd;
use crate::sys::signal::Action;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::{fmt, io, ptr};

/// The largest number of a signal on Linux is 64.
const SIGNALS: usize = 65;

/// How often each signal was received since its handler was installed. Handlers add.
static RECEIVED: [AtomicU64; SIGNALS] = [const { AtomicU64::new(0) }; SIGNALS];

/// The action of each signal before ours, leaked; null while ours is not installed. Handlers read.
static PREVIOUS: [AtomicPtr<Action>; SIGNALS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; SIGNALS];

/// Rung by the handlers.
static BELL: OnceLock<EventFd> = OnceLock::new();

/// Held while a handler is installed.
static INSTALLING: Mutex<()> = Mutex::new(());

/// A kind of signal.
///
/// ```
/// use cove::signal::{SIGHUP, Signal};
/// fn tell(signal: Signal) -> String {
///     match signal {
///         SIGHUP => "the configuration is read again".into(),
///         other => format!("ended by {other}"),
///     }
/// }
/// assert_eq!(tell(cove::signal::SIGTERM), "ended by SIGTERM");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(i32);

/// Declares the signals by which processes are usually told something.
macro_rules! signals {
    ($($name:ident: $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            ///
            /// ```
            #[doc = concat!("let name = \"", stringify!($name), "\";")]
            #[doc = concat!("assert_eq!(cove::signal::", stringify!($name), ".to_string(), name);")]
            /// ```
            pub const $name: Signal = Signal(libc::$name);
        )*

        /// Numbers and names.
        const NAMES: &[(i32, &str)] = &[$((libc::$name, stringify!($name))),*];
    };
}

signals! {
    SIGALRM: "A timer of alarm(2) has run out.";
    SIGCHLD: "A child process has stopped or ended.";
    SIGCONT: "Go on after a stop.";
    SIGHUP: "The terminal is gone; for servers: read the configuration again.";
    SIGINT: "Ctrl-C at the terminal.";
    SIGIO: "Input or output is possible (fcntl(2), O_ASYNC).";
    SIGPIPE: "A write to a pipe that nobody reads.";
    SIGQUIT: "Ctrl-\\ at the terminal.";
    SIGTERM: "End, please.";
    SIGTSTP: "Ctrl-Z at the terminal.";
    SIGURG: "Urgent data at a socket.";
    SIGUSR1: "The program's own.";
    SIGUSR2: "The program's own.";
    SIGWINCH: "The terminal's window has another size.";
}

impl Signal {
    /// The signal of this number: for one that has no constant here, a real-time signal, say.
    /// Whether there is such a signal is looked at when somebody waits for it.
    ///
    /// ```
    /// use cove::signal::{SIGINT, Signal};
    /// assert_eq!(Signal::from_number(2), SIGINT);
    /// assert_eq!(Signal::from_number(40).to_string(), "signal 40"); // A real-time signal.
    /// ```
    pub const fn from_number(number: i32) -> Signal {
        Signal(number)
    }

    /// The system's number.
    ///
    /// ```
    /// assert_eq!(cove::signal::SIGTERM.number(), 15);
    /// ```
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Waits for the next SIGINT: Ctrl-C. From the first call on, SIGINT does not end the process.
///
/// A SIGINT between two calls is not noticed; [`Signals`] misses none. So when a program shuts down
/// after this has returned, a second Ctrl-C, by which an impatient user would end it, does nothing.
/// Who wants to obey it waits again meanwhile:
///
/// ```no_run
/// use cove::signal::{SIGINT, Signals};
/// cove::run(|| {
///     let mut interrupts = Signals::new(&[SIGINT])?;
///     interrupts.recv()?;
///     cove::spawn(move || {
///         if interrupts.recv().is_ok() {
///             std::process::exit(130); // 128 + SIGINT: what a shell reports
///         }
///     });
///     println!("shutting down; Ctrl-C once more ends at once");
///     Ok::<(), std::io::Error>(())
/// });
/// ```
///
/// Where one will do:
///
/// ```no_run
/// cove::run(|| {
///     cove::signal::ctrl_c()?;
///     println!("shutting down");
///     Ok::<(), std::io::Error>(())
/// });
/// ```
///
/// # Errors
/// As [`wait`].
pub fn ctrl_c() -> io::Result<()> {
    wait(&[SIGINT]).map(drop)
}

/// Waits for the next of `signals` from now on, and tells which came.
///
/// ```no_run
/// use cove::signal::{SIGINT, SIGTERM, wait};
/// # fn main() -> std::io::Result<()> {
/// let signal = cove::run(|| wait(&[SIGINT, SIGTERM]))?;
/// println!("ended by {signal}");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Signals::new`] and [`Signals::recv`].
pub fn wait(signals: &[Signal]) -> io::Result<Signal> {
    Signals::new(signals)?.recv()
}

/// The signals of some kinds from its making on.
///
/// Signals of one kind that come before the next [`recv`](Self::recv) count as one, as they do in
/// the kernel.
///
/// ```
/// use cove::signal::{SIGUSR1, SIGUSR2, Signals};
/// cove::run(|| {
///     let mut signals = Signals::new(&[SIGUSR1, SIGUSR2])?;
///     assert_eq!(signals.try_recv(), None);
///     # // SAFETY: there is a handler now.
///     # unsafe { libc::raise(libc::SIGUSR2) };
///     // Somebody sends SIGUSR2:
///     assert_eq!(signals.recv()?, SIGUSR2);
///     Ok::<(), std::io::Error>(())
/// }).unwrap();
/// ```
pub struct Signals {
    /// Each kind, and how many of it have been taken note of.
    seen: Vec<(Signal, u64)>,
    registration: Registration,
    /// A duplicate of the bell.
    bell: OwnedFd,
}

impl Signals {
    /// Installs handlers for `signals` where there are none yet, and takes note from now on.
    ///
    /// ```
    /// use cove::signal::{SIGTERM, SIGUSR1, Signal, Signals};
    /// let signals = Signals::new(&[SIGTERM, SIGUSR1])?;
    /// let refused = Signals::new(&[Signal::from_number(9)]).unwrap_err(); // SIGKILL
    /// assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for what is no signal, cannot be handled (SIGKILL, SIGSTOP), or is the fault
    /// of an instruction (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS), and for no signals at
    /// all; EMFILE and its kin if there is no descriptor left.
    pub fn new(signals: &[Signal]) -> io::Result<Signals> {
        if signals.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no signal to wait for"));
        }
        let bell = match BELL.get() {
            Some(bell) => bell,
            None => {
                sys::real::resolve_all();
                let bell = EventFd::new()?;
                BELL.get_or_init(|| bell)
            }
        };
        signals.iter().try_for_each(|signal| install(*signal))?;
        let count = |signal: &Signal| (*signal, received(*signal).load(Ordering::Acquire));
        let seen = signals.iter().map(count).collect();
        // SAFETY: the bell is never closed.
        let bell = unsafe { BorrowedFd::borrow_raw(bell.as_raw_fd()) }.try_clone_to_owned()?;
        Ok(Signals { seen, registration: Registration::new(), bell })
    }

    /// Waits for a signal that has not been taken note of, and tells which it is. Outside a runtime
    /// the thread waits.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::signal::{SIGUSR1, Signals};
    /// let mut signals = Signals::new(&[SIGUSR1])?;
    /// # // SAFETY: there is a handler now.
    /// # unsafe { libc::raise(libc::SIGUSR1) };
    /// // Somebody sends SIGUSR1:
    /// assert_eq!(signals.recv()?, SIGUSR1);
    /// let wait = std::time::Duration::from_millis(1);
    /// assert!(cove::time::timeout(wait, || signals.recv()).unwrap().is_err()); // None since.
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `TimedOut` when the enclosing deadline scope ends; the system's reason if the bell cannot be
    /// watched.
    pub fn recv(&mut self) -> io::Result<Signal> {
        let in_task = Scheduler::current().is_some_and(|scheduler| !scheduler.is_in_loop());
        if !in_task {
            return self.recv_on_thread();
        }
        let Signals { seen, registration, bell } = self;
        registration.run(
            bell.as_raw_fd(),
            Direction::Read,
            || NEVER,
            || take(seen).ok_or_else(|| io::ErrorKind::WouldBlock.into()),
        )
    }

    /// A signal that has not been taken note of, if there is one.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::signal::{SIGUSR1, Signals};
    /// let mut signals = Signals::new(&[SIGUSR1])?;
    /// # // SAFETY: there is a handler now.
    /// # unsafe { libc::raise(libc::SIGUSR1) };
    /// // Somebody sends SIGUSR1:
    /// assert_eq!(signals.try_recv(), Some(SIGUSR1));
    /// assert_eq!(signals.try_recv(), None);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    pub fn try_recv(&mut self) -> Option<Signal> {
        take(&mut self.seen)
    }

    #[cold]
    fn recv_on_thread(&mut self) -> io::Result<Signal> {
        // By edges, since the bell is rung for ever.
        let epoll = Epoll::new()?;
        epoll.add(self.bell.as_raw_fd(), Interest::READABLE | Interest::EDGE, 0)?;
        loop {
            if let Some(signal) = self.try_recv() {
                return Ok(signal);
            }
            epoll.wait(&mut [Event::EMPTY], None)?;
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // The bell is open still, so closing its duplicate does not end the kernel's watch.
        self.registration.leave();
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.seen.iter().map(|(signal, _)| signal)).finish()
    }
}

fn received(signal: Signal) -> &'static AtomicU64 {
    &RECEIVED[signal.0 as usize]
}

/// The first signal whose count has changed.
fn take(seen: &mut [(Signal, u64)]) -> Option<Signal> {
    seen.iter_mut().find_map(|(signal, seen)| {
        let now = received(*signal).load(Ordering::Acquire);
        (std::mem::replace(seen, now) != now).then_some(*signal)
    })
}

/// Installs the handler of `signal`, if it is not.
fn install(signal: Signal) -> io::Result<()> {
    const FAULTS: [i32; 6] =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];
    let refused = [libc::SIGKILL, libc::SIGSTOP].contains(&signal.0) || FAULTS.contains(&signal.0);
    if refused || !(1..SIGNALS as i32).contains(&signal.0) {
        let reason = format!("{signal} cannot be waited for");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let slot = &PREVIOUS[signal.0 as usize];
    if !slot.load(Ordering::Acquire).is_null() {
        return Ok(());
    }
    // Known before the first signal can come.
    let previous = Box::into_raw(Box::new(sys::signal::action_of(signal.0)?));
    slot.store(previous, Ordering::Release);
    // SAFETY: the handler is async-signal-safe, and touches nothing of the interrupted thread but
    // errno, which it puts back.
    let installed = unsafe {
        sys::signal::install_handler(signal.0, handle, libc::SA_ONSTACK | libc::SA_RESTART)
    };
    if let Err(error) = installed {
        slot.store(ptr::null_mut(), Ordering::Release);
        // SAFETY: made above; without the handler nobody has read it.
        drop(unsafe { Box::from_raw(previous) });
        return Err(error);
    }
    Ok(())
}

/// # Safety
/// The arguments are the kernel's.
unsafe extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let errno = sys::thread::errno_location();
    // SAFETY: errno's place is the thread's own.
    let before = unsafe { *errno };
    received(Signal(signal)).fetch_add(1, Ordering::Release);
    if let Some(bell) = BELL.get() {
        // eventfd(2) lists no reason why it could fail, and nobody could be told.
        let _ = bell.ring();
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

#[cfg(test)]
mod tests;
