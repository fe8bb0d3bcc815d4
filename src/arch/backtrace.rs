//! Backtraces of the present stack and of suspended contexts, as addresses, which `symbols.rs`
//! names.
//!
//! Collecting addresses allocates nothing, so that signal handlers may do it, and costs little, so
//! that a million coroutines may be asked. On processors without a hand-written switch a suspended
//! context cannot be looked into.

use super::{Context, unwind_from};
use crate::sys::unwind::each_frame;
use std::ops::ControlFlow;

/// Whether suspended contexts can be unwound.
pub(crate) const IS_SUPPORTED: bool =
    cfg!(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(cove_portable)));

/// Return addresses, innermost first: the first ones and, if there are more than fit, the last
/// ones.
pub(crate) struct Addresses<const FIRST: usize, const LAST: usize> {
    first: [usize; FIRST],
    /// A ring.
    last: [usize; LAST],
    count: usize,
}

impl<const FIRST: usize, const LAST: usize> Addresses<FIRST, LAST> {
    /// No address.
    pub(crate) const EMPTY: Self = Addresses { first: [0; FIRST], last: [0; LAST], count: 0 };

    /// Takes one more.
    pub(crate) fn push(&mut self, pc: usize) {
        match self.count.checked_sub(FIRST) {
            None => self.first[self.count] = pc,
            Some(_) if LAST == 0 => {}
            Some(place) => self.last[place % LAST] = pc,
        }
        self.count += 1;
    }

    /// The innermost addresses.
    pub(crate) fn first(&self) -> &[usize] {
        &self.first[..self.count.min(FIRST)]
    }

    /// How many lie between the first and the last ones and were not kept.
    pub(crate) fn left_out(&self) -> usize {
        self.count.saturating_sub(FIRST + LAST)
    }

    /// The outermost addresses, those in `first` not repeated.
    pub(crate) fn last(&self) -> impl Iterator<Item = usize> {
        let from = FIRST.max(self.count.saturating_sub(LAST));
        (from..self.count).map(|place| self.last[(place - FIRST) % LAST])
    }

    /// Takes the addresses of the present stack, `frames_max` at most.
    #[cfg(test)]
    #[inline(always)]
    pub(crate) fn collect(&mut self, frames_max: usize) {
        let mut left = frames_max;
        each_frame(|pc| {
            self.push(pc);
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }

    /// Takes the addresses of the present stack from the return address `pc` on, `frames_max` at
    /// most; none if that is not among the innermost ones.
    #[inline(always)]
    pub(crate) fn collect_after(&mut self, pc: usize, frames_max: usize) {
        let (mut left, mut own, mut seen) = (frames_max, 0, false);
        each_frame(|found| {
            seen |= found == pc;
            let goes_on = if seen {
                self.push(found);
                left -= 1;
                left > 0
            } else {
                own += 1;
                own < OWN_FRAMES_MAX
            };
            if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
    }

    /// Takes the addresses of a suspended context, `frames_max` at most; none if that is not
    /// supported.
    ///
    /// # Safety
    /// `context` is suspended, has run before, and its stack is intact.
    pub(crate) unsafe fn collect_from(&mut self, context: Context, frames_max: usize) {
        /// # Safety
        /// `walk` is the walk below.
        unsafe extern "C" fn enter<const FIRST: usize, const LAST: usize>(walk: *mut u8) {
            // SAFETY: `collect_from` passes its walk, and keeps it meanwhile.
            let walk = unsafe { &mut *walk.cast::<Walk<'_, FIRST, LAST>>() };
            // The frames of this function and of its caller are not the context's.
            walk.addresses.collect_after(walk.pc, walk.frames_max);
        }
        if !IS_SUPPORTED {
            return;
        }
        // SAFETY: the caller vouches that the context is suspended and its stack intact.
        let pc = unsafe { super::pc(context) };
        let mut walk = Walk { addresses: self, pc, frames_max };
        // SAFETY: the caller vouches for the context; `enter` does not unwind.
        unsafe { unwind_from(context, enter::<FIRST, LAST>, (&raw mut walk).cast()) };
    }
}

/// More frames than those who collect addresses have themselves.
const OWN_FRAMES_MAX: usize = 24;

struct Walk<'a, const FIRST: usize, const LAST: usize> {
    addresses: &'a mut Addresses<FIRST, LAST>,
    /// Where the context goes on.
    pc: usize,
    frames_max: usize,
}
