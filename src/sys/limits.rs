//! What the process may use and what it uses: mappings, address space, descriptors, memory.
//!
//! Read from /proc and getrlimit(2) on every call; nothing is cached, since limits change. For
//! start-up, measurements and error messages, not for hot paths. A reading that /proc does not
//! offer (it may be absent from a container) is an error, and the caller decides what to assume.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use std::fs;
use std::io::{self, Read};

/// Buffer for counting the lines of a file that may have 65,530 of them.
const READ_BYTES: usize = 64 * 1024;

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

fn unexpected(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{path} has no such value"))
}

#[cfg(test)]
mod tests {
    use super::super::mmap::{Mapping, protect_none};
    use super::super::process::{Ended, in_child};
    use super::*;
    use crate::sys::page_size;
    use nix::sys::resource::setrlimit;

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
    fn limit_of_address_space_is_read_and_obeyed() {
        // Goal: a reservation above RLIMIT_AS is an error. Method: a child with a limit of 8 GiB.
        fn limited() -> io::Result<bool> {
            let before = address_space()?;
            setrlimit(Resource::RLIMIT_AS, 8 << 30, 8 << 30)?;
            if address_space()? == before {
                // qemu-user accepts the new limit and keeps the old one.
                return Ok(cfg!(not(target_arch = "x86_64")));
            }
            let refused = Mapping::reserve(9 << 30).err().and_then(|error| error.raw_os_error());
            Ok(address_space()? == Some(8 << 30) && refused == Some(libc::ENOMEM))
        }
        let ended = in_child(|| limited().map_or(2, |right| i32::from(!right)));
        assert_eq!(ended, Ended::Exited(0));
    }
}
