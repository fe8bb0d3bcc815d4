//! An echo server, a coroutine per connection, and a client that drives it with many connections.
//!
//! ```sh
//! cargo run --release --example echo -- server 127.0.0.1:7000
//! cargo run --release --example echo -- client 127.0.0.1:7000 --connections 1000 --requests 100
//! cargo run --release --example echo -- both --connections 100
//! ```

use clap::{Args, Parser};
use cove::net::{TcpListener, TcpStream};
use cove::time::Instant;
use std::io::{self, Read, Write};

/// Echoes what it is sent, or sends and checks what comes back.
#[derive(Parser)]
enum Command {
    /// Serve until killed.
    Server { address: String },
    /// Send requests over many connections at once.
    Client {
        address: String,
        #[command(flatten)]
        load: Load,
    },
    /// Server and client in one process, on a free port.
    Both {
        #[command(flatten)]
        load: Load,
    },
}

#[derive(Args, Clone, Copy)]
struct Load {
    /// Connections at once.
    #[arg(long, default_value_t = 100)]
    connections: usize,
    /// Requests on each connection, one after the other.
    #[arg(long, default_value_t = 100)]
    requests: usize,
    /// Bytes in a request.
    #[arg(long, default_value_t = 64)]
    bytes: usize,
}

fn echo(mut client: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            count => client.write_all(&buffer[..count])?,
        }
    }
}

fn serve(listener: TcpListener) {
    loop {
        match listener.accept() {
            Ok((client, _)) => {
                cove::spawn(move || echo(client));
            }
            Err(error) => {
                // Out of descriptors, most likely: those that are in use will come free.
                eprintln!("echo: accept: {error}");
                cove::time::sleep(cove::time::Duration::from_millis(10));
            }
        }
    }
}

fn drive(address: &str, load: Load) -> io::Result<()> {
    let start = Instant::now();
    let clients: Vec<_> = (0..load.connections)
        .map(|number| {
            let address = address.to_owned();
            cove::spawn(move || -> io::Result<()> {
                let mut stream = TcpStream::connect(&address)?;
                let request: Vec<u8> = (0..load.bytes).map(|n| (n + number) as u8).collect();
                let mut answer = vec![0; load.bytes];
                for _ in 0..load.requests {
                    stream.write_all(&request)?;
                    stream.read_exact(&mut answer)?;
                    if answer != request {
                        return Err(io::Error::other("the answer differs from the request"));
                    }
                }
                Ok(())
            })
        })
        .collect();
    for client in clients {
        client.join().expect("no client panics")?;
    }
    let (requests, seconds) = (load.connections * load.requests, start.elapsed().as_secs_f64());
    println!(
        "{requests} requests over {} connections in {seconds:.3} s: {:.0} a second",
        load.connections,
        requests as f64 / seconds
    );
    Ok(())
}

fn main() -> io::Result<()> {
    let command = Command::parse();
    cove::run(|| match command {
        Command::Server { address } => {
            let listener = TcpListener::bind(&address)?;
            println!("echo: listening on {}", listener.local_addr()?);
            serve(listener);
            Ok(())
        }
        Command::Client { address, load } => drive(&address, load),
        Command::Both { load } => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let address = listener.local_addr()?.to_string();
            cove::spawn(move || serve(listener));
            drive(&address, load)
        }
    })
}
