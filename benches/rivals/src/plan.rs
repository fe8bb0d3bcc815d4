//! What is compared: the works, who takes part in each, and what each target bounds.

use crate::rivals::Rival::{
    self, Bare, Boost, Corosensei, Cove, Floor, Generator, Go, May, OpenCoroutine, Tokio,
};
use crate::rivals::Work;

/// One work, run for everybody in turns.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) id: &'static str,
    pub(crate) work: Work,
    /// Who takes part, with how many coroutines, tasks or connections.
    pub(crate) entrants: &'static [(Rival, u64)],
    pub(crate) iterations: u64,
    /// More rounds than these would take too long.
    pub(crate) rounds_max: u32,
    pub(crate) rows: &'static [Row],
}

/// One figure of a work, and its target.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    /// Its name among the figures of a child.
    pub(crate) figure: &'static str,
    pub(crate) better: Better,
    pub(crate) bound: Bound,
}

/// How a figure over many rounds is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// By the minimum: what disturbs a round only ever adds.
    Less,
    /// By the median: for what is sampled, so that a round may err both ways.
    LessSampled,
    /// By the maximum, and inverted in the ratio: throughput.
    More,
}

/// What the target bounds from above.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// cove's figure divided by the best of these.
    Ratio(&'static [Rival], f64),
    /// cove's figure itself.
    Figure(f64),
    /// Nothing.
    Free,
}

const NS: Row =
    Row { what: "", unit: "ns", figure: "ns", better: Better::Less, bound: Bound::Free };
const THIRTY_K: u64 = 30_000;
const MILLION: u64 = 1_000_000;

