//! An echo server that is nothing but an epoll loop: the lower bound, and the check of the load.

use crate::Failure;
use crate::figures::Figures;
use crate::host;
use crate::processor::check;
use crate::rivals::{Job, Work};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};

/// Events that one wait brings.
const EVENTS: usize = 1024;

/// An epoll instance.
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: has no arguments in memory.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        check(fd)?;
        // SAFETY: the descriptor is new, so nobody else owns it.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches for input; events carry the token.
    pub(crate) fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: the kernel reads the event.
        check(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event)
        })
    }

    /// Waits and returns the tokens of what is ready.
    pub(crate) fn wait<'e>(
        &self,
        events: &'e mut Events,
        timeout_ms: i32,
    ) -> io::Result<impl Iterator<Item = u64> + use<'e>> {
        // SAFETY: the kernel writes at most the given number of events.
        let count = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.0.as_mut_ptr(),
                EVENTS as libc::c_int,
                timeout_ms,
            )
        };
        let count = match check(count) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
            Ok(()) => count as usize,
        };
        Ok(events.0[..count].iter().map(|event| event.u64))
    }
}

/// Room for events.
pub(crate) struct Events(Vec<libc::epoll_event>);

impl Events {
    pub(crate) fn new() -> Events {
        Events(vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS])
    }
}

pub(crate) fn run(job: &Job) -> Result<Figures, Failure> {
    if job.work != Work::Echo {
        return Err("the epoll loop is an echo server and nothing else".into());
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new()?;
    epoll.add(listener.as_raw_fd(), u64::MAX)?;
    host::listening(listener.local_addr()?.port());
    let mut events = Events::new();
    let mut buffer = [0u8; 1024];
    loop {
        for token in epoll.wait(&mut events, -1)? {
            if token == u64::MAX {
                accept(&listener, &epoll)?;
            } else {
                echo(token as RawFd, &mut buffer);
            }
        }
    }
}

fn accept(listener: &TcpListener, epoll: &Epoll) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((client, _)) => {
                client.set_nonblocking(true)?;
                let fd = client.into_raw_fd();
                epoll.add(fd, fd as u64)?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// One read and one write, which suffice for small messages; whatever else happens is the end.
fn echo(fd: RawFd, buffer: &mut [u8]) {
    // SAFETY: the kernel writes into the buffer.
    let count = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    let mut sent = -1;
    if count > 0 {
        // SAFETY: the kernel reads what was written there.
        sent = unsafe { libc::write(fd, buffer.as_ptr().cast(), count as usize) };
    }
    if sent != count {
        // SAFETY: the descriptor was taken from its owner when it was accepted.
        unsafe { libc::close(fd) };
    }
}
