//! A queue of values in linked blocks: no value ever moves, and memory goes back after a burst.
//!
//! ```text
//!   head block                 tail block             spare (one is kept, the rest handed out)
//!   +---+---+---+---+---+      +---+---+---+---+---+     +---+---+---+---+---+
//!   |   |   | a | b | c | ---> | d | e |   |   |   |     |   |   |   |   |   |
//!   +---+---+---+---+---+      +---+---+---+---+---+     +---+---+---+---+---+
//!            ^ head_at                  ^ tail_at
//! ```
//!
//! A queue that runs empty starts over in the block it has, so that little traffic stays in few
//! cache lines. Not thread-safe: it lies under the channel's lock.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::{MaybeUninit, offset_of, size_of};
use std::ptr::NonNull;

/// Values in a block: many small ones, but no block of big ones beyond [`BLOCK_BYTES_MAX`].
const SLOTS_MAX: usize = if cfg!(test) { 4 } else { 32 };
const BLOCK_BYTES_MAX: usize = 2048;

/// The start of a block.
#[repr(C)]
struct Header<T> {
    next: Option<Raw<T>>,
    /// Where the slots begin.
    slots: [MaybeUninit<T>; 0],
}

/// A block in a queue: room for [`Raw::SLOTS`] values. It does not know which of them are there.
struct Raw<T>(NonNull<Header<T>>);

/// An empty block outside of any queue.
pub(super) struct Block<T>(Raw<T>);

// SAFETY: a block holds no value, just memory.
unsafe impl<T> Send for Block<T> {}

impl<T> Clone for Raw<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Raw<T> {}

impl<T> Block<T> {
    /// Allocates a block.
    #[cold]
    pub(super) fn new() -> Block<T> {
        let layout = Raw::<T>::layout();
        // SAFETY: the layout has the size of a header at least.
        let Some(header) = NonNull::new(unsafe { alloc(layout) }.cast::<Header<T>>()) else {
            handle_alloc_error(layout)
        };
        // SAFETY: fresh memory of the header's layout.
        unsafe { header.write(Header { next: None, slots: [] }) };
        Block(Raw(header))
    }

    /// Gives up the ownership.
    fn into_raw(self) -> Raw<T> {
        std::mem::ManuallyDrop::new(self).0
    }
}

impl<T> Drop for Block<T> {
    #[cold]
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and owned.
        unsafe { dealloc(self.0.0.as_ptr().cast(), Raw::<T>::layout()) };
    }
}

impl<T> Raw<T> {
    const SLOTS: usize = {
        let bytes = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        let fitting = BLOCK_BYTES_MAX / bytes;
        if fitting == 0 {
            1
        } else if fitting > SLOTS_MAX {
            SLOTS_MAX
        } else {
            fitting
        }
    };

    /// The layout of a block: a header, then the slots.
    fn layout() -> Layout {
        let slots = Layout::array::<T>(Self::SLOTS).expect("a block has a few kilobytes");
        let (layout, offset) =
            Layout::new::<Header<T>>().extend(slots).expect("a block has a few kilobytes");
        debug_assert_eq!(offset, offset_of!(Header<T>, slots));
        layout
    }

    /// # Safety
    /// The block is live, and `index` less than [`Raw::SLOTS`].
    #[inline(always)]
    unsafe fn slot(self, index: usize) -> *mut T {
        debug_assert!(index < Self::SLOTS);
        // SAFETY: inside the block's allocation.
        unsafe { (&raw mut (*self.0.as_ptr()).slots).cast::<T>().add(index) }
    }

    /// # Safety
    /// The block is live, and nobody else uses it.
    #[inline(always)]
    unsafe fn next(self) -> *mut Option<Raw<T>> {
        // SAFETY: as the caller says.
        unsafe { &raw mut (*self.0.as_ptr()).next }
    }
}

/// The queue. All of its blocks are its own.
pub(super) struct Blocks<T> {
    head: Option<Raw<T>>,
    tail: Option<Raw<T>>,
    /// The first value's slot in the head block.
    head_at: usize,
    /// The first free slot in the tail block; `SLOTS` if there is none, or no block.
    tail_at: usize,
    len: usize,
    /// Empty blocks, linked.
    spare: Option<Raw<T>>,
    spares: usize,
}

// SAFETY: the queue owns its blocks and the values in them.
unsafe impl<T: Send> Send for Blocks<T> {}

