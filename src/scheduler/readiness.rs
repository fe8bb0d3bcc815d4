//! Waiting for a descriptor of the runtime's own: one that is non-blocking, and registered with the
//! reactor of the thread that uses it when it first has to wait.

use super::task::Woken;
use super::wait::{self, NEVER, WaitKind, Waiter};
use super::{Scheduler, Shared, unwind};
use crate::list::Link;
use crate::reactor::{Direction, Token};
use crate::sys;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::sync::Arc;

/// A descriptor's place in a reactor. It may move to another thread between two operations, and
/// registers there when it next has to wait; it is not `Sync`.
#[derive(Default)]
pub(crate) struct Registration {
    token: Cell<Option<Token>>,
    /// The scheduler in whose reactor the token is valid.
    home: RefCell<Option<Arc<Shared>>>,
    closed: Cell<bool>,
}

impl Registration {
    pub(crate) const fn new() -> Registration {
        Registration { token: Cell::new(None), home: RefCell::new(None), closed: Cell::new(false) }
    }

    /// Runs `operation` until it gives anything but `WouldBlock`, waiting in between.
    ///
    /// # Errors
    /// Those of `operation` and of the registration; `TimedOut` when `deadline_ns` or that of an
    /// enclosing scope passes; `EBADF` when the descriptor is closed meanwhile.
    #[inline]
    pub(crate) fn run<T>(
        &self,
        fd: RawFd,
        direction: Direction,
        deadline_ns: impl FnOnce() -> u64,
        mut operation: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => {
                if self.token.get().is_some() {
                    self.pass_on(direction);
                }
                return outcome;
            }
        }
        let deadline_ns = deadline_ns();
        loop {
            self.wait(fd, direction, deadline_ns)?;
            match operation() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => {
                    self.pass_on(direction);
                    return outcome;
                }
            }
        }
    }

    /// Waits until `fd` may be ready.
    pub(crate) fn wait(&self, fd: RawFd, direction: Direction, deadline_ns: u64) -> io::Result<()> {
        if self.closed.get() {
            return Err(closed());
        }
        let Some(scheduler) = Scheduler::current() else {
            return wait_thread(fd, direction, deadline_ns);
        };
        let token = self.register(scheduler, fd)?;
        let task = scheduler.current_task();
        let waiter = &task.waiter;
        waiter.prepare(fd as u32);
        let reactor = scheduler.reactor.get();
        // SAFETY: the waiter lies in the control block and is out of the queue before we return.
        if !unsafe { (*reactor).enqueue(token, direction, link_of(waiter)) } {
            return Err(closed());
        }
        let kind = match direction {
            Direction::Read => WaitKind::Read,
            Direction::Write => WaitKind::Write,
        };
        loop {
            let woken = scheduler.park(kind, deadline_ns);
            if waiter.is_notified() {
                return if self.closed.get() { Err(closed()) } else { Ok(()) };
            }
            if woken == Woken::Ready {
                continue;
            }
            // SAFETY: not notified, so it still stands in that queue.
            unsafe { (*reactor).remove(token, direction, link_of(waiter)) };
            if woken == Woken::Cancelled {
                unwind::cancelled();
            }
            return Err(io::ErrorKind::TimedOut.into());
        }
    }

    /// Lets the next waiter try: what we waited for may have more to give.
    #[inline]
    fn pass_on(&self, direction: Direction) {
        let Some(token) = self.token.get() else { return };
        let Some(scheduler) = Scheduler::current() else { return };
        // SAFETY: the reactor is borrowed for one call at a time.
        unsafe {
            let reactor = scheduler.reactor.get();
            if (*reactor).has_waiters(token, direction) && self.is_home(scheduler) {
                if let Some(link) = (*reactor).next_waiter(token, direction) {
                    wait::notify_link(link);
                }
            }
        }
    }

    fn is_home(&self, scheduler: &Scheduler) -> bool {
        let home = self.home.borrow();
        home.as_ref().is_some_and(|home| Arc::ptr_eq(home, &scheduler.shared))
    }

    /// The token in the reactor of `scheduler`, made if there is none.
    fn register(&self, scheduler: &Scheduler, fd: RawFd) -> io::Result<Token> {
        if let Some(token) = self.token.get() {
            if !self.is_home(scheduler) {
                self.leave_home(fd);
            // SAFETY: the reactor is borrowed for this call only.
            } else if unsafe { (*scheduler.reactor.get()).is_live(token) } {
                return Ok(token);
            }
            // Else we are in a forked child, whose reactor began anew.
        }
        // SAFETY: the reactor is borrowed for this call only.
        let token = unsafe { (*scheduler.reactor.get()).register(&scheduler.shared.epoll, fd)? };
        self.token.set(Some(token));
        *self.home.borrow_mut() = Some(scheduler.shared.clone());
        Ok(token)
    }

    /// Ends the registration with the reactor of another thread, to which `fd` is still open.
    fn leave_home(&self, fd: RawFd) {
        if let Some(home) = self.home.borrow_mut().take() {
            // The descriptor goes on living elsewhere: no event of it may reach the old thread.
            if home.is_of_parent() {
                // In a forked child: the epoll instance is the parent's as well.
                self.token.set(None);
                return;
            }
            let _ = home.epoll.delete(fd);
            if let Some(token) = self.token.take() {
                let _ = home.push(super::inbox::Message::Release { token: token.0 });
            }
        }
    }

    /// Marks the descriptor as closed and wakes all who wait for it, with `EBADF`.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        let (Some(token), Some(scheduler)) = (self.token.get(), Scheduler::current()) else {
            return;
        };
        if !self.is_home(scheduler) {
            return;
        }
        for direction in [Direction::Read, Direction::Write] {
            // SAFETY: the reactor is borrowed for one call at a time.
            while let Some(link) =
                unsafe { (*scheduler.reactor.get()).next_waiter(token, direction) }
            {
                // SAFETY: the link was in a queue of waiters and is out of it now.
                unsafe { wait::notify_link(link) };
            }
        }
    }

    /// Whether `close` was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(token) = self.token.get() else { return };
        let Some(home) = self.home.borrow_mut().take() else { return };
        match Scheduler::current() {
            Some(scheduler) if Arc::ptr_eq(&home, &scheduler.shared) => {
                // SAFETY: the reactor is borrowed for this call only; the owner is being dropped,
                // so nobody waits.
                unsafe { (*scheduler.reactor.get()).release(token.0) };
            }
            // The runtime may be gone, and the reactor with it.
            _ => drop(home.push(super::inbox::Message::Release { token: token.0 })),
        }
    }
}

fn link_of(waiter: &Waiter) -> NonNull<Link> {
    waiter.link()
}

fn closed() -> io::Error {
    io::Error::from_raw_os_error(sys::socket::BAD_DESCRIPTOR)
}

/// On a thread without a scheduler, the thread itself waits.
#[cold]
fn wait_thread(fd: RawFd, direction: Direction, deadline_ns: u64) -> io::Result<()> {
    let timeout_ns = match deadline_ns {
        NEVER => None,
        _ => Some(deadline_ns.saturating_sub(sys::clock::monotonic_ns())),
    };
    let ready = sys::socket::wait_ready(fd, direction == Direction::Write, timeout_ns)?;
    if ready { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
}
