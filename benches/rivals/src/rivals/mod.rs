//! Who takes part, and in what: one file per runtime, with the same works in the same order.

mod boost;
mod corosensei;
mod cove;
mod floor;
mod generator;
mod go;
mod may;
mod open_coroutine;
mod tokio;

use crate::figures::Figures;
use crate::{Failure, bare};
use clap::ValueEnum;

/// cove, its rivals, and two lower bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Rival {
    Cove,
    Corosensei,
    Generator,
    May,
    Tokio,
    OpenCoroutine,
    Boost,
    Go,
    /// An epoll loop without any runtime.
    Bare,
    /// What the kernel takes for the same memory.
    Floor,
}

impl Rival {
    /// As on the command line and in JSON.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value().expect("no variant is skipped");
        value.get_name().to_owned()
    }

    /// Whether it is a runtime that one may choose instead of cove.
    pub(crate) fn competes(self) -> bool {
        !matches!(self, Rival::Cove | Rival::Bare | Rival::Floor)
    }
}

/// What a runtime can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Resume one coroutine, which yields.
    Switch,
    /// `count` coroutines yield to each other round and round.
    Round,
    /// Spawn one and join it.
    Spawn,
    /// A message there and back between two.
    PingPong,
    /// Make `count`, each with a stack of its own, that wait.
    ParkPrivate,
    /// The same, with as little memory as there can be.
    ParkShared,
    /// Make `count` with little memory that wait, and wake each once.
    Wake,
    /// `count` sleep to deadlines spread over two seconds.
    Sleepers,
    /// Serve: send back what is received, one coroutine per connection.
    Echo,
    /// Leave `count` parked and do nothing.
    Idle,
}

/// What a child is told to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) count: u64,
    pub(crate) iterations: u64,
}

/// Does the job in this process.
pub(crate) fn run(rival: Rival, job: &Job) -> Result<Figures, Failure> {
    let ran = match rival {
        Rival::Cove => cove::run(job),
        Rival::Corosensei => corosensei::run(job),
        Rival::Generator => generator::run(job),
        Rival::May => may::run(job),
        Rival::Tokio => tokio::run(job),
        Rival::OpenCoroutine => open_coroutine::run(job),
        Rival::Boost => boost::run(job),
        Rival::Go => go::run(job),
        Rival::Bare => bare::run(job),
        Rival::Floor => floor::run(job),
    };
    ran.map_err(|error| format!("{}: {error}", rival.name()).into())
}

/// For works that a runtime does not have.
fn unknown(job: &Job) -> Result<Figures, Failure> {
    Err(format!("has no such operation: {:?}", job.work).into())
}
