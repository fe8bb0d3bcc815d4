//! open-coroutine, a package of its own (`open-coroutine/`) that cargo builds when it is first
//! needed: it cannot be linked with what is here.

use super::{Job, Work, unknown};
use crate::Failure;
use crate::figures::Figures;
use crate::foreign::{become_program, is_fresh, place, run_compiler};
use std::path::Path;
use std::process::Command;

const NAME: &str = "rivals-open-coroutine";
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/open-coroutine/Cargo.toml");

pub(super) fn run(job: &Job) -> Result<Figures, Failure> {
    if !matches!(job.work, Work::Round | Work::Spawn) {
        return unknown(job);
    }
    // This program is in target/release, or in target/debug/deps as a test.
    let profile = |folder: &&Path| folder.ends_with("release") || folder.ends_with("debug");
    let here = place(NAME)?;
    let target = here.ancestors().find(profile).and_then(Path::parent);
    let target = target.ok_or("this program is not where cargo puts it")?;
    let program = target.join("release").join(NAME);
    if !is_fresh(&program) {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--quiet", "--manifest-path", MANIFEST]);
        run_compiler(cargo.env("CARGO_TARGET_DIR", target))?;
    }
    Err(become_program(&program, job).into())
}
