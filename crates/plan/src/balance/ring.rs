//! Consistent hashing over a ring of points (Karger et al., 1997): what has a hash stays with its
//! endpoint, and when an endpoint leaves only what it had moves.

use xxhash_rust::xxh3::xxh3_64;

use crate::{Endpoint, Tried};

/// Points of an endpoint of average weight, and up to twice as many: shares differ by about 8 %
/// (1 / sqrt(160)).
const POINTS_PER_ENDPOINT: u64 = 160;

#[derive(Debug)]
pub(super) struct Ring {
    /// Sorted by point.
    points: Vec<(u64, u32)>,
}

impl Ring {
    pub(super) fn new(endpoints: &[Endpoint]) -> Self {
        let scale = Scale::of(endpoints);
        let mut points = Vec::new();
        for (index, endpoint) in endpoints.iter().enumerate().filter(|(_, e)| e.weight > 0) {
            // Points depend on the address alone, so that several nodes build the same ring.
            let seed = xxh3_64(endpoint.identity.as_bytes());
            for point in 0..scale.points(endpoint.weight) {
                let mut key = [0; 16];
                key[..8].copy_from_slice(&seed.to_le_bytes());
                key[8..].copy_from_slice(&point.to_le_bytes());
                points.push((xxh3_64(&key), index as u32));
            }
        }
        points.sort_unstable();
        Self { points }
    }

    /// The first endpoint from a hash on that was not tried.
    pub(super) fn pick(&self, hash: u64, tried: &Tried) -> Option<usize> {
        let start = self.points.partition_point(|&(point, _)| point < hash);
        (0..self.points.len())
            .map(|step| self.points[(start + step) % self.points.len()].1 as usize)
            .find(|&index| !tried.contains(index))
    }
}

/// How many points a unit of weight is worth: a power of two, so that it rarely changes when an
/// endpoint comes or goes. While it stays, the points of the others stay, and so do their clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    multiply: u64,
    divide: u64,
}

impl Scale {
    pub(super) fn of(endpoints: &[Endpoint]) -> Self {
        let weights = endpoints.iter().map(|endpoint| u64::from(endpoint.weight));
        let (count, total) = weights
            .filter(|&weight| weight > 0)
            .fold((0, 0), |(count, total), weight| (count + 1, total + weight));
        let wanted = POINTS_PER_ENDPOINT * count;
        if total <= wanted {
            let multiply = wanted.checked_div(total).unwrap_or(1).next_power_of_two();
            Self { multiply, divide: 1 }
        } else {
            Self { multiply: 1, divide: 1 << (total / wanted).ilog2() }
        }
    }

    fn points(self, weight: u32) -> u64 {
        (u64::from(weight) * self.multiply / self.divide).max(1)
    }
}
