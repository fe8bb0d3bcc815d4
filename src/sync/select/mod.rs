//! Waiting for the first of several things: the machinery of [`select!`](crate::select!).
//!
//! One round of a selection:
//!
//! 1. Try every arm, from a random one on. Whichever succeeds first is chosen.
//! 2. If none does, enter the queue of each. An arm that has become ready meanwhile ends the round:
//!    leave all queues and start again.
//! 3. Wait until somebody decides for an arm, or time is up. Leave all queues.
//! 4. The arm decided for takes what it was woken for. If that is gone, start again.
//!
//! Nothing is decided for two arms, and no wake-up is swallowed by an arm that is not chosen: see
//! `scheduler/selection.rs`.

mod macros;

use crate::scheduler::selection::{ArmWaiter, Selection, Stopped};
use crate::scheduler::wait::NEVER;
use crate::sys;
use crate::task::yield_now;
use std::cell::Cell;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

pub(crate) mod sealed {
    /// Keeps traits to this crate's types.
    pub trait Sealed {}

    impl<S: Sealed> Sealed for &S {}
}

/// The place of an arm in a queue of waiters.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Place<'a>(pub(crate) &'a ArmWaiter);

/// What a `recv` arm of [`select!`](crate::select!) can wait for: the receivers of
/// [`mpsc`](super::mpsc), [`oneshot`](super::oneshot) and [`watch`](super::watch).
///
/// ```
/// use cove::sync::{mpsc, select::Selectable};
///
/// fn first<A: Selectable, B: Selectable<Output = A::Output>>(a: &A, b: &B) -> A::Output {
///     cove::select! {
///         recv(a) -> output => output,
///         recv(b) -> output => output,
///     }
/// }
///
/// cove::run(|| {
///     let ((_quiet, a), (tx, b)) = (mpsc::channel(), mpsc::channel());
///     tx.send(7).unwrap();
///     assert_eq!(first(&a, &b), Ok(7));
/// });
/// ```
pub trait Selectable: sealed::Sealed {
    /// What the arm's pattern is matched with.
    type Output;

    /// Completes the operation if it is ready.
    #[doc(hidden)]
    fn attempt(&self) -> Option<Self::Output>;

    /// Enters the queue, unless the operation is ready; says whether it did.
    ///
    /// # Safety
    /// The place is prepared and in no queue; it stays until `leave` has returned.
    #[doc(hidden)]
    unsafe fn enter(&self, place: Place<'_>) -> bool;

    /// Leaves the queue, if the place is still in it.
    ///
    /// # Safety
    /// The place was passed to `enter` of the same source, or to none.
    #[doc(hidden)]
    unsafe fn leave(&self, place: Place<'_>);

    /// Completes the operation that somebody has decided for.
    #[doc(hidden)]
    fn accept(&self) -> Option<Self::Output> {
        self.attempt()
    }
}

impl<S: Selectable> Selectable for &S {
    type Output = S::Output;

    fn attempt(&self) -> Option<S::Output> {
        S::attempt(self)
    }

    unsafe fn enter(&self, place: Place<'_>) -> bool {
        // SAFETY: as the caller says.
        unsafe { S::enter(self, place) }
    }

    unsafe fn leave(&self, place: Place<'_>) {
        // SAFETY: as the caller says.
        unsafe { S::leave(self, place) }
    }

    fn accept(&self) -> Option<S::Output> {
        S::accept(self)
    }
}

/// What a `send` arm of [`select!`](crate::select!) can send to: the senders of
/// [`mpsc`](super::mpsc).
///
/// ```
/// use cove::sync::mpsc;
/// cove::run(|| {
///     let ((full, _rx), (free, rx)) = (mpsc::sync_channel(0), mpsc::sync_channel(1));
///     cove::select! {
///         send(full, 1) -> _ => unreachable!(),
///         send(free, 2) -> sent => sent.unwrap(),
///     }
///     assert_eq!(rx.recv(), Ok(2));
/// });
/// ```
pub trait Sends: sealed::Sealed {
    /// The sender as an arm; its output is a place for one value.
    #[doc(hidden)]
    type Arm<'a>: Selectable
    where
        Self: 'a;

    /// The sender as an arm.
    #[doc(hidden)]
    fn arm(&self) -> Self::Arm<'_>;
}

impl<S: Sends> Sends for &S {
    type Arm<'a>
        = S::Arm<'a>
    where
        Self: 'a;

    fn arm(&self) -> S::Arm<'_> {
        S::arm(self)
    }
}

/// One arm, as the selection sees it.
#[doc(hidden)]
pub trait Arm {
    /// Completes the arm if it is ready; from then on it is the chosen one.
    fn attempt(&mut self) -> bool;

    /// Completes the arm after somebody has decided for it, if what that was for is still there.
    fn accept(&mut self) -> bool;