impl<T> Blocks<T> {
    pub(super) fn new() -> Blocks<T> {
        let tail_at = Raw::<T>::SLOTS;
        Blocks { head: None, tail: None, head_at: 0, tail_at, len: 0, spare: None, spares: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether `push` can do without an allocation.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.tail_at < Raw::<T>::SLOTS || self.spare.is_some()
    }

    /// Adds an empty block, so that `has_room`.
    #[cold]
    pub(super) fn provide(&mut self, block: Block<T>) {
        let block = block.into_raw();
        // SAFETY: live, and ours now.
        unsafe { *block.next() = self.spare };
        self.spare = Some(block);
        self.spares += 1;
    }

    /// An empty block beyond the one that is worth keeping, for the caller to free.
    #[inline]
    pub(super) fn excess(&mut self) -> Option<Block<T>> {
        if self.spares > 1 { self.take_spare() } else { None }
    }

    #[cold]
    fn take_spare(&mut self) -> Option<Block<T>> {
        let block = self.spare?;
        self.spares -= 1;
        // SAFETY: a spare block is live and the queue's own.
        self.spare = unsafe { (*block.next()).take() };
        Some(Block(block))
    }

    /// Appends a value; allocates unless `has_room`.
    #[inline]
    pub(super) fn push(&mut self, value: T) {
        if self.tail_at == Raw::<T>::SLOTS {
            self.extend();
        }
        if let Some(tail) = self.tail {
            // SAFETY: `extend` made sure of a free slot in the tail block.
            unsafe { tail.slot(self.tail_at).write(value) };
        }
        self.tail_at += 1;
        self.len += 1;
    }

    /// Appends a block.
    #[cold]
    fn extend(&mut self) {
        let block = self.take_spare().unwrap_or_else(Block::new).into_raw();
        match self.tail {
            // SAFETY: the tail is live and the queue's own.
            Some(tail) => unsafe { *tail.next() = Some(block) },
            None => self.head = Some(block),
        }
        self.tail = Some(block);
        self.tail_at = 0;
    }

    /// Takes the first value out.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let head = self.head?;
        // SAFETY: the queue is not empty, so its first value is in the head block at `head_at`;
        // afterwards it is out of the queue.
        let value = unsafe { head.slot(self.head_at).read() };
        self.head_at += 1;
        self.len -= 1;
        if self.len == 0 {
            // Both indices are in the same block: whatever was before it has been retired.
            self.head_at = 0;
            self.tail_at = 0;
        } else if self.head_at == Raw::<T>::SLOTS {
            self.retire(head);
        }
        Some(value)
    }

    /// Puts the exhausted head block among the spare ones.
    #[cold]
    fn retire(&mut self, head: Raw<T>) {
        // SAFETY: live and the queue's own; not the tail, because values follow.
        self.head = unsafe { (*head.next()).take() };
        self.head_at = 0;
        self.provide(Block(head));
    }
}

impl<T> Drop for Blocks<T> {
    fn drop(&mut self) {
        while let Some(value) = self.pop() {
            drop(value);
        }
        for mut chain in [self.head, self.spare] {
            while let Some(block) = chain {
                // SAFETY: live and the queue's own.
                chain = unsafe { *block.next() };
                drop(Block(block));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use std::collections::VecDeque;
    use std::rc::Rc;

    proptest! {
        #[test]
        fn blocks_agree_with_a_deque(steps in vec(0..5u8, 0..400)) {
            // Goal: order, length and memory are right over any mixture of pushes and pops.
            // Method: the same steps on a deque; values are counted, and few blocks are kept.
            let counted = Rc::new(());
            let (mut blocks, mut model) = (Blocks::new(), VecDeque::new());
            for (number, step) in steps.into_iter().enumerate() {
                if step < 3 {
                    blocks.push((number, Rc::clone(&counted)));
                    model.push_back(number);
                } else {
                    prop_assert_eq!(blocks.pop().map(|pair| pair.0), model.pop_front());
                    drop(blocks.excess());
                }
                prop_assert_eq!(blocks.len(), model.len());
                prop_assert!(blocks.spares <= 1);
                prop_assert_eq!(Rc::strong_count(&counted), 1 + model.len());
            }
            drop(blocks);
            prop_assert_eq!(Rc::strong_count(&counted), 1);
        }
    }

    #[test]
    fn big_and_empty_values_fit() {
        // Goal: the size of a block is right at both ends. Method: round trips of such values.
        let (mut big, mut empty) = (Blocks::new(), Blocks::new());
        for number in 0..10u8 {
            big.push([number; 5000]);
            empty.push(());
        }
        assert!((0..10).all(|number| big.pop() == Some([number; 5000])));
        assert_eq!(std::iter::from_fn(|| empty.pop()).count(), 10);
    }
}
