//! cove and its rivals, measured side by side.
//!
//! Each work runs for cove and for every rival that has the operation, in processes of their own,
//! pinned to one processor, in turns: cove, A, B, cove, A, B. What is compared stands in `plan.rs`;
//! how one run is measured in `measure.rs`; each rival's programs in `rivals/`, as its maintainers
//! would write them.
//!
//! ```sh
//! cargo run --release -p rivals -- --only P1,P2 --rounds 5 --json figures.json
//! ```

mod bare;
mod chart;
mod figures;
mod foreign;
mod host;
mod hosted;
mod load;
mod markdown;
mod measure;
mod plan;
mod processor;
mod report;
mod rivals;
mod run;
mod sleepers;

use clap::Parser;
use rivals::{Job, Rival, Work};
use std::error::Error;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Any failure, told to a person.
pub(crate) type Failure = Box<dyn Error>;

/// Measures cove and other runtimes side by side and prints a table: of each work the minimum and
/// the median over all rounds, and the ratio that the project's target bounds (smaller is better,
/// always). A rival that is not here is printed as missing, and counts as nothing.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Options {
    /// Only these works, for example P1,P10.
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    only: Vec<String>,
    /// How often each work is run for each rival, in turns; the longest ones less often. Five times
    /// unless given, and once with --quick.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Write all figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also measure and draw charts over the number of coroutines, as SVG, into this folder.
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Write the report to this file as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// A hundredth of the operations and a thousandth of the coroutines: to see that everything
    /// works. The ratios mean little then.
    #[arg(long)]
    quick: bool,
    /// List the works, their targets and who takes part, and end.
    #[arg(long)]
    list: bool,
    /// Run cove's programs under this rival's name: every ratio must come out as 1.
    #[arg(long, value_enum, value_name = "RIVAL")]
    impostor: Option<Rival>,
    /// Run one work in this process and print its figures as JSON, and nothing else.
    #[arg(long, num_args = 2, value_names = ["RIVAL", "WORK"])]
    child: Option<Vec<String>>,
    /// With --child: how many coroutines, tasks or connections.
    #[arg(long, default_value_t = 2, requires = "child")]
    count: u64,
    /// With --child: how many operations.
    #[arg(long, default_value_t = 10_000, requires = "child")]
    iterations: u64,
}

fn main() -> ExitCode {
    match rivals(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rivals: {error}");
            ExitCode::FAILURE
        }
    }
}

fn rivals(options: &Options) -> Result<(), Failure> {
    if let Some(names) = &options.child {
        return child(options, names);
    }
    let trials = plan::chosen(&options.only)?;
    if options.list {
        return Ok(writeln!(io::stdout(), "{}", report::list(&trials))?);
    }
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 5 });
    let runner = run::Runner::new(rounds, options.quick, options.impostor)?;
    let mut results = Vec::new();
    for trial in trials {
        let result = runner.run(trial);
        writeln!(io::stdout(), "{}", report::table(&result))?;
        results.push(result);
    }
    let charts = match &options.svg {
        Some(folder) => chart::draw_all(&runner, folder)?
            .into_iter()
            .map(|file| folder.join(file).display().to_string())
            .collect(),
        None => Vec::new(),
    };
    if let Some(path) = &options.json {
        write(path, &(serde_json::to_string_pretty(&report::json(&results))? + "\n"))?;
    }
    if let Some(path) = &options.markdown {
        let folder = path.parent().unwrap_or(Path::new(""));
        let linked = |chart: &String| match Path::new(chart).strip_prefix(folder) {
            Ok(inside) => inside.display().to_string(),
            Err(_) => chart.clone(),
        };
        let charts: Vec<_> = charts.iter().map(linked).collect();
        write(path, &markdown::document(&results, rounds, &charts))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// One work, in this process.
fn child(options: &Options, names: &[String]) -> Result<(), Failure> {
    let rival: Rival = parse(&names[0])?;
    let work: Work = parse(&names[1])?;
    let job = Job { work, count: options.count, iterations: options.iterations };
    processor::raise_descriptor_limit()?;
    let figures = rivals::run(rival, &job)?;
    Ok(writeln!(io::stdout(), "{}", serde_json::to_string(&figures)?)?)
}

fn parse<T: clap::ValueEnum>(name: &str) -> Result<T, String> {
    T::from_str(name, false).map_err(|_| {
        let known = T::value_variants().iter().filter_map(T::to_possible_value);
        let known: Vec<_> = known.map(|value| value.get_name().to_owned()).collect();
        format!("{name:?} is none of {}", known.join(", "))
    })
}
