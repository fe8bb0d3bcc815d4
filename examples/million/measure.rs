//! What the process costs, as the kernel tells it.
//!
//! | figure | source |
//! |---|---|
//! | resident memory | `VmRSS` in /proc/self/status |
//! | page tables | `VmPTE` there: all levels, the entries that mark guards included |
//! | other memory of the kernel | `SUnreclaim` and `KernelStack` in /proc/meminfo |
//! | peak | `VmHWM` in /proc/self/status |
//! | mappings | lines of /proc/self/maps |
//! | time | of the processor, by getrusage(2), so that other programs do not disturb it |
//!
//! The kernel keeps no account of its other memory by process. The figure is that of the whole
//! machine, so what other programs do meanwhile adds to it or hides it; it is never counted as less
//! than nothing.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use std::fs;
use std::io;

/// What memory is used for at one moment, in bytes.
pub(crate) struct Memory {
    pub(crate) rss_bytes: i64,
    pub(crate) page_table_bytes: i64,
    pub(crate) kernel_bytes: i64,
    pub(crate) peak_rss_bytes: i64,
    pub(crate) mappings: usize,
}

impl Memory {
    /// Looks.
    pub(crate) fn now() -> io::Result<Memory> {
        let status = fs::read_to_string("/proc/self/status")?;
        let machine = fs::read_to_string("/proc/meminfo")?;
        Ok(Memory {
            rss_bytes: bytes(&status, "VmRSS:")?,
            page_table_bytes: bytes(&status, "VmPTE:")?,
            kernel_bytes: bytes(&machine, "SUnreclaim:")? + bytes(&machine, "KernelStack:")?,
            peak_rss_bytes: bytes(&status, "VmHWM:")?,
            mappings: fs::read_to_string("/proc/self/maps")?.lines().count(),
        })
    }

    /// All memory that is used now and was not then.
    pub(crate) fn since(&self, then: &Memory) -> i64 {
        self.rss_bytes - then.rss_bytes + self.page_table_bytes - then.page_table_bytes
            + (self.kernel_bytes - then.kernel_bytes).max(0)
    }
}

/// The value of a line `NAME  VALUE kB`.
fn bytes(text: &str, name: &str) -> io::Result<i64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<i64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::other(format!("the kernel does not tell {name}")))
}

/// The processor time that the process has used.
pub(crate) fn cpu_ns() -> io::Result<i64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok((usage.user_time() + usage.system_time()).num_nanoseconds())
}
