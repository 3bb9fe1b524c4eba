//! Weighted random: a place in the round-robin sequence drawn by chance.

use super::next_untried;
use super::round_robin::smooth_sequence;
use crate::{Endpoint, Tried};

#[derive(Debug)]
pub(super) struct Random {
    sequence: Vec<u32>,
}

impl Random {
    pub(super) fn new(endpoints: &[Endpoint]) -> Self {
        let weights: Vec<_> = endpoints.iter().map(|endpoint| endpoint.weight).collect();
        Self { sequence: smooth_sequence(&weights) }
    }

    pub(super) fn pick(&self, endpoints: &[Endpoint], random: u64, tried: &Tried) -> Option<usize> {
        if self.sequence.is_empty() {
            return None;
        }
        // The high half of the product maps 32 random bits evenly without a division.
        let at = ((random >> 32) * self.sequence.len() as u64) >> 32;
        let index = self.sequence[at as usize] as usize;
        if tried.is_empty() || !tried.contains(index) {
            return Some(index);
        }
        next_untried(endpoints, index, tried)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::tests::endpoints;

    #[test]
    fn shares_follow_the_weights() {
        let endpoints = endpoints(&[1, 3, 0]);
        let balance = Random::new(&endpoints);
        let mut counts = [0_u32; 3];
        let mut state = 1_u64;
        for _ in 0..40_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            counts[balance.pick(&endpoints, state, &Tried::default()).unwrap()] += 1;
        }
        assert_eq!(counts[2], 0);
        assert!((9_500..10_500).contains(&counts[0]), "{counts:?}");
    }
}
