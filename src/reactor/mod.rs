//! Readiness of descriptors: who waits to read or write which, and what the kernel said.
//!
//! Each descriptor is registered once, edge-triggered, for both directions, when an operation on it
//! has had to wait for the first time; from then on waiting costs no system call.
//!
//! ```text
//!   token = generation << 32 | index        sources: [ {fd, generation, reading, writing} ... ]
//!                                     index ---------^
//!
//!   a side:       event                          event: wakes the first waiter
//!            +-------------> HOPEFUL <----------+
//!            |    try the operation; it fails,  |
//!            |    or moves all there was        |
//!            +-------------- DRY ---------------+
//!                 park without a try
//! ```
//!
//! A side is *dry* once an operation has found nothing (`EAGAIN`), or a stream has moved less than
//! it was asked to, which means the same (epoll(7), question 9). The next change is then an edge,
//! and an edge is an event: so nothing is missed by waiting for it at once, and an echo costs a
//! recv and a send, without a recv that only finds out that there is nothing yet. Between an
//! operation and the park that follows nobody asks the kernel, because the same thread does both:
//! what happens there waits in the kernel as an event.
//!
//! A hang-up, an error or urgent data makes a side *wary* for good: its event may have come
//! together with that of the data, before the data was read; so a short transfer proves nothing any
//! more.
//!
//! An event wakes the *first* waiter of its side. Whoever is woken and leaves something behind
//! passes the turn on to the next; whoever finds nothing goes back to the queue. So a thousand
//! coroutines in `accept` on one listener do not all wake for one connection. Invariant: if a side
//! is not dry and has waiters, then one that was woken has not run yet, and will pass the turn on.
//!
//! The reactor knows descriptors and links, not coroutines. Generations guard against events that
//! were on their way when a source was released and its place used again. A number that is
//! registered anew while a source has it was closed behind our back: that source ends.

mod numbers;

use crate::list::{Link, Queue};
use crate::sys::epoll::{Epoll, Event, Interest};
use crate::sys::eventfd::EventFd;
use numbers::Numbers;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;

/// Events taken from the kernel in one call: more waits for the next one.
const EVENTS_MAX: usize = if cfg!(test) { 4 } else { 512 };

/// The token of the bell by which other threads end the sleep.
const BELL: u64 = u64::MAX;

/// The last index that a source can have.
const INDEX_MAX: u32 = u32::MAX - 1;

/// Reading (and accepting) or writing (and connecting).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// Names a source; stale ones name nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(pub(crate) u64);

impl Token {
    fn new(index: u32, generation: u32) -> Token {
        Token(u64::from(generation) << 32 | u64::from(index))
    }

    fn index(self) -> usize {
        self.0 as u32 as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What is known of one direction of a descriptor, and who waits for it.
struct Side {
    waiters: Queue,
    /// An operation would find nothing: there has been no event since one that left nothing.
    dry: bool,
    /// A short transfer does not prove that nothing is left.
    wary: bool,
}

impl Side {
    const fn new() -> Side {
        Side { waiters: Queue::new(), dry: false, wary: false }
    }

    /// Notes an event, and takes out the waiter to wake.
    fn ready(&mut self, wary: bool) -> Option<NonNull<Link>> {
        self.dry = false;
        self.wary |= wary;
        self.waiters.pop_front()
    }
}

/// A registered descriptor.
struct Source {
    fd: RawFd,
    generation: u32,
    live: bool,
    reading: Side,
    writing: Side,
}

impl Source {
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.reading,
            Direction::Write => &mut self.writing,
        }
    }

    /// Forgets the descriptor; tokens of it are stale from now on.
    fn end(&mut self) {
        self.live = false;
        self.fd = -1;
        self.generation = self.generation.wrapping_add(1);
        (self.reading, self.writing) = (Side::new(), Side::new());
    }
}

/// One thread's registered descriptors.
pub(crate) struct Reactor {
    sources: Vec<Source>,
    free: Vec<u32>,
    numbers: Numbers,
    live: usize,
    events: Box<[Event]>,
}

