//! Waits for descriptors: sockets, signals, files.

use super::{Case, Kind, MANY, hold, wait_for};
use cove::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, unix};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

const fn kind(name: &'static str, shown: &'static str, make: fn() -> Case) -> Kind {
    Kind { name, shown, is_io: true, sharers_max: MANY, total_max: MANY, make }
}

/// Those that cost a descriptor for each that waits.
const fn costly(name: &'static str, shown: &'static str, make: fn() -> Case) -> Kind {
    Kind { total_max: 100, ..kind(name, shown, make) }
}

pub(crate) const KINDS: &[Kind] = &[
    kind("read", "reading", read),
    kind("read, Unix", "reading", read_unix),
    kind("peek", "reading", peek),
    kind("write", "writing", write),
    kind("write, Unix", "writing", write_unix),
    kind("accept", "reading", accept),
    kind("accept, Unix", "reading", accept_unix),
    costly("connect", "writing", connect),
    costly("connect, Unix", "writing", connect_unix),
    kind("receive a datagram", "reading", receive_udp),
    kind("receive a datagram, Unix", "reading", receive_unix),
    kind("send a datagram, Unix", "writing", send_unix),
    costly("ctrl_c", "reading", ctrl_c),
    Kind { total_max: 5000, ..kind("file", "blocking call", file) },
];

/// Two ends of a TCP connection.
pub(crate) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let near = TcpStream::connect(address).expect("a connection");
    (near, listener.accept().expect("a connection").0)
}

/// Reads what comes next, of what `stream` refers to.
fn receives(mut stream: impl Read, wanted: &[u8]) {
    let mut bytes = vec![0; wanted.len()];
    stream.read_exact(&mut bytes).expect("bytes");
    assert_eq!(bytes, wanted);
}

fn read() -> Case {
    let (near, mut far) = tcp_pair();
    let near = Rc::new(near);
    let reading = near.clone();
    let check = move || {
        far.write_all(b"later").expect("sent");
        receives(&*near, b"later");
    };
    Case::new(move || (&*reading).read(&mut [0; 16]).map(drop), check)
}

fn read_unix() -> Case {
    let (near, mut far) = UnixStream::pair().expect("a pair");
    let near = Rc::new(near);
    let reading = near.clone();
    let check = move || {
        far.write_all(b"later").expect("sent");
        receives(&*near, b"later");
    };
    Case::new(move || (&*reading).read(&mut [0; 16]).map(drop), check)
}

fn peek() -> Case {
    let (near, mut far) = tcp_pair();
    let near = Rc::new(near);
    let peeking = near.clone();
    let check = move || {
        far.write_all(b"later").expect("sent");
        assert_eq!(near.peek(&mut [0; 5]).expect("bytes"), 5);
        receives(&*near, b"later");
    };
    Case::new(move || peeking.peek(&mut [0; 16]).map(drop), check)
}

/// Fills a stream until it takes no more; returns the number of bytes.
pub(crate) fn fill(
    mut stream: impl Write,
    set_nonblocking: impl Fn(bool) -> io::Result<()>,
) -> usize {
    set_nonblocking(true).expect("a mode");
    let mut filled = 0;
    loop {
        match stream.write(&[b'x'; 4096]) {
            Ok(count) => filled += count,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                break;
            }
        }
    }
    set_nonblocking(false).expect("a mode");
    filled
}

/// A stream that is full, whose other end reads later on.
fn write_to<S, F>(near: S, far: F, set_nonblocking: fn(&S, bool) -> io::Result<()>) -> Case
where
    S: 'static,
    for<'a> &'a S: Write,
    F: Read + 'static,
{
    let filled = Rc::new(Cell::new(fill(&near, |mode| set_nonblocking(&near, mode))));
    let (near, count) = (Rc::new(near), filled.clone());
    let writing = near.clone();
    // The kernel may find some more room, when acknowledgements arrive.
    let wait = move || loop {
        count.set(count.get() + (&*writing).write(&[b'x'; 4096])?);
    };
    // Whatever was said to be written arrives, and then what is sent now; nothing in between.
    let check = move || {
        let mut far = far;
        let mut bytes = vec![0; filled.get()];
        far.read_exact(&mut bytes).expect("bytes");
        assert!(bytes.iter().all(|byte| *byte == b'x'));
        (&*near).write_all(b"later").expect("sent");
        receives(far, b"later");
    };
    Case::new(wait, check)
}

fn write() -> Case {
    let (near, far) = tcp_pair();
    write_to(near, far, TcpStream::set_nonblocking)
}

fn write_unix() -> Case {
    let (near, far) = UnixStream::pair().expect("a pair");
    write_to(near, far, UnixStream::set_nonblocking)
}

fn accept() -> Case {
    let listener = Rc::new(TcpListener::bind("127.0.0.1:0").expect("a listener"));
    let accepting = listener.clone();
    let check = move || {
        let address = listener.local_addr().expect("an address");
        let mut near = TcpStream::connect(address).expect("a connection");
        let (far, peer) = listener.accept().expect("a connection");
        assert_eq!(peer, near.local_addr().expect("an address"));
        near.write_all(b"later").expect("sent");
        receives(&far, b"later");
    };
    Case::new(move || accepting.accept().map(drop), check)
}

/// An abstract name that nobody else has.
pub(crate) fn unix_address() -> unix::SocketAddr {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("cove-hostile-{}-{number}", std::process::id());
    unix::SocketAddr::from_abstract_name(name).expect("a name")
}