/// All of them, in the order in which they run.
pub(crate) const TRIALS: &[Trial] = &[
    Trial {
        id: "P1",
        work: Work::Switch,
        entrants: &[(Cove, 1), (Corosensei, 1), (Generator, 1), (Boost, 1)],
        iterations: 20_000_000,
        rounds_max: u32::MAX,
        rows: &[Row {
            what: "resume + yield of one coroutine",
            bound: Bound::Ratio(&[Corosensei], 1.05),
            ..NS
        }],
    },
    Trial {
        id: "P2",
        work: Work::Round,
        entrants: &[(Cove, 2), (May, 2), (Tokio, 2), (Go, 2), (OpenCoroutine, 2)],
        iterations: 2_000_000,
        rounds_max: u32::MAX,
        rows: &[Row {
            what: "scheduler yield, 2 coroutines",
            bound: Bound::Ratio(&[May], 0.12),
            ..NS
        }],
    },
    Trial {
        id: "P3a",
        work: Work::Round,
        entrants: &[
            (Cove, THIRTY_K),
            (Corosensei, THIRTY_K),
            (Generator, THIRTY_K),
            (May, THIRTY_K),
            (Boost, THIRTY_K),
            (Tokio, THIRTY_K),
            (Go, THIRTY_K),
        ],
        iterations: 3_000_000,
        rounds_max: u32::MAX,
        rows: &[Row {
            what: "yield round over 30,000 private coroutines, each",
            bound: Bound::Ratio(&[Corosensei], 0.35),
            ..NS
        }],
    },
    Trial {
        id: "P3b",
        work: Work::Round,
        entrants: &[(Cove, MILLION), (Corosensei, THIRTY_K), (Tokio, MILLION), (Go, MILLION)],
        iterations: 10_000_000,
        rounds_max: 3,
        rows: &[Row {
            what: "yield round over 1,000,000 private coroutines (corosensei: 30,000), each",
            bound: Bound::Ratio(&[Corosensei], 1.0),
            ..NS
        }],
    },
    Trial {
        id: "P4",
        work: Work::Spawn,
        entrants: &[
            (Cove, 1),
            (Tokio, 1),
            (May, 1),
            (Go, 1),
            (Corosensei, 1),
            (Generator, 1),
            (Boost, 1),
            (OpenCoroutine, 1),
        ],
        iterations: 500_000,
        rounds_max: u32::MAX,
        rows: &[Row { what: "spawn + join", bound: Bound::Ratio(&[Tokio], 0.20), ..NS }],
    },
    Trial {
        id: "P5",
        work: Work::PingPong,
        entrants: &[(Cove, 2), (May, 2), (Tokio, 2), (Go, 2)],
        iterations: 500_000,
        rounds_max: u32::MAX,
        rows: &[Row {
            what: "channel ping-pong, a round trip",
            bound: Bound::Ratio(&[May], 0.25),
            ..NS
        }],
    },
    Trial {
        id: "P6",
        work: Work::ParkPrivate,
        entrants: &[
            (Cove, MILLION),
            (Floor, MILLION),
            (May, THIRTY_K),
            (Corosensei, THIRTY_K),
            (Go, MILLION),
        ],
        iterations: 1,
        rounds_max: 3,
        rows: &[
            Row {
                what: "create + park 1,000,000 private coroutines: memory of each",
                unit: "bytes",
                figure: "bytes",
                bound: Bound::Figure(4500.0),
                ..NS
            },
            Row {
                what: "create + park 1,000,000 private coroutines: time of each",
                bound: Bound::Ratio(&[Floor], 2.0),
                ..NS
            },
        ],
    },
    Trial {
        id: "P7",
        work: Work::ParkShared,
        entrants: &[(Cove, MILLION), (Tokio, MILLION)],
        iterations: 1,
        rounds_max: 3,
        rows: &[
            Row {
                what: "create + park 1,000,000 on shared stacks: memory of each",
                unit: "bytes",
                figure: "bytes",
                bound: Bound::Figure(400.0),
                ..NS
            },
            Row {
                what: "create + park 1,000,000 on shared stacks: time of each",
                bound: Bound::Ratio(&[Tokio], 1.0),
                ..NS
            },
        ],
    },
    Trial {
        id: "P8",
        work: Work::Wake,
        entrants: &[(Cove, 10 * MILLION), (Tokio, 10 * MILLION)],
        iterations: 1,
        rounds_max: 2,
        rows: &[
            Row {
                what: "10,000,000 on shared stacks: memory of all",
                unit: "bytes",
                figure: "bytes_total",
                bound: Bound::Figure(4.2e9),
                ..NS
            },
            Row {
                what: "10,000,000 on shared stacks, each woken once: time of each wake",
                figure: "wake_ns",
                bound: Bound::Ratio(&[Tokio], 0.5),
                ..NS
            },
        ],
    },
    Trial {
        id: "P9",
        work: Work::Sleepers,
        entrants: &[(Cove, MILLION), (Tokio, MILLION), (Go, MILLION)],
        iterations: 2,
        rounds_max: 3,
        rows: &[
            Row {
                what: "1,000,000 sleepers wake over 2 s: processor time of all",
                unit: "s",
                figure: "cpu_s",
                bound: Bound::Ratio(&[Tokio], 0.6),
                ..NS
            },
            Row {
                what: "1,000,000 sleepers wake over 2 s: how many too early",
                unit: "timers",
                figure: "early",
                bound: Bound::Figure(0.0),
                ..NS
            },
            Row {
                what: "1,000,000 sleepers wake over 2 s: median lateness",
                unit: "ms",
                figure: "late_ms",
                bound: Bound::Figure(1.5),
                ..NS
            },
        ],
    },
    Trial {
        id: "P10",
        work: Work::Echo,
        entrants: &[(Cove, 100), (Tokio, 100), (May, 100), (Go, 100), (Bare, 100)],
        iterations: ECHO_MS,
        rounds_max: u32::MAX,
        rows: &[
            Row { what: "echo, 100 connections: user time of a request", ..ECHO_USER },
            Row { what: "echo, 100 connections: throughput", ..ECHO_RATE },
        ],
    },
    Trial {
        id: "P10",
        work: Work::Echo,
        entrants: &[(Cove, 1000), (Tokio, 1000), (May, 1000), (Go, 1000), (Bare, 1000)],
        iterations: ECHO_MS,
        rounds_max: u32::MAX,
        rows: &[
            Row { what: "echo, 1,000 connections: user time of a request", ..ECHO_USER },
            Row { what: "echo, 1,000 connections: throughput", ..ECHO_RATE },
        ],
    },
    Trial {
        id: "P10",
        work: Work::Echo,
        entrants: &[(Cove, 8000), (Tokio, 8000), (May, 8000), (Go, 8000), (Bare, 8000)],
        iterations: ECHO_MS,
        rounds_max: u32::MAX,
        rows: &[
            Row { what: "echo, 8,000 connections: user time of a request", ..ECHO_USER },
            Row { what: "echo, 8,000 connections: throughput", ..ECHO_RATE },
        ],
    },
    Trial {
        id: "P12",
        work: Work::Idle,
        entrants: &[(Cove, 100_000), (Tokio, 100_000), (May, THIRTY_K), (Go, 100_000)],
        iterations: 2000,
        rounds_max: 2,
        rows: &[Row {
            what: "idle with 100,000 parked: wake-ups",
            unit: "1/s",
            figure: "wakeups_per_s",
            bound: Bound::Figure(0.0),
            ..NS
        }],
    },
];

