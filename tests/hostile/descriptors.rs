//! Descriptors run out: errors that say so, no panics, and everything works again afterwards.

use crate::child::{self, limit};
use crate::waits::descriptors::unix_address;
use crate::waits::wait_for;
use cove::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

/// So many descriptors may the children have.
const OPEN_MAX: u64 = 64;

/// Takes every descriptor that is left.
fn take_all() -> Vec<File> {
    let mut taken = Vec::with_capacity(OPEN_MAX as usize);
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    taken
}

#[track_caller]
fn is_out<T>(outcome: io::Result<T>) {
    let error = outcome.err().expect("no descriptor is left");
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
}

/// A connection that is in the listener's queue, made with one of the descriptors taken.
fn knock(taken: &mut Vec<File>, address: SocketAddr) -> std::net::TcpStream {
    drop(taken.pop());
    std::net::TcpStream::connect(address).expect("a connection")
}

/// Goal: `accept` fails while there is no descriptor, also one that waited before, and gets the
/// connection once there is one. Method: a limit of 64, twice.
#[test]
fn accept_keeps_working_after_descriptors_ran_out() {
    child::alone("descriptors::accept_keeps_working_after_descriptors_ran_out", || {
        limit(libc::RLIMIT_NOFILE, OPEN_MAX);
        cove::run(|| {
            let listener = std::rc::Rc::new(TcpListener::bind("127.0.0.1:0").expect("a listener"));
            let address = listener.local_addr().expect("an address");
            for round in 0..2 {
                let waiting: Vec<_> = (0..3)
                    .map(|_| {
                        let listener = listener.clone();
                        cove::spawn(move || listener.accept().map(drop))
                    })
                    .collect();
                waiting.iter().for_each(|waiting| wait_for(&waiting.task(), "reading"));
                let mut taken = take_all();
                let mut peer = knock(&mut taken, address);
                for waiting in waiting {
                    is_out(waiting.join().expect("no panic"));
                }
                is_out(listener.accept());
                is_out(listener.accept());
                taken.pop();
                let (mut stream, from) = listener.accept().expect("a descriptor");
                assert_eq!(from, peer.local_addr().expect("an address"), "round {round}");
                peer.write_all(b"still here").expect("sent");
                let mut bytes = [0; 10];
                stream.read_exact(&mut bytes).expect("bytes");
                assert_eq!(&bytes, b"still here");
                drop(taken);
                // And the next one, waited for as ever.
                let accepting = listener.clone();
                let accepting = cove::spawn(move || accepting.accept().map(drop));
                wait_for(&accepting.task(), "reading");
                let _peer = std::net::TcpStream::connect(address).expect("a connection");
                accepting.join().expect("no panic").expect("a connection");
            }
        });
    });
}

/// Goal: whatever needs a descriptor gives an error, and a good result afterwards. Method: each
/// constructor, with none left and with some.
#[test]
fn everything_that_needs_a_descriptor_gives_an_error() {
    child::alone("descriptors::everything_that_needs_a_descriptor_gives_an_error", || {
        limit(libc::RLIMIT_NOFILE, OPEN_MAX);
        cove::run(|| {
            // The pool's thread is there, and the sockets that the tests need.
            cove::task::blocking(|| ());
            let tcp = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let address = tcp.local_addr().expect("an address");
            let unix = unix_address();
            let _unix_listener = UnixListener::bind_addr(&unix).expect("a listener");
            let (pair, _twin) = UnixStream::pair().expect("a pair");
            let taken = take_all();
            is_out(TcpStream::connect(address));
            is_out(TcpListener::bind("127.0.0.1:0"));
            is_out(TcpListener::bind_reuse_port("127.0.0.1:0"));
            is_out(UdpSocket::bind("127.0.0.1:0"));
            is_out(UnixStream::connect_addr(&unix));
            is_out(UnixListener::bind_addr(&unix_address()));
            is_out(UnixStream::pair());
            is_out(UnixDatagram::pair());
            is_out(pair.try_clone());
            is_out(cove::fs::File::open("/dev/null"));
            is_out(cove::fs::read("/dev/null"));
            is_out(cove::fs::read_dir("/dev").map(drop));
            is_out(cove::signal::ctrl_c());
            // Which error, is glibc's choice: it cannot read /etc/hosts.
            let found = cove::net::ToSocketAddrs::to_socket_addrs("a-name.invalid:80");
            assert!(found.is_err());
            assert!(cove::task::dump().len() == 1);
            drop(taken);
            drop(TcpStream::connect(address).expect("a descriptor"));
            drop(UnixStream::connect_addr(&unix).expect("a descriptor"));
            drop(pair.try_clone().expect("a descriptor"));
            drop(cove::fs::File::open("/dev/null").expect("a descriptor"));
            let found = cove::net::ToSocketAddrs::to_socket_addrs("localhost:80");
            assert!(found.expect("addresses").next().is_some());
        });
    });
}

/// Goal: a socket can be closed when no descriptor is left to keep its number. Method: the first
/// `close` of the process, with none left, under a waiter.
#[test]
fn closing_needs_no_descriptor() {
    child::alone("descriptors::closing_needs_no_descriptor", || {
        limit(libc::RLIMIT_NOFILE, OPEN_MAX);
        cove::run(|| {
            let (near, mut far) = UnixStream::pair().expect("a pair");
            let near = std::rc::Rc::new(near);
            let reading = near.clone();
            let reading = cove::spawn(move || (&*reading).read(&mut [0]));
            wait_for(&reading.task(), "reading");
            let taken = take_all();
            near.close();
            let error = reading.join().expect("no panic").expect_err("closed");
            assert_eq!(error.raw_os_error(), Some(libc::EBADF));
            drop(near);
            assert_eq!(far.read(&mut [0]).expect("the end"), 0);
            drop(taken);
        });
    });
}

/// Goal: no runtime without descriptors: an error that says how to get some, nothing left behind,
/// and a good one later. Method: none left; then enough for one worker but not for four.
#[test]
fn building_a_runtime_without_descriptors_is_an_error() {
    child::alone("descriptors::building_a_runtime_without_descriptors_is_an_error", || {
        limit(libc::RLIMIT_NOFILE, OPEN_MAX);
        drop(cove::Builder::new().workers(4).build().expect("a runtime"));
        let mut taken = take_all();
        let all = taken.len();
        for left in 0..8 {
            for workers in [1, 4] {
                let built = cove::Builder::new().workers(workers).build();
                if 2 * workers <= left {
                    assert_eq!(built.expect("enough").run(|| 1), 1);
                } else {
                    let error = built.expect_err("no descriptor is left").to_string();
                    assert!(error.contains("ulimit -n"), "{error}");
                }
            }
            taken.pop();
        }
        drop(taken);
        assert_eq!(take_all().len(), all, "descriptors have leaked");
    });
}
