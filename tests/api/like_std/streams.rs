//! Streams: TCP and Unix.

use super::super::log::Log;
use super::net::{Shutdown, TcpListener, TcpStream};
use super::thread;
use super::unix::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use crate::support::Scratch;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::time::Duration;

/// Long enough to be read back in whatever unit the system keeps it.
const SECONDS: Duration = Duration::from_millis(7000);

/// As short as a wait that is to end may be.
const MOMENT: Duration = Duration::from_millis(1);

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let near = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
    (near, listener.accept().expect("accepted").0)
}

pub(crate) fn options(log: &mut Log) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a listener");
    log.outcome(listener.local_addr().map(|address| address.ip()));
    log.outcome(listener.set_ttl(41));
    log.outcome(listener.ttl());
    log.outcome(listener.take_error().map(|error| error.is_none()));
    let address = listener.local_addr().expect("its address");
    let near = TcpStream::connect_timeout(&address, Duration::from_secs(60)).expect("connected");
    let (far, from) = listener.accept().expect("accepted");
    log.value(Some(from) == near.local_addr().ok());
    log.value(far.peer_addr().ok() == near.local_addr().ok());
    log.value(near.peer_addr().ok() == Some(address));
    for stream in [&near, &far] {
        log.outcome(stream.nodelay());
        log.outcome(stream.set_nodelay(true));
        log.outcome(stream.nodelay());
        log.outcome(stream.set_ttl(0));
        log.outcome(stream.set_ttl(43));
        log.outcome(stream.ttl());
        log.outcome(stream.read_timeout());
        log.outcome(stream.write_timeout());
        log.outcome(stream.set_read_timeout(Some(SECONDS)));
        log.outcome(stream.read_timeout());
        log.outcome(stream.write_timeout());
        log.outcome(stream.set_write_timeout(Some(2 * SECONDS)));
        log.outcome(stream.write_timeout());
        log.outcome(stream.set_read_timeout(None));
        log.outcome(stream.read_timeout());
        log.outcome(stream.set_read_timeout(Some(Duration::ZERO)));
        log.outcome(stream.set_write_timeout(Some(Duration::ZERO)));
        log.outcome(stream.write_timeout());
        log.outcome(stream.take_error().map(|error| error.is_none()));
        let clone = stream.try_clone().expect("a clone");
        log.outcome(clone.ttl());
        log.outcome(clone.write_timeout());
        log.value(clone.peer_addr().ok() == stream.peer_addr().ok());
    }
}

pub(crate) fn transfers(log: &mut Log) {
    let (mut near, mut far) = pair();
    let mut buffer = [0; 8];
    log.outcome(near.write(b"abcdef"));
    log.outcome(far.peek(&mut buffer[..3]));
    log.value(buffer);
    log.outcome(far.read(&mut buffer[..2]));
    let (mut one, mut two) = ([0; 1], [0; 9]);
    log.outcome(far.read_vectored(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)]));
    log.value((one, two));
    log.outcome(near.write_vectored(&[IoSlice::new(b"gh"), IoSlice::new(b""), IoSlice::new(b"i")]));
    log.outcome(far.read_exact(&mut buffer[..3]));
    log.value(buffer);
    log.outcome(near.write(b""));
    log.outcome(near.flush());

    let reader = thread::spawn(move || {
        let mut text = String::new();
        let outcome = far.read_to_string(&mut text).map(|count| (count, text));
        (outcome, far)
    });
    log.outcome((&near).write_all(b"the end"));
    log.outcome(near.shutdown(Shutdown::Write));
    let (outcome, mut far) = reader.join().expect("no panic");
    log.outcome(outcome);
    log.outcome(near.write(b"x"));
    log.outcome(far.read(&mut buffer));
    log.outcome(far.peek(&mut buffer));
    log.outcome(far.write_all(b"the other way"));
    drop(far);
    let mut bytes = Vec::new();
    log.outcome(near.read_to_end(&mut bytes));
    log.value(bytes);
    log.outcome(near.shutdown(Shutdown::Both));
    log.outcome(near.read(&mut buffer));
    log.outcome(near.shutdown(Shutdown::Both));

    let (mut near, far) = pair();
    log.outcome(far.shutdown(Shutdown::Read));
    log.outcome((&far).read(&mut buffer));
    drop(far);
    log.outcome(near.read_exact(&mut buffer));
}

