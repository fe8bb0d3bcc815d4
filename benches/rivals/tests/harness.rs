//! The harness from outside: its output, and that it is honest.

use serde_json::Value;
use std::process::{Command, Output};

fn rivals(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rivals"));
    command.args(arguments).output().expect("the program starts")
}

/// Runs trials, which succeeds, and returns the rows of the JSON.
fn rows(name: &str, arguments: &[&str]) -> Vec<Value> {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let json = path.to_str().expect("a path in UTF-8");
    let output = rivals(&[arguments, &["--quick", "--json", json]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&path).expect("the file was written");
    let report: Value = serde_json::from_str(&text).expect("valid JSON");
    report["rows"].as_array().expect("a list").clone()
}

/// Goal: every work runs for cove and for each rival that is linked with the harness, and the JSON
/// has its form. Method: one short round of each.
#[test]
fn every_work_runs_for_everybody_who_is_here() {
    let rows = rows("all.json", &[]);
    assert_eq!(rows.len(), 22);
    for row in rows {
        for text in ["id", "work", "unit"] {
            assert!(row[text].is_string(), "{row}");
        }
        assert!(row["target"].is_number() && row["cove"]["median"].is_number(), "{row}");
        assert!(row["cove"]["min"].as_f64() <= row["cove"]["median"].as_f64(), "{row}");
        // The kernel's tick may see no user time at all in so short a while.
        let is_sampled = row["unit"] == "us";
        assert!(is_sampled || row["ratio"].is_number() && row["pass"].is_boolean(), "{row}");
        let missing = row["missing"].as_object().expect("an object").keys();
        let foreign = ["boost", "go", "open-coroutine"];
        let failed: Vec<_> = missing.filter(|name| !foreign.contains(&name.as_str())).collect();
        assert!(failed.is_empty(), "{row}");
    }
}

/// Goal: nobody is favoured. Method: cove's programs run under the name of the rival that each
/// target names; over several rounds the ratio must be 1, but for the noise of a busy machine.
#[test]
fn cove_under_another_name_is_as_fast_as_cove() {
    for (id, rival) in [("P1", "corosensei"), ("P2", "may"), ("P4", "tokio"), ("P5", "may")] {
        let arguments = ["--only", id, "--rounds", "7", "--impostor", rival];
        let row = &rows(&format!("{id}.json"), &arguments)[0];
        let ratio = row["ratio"].as_f64().expect("both were measured");
        assert!((0.7..1.4).contains(&ratio), "{id}: {ratio}: {row}");
    }
}

/// Goal: a wrong name is told with the right ones. Method: one of each.
#[test]
fn wrong_names_are_refused() {
    let cases: [(&[&str], &str); 3] = [
        (&["--only", "P77"], "there are P1, P2, P3a"),
        (&["--child", "cove", "dance"], "ping-pong"),
        (&["--child", "coven", "switch"], "corosensei"),
    ];
    for (arguments, hint) in cases {
        let output = rivals(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(hint), "{arguments:?}: {said}");
    }
}

/// Goal: what a rival cannot do is an error, not a figure. Method: corosensei has no channels.
#[test]
fn what_a_rival_lacks_is_not_measured() {
    let output = rivals(&["--child", "corosensei", "ping-pong"]);
    assert!(!output.status.success() && output.stdout.is_empty());
}
