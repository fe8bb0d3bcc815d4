//! Ticks: a coroutine that does something again and again at even distances.

use super::{Duration, Instant, sleep_until};

/// Stands in for times beyond what an `Instant` can hold: a century from now, nobody waits any
/// more.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What an [`Interval`] does when ticks are missed: when the next one was already due by the time
/// at which the present one was taken.
///
/// ```text
///   due        0    10   20   30   40   50   60      (the tick of 10 is taken at 35)
///   Burst      0                   35 35 35 40   50   60
///   Delay      0                   35             45     55
///   Skip       0                   35      40   50   60
/// ```
///
/// ```
/// use cove::time::{Duration, Instant, MissedTick, interval_at};
/// let period = Duration::from_secs(60);
/// let start = Instant::now() - 5 * period / 2; // Two ticks are late.
/// let mut interval = interval_at(start, period);
/// interval.set_missed_tick(MissedTick::Skip);
/// cove::run(|| interval.tick());
/// let next = cove::run(|| cove::time::timeout(Duration::from_millis(1), || interval.tick()));
/// assert!(next.is_err()); // It comes in half a minute.
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTick {
    /// The missed ticks come at once, one after the other, until the schedule is caught up with: as
    /// many ticks as periods have passed. The default.
    #[default]
    Burst,
    /// The schedule starts anew: the next tick comes a period after the late one.
    Delay,
    /// The missed ticks are left out; the next one is the next on schedule.
    Skip,
}

/// Ticks at even distances.
/// See [`interval`] for an example.
#[derive(Clone, Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
    missed: MissedTick,
}

/// Ticks every `period`, first at once.
///
/// ```
/// use cove::time::{Duration, interval};
/// cove::run(|| {
///     let mut interval = interval(Duration::from_millis(1));
///     let ticks = [interval.tick(), interval.tick(), interval.tick()];
///     assert_eq!(ticks[2] - ticks[0], Duration::from_millis(2));
/// });
/// ```
///
/// # Panics
/// If `period` is zero.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(Instant::now(), period)
}

/// Ticks every `period`, first at `start`.
///
/// ```
/// use cove::time::{Duration, Instant, interval_at};
/// let start = Instant::now() + Duration::from_millis(1);
/// let mut interval = interval_at(start, Duration::from_secs(1));
/// assert_eq!(cove::run(|| interval.tick()), start);
/// ```
///
/// # Panics
/// If `period` is zero.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval's period is zero");
    Interval { next: start, period, missed: MissedTick::default() }
}

impl Interval {
    /// Waits for the next tick; returns the time at which it was due. If the wait is cancelled, the
    /// tick is not taken.
    ///
    /// ```
    /// use cove::time::{Duration, Instant, interval};
    /// cove::run(|| {
    ///     let mut interval = interval(Duration::from_millis(1));
    ///     let due = interval.tick() + interval.period();
    ///     assert_eq!(interval.tick(), due);
    ///     assert!(Instant::now() >= due);
    /// });
    /// ```
    pub fn tick(&mut self) -> Instant {
        let due = self.next;
        sleep_until(due);
        self.next = following(due, Instant::now(), self.period, self.missed);
        due
    }

    /// The distance between two ticks.
    ///
    /// ```
    /// use cove::time::{Duration, interval};
    /// assert_eq!(interval(Duration::from_secs(1)).period(), Duration::from_secs(1));
    /// ```
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What happens when ticks are missed.
    /// See [`set_missed_tick`](Self::set_missed_tick) for an example.
    pub fn missed_tick(&self) -> MissedTick {
        self.missed
    }

    /// Chooses what happens when ticks are missed.
    ///
    /// ```
    /// use cove::time::{Duration, MissedTick, interval};
    /// let mut interval = interval(Duration::from_secs(1));
    /// interval.set_missed_tick(MissedTick::Skip);
    /// assert_eq!(interval.missed_tick(), MissedTick::Skip);
    /// ```
    pub fn set_missed_tick(&mut self, missed: MissedTick) {
        self.missed = missed;
    }

    /// Starts the schedule anew: the next tick comes a period from now.
    ///
    /// ```
    /// use cove::time::{Duration, interval, timeout};
    /// cove::run(|| {
    ///     let mut interval = interval(Duration::from_secs(3600));
    ///     interval.reset(); // Without this the first tick would come at once.
    ///     assert!(timeout(Duration::from_millis(1), || interval.tick()).is_err());
    /// });
    /// ```
    pub fn reset(&mut self) {
        self.next = later(Instant::now(), self.period);
    }
}

/// When the tick after the one of `due` is due, if that was taken at `now`.
pub(super) fn following(
    due: Instant,
    now: Instant,
    period: Duration,
    missed: MissedTick,
) -> Instant {
    let next = later(due, period);
    if now < next {
        return next;
    }
    match missed {
        MissedTick::Burst => next,
        MissedTick::Delay => later(now, period),
        MissedTick::Skip => {
            let past_ns = (now - due).as_nanos() % period.as_nanos();
            // Less than the period, of which at least a part is left; both fit a Duration.
            let past =
                Duration::new((past_ns / 1_000_000_000) as u64, (past_ns % 1_000_000_000) as u32);
            later(now, period - past)
        }
    }
}

fn later(instant: Instant, period: Duration) -> Instant {
    instant.checked_add(period).unwrap_or_else(|| instant + FAR)
}
