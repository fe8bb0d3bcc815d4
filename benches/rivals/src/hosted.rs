//! A long-lived child, as the harness sees it; what it says stands in `host.rs`.

use crate::Failure;
use crate::figures::Figures;
use crate::processor::check;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The child is killed when this is dropped.
pub(crate) struct Hosted {
    child: Child,
    output: BufReader<ChildStdout>,
    /// What it said when it was ready.
    pub(crate) facts: Figures,
}

impl Hosted {
    /// Starts the command and waits until it is ready.
    pub(crate) fn start(command: &mut Command) -> Result<Hosted, Failure> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let mut hosted = Hosted { child, output, facts: Figures::new() };
        hosted.facts = hosted.line()?;
        Ok(hosted)
    }

    /// User and system time that the process has used so far, in us.
    pub(crate) fn used_us(&mut self) -> Result<(f64, f64), Failure> {
        // SAFETY: has no arguments in memory; the child has not been waited for.
        check(unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGUSR1) })?;
        let used = self.line()?;
        let of = |name| used.get(name).copied().ok_or("the child does not tell what it used");
        Ok((of("user_us")?, of("system_us")?))
    }

    /// How often any of its threads has been put on the processor.
    pub(crate) fn switches(&self) -> Result<u64, Failure> {
        let mut sum = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            let counts = status.lines().filter_map(|line| {
                let (name, count) = line.split_once(':')?;
                name.ends_with("ctxt_switches").then(|| count.trim().parse::<u64>().ok())?
            });
            sum += counts.sum::<u64>();
        }
        Ok(sum)
    }

    fn line(&mut self) -> Result<Figures, Failure> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("the child ended without a word".into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
