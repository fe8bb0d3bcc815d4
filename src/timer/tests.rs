//! The wheel's boundaries, one by one; `model_tests` covers what lies between.

use super::*;

/// Timers at fixed addresses, named by their index, and a wheel that knows nothing else.
struct Bench {
    wheel: Wheel,
    timers: Box<[Timer]>,
}

impl Bench {
    fn new(now_ns: u64, timers: usize) -> Bench {
        let timers = (0..timers).map(|_| Timer::new()).collect();
        Bench { wheel: Wheel::new(now_ns), timers }
    }

    fn timer(&self, index: usize) -> NonNull<Timer> {
        NonNull::from(&self.timers[index])
    }

    fn insert(&mut self, index: usize, deadline_ns: u64) {
        // SAFETY: the timers live as long as the wheel, and `insert` checks that this one is free.
        unsafe { self.wheel.insert(self.timer(index), deadline_ns) };
    }

    fn cancel(&mut self, index: usize) {
        // SAFETY: there is one wheel, so the timer is in it or in none.
        unsafe { self.wheel.cancel(self.timer(index)) };
    }

    fn pop(&mut self) -> Option<usize> {
        let popped = self.wheel.pop_expired()?;
        let index = (0..self.timers.len()).find(|&index| self.timer(index) == popped);
        assert!(!self.timers[index.expect("a foreign timer")].is_linked());
        index
    }

    /// What expires when the time becomes `now_ns`.
    fn expire(&mut self, now_ns: u64) -> Vec<usize> {
        self.wheel.advance(now_ns);
        std::iter::from_fn(|| self.pop()).collect()
    }
}

#[test]
fn timer_expires_in_the_tick_after_its_deadline_and_not_before() {
    // Goal: never early, late by less than a tick, on both sides of every slot and level edge.
    // Method: deadlines around each power of two, from presents around other powers of two.
    for now_bit in 0..62 {
        for bit in 0..63 {
            for (now, deadline) in [(0, 0), (0, 1), (1, 0), (1, 1), (0, -1), (-1, 0), (-1, -1)] {
                let now = (1u64 << now_bit).wrapping_add_signed(now);
                let deadline = (1u64 << bit).wrapping_add_signed(deadline);
                if deadline <= now {
                    continue;
                }
                let mut bench = Bench::new(now, 1);
                bench.insert(0, deadline);
                let due = deadline.next_multiple_of(TICK_NS);
                assert_eq!(bench.wheel.next_expiry_ns(), Some(due));
                assert_eq!(bench.expire(deadline - 1), []);
                assert_eq!(bench.expire(due - 1), []);
                assert_eq!(bench.wheel.next_expiry_ns(), Some(due));
                assert_eq!(bench.expire(due), [0]);
                assert_eq!((bench.wheel.len(), bench.wheel.next_expiry_ns()), (0, None));
            }
        }
    }
}

#[test]
fn overdue_timer_expires_at_the_next_advance_to_any_time() {
    // Goal: a deadline at or before the present is due at once, but only by way of `advance`.
    // Method: the present in the middle of a tick; deadlines in that tick, at it, and long before.
    let now = 1_000 * TICK_NS + 500;
    for deadline in [0, 1, TICK_NS, 1_000 * TICK_NS, now - 1, now] {
        let mut bench = Bench::new(now, 1);
        bench.insert(0, deadline);
        assert_eq!(bench.pop(), None);
        assert_eq!(bench.wheel.next_expiry_ns(), Some(now));
        assert_eq!(bench.expire(now), [0]);
    }
}

#[test]
fn farthest_deadlines_are_kept_and_never_early() {
    // Goal: no overflow at the end of time.
    // Method: the last deadline that has a tick, and the last one that is a deadline at all.
    let last_tick = u64::MAX - TICK_NS + 1;
    let mut bench = Bench::new(0, 2);
    bench.insert(0, last_tick);
    bench.insert(1, u64::MAX - 1);
    assert_eq!(bench.wheel.next_expiry_ns(), Some(last_tick));
    assert_eq!(bench.expire(last_tick - 1), []);
    assert_eq!(bench.expire(last_tick), [0]);
    assert_eq!(bench.wheel.next_expiry_ns(), Some(u64::MAX));
    assert_eq!(bench.expire(u64::MAX - 2), []);
    assert_eq!(bench.wheel.len(), 1);
    bench.cancel(1);
    assert_eq!((bench.wheel.len(), bench.wheel.next_expiry_ns()), (0, None));
}

#[test]
fn sleeper_wakes_once_for_a_far_deadline() {
    // Goal: an idle thread does not wake to cascade.
    // Method: sleep as `next_expiry_ns` says, over distances that need every level; count.
    for bit in 14..63 {
        let mut bench = Bench::new(12_345, 1);
        bench.insert(0, (1 << bit) + 77_777);
        let wake = bench.wheel.next_expiry_ns().expect("one timer is set");
        assert_eq!(bench.expire(wake), [0]);
    }
}

