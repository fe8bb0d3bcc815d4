//! Runs every example as a user would and checks what it prints.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The built example: cargo builds examples beside the tests.
fn example(name: &str) -> Command {
    let mut path: PathBuf = std::env::current_exe().expect("a test has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.push("examples");
    path.push(name);
    assert!(
        path.exists(),
        "{path:?} is missing: `cargo test` builds it, or `cargo build --examples`"
    );
    Command::new(path)
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
    // Goal: mutex and condition variables; the work is shared. Method: the total, and that each of
    // the consumers has at least a tenth of it.
    let out = text(example("producer_consumer").output().unwrap());
    let shares: Vec<u32> = (out.lines())
        .filter_map(|line| line.strip_prefix("consumer ")?.split(' ').nth(1)?.parse().ok())
        .collect();
    assert!(shares.len() == 3 && shares.iter().all(|share| *share >= 400), "{out}");
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
    let address = free_address();
    let output = example("echo").args(["client", &address]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("refused"));
}

/// An address that was free a moment ago.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A running example that is killed when the test ends.
struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts `command` and waits for its first line.
    fn start(mut command: Command) -> (Server, String) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("the server says that it listens").unwrap();
        (Server { child, lines }, first)
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects once the server's listeners exist; its first line comes a little earlier.
fn connect(address: &str) -> TcpStream {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(error) if Instant::now() > deadline => panic!("{address}: {error}"),
            Err(_) => std::thread::yield_now(),
        }
    }
}

#[test]
fn http_answers_pipelined_requests_on_two_workers() {
    // Goal: the responder speaks HTTP/1.1. Method: two requests in one write, over 50 connections.
    let address = free_address();
    let mut command = example("http");
    command.args([&address, "--workers", "2"]);
    let (_server, first) = Server::start(command);
    assert!(first.contains("2 workers"), "{first}");
    for _ in 0..50 {
        let mut stream = connect(&address);
        let request =
            "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
        assert_eq!(answer.matches("hello from a coroutine").count(), 2, "{answer}");
    }
}

#[test]
fn shutdown_lets_requests_finish() {
    // Goal: a request that is in work when the signal comes is answered. Method: SIGTERM after it.
    let address = free_address();
    let mut command = example("shutdown");
    command.arg(&address);
    let (mut server, _) = Server::start(command);
    let mut client = BufReader::new(connect(&address));
    client.get_mut().write_all(b"nonsense\nwork 300\n").unwrap();
    let mut line = String::new();
    // The answer to the first line shows that the server is at work on the second.
    client.read_line(&mut line).unwrap();
    assert!(line.starts_with("error: say"), "{line}");
    server.signal("-TERM");
    line.clear();
    client.read_line(&mut line).unwrap();
    assert_eq!(line, "done after 300 ms\n");
    drop(client);
    let rest: Vec<String> = server.lines.by_ref().map(Result::unwrap).collect();
    assert!(rest.contains(&"shutdown: all connections have ended".to_owned()), "{rest:?}");
    assert!(server.child.wait().unwrap().success());
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn shutdown_cancels_what_does_not_finish() {
    // Goal: the grace ends. Method: a request of an hour; the destructor says farewell.
    let address = free_address();
    let mut command = example("shutdown");
    command.arg(&address);
    let (mut server, _) = Server::start(command);
    let mut client = BufReader::new(connect(&address));
    client.get_mut().write_all(b"nonsense\nwork 3600000\n").unwrap();
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    server.signal("-INT");
    line.clear();
    client.read_line(&mut line).unwrap();
    assert_eq!(line, "error: shutting down\n");
    let rest: Vec<String> = server.lines.by_ref().map(Result::unwrap).collect();
    assert!(rest.contains(&"shutdown: cancelling 1 connections".to_owned()), "{rest:?}");
    assert!(server.child.wait().unwrap().success());
}
