//! Waiting for a descriptor of the runtime's own: one that is non-blocking, and registered with the
//! reactor of the thread that uses it when it first has to wait.
//!
//! ```text
//!   run:  known to find nothing?  --no-->  operation  --anything but WouldBlock-->  return it
//!               | yes                          | WouldBlock
//!               +---------------> park <-------+ <--------------+
//!                                   | woken: operation          | WouldBlock
//!                                   +---------------------------+
//! ```
//!
//! A wait that the caller's own deadline ends leaves the operation's `WouldBlock` as it is, as a
//! socket with SO_RCVTIMEO does (socket(7)); one that an enclosing scope's deadline ends is
//! `TimedOut`.

use super::task::Woken;
use super::wait::{self, NEVER, WaitKind};
use super::{Scheduler, Shared, unwind};
use crate::reactor::Token;
use crate::sys;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

pub(crate) use crate::reactor::Direction;

/// The first pause of [`retry`], and the longest: each is twice the one before.
const PAUSE_NS_MIN: u64 = 50_000;
const PAUSE_NS_MAX: u64 = 10_000_000;

/// Operations of one descriptor in a row that did not wait, after which the others get their turn,
/// and the kernel is asked: a peer that is always faster than we are must not have the thread to
/// itself.
const STREAK_MAX: u32 = if cfg!(test) { 8 } else { 64 };

/// A descriptor's place in a reactor. It may move to another thread between two operations, and
/// registers there when it next has to wait; it is not `Sync`.
#[derive(Default)]
pub(crate) struct Registration {
    place: RefCell<Option<Place>>,
    /// The open file has other descriptors, so that closing this one does not end the kernel's
    /// side.
    duplicated: Cell<bool>,
    closed: Cell<bool>,
    /// Operations since the last one that waited.
    streak: Cell<u32>,
}

/// Where a descriptor is registered.
struct Place {
    token: Token,
    fd: RawFd,
    /// The scheduler in whose reactor the token is valid.
    home: Arc<Shared>,
}

impl Registration {
    pub(crate) const fn new() -> Registration {
        Registration {
            place: RefCell::new(None),
            duplicated: Cell::new(false),
            closed: Cell::new(false),
            streak: Cell::new(0),
        }
    }

    /// Runs `operation` until it gives anything but `WouldBlock`, waiting in between.
    ///
    /// # Errors
    /// Those of `operation` and of the registration; `WouldBlock` when `deadline_ns` passes,
    /// `TimedOut` when that of an enclosing scope does; `EBADF` when the descriptor is closed.
    #[inline]
    pub(crate) fn run<T>(
        &self,
        fd: RawFd,
        direction: Direction,
        deadline_ns: impl FnOnce() -> u64,
        operation: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        self.drive(fd, direction, deadline_ns, operation, |_| false)
    }

    /// As [`run`](Self::run), for an operation of a stream that tells with its result whether it
    /// has left nothing behind: the next one then waits for an event without a try.
    #[inline]
    pub(crate) fn run_draining<T>(
        &self,
        fd: RawFd,
        direction: Direction,
        deadline_ns: impl FnOnce() -> u64,
        operation: impl FnMut() -> io::Result<(T, bool)>,
    ) -> io::Result<T> {
        let outcome = self.drive(fd, direction, deadline_ns, operation, |(_, drained)| *drained);
        outcome.map(|(result, _)| result)
    }

