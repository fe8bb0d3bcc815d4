//! The process as a whole: what happens around fork(2).
//!
//! A forked child has one thread, shares its parent's epoll instance and eventfd, and must rebuild
//! what it keeps of a runtime. It learns of its birth from the functions registered here.

use super::{cvt, cvt_number};
use std::io;
use std::os::fd::RawFd;

/// Registers what fork(2) calls in the forking thread: `prepare` before, `parent` after in the
/// parent, `child` after in the child. Registrations last as long as the process, and are
/// inherited.
///
/// Not called by vfork, posix_spawn and the raw system call.
///
/// # Safety
/// `child` calls only what is async-signal-safe, since the other threads are gone with their locks
/// held. None of them unwinds.
///
/// # Errors
/// ENOMEM.
pub(crate) unsafe fn at_fork(
    prepare: Option<unsafe extern "C" fn()>,
    parent: Option<unsafe extern "C" fn()>,
    child: Option<unsafe extern "C" fn()>,
) -> io::Result<()> {
    // SAFETY: what the functions may do is the caller's promise.
    cvt_number(unsafe { libc::pthread_atfork(prepare, parent, child) })
}

/// Makes the number `fd` stand for a descriptor that `make` makes, and no longer for what it was.
/// Close-on-exec. Async-signal-safe if `make` is: hence the system call instead of a function that
/// may have to be looked up first.
///
/// # Errors
/// Those of `make`; then the number stands for nothing, or for what it was.
pub(super) fn replace(fd: RawFd, make: impl Fn() -> RawFd) -> io::Result<()> {
    let made = match cvt(make()) {
        // No number left: give this one up first.
        Err(error) if error.raw_os_error() == Some(libc::EMFILE) => {
            // SAFETY: the number is the caller's, and it stands for something again below.
            unsafe { libc::syscall(libc::SYS_close, fd) };
            cvt(make())?
        }
        made => made?,
    };
    if made == fd {
        return Ok(());
    }
    // SAFETY: both numbers are ours: the one was made just now, the other is the caller's.
    unsafe {
        let moved = cvt(libc::dup3(made, fd, libc::O_CLOEXEC));
        libc::syscall(libc::SYS_close, made);
        moved.map(drop)
    }
}

/// How a forked child of a test ended.
#[cfg(test)]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// Runs `body` in a forked child and waits for its end; what it returns is the child's exit status.
///
/// The body calls only what is async-signal-safe, or made for fork as malloc is: no assertions, no
/// locks. It has no descriptors but the standard three, lest it keep other tests' sockets open.
#[cfg(test)]
pub(crate) fn in_child(body: impl FnOnce() -> i32) -> Ended {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    // SAFETY: the child runs nothing but `body`, which is async-signal-safe, and _exit.
    match unsafe { fork() }.expect("a child") {
        ForkResult::Child => {
            let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: the limit is readable; no owner of a descriptor is dropped in this process,
            // since _exit ends it without running the parent's destructors.
            unsafe {
                libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
                libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core);
                libc::_exit(body())
            }
        }
        ForkResult::Parent { child } => match waitpid(child, None).expect("the child's end") {
            WaitStatus::Exited(_, status) => Ended::Exited(status),
            WaitStatus::Signaled(_, signal, _) => Ended::Killed(signal as i32),
            other => panic!("the child neither exited nor was killed: {other:?}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI32, Ordering};

    static CALLED: AtomicI32 = AtomicI32::new(0);

    unsafe extern "C" fn prepare() {
        CALLED.fetch_or(1, Ordering::Relaxed);
    }

    unsafe extern "C" fn parent() {
        CALLED.fetch_or(2, Ordering::Relaxed);
    }

    unsafe extern "C" fn child() {
        CALLED.fetch_or(4, Ordering::Relaxed);
    }

    #[test]
    fn fork_calls_each_function_on_its_side() {
        // Goal: prepare before the split, the others after it. Method: the child returns the bits
        // that it sees; the parent's bit may be there from another test's fork, but the child's
        // never reaches the parent. SAFETY: each sets bits of an atomic.
        unsafe { at_fork(Some(prepare), Some(parent), Some(child)) }.expect("registered");
        let Ended::Exited(seen) = in_child(|| CALLED.load(Ordering::Relaxed)) else {
            panic!("the child was killed");
        };
        assert_eq!(seen & 5, 5);
        assert_eq!(CALLED.load(Ordering::Relaxed), 3);
    }
}
