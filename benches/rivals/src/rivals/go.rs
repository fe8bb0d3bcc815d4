//! Go, with GOMAXPROCS=1: `go/main.go`, where a `go` of 1.19 or newer is on the PATH.

use super::{Job, Work, unknown};
use crate::Failure;
use crate::figures::Figures;
use crate::foreign::{become_program, compile, is_fresh, place};
use std::process::Command;

const SOURCE: &str = include_str!("../../go/main.go");

pub(super) fn run(job: &Job) -> Result<Figures, Failure> {
    if matches!(job.work, Work::Switch | Work::ParkShared | Work::Wake) {
        return unknown(job);
    }
    let program = place("rivals-go")?;
    if !is_fresh(&program) {
        let source = program.with_extension("go");
        let mut compiler = Command::new("go");
        compiler.args(["build", "-o"]).args([&program, &source]).env("GO111MODULE", "off");
        compile(&mut compiler, &source, SOURCE)
            .map_err(|error| format!("needs a go of 1.19 or newer on the PATH: {error}"))?;
    }
    Err(become_program(&program, job).into())
}
