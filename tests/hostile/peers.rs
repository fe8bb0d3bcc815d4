//! The other side of a connection misbehaves: it resets, goes half-way, does not read, does not
//! speak, or speaks out of turn.

use crate::child;
use crate::waits::descriptors::tcp_pair;
use crate::waits::wait_for;
use cove::net::{Shutdown, TcpListener, TcpStream};
use cove::time::{self, Duration, Instant};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;

/// Short, for waits that must end by it.
const BOUND: Duration = Duration::from_millis(20);

/// Closes so that the other side sees a reset, not an end.
fn reset(stream: TcpStream) {
    stream.set_linger(Some(Duration::ZERO)).expect("an option");
}

/// Goal: a reset ends a read that waits, and later operations, with errors. Method: reset in the
/// middle of a message.
#[test]
fn reset_ends_a_read_that_waits() {
    child::in_runtime("peers::reset_ends_a_read_that_waits", || {
        let (mut near, mut far) = tcp_pair();
        far.write_all(b"half a mess").expect("sent");
        let reading = cove::spawn(move || {
            let mut bytes = [0; 16];
            let outcome = near.read_exact(&mut bytes);
            (outcome, bytes, near)
        });
        wait_for(&reading.task(), "reading");
        reset(far);
        let (outcome, bytes, mut near) = reading.join().expect("no panic");
        assert_eq!(outcome.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
        assert_eq!(&bytes[..11], b"half a mess");
        // No signal, however often.
        for _ in 0..3 {
            let error = near.write(b"x").expect_err("nobody is there");
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
        assert_eq!(near.read(&mut [0]).expect("the end"), 0);
    });
}

/// Goal: a reset ends a write that waits. Method: fill the peer's window, then reset.
#[test]
fn reset_ends_a_write_that_waits() {
    child::in_runtime("peers::reset_ends_a_write_that_waits", || {
        let (mut near, far) = tcp_pair();
        let writing = cove::spawn(move || near.write_all(&vec![0; 64 << 20]));
        wait_for(&writing.task(), "writing");
        reset(far);
        let error = writing.join().expect("no panic").expect_err("a reset");
        let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(kinds.contains(&error.kind()), "{error}");
    });
}

/// Goal: one direction ends, the other goes on. Method: shut down ours, theirs; read all.
#[test]
fn half_closed_connections_work_the_other_way() {
    child::in_runtime("peers::half_closed_connections_work_the_other_way", || {
        let (mut near, mut far) = tcp_pair();
        let server = cove::spawn(move || {
            let mut request = String::new();
            far.read_to_string(&mut request)?;
            // The request has ended; the answer is longer than any buffer.
            far.write_all(request.repeat(1 << 20).as_bytes())?;
            far.shutdown(Shutdown::Write)?;
            // And nothing more comes from there.
            far.read(&mut [0])
        });
        near.write_all(b"answer").expect("sent");
        near.shutdown(Shutdown::Write).expect("an end");
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).expect("an answer");
        assert_eq!(answer.len(), 6 << 20);
        assert_eq!(server.join().expect("no panic").expect("the end"), 0);
        let error = near.write(b"x").expect_err("our direction has ended");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

/// Goal: a peer that does not read cannot hold a writer for longer than its deadline. Method:
/// write_all under a deadline scope, then with a time-out of the socket; every byte that was said
/// to be written arrives.
#[test]
fn client_that_never_reads_is_bounded() {
    child::in_runtime("peers::client_that_never_reads_is_bounded", || {
        let (near, mut far) = tcp_pair();
        let mut written = 0;
        let start = Instant::now();
        let outcome = time::timeout(BOUND, || {
            loop {
                match (&near).write(&[7; 10_000]) {
                    Ok(count) => written += count,
                    Err(error) => return error.kind(),
                }
            }
        });
        assert_eq!(outcome, Ok(ErrorKind::TimedOut));
        assert!(start.elapsed() >= BOUND);
        near.set_write_timeout(Some(BOUND)).expect("a time-out");
        let error = (&near).write(&[7; 10_000]).expect_err("no room");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        drop(near);
        let mut received = Vec::new();
        far.read_to_end(&mut received).expect("bytes");
        assert_eq!(received.len(), written);
        assert!(received.iter().all(|byte| *byte == 7));
    });
}

/// Goal: a peer that does not speak cannot hold a reader for longer than its deadline, and the
/// connection is as good as before. Method: bounded reads, then a message.
#[test]
fn silent_peer_is_bounded() {
    child::in_runtime("peers::silent_peer_is_bounded", || {
        let (near, mut far) = tcp_pair();
        for _ in 0..3 {
            let outcome = time::timeout(BOUND, || (&near).read(&mut [0]));
            let error = outcome.expect("an error of its own").expect_err("silence");
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            near.set_read_timeout(Some(BOUND)).expect("a time-out");
            let error = (&near).read(&mut [0]).expect_err("silence");
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            near.set_read_timeout(None).expect("no time-out");
        }
        far.write_all(b"!").expect("sent");
        assert_eq!((&near).read(&mut [0; 9]).expect("a byte"), 1);
    });
}

/// Goal: a peer that trickles its bytes holds nobody else up. Method: a byte for each turn of
/// another client, whose requests are all answered meanwhile.
#[test]
fn trickling_peer_holds_nobody_up() {
    child::in_runtime("peers::trickling_peer_holds_nobody_up", || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let server = cove::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                cove::spawn(move || {
                    let mut request = [0; 100];
                    while stream.read_exact(&mut request).is_ok() {
                        stream.write_all(&request).expect("sent");
                    }
                });
            }
        });
        let mut slow = TcpStream::connect(address).expect("a connection");
        let mut fast = TcpStream::connect(address).expect("a connection");
        for byte in 0..100 {
            slow.write_all(&[byte]).expect("sent");
            let mut answer = [0; 100];
            fast.write_all(&[byte; 100]).expect("sent");
            fast.read_exact(&mut answer).expect("an answer");
            assert_eq!(answer, [byte; 100]);
        }
        let mut answer = [0; 100];
        slow.read_exact(&mut answer).expect("an answer");
        assert!(answer.iter().zip(0..).all(|(byte, wanted)| *byte == wanted));
        server.cancel();
        assert!(server.join().is_err());
    });
}

