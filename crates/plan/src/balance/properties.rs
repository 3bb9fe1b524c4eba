//! Properties of the algorithms over arbitrary weights.

use std::net::Ipv4Addr;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::ring::Scale;
use super::round_robin::smooth_sequence;
use super::tests::endpoints;
use super::*;

/// As the configuration allows them: mostly small, some 0.
fn weights() -> impl Strategy<Value = Vec<u32>> {
    vec(prop_oneof![1 => Just(0), 6 => 1..20_u32, 2 => 1..=1000_u32], 1..12)
}

fn factor(weights: &[u32]) -> u32 {
    let mut factor = 1000;
    while weights.iter().any(|weight| weight % factor != 0) {
        factor -= 1;
    }
    factor
}

fn draw(random: u64) -> Draw {
    let client = Some(IpAddr::V4(Ipv4Addr::from(random as u32)));
    Draw { random, client, key: Some(random.reverse_bits()), seat: None }
}

/// All algorithms over the same endpoints.
fn algorithms(endpoints: &[Endpoint]) -> [Balance; 5] {
    [
        Balance::round_robin(endpoints),
        Balance::random(endpoints),
        Balance::least_connections(endpoints),
        Balance::source_hash(endpoints),
        Balance::key_hash(endpoints),
    ]
}

fn clients() -> impl Iterator<Item = Option<IpAddr>> {
    (0..200_u32).map(|n| Some(IpAddr::V4(Ipv4Addr::from(n.wrapping_mul(2_654_435_761)))))
}

proptest! {
    /// However long it has run, the next full turn gives each endpoint exactly its weight.
    #[test]
    fn a_full_turn_is_exact(weights in weights(), skipped in 0..3000_usize) {
        let endpoints = endpoints(&weights);
        let balance = Balance::round_robin(&endpoints);
        let total = weights.iter().sum::<u32>() / factor(&weights);
        for _ in 0..skipped.min(3 * total as usize) {
            balance.pick(&endpoints, draw(0), &Tried::default());
        }
        let mut counts = vec![0; weights.len()];
        for _ in 0..total {
            counts[balance.pick(&endpoints, draw(0), &Tried::default()).unwrap()] += 1;
        }
        let expected: Vec<_> = weights.iter().map(|weight| weight / factor(&weights)).collect();
        prop_assert_eq!(counts, expected);
    }

    /// Between two turns of an endpoint each other one has its share, and one turn more at most.
    #[test]
    fn turns_are_spread_out(weights in weights()) {
        let sequence = smooth_sequence(&weights);
        let total: usize = weights.iter().map(|&weight| weight as usize).sum();
        for (index, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
            let turns = || sequence.iter().enumerate().filter(|turn| *turn.1 as usize == index);
            let first = turns().next().unwrap().0;
            let places = turns().map(|turn| turn.0).chain([first + sequence.len()]);
            let places: Vec<_> = places.collect();
            for pair in places.windows(2) {
                prop_assert!(pair[1] - pair[0] <= total / weight as usize + weights.len() + 1);
            }
        }
    }

    /// Every algorithm gives each endpoint with a weight once, then no more.
    #[test]
    fn retries_visit_each_endpoint_once(weights in vec(0..4_u32, 0..8), random: u64) {
        let endpoints = endpoints(&weights);
        for balance in algorithms(&endpoints) {
            let mut tried = Tried::default();
            let mut picks = Vec::new();
            while let Some(index) = balance.pick(&endpoints, draw(random), &tried) {
                tried.add(index);
                picks.push(index);
            }
            picks.sort_unstable();
            let takers: Vec<_> = (0..weights.len()).filter(|&at| weights[at] > 0).collect();
            prop_assert_eq!(picks, takers, "{:?}", balance);
        }
    }

    /// Where an endpoint leaves, its own clients move and no other; seen the other way round, one
    /// that comes takes clients, and nobody else does. Between two powers of two of the mean weight
    /// the number of points per weight changes, which is the exception.
    #[test]
    fn only_clients_of_the_one_that_leaves_move(
        weights in vec(1..50_u32, 2..10),
        gone: Index,
    ) {
        let mut all = endpoints(&weights);
        let before = SourceHash::new(&all);
        let scale = Scale::of(&all);
        let gone = all.remove(gone.index(weights.len()));
        prop_assume!(Scale::of(&all) == scale);
        let after = SourceHash::new(&all);
        let all_before = endpoints(&weights);
        for client in clients() {
            let old = &all_before[before.pick(client, &Tried::default()).unwrap()].identity;
            let new = &all[after.pick(client, &Tried::default()).unwrap()].identity;
            prop_assert!(old == new || *old == gone.identity, "{client:?}: {old} {new}");
        }
    }

    /// Nodes that list the same endpoints in another order send a client to the same one.
    #[test]
    fn the_order_of_endpoints_does_not_matter(weights in vec(0..50_u32, 1..10)) {
        let forward = endpoints(&weights);
        let mut backward = endpoints(&weights);
        backward.reverse();
        let (ring, other) = (SourceHash::new(&forward), SourceHash::new(&backward));
        for client in clients() {
            let name = |endpoints: &[Endpoint], ring: &SourceHash| {
                ring.pick(client, &Tried::default()).map(|index| endpoints[index].identity.clone())
            };
            prop_assert_eq!(name(&forward, &ring), name(&backward, &other));
        }
    }

    /// A client whose endpoint fails goes where it would go if that endpoint were gone, and comes
    /// back to it.
    #[test]
    fn a_retry_goes_on_along_the_ring(count in 2..8_usize) {
        let all = endpoints(&vec![1; count]);
        let ring = SourceHash::new(&all);
        for client in clients().take(50) {
            let first = ring.pick(client, &Tried::default()).unwrap();
            let mut tried = Tried::default();
            tried.add(first);
            let second = ring.pick(client, &tried).unwrap();
            let mut others = endpoints(&vec![1; count]);
            others.remove(first);
            let alone = SourceHash::new(&others).pick(client, &Tried::default()).unwrap();
            prop_assert_eq!(&others[alone].identity, &all[second].identity);
            prop_assert_eq!(ring.pick(client, &Tried::default()), Some(first));
        }
    }
}

proptest! {
    // A million turns each.
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Whatever the weights are, memory is bounded and nobody with a weight is left out.
    #[test]
    fn sequences_are_bounded_and_complete(weights in vec(any::<u32>(), 0..6)) {
        let sequence = smooth_sequence(&weights);
        prop_assert!(sequence.len() <= (1 << 20) + weights.len());
        for (index, &weight) in weights.iter().enumerate() {
            prop_assert_eq!(sequence.contains(&(index as u32)), weight > 0);
        }
    }
}