impl Reactor {
    /// Makes an empty reactor that listens for `bell`.
    pub(crate) fn new(epoll: &Epoll, bell: &EventFd) -> io::Result<Reactor> {
        Reactor::listen(epoll, bell)?;
        let events = vec![Event::EMPTY; EVENTS_MAX].into_boxed_slice();
        let (sources, free, numbers) = (Vec::new(), Vec::new(), Numbers::new());
        Ok(Reactor { sources, free, numbers, live: 0, events })
    }

    /// Makes `epoll` listen for `bell`, level-triggered: it stays rung until it is drained.
    pub(crate) fn listen(epoll: &Epoll, bell: &EventFd) -> io::Result<()> {
        epoll.add(bell.as_raw_fd(), Interest::READABLE, BELL)
    }

    /// Whether no descriptor is registered.
    pub(crate) fn is_idle(&self) -> bool {
        self.live == 0
    }

    /// The number of registered descriptors.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Registers `fd` for both directions. If a source has that number already, it ends, and
    /// `displaced` is called with each of those who wait for it.
    ///
    /// # Errors
    /// Those of `epoll_ctl`: `EPERM` for a regular file, `ENOSPC` at the limit
    /// `/proc/sys/fs/epoll/max_user_watches`; and `OutOfMemory`.
    pub(crate) fn register(
        &mut self,
        epoll: &Epoll,
        fd: RawFd,
        mut displaced: impl FnMut(NonNull<Link>),
    ) -> io::Result<Token> {
        self.numbers.reserve(fd)?;
        let index = self.free.last().copied().unwrap_or(self.sources.len() as u32);
        if index > INDEX_MAX {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if index as usize == self.sources.len() {
            self.sources.try_reserve(1).map_err(|_| io::ErrorKind::OutOfMemory)?;
            // Room to give every source's place back without allocating.
            let spare = self.sources.capacity() - self.free.len();
            self.free.try_reserve(spare).map_err(|_| io::ErrorKind::OutOfMemory)?;
            let (reading, writing) = (Side::new(), Side::new());
            self.sources.push(Source { fd: -1, generation: 0, live: false, reading, writing });
            self.free.push(index);
        }
        let generation = self.sources[index as usize].generation;
        let token = Token::new(index, generation);
        let interest = Interest::READABLE
            | Interest::WRITABLE
            | Interest::READ_CLOSED
            | Interest::PRIORITY
            | Interest::EDGE;
        match epoll.add(fd, interest, token.0) {
            // The same open file at the same number: a registration whose source was released.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                epoll.modify(fd, interest, token.0)?;
            }
            other => other?,
        }
        self.free.pop();
        let source = &mut self.sources[index as usize];
        debug_assert!(!source.live && source.reading.waiters.is_empty());
        source.fd = fd;
        source.live = true;
        self.live += 1;
        if let Some(former) = self.numbers.give(fd, index) {
            self.displace(former, &mut displaced);
        }
        Ok(token)
    }

    /// Ends a source whose number is another's now.
    #[cold]
    fn displace(&mut self, index: u32, displaced: &mut impl FnMut(NonNull<Link>)) {
        let source = &mut self.sources[index as usize];
        for side in [&mut source.reading, &mut source.writing] {
            while let Some(link) = side.waiters.pop_front() {
                displaced(link);
            }
        }
        source.end();
        self.free.push(index);
        self.live -= 1;
    }

    fn source(&mut self, token: Token) -> Option<&mut Source> {
        let source = self.sources.get_mut(token.index())?;
        (source.live && source.generation == token.generation()).then_some(source)
    }

    /// Forgets a source. Nobody may be waiting for it. The kernel's side ends with the descriptor.
    pub(crate) fn release(&mut self, token: u64) {
        let token = Token(token);
        if let Some(source) = self.source(token) {
            debug_assert!(source.reading.waiters.is_empty() && source.writing.waiters.is_empty());
            let fd = source.fd;
            source.end();
            self.numbers.take(fd, token.index() as u32);
            self.free.push(token.index() as u32);
            self.live -= 1;
        }
    }

