//! Why a stack could not be had, in words that say what to do about it.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use super::guard::map_count_max;
use super::{STACK_BYTES_MAX, STACK_BYTES_MIN};
use crate::sys::{limits, page_size};

/// Allocators and the kernel round up what they are asked for, by less than this.
const ROUNDING_BYTES: u64 = 1 << 20;

/// A stack could not be had. Its message names the limit that was hit, its value, and how to raise
/// it.
///
/// Converts into an [`io::Error`] of kind [`io::ErrorKind::OutOfMemory`] (of kind
/// [`io::ErrorKind::InvalidInput`] for [`StackError::Size`]).
///
/// ```
/// use cove::{StackError, coroutine::Coroutine};
/// let made = Coroutine::<(), (), ()>::with_stack_bytes(2 << 30, |_, ()| ());
/// let error = made.unwrap_err();
/// assert_eq!(error, StackError::Size { bytes: 2 << 30 });
/// assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::InvalidInput);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StackError {
    /// The size asked for is above 1 GiB.
    Size {
        /// What was asked for.
        bytes: usize,
    },
    /// The limit on the process's address space (`RLIMIT_AS`) leaves no room.
    AddressSpace {
        /// What one more stack needs, its guard included.
        bytes: usize,
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// The process has as many mappings as `vm.max_map_count` allows.
    Mappings {
        /// What one more stack needs, its guard included.
        bytes: usize,
        /// The limit, a number of mappings.
        limit: usize,
    },
    /// The kernel has no memory for it, or may not promise any more.
    Memory {
        /// What was to be allocated.
        bytes: usize,
    },
}

impl StackError {
    /// Finds out which limit made mapping `bytes` fail with `error`.
    ///
    /// Allocates nothing, since memory may be what is missing.
    pub(crate) fn diagnose(bytes: usize, error: &io::Error) -> StackError {
        if error.kind() != io::ErrorKind::OutOfMemory {
            return StackError::Memory { bytes };
        }
        let used_bytes = address_space_used_bytes();
        match limits::address_space() {
            Ok(Some(limit_bytes))
                if used_bytes.saturating_add(bytes as u64 + ROUNDING_BYTES) > limit_bytes =>
            {
                return StackError::AddressSpace { bytes, limit_bytes };
            }
            _ => {}
        }
        let limit = map_count_max();
        // A mapping more, and one to spare: the kernel may need another for a moment to split one.
        if limits::map_count().is_ok_and(|count| count + 2 >= limit) {
            return StackError::Mappings { bytes, limit };
        }
        StackError::Memory { bytes }
    }
}

impl StackError {
    /// Writes the message for memory that was wanted for `what`, of which one needs less by
    /// `remedy`.
    pub(crate) fn describe(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        remedy: &str,
    ) -> fmt::Result {
        match *self {
            StackError::Size { bytes } => write!(
                f,
                "no stack of {bytes} bytes: sizes are {STACK_BYTES_MIN} to {STACK_BYTES_MAX} bytes"
            ),
            StackError::AddressSpace { bytes, limit_bytes } => write!(
                f,
                "no room for {what}, {bytes} bytes: the address space limit (ulimit -v, \
                 RLIMIT_AS) is {limit_bytes} bytes; raise it with `prlimit --as=BYTES --pid={}`, \
                 or {remedy}",
                std::process::id()
            ),
            StackError::Mappings { bytes, limit } => write!(
                f,
                "no mapping left for {what}, {bytes} bytes: the limit vm.max_map_count is \
                 {limit}; raise it with `sysctl vm.max_map_count={}`",
                limit.saturating_mul(2)
            ),
            StackError::Memory { bytes } => write!(
                f,
                "no memory for {what}: the kernel refused {bytes} bytes; free memory, allow \
                 overcommitment with `sysctl vm.overcommit_memory=0`, or {remedy}"
            ),
        }
    }
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f, "a stack", "use fewer or smaller stacks")
    }
}

impl Error for StackError {}

impl From<StackError> for io::Error {
    fn from(error: StackError) -> io::Error {
        let kind = match error {
            StackError::Size { .. } => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::OutOfMemory,
        };
        io::Error::new(kind, error)
    }
}

/// The address space that the process has mapped: the first number in /proc/self/statm, in pages
/// (proc(5)). Not known is taken for "all of it", so that the limit is named if there is one.
fn address_space_used_bytes() -> u64 {
    let mut line = [0_u8; 128];
    let pages = File::open("/proc/self/statm")
        .and_then(|mut file| file.read(&mut line))
        .ok()
        .and_then(|_| line.split(|byte| *byte == b' ').next())
        .and_then(|number| std::str::from_utf8(number).ok())
        .and_then(|number| number.parse::<u64>().ok());
    pages.map_or(u64::MAX, |pages| pages.saturating_mul(page_size() as u64))
}
