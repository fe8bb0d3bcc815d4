//! All schedulers of the process, for those who come from outside: signal handlers, and debuggers,
//! which have nothing but memory, perhaps a dead process's.
//!
//! ```text
//!   LAYOUT: where what lies
//!   HEAD -> entry -> entry -> entry -> null        entries are reused and never freed
//!             |         |
//!             v         v
//!         scheduler    null (free)
//! ```
//!
//! [`LAYOUT`] tells the offsets of all that a debugger needs, so that its script needs no types and
//! works without full debug information. `inspect/gdb/cove_gdb.py` reads it in this order; a change
//! here is one there.
//!
//! A signal handler pins an entry while it uses it; the scheduler's end waits until no one does.

mod place;

use super::look::WAIT_WORDS;
use super::shared::SharedStack;
use super::slots::Slots;
use super::task::{Extra, SharedHome, Task, TaskVtable, flag};
use super::wait::Waiter;
use super::{Scheduler, Shared};
use crate::sys::eventfd::EventFd;
use place::Place;
use std::mem::offset_of;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Once};

/// A scheduler's place in the list.
#[repr(C)]
pub(crate) struct Entry {
    next: AtomicPtr<Entry>,
    place: Place<Scheduler, Shared>,
    /// The loop is to print a dump.
    pub(crate) wants_dump: AtomicBool,
    /// The signal that asks for a dump, or 0.
    pub(crate) dump_signal: AtomicI32,
}

static HEAD: AtomicPtr<Entry> = AtomicPtr::new(std::ptr::null_mut());

/// The words of a value whose layout is not Rust's promise: found out when the program runs.
#[repr(C)]
struct Words {
    pointer: AtomicUsize,
    len: AtomicUsize,
}

/// Where a debugger finds what. All fields are one word; offsets are in bytes.
#[repr(C)]
struct Layout {
    /// Recognises the table, and this form of it.
    magic: [u8; 8],
    head: &'static AtomicPtr<Entry>,
    entry_next: usize,
    entry_scheduler: usize,
    entry_shared: usize,
    shared_thread_id: usize,
    scheduler_current: usize,
    scheduler_root: usize,
    /// A vector of words: addresses of tasks, or odd numbers.
    scheduler_slots: usize,
    vector: Words,
    task_context: usize,
    task_vtable: usize,
    task_id: usize,
    task_state: usize,
    task_flags: usize,
    task_kind: usize,
    /// A number of 32 bits.
    task_token: usize,
    task_home: usize,
    task_extra: usize,
    vtable_main: usize,
    /// A string in an `Arc`, or null.
    extra_name: usize,
    text: Words,
    home_stack: usize,
    home_saved: usize,
    shared_top: usize,
    flag_away: usize,
    flag_shared: usize,
    flag_started: usize,
    wait_words: &'static [&'static str; WAIT_WORDS.len()],
    wait_words_count: usize,
}

#[used]
static LAYOUT: Layout = Layout {
    magic: *b"cove-gd1",
    head: &HEAD,
    entry_next: offset_of!(Entry, next),
    entry_scheduler: offset_of!(Entry, place) + Place::<Scheduler, Shared>::OWNER_OFFSET,
    entry_shared: offset_of!(Entry, place) + Place::<Scheduler, Shared>::SHARED_OFFSET,
    shared_thread_id: offset_of!(Shared, thread_id),
    scheduler_current: offset_of!(Scheduler, current),
    scheduler_root: offset_of!(Scheduler, root),
    scheduler_slots: offset_of!(Scheduler, slots) + Slots::ENTRIES_OFFSET,
    vector: Words { pointer: AtomicUsize::new(0), len: AtomicUsize::new(0) },
    task_context: offset_of!(Task, context),
    task_vtable: offset_of!(Task, vtable),
    task_id: offset_of!(Task, id),
    task_state: offset_of!(Task, state),
    task_flags: offset_of!(Task, flags),
    task_kind: offset_of!(Task, kind),
    task_token: offset_of!(Task, waiter) + offset_of!(Waiter, token),
    task_home: offset_of!(Task, home),
    task_extra: offset_of!(Task, extra),
    vtable_main: offset_of!(TaskVtable, main),
    extra_name: offset_of!(Extra, name),
    text: Words { pointer: AtomicUsize::new(0), len: AtomicUsize::new(0) },
    home_stack: offset_of!(SharedHome, stack),
    home_saved: offset_of!(SharedHome, saved),
    shared_top: SharedStack::TOP_OFFSET,
    flag_away: flag::AWAY as usize,
    flag_shared: flag::SHARED as usize,
    flag_started: flag::STARTED as usize,
    wait_words: &WAIT_WORDS,
    wait_words_count: WAIT_WORDS.len(),
};

/// Notes the places in `words` of the values `pointer` and `len`.
fn find_words<const N: usize>(words: [usize; N], pointer: usize, len: usize, found: &Words) {
    let offset = |value| words.iter().position(|word| *word == value).map(|at| at * 8);
    found.pointer.store(offset(pointer).unwrap_or(usize::MAX), Ordering::Relaxed);
    found.len.store(offset(len).unwrap_or(usize::MAX), Ordering::Relaxed);
}

