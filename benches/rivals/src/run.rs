//! Runs a trial: everybody in turns, each time in a new process that is pinned to one processor.

use crate::figures::{Figures, figures};
use crate::hosted::Hosted;
use crate::plan::Trial;
use crate::rivals::{Rival, Work};
use crate::{Failure, load, processor, sleepers};
use clap::ValueEnum as _;
use std::io::{self, IsTerminal as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Sleepers get this many times as long as foreseen to be made, if it was too little before.
const PATIENCE: [u64; 3] = [2, 6, 20];

/// What `--quick` divides the number of coroutines and that of operations by.
const QUICK: (u64, u64) = (1000, 100);

/// How trials are run.
pub(crate) struct Runner {
    rounds: u32,
    quick: bool,
    impostor: Option<Rival>,
    /// Children run on the first, load comes from the last.
    processors: Vec<usize>,
}

/// What a trial found for one of those who take part.
pub(crate) struct Entry {
    pub(crate) rival: Rival,
    pub(crate) count: u64,
    /// Figures of each round, or why there are none.
    pub(crate) rounds: Result<Vec<Figures>, String>,
}

/// What a trial found.
pub(crate) struct Outcome {
    pub(crate) trial: &'static Trial,
    pub(crate) entries: Vec<Entry>,
}

impl Runner {
    pub(crate) fn new(
        rounds: u32,
        quick: bool,
        impostor: Option<Rival>,
    ) -> Result<Runner, Failure> {
        let processors = processor::allowed()?;
        assert!(!processors.is_empty(), "this program runs on some processor");
        processor::raise_descriptor_limit()?;
        Ok(Runner { rounds, quick, impostor, processors })
    }

    /// Runs all rounds. Whoever fails in one does not take part in the next.
    pub(crate) fn run(&self, trial: &'static Trial) -> Outcome {
        let entry = |&(rival, count): &(Rival, u64)| {
            let count = if self.quick { (count / QUICK.0).max(count.min(20)) } else { count };
            Entry { rival, count, rounds: Ok(Vec::new()) }
        };
        let mut entries: Vec<_> = trial.entrants.iter().map(entry).collect();
        for round in 1..=self.rounds.min(trial.rounds_max) {
            for entry in &mut entries {
                let Ok(rounds) = &mut entry.rounds else { continue };
                progress(&format!("{}, round {round}: {}", trial.id, entry.rival.name()));
                match self.once(trial, entry.rival, entry.count) {
                    Ok(figures) => rounds.push(figures),
                    Err(error) => entry.rounds = Err(error.to_string()),
                }
            }
        }
        progress("");
        Outcome { trial, entries }
    }

    /// One run of a work that ends by itself.
    pub(crate) fn figures(
        &self,
        rival: Rival,
        work: Work,
        count: u64,
        iterations: u64,
    ) -> Result<Figures, Failure> {
        progress(&format!("{count} of {}", rival.name()));
        let (count, iterations) = if self.quick {
            (count.min(1000), self.scaled(iterations))
        } else {
            (count, iterations)
        };
        let found = self.finish(self.command(rival, work, count, iterations));
        progress("");
        found
    }

    fn once(&self, trial: &Trial, rival: Rival, count: u64) -> Result<Figures, Failure> {
        match trial.work {
            Work::Echo => self.load(rival, count, self.scaled(trial.iterations)),
            Work::Idle => self.watch(rival, count, self.scaled(trial.iterations)),
            Work::Sleepers => {
                let mut result = Err("no patience".into());
                for patience in PATIENCE {
                    result = self.finish(self.command(rival, trial.work, count, patience));
                    if !result.as_ref().is_err_and(error_is_haste) {
                        break;
                    }
                }
                result
            }
            _ => self.finish(self.command(rival, trial.work, count, self.scaled(trial.iterations))),
        }
    }

    fn scaled(&self, iterations: u64) -> u64 {
        if self.quick { (iterations / QUICK.1).max(100) } else { iterations }
    }

    /// This program as a child.
    fn command(&self, rival: Rival, work: Work, count: u64, iterations: u64) -> Command {
        let rival = if self.impostor == Some(rival) { Rival::Cove } else { rival };
        let this = std::env::current_exe().expect("this program has a path");
        let work = work.to_possible_value().expect("no variant is skipped");
        let mut command = Command::new(this);
        command.args(["--child", &rival.name(), work.get_name()]);
        command.args(["--count", &count.to_string(), "--iterations", &iterations.to_string()]);
        processor::pinned(&mut command, self.processors[0]);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Runs a child to its end.
    fn finish(&self, mut command: Command) -> Result<Figures, Failure> {
        let output = command.output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().rfind(|line| !line.is_empty()).unwrap_or("nothing");
            let said = said.trim_start_matches("rivals: ");
            return Err(format!("{said} ({})", output.status).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Loads an echo server for so long.
    fn load(&self, rival: Rival, connections: u64, ms: u64) -> Result<Figures, Failure> {
        let mut command = self.command(rival, Work::Echo, connections, ms);
        let mut server = Hosted::start(command.stderr(Stdio::null()))?;
        let loader = *self.processors.last().expect("there is one");
        processor::pin(&[loader])?;
        let warm_up = Duration::from_millis(ms / 6);
        let found = load::drive(&mut server, connections, warm_up, Duration::from_millis(ms));
        processor::pin(&self.processors)?;
        found
    }

    /// Watches an idle runtime for so long.
    fn watch(&self, rival: Rival, count: u64, ms: u64) -> Result<Figures, Failure> {
        let mut command = self.command(rival, Work::Idle, count, ms);
        let child = Hosted::start(command.stderr(Stdio::null()))?;
        // SLEEP: the runtime is idle only after it has been idle for a while.
        std::thread::sleep(Duration::from_millis(ms / 4));
        let (before, started) = (child.switches()?, Instant::now());
        // SLEEP: real time passes, in which nothing should happen.
        std::thread::sleep(Duration::from_millis(ms));
        let switches = child.switches()? - before;
        let per_s = switches as f64 / started.elapsed().as_secs_f64();
        Ok(figures([("wakeups_per_s", per_s), ("count", count as f64)]))
    }
}

/// What is being done, on a terminal.
fn progress(text: &str) {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}

fn error_is_haste(error: &Failure) -> bool {
    error.to_string().contains(sleepers::TOO_SLOW)
}
