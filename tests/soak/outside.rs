//! The steps that reach outside: sockets, and threads for blocking work.

use super::steps::Player;
use super::streams::{close_under_reader, exchange, expect_ended_in_time, tcp_pair};
use cove::net::{UdpSocket, UnixStream};
use cove::task;
use std::io;
use std::panic::{catch_unwind, panic_any, resume_unwind};

impl Player {
    pub(super) fn step_exchange(&mut self) {
        let random = &mut self.random;
        let outcome = if random.once_in(2) {
            tcp_pair().and_then(|pair| exchange(pair, random, &self.books))
        } else {
            UnixStream::pair().and_then(|pair| exchange(pair, random, &self.books))
        };
        expect_ended_in_time(outcome);
    }

    pub(super) fn step_close(&mut self) {
        if self.random.once_in(2) {
            match tcp_pair() {
                Ok(pair) => close_under_reader(pair),
                Err(error) => expect_ended_in_time(Err(error)),
            }
        } else {
            close_under_reader(UnixStream::pair().expect("a pair"));
        }
    }

    pub(super) fn step_datagram(&mut self) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = socket.local_addr().expect("an address");
        let number = self.random.next().to_le_bytes();
        let exchange = || -> io::Result<()> {
            socket.send_to(&number, address)?;
            let mut bytes = [0; 8];
            assert_eq!(socket.recv_from(&mut bytes)?, (8, address));
            assert_eq!(bytes, number);
            Ok(())
        };
        expect_ended_in_time(exchange());
    }

    pub(super) fn step_blocking(&mut self) {
        let number = self.random.next();
        match self.random.below(3) {
            0 => assert_eq!(task::blocking(move || !number), !number),
            1 => {
                let job = move || task::blocking(move || -> () { panic_any(number) });
                let payload = catch_unwind(job).expect_err("the job's panic");
                if !payload.is::<u64>() {
                    resume_unwind(payload);
                }
                assert_eq!(payload.downcast_ref(), Some(&number));
            }
            _ => expect_ended_in_time(cove::fs::read("/proc/self/comm").map(drop)),
        }
    }
}
