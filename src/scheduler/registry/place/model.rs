//! The place under every interleaving. The list of entries around it only grows, by one exchange,
//! and is not modelled.

use super::Place;
use crate::primitive::UnsafeCell;
use loom::sync::Arc;

/// What an owner shares: alive (1) or freed (0).
struct Shared(UnsafeCell<u32>);

// SAFETY: loom watches the cell.
unsafe impl Sync for Shared {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Shared {}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared(UnsafeCell::new(0)))
    }

    fn set(&self, value: u32) {
        // SAFETY: only the owner writes, before it is shown or after it has left.
        self.0.with_mut(|cell| unsafe { *cell = value });
    }

    fn get(&self) -> u32 {
        // SAFETY: the place is pinned and has an owner.
        self.0.with(|cell| unsafe { *cell })
    }
}

#[test]
fn loom_no_reader_looks_at_an_owner_that_has_left() {
    // Goal: what is shared is complete when a reader sees it and not changed while it looks, also
    // when the place goes from one owner to the next. Method: two owners in turn, each of which
    // writes before it is shown and after it has left, against two readers.
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let all = Arc::new([Shared::new(), Shared::new()]);
        let pointer = |index: usize| (&raw const *all[index]).cast_mut();
        let place = Arc::new(Place::<u32, Shared>::taken(pointer(0)));
        let readers = [0, 1].map(|_| {
            let (all, place) = (all.clone(), place.clone());
            loom::thread::spawn(move || {
                // SAFETY: `all` keeps both; that nobody looks too late is what loom checks.
                let seen = unsafe { place.pinned(Shared::get) };
                assert!(seen.is_none_or(|value| value == 1));
                drop(all);
            })
        });
        let mut owner = 0;
        for index in 0..2 {
            assert!(index == 0 || place.take(pointer(index)));
            all[index].set(1);
            place.show(&raw mut owner);
            place.leave();
            all[index].set(0);
        }
        readers.into_iter().for_each(|reader| reader.join().expect("a reader panicked"));
    });
}

#[test]
fn loom_a_place_has_one_owner_at_a_time() {
    // Goal: who takes a place that was left sees what the last owner and its readers did; nobody
    // else takes it. Method: two threads contend for a place that the third leaves, and a reader
    // looks at it; all use the same cell.
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let shared = Shared::new();
        let pointer = (&raw const *shared).cast_mut();
        let place = Arc::new(Place::<u32, Shared>::taken(pointer));
        let contenders = [0, 1].map(|_| {
            let (shared, place) = (shared.clone(), place.clone());
            loom::thread::spawn(move || {
                let taken = place.take((&raw const *shared).cast_mut());
                if taken {
                    shared.set(1);
                }
                taken
            })
        });
        let (read, read_place) = (shared.clone(), place.clone());
        let reader = loom::thread::spawn(move || {
            // SAFETY: `read` keeps it; that nobody looks too late is what loom checks.
            unsafe { read_place.pinned(Shared::get) };
            drop(read);
        });
        let mut owner = 0;
        place.show(&raw mut owner);
        place.leave();
        let taken = contenders.map(|thread| thread.join().expect("a contender panicked"));
        reader.join().expect("the reader panicked");
        assert!(!(taken[0] && taken[1]));
    });
}