pub(crate) fn errors(log: &mut Log) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    log.outcome(TcpListener::bind(address).map(drop));
    drop(listener);
    log.outcome(TcpStream::connect(address).map(drop));
    log.outcome(TcpStream::connect_timeout(&address, SECONDS).map(drop));
    log.outcome(TcpStream::connect_timeout(&address, Duration::ZERO).map(drop));
    let nowhere: &[SocketAddr] = &[];
    log.outcome(TcpStream::connect(nowhere).map(drop));
    log.outcome(TcpListener::bind(nowhere).map(drop));
    log.outcome(TcpStream::connect("127.0.0.1").map(drop));
    log.outcome(TcpStream::connect("127.0.0.1:port").map(drop));
    log.outcome(TcpStream::connect("127.0.0.1:123456").map(drop));
    log.outcome(TcpListener::bind("192.0.2.1:0").map(drop));
    // Several addresses are tried in turn, and the last one's error counts.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let good = listener.local_addr().expect("its address");
    let both = [address, good];
    log.outcome(TcpStream::connect(&both[..]).map(|stream| stream.peer_addr().ok() == Some(good)));
    log.outcome(TcpStream::connect(&[address, address][..]).map(drop));
}

pub(crate) fn modes(log: &mut Log) {
    let (near, far) = pair();
    let mut buffer = [0; 4];
    log.outcome(near.set_read_timeout(Some(MOMENT)));
    log.outcome((&near).read(&mut buffer));
    log.outcome(near.peek(&mut buffer));
    log.outcome(near.set_nonblocking(true));
    log.outcome((&near).read(&mut buffer));
    let full = vec![7; 1 << 20];
    let blocked = std::iter::repeat_with(|| (&near).write(&full)).find(Result::is_err);
    log.outcome(blocked.expect("it fills"));
    log.outcome(near.set_nonblocking(false));
    log.outcome(near.set_write_timeout(Some(MOMENT)));
    let blocked = std::iter::repeat_with(|| (&near).write(&full)).find(Result::is_err);
    log.outcome(blocked.expect("it fills"));
    // Still usable.
    log.outcome((&far).write(b"go"));
    log.outcome(near.set_read_timeout(None));
    log.outcome((&near).read(&mut buffer));

    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    log.outcome(listener.set_nonblocking(true));
    log.outcome(listener.accept().map(drop));
    let first = listener.incoming().next();
    log.outcome(first.expect("it never ends").map(drop));
}

pub(crate) fn unix_streams(log: &mut Log) {
    let (mut near, mut far) = UnixStream::pair().expect("a pair");
    let mut buffer = [0; 4];
    log.outcome(near.local_addr().map(|address| address.is_unnamed()));
    log.outcome(near.write(b"ab"));
    log.outcome(far.read(&mut buffer));
    log.outcome(far.set_read_timeout(Some(MOMENT)));
    log.outcome(far.read(&mut buffer));
    log.outcome(near.shutdown(Shutdown::Write));
    log.outcome(far.read(&mut buffer));
    drop(far);
    log.outcome(near.write(b"x"));
    log.outcome(near.take_error().map(|error| error.is_none()));

    let scratch = Scratch::new();
    let path = scratch.path("s");
    log.outcome(UnixStream::connect(&path).map(drop));
    let listener = UnixListener::bind(&path).expect("a listener");
    log.outcome(UnixListener::bind(&path).map(drop));
    let address = listener.local_addr().expect("its address");
    log.value(address.as_pathname() == Some(&path));
    let mut near = UnixStream::connect(&path).expect("connected");
    let (mut far, from) = listener.accept().expect("accepted");
    log.value(from.is_unnamed());
    log.outcome(near.peer_addr().map(|peer| peer.as_pathname() == Some(&path)));
    log.outcome(near.write_all(b"path"));
    log.outcome(far.read(&mut buffer));
    log.value(buffer);
    log.outcome(near.read_vectored(&mut []));
    drop(listener);
    log.outcome(UnixStream::connect(&path).map(drop));
    log.outcome(UnixStream::connect("/".repeat(200)).map(drop));

    // Both libraries want the name, at different times.
    let name = format!("cove-api-{}", scratch.root().display());
    let address = UnixAddr::from_abstract_name(name.as_bytes()).expect("a name");
    let listener = UnixListener::bind_addr(&address).expect("a listener");
    let near = UnixStream::connect_addr(&address).expect("connected");
    log.outcome(listener.accept().map(|(_, from)| from.is_unnamed()));
    log.outcome(near.peer_addr().map(|peer| peer.as_abstract_name() == Some(name.as_bytes())));
    drop(listener);
    log.outcome(UnixStream::connect_addr(&address).map(drop));
}
