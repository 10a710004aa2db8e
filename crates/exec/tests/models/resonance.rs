//! The resonance's atomic words: every overflow is passed on once, whoever causes it.

use crate::growing::Growing;
use crate::model;
use loom::sync::Arc;

/// An addition: word, its low and its high part.
type Add = (usize, u64, u64);

/// The words after additions one after another.
fn in_turn(adds: impl Iterator<Item = Add>) -> Vec<u64> {
    let mut words = vec![0u64; 34];
    for (at, low, high) in adds {
        let mut rest = u128::from(high) << 64 | u128::from(low);
        for word in &mut words[at..] {
            let sum = u128::from(*word) + (rest & u128::from(u64::MAX));
            *word = sum as u64;
            rest = (rest >> 64) + (sum >> 64);
        }
    }
    words
}

fn adding(preemptions: usize, before: &'static [Add], threads: &'static [&'static [Add]]) {
    model(preemptions, move || {
        let sum = Arc::new(Growing::default());
        let add =
            |sum: &Growing, adds: &[Add]| adds.iter().for_each(|(at, low, high)| sum.add(*at, *low, *high));
        add(&sum, before);
        let spawn = |adds: &'static [Add]| {
            let sum = Arc::clone(&sum);
            loom::thread::spawn(move || add(&sum, adds))
        };
        let others: Vec<_> = threads[1..].iter().map(|adds| spawn(adds)).collect();
        add(&sum, threads[0]);
        others.into_iter().for_each(|t| t.join().unwrap());
        let expected = in_turn(before.iter().chain(threads.iter().copied().flatten()).copied());
        assert_eq!(sum.take().to_vec(), expected);
    });
}

#[test]
fn overflows_run_through_several_words() {
    // Words 3 and 4 are full: an overflow of word 2 ends in word 5.
    const FULL: &[Add] = &[(3, u64::MAX, 0), (4, u64::MAX, 0), (2, 1 << 63, 0)];
    const TOP: &[Add] = &[(2, 1 << 63, 0)];
    adding(3, FULL, &[TOP, TOP, TOP]);
}

#[test]
fn numbers_across_two_words_meet() {
    const FULL: &[Add] = &[(1, u64::MAX, 0)];
    adding(4, FULL, &[&[(0, u64::MAX, 5), (1, 1, 0)], &[(0, 1, 7), (1, u64::MAX, 1)]]);
}

#[test]
#[should_panic(expected = "left")]
fn a_planted_fault_a_carry_seen_by_a_second_look_is_lost_or_doubled() {
    use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
    // What `Growing` does not do: looking at the word again to see whether it overflowed.
    model(2, || {
        let words = Arc::new([AtomicU64::new(u64::MAX), AtomicU64::new(0)]);
        let add = |w: &[AtomicU64; 2]| {
            w[0].fetch_add(1, Relaxed);
            if w[0].load(Relaxed) < 1 {
                w[1].fetch_add(1, Relaxed);
            }
        };
        let other = {
            let words = Arc::clone(&words);
            loom::thread::spawn(move || add(&words))
        };
        add(&words);
        other.join().unwrap();
        assert_eq!([words[0].load(Relaxed), words[1].load(Relaxed)], [1, 1]);
    });
}
