//! The endpoint with the fewest exchanges in flight for its weight, counted over all threads; equal
//! ones take turns.

use super::round_robin::Cursor;
use crate::{Endpoint, Tried};

#[derive(Debug, Default)]
pub(super) struct LeastConnections {
    cursor: Cursor,
}

impl LeastConnections {
    pub(super) fn pick(&self, endpoints: &[Endpoint], tried: &Tried) -> Option<usize> {
        let start = self.cursor.next();
        let mut best: Option<(usize, u64, u64)> = None;
        for step in 0..endpoints.len() {
            let index = (start + step) % endpoints.len();
            let endpoint = &endpoints[index];
            if endpoint.weight == 0 || tried.contains(index) {
                continue;
            }
            // With this exchange: else a heavy idle endpoint would look like a light idle one.
            let load = u64::from(endpoint.state.in_flight()) + 1;
            let weight = u64::from(endpoint.weight);
            if best.is_none_or(|(_, other_load, other_weight)| {
                load * other_weight < other_load * weight
            }) {
                best = Some((index, load, weight));
            }
        }
        best.map(|(index, ..)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::tests::endpoints;

    #[test]
    fn ties_are_taken_in_turn() {
        let endpoints = endpoints(&[1, 1, 1]);
        let balance = LeastConnections::default();
        let picks: Vec<_> =
            (0..6).map(|_| balance.pick(&endpoints, &Tried::default()).unwrap()).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn load_settles_in_proportion_to_weight() {
        let endpoints = endpoints(&[1, 3, 0]);
        let balance = LeastConnections::default();
        for _ in 0..40 {
            let index = balance.pick(&endpoints, &Tried::default()).unwrap();
            endpoints[index].state.enter();
        }
        let loads: Vec<_> = endpoints.iter().map(|e| e.state.in_flight()).collect();
        assert_eq!(loads, [10, 30, 0]);
    }
}
