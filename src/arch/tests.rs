//! Tests of bare contexts, on stacks from the allocator. They are the same for every switch, so
//! that each is an oracle for the others.

use super::backtrace::IS_SUPPORTED;
use super::{
    Context, Link, Value, depth_below, discard, leave, leave_to_resumer, prepare, resume,
    stack_pointer, suspend, switch, unwind_from,
};
use crate::sys::checkers::allow_all;
use std::backtrace::Backtrace;

/// A stack for one context.
struct Memory(Vec<u128>);

impl Memory {
    fn new() -> Memory {
        let memory = Memory(vec![0; 256 << 10 >> 4]);
        #[cfg(any(cove_asan, cove_valgrind))]
        crate::sys::checkers::stack_created(memory.bounds());
        memory
    }

    #[cfg(any(cove_asan, cove_valgrind))]
    fn bounds(&self) -> std::ops::Range<usize> {
        let range = self.0.as_ptr_range();
        range.start.addr()..range.end.addr()
    }

    fn limit(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }

    fn top(&mut self) -> *mut u8 {
        self.0.as_mut_ptr_range().end.cast()
    }

    /// # Safety
    /// As [`prepare`].
    unsafe fn prepare(&mut self, entry: super::Entry, argument: *mut u8) -> Context {
        // SAFETY: the memory is a stack's; the rest is passed on.
        unsafe { prepare(self.top(), || self.limit(), entry, argument) }
    }
}

#[cfg(any(cove_asan, cove_valgrind))]
impl Drop for Memory {
    fn drop(&mut self) {
        crate::sys::checkers::stack_destroyed(self.bounds());
    }
}

/// The contexts of a ring and the sum that goes round.
struct Ring {
    contexts: [Context; 4],
    own: Context,
    visits: [u32; 4],
}

/// What the contexts of a ring start with.
struct Member {
    ring: *mut Ring,
    place: usize,
}

#[test]
fn contexts_enter_each_other_in_any_order() {
    // Goal: symmetric switches hand over their values, and a context goes on where it stopped.
    // Method: four contexts in a ring, 1000 rounds, each adding its place; the thread's own context
    // is entered at the end, and the others are discarded.
    unsafe extern "C" fn main(member: *mut u8, _value: Value) -> ! {
        // SAFETY: the test below passes a member, and keeps it and the ring. One context runs at a
        // time; each is entered through what it saved.
        unsafe {
            let Member { ring, place } = member.cast::<Member>().read();
            let mut sum = 0;
            loop {
                (*ring).visits[place] += 1;
                let next = (place + 1) % 4;
                let is_last = place == 3 && (*ring).visits[3] == 1000;
                let to = if is_last { (*ring).own } else { (*ring).contexts[next] };
                sum = switch(&raw mut (*ring).contexts[place], to, sum + place);
            }
        }
    }
    let mut memories: [Memory; 4] = std::array::from_fn(|_| Memory::new());
    let mut ring = Ring { contexts: [Context::NONE; 4], own: Context::NONE, visits: [0; 4] };
    let ring = &raw mut ring;
    let mut members: [Member; 4] = std::array::from_fn(|place| Member { ring, place });
    for place in 0..4 {
        // SAFETY: memory, ring and members outlive the contexts, which run in this test only.
        unsafe {
            let argument = (&raw mut members[place]).cast();
            (*ring).contexts[place] = memories[place].prepare(main, argument);
        }
    }
    // SAFETY: the stacks outlive the contexts; the contexts are fresh.
    let sum = unsafe { switch(&raw mut (*ring).own, (*ring).contexts[0], 0) };
    // SAFETY: all four are suspended, and are not entered again.
    unsafe {
        assert_eq!((*ring).visits, [1000; 4]);
        (*ring).contexts.into_iter().for_each(|context| discard(context));
    }
    // A first entry brings no value: each context counts from zero once, and what came before it in
    // the first round is lost with that.
    assert_eq!(sum, 999 * 6 + 3);
}

#[test]
fn context_leaves_for_good() {
    // Goal: a context that left needs nothing any more. Method: each of 100 contexts on the same
    // memory enters the thread's own and leaves its frames behind.
    unsafe extern "C" fn main(own: *mut u8, _value: Value) -> ! {
        let local = std::hint::black_box([7_usize; 100]);
        // SAFETY: the test passes its own context's place.
        unsafe { leave(own.cast::<Context>().read(), local.iter().sum()) }
    }
    let mut memory = Memory::new();
    for _ in 0..100 {
        let mut own = Context::NONE;
        let own = &raw mut own;
        // SAFETY: memory and place outlive the context.
        let sum = unsafe {
            let context = memory.prepare(main, own.cast());
            switch(own, context, 0)
        };
        assert_eq!(sum, 700);
    }
}

/// Enters and leaves by the asymmetric pair; adds one to what it gets, until it gets zero.
unsafe extern "C" fn adds_one(link: *mut u8, value: Value) -> ! {
    let link = link.cast::<Link>();
    // SAFETY: the test that prepared this passes a link and initialised values.
    unsafe {
        let mut value = value.assume_init();
        while value != 0 {
            value = suspend(link, Value::new(value + 1)).assume_init();
        }
        leave_to_resumer((*link).resumer, 0)
    }
}

