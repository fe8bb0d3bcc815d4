//! Sockets as servers and clients use them: big transfers, many clients, names, deadlines, other
//! runtimes, conversions.

use crate::support::Scratch;
use cove::net::{
    TcpListener, TcpStream, ToSocketAddrs, UdpSocket, UnixDatagram, UnixListener, UnixStream,
};
use cove::sync::mpsc;
use cove::task;
use cove::time::{Duration, timeout};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

/// Bytes of a transfer that fills every buffer on its way several times.
const BIG: usize = 3 << 20;

/// As short as a wait that is to end may be.
const MOMENT: Duration = Duration::from_millis(1);

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let near = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
    (near, listener.accept().expect("accepted").0)
}

/// Bytes that show where each belongs, of one of several kinds.
fn pattern(seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let word = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed);
        (state >> 32).to_le_bytes()
    };
    (0..BIG / 8).flat_map(word).collect()
}

/// The FNV-1a hash of what comes up to the end, and how much it is.
fn checksum(mut from: impl Read) -> (usize, u64) {
    let (mut buffer, mut total, mut hash) = (vec![0; 40_000], 0, 0xcbf2_9ce4_8422_2325);
    loop {
        match from.read(&mut buffer).expect("read") {
            0 => return (total, hash),
            count => {
                total += count;
                for byte in &buffer[..count] {
                    hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
                }
            }
        }
    }
}

#[test]
fn megabytes_cross_in_both_directions_at_once() {
    // Goal: order and completeness under back-pressure. Method: clones of both ends write and read
    // patterns at the same time; checksums tell.
    fn check<S: Write + Read + 'static>(ends: [(S, S); 2], shut: fn(&S)) {
        let mut readers = Vec::new();
        for (seed, (mut writer, reader)) in ends.into_iter().enumerate() {
            cove::spawn(move || {
                writer.write_all(&pattern(seed as u64)).expect("written");
                shut(&writer);
            });
            readers.push(cove::spawn(move || checksum(reader)));
        }
        for (seed, reader) in readers.into_iter().enumerate() {
            // The reader of one end gets the pattern of the other.
            assert_eq!(reader.join().unwrap(), checksum(&pattern(1 - seed as u64)[..]));
        }
    }
    cove::run(|| {
        let (near, far) = pair();
        let clones = (near.try_clone().unwrap(), far.try_clone().unwrap());
        check([(near, clones.0), (far, clones.1)], |it| it.shutdown(Shutdown::Write).unwrap());
        let (near, far) = UnixStream::pair().unwrap();
        let clones = (near.try_clone().unwrap(), far.try_clone().unwrap());
        check([(near, clones.0), (far, clones.1)], |it| it.shutdown(Shutdown::Write).unwrap());
    });
}

