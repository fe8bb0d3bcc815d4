//! TCP: transfers, ends of connections, connecting.

use crate::net::{TcpListener, TcpStream};
use std::io::{Read, Write};

#[test]
fn echo() {
    // Goal: bytes go both ways. Method: one connection.
    crate::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let server = crate::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut buffer = [0; 64];
            loop {
                let bytes = stream.read(&mut buffer).expect("read");
                if bytes == 0 {
                    return;
                }
                stream.write_all(&buffer[..bytes]).expect("write");
            }
        });
        let mut stream = TcpStream::connect(address).expect("connect");
        for _ in 0..10 {
            stream.write_all(b"hello").expect("write");
            let mut echo = [0; 5];
            stream.read_exact(&mut echo).expect("read");
            assert_eq!(&echo, b"hello");
        }
        drop(stream);
        server.join().expect("server");
    });
}
