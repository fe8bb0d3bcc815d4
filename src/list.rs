//! Intrusive doubly linked lists: the links live inside the listed objects, so nothing allocates.
//!
//! Two shapes over one [`Link`], for two kinds of owner:
//!
//! ```text
//! List    a ring through a sentinel: a member can leave without naming its list,
//!         but the list must keep its address while it has members
//!             +--------------------------------------------+
//!             +-> sentinel <---> link <---> link <---> ... <+
//!
//! Queue   a head and a tail: the queue may move at any time (it lives in values under a lock),
//!         but a member must leave through its own queue
//!             head ---> link <---> link <---> link <--- tail
//!               END <---'                       '---> END
//! ```
//!
//! Both fields of a link are null exactly while it is in no list; it is in one at most. They are
//! `Cell`s: a shared reference to the object around a link stays valid while neighbours rewrite it.

use std::cell::Cell;
use std::ptr::{self, NonNull};

/// What ends a queue on either side: neither null (not linked) nor an address that a link can have.
const END: *mut Link = NonNull::dangling().as_ptr();

/// The two pointers that an object contributes to the list it is in.
#[repr(C)]
pub(crate) struct Link {
    prev: Cell<*mut Link>,
    next: Cell<*mut Link>,
}

const _: () = assert!(size_of::<Link>() == 16 && align_of::<Link>() == 8);

impl Link {
    /// A link that is in no list.
    pub(crate) const fn new() -> Link {
        Link { prev: Cell::new(ptr::null_mut()), next: Cell::new(ptr::null_mut()) }
    }

    /// Whether the link is in a list.
    pub(crate) fn is_linked(&self) -> bool {
        debug_assert_eq!(self.prev.get().is_null(), self.next.get().is_null());
        !self.next.get().is_null()
    }

    #[inline]
    fn set(&self, prev: *mut Link, next: *mut Link) {
        self.prev.set(prev);
        self.next.set(next);
    }
}

/// A ring through a sentinel. Must not move from the first `push_back` on, while it is in use.
pub(crate) struct List {
    /// Points at itself while the list is empty; null before the first use, so that `new` is const.
    sentinel: Link,
}

impl List {
    /// An empty list, free to move until something is pushed.
    pub(crate) const fn new() -> List {
        List { sentinel: Link::new() }
    }

    /// The address that members see at both ends of the list.
    pub(crate) fn sentinel(&self) -> *mut Link {
        (&raw const self.sentinel).cast_mut()
    }

    /// Closes the ring before its first use, and returns its sentinel.
    fn close(&self) -> *mut Link {
        let sentinel = self.sentinel();
        if self.sentinel.next.get().is_null() {
            self.sentinel.set(sentinel, sentinel);
        }
        sentinel
    }

    /// The first member, none if the list is empty.
    pub(crate) fn first(&self) -> Option<NonNull<Link>> {
        let first = self.sentinel.next.get();
        if first == self.sentinel() { None } else { NonNull::new(first) }
    }

    /// The last member, none if the list is empty.
    #[cfg(test)]
    pub(crate) fn last(&self) -> Option<NonNull<Link>> {
        let last = self.sentinel.prev.get();
        if last == self.sentinel() { None } else { NonNull::new(last) }
    }

    /// Adds `link` at the end.
    ///
    /// # Safety
    ///
    /// - `link` is valid, in no list, and stays valid and in place until it is unlinked.
    /// - Until then it is used only by the thread that has access to this list.
    /// - The list keeps its address until all members have left.
    pub(crate) unsafe fn push_back(&self, link: NonNull<Link>) {
        self.close();
        // SAFETY: the caller vouches for the link and for the list's address; the last member, or
        // else the sentinel, is a place in this list.
        unsafe { self.insert_after(self.sentinel.prev.get(), link) };
    }

    /// Adds `link` behind `place`.
    ///
    /// # Safety
    ///
    /// As for [`push_back`](List::push_back); `place` is a member of this list, or its sentinel.
    pub(crate) unsafe fn insert_after(&self, place: *mut Link, link: NonNull<Link>) {
        self.close();
        // SAFETY: `link` is valid by the contract; `place` and its neighbour are the sentinel or
        // members, valid by the contract they were pushed under.
        unsafe {
            debug_assert!(!link.as_ref().is_linked());
            let next = (*place).next.get();
            link.as_ref().set(place, next);
            (*place).next.set(link.as_ptr());
            (*next).prev.set(link.as_ptr());
        }
    }

    /// Takes the first member out.
    #[cfg(test)]
    pub(crate) fn pop_front(&self) -> Option<NonNull<Link>> {
        let first = self.first()?;
        // SAFETY: `first` is a member, valid by the contract under which it was pushed.
        unsafe { List::unlink(first) };
        Some(first)
    }