/// Completes the layout: looks at values of which pointer and length are known.
fn complete_layout() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut vector: Vec<usize> = Vec::with_capacity(7);
        vector.extend([1, 2, 3]);
        // SAFETY: a vector is three words without padding: its size says so.
        let words: [usize; 3] = unsafe { std::ptr::from_ref(&vector).cast::<[usize; 3]>().read() };
        find_words(words, vector.as_ptr().addr(), vector.len(), &LAYOUT.vector);
        let text = "a text";
        // SAFETY: a reference to a string is two words.
        let words: [usize; 2] = unsafe { std::ptr::from_ref(&text).cast::<[usize; 2]>().read() };
        find_words(words, text.as_ptr().addr(), text.len(), &LAYOUT.text);
    });
}

const _: () = assert!(size_of::<Vec<usize>>() == 24 && size_of::<&str>() == 16);
const _: () = assert!(size_of::<usize>() == 8 && size_of::<Option<Arc<str>>>() == 16);

/// A scheduler's presence in the list; ends on drop.
pub(crate) struct Registration(&'static Entry);

impl Registration {
    /// An entry that no scheduler has yet.
    pub(super) fn new(shared: &Arc<Shared>) -> Registration {
        complete_layout();
        let own = Arc::as_ptr(shared).cast_mut();
        let entry = entries().find(|entry| entry.place.take(own)).unwrap_or_else(|| append(own));
        entry.wants_dump.store(false, Ordering::Relaxed);
        entry.dump_signal.store(0, Ordering::Relaxed);
        Registration(entry)
    }

    /// Shows the scheduler, which stays where it is until the registration is dropped.
    pub(super) fn publish(&self, scheduler: &Scheduler) {
        self.0.place.show((&raw const *scheduler).cast_mut());
    }

    /// In a forked child: those who were using the entry are not there.
    pub(super) fn forget_pins(&self) {
        self.0.place.forget_pins();
    }

    /// What handlers see of the scheduler.
    pub(crate) fn entry(&self) -> &'static Entry {
        self.0
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.0.dump_signal.store(0, Ordering::Relaxed);
        self.0.place.leave();
    }
}

impl Entry {
    /// Calls `look` with the bell and the thread of the entry's scheduler, if there is one, which
    /// does not end meanwhile. Async-signal-safe if `look` is, which must not wait.
    pub(crate) fn pinned<R>(&self, look: impl FnOnce(&EventFd, i32) -> R) -> Option<R> {
        // In a forked child the parent's other workers are still listed.
        let look = |shared: &Shared| {
            (!shared.is_of_parent()).then(|| look(shared.inbox.bell(), shared.thread_id()))
        };
        // SAFETY: the scheduler keeps `shared` until its registration, and with it `leave`, has
        // ended.
        unsafe { self.place.pinned(look) }.flatten()
    }
}

/// Every entry, used or free. Async-signal-safe.
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    // SAFETY: entries are initialised before they are published, and never freed.
    let follow = |next: &AtomicPtr<Entry>| unsafe { next.load(Ordering::Acquire).as_ref() };
    std::iter::successors(follow(&HEAD), move |entry| follow(&entry.next))
}

/// Adds an entry that is taken already.
fn append(shared: *mut Shared) -> &'static Entry {
    let entry = Box::leak(Box::new(Entry {
        next: AtomicPtr::new(HEAD.load(Ordering::Acquire)),
        place: Place::taken(shared),
        wants_dump: AtomicBool::new(false),
        dump_signal: AtomicI32::new(0),
    }));
    let mut next = entry.next.load(Ordering::Relaxed);
    while let Err(newer) = HEAD.compare_exchange(next, entry, Ordering::AcqRel, Ordering::Acquire) {
        entry.next.store(newer, Ordering::Relaxed);
        next = newer;
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::SchedulerConfig;

    #[test]
    fn registered_schedulers_are_listed_until_they_end() {
        // Goal: a debugger finds exactly the live ones, and entries are used again. Method: make
        // some in turn on this thread; other tests' schedulers are told apart by their addresses.
        let listed = |scheduler: *const Scheduler| {
            entries().any(|entry| entry.place.owner().cast_const() == scheduler)
        };
        let first = Scheduler::new(SchedulerConfig::default()).expect("a scheduler");
        let second = Scheduler::new(SchedulerConfig::default()).expect("a scheduler");
        assert!(listed(&raw const *first) && listed(&raw const *second));
        let entry = first.registration.entry();
        assert_eq!(entry.pinned(|_, thread_id| thread_id), Some(first.shared.thread_id()));
        let address = &raw const *first;
        drop(first);
        assert!(!listed(address) && listed(&raw const *second));
    }

    #[test]
    fn layout_finds_the_words_of_vectors_and_strings() {
        // Goal: the script may read them by the table. Method: read others by it here.
        complete_layout();
        let at = |words: &Words| [&words.pointer, &words.len].map(|at| at.load(Ordering::Relaxed));
        let vector = vec![5_usize, 6, 7, 8];
        let name: Option<Arc<str>> = Some("name".into());
        let read = |base: *const u8, offset: usize| {
            assert!(offset < 24);
            // SAFETY: the offset is within the value, which is words.
            unsafe { base.wrapping_add(offset).cast::<usize>().read() }
        };
        let [pointer, len] = at(&LAYOUT.vector).map(|at| read((&raw const vector).cast(), at));
        assert_eq!((pointer, len), (vector.as_ptr().addr(), 4));
        let [pointer, len] = at(&LAYOUT.text).map(|at| read((&raw const name).cast(), at));
        // An `Arc` points at its two counts, which the text follows.
        let text = name.as_deref().map_or(0, |name| name.as_ptr().addr());
        assert_eq!((pointer + 16, len), (text, 4));
    }
}
