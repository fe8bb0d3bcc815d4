//! The calling thread: who it is, where it runs, where its stack lies.

use super::cvt;
use std::io;
use std::thread::available_parallelism;

/// The kernel's number of the calling thread.
pub(crate) fn gettid() -> libc::pid_t {
    // SAFETY: no memory of ours is involved. By number, since glibc has the name from 2.30 on only.
    // A thread id fits a pid_t by definition.
    unsafe { libc::syscall(libc::SYS_gettid) as libc::pid_t }
}

/// Sends `signal` to the thread `tid` of this process; signal 0 only asks whether it exists.
///
/// # Errors
/// ESRCH: no such thread in this process. EINVAL: no such signal.
pub(crate) fn tgkill(tid: libc::pid_t, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: no memory of ours is involved; naming the process keeps a reused id from being hit.
    cvt(unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, signal) }).map(drop)
}

/// Lets the calling thread run on processor `cpu` alone.
///
/// # Errors
/// EINVAL: no such processor, or not one of this process's.
pub(crate) fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: cpu_set_t is integers only, for which zeroes are valid (the empty set).
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` is below CPU_SETSIZE, so its bit lies within the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is readable for its size; 0 is the calling thread.
    cvt(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) }).map(drop)
}

/// A set of processors.
#[derive(Clone, Copy)]
pub(crate) struct CpuSet(libc::cpu_set_t);

impl CpuSet {
    /// The processors that the calling thread may use.
    ///
    /// # Errors
    /// EINVAL: the machine has more than 1024.
    pub(crate) fn of_this_thread() -> io::Result<CpuSet> {
        // SAFETY: cpu_set_t is integers only, for which zeroes are valid (the empty set).
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: `set` is writable for its size; 0 is the calling thread.
        cvt(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) })?;
        Ok(CpuSet(set))
    }

    /// Lets the calling thread run on these processors alone.
    ///
    /// # Errors
    /// EINVAL: none of them may be used any more.
    pub(crate) fn apply(&self) -> io::Result<()> {
        // SAFETY: the set is readable for its size; 0 is the calling thread.
        cvt(unsafe { libc::sched_setaffinity(0, size_of_val(&self.0), &raw const self.0) })
            .map(drop)
    }

    /// The processors' numbers, lowest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        // SAFETY: every number is below CPU_SETSIZE, so its bit lies within the set.
        (0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &self.0) })
    }
}

/// How many threads can run at once: processors that this thread may use, within the control
/// group's quota. At least one.
pub(crate) fn cpu_count() -> usize {
    // An error means that the kernel does not tell, and one processor there always is.
    available_parallelism().map_or(1, usize::from)
}

/// Where the calling thread's errno lies. Constant for the life of the thread, and no other
/// thread's.
///
/// A coroutine switch must ask anew where a thread pointer may have been swapped.
pub(crate) fn errno_location() -> *mut i32 {
    // SAFETY: it returns an address and has no precondition.
    unsafe { libc::__errno_location() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os_error<T>(result: io::Result<T>) -> Option<i32> {
        result.err().and_then(|error| error.raw_os_error())
    }

    #[test]
    fn every_thread_has_its_own_id_and_errno() {
        // Goal: both are per thread. Method: compare with another thread's while that one lives.
        let here = (gettid(), errno_location().addr());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_ne!(gettid(), here.0);
                assert_ne!(errno_location().addr(), here.1);
                tgkill(here.0, 0).expect("the first thread exists");
            });
        });
        assert_eq!((gettid(), errno_location().addr()), here);
    }

    #[test]
    fn errno_is_where_the_location_says() {
        // Goal: the location is the one that calls write to. Method: fail a call, then write
        // through it. SAFETY: -1 is never open, so nothing is closed.
        assert_eq!(unsafe { libc::close(-1) }, -1);
        // SAFETY: errno's address is valid for this thread.
        assert_eq!(unsafe { *errno_location() }, libc::EBADF);
        // SAFETY: the place is this thread's own, of type int, and live while the thread runs.
        unsafe { *errno_location() = libc::ENODATA };
        assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::ENODATA));
    }

    #[test]
    fn signals_to_nobody_are_errors() {
        // Goal: no silent loss. Method: an id above the kernel's maximum, and a number above the
        // last.
        assert_eq!(os_error(tgkill(i32::MAX, 0)), Some(libc::ESRCH));
        assert_eq!(os_error(tgkill(gettid(), 1000)), Some(libc::EINVAL));
    }

    #[test]
    fn pinned_thread_runs_where_it_was_told() {
        // Goal: the affinity takes effect at once. Method: a thread of its own, pinned to where it
        // is.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // SAFETY: no memory of ours is involved.
                let cpu = cvt(unsafe { libc::sched_getcpu() }).expect("a processor") as usize;
                pin_to_cpu(cpu).expect("a processor of ours");
                // SAFETY: sched_getcpu(3) takes no argument and touches no memory of ours.
                let now = cvt(unsafe { libc::sched_getcpu() }).expect("a processor") as usize;
                assert_eq!(now, cpu);
                assert_eq!(cpu_count(), 1);
            });
        });
        assert!(cpu_count() >= 1);
        assert_eq!(os_error(pin_to_cpu(usize::MAX)), Some(libc::EINVAL));
    }
}