#[test]
fn stale_earliest_deadline_costs_one_wake_up() {
    // Goal: after a cancellation the next expiry may be early, once, and is exact from then on.
    // Method: two timers in one slot of level 2; the earlier one leaves.
    let (early, late) = (5_000 * TICK_NS, 8_000 * TICK_NS);
    let mut bench = Bench::new(0, 2);
    bench.insert(0, early);
    bench.insert(1, late);
    bench.cancel(0);
    assert_eq!(bench.wheel.next_expiry_ns(), Some(early));
    assert_eq!(bench.expire(early), []);
    assert_eq!(bench.wheel.next_expiry_ns(), Some(late));
    assert_eq!(bench.expire(late), [1]);
}

#[test]
fn one_long_advance_expires_in_order_of_ticks_then_of_insertion() {
    // Goal: the order of expiry does not depend on the levels that timers came through.
    // Method: ticks out of order, each set twice from two different presents; one advance.
    let ticks = [70_000, 3, 4_096, 64, 63, 65, 262_144, 4_095, 20_000_000, 4_097];
    let mut bench = Bench::new(0, 2 * ticks.len());
    for round in 0..2 {
        assert_eq!(bench.expire(round * 2 * TICK_NS), []);
        for (place, tick) in ticks.iter().enumerate() {
            bench.insert(round as usize * ticks.len() + place, tick * TICK_NS);
        }
    }
    let mut expected: Vec<usize> = (0..2 * ticks.len()).collect();
    expected.sort_by_key(|index| ticks[index % ticks.len()]);
    assert_eq!(bench.expire(u64::MAX - 1), expected);
}

#[test]
fn timer_set_again_while_popping_waits_for_the_next_advance() {
    // Goal: a loop over what expired ends, even when each timer is set again to the past.
    // Method: pop and set again inside the loop: once to the past, once to the future.
    let mut bench = Bench::new(0, 2);
    bench.insert(0, 10);
    bench.insert(1, 20);
    bench.wheel.advance(TICK_NS);
    assert_eq!(bench.wheel.next_expiry_ns(), Some(TICK_NS));
    assert_eq!(bench.pop(), Some(0));
    bench.insert(0, 10);
    assert_eq!(bench.pop(), Some(1));
    bench.insert(1, 3 * TICK_NS);
    assert_eq!((bench.pop(), bench.wheel.len()), (None, 2));
    assert_eq!(bench.wheel.next_expiry_ns(), Some(TICK_NS));
    assert_eq!(bench.expire(TICK_NS), [0]);
    assert_eq!(bench.wheel.next_expiry_ns(), Some(3 * TICK_NS));
    assert_eq!(bench.expire(3 * TICK_NS), [1]);
}

#[test]
fn cancel_works_wherever_the_timer_is() {
    // Goal: cancel leaves no trace in any place, and tells empty slots from shared ones.
    // Method: alone and with a neighbour, at every level, overdue, and expired but not popped.
    for bit in 0..63 {
        for neighbours in 0..2 {
            for expired in [false, true] {
                let mut bench = Bench::new(TICK_NS, 1 + neighbours);
                (0..=neighbours).for_each(|index| bench.insert(index, 1 << bit));
                if expired {
                    bench.wheel.advance(1 << 63);
                }
                bench.cancel(0);
                bench.cancel(0);
                assert!(!bench.timers[0].is_linked());
                assert_eq!(bench.wheel.len(), neighbours);
                assert_eq!(bench.wheel.next_expiry_ns().is_some(), neighbours == 1);
                bench.insert(0, 1 << 63);
                let expected: Vec<usize> = (0..=neighbours).rev().collect();
                assert_eq!(bench.expire(1 << 63), expected);
            }
        }
    }
}

#[test]
fn time_that_goes_back_is_ignored() {
    // Goal: a stale reading of the clock makes nothing expire early.
    // Method: an overdue timer, seen from a present that is later than the stale reading.
    let mut bench = Bench::new(10 * TICK_NS, 1);
    bench.insert(0, 9 * TICK_NS);
    assert_eq!(bench.expire(8 * TICK_NS), []);
    assert_eq!(bench.expire(10 * TICK_NS), [0]);
}

#[test]
fn wheel_may_move_while_timers_are_set() {
    // Goal: nothing inside a timer points into the wheel itself.
    // Method: move the wheel to the heap and back between all steps.
    let timers: Vec<Timer> = (0..3).map(|_| Timer::new()).collect();
    let mut wheel = Box::new(Wheel::new(0));
    for (timer, deadline_ns) in timers.iter().zip([1, 1 << 20, 1 << 40]) {
        // SAFETY: the timer is new, and outlives the wheel.
        unsafe { wheel.insert(NonNull::from(timer), deadline_ns) };
    }
    let mut moved = *wheel;
    moved.advance(1 << 20);
    let mut again = Box::new(moved);
    assert_eq!(again.pop_expired(), Some(NonNull::from(&timers[0])));
    // SAFETY: the timer is in this wheel.
    unsafe { again.cancel(NonNull::from(&timers[2])) };
    assert_eq!(again.pop_expired(), Some(NonNull::from(&timers[1])));
    assert_eq!((again.len(), again.next_expiry_ns()), (0, None));
}
