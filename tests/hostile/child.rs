//! Tests in processes of their own: limits, aborts and counts of descriptors concern nobody else
//! there, and a hang ends with a message.
//!
//! A test runs this program again, for itself alone and with its own name in the environment; there
//! it runs its body instead.

use super::alarm;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Names the test in a child's environment.
const TEST: &str = "COVE_HOSTILE_TEST";

/// What a child says when its body has come back.
const DONE: &str = "the body came back";

/// A test that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// How a child ended and what it wrote to stderr.
pub(crate) struct Child {
    output: Output,
    text: String,
}

impl Child {
    /// What it wrote has `part` in it.
    #[track_caller]
    pub(crate) fn says(&self, part: &str) {
        assert!(self.text.contains(part), "{part:?} is missing in:\n{}", self.text);
    }

    /// It wrote `part` once.
    #[track_caller]
    pub(crate) fn says_once(&self, part: &str) {
        assert_eq!(self.text.matches(part).count(), 1, "{part:?} in:\n{}", self.text);
    }

    /// It ended by abort(3), before its body came back.
    #[track_caller]
    pub(crate) fn aborted(&self) {
        self.ended_by(libc::SIGABRT);
    }

    /// It was ended by a signal, before its body came back.
    #[track_caller]
    pub(crate) fn ended_by(&self, signal: i32) {
        assert_eq!(self.output.status.signal(), Some(signal), "{}", self.text);
        assert!(!self.text.contains("HANGS") && !self.text.contains(DONE), "{}", self.text);
    }

    #[track_caller]
    pub(crate) fn succeeded(&self) {
        let status = self.output.status;
        assert!(status.success() && self.text.contains(DONE), "{status}:\n{}", self.text);
    }
}

/// Runs `body` as the test `name` (its path in this program) in a process of its own, with these
/// variables set, and brings back how that ended; none to the child itself.
#[track_caller]
pub(crate) fn observed(
    name: &str,
    environment: &[(&str, &str)],
    body: impl FnOnce(),
) -> Option<Child> {
    if std::env::var_os(TEST).is_some_and(|test| test == name) {
        no_core();
        alarm::set(LIMIT, format!("the test {name}"));
        body();
        alarm::clear();
        eprintln!("{DONE}");
        return None;
    }
    let output = command(name).envs(environment.iter().copied()).output().expect("a child");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(Child { output, text })
}

/// As [`observed`]; the child's stdin ends as soon as a line that it writes to stderr has `cue` in
/// it.
#[track_caller]
pub(crate) fn answered(name: &str, cue: &str, body: impl FnOnce()) -> Option<Child> {
    if std::env::var_os(TEST).is_some_and(|test| test == name) {
        return observed(name, &[], body);
    }
    let mut command = command(name);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a child");
    let (mut stdin, stderr) = (child.stdin.take(), child.stderr.take().expect("it is piped"));
    let mut text = String::new();
    for line in BufReader::new(stderr).lines() {
        let line = line.expect("text");
        stdin = stdin.filter(|_| !line.contains(cue));
        text.extend([&line, "\n"]);
    }
    Some(Child { output: child.wait_with_output().expect("its end"), text })
}

/// This program as one that runs the test `name` alone.
fn command(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(TEST, name).env_remove("COVE_GUARD");
    command
}

/// As [`observed`], for a body that is to come back.
#[track_caller]
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    alone_with(name, &[], body);
}

/// As [`alone`], in a runtime, whose coroutines are shown if the test hangs.
#[track_caller]
pub(crate) fn in_runtime(name: &str, body: impl FnOnce()) {
    alone(name, || {
        cove::run(|| {
            alarm::show(cove::runtime_handle());
            body();
        });
    });
}

/// As [`alone`], with variables set.
#[track_caller]
pub(crate) fn alone_with(name: &str, environment: &[(&str, &str)], body: impl FnOnce()) {
    if let Some(child) = observed(name, environment, body) {
        child.succeeded();
    }
}

/// Aborts that are wanted leave no file.
fn no_core() {
    limit(libc::RLIMIT_CORE, 0);
}

/// Whether the processor is emulated by qemu-user, which keeps some limits to itself, and is slow.
pub(crate) fn is_emulated() -> bool {
    std::env::var_os("COVE_EMULATED").is_some()
}

/// Lowers a limit of this process.
pub(crate) fn limit(resource: libc::__rlimit_resource_t, value: u64) {
    // SAFETY: zeros are a valid limit; both calls are given a place of their type.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(resource, &raw mut limit), 0);
        limit.rlim_cur = value.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(resource, &raw const limit), 0);
    }
}