    /// Moves all members of `other` to the end of this list, in their order and in constant time.
    ///
    /// # Safety
    ///
    /// This list keeps its address until all members have left.
    pub(crate) unsafe fn append(&self, other: &List) {
        debug_assert_ne!(self.sentinel(), other.sentinel());
        let Some(first) = other.first() else { return };
        let sentinel = self.close();
        let (joint, last) = (self.sentinel.prev.get(), other.sentinel.prev.get());
        // SAFETY: `first` and `last` are members of `other`, `joint` is one of this list or its
        // sentinel: all valid by the contracts under which they were pushed.
        unsafe {
            (*joint).next.set(first.as_ptr());
            first.as_ref().prev.set(joint);
            (*last).next.set(sentinel);
        }
        self.sentinel.prev.set(last);
        other.sentinel.set(other.sentinel(), other.sentinel());
    }

    /// Takes `link` out of the list it is in, whichever that is. If it was the only member, returns
    /// the sentinel of the list, which tells the owner what has become empty.
    ///
    /// # Safety
    ///
    /// `link` is a member of a `List` that the caller's thread has access to.
    pub(crate) unsafe fn unlink(link: NonNull<Link>) -> Option<*mut Link> {
        // SAFETY: a member and its neighbours are valid by the contract they were pushed under.
        unsafe {
            let (prev, next) = (link.as_ref().prev.get(), link.as_ref().next.get());
            debug_assert!((*prev).next.get() == link.as_ptr());
            debug_assert!((*next).prev.get() == link.as_ptr());
            (*prev).next.set(next);
            (*next).prev.set(prev);
            link.as_ref().set(ptr::null_mut(), ptr::null_mut());
            // A ring of two holds the sentinel and the link that has just left.
            if prev == next { Some(prev) } else { None }
        }
    }
}

/// A first-in-first-out queue of links that may itself move, whether empty or not.
pub(crate) struct Queue {
    head: *mut Link,
    tail: *mut Link,
}

// SAFETY: only the holder of a queue touches its members, as whoever pushed them promised.
unsafe impl Send for Queue {}

impl Queue {
    /// An empty queue.
    pub(crate) const fn new() -> Queue {
        Queue { head: END, tail: END }
    }

