//! A million coroutines on one thread: what each costs in time and memory, and how late timers are.
//!
//! ```text
//! cargo run --release --example million -- [--count N] [--stack private|shared|both]
//!     [--stack-bytes B] [--seconds S] [--idle S] [--json]
//! ```
//!
//! Each coroutine sleeps to a deadline of its own, sends a message through a channel and returns a
//! value; all values are added up, so that one which did not run is found (`sleeper.rs`). `job.rs`
//! makes them and joins them, `measure.rs` says what is measured and how, `report.rs` shows it.
//!
//! Each kind of stack has a process of its own, so that neither finds memory that the other left
//! behind, and each has its own peak.

mod job;
mod measure;
mod options;
mod report;
mod sleeper;

use clap::Parser as _;
use indicatif::ProgressBar;
use options::{Kind, Options, Stacks};
use report::{Report, Run};
use std::error::Error;
use std::io::{IsTerminal as _, Write as _};
use std::process::{Command, ExitCode, Stdio};

fn main() -> ExitCode {
    million(&Options::parse()).unwrap_or_else(|error| {
        eprintln!("million: {error}");
        ExitCode::FAILURE
    })
}

fn million(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    if let Some(kind) = options.child {
        return child(options, kind);
    }
    let kinds: &[Kind] = match options.stack {
        Stacks::Private => &[Kind::Private],
        Stacks::Shared => &[Kind::Shared],
        Stacks::Both => &[Kind::Private, Kind::Shared],
    };
    let mut runs = Vec::new();
    for kind in kinds {
        let run = in_child(*kind)?;
        if !options.json {
            writeln!(std::io::stdout(), "{}", report::table(&run))?;
        }
        runs.push(run);
    }
    let good = runs.iter().all(Run::is_good);
    if options.json {
        writeln!(std::io::stdout(), "{}", serde_json::to_string(&Report { runs })?)?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The job's process: prints the figures of one kind of stack.
fn child(options: &Options, kind: Kind) -> Result<ExitCode, Box<dyn Error>> {
    let shown = !options.json && std::io::stderr().is_terminal();
    let bar = if shown { ProgressBar::new(options.count.into()) } else { ProgressBar::hidden() };
    let run = cove::run(|| job::run(options, kind, &bar))?;
    bar.finish_and_clear();
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&run)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs this program again for one kind of stack, more patiently if the machine was too slow.
fn in_child(kind: Kind) -> Result<Run, Box<dyn Error>> {
    for patience in ["2", "6", "20"] {
        let kind = if kind == Kind::Private { "private" } else { "shared" };
        let mut command = Command::new(std::env::current_exe()?);
        command.args(std::env::args_os().skip(1));
        command.args(["--child", kind, "--patience", patience]);
        let output = command.stderr(Stdio::inherit()).output()?;
        match output.status.code() {
            Some(0) => return Ok(serde_json::from_slice(&output.stdout)?),
            Some(job::TOO_SLOW) => {}
            _ => {
                return Err(
                    format!("the process for {kind} stacks ended: {}", output.status).into()
                );
            }
        }
    }
    Err("the machine is too busy: the coroutines cannot be made before they are due".into())
}