#[test]
fn proxy_copies_between_sockets() {
    // Goal: io::copy and friends work on these types. Method: client - proxy - echo server; a
    // pattern goes round.
    cove::run(|| {
        let echo = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        let (to_echo, to_proxy) = (echo.local_addr().unwrap(), proxy.local_addr().unwrap());
        cove::spawn(move || {
            let (stream, _) = echo.accept().unwrap();
            io::copy(&mut &stream, &mut &stream).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        cove::spawn(move || {
            let (client, _) = proxy.accept().unwrap();
            let server = TcpStream::connect(to_echo).unwrap();
            cove::scope(|scope| {
                for (from, to) in [(&client, &server), (&server, &client)] {
                    scope.spawn(move || {
                        io::copy(&mut &*from, &mut &*to).unwrap();
                        to.shutdown(Shutdown::Write).unwrap();
                    });
                }
            });
        });
        let client = TcpStream::connect(to_proxy).unwrap();
        let mut writer = client.try_clone().unwrap();
        cove::spawn(move || {
            writer.write_all(&pattern(3)).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        assert_eq!(checksum(client), checksum(&pattern(3)[..]));
    });
}

#[test]
fn many_clients_talk_in_lines() {
    // Goal: a coroutine for each connection. Method: 60 clients at once, three requests each, with
    // std's BufReader around the streams.
    cove::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = cove::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                cove::spawn(move || {
                    let mut writer = client.try_clone().unwrap();
                    for line in BufReader::new(client).lines() {
                        let number: u32 = line.unwrap().parse().unwrap();
                        writeln!(writer, "{}", number + 1).unwrap();
                    }
                });
            }
        });
        let clients: Vec<_> = (0..60)
            .map(|number| {
                cove::spawn(move || {
                    let mut stream = TcpStream::connect(address).unwrap();
                    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
                    (0..3).fold(number, |number, _| {
                        writeln!(stream, "{number}").unwrap();
                        answers.next().unwrap().unwrap().parse().unwrap()
                    })
                })
            })
            .collect();
        let ends: Vec<u32> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        assert_eq!(ends, (3..63).collect::<Vec<_>>());
        server.cancel();
        assert!(server.join().is_err());
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn names_are_looked_up_wherever_addresses_go() {
    // Goal: ToSocketAddrs by name. Method: "localhost" in its forms, bound and connected to; what
    // std finds is what we find.
    cove::run(|| {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        for stream in [
            TcpStream::connect(("localhost", port)).unwrap(),
            TcpStream::connect(format!("localhost:{port}")).unwrap(),
            TcpStream::connect((String::from("localhost"), port)).unwrap(),
        ] {
            assert!(stream.peer_addr().unwrap().ip().is_loopback());
        }
        let ours: Vec<_> = ("localhost", port).to_socket_addrs().unwrap().collect();
        let of_std = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", port)).unwrap();
        assert_eq!(ours, of_std.collect::<Vec<_>>());
        let socket = UdpSocket::bind("localhost:0").unwrap();
        socket.connect(("localhost", socket.local_addr().unwrap().port())).unwrap();
        socket.send(b"to myself").unwrap();
        assert_eq!(socket.recv(&mut [0; 16]).unwrap(), 9);
    });
}

#[test]
fn datagrams_cross_between_runtimes() {
    // Goal: UDP between threads. Method: an echo server in another runtime; numbers back and forth.
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = server.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        cove::run(|| {
            let mut buffer = [0; 8];
            loop {
                let (count, from) = server.recv_from(&mut buffer).unwrap();
                server.send_to(&buffer[..count], from).unwrap();
                if count == 1 {
                    break;
                }
            }
        });
    });
    cove::run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(address).unwrap();
        let mut buffer = [0; 8];
        for number in 0..100_u64 {
            socket.send(&number.to_le_bytes()).unwrap();
            assert_eq!(socket.recv(&mut buffer).unwrap(), 8);
            assert_eq!(u64::from_le_bytes(buffer), number);
        }
        socket.send(b"x").unwrap();
        socket.recv(&mut buffer).unwrap();
    });
    thread.join().unwrap();
}

