//! What the process may use and what it uses: mappings, address space, descriptors, memory.
//!
//! Read from /proc and getrlimit(2) on every call; nothing is cached, since limits change. For
//! start-up, measurements and error messages, not for hot paths. A reading that /proc does not
//! offer (it may be absent from a container) is an error, and the caller decides what to assume.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use std::fs;
use std::io::{self, Read};

use super::page_size;

/// Buffer for counting the lines of a file that may have 65,530 of them.
const READ_BYTES: usize = 64 * 1024;
const BYTES_PER_KIB: u64 = 1024;

/// RLIMIT_NOFILE: descriptor numbers below `soft` can be opened; `soft` may be raised to `hard`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenFiles {
    /// The limit in force.
    pub(crate) soft: u64,
    /// The limit's limit.
    pub(crate) hard: u64,
}

/// How many mappings the process may have: `vm.max_map_count` (65,530 unless changed).
///
/// # Errors
/// Where /proc/sys cannot be read.
pub(crate) fn map_count_max() -> io::Result<usize> {
    let path = "/proc/sys/vm/max_map_count";
    let text = fs::read_to_string(path)?;
    text.trim().parse().map_err(|_| unexpected(path))
}

/// How many mappings the process has, as lines of /proc/self/maps. That may include one that the
/// limit does not count (the vsyscall page).
///
/// # Errors
/// Where /proc cannot be read.
pub(crate) fn map_count() -> io::Result<usize> {
    let mut maps = fs::File::open("/proc/self/maps")?;
    let mut buffer = vec![0_u8; READ_BYTES];
    let mut lines = 0;
    loop {
        match maps.read(&mut buffer) {
            Ok(0) => return Ok(lines),
            Ok(bytes) => lines += buffer[..bytes].iter().filter(|&&byte| byte == b'\n').count(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Bytes of address space that the process may have (the soft RLIMIT_AS); `None` is without limit.
///
/// # Errors
/// None in practice.
pub(crate) fn address_space() -> io::Result<Option<u64>> {
    let (soft, _hard) = getrlimit(Resource::RLIMIT_AS)?;
    Ok((soft != RLIM_INFINITY).then_some(soft))
}

/// The limits of open descriptors.
///
/// # Errors
/// None in practice.
pub(crate) fn open_files() -> io::Result<OpenFiles> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(OpenFiles { soft, hard })
}

/// Raises the soft limit of open descriptors to the hard one, and returns the limits then in force.
///
/// Programs that use select(2) break above 1,024, so this is for those who ask for it.
///
/// # Errors
/// EPERM where a security module forbids it.
pub(crate) fn raise_open_files() -> io::Result<OpenFiles> {
    let limits = open_files()?;
    if limits.soft < limits.hard {
        setrlimit(Resource::RLIMIT_NOFILE, limits.hard, limits.hard)?;
    }
    open_files()
}

/// Bytes of memory that the process has now (resident, from /proc/self/statm).
///
/// # Errors
/// Where /proc cannot be read.
pub(crate) fn resident_bytes() -> io::Result<u64> {
    let path = "/proc/self/statm";
    let text = fs::read_to_string(path)?;
    // proc_pid_statm(5): size, resident, shared, ..., all in pages.
    let pages = text.split_ascii_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
    Ok(pages.ok_or_else(|| unexpected(path))? * page_size() as u64)
}

/// The most bytes of memory that the process ever had (VmHWM).
///
/// # Errors
/// Where /proc cannot be read.
pub(crate) fn resident_bytes_peak() -> io::Result<u64> {
    status_bytes("VmHWM:")
}

/// Bytes of page tables of the process (VmPTE): what many sparse stacks cost beside their pages.
///
/// # Errors
/// Where /proc cannot be read.
pub(crate) fn page_table_bytes() -> io::Result<u64> {
    status_bytes("VmPTE:")
}

/// Bytes of kernel memory charged to the control group of the process (sockets, page tables, ...).
///
/// `None` where it cannot be read: no version 2 group, or none with a memory controller.
pub(crate) fn kernel_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    // cgroups(7): the line of the unified hierarchy has number 0 and names no controller.
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let stat = fs::read_to_string(format!("/sys/fs/cgroup{group}/memory.stat")).ok()?;
    stat.lines().find_map(|line| line.strip_prefix("kernel "))?.trim().parse().ok()
}

/// A field of /proc/self/status that is given in KiB.
fn status_bytes(field: &str) -> io::Result<u64> {
    let path = "/proc/self/status";
    let text = fs::read_to_string(path)?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|value| value.trim().strip_suffix("kB"))
        .and_then(|value| value.trim().parse::<u64>().ok());
    Ok(kib.ok_or_else(|| unexpected(path))? * BYTES_PER_KIB)
}

fn unexpected(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{path} has no such value"))
}

#[cfg(test)]
mod tests {
    use super::super::mmap::{Mapping, protect_none};
    use super::super::process::{Ended, in_child};
    use super::*;

    // What a process uses is measured in a child of its own, where no other test maps or unmaps.

    #[test]
    fn splitting_a_mapping_shows_in_the_count() {
        // Goal: the count follows the mappings. Method: 200 holes in one mapping make 400 more.
        const HOLES: usize = 200;
        fn count_holes() -> io::Result<bool> {
            let page = page_size();
            let mapping = Mapping::reserve((2 * HOLES + 1) * page)?;
            let before = map_count()?;
            for hole in 0..HOLES {
                let start = mapping.base().as_ptr().wrapping_add((2 * hole + 1) * page);
                // SAFETY: a whole page of a mapping that this test alone uses.
                unsafe { protect_none(start, page) }?;
            }
            let after = map_count()?;
            // The first reading may itself have made the allocator map its buffer.
            Ok((2 * HOLES - 1..=2 * HOLES + 1).contains(&(after - before))
                && after < map_count_max()?)
        }
        let ended = in_child(|| count_holes().map_or(2, |right| i32::from(!right)));
        assert_eq!(ended, Ended::Exited(0));
    }

    #[test]
    fn touched_memory_shows_in_every_reading() {
        // Goal: bytes, not pages or KiB. Method: touch 64 MiB; a page of tables maps 512 pages.
        const BYTES: usize = 64 << 20;
        fn touch() -> io::Result<bool> {
            let mapping = Mapping::reserve(BYTES)?;
            let (resident, tables) = (resident_bytes()?, page_table_bytes()?);
            // SAFETY: the whole of a mapping that this test alone uses.
            unsafe { mapping.base().write_bytes(1, mapping.len()) };
            let grown = resident_bytes()? - resident;
            let tables_grown = page_table_bytes()? - tables;
            // The kernel counts per processor and sums up late: some megabytes may be missing.
            let rounding = 8 << 20;
            Ok(grown.abs_diff(BYTES as u64) <= rounding
                && resident_bytes_peak()? + rounding >= resident + BYTES as u64
                && tables_grown.abs_diff((BYTES / 512) as u64) <= 8 * page_size() as u64)
        }
        let ended = in_child(|| touch().map_or(2, |right| i32::from(!right)));
        assert_eq!(ended, Ended::Exited(0));
    }

    #[test]
    fn open_files_can_be_raised_to_the_hard_limit() {
        // Goal: soft becomes hard, and again changes nothing. Method: raise twice from a lower
        // limit.
        fn raise() -> io::Result<bool> {
            let before = open_files()?;
            setrlimit(Resource::RLIMIT_NOFILE, before.hard / 2, before.hard)?;
            let lowered = open_files()?;
            let raised = [raise_open_files()?, raise_open_files()?];
            let all = OpenFiles { soft: before.hard, hard: before.hard };
            Ok(lowered.soft == before.hard / 2 && raised == [all, all])
        }
        let ended = in_child(|| raise().map_or(2, |right| i32::from(!right)));
        assert_eq!(ended, Ended::Exited(0));
    }

    #[test]
    fn limit_of_address_space_is_read_and_obeyed() {
        // Goal: a reservation above RLIMIT_AS is an error. Method: a child with a limit of 8 GiB.
        fn limited() -> io::Result<bool> {
            setrlimit(Resource::RLIMIT_AS, 8 << 30, 8 << 30)?;
            let refused = Mapping::reserve(9 << 30).err().and_then(|error| error.raw_os_error());
            Ok(address_space()? == Some(8 << 30) && refused == Some(libc::ENOMEM))
        }
        let ended = in_child(|| limited().map_or(2, |right| i32::from(!right)));
        assert_eq!(ended, Ended::Exited(0));
    }

    #[test]
    fn absent_fields_are_errors_and_absent_groups_are_none() {
        // Goal: no panic where /proc differs. Method: a field that does not exist; any group.
        let absent = status_bytes("VmNothing:").map_err(|error| error.kind());
        assert_eq!(absent, Err(io::ErrorKind::InvalidData));
        assert!(kernel_bytes().is_none_or(|bytes| bytes > 0));
    }
}
