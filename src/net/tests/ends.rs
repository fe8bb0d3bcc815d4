//! How connections end: half closed, reset, hung up, with data before the end.

use super::{kind, tcp_pair, unix_pair};
use crate::net::{Shutdown, UnixStream};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

#[test]
fn a_half_closed_stream_still_sends() {
    // Goal: the two directions end apart. Method: the client ends its half; the server reads all,
    // then answers.
    crate::run(|| {
        let (mut near, mut far) = tcp_pair();
        let server = crate::spawn(move || {
            let mut request = String::new();
            far.read_to_string(&mut request).expect("read");
            far.write_all(request.to_uppercase().as_bytes()).expect("write");
        });
        near.write_all(b"half").expect("write");
        near.shutdown(Shutdown::Write).expect("shutdown");
        assert_eq!(kind(near.write(b"x")), Some(io::ErrorKind::BrokenPipe));
        let mut answer = String::new();
        near.read_to_string(&mut answer).expect("read");
        assert_eq!(answer, "HALF");
        server.join().expect("server");
    });
}

#[test]
fn the_end_behind_data_is_seen() {
    // Goal: a short read does not hide the end that came with it in one event. Method: a reader
    // waits; data and end arrive before the kernel is asked.
    fn check(mut near: impl Read + 'static, mut far: impl Write) {
        let reader = crate::spawn(move || {
            let mut buffer = [0; 64];
            (near.read(&mut buffer).expect("data"), near.read(&mut buffer).expect("the end"))
        });
        crate::task::yield_now();
        far.write_all(b"last words").expect("write");
        drop(far);
        assert_eq!(reader.join().expect("reader"), (10, 0));
    }
    crate::run(|| {
        let (near, far) = tcp_pair();
        check(near, far);
        let (near, far) = unix_pair();
        check(near, far);
    });
}

#[test]
fn data_behind_the_urgent_mark_is_read() {
    // Goal: a read that stops at the mark has not drained the stream. Method: data, an urgent byte,
    // data, all before the kernel is asked.
    crate::run(|| {
        let (mut near, mut far) = tcp_pair();
        let reader = crate::spawn(move || {
            let mut text = String::new();
            near.read_to_string(&mut text).map(|_| text)
        });
        crate::task::yield_now();
        far.write_all(b"front").expect("write");
        // SAFETY: one readable byte.
        let sent = unsafe { libc::send(far.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
        assert_eq!(sent, 1);
        far.write_all(b"back").expect("write");
        drop(far);
        assert_eq!(reader.join().expect("reader").expect("read"), "frontback");
    });
}

#[test]
fn data_behind_a_passed_descriptor_is_read() {
    // Goal: a read of a Unix stream that stops behind a descriptor has not drained it. Method:
    // bytes with a descriptor, then more, all before the kernel is asked.
    crate::run(|| {
        let (mut near, far) = unix_pair();
        let reader = crate::spawn(move || {
            let mut buffer = [0; 64];
            (near.read(&mut buffer).expect("front"), near.read(&mut buffer).expect("back"))
        });
        crate::task::yield_now();
        send_with_descriptor(&far, b"front");
        (&far).write_all(b"and back").expect("write");
        assert_eq!(reader.join().expect("reader"), (5, 8));
    });
}

/// Sends `bytes` and a duplicate of the sender itself.
fn send_with_descriptor(to: &UnixStream, bytes: &[u8]) {
    // SAFETY: zeroes are valid for both; every pointer set below leads to memory of the size set
    // with it, which lives through the call; the control buffer has room for one descriptor.
    unsafe {
        let mut control = [0_u64; 4];
        let mut part: libc::iovec = std::mem::zeroed();
        part.iov_base = bytes.as_ptr().cast_mut().cast();
        part.iov_len = bytes.len();
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(to.as_raw_fd());
        assert_eq!(libc::sendmsg(to.as_raw_fd(), &message, 0), bytes.len() as isize);
    }
}

#[test]
fn a_reset_ends_the_waits_of_both_sides() {
    // Goal: an error wakes readers and writers. Method: one of each waits; the peer resets.
    crate::run(|| {
        let (near, far) = tcp_pair();
        crate::scope(|scope| {
            let reader = scope.spawn(|| (&near).read(&mut [0; 8]));
            let writer = scope.spawn(|| (&near).write_all(&vec![0; 20_000_000]));
            crate::task::yield_now();
            far.set_linger(Some(Duration::ZERO)).expect("linger");
            assert_eq!(far.linger().expect("linger"), Some(Duration::ZERO));
            drop(far);
            // The error itself is told once; what follows it is an end of file or a broken pipe.
            let read = reader.join().expect("reader");
            assert!(matches!(kind(read), None | Some(io::ErrorKind::ConnectionReset)));
            let written = kind(writer.join().expect("writer"));
            let ends = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
            assert!(written.is_some_and(|kind| ends.contains(&kind)));
        });
    });
}

#[test]
fn every_reader_sees_the_end() {
    // Goal: one event for the end, all waiters woken. Method: twenty readers of one stream.
    crate::run(|| {
        let (near, far) = tcp_pair();
        crate::scope(|scope| {
            let readers: Vec<_> =
                (0..20).map(|_| scope.spawn(|| (&near).read(&mut [0; 8]))).collect();
            crate::task::yield_now();
            drop(far);
            for reader in readers {
                assert_eq!(reader.join().expect("reader").expect("read"), 0);
            }
        });
    });
}

#[test]
fn writing_to_a_peer_that_is_gone_is_an_error_and_no_signal() {
    // Goal: EPIPE, never SIGPIPE, by each way to write. Method: the default action of SIGPIPE ends
    // the process, and Rust ignores the signal; so it is set to the default in a child.
    const CHILD: &str = "COVE_TEST_SIGPIPE";
    if std::env::var_os(CHILD).is_none() {
        let test = "writing_to_a_peer_that_is_gone_is_an_error_and_no_signal";
        return super::limits::in_a_child(&format!("net::tests::ends::{test}"), CHILD);
    }
    // SAFETY: the default action is always valid.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    crate::run(|| {
        let broken = Some(io::ErrorKind::BrokenPipe);
        let (mut near, far) = unix_pair();
        drop(far);
        assert_eq!(kind(near.write(b"x")), broken);
        assert_eq!(kind(near.write_vectored(&[io::IoSlice::new(b"x")])), broken);
        let (mut near, far) = tcp_pair();
        near.shutdown(Shutdown::Write).expect("shutdown");
        assert_eq!(kind(near.write(b"x")), broken);
        drop(far);
    });
}