#[test]
fn unix_servers_work_by_path_and_carry_datagrams() {
    // Goal: listeners and datagrams by path among coroutines. Method: clients that find a server by
    // its path, and get as many answers as they asked for.
    let scratch = Scratch::new();
    let (path, inbox) = (scratch.path("stream"), scratch.path("datagram"));
    cove::run(|| {
        let listener = UnixListener::bind(&path).unwrap();
        let server = cove::spawn(move || {
            for client in listener.incoming().take(10) {
                io::copy(&mut client.as_ref().unwrap(), &mut client.as_ref().unwrap()).unwrap();
            }
        });
        for number in 0..10_u8 {
            let mut client = UnixStream::connect(&path).unwrap();
            client.write_all(&[number; 1000]).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, [number; 1000]);
        }
        server.join().unwrap();
        let receiver = UnixDatagram::bind(&inbox).unwrap();
        let senders: Vec<_> = (0..5_u8)
            .map(|number| {
                let inbox = inbox.clone();
                cove::spawn(move || {
                    let sender = UnixDatagram::unbound().unwrap();
                    sender.connect(inbox).unwrap();
                    (0..50).for_each(|_| assert_eq!(sender.send(&[number]).unwrap(), 1));
                })
            })
            .collect();
        let mut counts = [0; 5];
        for _ in 0..250 {
            let mut buffer = [0; 2];
            assert_eq!(receiver.recv(&mut buffer).unwrap(), 1);
            counts[usize::from(buffer[0])] += 1;
        }
        assert_eq!(counts, [50; 5]);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn receives_of_a_socket_end_when_it_is_shut_down() {
    // Goal: a shutdown ends waits of the same side. Method: wait in recv, shut down from another
    // coroutine; then again on a plain thread, and after the fact.
    cove::run(|| {
        let (near, _far) = UnixDatagram::pair().unwrap();
        let twin = near.try_clone().unwrap();
        let receiver = cove::spawn(move || {
            let first = twin.recv(&mut [0; 4]).unwrap();
            (first, twin.recv_from(&mut [0; 4]).unwrap().0, twin.peek(&mut [0; 4]).unwrap())
        });
        task::yield_now();
        near.shutdown(Shutdown::Read).unwrap();
        assert_eq!(receiver.join().unwrap(), (0, 0, 0));
        let thread = std::thread::spawn(move || near.recv(&mut [0; 4]).unwrap());
        assert_eq!(thread.join().unwrap(), 0);
        let (near, far) = pair();
        let twin = near.try_clone().unwrap();
        let reader = cove::spawn(move || (&twin).read(&mut [0; 4]).unwrap());
        task::yield_now();
        near.shutdown(Shutdown::Read).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
        drop(far);
    });
}

#[test]
fn sockets_become_std_sockets_and_descriptors_and_return() {
    // Goal: every way in and out. Method: one connection changes its type again and again while
    // bytes go through; std's side must block, ours must let others run.
    let (near, mut far) = cove::run(pair);
    near.set_read_timeout(Some(Duration::from_secs(3600))).unwrap();
    let mut of_std = std::net::TcpStream::from(near);
    if !crate::child::is_emulated() {
        // qemu-user does not tell what time-outs a socket has.
        assert_eq!(of_std.read_timeout().unwrap(), Some(Duration::from_secs(3600)));
    }
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 3];
        of_std.read_exact(&mut buffer).unwrap();
        (of_std, buffer)
    });
    far.write_all(b"one").unwrap();
    let (of_std, buffer) = thread.join().unwrap();
    assert_eq!(&buffer, b"one");
    cove::run(|| {
        let descriptor = OwnedFd::from(TcpStream::from(of_std));
        let number = descriptor.as_raw_fd();
        // SAFETY: the number is that of an open descriptor which nobody else owns.
        let mut near = unsafe { TcpStream::from_raw_fd(descriptor.into_raw_fd()) };
        assert_eq!((near.as_raw_fd(), near.as_fd().as_raw_fd()), (number, number));
        let reader = cove::spawn(move || {
            let mut buffer = [0; 3];
            near.read_exact(&mut buffer).unwrap();
            (near, buffer)
        });
        task::yield_now();
        far.write_all(b"two").unwrap();
        let (near, buffer) = reader.join().unwrap();
        assert_eq!(&buffer, b"two");
        drop(near);
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || std::net::TcpStream::connect(address).unwrap());
    cove::run(|| TcpListener::from(listener).accept().unwrap());
    drop(thread.join().unwrap());
}

#[test]
fn time_limits_leave_the_others_running_and_the_socket_usable() {
    // Goal: set_read_timeout in a runtime. Method: a ticker counts turns while a read gives up; the
    // same stream then reads.
    cove::run(|| {
        let (mut near, mut far) = pair();
        near.set_read_timeout(Some(MOMENT)).unwrap();
        let ticker = cove::spawn(|| {
            loop {
                task::yield_now();
            }
        });
        let error = near.read(&mut [0; 4]).unwrap_err();
        assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::WouldBlock, Some(11)));
        ticker.cancel();
        near.set_read_timeout(None).unwrap();
        far.write_all(b"late").unwrap();
        assert_eq!(near.read(&mut [0; 4]).unwrap(), 4);
    });
}

#[test]
fn requests_with_deadlines_survive_a_server_that_is_slow() {
    // Goal: time::timeout around a whole conversation. Method: a server that answers only when it
    // is told; the first request gives up, the second connection gets its answer.
    cove::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (allow, allowed) = mpsc::channel::<()>();
        cove::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                allowed.recv().unwrap();
                // The first one is gone by now.
                let _ = client.write_all(b"answer");
            }
        });
        let request = |limit| {
            let answer = timeout(limit, || -> io::Result<String> {
                let mut stream = TcpStream::connect(address)?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer)?;
                Ok(answer)
            });
            answer.map_err(io::Error::from).and_then(|answer| answer)
        };
        assert_eq!(request(MOMENT).unwrap_err().kind(), ErrorKind::TimedOut);
        allow.send(()).unwrap();
        allow.send(()).unwrap();
        assert_eq!(request(Duration::from_secs(3600)).unwrap(), "answer");
    });
}
