//! What all runtimes' sleepers share: their deadlines, and the record of how late they woke.

use crate::Failure;
use crate::figures::{Figures, figures};
use crate::measure::cpu_ns;
use hdrhistogram::Histogram;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The deadlines are spread over so much time.
const SPAN: Duration = Duration::from_secs(2);

/// When sleepers wake.
#[derive(Clone, Copy)]
pub(crate) struct Schedule {
    first: Instant,
}

/// What has been seen of them.
struct Seen {
    late_us: Histogram<u64>,
    early: u64,
}

/// Locked by one thread at a time, so that a lock is one exchange.
static SEEN: Mutex<Option<Seen>> = Mutex::new(None);

impl Schedule {
    /// With the first deadline `ahead` of now.
    pub(crate) fn ahead(ahead: Duration) -> Schedule {
        let late_us = Histogram::new(3).expect("three digits are a valid precision");
        *SEEN.lock().expect("no panic") = Some(Seen { late_us, early: 0 });
        Schedule { first: Instant::now() + ahead }
    }

    /// Spread evenly, and neighbours in time are not neighbours in memory.
    pub(crate) fn deadline(self, number: u64) -> Instant {
        let part = f64::from((number as u32).wrapping_mul(0x9e37_79b9)) / 2f64.powi(32);
        self.first + SPAN.mul_f64(part)
    }

    /// To be called by each sleeper when it wakes. Returns how many have.
    pub(crate) fn woke(self, number: u64) -> u64 {
        let late = Instant::now().checked_duration_since(self.deadline(number));
        let mut seen = SEEN.lock().expect("no panic");
        let seen = seen.as_mut().expect("set at the beginning");
        match late {
            Some(late) => seen.late_us += late.as_micros() as u64,
            None => seen.early += 1,
        }
        seen.late_us.len() + seen.early
    }

    /// To be called when all are parked; the processor time until now.
    pub(crate) fn parked(self) -> Result<f64, Failure> {
        if Instant::now() >= self.first {
            return Err(TOO_SLOW.into());
        }
        Ok(cpu_ns())
    }

    /// To be called when all have finished.
    pub(crate) fn figures(self, parked_ns: f64, count: u64) -> Figures {
        let cpu_s = (cpu_ns() - parked_ns) / 1e9;
        let seen = SEEN.lock().expect("no panic");
        let seen = seen.as_ref().expect("set at the beginning");
        figures([
            ("cpu_s", cpu_s),
            ("ns", cpu_s * 1e9 / count as f64),
            ("early", seen.early as f64),
            ("late_ms", seen.late_us.value_at_quantile(0.5) as f64 / 1e3),
            ("late_p99_ms", seen.late_us.value_at_quantile(0.99) as f64 / 1e3),
            ("count", count as f64),
        ])
    }
}

/// What is said if the first was due before the last had parked.
pub(crate) const TOO_SLOW: &str = "the machine is too slow: the first woke before all were parked";
