//! Bytes over connections: what comes back is what was sent, as far as it comes.

use super::books::Books;
use super::life::Child;
use super::xorshift::Xorshift;
use cove::net::{Shutdown, TcpListener, TcpStream, UnixStream};
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The most bytes that are sent one way.
const BYTES_MAX: u64 = 60_000;

/// A connection.
pub(crate) trait Stream: 'static {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    fn end(&self) -> io::Result<()>;
    fn close(&self);
}

macro_rules! streams {
    ($($stream:ident),*) => {$(
        impl Stream for $stream {
            fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                (&mut &*self).read(buffer)
            }

            fn write(&self, bytes: &[u8]) -> io::Result<usize> {
                (&mut &*self).write(bytes)
            }

            fn end(&self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }

            fn close(&self) {
                $stream::close(self);
            }
        }
    )*};
}

streams!(TcpStream, UnixStream);

/// Two ends of a TCP connection. The first one resets when it is dropped, so that no number of a
/// port is kept by the kernel for a minute.
pub(crate) fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let near = TcpStream::connect(address)?;
    near.set_linger(Some(Duration::ZERO))?;
    Ok((near, listener.accept()?.0))
}

/// The byte at `place` of what is sent with this key.
fn byte_at(key: u64, place: u64) -> u8 {
    (key.wrapping_add(place).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Sends `count` bytes.
fn send(stream: &impl Stream, key: u64, count: u64) -> io::Result<()> {
    let mut sent = 0;
    while sent < count {
        let size = (count - sent).min(10_000);
        let bytes: Vec<u8> = (sent..sent + size).map(|place| byte_at(key, place)).collect();
        sent += stream.write(&bytes)? as u64;
    }
    stream.end()
}

/// Sends back whatever comes, until the end or an error.
fn echo(stream: &impl Stream) -> io::Result<()> {
    let mut buffer = vec![0; 5000];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return stream.end();
        }
        let mut written = 0;
        while written < count {
            written += stream.write(&buffer[written..count])?;
        }
    }
}

/// Sends bytes to an echo and reads them back, checking each.
pub(crate) fn exchange<S: Stream>(
    (near, far): (S, S),
    random: &mut Xorshift,
    books: &Arc<Books>,
) -> io::Result<()> {
    let (key, count) = (random.next(), 1 + random.below(BYTES_MAX));
    let near = Rc::new(near);
    let sending = near.clone();
    let echo = Child::new(cove::spawn(move || echo(&far)));
    let sender = Child::new(cove::spawn(move || send(&*sending, key, count)));
    let mut buffer = vec![0; 7000];
    let mut place = 0;
    loop {
        let size = near.read(&mut buffer)?;
        for byte in &buffer[..size] {
            assert_eq!(*byte, byte_at(key, place), "byte {place} of {count}");
            place += 1;
        }
        if size == 0 {
            break;
        }
    }
    books.bytes.fetch_add(place, Ordering::Relaxed);
    assert_eq!(place, count, "the echo ended early");
    sender.join().expect("no panic")?;
    drop(near);
    // A reset may have overtaken the end.
    let _ = echo.join().expect("no panic");
    Ok(())
}

/// Closes a connection under somebody who reads.
pub(crate) fn close_under_reader<S: Stream>((near, far): (S, S)) {
    let near = Rc::new(near);
    let reading = near.clone();
    let reader = Child::new(cove::spawn(move || reading.read(&mut [0; 8])));
    cove::task::yield_now();
    near.close();
    let error = reader.join().expect("no panic").expect_err("closed");
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    drop(far);
}

/// A wait for bytes may end by a deadline scope, and by nothing else.
pub(crate) fn expect_ended_in_time(outcome: io::Result<()>) {
    if let Err(error) = outcome {
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    }
}
