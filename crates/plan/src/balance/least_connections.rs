//! The endpoint with the fewest exchanges in flight for its weight, counted over all threads; equal
//! ones take turns, heavy ones more often, so that weights also count where little is in flight.

use super::round_robin::{Cursor, smooth_sequence};
use crate::{Endpoint, Tried};

/// The turns that are looked at for one of the least loaded endpoints; who is not found among them
/// is taken without regard to weights.
const TURNS_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct LeastConnections {
    /// Turns of endpoints, as in a round robin.
    sequence: Vec<u32>,
    cursor: Cursor,
}

/// Exchanges in flight for a weight.
#[derive(Clone, Copy)]
struct Load {
    in_flight: u64,
    weight: u64,
}

impl Load {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            in_flight: u64::from(endpoint.state.in_flight()),
            weight: u64::from(endpoint.weight),
        }
    }

    fn is_below(self, other: Self) -> bool {
        self.in_flight * other.weight < other.in_flight * self.weight
    }
}

impl LeastConnections {
    pub(super) fn new(endpoints: &[Endpoint]) -> Self {
        let weights: Vec<_> = endpoints.iter().map(|endpoint| endpoint.weight).collect();
        Self { sequence: smooth_sequence(&weights), cursor: Cursor::default() }
    }

    pub(super) fn pick(&self, endpoints: &[Endpoint], tried: &Tried) -> Option<usize> {
        let start = self.cursor.next();
        let mut best: Option<(usize, Load)> = None;
        let mut is_tied = false;
        for step in 0..endpoints.len() {
            let index = (start + step) % endpoints.len();
            let endpoint = &endpoints[index];
            if endpoint.weight == 0 || tried.contains(index) {
                continue;
            }
            let load = Load::of(endpoint);
            match best {
                Some((_, least)) if least.is_below(load) => {}
                Some((_, least)) if !load.is_below(least) => is_tied = true,
                _ => (best, is_tied) = (Some((index, load)), false),
            }
        }
        let (index, least) = best?;
        if !is_tied {
            return Some(index);
        }
        let mut turns = (0..self.sequence.len().min(TURNS_MAX))
            .map(|step| self.sequence[(start + step) % self.sequence.len()] as usize);
        let is_least = |index: &usize| {
            !tried.contains(*index) && !least.is_below(Load::of(&endpoints[*index]))
        };
        Some(turns.find(is_least).unwrap_or(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::tests::endpoints;

    #[test]
    fn ties_are_taken_in_turn() {
        let endpoints = endpoints(&[1, 1, 1]);
        let balance = LeastConnections::new(&endpoints);
        let picks: Vec<_> =
            (0..6).map(|_| balance.pick(&endpoints, &Tried::default()).unwrap()).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn load_settles_in_proportion_to_weight() {
        let endpoints = endpoints(&[1, 3, 0]);
        let balance = LeastConnections::new(&endpoints);
        for _ in 0..40 {
            let index = balance.pick(&endpoints, &Tried::default()).unwrap();
            endpoints[index].state.enter();
        }
        let loads: Vec<_> = endpoints.iter().map(|e| e.state.in_flight()).collect();
        assert_eq!(loads, [10, 30, 0]);
    }

    /// One client after the other: nothing is in flight when the next one is picked for.
    #[test]
    fn weights_count_where_nothing_is_in_flight() {
        let endpoints = endpoints(&[3, 1, 0]);
        let balance = LeastConnections::new(&endpoints);
        let mut counts = [0; 3];
        for _ in 0..40 {
            counts[balance.pick(&endpoints, &Tried::default()).unwrap()] += 1;
        }
        assert_eq!(counts, [30, 10, 0]);
    }

    /// With two clients at a time the lighter endpoint has its share of them, too.
    #[test]
    fn weights_count_where_little_is_in_flight() {
        let endpoints = endpoints(&[3, 1]);
        let balance = LeastConnections::new(&endpoints);
        let mut counts = [0; 2];
        let mut before: Option<usize> = None;
        for _ in 0..400 {
            let index = balance.pick(&endpoints, &Tried::default()).unwrap();
            endpoints[index].state.enter();
            counts[index] += 1;
            before.replace(index).into_iter().for_each(|over| endpoints[over].state.leave());
        }
        assert!(counts[1] >= 100, "{counts:?}");
    }
}
