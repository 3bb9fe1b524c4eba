//! By the client's address, over a [`Ring`]: a client stays with its endpoint, and when an endpoint
//! leaves only its own clients move.

use std::net::IpAddr;

use xxhash_rust::xxh3::xxh3_64;

use super::ring::Ring;
use crate::{Endpoint, Tried};

#[derive(Debug)]
pub(super) struct SourceHash(Ring);

impl SourceHash {
    pub(super) fn new(endpoints: &[Endpoint]) -> Self {
        Self(Ring::new(endpoints))
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
        self.0.pick(hash, tried)
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
