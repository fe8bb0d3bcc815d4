//! Rivals in other languages are compiled when they are first needed, if their compilers are here,
//! and run in the child's place. They speak as children do: figures as a line of JSON.

use crate::rivals::Job;
use clap::ValueEnum as _;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the program of this name belongs: beside this one.
pub(crate) fn place(name: &str) -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(this.with_file_name(name))
}

/// Whether the program is there and newer than this one, and so than its source inside of this one.
pub(crate) fn is_fresh(program: &Path) -> bool {
    let made = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let this = std::env::current_exe().ok();
    let this = this.as_deref().and_then(made);
    matches!((made(program), this), (Some(program), Some(this)) if program > this)
}

/// Writes the source and runs a compiler on it.
pub(crate) fn compile(command: &mut Command, source: &Path, text: &str) -> Result<(), String> {
    fs::write(source, text).map_err(|error| format!("{}: {error}", source.display()))?;
    run_compiler(command)
}

/// Runs a compiler; its complaint is the error.
pub(crate) fn run_compiler(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} fails: {}", complaint.lines().next().unwrap_or("without a word")))
}

/// Becomes that program.
pub(crate) fn become_program(program: &Path, job: &Job) -> String {
    let work = job.work.to_possible_value().expect("no variant is skipped");
    let mut command = Command::new(program);
    command.args([work.get_name(), &job.count.to_string(), &job.iterations.to_string()]);
    // A process has one thread until its work begins, so one processor is all that Go may use.
    let error = command.env("GOMAXPROCS", "1").exec();
    format!("{}: {error}", program.display())
}
