//! One socket in several hands: coroutines of one thread, clones, other threads.

use super::{listener, tcp_pair, unix_listener, unix_pair};
use crate::net::{TcpListener, TcpStream, UnixStream};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::sync::mpsc;

#[test]
fn readers_and_writers_share_a_stream() {
    // Goal: each byte to exactly one reader, nobody forgotten. Method: five readers of small
    // pieces, five writers of large ones, both ways at once; sums agree.
    crate::run(|| {
        let (near, far) = tcp_pair();
        let (sent, received) = (Cell::new(0_u64), Cell::new(0_u64));
        let (near, far) = (&near, &far);
        crate::scope(|scope| {
            for _ in 0..5 {
                for (mut reading, mut writing) in [(near, far), (far, near)] {
                    let (sent, received) = (&sent, &received);
                    scope.spawn(move || {
                        let mut buffer = [0; 777];
                        loop {
                            match reading.read(&mut buffer).expect("read") {
                                0 => return,
                                bytes => received.set(received.get() + bytes as u64),
                            }
                        }
                    });
                    scope.spawn(move || {
                        for _ in 0..50 {
                            writing.write_all(&[1; 33_333]).expect("write");
                            sent.set(sent.get() + 33_333);
                        }
                        if sent.get() == 500 * 33_333 {
                            near.shutdown(crate::net::Shutdown::Write).expect("shutdown");
                            far.shutdown(crate::net::Shutdown::Write).expect("shutdown");
                        }
                    });
                }
            }
        });
        assert_eq!((sent.get(), received.get()), (500 * 33_333, 500 * 33_333));
    });
}

#[test]
fn a_thousand_acceptors_each_get_a_connection() {
    // Goal: nobody sleeps while a connection waits, and no herd is needed for it. Method: a
    // thousand wait in accept; a hundred connections at a time come at once.
    crate::run(|| {
        let (listener, address) = listener();
        let served = Cell::new(0);
        let kept = RefCell::new(Vec::new());
        crate::scope(|scope| {
            for _ in 0..1000 {
                scope.spawn(|| {
                    let (stream, _) = listener.accept().expect("accept");
                    kept.borrow_mut().push(stream);
                    served.set(served.get() + 1);
                });
            }
            crate::task::yield_now();
            for round in 1..=10 {
                let clients: Vec<_> =
                    (0..100).map(|_| TcpStream::connect(address).expect("connect")).collect();
                while served.get() < round * 100 {
                    crate::task::yield_now();
                }
                drop(clients);
                kept.borrow_mut().clear();
            }
        });
        assert_eq!(served.get(), 1000);
    });
}

#[test]
fn a_stream_moves_to_the_runtime_of_another_thread() {
    // Goal: the registration follows. Method: a stream waits here, then there, then here again; a
    // third thread writes a byte for each wait, when asked.
    fn wait_once(stream: TcpStream, ask: &mpsc::Sender<()>) -> TcpStream {
        let reader = crate::spawn(move || {
            let mut byte = [0];
            (&stream).read_exact(&mut byte).map(|()| stream)
        });
        crate::task::yield_now();
        assert!(!reader.is_finished());
        ask.send(()).expect("the writer lives");
        reader.join().expect("reader").expect("read")
    }
    let (near, mut far) = tcp_pair();
    let (here, there) = (mpsc::channel(), mpsc::channel());
    let (ask, asked) = mpsc::channel();
    let other_ask = ask.clone();
    let other = std::thread::spawn(move || {
        crate::run(|| {
            for stream in there.1 {
                here.0.send(wait_once(stream, &other_ask)).expect("the first thread lives");
            }
        });
    });
    let writer = std::thread::spawn(move || {
        asked.iter().for_each(|()| far.write_all(b"x").expect("write"));
    });
    crate::run(|| {
        let mut stream = near;
        for _ in 0..30 {
            stream = wait_once(stream, &ask);
            there.0.send(stream).expect("the other thread lives");
            stream = here.1.recv().expect("it comes back");
        }
    });
    drop((there.0, ask));
    other.join().expect("the other thread");
    writer.join().expect("writer");
}

