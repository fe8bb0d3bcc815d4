//! The load: many connections, each of which sends a request, waits for all of the answer and
//! sends the next (a closed loop), from one thread with epoll.
//!
//! What the server uses is asked for at the beginning and at the end of the time that counts, after
//! a warm-up. Its user time is sampled by the kernel's tick, so a short run tells little about it.

use crate::Failure;
use crate::bare::{Epoll, Events};
use crate::figures::{Figures, figures};
use crate::hosted::Hosted;
use crate::processor::check;
use hdrhistogram::Histogram;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

/// The bytes of a request.
const REQUEST: [u8; 64] = *b"A request of 64 bytes: it is echoed byte by byte and then compa.";

/// No answer for so long means that there will be none.
const SILENCE_MS: i32 = 10_000;

struct Connection {
    stream: TcpStream,
    sent: Instant,
    received: usize,
}

/// Loads the server; figures are those of the time after the warm-up.
pub(crate) fn drive(
    server: &mut Hosted,
    connections: u64,
    warm_up: Duration,
    duration: Duration,
) -> Result<Figures, Failure> {
    let port = *server.facts.get("port").ok_or("the server does not tell its port")? as u16;
    let epoll = Epoll::new()?;
    let mut clients = Vec::new();
    for number in 0..connections {
        let stream = connect(port)?;
        epoll.add(stream.as_raw_fd(), number)?;
        clients.push(Connection { stream, sent: Instant::now(), received: 0 });
    }
    for client in &mut clients {
        client.send()?;
    }
    answer_until(&epoll, &mut clients, Instant::now() + warm_up)?;
    let before = server.used_us()?;
    let started = Instant::now();
    let late_ns = answer_until(&epoll, &mut clients, started + duration)?;
    let seconds = started.elapsed().as_secs_f64();
    let after = server.used_us()?;
    let requests = late_ns.len() as f64;
    Ok(figures([
        ("requests_per_s", requests / seconds),
        ("user_us", (after.0 - before.0) / requests),
        ("system_us", (after.1 - before.1) / requests),
        ("p50_us", late_ns.value_at_quantile(0.5) as f64 / 1e3),
        ("p99_us", late_ns.value_at_quantile(0.99) as f64 / 1e3),
        ("count", connections as f64),
    ]))
}

/// Goes on until then; returns the latencies of the answers in ns.
fn answer_until(
    epoll: &Epoll,
    clients: &mut [Connection],
    end: Instant,
) -> Result<Histogram<u64>, Failure> {
    let mut late_ns = Histogram::new(3)?;
    let mut events = Events::new();
    while Instant::now() < end {
        let mut some = false;
        for token in epoll.wait(&mut events, SILENCE_MS)? {
            some = true;
            let client = &mut clients[token as usize];
            if client.receive()? {
                late_ns.record(client.sent.elapsed().as_nanos() as u64)?;
                client.send()?;
            }
        }
        if !some {
            return Err("the server does not answer".into());
        }
    }
    Ok(late_ns)
}

/// A connection whose end is a reset, so that its port is free again at once.
fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the kernel reads the structure, whose size is given.
    check(unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    })?;
    Ok(stream)
}

impl Connection {
    fn send(&mut self) -> io::Result<()> {
        self.received = 0;
        self.sent = Instant::now();
        // A buffer that has been emptied takes 64 bytes at once.
        self.stream.write_all(&REQUEST)
    }

    /// Whether the answer is complete.
    fn receive(&mut self) -> io::Result<bool> {
        let mut answer = [0; REQUEST.len()];
        let room = REQUEST.len() - self.received;
        let count = match self.stream.read(&mut answer[..room]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            read => read?,
        };
        if count == 0 || answer[..count] != REQUEST[self.received..][..count] {
            return Err(io::Error::other("the server does not echo"));
        }
        self.received += count;
        Ok(self.received == REQUEST.len())
    }
}
