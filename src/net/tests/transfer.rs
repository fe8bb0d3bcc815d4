//! Moving bytes over streams: whole, in order, in parts, and without a call too many.

use super::{kind, listener, tcp_pair, unix_listener, unix_pair};
use crate::net::{Shutdown, TcpStream, UnixStream};
use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};

/// Echoes until the end.
fn echo(mut stream: impl Read + Write) -> io::Result<u64> {
    let mut buffer = [0; 4096];
    let mut total = 0;
    loop {
        let bytes = stream.read(&mut buffer)?;
        if bytes == 0 {
            return Ok(total);
        }
        stream.write_all(&buffer[..bytes])?;
        total += bytes as u64;
    }
}

/// Sends ten messages and checks what comes back.
fn ten_messages(mut stream: impl Read + Write) {
    for n in 0..10_u8 {
        stream.write_all(&[n; 100]).expect("write");
        let mut answer = [0; 100];
        stream.read_exact(&mut answer).expect("read");
        assert_eq!(answer, [n; 100]);
    }
}

#[test]
fn echo_over_each_kind_of_stream() {
    // Goal: listeners and streams work together. Method: ten messages over TCP, over a Unix
    // listener and over a pair.
    crate::run(|| {
        let (tcp, address) = listener();
        let server = crate::spawn(move || echo(tcp.accept()?.0));
        ten_messages(TcpStream::connect(address).expect("connect"));
        assert_eq!(server.join().expect("server").expect("echo"), 1000);
        let (unix, address) = unix_listener();
        let server = crate::spawn(move || echo(unix.into_iter().next().expect("endless")?));
        ten_messages(UnixStream::connect_addr(&address).expect("connect"));
        assert_eq!(server.join().expect("server").expect("echo"), 1000);
        let (near, far) = unix_pair();
        let server = crate::spawn(move || echo(far));
        ten_messages(&near);
        drop(near);
        assert_eq!(server.join().expect("server").expect("echo"), 1000);
    });
}

/// A byte of the test pattern, which repeats nowhere near.
fn pattern(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Sends `bytes` of the pattern in chunks of odd sizes while a coroutine reads and compares.
fn move_pattern(mut near: impl Write, mut far: impl Read + 'static, bytes: u64) {
    let reader = crate::spawn(move || {
        let mut buffer = vec![0; 70_001];
        let mut at = 0;
        loop {
            let got = far.read(&mut buffer).expect("read");
            if got == 0 {
                return at;
            }
            for byte in &buffer[..got] {
                assert_eq!(*byte, pattern(at), "byte {at}");
                at += 1;
            }
        }
    });
    let mut chunk = Vec::new();
    let mut at = 0;
    while at < bytes {
        let size = (1 + at % 150_000).min(bytes - at);
        chunk.clear();
        chunk.extend((at..at + size).map(pattern));
        near.write_all(&chunk).expect("write");
        at += size;
    }
    drop(near);
    assert_eq!(reader.join().expect("reader"), bytes);
}

#[test]
fn a_hundred_megabytes_arrive_in_order() {
    // Goal: no byte is lost, doubled or moved at any edge. Method: 100 MB over TCP, some over Unix,
    // each byte compared.
    const BYTES: u64 = 100_000_000;
    crate::run(|| {
        let (near, far) = tcp_pair();
        move_pattern(near, far, BYTES);
        let (near, far) = unix_pair();
        move_pattern(near, far, BYTES / 10);
    });
}

/// Writes more than the buffers hold while nobody reads, then reads all of it.
fn resume(mut near: impl Write + 'static, mut far: impl Read) {
    const BYTES: usize = 20_000_000;
    let state = std::rc::Rc::new(Cell::new("not begun"));
    let seen = state.clone();
    let writer = crate::spawn(move || {
        seen.set("begun");
        near.write_all(&vec![7; BYTES]).expect("write");
        seen.set("done");
    });
    crate::task::yield_now();
    assert_eq!(state.get(), "begun", "the writer waits for room");
    let mut all = Vec::new();
    far.read_to_end(&mut all).expect("read");
    assert_eq!(state.get(), "done");
    assert!(all.len() == BYTES && all.iter().all(|byte| *byte == 7));
    writer.join().expect("writer");
}

#[test]
fn write_resumes_after_partial_send() {
    // Goal: a writer that filled the buffer goes on when there is room. Method: 20 MB at once, read
    // only when the writer is known to wait.
    crate::run(|| {
        let (near, far) = tcp_pair();
        resume(near, far);
        let (near, far) = unix_pair();
        resume(near, far);
    });
}

#[test]
fn vectored_calls_move_all_parts() {
    // Goal: readv and writev. Method: three parts there, two parts here, over each kind.
    fn check(mut near: impl Write, mut far: impl Read) {
        let parts = [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"three")];
        assert_eq!(near.write_vectored(&parts).expect("writev"), 8);
        let (mut front, mut back) = ([0; 5], [0; 9]);
        let mut parts = [IoSliceMut::new(&mut front), IoSliceMut::new(&mut back)];
        assert_eq!(far.read_vectored(&mut parts).expect("readv"), 8);
        assert_eq!((&front, &back[..3]), (b"oneth", &b"ree"[..]));
    }
    crate::run(|| {
        let (near, far) = tcp_pair();
        check(&near, &far);
        let (near, far) = unix_pair();
        check(&near, &far);
    });
}

