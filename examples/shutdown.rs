//! Graceful shutdown: a server that stops accepting on SIGINT or SIGTERM, lets the requests that
//! are in work finish, and cancels what is left after a time.
//!
//! ```sh
//! cargo run --example shutdown -- 127.0.0.1:7001
//! ```

use cove::net::{TcpListener, TcpStream};
use cove::signal::{self, SIGINT, SIGTERM};
use cove::sync::WaitGroup;
use cove::time::{self, Duration};
use std::io::{self, BufRead, BufReader, Write};
use std::rc::Rc;

/// How long requests may go on after the signal.
const GRACE: Duration = Duration::from_secs(2);

/// Answers each line `work MILLISECONDS` when that much time has passed.
fn serve(client: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    let mut out = &client;
    while let Some(line) = lines.next().transpose()? {
        match line.strip_prefix("work ").map(str::parse) {
            Some(Ok(milliseconds)) => {
                time::sleep(Duration::from_millis(milliseconds));
                writeln!(out, "done after {milliseconds} ms")?;
            }
            _ => writeln!(out, "error: say `work MILLISECONDS`")?,
        }
    }
    Ok(())
}

/// Says so when it is dropped by a cancellation instead of the connection's end.
struct Farewell {
    client: TcpStream,
    finished: bool,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if !self.finished {
            // The connection goes away in any case.
            let _ = writeln!(self.client, "error: shutting down");
        }
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7001".into());
    cove::run(|| {
        let listener = Rc::new(TcpListener::bind(&address)?);
        println!("shutdown: listening on {}", listener.local_addr()?);
        let requests = WaitGroup::new();
        let acceptor = {
            let (listener, requests) = (listener.clone(), requests.clone());
            cove::spawn(move || {
                let mut connections = Vec::new();
                // Ends with an error when the listener is closed.
                while let Ok((client, _)) = listener.accept() {
                    let running = requests.clone();
                    connections.retain(|handle: &cove::JoinHandle<_>| !handle.is_finished());
                    connections.push(cove::spawn(move || -> io::Result<()> {
                        let _running = running;
                        let mut farewell =
                            Farewell { client: client.try_clone()?, finished: false };
                        let outcome = serve(client);
                        farewell.finished = true;
                        outcome
                    }));
                }
                connections
            })
        };
        let signal = signal::wait(&[SIGINT, SIGTERM])?;
        println!("shutdown: signal {signal:?}, no new connections");
        listener.close();
        let connections = acceptor.join().expect("the acceptor does not panic");
        match time::timeout(GRACE, || requests.wait()) {
            Ok(()) => println!("shutdown: all connections have ended"),
            Err(_) => {
                let left = connections.iter().filter(|handle| !handle.is_finished()).count();
                println!("shutdown: cancelling {left} connections");
                connections.iter().for_each(cove::JoinHandle::cancel);
            }
        }
        connections.into_iter().for_each(|handle| drop(handle.join()));
        println!("shutdown: bye");
        Ok(())
    })
}