/// Goal: connections that are reset before or just after they are accepted do not stop a server.
/// Method: many, in all orders; one good one in between is served each time.
#[test]
fn storm_of_resets_does_not_stop_a_server() {
    child::in_runtime("peers::storm_of_resets_does_not_stop_a_server", || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let server = cove::spawn(move || {
            loop {
                match listener.accept() {
                    Ok((mut stream, _)) => {
                        drop(cove::spawn(move || io::copy(&mut stream.try_clone()?, &mut stream)))
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionAborted),
                }
            }
        });
        for round in 0..50_u8 {
            for number in 0..10 {
                let mut stream = TcpStream::connect(address).expect("a connection");
                if number % 2 == 0 {
                    stream.write_all(b"something that is never read").expect("sent");
                }
                if number % 3 == 0 {
                    cove::task::yield_now();
                }
                reset(stream);
            }
            let mut good = TcpStream::connect(address).expect("a connection");
            good.write_all(&[round; 10]).expect("sent");
            let mut echo = [0; 10];
            good.read_exact(&mut echo).expect("an echo");
            assert_eq!(echo, [round; 10]);
        }
        server.cancel();
        assert!(server.join().is_err());
    });
}

/// Goal: urgent data, which has an event of its own, neither ends a read nor hides what follows.
/// Method: MSG_OOB before, between and after ordinary bytes, while a read waits.
#[test]
fn urgent_data_hides_nothing() {
    child::in_runtime("peers::urgent_data_hides_nothing", || {
        let (mut near, mut far) = tcp_pair();
        let reading = cove::spawn(move || {
            let mut all = Vec::new();
            near.read_to_end(&mut all).map(|_| all)
        });
        for _ in 0..10 {
            wait_for(&reading.task(), "reading");
            let fd = far.as_raw_fd();
            // SAFETY: the byte is readable.
            let sent = unsafe { libc::send(fd, b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
            assert_eq!(sent, 1);
            far.write_all(b"ordinary").expect("sent");
        }
        drop(far);
        let mut all = reading.join().expect("no panic").expect("bytes");
        // The kernel makes an urgent byte an ordinary one when the next comes.
        all.retain(|byte| *byte != b'!');
        assert_eq!(all, b"ordinary".repeat(10));
    });
}
