//! The handle of one private stack.

use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::NonNull;

use super::guard::say;
use super::residency;
use super::slab::{CACHE_LINE_BYTES, RawStack, Slab};
use crate::sys::checkers::allow_all;

/// A stack that is out of its pool. Two words, so that it may be stored in the control block that
/// lies on it.
///
/// It belongs to the thread whose pool it is from (it is not `Send`). Give it back with
/// `StackPool::give`. Merely dropping it is safe and gives up its slot:
/// the slab is told that one stack less is live, and nothing is reused until the whole slab goes.
/// Forgetting it keeps the slab mapped for ever, so what points into the stack stays valid.
#[derive(Debug)]
pub(crate) struct Stack {
    slab: NonNull<Slab>,
    top: NonNull<u8>,
}

const _: () = assert!(size_of::<Stack>() == 16 && size_of::<Option<Stack>>() == 16);

impl Stack {
    /// Where a debugger finds the top.
    pub(crate) const TOP_OFFSET: usize = std::mem::offset_of!(Stack, top);

    /// The address above the first usable byte, from where the stack grows down. Aligned to a cache
    /// line, and coloured: up to 23 lines below the end of a page.
    #[inline]
    pub(crate) fn top(&self) -> NonNull<u8> {
        debug_assert!(self.top.as_ptr().addr() % CACHE_LINE_BYTES == 0);
        self.top
    }

    /// The lowest usable address. The guard is below it.
    pub(crate) fn limit(&self) -> NonNull<u8> {
        self.slab().limit_of(self.top)
    }

    /// The usable bytes between [`Stack::limit`] and [`Stack::top`]: the size asked for, rounded up
    /// to whole pages, less the colour (at most 1/16 of it).
    pub(crate) fn bytes(&self) -> usize {
        self.top.as_ptr().addr() - self.limit().as_ptr().addr()
    }

    /// The usable addresses.
    pub(crate) fn bounds(&self) -> Range<usize> {
        self.limit().as_ptr().addr()..self.top.as_ptr().addr()
    }

    /// How deep the stack has ever been, in bytes below the top.
    ///
    /// Exact to a word for what wrote something other than zero: the lowest resident page with a
    /// nonzero word counts, and in it the lowest such word. A frame whose lowest words are zero, or
    /// were never written, counts for less. The mark includes earlier users of the stack, unless
    /// its pages were given back between them. Pages that were swapped out are not seen. Costs a
    /// system call for each 2 MiB of stack, or page faults all over the stack where there is no
    /// mincore(2).
    pub(crate) fn high_water_bytes(&self) -> usize {
        allow_all(self.bounds());
        // SAFETY: the bounds are those of a mapped stack of this thread.
        let deepest = unsafe { residency::lowest_nonzero(self.limit(), self.bytes()) };
        deepest.map_or(0, |address| self.top.as_ptr().addr() - address)
    }

    /// Whether no overflow was noticed: the words below the stack are as they should be. Always
    /// true for a stack whose guard stops overflows. Cheap enough for each switch: 64 words that
    /// are in the cache.
    #[inline]
    pub(crate) fn check_canary(&self) -> bool {
        self.slab().canary_intact(self.top, false)
    }

    /// The two words of the handle, to be stored where a handle cannot be: on the stack itself,
    /// whose memory the handle guards. The stack stays live.
    pub(crate) fn into_raw(self) -> (NonNull<Slab>, NonNull<u8>) {
        let this = ManuallyDrop::new(self);
        (this.slab, this.top)
    }

    /// The handle again.
    ///
    /// # Safety
    ///
    /// The words are from [`Stack::into_raw`], each pair is used once, and on the thread that it is
    /// from.
    #[inline]
    pub(crate) unsafe fn from_raw(slab: NonNull<Slab>, top: NonNull<u8>) -> Stack {
        Stack { slab, top }
    }

    /// A handle for a slot that was free until now.
    #[inline]
    pub(super) fn make_live(raw: RawStack) -> Stack {
        let stack = Stack { slab: raw.0, top: raw.1 };
        let live = &stack.slab().live;
        live.set(live.get() + 1);
        stack_created(&stack);
        stack
    }

    #[inline]
    pub(super) fn slab(&self) -> &Slab {
        // SAFETY: a live stack keeps its slab.
        unsafe { self.slab.as_ref() }
    }

    /// Aborts the process if the canary shows that the stack overflowed: other memory is damaged by
    /// then.
    #[inline]
    pub(super) fn abort_if_overflowed(&self) {
        if !self.slab().canary_intact(self.top, true) {
            self.abort_for_overflow();
        }
    }

    #[cold]
    fn abort_for_overflow(&self) -> ! {
        say(format_args!(
            "a coroutine has overflowed its stack of {} bytes at {:#x}..{:#x}: the canary below it \
             is gone. Give it a larger stack",
            self.bytes(),
            self.bounds().start,
            self.bounds().end,
        ));
        std::process::abort();
    }
}

impl Drop for Stack {
    /// Gives up the slot, see [`Stack`].
    fn drop(&mut self) {
        self.abort_if_overflowed();
        stack_destroyed(self);
        let slab = self.slab();
        slab.live.set(slab.live.get() - 1);
        slab.lost.set(slab.lost.get() + 1);
        // SAFETY: the slab was kept by this stack, which is gone with this call.
        unsafe { Slab::free_if_unused(self.slab) };
    }
}

/// Tells tools that follow stacks (AddressSanitizer, valgrind) of a new one.
#[inline(always)]
pub(super) fn stack_created(_stack: &Stack) {
    #[cfg(any(cove_asan, cove_valgrind))]
    crate::sys::checkers::stack_created(_stack.bounds());
}

/// Tells such tools that a stack is no longer one.
#[inline(always)]
pub(super) fn stack_destroyed(_stack: &Stack) {
    #[cfg(any(cove_asan, cove_valgrind))]
    crate::sys::checkers::stack_destroyed(_stack.bounds());
}
