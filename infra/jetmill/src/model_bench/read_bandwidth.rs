//! How fast this machine's memory can be read: the limit of decoding one sequence.

use std::hint::black_box;
use std::time::Instant;

/// Larger than caches are.
const NUM_WORDS: usize = 64 << 20;
const NUM_ROUNDS: usize = 4;

/// Bytes a second that all threads together read, each its own part of 512 MiB; the best of a few rounds.
pub(crate) fn read_bandwidth(num_threads: usize) -> f64 {
    let words = vec![1_u64; NUM_WORDS];
    let part = NUM_WORDS.div_ceil(num_threads);
    let seconds = (0..NUM_ROUNDS).map(|_| {
        let began = Instant::now();
        std::thread::scope(|scope| {
            for part in words.chunks(part) {
                scope.spawn(move || black_box(sum(part)));
            }
        });
        began.elapsed().as_secs_f64()
    });
    (NUM_WORDS * size_of::<u64>()) as f64 / seconds.fold(f64::INFINITY, f64::min)
}

/// In independent sums, so that reading is what takes the time.
fn sum(words: &[u64]) -> [u64; 32] {
    let mut sums = [0_u64; 32];
    for chunk in words.as_chunks::<32>().0 {
        for (sum, word) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums
}
