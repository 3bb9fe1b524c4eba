//! Picking an endpoint. One algorithm, one file; all of them skip what was tried and what has
//! weight 0.

mod key_hash;
mod least_connections;
mod random;
mod ring;
mod round_robin;
mod source_hash;

use std::net::IpAddr;

use crate::{Endpoint, Tried};
use key_hash::KeyHash;
pub use key_hash::key_hash;
use least_connections::LeastConnections;
use random::Random;
use round_robin::RoundRobin;
use source_hash::SourceHash;

/// What a pick may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// A random number, new for every pick.
    pub random: u64,
    /// The address of the client; `None` for one on a Unix socket, or when nobody asks.
    pub client: Option<IpAddr>,
    /// The hash of the key of a message; `None` for what has none, or when nobody asks.
    pub key: Option<u64>,
    /// The place of the endpoint that the session of the request is at: it goes before all others.
    pub seat: Option<u32>,
}

impl Draw {
    /// The place of the session's endpoint, if that was not tried.
    #[inline]
    pub(crate) fn seat_untried(&self, tried: &Tried) -> Option<usize> {
        self.seat.map(|seat| seat as usize).filter(|&seat| !tried.contains(seat))
    }
}

/// A balancing algorithm with its state.
#[derive(Debug)]
pub struct Balance(Algorithm);

#[derive(Debug)]
enum Algorithm {
    RoundRobin(RoundRobin),
    Random(Random),
    LeastConnections(LeastConnections),
    SourceHash(SourceHash),
    KeyHash(KeyHash),
}

impl Balance {
    pub fn round_robin(endpoints: &[Endpoint]) -> Self {
        Self(Algorithm::RoundRobin(RoundRobin::new(endpoints)))
    }

    pub fn random(endpoints: &[Endpoint]) -> Self {
        Self(Algorithm::Random(Random::new(endpoints)))
    }

    pub fn least_connections(endpoints: &[Endpoint]) -> Self {
        Self(Algorithm::LeastConnections(LeastConnections::new(endpoints)))
    }

    pub fn source_hash(endpoints: &[Endpoint]) -> Self {
        Self(Algorithm::SourceHash(SourceHash::new(endpoints)))
    }

    pub fn key_hash(endpoints: &[Endpoint]) -> Self {
        Self(Algorithm::KeyHash(KeyHash::new(endpoints)))
    }

    pub(crate) fn hashes_clients(&self) -> bool {
        matches!(self.0, Algorithm::SourceHash(_))
    }

    /// Whether the same client, or the same key, is always sent to the same endpoint.
    pub(crate) fn is_consistent(&self) -> bool {
        matches!(self.0, Algorithm::SourceHash(_) | Algorithm::KeyHash(_))
    }

    pub(crate) fn hashes_keys(&self) -> bool {
        matches!(self.0, Algorithm::KeyHash(_))
    }

    pub(crate) fn pick(&self, endpoints: &[Endpoint], draw: Draw, tried: &Tried) -> Option<usize> {
        match &self.0 {
            Algorithm::RoundRobin(balance) => balance.pick(endpoints, draw.random, tried),
            Algorithm::Random(balance) => balance.pick(endpoints, draw.random, tried),
            Algorithm::LeastConnections(balance) => balance.pick(endpoints, tried),
            Algorithm::SourceHash(balance) => balance.pick(draw.client, tried),
            Algorithm::KeyHash(balance) => balance.pick(draw.key, draw.random, tried),
        }
    }
}

/// The first endpoint from `start` on, in turn, that takes traffic and was not tried.
fn next_untried(endpoints: &[Endpoint], start: usize, tried: &Tried) -> Option<usize> {
    (0..endpoints.len())
        .map(|step| (start + step) % endpoints.len())
        .find(|&index| endpoints[index].weight > 0 && !tried.contains(index))
}

#[cfg(test)]
mod properties;

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use crate::sticky::SessionId;
    use crate::{Dial, Endpoint, EndpointState, Slots};

    pub(crate) fn endpoints(weights: &[u32]) -> Vec<Endpoint> {
        let slots = Arc::new(Slots::default());
        weights
            .iter()
            .enumerate()
            .map(|(slot, &weight)| Endpoint {
                identity: format!("10.0.0.{slot}:80"),
                host: String::new(),
                dial: Dial::Ip(Vec::new()),
                weight,
                in_flight_max: u32::MAX,
                slot,
                session: SessionId::default(),
                state: Arc::new(EndpointState::new(slots.take(), Arc::default())),
            })
            .collect()
    }
}