    /// Whether the queue has no members.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head == END
    }

    /// The member that has waited longest.
    #[inline]
    pub(crate) fn front(&self) -> Option<NonNull<Link>> {
        if self.is_empty() { None } else { NonNull::new(self.head) }
    }

    /// The members, first the one that has waited longest.
    pub(crate) fn iter(&self) -> impl Iterator<Item = NonNull<Link>> + '_ {
        // SAFETY: the members are valid by the contract they were pushed under.
        std::iter::successors(self.front(), |link| unsafe {
            NonNull::new(link.as_ref().next.get()).filter(|next| next.as_ptr() != END)
        })
    }

    /// Adds `link` behind all others.
    ///
    /// # Safety
    ///
    /// - `link` is valid, in no list, and stays valid and in place until it leaves this queue.
    /// - Until then it is touched only by whoever has exclusive access to the queue.
    #[inline]
    pub(crate) unsafe fn push_back(&mut self, link: NonNull<Link>) {
        // SAFETY: `link` is valid by the contract; so is the tail, a member, by the same one.
        unsafe {
            debug_assert!(!link.as_ref().is_linked());
            link.as_ref().set(self.tail, END);
            if self.tail == END {
                self.head = link.as_ptr();
            } else {
                (*self.tail).next.set(link.as_ptr());
            }
        }
        self.tail = link.as_ptr();
    }

    /// Adds `link` before all others.
    ///
    /// # Safety
    ///
    /// As for [`push_back`](Queue::push_back).
    #[cfg(test)]
    pub(crate) unsafe fn push_front(&mut self, link: NonNull<Link>) {
        // SAFETY: `link` is valid by the contract; so is the head, a member, by the same one.
        unsafe {
            debug_assert!(!link.as_ref().is_linked());
            link.as_ref().set(END, self.head);
            if self.head == END {
                self.tail = link.as_ptr();
            } else {
                (*self.head).prev.set(link.as_ptr());
            }
        }
        self.head = link.as_ptr();
    }

    /// Takes out the member that has waited longest.
    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<NonNull<Link>> {
        let front = self.front()?;
        // SAFETY: the front is a member of this queue, and so is what follows it, if anything does.
        unsafe {
            self.head = front.as_ref().next.get();
            if self.head == END {
                self.tail = END;
            } else {
                (*self.head).prev.set(END);
            }
            front.as_ref().set(ptr::null_mut(), ptr::null_mut());
        }
        Some(front)
    }

    /// Takes `link` out. Returns false, and does nothing, if it is in no list.
    ///
    /// # Safety
    ///
    /// `link` is valid, and either in this queue or in no list at all.
    pub(crate) unsafe fn remove(&mut self, link: NonNull<Link>) -> bool {
        // SAFETY: `link` is valid by the contract; its neighbours, where it has some, are members,
        // valid by the contract they were pushed under.
        unsafe {
            if !link.as_ref().is_linked() {
                return false;
            }
            let (prev, next) = (link.as_ref().prev.get(), link.as_ref().next.get());
            if prev == END {
                debug_assert_eq!(self.head, link.as_ptr());
                self.head = next;
            } else {
                (*prev).next.set(next);
            }
            if next == END {
                debug_assert_eq!(self.tail, link.as_ptr());
                self.tail = prev;
            } else {
                (*next).prev.set(prev);
            }
            link.as_ref().set(ptr::null_mut(), ptr::null_mut());
        }
        debug_assert_eq!(self.head == END, self.tail == END);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use std::collections::VecDeque;

    const LINKS: usize = 8;

    /// Links at fixed addresses; a link is named by its index.
    struct Arena([Link; LINKS]);

    impl Arena {
        fn link(&self, index: usize) -> NonNull<Link> {
            NonNull::from(&self.0[index])
        }

        /// The members from `first` to `last`, each checked to point back at the one before.
        fn members(&self, first: *mut Link, last: *mut Link, end: *mut Link) -> VecDeque<usize> {
            let (mut indices, mut before, mut at) = (VecDeque::new(), end, first);
            while at != end {
                assert!(indices.len() < LINKS, "the list has a cycle");
                let index =
                    self.0.iter().position(|link| ptr::eq(link, at)).expect("a stray pointer");
                assert_eq!(self.0[index].prev.get(), before);
                indices.push_back(index);
                before = at;
                at = self.0[index].next.get();
            }
            assert_eq!(before, last);
            indices
        }

        fn assert_list(&self, list: &List, model: &VecDeque<usize>) {
            assert_eq!(list.first(), model.front().map(|&index| self.link(index)));
            assert_eq!(list.last(), model.back().map(|&index| self.link(index)));
            let end = list.close();
            let Link { prev: last, next: first } = &list.sentinel;
            assert_eq!(self.members(first.get(), last.get(), end), *model);
        }
    }

    proptest! {
        #[test]
        fn lists_agree_with_deques(steps in vec((0..5u8, 0..LINKS, 0..2usize), 0..200)) {
            // Goal: any operations keep both rings right, and tell which list has become empty.
            // Method: two lists over one arena against two VecDeques, compared after each step.
            let arena = Arena([const { Link::new() }; LINKS]);
            let lists = [List::new(), List::new()];
            let mut models: [VecDeque<usize>; 2] = Default::default();
            for (operation, index, which) in steps {
                let (link, linked) = (arena.link(index), arena.0[index].is_linked());
                // SAFETY: nothing moves; only unlinked links are pushed, only linked ones unlinked.
                unsafe {
                    match operation {
                        0 if !linked => {
                            lists[which].push_back(link);
                            models[which].push_back(index);
                        }
                        1 if linked => {
                            let from = usize::from(!models[0].contains(&index));
                            models[from].retain(|&other| other != index);
                            let emptied = models[from].is_empty().then(|| lists[from].sentinel());
                            prop_assert_eq!(List::unlink(link), emptied);
                        }
                        2 => {
                            let expected = models[which].pop_front().map(|index| arena.link(index));
                            prop_assert_eq!(lists[which].pop_front(), expected);
                        }
                        3 => {
                            lists[which].append(&lists[1 - which]);
                            let moved = std::mem::take(&mut models[1 - which]);
                            models[which].extend(moved);
                        }
                        4 if !linked => {
                            let first = lists[which].first();
                            let place = first.map_or(lists[which].sentinel(), NonNull::as_ptr);
                            lists[which].insert_after(place, link);
                            models[which].insert(usize::from(first.is_some()), index);
                        }
                        _ => {}
                    }
                }
                arena.assert_list(&lists[0], &models[0]);
                arena.assert_list(&lists[1], &models[1]);
            }
        }

        #[test]
        fn queue_agrees_with_a_deque(steps in vec((0..5u8, 0..LINKS), 0..200)) {
            // Goal: any sequence of operations, the queue moving between them, keeps it right.
            // Method: against a VecDeque, both directions compared after each step.
            let arena = Arena([const { Link::new() }; LINKS]);
            let (mut queue, mut model) = (Queue::new(), VecDeque::new());
            for (operation, index) in steps {
                let (link, linked) = (arena.link(index), arena.0[index].is_linked());
                prop_assert_eq!(linked, model.contains(&index));
                // SAFETY: links stay in place; linked links are not pushed; there is one queue.
                unsafe {
                    match operation {
                        0 if !linked => {
                            queue.push_back(link);
                            model.push_back(index);
                        }
                        1 if !linked => {
                            queue.push_front(link);
                            model.push_front(index);
                        }
                        2 => {
                            model.retain(|&other| other != index);
                            prop_assert_eq!(queue.remove(link), linked);
                        }
                        3 => {
                            let expected = model.pop_front().map(|index| arena.link(index));
                            prop_assert_eq!(queue.pop_front(), expected);
                        }
                        _ => queue = *Box::new(queue),
                    }
                }
                prop_assert_eq!(queue.front(), model.front().map(|&index| arena.link(index)));
                prop_assert_eq!(arena.members(queue.head, queue.tail, END), model.clone());
            }
        }
    }
}