    /// # Safety
    /// As [`Selectable::enter`].
    unsafe fn enter(&self, place: Place<'_>) -> bool;

    /// # Safety
    /// As [`Selectable::leave`].
    unsafe fn leave(&self, place: Place<'_>);

    /// When the arm is ready by the clock.
    fn deadline_ns(&self) -> u64 {
        NEVER
    }
}

/// An arm that waits for a source, and what has come of it.
#[doc(hidden)]
pub struct Waiting<S: Selectable> {
    source: S,
    output: Option<S::Output>,
}

impl<S: Selectable> Waiting<S> {
    pub fn new(source: S) -> Waiting<S> {
        Waiting { source, output: None }
    }

    /// What the arm has brought, if it was chosen.
    pub fn take(&mut self) -> Option<S::Output> {
        self.output.take()
    }
}

impl<S: Selectable> Arm for Waiting<S> {
    fn attempt(&mut self) -> bool {
        self.output = self.source.attempt();
        self.output.is_some()
    }

    fn accept(&mut self) -> bool {
        self.output = self.source.accept();
        self.output.is_some()
    }

    unsafe fn enter(&self, place: Place<'_>) -> bool {
        // SAFETY: as the caller says.
        unsafe { self.source.enter(place) }
    }

    unsafe fn leave(&self, place: Place<'_>) {
        // SAFETY: as the caller says.
        unsafe { self.source.leave(place) }
    }
}

/// An arm that waits for a time.
#[doc(hidden)]
pub struct Timer {
    deadline_ns: u64,
    is_over: bool,
    was_tried: bool,
}

impl Timer {
    pub fn after(duration: Duration) -> Timer {
        Timer { deadline_ns: sys::clock::deadline_ns(duration), is_over: false, was_tried: false }
    }

    pub fn at(instant: Instant) -> Timer {
        Timer::after(instant.saturating_duration_since(Instant::now()))
    }

    /// Something, if the arm was chosen.
    pub fn take(&mut self) -> Option<()> {
        self.is_over.then_some(())
    }
}

impl Arm for Timer {
    fn attempt(&mut self) -> bool {
        let is_over = self.accept();
        if is_over && !self.was_tried {
            // As a sleep of no length: whoever is late each time must let the others run as well.
            yield_now();
        }
        self.was_tried = true;
        is_over
    }

    fn accept(&mut self) -> bool {
        self.is_over = sys::clock::monotonic_ns() >= self.deadline_ns;
        self.is_over
    }

    unsafe fn enter(&self, _: Place<'_>) -> bool {
        true
    }

    unsafe fn leave(&self, _: Place<'_>) {}

    fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }
}

/// How long to wait before the `default` arm is chosen.
#[doc(hidden)]
pub enum Limit {
    /// There is no `default` arm.
    Unlimited,
    AtOnce,
    After(Duration),
}

/// Waits until an arm is chosen, or the limit is reached. The chosen arm has its output.
#[doc(hidden)]
pub fn wait(arms: &mut [&mut dyn Arm], limit: Limit) {
    let limit_ns = match limit {
        Limit::Unlimited => NEVER,
        Limit::AtOnce => 0,
        Limit::After(duration) => sys::clock::deadline_ns(duration),
    };
    let deadline_ns = arms.iter().map(|arm| arm.deadline_ns()).min().unwrap_or(NEVER).min(limit_ns);
    loop {
        if attempt(arms) || limit_ns == 0 {
            return;
        }
        if block(arms, deadline_ns) {
            return;
        }
        if limit_ns != NEVER && sys::clock::monotonic_ns() >= limit_ns {
            attempt(arms);
            return;
        }
    }
}

/// Tries all arms in turn, from a random one on.
fn attempt(arms: &mut [&mut dyn Arm]) -> bool {
    let start = random(arms.len());
    let (before, from) = arms.split_at_mut(start);
    from.iter_mut().chain(before).any(|arm| arm.attempt())
}

/// Waits in the queues of all arms until one has been decided for and brings something. False if
/// they are worth another try.
#[cold]
fn block(arms: &mut [&mut dyn Arm], deadline_ns: u64) -> bool {
    let selection = Selection::new(arms.len());
    let entered = Entered { arms, selection: &selection };
    let ended = if entered.enter() {
        selection.wait(deadline_ns)
    } else {
        // An arm can be tried again, unless somebody has decided for an earlier one already.
        selection.winner_or_abort().ok_or(Stopped::TimedOut)
    };
    drop(entered);
    match ended {
        Ok(winner) => arms[winner].accept(),
        Err(stopped) => {
            stopped.unwind();
            false
        }
    }
}

/// The time in which places of the selection may stand in the arms' queues.
struct Entered<'a, 'b> {
    arms: &'a [&'b mut dyn Arm],
    selection: &'a Selection,
}

impl Entered<'_, '_> {
    /// Enters all queues, up to the first arm that is ready; whether none is.
    fn enter(&self) -> bool {
        // SAFETY: each place is fresh, and stays until `drop` has taken it out of its queue.
        let enter = |(number, arm): (usize, &&mut dyn Arm)| unsafe {
            arm.enter(Place(self.selection.arm(number)))
        };
        self.arms.iter().enumerate().all(enter)
    }
}

impl Drop for Entered<'_, '_> {
    fn drop(&mut self) {
        for (number, arm) in self.arms.iter().enumerate() {
            // SAFETY: the place was passed to `enter` of this arm, or is in no queue at all.
            unsafe { arm.leave(Place(self.selection.arm(number))) };
        }
    }
}

/// A number below `end`, or 0.
fn random(end: usize) -> usize {
    thread_local! {
        /// The state of a generator; any but zero will do.
        static STATE: Cell<u32> = const { Cell::new(0x9E37_79B9) };
    }
    if cfg!(all(loom, test)) {
        // A model is run again and again, and must go the same way.
        return 0;
    }
    // Marsaglia, "Xorshift RNGs", 2003.
    let mut state = STATE.get();
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    STATE.set(state);
    ((u64::from(state) * end as u64) >> 32) as usize
}
