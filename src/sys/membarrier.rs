//! membarrier(2): a memory barrier on every running thread of the process at once, so that two
//! threads can agree in the manner of Dekker though only the rare side pays for it.

use super::cvt;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

// linux/membarrier.h; since Linux 4.14.
const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

fn membarrier(command: libc::c_int) -> io::Result<libc::c_long> {
    // SAFETY: the call touches no memory of ours.
    cvt(unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) })
}

/// Whether [`barrier_everywhere`] works; the first call registers the process for it, which takes
/// the kernel some milliseconds if there are several threads by then.
pub(crate) fn is_available() -> bool {
    /// What the registration came to: one of the two below, or 0 before it. It holds for the
    /// process, and its forks, until exec. Nobody waits here for another thread's registration: a
    /// forked child has no such thread, and would wait for ever.
    static REGISTERED: AtomicU8 = AtomicU8::new(0);
    const REFUSED: u8 = 1;
    const GRANTED: u8 = 2;
    let mut registered = REGISTERED.load(Ordering::Relaxed);
    if registered == 0 {
        let granted = membarrier(REGISTER_PRIVATE_EXPEDITED).is_ok();
        registered = if granted { GRANTED } else { REFUSED };
        REGISTERED.store(registered, Ordering::Relaxed);
    }
    registered == GRANTED
}

/// Makes every other running thread of the process pass a full memory barrier before this returns,
/// and is one itself. A microsecond or two.
///
/// # Errors
/// Only when [`is_available`] says no.
pub(crate) fn barrier_everywhere() -> io::Result<()> {
    membarrier(PRIVATE_EXPEDITED)
        .or_else(|_| {
            // A forked child may have to register anew.
            membarrier(REGISTER_PRIVATE_EXPEDITED)?;
            membarrier(PRIVATE_EXPEDITED)
        })
        .map(drop)
}

#[cfg(test)]
mod tests {
    #[test]
    fn barrier_works_once_registered() {
        // Goal: after a registration that succeeded the call does. Method: both, twice.
        for _ in 0..2 {
            assert!(!super::is_available() || super::barrier_everywhere().is_ok());
        }
    }
}
