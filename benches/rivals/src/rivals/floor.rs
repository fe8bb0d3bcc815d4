//! No runtime: what the kernel takes for as many stacks as cove has, each touched once and given a
//! guard. Nothing that has guarded stacks can be made in less time.

use super::{Job, Work, unknown};
use crate::Failure;
use crate::figures::Figures;
use crate::host;
use crate::measure::Making;
use std::io;

/// Bytes of a stack and the guard below it.
const STACK_BYTES: usize = (128 << 10) + PAGE_BYTES;
const PAGE_BYTES: usize = 4096;

/// Linux 6.13 and newer; not yet among libc's constants everywhere.
const MADV_GUARD_INSTALL: libc::c_int = 102;

pub(super) fn run(job: &Job) -> Result<Figures, Failure> {
    if job.work != Work::ParkPrivate {
        return unknown(job);
    }
    let bytes = job.count as usize * STACK_BYTES;
    let making = Making::of(job.count)?;
    // SAFETY: a new mapping anywhere.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error().into());
    }
    // Huge pages would be one touch for sixteen stacks.
    // SAFETY: the range is the mapping.
    unsafe { libc::madvise(memory, bytes, libc::MADV_NOHUGEPAGE) };
    for number in 0..job.count as usize {
        // SAFETY: both pages lie in the mapping, and nobody else has it.
        let status = unsafe {
            let stack = memory.byte_add(number * STACK_BYTES);
            stack.byte_add(STACK_BYTES - 64).cast::<u64>().write_volatile(1);
            libc::madvise(stack, PAGE_BYTES, MADV_GUARD_INSTALL)
        };
        if status == -1 {
            return Err(io::Error::last_os_error().into());
        }
    }
    host::answer(&making.end(job.count)?)
}
