//! The example `million`, with few coroutines: what it prints, and that its checks can be relied
//! on.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a run's object has, in this order.
const FIELDS: [&str; 13] = [
    "stack",
    "count",
    "create_ns",
    "wake_ns",
    "bytes_each",
    "rss_bytes_each",
    "page_table_bytes_each",
    "late_p50_us",
    "late_p99_us",
    "early",
    "mappings",
    "peak_rss_bytes",
    "checksum_ok",
];

/// The example as `cargo test` has built it, in the folder beside that of the tests. A test that is
/// built without the examples (`--tests`) builds it.
fn million() -> PathBuf {
    let tests = std::env::current_exe().expect("a test has a path");
    let profile = tests.ancestors().nth(2).expect("a test lies in PROFILE/deps");
    let path = profile.join("examples/million");
    if !path.exists() {
        build_beside(profile);
    }
    assert!(path.exists(), "{} was not built", path.display());
    path
}

fn build_beside(profile: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--example", "million"]);
    cargo.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    // With a target of its own, the profile's folder is one deeper: TARGET_DIR/TRIPLE/PROFILE.
    let mut folder = profile.parent().expect("a profile lies in the target's folder");
    if !folder.join("CACHEDIR.TAG").exists() {
        cargo.arg("--target").arg(folder.file_name().expect("a target has a name"));
        folder = folder.parent().expect("a target lies in the folder of all of them");
    }
    let built = cargo.arg("--target-dir").arg(folder).status().expect("cargo can be started");
    assert!(built.success(), "the example cannot be built");
}

fn run(arguments: &str) -> Output {
    let mut command = Command::new(million());
    command.args(arguments.split_whitespace()).output().expect("the example can be started")
}

/// The runs that the example reports, after checks that hold for each.
fn runs(arguments: &str) -> Vec<Value> {
    let output = run(arguments);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("stdout is one JSON value");
    let runs = report["runs"].as_array().expect("the value has runs").clone();
    for run in &runs {
        assert_eq!(run["checksum_ok"], true, "{run}");
        assert_eq!(run["early"], 0, "{run}");
        assert!(run["bytes_each"].as_f64() > Some(0.0), "{run}");
        assert!(run["peak_rss_bytes"].as_u64() > Some(0), "{run}");
    }
    runs
}

#[test]
fn json_has_every_field_of_both_kinds_in_order() {
    // Goal: programs can rely on the fields and on stdout having nothing else.
    // Method: the text itself, since a parsed object has lost its order.
    let output = run("--count 500 --seconds 0.1 --json");
    let text = String::from_utf8(output.stdout).expect("JSON is text");
    assert!(text.starts_with("{\"runs\":[{\"stack\":\"private\",\"count\":500,"), "{text}");
    assert!(text.contains("},{\"stack\":\"shared\",\"count\":500,") && text.ends_with("}]}\n"));
    for run in text.split("},{") {
        let places = FIELDS.map(|field| run.find(&format!("\"{field}\":")));
        assert!(places.is_sorted() && places[0].is_some(), "{run}");
        assert_eq!(run.matches("\":").count() - run.matches("\"runs\":").count(), FIELDS.len());
    }
}

#[test]
fn every_coroutine_of_either_kind_runs() {
    // Goal: sums are right and nobody is early, whatever the count, the size and the kind.
    // Method: counts around the size of a batch, one kind at a time.
    for (kind, count) in [("private", 1), ("shared", 33), ("private", 1000), ("shared", 3000)] {
        let arguments = "--seconds 0.05 --stack-bytes 16384 --json";
        let runs = runs(&format!("--stack {kind} --count {count} {arguments}"));
        assert_eq!(runs.len(), 1);
        assert_eq!((&runs[0]["stack"], &runs[0]["count"]), (&kind.into(), &count.into()));
    }
}

#[test]
fn deadlines_begin_after_the_idle_time() {
    // Goal: no timer of a coroutine is due while all are to be idle.
    // Method: a span of zero puts every deadline at the beginning; one in the idle time would be
    // found, since then not all were parked.
    let runs = runs("--count 200 --seconds 0 --idle 0.2 --json");
    assert_eq!(runs.len(), 2);
}

#[test]
fn table_shows_each_kind() {
    // Goal: people see figures with names; a terminal is not needed. Method: look for some.
    let output = run("--count 100 --seconds 0");
    let text = String::from_utf8(output.stdout.clone()).expect("tables are text");
    for name in ["Private stacks", "Shared stacks", "create + park", "wake + finish", "early"] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn what_cannot_be_done_is_an_error() {
    // Goal: a wrong call does not look like a good run. Method: values out of range, and a stack
    // larger than any.
    for arguments in ["--count 0", "--stack none", "--seconds -1", "--stack-bytes 9999999999"] {
        let output = run(arguments);
        assert!(!output.status.success(), "{arguments}: {output:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments}");
    }
}

#[test]
fn full_disk_is_an_error_and_no_panic() {
    // Goal: figures that nobody got do not look like a good run. Method: the full device as stdout.
    for arguments in ["--json", "--stack shared"] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("full(4)");
        let mut command = Command::new(million());
        command.args(["--count", "50", "--seconds", "0"]).args(arguments.split_whitespace());
        let output = command.stdout(full).output().expect("the example can be started");
        let message = String::from_utf8(output.stderr).expect("errors are text");
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.starts_with("million: No space left"), "{message}");
    }
}
