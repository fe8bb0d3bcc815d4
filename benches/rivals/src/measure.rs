//! How one run is measured: time of the processor in laps, and memory.
//!
//! Time is that of the whole process on the processor (all its threads, user and kernel), so that
//! other programs on the machine disturb it little. No work waits for anything outside, so a
//! runtime gains nothing by idling. A run is a warm-up lap and ten; their median counts.
//!
//! | figure | source |
//! |---|---|
//! | time | `CLOCK_PROCESS_CPUTIME_ID` |
//! | resident memory | `VmRSS` in /proc/self/status |
//! | page tables | `VmPTE` there |
//! | other memory of the kernel | `SUnreclaim` and `KernelStack` in /proc/meminfo |
//!
//! The kernel keeps no account of its other memory by process: what other programs do meanwhile
//! adds to that figure or hides it, and it is never counted as less than nothing.

use crate::figures::{Figures, figures, median};
use std::fs;
use std::io;

/// The laps of a run that count.
const LAPS: u64 = 10;

/// Processor time that the process has used, in ns.
pub(crate) fn cpu_ns() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes the structure; the clock exists on every Linux.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(status, 0, "the clock of the process cannot be read");
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The laps of one run: `while laps.go() { for _ in 0..laps.each {..} }`.
pub(crate) struct Laps {
    /// Operations, or rounds of them, in each lap.
    pub(crate) each: u64,
    started: Option<(f64, u64)>,
    /// For each lap, ns for one operation.
    times_ns: Vec<f64>,
    operations: u64,
}

impl Laps {
    /// Laps that come to about `iterations`; at least one in each lap.
    pub(crate) fn new(iterations: u64) -> Laps {
        let each = (iterations / LAPS).max(1);
        Laps { each, started: None, times_ns: Vec::new(), operations: 0 }
    }

    /// Ends the lap before, if any; whether there is another one. Each lap has `each` operations.
    pub(crate) fn go(&mut self) -> bool {
        let done = self.started.map_or(0, |(_, before)| before + self.each);
        self.go_on(done)
    }

    /// As [`go`](Self::go), where so many operations have been done until now.
    pub(crate) fn go_on(&mut self, done: u64) -> bool {
        let now_ns = cpu_ns();
        if let Some((started_ns, before)) = self.started {
            assert!(done > before, "nothing was done in a lap");
            self.times_ns.push((now_ns - started_ns) / (done - before) as f64);
            self.operations += done - before;
        }
        self.started = Some((cpu_ns(), done));
        // The first lap is the warm-up.
        self.times_ns.len() as u64 <= LAPS
    }

    /// The figures of all laps.
    pub(crate) fn figures(&self) -> Figures {
        assert_eq!(self.times_ns.len() as u64, LAPS + 1, "the laps are not over");
        let ns = median(&self.times_ns[1..]);
        figures([("ns", ns), ("operations", self.operations as f64)])
    }
}

/// What memory is used for at one moment, in bytes.
pub(crate) struct Memory {
    process: f64,
    kernel: f64,
}

impl Memory {
    /// Looks.
    pub(crate) fn now() -> io::Result<Memory> {
        let status = fs::read_to_string("/proc/self/status")?;
        let machine = fs::read_to_string("/proc/meminfo")?;
        Ok(Memory {
            process: bytes(&status, "VmRSS:")? + bytes(&status, "VmPTE:")?,
            kernel: bytes(&machine, "SUnreclaim:")? + bytes(&machine, "KernelStack:")?,
        })
    }

    /// All memory that is used now and was not then.
    pub(crate) fn since(&self, then: &Memory) -> f64 {
        self.process - then.process + (self.kernel - then.kernel).max(0.0)
    }
}

/// The value of a line `NAME  VALUE kB`.
fn bytes(text: &str, name: &str) -> io::Result<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<f64>().ok())
        .map(|kib| kib * 1024.0)
        .ok_or_else(|| io::Error::other(format!("the kernel does not tell {name}")))
}

/// The making of many coroutines that then wait, measured from before the first to the last.
pub(crate) struct Making {
    count: u64,
    memory: Memory,
    started_ns: f64,
}

impl Making {
    /// Begins.
    pub(crate) fn of(count: u64) -> io::Result<Making> {
        Ok(Making { count, memory: Memory::now()?, started_ns: cpu_ns() })
    }

    /// All of them, and `reached` is how many say so, are parked.
    pub(crate) fn end(self, reached: u64) -> Result<Figures, crate::Failure> {
        let ns = cpu_ns() - self.started_ns;
        if reached != self.count {
            return Err(format!("{reached} of {} are parked", self.count).into());
        }
        let bytes = Memory::now()?.since(&self.memory);
        let count = self.count as f64;
        Ok(figures([
            ("ns", ns / count),
            ("bytes", bytes / count),
            ("bytes_total", bytes),
            ("count", count),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the laps are as many as the figure counts. Method: count the operations.
    #[test]
    fn laps_count_their_operations() {
        let mut laps = Laps::new(100);
        let mut done = 0;
        while laps.go() {
            (0..laps.each).for_each(|_| done += 1);
        }
        let found = laps.figures();
        assert_eq!(found["operations"], f64::from(done));
        assert!(found["ns"] >= 0.0);
    }

    /// Goal: lines of /proc are understood. Method: one of each, and none.
    #[test]
    fn lines_of_proc_are_parsed() {
        assert_eq!(bytes("VmHWM: 9 kB\nVmRSS:\t  12 kB\n", "VmRSS:").ok(), Some(12_288.0));
        assert!(bytes("VmRSS: many", "VmRSS:").is_err());
    }
}
