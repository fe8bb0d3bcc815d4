//! The wheel against a sorted map, under random operations at random distances.

use super::*;
use proptest::{collection::vec, prelude::*};
use std::collections::{BTreeMap, VecDeque};

const TIMERS: usize = 24;

#[derive(Clone, Debug)]
enum Step {
    /// Set a timer, unless it is set, to this far after the present (before it, if negative).
    Insert(usize, i64),
    Cancel(usize),
    Advance(u64),
    /// Advance to the time that the wheel itself asks for.
    Sleep,
    Pop,
    /// Pop until nothing is left.
    Drain,
}

/// Distances of most magnitudes, close to powers of two, where slots and levels begin and end;
/// small enough that no run of them reaches the end of time.
fn distance() -> impl Strategy<Value = u64> {
    (0..53u32, -2..3i64, any::<u16>(), any::<bool>()).prop_map(|(bit, near, random, edge)| {
        let extra = if edge { 0 } else { u64::from(random) << bit.saturating_sub(14) };
        (1u64 << bit).saturating_add(extra).saturating_add_signed(near)
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..TIMERS, distance()).prop_map(|(at, ns)| Step::Insert(at, ns as i64)),
        1 => (0..TIMERS, distance()).prop_map(|(at, ns)| Step::Insert(at, -(ns as i64))),
        3 => (0..TIMERS).prop_map(Step::Cancel),
        3 => distance().prop_map(Step::Advance),
        3 => Just(Step::Sleep),
        2 => Just(Step::Pop),
        1 => Just(Step::Drain),
    ]
}

/// What the wheel should hold. Keys order by the tick of expiry, then by insertion.
#[derive(Default)]
struct Model {
    now_ns: u64,
    sequence: u64,
    waiting: BTreeMap<(u64, u64), (usize, u64)>,
    /// Ticks and timers in the order of expiry.
    expired: VecDeque<(u64, usize)>,
    /// Whether a cancellation may have let timers of one tick overtake each other.
    overtaken: bool,
    /// Whether a cancellation may have left a stale earliest deadline behind.
    stale: bool,
}

impl Model {
    fn insert(&mut self, timer: usize, deadline_ns: u64) {
        let now_tick = self.now_ns / TICK_NS;
        let overdue = deadline_ns <= self.now_ns;
        let tick = if overdue { now_tick } else { deadline_ns.div_ceil(TICK_NS) };
        self.sequence += 1;
        self.waiting.insert((tick, self.sequence), (timer, deadline_ns));
    }

    fn cancel(&mut self, timer: usize) {
        let waiting = self.waiting.len();
        self.waiting.retain(|_, entry| entry.0 != timer);
        self.stale |= self.waiting.len() < waiting;
        let expired = self.expired.len();
        self.expired.retain(|&(_, other)| other != timer);
        self.overtaken |= self.waiting.len() < waiting || self.expired.len() < expired;
    }

    fn advance(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        while let Some(entry) = self.waiting.first_entry() {
            if entry.key().0 > now_ns / TICK_NS {
                break;
            }
            let tick = entry.key().0;
            let (timer, deadline_ns) = entry.remove();
            assert!(deadline_ns <= now_ns, "the model itself is early");
            self.expired.push_back((tick, timer));
        }
    }

    fn next_expiry_ns(&self) -> Option<u64> {
        if !self.expired.is_empty() {
            return Some(self.now_ns);
        }
        let (&(tick, _), &(_, deadline_ns)) = self.waiting.first_key_value()?;
        let due_ns = tick * TICK_NS;
        assert!(
            due_ns <= self.now_ns || due_ns - deadline_ns < TICK_NS,
            "the model itself is late"
        );
        Some(due_ns.max(self.now_ns))
    }
}

impl Model {
    /// What the wheel may pop: the first to expire, or, once a cancelled timer has left its turn,
    /// any that has expired.
    fn pop(&mut self, popped: Option<usize>) -> Option<usize> {
        let place = match popped {
            Some(timer) if self.overtaken => {
                self.expired.iter().position(|&(_, other)| other == timer)?
            }
            _ => 0,
        };
        let (_, timer) = self.expired.remove(place)?;
        if self.expired.is_empty() && self.waiting.is_empty() {
            self.overtaken = false;
        }
        Some(timer)
    }
}

fn pop(wheel: &mut Wheel, model: &mut Model, timers: &[Timer]) -> bool {
    let popped = wheel.pop_expired();
    let number = |timer: NonNull<Timer>| timers.iter().position(|own| NonNull::from(own) == timer);
    let expected = model.pop(popped.and_then(number));
    assert_eq!(popped, expected.map(|at| NonNull::from(&timers[at])));
    if let Some(at) = expected {
        assert!(!timers[at].is_linked());
        assert!(timers[at].deadline_ns() <= model.now_ns, "early");
    }
    expected.is_some()
}

/// Does one step to both.
fn take(step: Step, wheel: &mut Wheel, model: &mut Model, timers: &[Timer]) {
    match step {
        Step::Insert(at, distance_ns) => {
            if !timers[at].is_linked() {
                let deadline_ns = model.now_ns.saturating_add_signed(distance_ns);
                // SAFETY: the timer is free, and outlives the wheel.
                unsafe { wheel.insert(NonNull::from(&timers[at]), deadline_ns) };
                model.insert(at, deadline_ns);
            }
        }
        Step::Cancel(at) => {
            // SAFETY: there is one wheel, so the timer is in it or in none.
            unsafe { wheel.cancel(NonNull::from(&timers[at])) };
            model.cancel(at);
        }
        Step::Advance(distance_ns) => {
            let now_ns = model.now_ns + distance_ns;
            wheel.advance(now_ns);
            model.advance(now_ns);
        }
        Step::Sleep => {
            if let Some(wake_ns) = wheel.next_expiry_ns() {
                wheel.advance(wake_ns);
                model.advance(wake_ns);
                let exact =
                    !model.expired.is_empty() || wheel.next_expiry_ns() == model.next_expiry_ns();
                assert!(exact, "an advance to the time asked for must correct it");
            }
        }
        Step::Pop => {
            pop(wheel, model, timers);
        }
        Step::Drain => while pop(wheel, model, timers) {},
    }
}

fn check(wheel: &Wheel, model: &mut Model) {
    let (actual, exact) = (wheel.next_expiry_ns(), model.next_expiry_ns());
    assert_eq!(actual.is_some(), exact.is_some());
    assert!(actual <= exact, "{actual:?} is later than {exact:?}");
    assert!(model.stale || actual == exact, "{actual:?} is not {exact:?}, yet nobody cancelled");
    assert!(actual.is_none_or(|ns| ns >= model.now_ns || model.stale));
    assert_eq!(wheel.len(), model.waiting.len() + model.expired.len());
    model.stale &= !model.waiting.is_empty();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn wheel_agrees_with_a_sorted_map(start_ns in 0..1u64 << 62, steps in vec(step(), 1..150)) {
        // Goal: order, lateness, next expiry and length are right after any sequence of operations.
        // Method: against a BTreeMap by (tick, sequence), compared after each step.
        let timers: Vec<Timer> = (0..TIMERS).map(|_| Timer::new()).collect();
        let mut wheel = Wheel::new(start_ns);
        let mut model = Model { now_ns: start_ns, ..Model::default() };
        for step in steps {
            take(step, &mut wheel, &mut model, &timers);
            check(&wheel, &mut model);
        }
        wheel.advance(u64::MAX - TICK_NS);
        model.advance(u64::MAX - TICK_NS);
        while pop(&mut wheel, &mut model, &timers) {}
        prop_assert_eq!(wheel.len(), 0);
    }
}