    #[inline]
    fn drive<T>(
        &self,
        fd: RawFd,
        direction: Direction,
        deadline_ns: impl FnOnce() -> u64,
        mut operation: impl FnMut() -> io::Result<T>,
        drains: impl Fn(&T) -> bool,
    ) -> io::Result<T> {
        self.check_open()?;
        self.streak.set(self.streak.get() + 1);
        if self.streak.get() > STREAK_MAX {
            self.make_way();
        }
        if !self.is_dry(direction) {
            match operation() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => {
                    if outcome.as_ref().is_ok_and(&drains) {
                        self.drained(direction);
                    }
                    return outcome;
                }
            }
        }
        let deadline_ns = deadline_ns();
        self.streak.set(0);
        loop {
            self.wait(fd, direction, deadline_ns)?;
            match operation() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => {
                    if !(outcome.as_ref().is_ok_and(&drains) && self.drained(direction)) {
                        self.pass_on(direction);
                    }
                    return outcome;
                }
            }
        }
    }

    /// Lets the other coroutines run, also those for which the kernel has something.
    #[cold]
    fn make_way(&self) {
        self.streak.set(0);
        let Some(scheduler) = Scheduler::current() else { return };
        if scheduler.is_in_loop() || std::thread::panicking() {
            return;
        }
        // With no direct switches left, the way to the next task leads through the loop.
        scheduler.budget.set(0);
        scheduler.yield_now();
        if scheduler.current_task().is_cancelled() {
            unwind::cancelled();
        }
    }

    /// The scheduler of this thread and the token there, if there are such.
    #[inline]
    fn here(&self) -> Option<(&Scheduler, Token)> {
        let place = self.place.borrow();
        let place = place.as_ref()?;
        let scheduler = Scheduler::current()?;
        Arc::ptr_eq(&place.home, &scheduler.shared).then_some((scheduler, place.token))
    }

    #[inline]
    fn is_dry(&self, direction: Direction) -> bool {
        self.here().is_some_and(|(scheduler, token)| {
            // SAFETY: the reactor is borrowed for this call only.
            unsafe { (*scheduler.reactor.get()).is_dry(token, direction) }
        })
    }

    #[inline]
    fn drained(&self, direction: Direction) -> bool {
        self.here().is_some_and(|(scheduler, token)| {
            // SAFETY: the reactor is borrowed for this call only.
            unsafe { (*scheduler.reactor.get()).drained(token, direction) }
        })
    }

    /// Lets the next waiter try: what we waited for may have more to give.
    fn pass_on(&self, direction: Direction) {
        let Some((scheduler, token)) = self.here() else { return };
        // SAFETY: the reactor is borrowed for this call only.
        let next = unsafe { (*scheduler.reactor.get()).next_waiter(token, direction) };
        if let Some(link) = next {
            // SAFETY: the link was in a queue of waiters of this thread and is out of it now.
            unsafe { wait::notify_link(link) };
        }
    }

    /// Waits for the next event of `fd`, after an operation that found nothing.
    fn wait(&self, fd: RawFd, direction: Direction, deadline_ns: u64) -> io::Result<()> {
        self.check_open()?;
        let Some(scheduler) = Scheduler::current() else {
            return wait_thread(fd, direction, deadline_ns);
        };
        if scheduler.is_in_loop() {
            // A destructor that the loop runs: there is no task that could wait.
            return Err(would_block());
        }
        let token = self.register(scheduler, fd)?;
        let waiter = &scheduler.current_task().waiter;
        waiter.prepare(fd as u32);
        let reactor = scheduler.reactor.get();
        // SAFETY: the waiter lies in the control block, it is out of the queue before we return,
        // and the reactor is borrowed for this call only.
        let known = unsafe { (*reactor).enqueue(token, direction, waiter.link()) };
        assert!(known, "a descriptor that was registered just now is known");
        let kind = match direction {
            Direction::Read => WaitKind::Read,
            Direction::Write => WaitKind::Write,
        };
        loop {
            let woken = scheduler.park(kind, deadline_ns);
            if waiter.is_notified() {
                self.check_open()?;
                // SAFETY: the reactor is borrowed for this call only.
                return match unsafe { (*reactor).knows(token) } {
                    true => Ok(()),
                    // Closed behind our back: the number is somebody else's.
                    false => Err(io::Error::from_raw_os_error(sys::socket::BAD_DESCRIPTOR)),
                };
            }
            if woken == Woken::Ready {
                continue;
            }
            // SAFETY: not notified, so it still stands in that queue; the token is live, because
            // the registration does not end while somebody waits by it, except in `close`, which
            // notifies.
            unsafe { (*reactor).remove(token, direction, waiter.link()) };
            return Err(ended(woken, deadline_ns));
        }
    }

    /// The token in the reactor of `scheduler`, made if there is none.
    fn register(&self, scheduler: &Scheduler, fd: RawFd) -> io::Result<Token> {
        if let Some((_, token)) = self.here() {
            // SAFETY: the reactor is borrowed for this call only.
            if unsafe { (*scheduler.reactor.get()).knows(token) } {
                return Ok(token);
            }
        }
        self.end(true);
        // SAFETY: the reactor is borrowed for this call only. Whoever waits for the former owner of
        // the number is of this thread, and out of every queue when we are told.
        let token = unsafe {
            let displaced = |link| wait::notify_link(link);
            (*scheduler.reactor.get()).register(&scheduler.shared.epoll, fd, displaced)?
        };
        *self.place.borrow_mut() = Some(Place { token, fd, home: scheduler.shared.clone() });
        Ok(token)
    }

    /// Ends the registration, by whatever thread. `stays_open`: the open file outlives it, so the
    /// kernel is told that no event of it is wanted here any more (but not by a forked child, whose
    /// parent has the same epoll instance).
    fn end(&self, stays_open: bool) {
        let here = self.here().map(|(scheduler, _)| scheduler);
        let Some(place) = self.place.borrow_mut().take() else { return };
        // SAFETY: the reactor is borrowed for this call only.
        let is_lost = |it: &Scheduler| unsafe { !(*it.reactor.get()).knows(place.token) };
        if stays_open && !place.home.is_of_parent() && !here.is_some_and(is_lost) {
            // ENOENT and EBADF mean that there is nothing to end.
            let _ = place.home.epoll.delete(place.fd);
        }
        match here {
            // SAFETY: the reactor is borrowed for this call only; nobody waits, because waiters
            // borrow the registration, or have been taken out by `close`.
            Some(scheduler) => unsafe { (*scheduler.reactor.get()).release(place.token.0) },
            // The runtime may be gone, and the reactor with it.
            None => drop(place.home.push(super::inbox::Message::Release { token: place.token.0 })),
        }
    }

    /// Notes that the open file has other descriptors, or will have.
    pub(crate) fn mark_duplicated(&self) {
        self.duplicated.set(true);
    }

    /// Ends the registration of a descriptor that goes on without it.
    pub(crate) fn leave(&self) {
        self.end(true);
    }

    /// Wakes all who wait, with `EBADF`, and makes every later operation fail with it. The
    /// descriptor itself is the caller's to close.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        for direction in [Direction::Read, Direction::Write] {
            while let Some((scheduler, token)) = self.here() {
                // SAFETY: the reactor is borrowed for this call only.
                let next = unsafe { (*scheduler.reactor.get()).next_waiter(token, direction) };
                let Some(link) = next else { break };
                // SAFETY: the link was in a queue of waiters of this thread and is out of it now.
                unsafe { wait::notify_link(link) };
            }
        }
        self.end(self.duplicated.get());
    }

    /// Fails once `close` was called.
    #[inline]
    pub(crate) fn check_open(&self) -> io::Result<()> {
        if self.closed.get() {
            return Err(io::Error::from_raw_os_error(sys::socket::BAD_DESCRIPTOR));
        }
        Ok(())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.end(self.duplicated.get());
    }
}