#[test]
fn pair_hands_words_to_and_fro() {
    // Goal: resume, suspend and the last switch are as symmetric ones. Method: a coroutine that
    // adds one; its stack is used within its bounds and is readable where `stack_pointer` says.
    let mut memory = Memory::new();
    let mut link = Link { resumer: Context::NONE, coroutine: Context::NONE };
    let link = &raw mut link;
    // SAFETY: memory and link outlive the context, which is entered while it is suspended.
    unsafe {
        (*link).coroutine = memory.prepare(adds_one, link.cast());
        for value in [1, 41, usize::MAX - 1] {
            let sum = resume(link, (*link).coroutine, Value::new(value)).assume_init();
            assert_eq!(sum, value + 1);
            let lowest = stack_pointer((*link).coroutine);
            assert!(lowest >= memory.limit() && lowest < memory.top());
        }
        assert_eq!(resume(link, (*link).coroutine, Value::new(0)).assume_init(), 0);
    }
}

#[test]
fn stack_can_be_put_away_and_brought_back() {
    // Goal: the bytes from `stack_pointer` to the top are all that a context needs of its stack.
    // Method: two coroutines take turns on the same memory, their bytes copied out and in.
    let mut memory = Memory::new();
    let top = memory.top();
    let mut links: [Link; 2] =
        [(); 2].map(|()| Link { resumer: Context::NONE, coroutine: Context::NONE });
    let mut saved: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
    for round in 0..10 {
        for place in 0..2 {
            let link = &raw mut links[place];
            let value = round * 2 + place + 1;
            // SAFETY: one context at a time has its bytes on the memory when it is entered, and
            // they are read while it is suspended.
            unsafe {
                if round == 0 {
                    (*link).coroutine = memory.prepare(adds_one, link.cast());
                } else {
                    let lowest = stack_pointer((*link).coroutine);
                    lowest.copy_from(saved[place].as_ptr(), saved[place].len());
                }
                let sum = resume(link, (*link).coroutine, Value::new(value)).assume_init();
                assert_eq!(sum, value + 1);
                let lowest = stack_pointer((*link).coroutine);
                let bytes = top.addr() - lowest.addr();
                allow_all(lowest.addr()..top.addr());
                saved[place] = std::slice::from_raw_parts(lowest, bytes).to_vec();
                std::slice::from_raw_parts_mut(lowest, bytes).fill(0xa5);
            }
        }
    }
    // SAFETY: suspended, and not entered again.
    links.into_iter().for_each(|link| unsafe { discard(link.coroutine) });
}

#[test]
fn depth_tells_stacks_apart() {
    // Goal: the distance to an address above is small, to one below or elsewhere is large. Method:
    // a local of the caller, and heap memory.
    #[inline(never)]
    fn depth(address: usize) -> usize {
        depth_below(address)
    }
    let local = 0_u8;
    let memory = Box::new(0_u8);
    assert!(depth((&raw const local).addr()) < 64 << 10);
    assert!(depth((&raw const *memory).addr()) > 64 << 10);
}

/// Suspends, once, some frames deep.
#[inline(never)]
fn a_function_with_a_telling_name(link: *mut Link) {
    // SAFETY: called from `tells`, which is entered by its link.
    unsafe { suspend(link, Value::new(1)) };
    std::hint::black_box(());
}

/// As it says.
unsafe extern "C" fn tells(link: *mut u8, _value: Value) -> ! {
    let link = link.cast::<Link>();
    a_function_with_a_telling_name(link);
    // SAFETY: the test passes a link.
    unsafe {
        let backtrace = Backtrace::force_capture().to_string();
        let backtrace = Box::into_raw(Box::new(backtrace));
        leave_to_resumer((*link).resumer, backtrace.expose_provenance())
    }
}

/// Takes a backtrace from where it is called.
unsafe extern "C" fn look(text: *mut u8) {
    // SAFETY: the caller below passes a string.
    unsafe { *text.cast::<String>() = Backtrace::force_capture().to_string() };
}

/// Runs the two halves of `tells`, with a look at it from outside between them.
#[inline(never)]
fn a_resumer_that_is_not_to_be_seen() -> (String, String) {
    let mut memory = Memory::new();
    let mut link = Link { resumer: Context::NONE, coroutine: Context::NONE };
    let link = &raw mut link;
    let mut outside = String::new();
    // SAFETY: memory and link outlive the context. `look` does not unwind.
    unsafe {
        (*link).coroutine = memory.prepare(tells, link.cast());
        resume(link, (*link).coroutine, Value::uninit());
        unwind_from((*link).coroutine, look, (&raw mut outside).cast());
        let inside = resume(link, (*link).coroutine, Value::uninit()).assume_init();
        let inside = std::ptr::with_exposed_provenance_mut::<String>(inside);
        (outside, *Box::from_raw(inside))
    }
}

#[test]
fn backtraces_end_at_the_root_of_a_context() {
    // Goal: a backtrace inside shows the context's frames and not those of its resumer; one of a
    // suspended context shows where that waits. Method: names in std's backtraces.
    if !IS_SUPPORTED {
        return;
    }
    let (outside, inside) = a_resumer_that_is_not_to_be_seen();
    assert!(inside.contains("tells"), "{inside}");
    assert!(!inside.contains("a_resumer_that_is_not_to_be_seen"), "{inside}");
    assert!(outside.contains("a_function_with_a_telling_name"), "{outside}");
    assert!(outside.contains("tells"), "{outside}");
    assert!(!outside.contains("a_resumer_that_is_not_to_be_seen"), "{outside}");
}