    /// Whether the token names a source.
    pub(crate) fn knows(&mut self, token: Token) -> bool {
        self.source(token).is_some()
    }

    /// Whether an operation is known to find nothing.
    #[inline]
    pub(crate) fn is_dry(&mut self, token: Token, direction: Direction) -> bool {
        self.source(token).is_some_and(|source| source.side(direction).dry)
    }

    /// Notes that a stream moved less than it was asked to, which leaves nothing behind unless the
    /// side is wary; tells whether it does not.
    #[inline]
    pub(crate) fn drained(&mut self, token: Token, direction: Direction) -> bool {
        let Some(source) = self.source(token) else { return false };
        let side = source.side(direction);
        side.dry = !side.wary;
        side.dry
    }

    /// Appends a waiter, whose operation has found nothing; false if the token is stale.
    ///
    /// # Safety
    /// The link is not linked, and stays where it is until it is woken or removed.
    pub(crate) unsafe fn enqueue(
        &mut self,
        token: Token,
        direction: Direction,
        link: NonNull<Link>,
    ) -> bool {
        let Some(source) = self.source(token) else { return false };
        let side = source.side(direction);
        side.dry = true;
        // SAFETY: as the caller says.
        unsafe { side.waiters.push_back(link) };
        true
    }

    /// Takes a waiter out.
    ///
    /// # Safety
    /// The link stands in the queue of this token and direction.
    pub(crate) unsafe fn remove(
        &mut self,
        token: Token,
        direction: Direction,
        link: NonNull<Link>,
    ) {
        if let Some(source) = self.source(token) {
            // SAFETY: as the caller says.
            unsafe { source.side(direction).waiters.remove(link) };
        }
    }

    /// Takes out the next waiter: whoever was woken leaves something behind, or the end is near.
    pub(crate) fn next_waiter(
        &mut self,
        token: Token,
        direction: Direction,
    ) -> Option<NonNull<Link>> {
        self.source(token)?.side(direction).waiters.pop_front()
    }

    /// Asks the kernel, waiting for at most `timeout_ns` (`None`: for ever), and calls `wake` with
    /// the first waiter of each direction that has become ready.
    pub(crate) fn poll(
        &mut self,
        epoll: &Epoll,
        bell: &EventFd,
        timeout_ns: Option<u64>,
        mut wake: impl FnMut(NonNull<Link>),
    ) -> io::Result<usize> {
        let mut events = std::mem::take(&mut self.events);
        let outcome = epoll.wait(&mut events, timeout_ns);
        if let Ok(count) = outcome {
            for event in &events[..count] {
                self.deliver(event, bell, &mut wake);
            }
        }
        self.events = events;
        outcome
    }

    fn deliver(&mut self, event: &Event, bell: &EventFd, wake: &mut impl FnMut(NonNull<Link>)) {
        if event.token() == BELL {
            // A bell that cannot be drained stays rung, and the next poll tries again.
            let _ = bell.drain();
            return;
        }
        let readiness = event.readiness();
        let Some(source) = self.source(Token(event.token())) else { return };
        let broken = readiness.is_hung_up() || readiness.is_error();
        if readiness.is_readable() || readiness.is_priority() {
            let wary = broken || readiness.is_read_closed() || readiness.is_priority();
            if let Some(link) = source.reading.ready(wary) {
                wake(link);
            }
        }
        if readiness.is_writable() {
            if let Some(link) = source.writing.ready(broken) {
                wake(link);
            }
        }
    }

    /// Forgets all sources, in a forked child whose epoll instance is a new one. Waiters are not
    /// touched; nothing is allocated, since `register` made room.
    pub(crate) fn reset(&mut self) {
        for index in 0..self.sources.len() {
            if self.sources[index].live {
                self.sources[index].end();
                self.free.push(index as u32);
            }
        }
        self.live = 0;
        self.numbers.clear();
    }

    /// The descriptors that are registered.
    #[cfg(test)]
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.sources.iter().filter(|source| source.live).map(|source| source.fd)
    }
}

#[cfg(test)]
mod tests;
