//! Clocks, as `u64` nanoseconds.
//!
//! The runtime's time is CLOCK_MONOTONIC: it never steps back, and it is the clock that
//! `epoll_pwait2` measures its time-out with. `u64` nanoseconds last 584 years; `u64::MAX` means
//! "never" to the layers above.

use std::mem::MaybeUninit;
use std::time::Duration;

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// Nanoseconds on CLOCK_MONOTONIC. Read through the vDSO: no system call on ordinary machines.
pub(crate) fn monotonic_ns() -> u64 {
    read_ns(libc::CLOCK_MONOTONIC)
}

/// The parts of `ns` as the kernel wants them.
pub(super) fn timespec(ns: u64) -> libc::timespec {
    // Both parts fit: u64::MAX / 10^9 is below 2^35, and the remainder is below 10^9.
    libc::timespec {
        tv_sec: (ns / NANOSECONDS_PER_SECOND) as libc::time_t,
        tv_nsec: (ns % NANOSECONDS_PER_SECOND) as libc::c_long,
    }
}

fn read_ns(clock: libc::clockid_t) -> u64 {
    let mut now = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `now` is writable and has the layout that clock_gettime(2) fills.
    let result = unsafe { libc::clock_gettime(clock, now.as_mut_ptr()) };
    // Both clocks exist on every kernel, so only a wrong constant could fail.
    assert_eq!(result, 0, "clock_gettime({clock}) failed");
    // SAFETY: the call succeeded, so it wrote both fields.
    let now = unsafe { now.assume_init() };
    now.tv_sec as u64 * NANOSECONDS_PER_SECOND + now.tv_nsec as u64
}

/// The time `timeout` from now; never, if that lies beyond the clock.
pub(crate) fn deadline_ns(timeout: Duration) -> u64 {
    after(monotonic_ns(), timeout)
}

/// The time `duration` after `start_ns`; never, if that lies beyond the clock.
pub(crate) fn after(start_ns: u64, duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).map_or(u64::MAX, |ns| start_ns.saturating_add(ns))
}

/// How long it is until `deadline_ns`; nothing if that has passed.
pub(crate) fn until(deadline_ns: u64) -> Duration {
    Duration::from_nanos(deadline_ns.saturating_sub(monotonic_ns()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_agrees_with_std_and_never_steps_back() {
        // Goal: the unit is nanoseconds of the clock behind std::time::Instant. Method: bracket a
        // busy wait of 2 ms with both clocks; a slow machine only widens the bracket.
        let outer = std::time::Instant::now();
        let first = monotonic_ns();
        let inner = std::time::Instant::now();
        while inner.elapsed().as_millis() < 2 {
            std::hint::spin_loop();
        }
        let inner_ns = inner.elapsed().as_nanos() as u64;
        let passed = monotonic_ns() - first;
        assert!(passed >= inner_ns && passed >= 2_000_000);
        assert!(passed <= outer.elapsed().as_nanos() as u64);
    }

    #[test]
    fn timespec_splits_at_the_second() {
        // Goal: no part leaves its range. Method: the edges.
        let parts = |ns| (timespec(ns).tv_sec, timespec(ns).tv_nsec);
        assert_eq!(parts(0), (0, 0));
        assert_eq!(parts(999_999_999), (0, 999_999_999));
        assert_eq!(parts(1_000_000_000), (1, 0));
        assert_eq!(parts(u64::MAX), (18_446_744_073, 709_551_615));
    }
}
