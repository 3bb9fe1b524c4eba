//! By the key of a message, over a [`Ring`]: messages with one key go to one endpoint, and when an
//! endpoint leaves only its own keys move.

use xxhash_rust::xxh3::xxh3_64;

use super::ring::Ring;
use crate::{Endpoint, Tried};

#[derive(Debug)]
pub(super) struct KeyHash(Ring);

impl KeyHash {
    pub(super) fn new(endpoints: &[Endpoint]) -> Self {
        Self(Ring::new(endpoints))
    }

    /// A message that has no key goes anywhere.
    pub(super) fn pick(&self, key: Option<u64>, random: u64, tried: &Tried) -> Option<usize> {
        self.0.pick(key.unwrap_or(random), tried)
    }
}

/// What stands in [`Draw`](crate::Draw) for the key of a message.
#[inline]
pub fn key_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::tests::endpoints;

    fn key(n: u32) -> Option<u64> {
        Some(key_hash(&n.to_be_bytes()))
    }

    #[test]
    fn only_the_keys_of_a_lost_endpoint_move() {
        let all = endpoints(&[1; 10]);
        let (before, after) = (KeyHash::new(&all), KeyHash::new(&all[..9]));
        let mut moved = 0;
        for n in 0..10_000 {
            let old = before.pick(key(n), 1, &Tried::default()).unwrap();
            assert_eq!(before.pick(key(n), 2, &Tried::default()), Some(old));
            let new = after.pick(key(n), 3, &Tried::default()).unwrap();
            assert!(old == new || old == 9, "key {n} moved from {old} to {new}");
            moved += u32::from(old != new);
        }
        assert!((700..1300).contains(&moved), "{moved}");
    }

    #[test]
    fn shares_follow_the_weights_with_keys_and_without() {
        let balance = KeyHash::new(&endpoints(&[1, 3, 0]));
        let (mut keyed, mut keyless) = ([0_u32; 3], [0_u32; 3]);
        for n in 0..20_000 {
            keyed[balance.pick(key(n), 0, &Tried::default()).unwrap()] += 1;
            let random = key_hash(&n.to_le_bytes());
            keyless[balance.pick(None, random, &Tried::default()).unwrap()] += 1;
        }
        for counts in [keyed, keyless] {
            assert_eq!(counts[2], 0);
            assert!((3_900..6_100).contains(&counts[0]), "{counts:?}");
        }
    }
}
