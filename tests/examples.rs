//! Runs every example as a user would and checks what it prints.

use std::path::PathBuf;
use std::process::{Command, Output};

/// The built example: cargo builds examples beside the tests.
fn example(name: &str) -> Command {
    let mut path: PathBuf = std::env::current_exe().expect("a test has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    Command::new(path.join("examples").join(name))
}

fn text(output: Output) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out.into_owned()
}

#[test]
fn generators_walk_trees_and_parse_pieces() {
    // Goal: bare coroutines at work. Method: the lines that it prints.
    let out = text(example("generators").output().unwrap());
    assert!(out.contains("in order: [1, 2, 5, 8, 9]"), "{out}");
    assert!(out.contains("sum of the pieces: 112"), "{out}");
}

#[test]
fn producers_and_consumers_lose_nothing() {
    // Goal: mutex and condition variables. Method: the total.
    let out = text(example("producer_consumer").output().unwrap());
    assert!(out.contains("4000 items in all, none lost"), "{out}");
}

#[test]
fn shared_stacks_are_shared() {
    // Goal: ten thousand coroutines on four stacks. Method: count the addresses printed.
    let out = text(example("shared_stacks").arg("10000").output().unwrap());
    assert!(out.contains("10000 coroutines, sum 99990000"), "{out}");
    let addresses = out.lines().filter(|line| line.trim_start().starts_with("0x")).count();
    assert!((1..=4).contains(&addresses), "{out}");
}

#[test]
fn shared_stacks_refuses_nonsense() {
    // Goal: bad input gets a usage line. Method: a word for a number.
    let output = example("shared_stacks").arg("many").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage"));
}

#[test]
fn echo_answers_a_thousand_connections() {
    // Goal: server and client together. Method: the client checks each answer.
    let mut echo = example("echo");
    echo.args(["both", "--connections", "1000", "--requests", "20"]);
    let out = text(echo.output().unwrap());
    assert!(out.contains("20000 requests over 1000 connections"), "{out}");
}

#[test]
fn echo_client_reports_a_refused_connection() {
    // Goal: a clear error. Method: a port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let output = example("echo").args(["client", &address]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("refused"));
}