#[test]
fn peek_takes_nothing() {
    // Goal: a peek shorter than what there is, and one that drains nothing although it is short.
    // Method: peek with a small and a large buffer, wait for it once, then read.
    crate::run(|| {
        let (near, mut far) = tcp_pair();
        let reader = crate::spawn(move || {
            let mut buffer = [0; 16];
            assert_eq!(near.peek(&mut buffer).expect("peek"), 5);
            assert_eq!(near.peek(&mut buffer[..2]).expect("peek"), 2);
            assert_eq!(near.peek(&mut buffer).expect("peek"), 5);
            (&near).read(&mut buffer).expect("read")
        });
        crate::task::yield_now();
        far.write_all(b"hello").expect("write");
        assert_eq!(reader.join().expect("reader"), 5);
        let (near, mut far) = unix_pair();
        far.write_all(b"hello").expect("write");
        assert_eq!(near.peek(&mut [0; 16]).expect("peek"), 5);
    });
}

#[test]
fn nonblocking_mode_returns_instead_of_waiting() {
    // Goal: set_nonblocking is obeyed, and undone. Method: reads, accepts and writes that find
    // nothing; the mode of one handle is not that of its clone.
    crate::run(|| {
        let would_block = Some(io::ErrorKind::WouldBlock);
        let (near, mut far) = tcp_pair();
        let clone = near.try_clone().expect("a clone");
        near.set_nonblocking(true).expect("non-blocking");
        assert_eq!(kind((&near).read(&mut [0; 8])), would_block);
        far.write_all(b"ab").expect("write");
        assert_eq!((&clone).read(&mut [0; 1]).expect("read"), 1);
        assert_eq!((&near).read(&mut [0; 8]).expect("read"), 1);
        while (&near).write(&[0; 65_536]).is_ok() {}
        assert_eq!(kind((&near).write(b"x")), would_block);
        near.set_nonblocking(false).expect("waiting");
        let reader = crate::spawn(move || (&near).read(&mut [0; 8]));
        crate::task::yield_now();
        far.write_all(b"abc").expect("write");
        assert_eq!(reader.join().expect("reader").expect("read"), 3);
        let (listener, _) = listener();
        listener.set_nonblocking(true).expect("non-blocking");
        assert_eq!(kind(listener.accept()), would_block);
    });
}

#[test]
fn outside_a_runtime_the_thread_waits() {
    // Goal: the same code without a runtime. Method: an echo server on a plain thread; the client
    // in half-closed state, a read time-out.
    let (listener, address) = listener();
    let server = std::thread::spawn(move || echo(listener.accept()?.0));
    let mut stream = TcpStream::connect(address).expect("connect");
    ten_messages(&stream);
    let timeout = std::time::Duration::from_millis(2);
    stream.set_read_timeout(Some(timeout)).expect("a time-out");
    assert_eq!(kind(stream.read(&mut [0; 8])), Some(io::ErrorKind::WouldBlock));
    stream.shutdown(Shutdown::Write).expect("shutdown");
    stream.set_read_timeout(None).expect("no time-out");
    assert_eq!(stream.read(&mut [0; 8]).expect("the end"), 0);
    assert_eq!(server.join().expect("server").expect("echo"), 1000);
}
