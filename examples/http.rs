//! An HTTP/1.1 responder on all cores: one runtime per core, one listener per runtime, the kernel
//! spreads the connections over them by SO_REUSEPORT.
//!
//! ```sh
//! cargo run --release --example http -- 127.0.0.1:8080 --workers 2
//! wrk -c 200 -t 2 -d 5 http://127.0.0.1:8080/
//! ```

use clap::Parser;
use cove::net::{TcpListener, TcpStream};
use cove::time::{self, Duration, Elapsed};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

/// Answers GET requests, with keep-alive and pipelining.
#[derive(Parser)]
struct Options {
    /// Where to listen.
    #[arg(default_value = "127.0.0.1:8080")]
    address: SocketAddr,
    /// Threads, each with its own listener.
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    workers: usize,
}

/// The largest request head that is read.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How long a connection may be silent between two requests.
const IDLE: Duration = Duration::from_secs(30);

const BODY: &str = "hello from a coroutine\n";

/// The number of bytes up to the end of the first request head in `bytes`, if it is complete.
fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|start| start + 4)
}

/// The answer to one request head, and whether the connection stays open.
fn answer(head: &[u8], out: &mut Vec<u8>) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n');
    let request = lines.next().unwrap_or_default();
    let wants_close = lines.any(|line| line.to_ascii_lowercase().starts_with(b"connection: close"));
    let keep = !wants_close && request.trim_ascii().ends_with(b"HTTP/1.1");
    let (status, body) = match request.split(|byte| *byte == b' ').next() {
        Some(b"GET") => ("200 OK", BODY),
        Some(b"HEAD") => ("200 OK", ""),
        _ => ("405 Method Not Allowed", "only GET here\n"),
    };
    let connection = if keep { "keep-alive" } else { "close" };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nContent-Type: text/plain\r\n\
         Connection: {connection}\r\n\r\n"
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body.as_bytes());
    keep
}

fn serve(mut client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (mut input, mut output) = (Vec::new(), Vec::new());
    let mut piece = [0; 4096];
    loop {
        // A time-out around any code: here, around a read.
        let count = match time::timeout(IDLE, || client.read(&mut piece)) {
            Ok(Ok(count)) => count,
            Ok(Err(error)) if error.kind() == ErrorKind::TimedOut => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(Elapsed { .. }) => return Ok(()),
        };
        if count == 0 {
            return Ok(());
        }
        input.extend_from_slice(&piece[..count]);
        let mut keep = true;
        while let (true, Some(end)) = (keep, head_end(&input)) {
            keep = answer(&input[..end], &mut output);
            input.drain(..end);
        }
        client.write_all(&output)?;
        output.clear();
        if !keep || input.len() > HEAD_BYTES_MAX {
            return Ok(());
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind_reuse_port(address)?;
    loop {
        match listener.accept() {
            Ok((client, _)) => drop(cove::spawn(move || serve(client))),
            Err(error) => {
                eprintln!("http: accept: {error}");
                time::sleep(Duration::from_millis(10));
            }
        }
    }
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let runtime = cove::Builder::new().workers(options.workers).build()?;
    runtime.run(|| {
        println!("http: {} workers on {}", options.workers, options.address);
        let listeners = cove::runtime_handle().run_on_each(move |_worker| listen(options.address));
        for listener in listeners {
            listener.join().expect("no listener panics")?;
        }
        Ok(())
    })
}
