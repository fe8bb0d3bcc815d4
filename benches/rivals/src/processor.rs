//! The processor that a child runs on, and the limit of its descriptors.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The processors that this process may use.
pub(crate) fn allowed() -> io::Result<Vec<usize>> {
    // SAFETY: all zeroes is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most the given size.
    let status = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    check(status)?;
    // SAFETY: the number is below the size of the set.
    Ok((0..libc::CPU_SETSIZE as usize)
        .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) })
        .collect())
}

/// Keeps the calling thread, and what it starts, on these processors.
pub(crate) fn pin(processors: &[usize]) -> io::Result<()> {
    // SAFETY: all zeroes is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for processor in processors {
        // SAFETY: CPU_SET checks the number against the size of the set.
        unsafe { libc::CPU_SET(*processor, &mut set) };
    }
    // SAFETY: the kernel reads the set.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })
}

/// No work takes half of this; one that hangs is ended.
const CHILD_SECONDS_MAX: u32 = 300;

/// Has the command's process pinned before it starts, and killed when this thread ends, or in the
/// end.
pub(crate) fn pinned(command: &mut Command, processor: usize) {
    let set_up = move || {
        pin(&[processor])?;
        // SAFETY: has no arguments in memory; the alarm outlives the exec, alarm(2).
        unsafe { libc::alarm(CHILD_SECONDS_MAX) };
        // SAFETY: has no arguments in memory.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
    };
    // SAFETY: three system calls and no allocation, which is all that is allowed after fork.
    unsafe { command.pre_exec(set_up) };
}

/// Raises the soft limit of open descriptors to the hard one.
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes the structure.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel reads the structure.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })
}

/// The error of a system call that returned -1.
pub(crate) fn check(status: libc::c_int) -> io::Result<()> {
    if status == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
