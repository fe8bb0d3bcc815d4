//! What the processor holds at a switch is there again afterwards, and so are the frames.

use super::super::{Coroutine, CoroutineState, Suspender};
use crate::arch::backtrace;
use std::backtrace::Backtrace;
use std::hint::black_box;

/// More values than there are registers, all live across both suspends.
#[inline(never)]
fn juggle(suspender: &Suspender<u64, u64>, seed: u64) -> (u64, f64) {
    let mut integers: [u64; 24] = std::array::from_fn(|place| seed.wrapping_mul(place as u64 + 3));
    let mut floats: [f64; 24] = std::array::from_fn(|place| (seed + place as u64) as f64 * 0.5);
    let [a, b, c, d, e, f, g, h, ..] = integers;
    let [p, q, r, s, t, u, v, w, ..] = floats;
    let first = suspender.suspend(a ^ b);
    let sum = a.wrapping_add(b) ^ c.wrapping_mul(d) ^ e.wrapping_sub(f) ^ g.rotate_left(h as u32);
    let product = (p + q) * (r + s) - (t + u) * (v - w);
    integers[0] = first;
    floats[0] = product;
    let second = suspender.suspend(sum);
    let integer = integers.iter().fold(second ^ sum, |x, y| x.rotate_left(5) ^ y);
    let float = floats.iter().fold(product, |x, y| x * 0.75 + y) + (a as f64) * p - (h as f64) * w;
    (integer, float)
}

/// As `juggle`, with nobody to suspend.
fn expected(seed: u64, inputs: [u64; 2]) -> (u64, f64) {
    let mut coroutine = Coroutine::new(juggle);
    coroutine.resume(seed);
    coroutine.resume(inputs[0]);
    match coroutine.resume(inputs[1]) {
        CoroutineState::Complete(result) => result,
        CoroutineState::Yielded(_) => unreachable!("two suspends"),
    }
}

#[test]
fn live_values_survive_switches_under_pressure() {
    // Goal: the compiler and the switch agree on who saves what. Method: many values live across
    // suspends in eight interleaved coroutines, themselves resumed from a loop with live values of
    // its own; the results are those of coroutines that run alone. Meant for release builds too.
    let seeds: [u64; 8] = std::array::from_fn(|place| black_box(place as u64 * 7919 + 13));
    let alone = seeds.map(|seed| expected(seed, [seed ^ 5, seed ^ 9]));
    let mut all = seeds.map(|_| Coroutine::new(juggle));
    let (mut checksum, mut float_sum) = (0_u64, 0.0_f64);
    for (round, salt) in [(0_u64, 0_u64), (1, 5), (2, 9)] {
        for (place, coroutine) in all.iter_mut().enumerate() {
            let weight = (place as f64 + 1.25) * (round as f64 + 0.5);
            checksum = checksum.rotate_left(3) ^ place as u64;
            match coroutine.resume(seeds[place] ^ salt) {
                CoroutineState::Yielded(_) => assert!(round < 2),
                CoroutineState::Complete(result) => {
                    assert_eq!(round, 2);
                    assert_eq!(result, alone[place]);
                }
            }
            float_sum += weight;
        }
    }
    // 24 additions of known weights, 24 rotations of known places.
    assert_eq!(float_sum, 4.5 * (0..8).map(|place| f64::from(place) + 1.25).sum::<f64>());
    let again = (0..24_u64).fold(0_u64, |sum, turn| sum.rotate_left(3) ^ (turn % 8));
    assert_eq!(checksum, again);
}

#[test]
fn wide_registers_survive_switches() {
    // Goal: vectors that live across a switch are kept, whatever their width. Method: arrays that
    // the compiler keeps in vector registers where it can, on both sides.
    #[inline(never)]
    fn wave(suspender: &Suspender<[f32; 16], [f32; 16]>, first: [f32; 16]) -> [f32; 16] {
        let own: [f32; 16] = std::array::from_fn(|lane| lane as f32 + first[lane]);
        let second = suspender.suspend(own.map(|lane| lane * 2.0));
        std::array::from_fn(|lane| own[lane] + second[lane])
    }
    let outside: [f32; 16] = black_box(std::array::from_fn(|lane| lane as f32 * 0.25));
    let mut coroutine = Coroutine::new(wave);
    let state = coroutine.resume([1.0; 16]);
    let CoroutineState::Yielded(doubled) = state else { unreachable!("one suspend") };
    let CoroutineState::Complete(sum) = coroutine.resume(outside) else {
        unreachable!("one suspend");
    };
    for lane in 0..16 {
        assert_eq!(doubled[lane], 2.0 * (lane as f32 + 1.0));
        assert_eq!(sum[lane], lane as f32 + 1.0 + lane as f32 * 0.25);
        assert_eq!(outside[lane], lane as f32 * 0.25);
    }
}

#[test]
fn stack_is_aligned_at_the_first_frame_and_after_switches() {
    // Goal: the ABI's alignment of 16 holds wherever C code may be called. Method: a local of that
    // alignment, and one of 64, before and after a suspend.
    #[repr(align(16))]
    struct Aligned([u8; 16]);
    #[repr(align(64))]
    struct Line([u8; 64]);
    let is_aligned = || {
        let (own, line) = (black_box(Aligned([1; 16])), black_box(Line([2; 64])));
        let own = black_box(&own.0).as_ptr().addr() % 16;
        own == 0 && black_box(&line.0).as_ptr().addr() % 64 == 0
    };
    for stack_bytes in [4 << 10, 16 << 10, 128 << 10] {
        let mut coroutine =
            Coroutine::with_stack_bytes(stack_bytes, move |suspender: &Suspender<(), bool>, ()| {
                suspender.suspend(is_aligned());
                is_aligned()
            })
            .expect("a stack");
        assert_eq!(coroutine.resume(()), CoroutineState::Yielded(true));
        assert_eq!(coroutine.resume(()), CoroutineState::Complete(true));
    }
}

#[test]
fn backtrace_ends_at_the_root_of_a_coroutine() {
    // Goal: inside, before and after a suspend, a backtrace shows the coroutine's own functions and
    // not its resumer's. Method: names in std's text.
    #[inline(never)]
    fn an_inner_function(suspender: &Suspender<(), String>) {
        suspender.suspend(Backtrace::force_capture().to_string());
        suspender.suspend(Backtrace::force_capture().to_string());
    }
    #[inline(never)]
    fn the_function_that_resumes() -> Vec<String> {
        Coroutine::new(|suspender: &Suspender<(), String>, ()| an_inner_function(suspender))
            .collect()
    }
    if !backtrace::IS_SUPPORTED {
        return;
    }
    let texts = the_function_that_resumes();
    assert_eq!(texts.len(), 2);
    for text in texts {
        assert!(text.contains("an_inner_function"), "{text}");
        assert!(!text.contains("the_function_that_resumes\n"), "{text}");
    }
}
