//! Boost.Context, the switch under Boost.Fiber: `boost/main.cpp`, where its headers are.

use super::{Job, Work, unknown};
use crate::Failure;
use crate::figures::Figures;
use crate::foreign::{become_program, compile, is_fresh, place};
use std::process::Command;

const SOURCE: &str = include_str!("../../boost/main.cpp");

pub(super) fn run(job: &Job) -> Result<Figures, Failure> {
    if !matches!(job.work, Work::Switch | Work::Round | Work::Spawn) {
        return unknown(job);
    }
    let program = place("rivals-boost")?;
    if !is_fresh(&program) {
        let source = program.with_extension("cpp");
        let mut compiler = Command::new("g++");
        compiler.args(["-O3", "-std=c++17", "-o"]).args([&program, &source]);
        compiler.arg("-lboost_context");
        compile(&mut compiler, &source, SOURCE)
            .map_err(|error| format!("needs g++ and libboost-context-dev: {error}"))?;
    }
    Err(become_program(&program, job).into())
}
