//! Weighted round robin over a sequence that is computed once: endpoints come in turn, heavy ones
//! more often and spread out, and over a full turn each gets exactly its weight.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::next_untried;
use crate::{Endpoint, Tried};

/// The longest sequence: 1 000 endpoints with co-prime weights of about 1 000. Above it weights are
/// rounded to fit.
const SEQUENCE_MAX: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct RoundRobin {
    sequence: Vec<u32>,
    cursor: Cursor,
}

/// On a cache line of its own: all threads draw from it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Cursor(AtomicUsize);

impl Cursor {
    /// The next number, from 0 on; a wrap after 2^64 picks is not feared.
    pub(super) fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl RoundRobin {
    pub(super) fn new(endpoints: &[Endpoint]) -> Self {
        let weights: Vec<_> = endpoints.iter().map(|endpoint| endpoint.weight).collect();
        Self { sequence: smooth_sequence(&weights), cursor: Cursor::default() }
    }

    /// Another try is no turn: it would leave the same endpoint to be the first for all, with as
    /// many tries as there are endpoints. It goes by chance.
    pub(super) fn pick(&self, endpoints: &[Endpoint], random: u64, tried: &Tried) -> Option<usize> {
        if self.sequence.is_empty() {
            return None;
        }
        let turn = if tried.is_empty() { self.cursor.next() } else { random as usize };
        let index = self.sequence[turn % self.sequence.len()] as usize;
        if tried.is_empty() || !tried.contains(index) {
            return Some(index);
        }
        next_untried(endpoints, index, tried)
    }
}

/// A sequence in which index `i` stands `weights[i]` times (divided by the common factor of all
/// weights), as evenly spread as can be: the n-th turn of an endpoint is due at (n - 1/2) / weight,
/// and who is due first comes first.
pub(super) fn smooth_sequence(weights: &[u32]) -> Vec<u32> {
    let weights = reduced(weights);
    let total: u64 = weights.iter().sum();
    let mut due: BinaryHeap<_> = weights
        .iter()
        .enumerate()
        .filter(|&(_, &weight)| weight > 0)
        .map(|(index, &weight)| Reverse(Turn { nominator: 1, weight, index: index as u32 }))
        .collect();
    let mut sequence = Vec::with_capacity(total as usize);
    while let Some(Reverse(turn)) = due.pop() {
        sequence.push(turn.index);
        if turn.nominator + 2 < 2 * turn.weight {
            due.push(Reverse(Turn { nominator: turn.nominator + 2, ..turn }));
        }
    }
    debug_assert_eq!(sequence.len() as u64, total);
    sequence
}

/// One turn of an endpoint, due at `nominator / (2 * weight)`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Turn {
    nominator: u64,
    weight: u64,
    index: u32,
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let (ours, theirs) = (self.nominator * other.weight, other.nominator * self.weight);
        ours.cmp(&theirs).then(self.index.cmp(&other.index))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The weights without their common factor, and rounded where the sequence would be too long.
fn reduced(weights: &[u32]) -> Vec<u64> {
    let factor = weights.iter().copied().fold(0, common_factor).max(1);
    let weights: Vec<u64> = weights.iter().map(|&weight| u64::from(weight / factor)).collect();
    let total: u64 = weights.iter().sum();
    if total <= SEQUENCE_MAX {
        return weights;
    }
    let rounded = |weight: u64| (weight * SEQUENCE_MAX / total).max(u64::from(weight > 0));
    weights.into_iter().map(rounded).collect()
}

fn common_factor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::tests::endpoints;

    fn check(weights: &[u32], expected: &[u32]) {
        assert_eq!(smooth_sequence(weights), expected, "{weights:?}");
    }

    #[test]
    fn sequences_are_even_and_exact() {
        check(&[1, 1, 1], &[0, 1, 2]);
        check(&[4, 4], &[0, 1]);
        check(&[2, 1], &[0, 1, 0]);
        check(&[3, 1, 0], &[0, 0, 1, 0]);
        check(&[0], &[]);
        check(&[], &[]);
    }

    #[test]
    fn a_full_turn_gives_each_its_weight() {
        let weights = [7, 3, 0, 100, 1];
        let endpoints = endpoints(&weights);
        let balance = RoundRobin::new(&endpoints);
        for _turn in 0..3 {
            let mut counts = [0; 5];
            for _ in 0..111 {
                counts[balance.pick(&endpoints, 0, &Tried::default()).unwrap()] += 1;
            }
            assert_eq!(counts, weights);
        }
    }

    #[test]
    fn tried_endpoints_are_skipped_until_none_is_left() {
        let endpoints = endpoints(&[1, 1, 0]);
        let balance = RoundRobin::new(&endpoints);
        let mut tried = Tried::default();
        for _ in 0..2 {
            let index = balance.pick(&endpoints, 7, &tried).unwrap();
            assert!(!tried.contains(index));
            tried.add(index);
        }
        assert_eq!(balance.pick(&endpoints, 7, &tried), None);
    }

    #[test]
    fn sequences_have_a_limit() {
        let weights: Vec<u32> = (0..3000).map(|i| 999 - i % 2).collect();
        assert!(smooth_sequence(&weights).len() as u64 <= SEQUENCE_MAX);
    }
}