fn accept_unix() -> Case {
    let address = unix_address();
    let listener = Rc::new(UnixListener::bind_addr(&address).expect("a listener"));
    let accepting = listener.clone();
    let check = move || {
        let mut near = UnixStream::connect_addr(&address).expect("a connection");
        let (far, _) = listener.accept().expect("a connection");
        near.write_all(b"later").expect("sent");
        receives(&far, b"later");
    };
    Case::new(move || accepting.accept().map(drop), check)
}

/// Changes how many connections may wait to be accepted.
fn set_backlog(listener: &impl AsRawFd, backlog: i32) {
    // SAFETY: listen(2) touches no memory of ours.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), backlog) }, 0);
}

/// A socket that has begun to connect.
fn begin_connect(address: SocketAddr) -> OwnedFd {
    let SocketAddr::V4(v4) = address else { unreachable!("bound to 127.0.0.1") };
    // SAFETY: the address is readable, of its size; the descriptor is new and ours.
    unsafe {
        let mut raw: libc::sockaddr_in = std::mem::zeroed();
        raw.sin_family = libc::AF_INET as libc::sa_family_t;
        raw.sin_port = v4.port().to_be();
        raw.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0);
        assert!(fd >= 0);
        libc::connect(fd, (&raw const raw).cast(), size_of::<libc::sockaddr_in>() as u32);
        OwnedFd::from_raw_fd(fd)
    }
}

fn connect() -> Case {
    // The listener's queue is full, so that the kernel drops whatever else knocks (listen(2)).
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    set_backlog(&listener, 0);
    let filling: Vec<_> = (0..4).map(|_| begin_connect(address)).collect();
    let check = move || {
        drop(filling);
        set_backlog(&listener, 128);
        let connecting = cove::spawn(move || TcpStream::connect(address).expect("a connection"));
        let wanted = connecting.task();
        let mut accepted = 0;
        while !connecting.is_finished() {
            // The filling ones, those of which the attempt was given up, and the one of interest.
            drop(cove::time::timeout(super::plain::MOMENT, || listener.accept()));
            accepted += 1;
            assert!(accepted < 1_000_000, "coroutine {} does not connect", wanted.id());
        }
        connecting.join().expect("connected");
    };
    Case::new(move || TcpStream::connect(address).map(drop), check)
}

fn connect_unix() -> Case {
    let address = unix_address();
    let listener = UnixListener::bind_addr(&address).expect("a listener");
    set_backlog(&listener, 0);
    let filling = UnixStream::connect_addr(&address).expect("a connection");
    let waiting_for = address.clone();
    let check = move || {
        drop(listener.accept().expect("the filling one"));
        drop(filling);
        let near = UnixStream::connect_addr(&address).expect("a connection");
        drop(listener.accept().expect("a connection"));
        assert_eq!((&near).read(&mut [0; 1]).expect("the end"), 0);
    };
    Case::new(move || UnixStream::connect_addr(&waiting_for).map(drop), check)
}

fn receive_udp() -> Case {
    let socket = Rc::new(UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    let receiving = socket.clone();
    let check = move || {
        let address = socket.local_addr().expect("an address");
        assert_eq!(socket.send_to(b"later", address).expect("sent"), 5);
        assert_eq!(socket.recv_from(&mut [0; 16]).expect("received"), (5, address));
    };
    Case::new(move || receiving.recv_from(&mut [0; 16]).map(drop), check)
}

fn receive_unix() -> Case {
    let (near, far) = UnixDatagram::pair().expect("a pair");
    let near = Rc::new(near);
    let receiving = near.clone();
    let check = move || {
        assert_eq!(far.send(b"later").expect("sent"), 5);
        assert_eq!(near.recv(&mut [0; 16]).expect("received"), 5);
    };
    Case::new(move || receiving.recv(&mut [0; 16]).map(drop), check)
}

fn send_unix() -> Case {
    let (near, far) = UnixDatagram::pair().expect("a pair");
    let near = Rc::new(near);
    near.set_nonblocking(true).expect("a mode");
    let mut filled = 0;
    while near.send(b"x").is_ok() {
        filled += 1;
    }
    near.set_nonblocking(false).expect("a mode");
    let sending = near.clone();
    let check = move || {
        (0..filled).for_each(|_| assert_eq!(far.recv(&mut [0; 16]).expect("received"), 1));
        assert_eq!(near.send(b"later").expect("sent"), 5);
        assert_eq!(far.recv(&mut [0; 16]).expect("received"), 5);
    };
    Case::new(move || sending.send(b"never").map(drop), check)
}

fn ctrl_c() -> Case {
    let check = || {
        let waiting = cove::spawn(|| cove::signal::ctrl_c().expect("a signal"));
        wait_for(&waiting.task(), "reading");
        // SAFETY: raise(3) touches no memory of ours; there is a handler.
        assert_eq!(unsafe { libc::raise(libc::SIGINT) }, 0);
        waiting.join().expect("told");
    };
    Case::new(cove::signal::ctrl_c, check)
}

fn file() -> Case {
    // A socket in the role of a slow file: the thread of the pool blocks in read(2).
    let (near, mut far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let near = Rc::new(cove::fs::File::from(OwnedFd::from(near)));
    let reading = near.clone();
    let check = move || {
        // The first byte goes to whoever was left behind in read(2), if a thread has come to it.
        let end = hold(move |held_up| {
            held_up();
            drop(far.write_all(b"xx"));
        });
        end();
        let mut last = [0];
        let count = (&*near).read(&mut last).expect("a byte or the end");
        assert!(count == 0 || last == *b"x");
    };
    Case::new(move || (&*reading).read(&mut [0; 1]).map(drop), check)
}