/// The error of a wait that ended with nothing; a cancelled one does not return.
#[cold]
fn ended(woken: Woken, deadline_ns: u64) -> io::Error {
    if woken == Woken::Cancelled {
        unwind::cancelled();
    }
    if sys::clock::monotonic_ns() >= deadline_ns {
        would_block()
    } else {
        io::ErrorKind::TimedOut.into()
    }
}

/// The kernel's own, as one who blocks in it until SO_RCVTIMEO has passed gets it.
fn would_block() -> io::Error {
    io::Error::from_raw_os_error(libc::EAGAIN)
}

/// On a thread without a scheduler, the thread itself waits.
#[cold]
fn wait_thread(fd: RawFd, direction: Direction, deadline_ns: u64) -> io::Result<()> {
    let timeout_ns = match deadline_ns {
        NEVER => None,
        _ => Some(deadline_ns.saturating_sub(sys::clock::monotonic_ns())),
    };
    let ready = sys::socket::wait_ready(fd, direction == Direction::Write, timeout_ns)?;
    if ready { Ok(()) } else { Err(would_block()) }
}

/// Runs `operation` until it gives anything but `WouldBlock`, with pauses in between: for the few
/// whose readiness the kernel does not announce.
///
/// # Errors
/// As [`Registration::run`].
pub(crate) fn retry<T>(
    deadline_ns: impl FnOnce() -> u64,
    mut operation: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    match operation() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        outcome => return outcome,
    }
    let deadline_ns = deadline_ns();
    let mut pause_ns = PAUSE_NS_MIN;
    loop {
        pause(sys::clock::monotonic_ns().saturating_add(pause_ns).min(deadline_ns), deadline_ns)?;
        pause_ns = (2 * pause_ns).min(PAUSE_NS_MAX);
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return outcome,
        }
    }
}

/// Waits until `until_ns`, which is at most `deadline_ns`.
fn pause(until_ns: u64, deadline_ns: u64) -> io::Result<()> {
    match Scheduler::current() {
        None => std::thread::park_timeout(sys::clock::until(until_ns)),
        Some(scheduler) if scheduler.is_in_loop() => return Err(would_block()),
        Some(scheduler) => match scheduler.park(WaitKind::Write, until_ns) {
            Woken::TimedOut if sys::clock::monotonic_ns() >= until_ns => {}
            Woken::Ready => {}
            woken => return Err(ended(woken, deadline_ns)),
        },
    }
    if sys::clock::monotonic_ns() < deadline_ns {
        return Ok(());
    }
    Err(would_block())
}

#[cfg(test)]
#[path = "readiness_tests.rs"]
mod tests;