/// How long each server is loaded in a round, after the warm-up, in ms.
const ECHO_MS: u64 = 3000;

const ECHO_USER: Row = Row {
    what: "",
    unit: "us",
    figure: "user_us",
    better: Better::LessSampled,
    bound: Bound::Ratio(&[Tokio], 1.0),
};

const ECHO_RATE: Row = Row {
    what: "",
    unit: "1/s",
    figure: "requests_per_s",
    better: Better::More,
    bound: Bound::Ratio(&[Tokio, May], 1.0),
};

/// The trials with these ids; `P3` stands for P3a and P3b. All of them if none is given.
pub(crate) fn chosen(ids: &[String]) -> Result<Vec<&'static Trial>, String> {
    let is = |trial: &Trial, id: &str| {
        trial.id.eq_ignore_ascii_case(id)
            || trial.id.trim_end_matches(['a', 'b']).eq_ignore_ascii_case(id)
    };
    if let Some(id) = ids.iter().find(|id| !TRIALS.iter().any(|trial| is(trial, id))) {
        let mut known: Vec<_> = TRIALS.iter().map(|trial| trial.id).collect();
        known.dedup();
        return Err(format!("there is no work {id:?}; there are {}", known.join(", ")));
    }
    let wanted = |trial: &&Trial| ids.is_empty() || ids.iter().any(|id| is(trial, id));
    Ok(TRIALS.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(only: &[&str]) -> Result<Vec<&'static str>, String> {
        let only: Vec<_> = only.iter().map(|id| (*id).to_owned()).collect();
        Ok(chosen(&only)?.iter().map(|trial| trial.id).collect())
    }

    /// Goal: trials are chosen by their ids. Method: none, some, a group, a wrong one.
    #[test]
    fn ids_choose_trials() {
        assert_eq!(ids(&[]).map(|all| all.len()), Ok(TRIALS.len()));
        assert_eq!(ids(&["P1"]), Ok(vec!["P1"]));
        assert_eq!(ids(&["p3", "P5"]), Ok(vec!["P3a", "P3b", "P5"]));
        assert_eq!(ids(&["P10"]), Ok(vec!["P10"; 3]));
        assert!(ids(&["P13"]).is_err_and(|error| error.contains("P3a, P3b")));
    }

    /// Goal: every target can be judged. Method: cove takes part in each trial, first, and so does
    /// everybody that a ratio is against.
    #[test]
    fn whoever_a_target_names_takes_part() {
        for trial in TRIALS {
            assert_eq!(trial.entrants[0].0, Cove, "{}", trial.id);
            for row in trial.rows {
                if let Bound::Ratio(against, most) = row.bound {
                    assert!(most > 0.0);
                    let takes_part = |rival| trial.entrants.iter().any(|(name, _)| name == rival);
                    assert!(against.iter().all(takes_part), "{}", trial.id);
                }
            }
        }
    }
}
