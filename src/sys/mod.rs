//! Layer 0: the only place of the library that calls the operating system.
//!
//! Everything above speaks in `io::Result`, owned descriptors and nanoseconds; everything below
//! speaks in `-1` and `errno`. The two meet here, and only here:
//!
//! - A result of `-1` becomes an [`io::Error`] once, in [`cvt`].
//! - EINTR reaches the caller unless a function's own comment says that it retries.
//! - Every descriptor made here is close-on-exec from its first moment.
//! - Calls that a hook library may replace (`read`, `poll`, ...) go through [`real`], so that the
//!   runtime never re-enters its own hooks.
//!
//! Nothing here knows of coroutines, and nothing here parks.

mod address;
pub(crate) mod checkers;
pub(crate) mod clock;
pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod file;
pub(crate) mod limits;
pub(crate) mod membarrier;
pub(crate) mod mmap;
pub(crate) mod process;
pub(crate) mod real;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod thread;
pub(crate) mod unwind;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Turns the kernel's convention (`-1`, with the reason in errno) into a `Result`.
///
/// Call it on the result directly: anything in between could overwrite errno.
pub(crate) fn cvt<T: From<i8> + PartialEq>(result: T) -> io::Result<T> {
    if result == T::from(-1) { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Like [`cvt`] for calls whose success is a count of bytes or items.
pub(crate) fn cvt_count(result: isize) -> io::Result<usize> {
    debug_assert!(result >= -1, "a count below -1 is no result of a system call");
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Like [`cvt`] for calls that return the error number itself (the pthread family).
pub(crate) fn cvt_number(error: i32) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// The size of a page in bytes; a power of two, constant for the life of the process.
pub(crate) fn page_size() -> usize {
    /// Zero until asked. Racing first callers store the same value.
    static PAGE_BYTES: AtomicUsize = AtomicUsize::new(0);
    let cached = PAGE_BYTES.load(Ordering::Relaxed);
    if cached != 0 {
        return cached;
    }
    // SAFETY: sysconf reads a constant and touches no memory of ours.
    let asked = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let bytes = usize::try_from(asked).unwrap_or(0);
    assert!(bytes.is_power_of_two(), "sysconf(_SC_PAGESIZE) returned {asked}");
    PAGE_BYTES.store(bytes, Ordering::Relaxed);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_one_becomes_the_error_of_errno() {
        // Goal: errno is read once, by the conversion. Method: close a descriptor that cannot
        // exist. SAFETY: -1 is never an open descriptor, so nothing is closed.
        let closed = cvt(unsafe { libc::close(-1) });
        assert_eq!(closed.map_err(|e| e.raw_os_error()), Err(Some(libc::EBADF)));
        assert_eq!(cvt(7_i32).ok(), Some(7));
        assert_eq!(cvt_count(7).ok(), Some(7));
        assert!(cvt_count(-1).is_err());
        let busy = cvt_number(libc::EBUSY).map_err(|e| e.raw_os_error());
        assert_eq!(busy, Err(Some(libc::EBUSY)));
    }

    #[test]
    fn page_size_is_stable_and_a_power_of_two() {
        // Goal: the cached value is the first one. Method: ask twice.
        let first = page_size();
        assert!(first >= 4096 && first.is_power_of_two());
        assert_eq!(page_size(), first);
    }
}