#[test]
fn a_stream_outlives_its_runtime() {
    // Goal: a registration with a reactor that is gone. Method: wait in one runtime, drop it, wait
    // in the next one on the same thread, then outside.
    let (near, mut far) = unix_pair();
    for _ in 0..3 {
        crate::run(|| {
            crate::scope(|scope| {
                let reader = scope.spawn(|| (&near).read(&mut [0; 8]));
                crate::task::yield_now();
                far.write_all(b"x").expect("write");
                assert_eq!(reader.join().expect("reader").expect("read"), 1);
            });
        });
    }
    far.write_all(b"x").expect("write");
    assert_eq!((&near).read(&mut [0; 8]).expect("read"), 1);
}

#[test]
fn clones_serve_two_threads() {
    // Goal: one listener for two runtimes. Method: both accept; all connections are served.
    let (listener, address) = listener();
    let clone = listener.try_clone().expect("a clone");
    let serve = |listener: TcpListener| {
        std::thread::spawn(move || {
            crate::run(|| {
                let mut served = 0;
                for stream in listener.incoming() {
                    let mut stream = stream.expect("accept");
                    let mut byte = [0];
                    stream.read_exact(&mut byte).expect("read");
                    if byte == *b"q" {
                        return served;
                    }
                    served += 1;
                    stream.write_all(&byte).expect("write");
                }
                served
            })
        })
    };
    let servers = [serve(listener), serve(clone)];
    crate::run(|| {
        for _ in 0..100 {
            let mut stream = TcpStream::connect(address).expect("connect");
            stream.write_all(b"x").expect("write");
            stream.read_exact(&mut [0]).expect("read");
        }
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).expect("connect");
            stream.write_all(b"q").expect("write");
            assert_eq!(stream.read(&mut [0]).expect("read"), 0);
        }
    });
    assert_eq!(servers.map(|server| server.join().expect("server")).iter().sum::<i32>(), 100);
}

#[test]
fn reuse_port_gives_each_thread_a_listener() {
    // Goal: two listeners at one port, each connection to one of them. Method: both in one runtime.
    crate::run(|| {
        let first = TcpListener::bind_reuse_port("127.0.0.1:0").expect("a listener");
        let address = first.local_addr().expect("its address");
        let second = TcpListener::bind_reuse_port(address).expect("another");
        let served = Cell::new([0, 0]);
        crate::scope(|scope| {
            let acceptors = [&first, &second].map(|listener| {
                let at = usize::from(std::ptr::eq(listener, &second));
                let served = &served;
                scope.spawn(move || {
                    while listener.accept().is_ok() {
                        let mut counts = served.get();
                        counts[at] += 1;
                        served.set(counts);
                    }
                })
            });
            for _ in 0..64 {
                drop(TcpStream::connect(address).expect("connect"));
            }
            while served.get().iter().sum::<i32>() < 64 {
                crate::task::yield_now();
            }
            acceptors.iter().for_each(|acceptor| acceptor.cancel());
        });
        assert!(served.get().iter().all(|count| *count > 0), "{:?}", served.get());
    });
}

#[test]
fn a_destructor_may_use_a_stream() {
    // Goal: waits while a coroutine unwinds, and destructors of results that nobody takes. Method:
    // a guard that reads an answer in its drop, cancelled; a buffered writer as a lost result.
    struct Farewell(UnixStream);
    impl Drop for Farewell {
        fn drop(&mut self) {
            self.0.write_all(b"bye").expect("write");
            self.0.read_exact(&mut [0; 2]).expect("read");
        }
    }
    crate::run(|| {
        let (near, mut far) = unix_pair();
        let answer = std::thread::spawn(move || {
            far.read_exact(&mut [0; 3]).expect("read");
            far.write_all(b"ok").expect("write");
        });
        let coroutine = crate::spawn(move || {
            let _farewell = Farewell(near);
            crate::task::park();
        });
        crate::task::yield_now();
        coroutine.cancel();
        assert!(coroutine.join().is_err());
        answer.join().expect("answer");
        let (near, mut far) = unix_pair();
        drop(crate::spawn(move || {
            let mut writer = std::io::BufWriter::new(near);
            writer.write_all(b"late").expect("into the buffer");
            writer
        }));
        let mut text = String::new();
        far.read_to_string(&mut text).expect("read");
        assert_eq!(text, "late");
    });
}

#[test]
fn unix_listeners_have_many_acceptors_too() {
    // Goal: the same for Unix sockets. Method: fifty acceptors, fifty connections.
    crate::run(|| {
        let (listener, address) = unix_listener();
        crate::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| listener.accept().expect("accept"));
            }
            for _ in 0..50 {
                scope.spawn(|| UnixStream::connect_addr(&address).expect("connect"));
            }
        });
    });
}
