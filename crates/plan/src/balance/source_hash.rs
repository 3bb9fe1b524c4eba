//! Consistent hashing of the client's address over a ring of points (Karger et al., 1997): a client
//! stays with its endpoint, and when an endpoint leaves only its own clients move.

use std::net::IpAddr;

use xxhash_rust::xxh3::xxh3_64;

use crate::{Endpoint, Tried};

/// Points of an endpoint of average weight, and up to twice as many: shares differ by about 8 %
/// (1 / sqrt(160)).
const POINTS_PER_ENDPOINT: u64 = 160;

#[derive(Debug)]
pub(super) struct SourceHash {
    /// Sorted by point.
    ring: Vec<(u64, u32)>,
}

impl SourceHash {
    pub(super) fn new(endpoints: &[Endpoint]) -> Self {
        let scale = Scale::of(endpoints);
        let mut ring = Vec::new();
        for (index, endpoint) in endpoints.iter().enumerate().filter(|(_, e)| e.weight > 0) {
            // Points depend on the address alone, so that several nodes build the same ring.
            let seed = xxh3_64(endpoint.identity.as_bytes());
            for point in 0..scale.points(endpoint.weight) {
                let mut key = [0; 16];
                key[..8].copy_from_slice(&seed.to_le_bytes());
                key[8..].copy_from_slice(&point.to_le_bytes());
                ring.push((xxh3_64(&key), index as u32));
            }
        }
        ring.sort_unstable();
        Self { ring }
    }

    pub(super) fn pick(&self, client: Option<IpAddr>, tried: &Tried) -> Option<usize> {
        let hash = match client {
            Some(IpAddr::V4(v4)) => xxh3_64(&v4.octets()),
            Some(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
                Some(v4) => xxh3_64(&v4.octets()),
                None => xxh3_64(&v6.octets()),
            },
            None => xxh3_64(b"unix"),
        };
        let start = self.ring.partition_point(|&(point, _)| point < hash);
        (0..self.ring.len())
            .map(|step| self.ring[(start + step) % self.ring.len()].1 as usize)
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::balance::tests::endpoints;

    fn client(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::from(n)))
    }

    #[test]
    fn only_the_clients_of_a_lost_endpoint_move() {
        let all = endpoints(&[1; 10]);
        let (before, after) = (SourceHash::new(&all), SourceHash::new(&all[..9]));
        let mut moved = 0;
        for n in 0..10_000 {
            let old = before.pick(client(n), &Tried::default()).unwrap();
            let new = after.pick(client(n), &Tried::default()).unwrap();
            assert!(old == new || old == 9, "client {n} moved from {old} to {new}");
            moved += u32::from(old != new);
        }
        assert!((700..1300).contains(&moved), "{moved}");
    }

    #[test]
    fn shares_follow_the_weights() {
        let balance = SourceHash::new(&endpoints(&[1, 3, 0]));
        let mut counts = [0_u32; 3];
        for n in 0..20_000 {
            counts[balance.pick(client(n), &Tried::default()).unwrap()] += 1;
        }
        assert_eq!(counts[2], 0);
        assert!((3_900..6_100).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn mapped_addresses_are_the_same_client() {
        let balance = SourceHash::new(&endpoints(&[1; 10]));
        let v4 = Ipv4Addr::new(10, 1, 2, 3);
        let mapped = Some(IpAddr::V6(v4.to_ipv6_mapped()));
        let tried = Tried::default();
        assert_eq!(balance.pick(mapped, &tried), balance.pick(Some(IpAddr::V4(v4)), &tried));
    }
}
