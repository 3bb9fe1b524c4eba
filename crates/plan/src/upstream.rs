//! An upstream: a named set of endpoints, how one of them is picked, and how many connections may
//! be open to them.

use std::sync::Arc;
use std::time::Duration;

use fairwater_message::frame::Greeting;
use fairwater_message::{GrpcCodes, HeadLimits};
use fairwater_tls::Client;

use crate::sticky::{Seats, SessionCookie};
use crate::{
    Admission, Balance, Breaker, BreakerRules, Draw, Endpoint, Gate, InFlight, Reserve,
    RetryBudget, RetryRules,
};

/// The most endpoints that one exchange tries.
const TRIED_MAX: usize = 8;

/// Which `Host` endpoints get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    #[default]
    Keep,
    Endpoint,
    Name(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamSettings {
    pub name: String,
    /// Its place in the plan.
    pub index: usize,
    pub host: HostHeader,
    pub keep_alive: bool,
    /// How much of a body is read before there is an endpoint.
    pub buffered_max: Option<usize>,
    /// Endpoints are told first whose connection it is; no other client uses it.
    pub proxy_protocol: Option<ProxyVersion>,
    /// Endpoints speak TLS.
    pub tls: Option<UpstreamTls>,
    pub versions: Versions,
    /// Requests after which a connection to an endpoint is closed, and time after which it is.
    pub max_requests: Option<u32>,
    pub max_age: Option<Duration>,
    pub relaxed_responses: bool,
    pub head: HeadLimits,
    pub timeouts: UpstreamTimeouts,
    /// Further endpoints that an exchange may try.
    pub retries: u32,
    pub retry: RetryRules,
    pub breaker: Option<BreakerRules>,
    /// What calls of gRPC may end with and be tried again.
    pub grpc_retries: GrpcCodes,
    /// Failures in a row that are told of; 0 is none.
    pub failures_max: u32,
    /// Clients keep a cookie that says where their session is.
    pub sticky: Option<SessionCookie>,
    /// Connections to each endpoint that are open at the most, and that are kept open.
    pub connections: Option<u32>,
    pub connections_kept: u32,
    /// What a connection for messages begins with.
    pub greeting: Option<Greeting>,
}

/// What endpoints are spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    #[default]
    Http1,
    /// Without asking.
    Http2,
    /// As the handshake of TLS says.
    Agreed,
}

/// The form in which endpoints are told of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    V1,
    V2,
}

/// How endpoints are spoken to.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamTls {
    pub client: Client,
    /// The name that they are asked for and checked against, in place of their own.
    pub name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    pub connect: Duration,
    pub response: Duration,
    /// For the rest of a reply in messages, from its first byte.
    pub reply: Duration,
    pub idle: Duration,
    pub queue: Duration,
}

#[derive(Debug)]
pub struct Upstream {
    pub settings: UpstreamSettings,
    pub endpoints: Vec<Endpoint>,
    /// Known, and out of the traffic: nothing is sent to them, and no connection is kept.
    pub resting: Vec<Endpoint>,
    /// Who may serve sessions of theirs; nobody, where there are none that stay.
    pub seats: Seats,
    balance: Balance,
    reserve: Reserve,
    shared: Shared,
}

/// What an upstream has in common with those of its name in other plans.
#[derive(Clone, Debug)]
pub struct Shared {
    pub admission: Arc<Admission>,
    pub budget: Arc<RetryBudget>,
    /// Where there may be only so many exchanges at a time.
    pub gate: Option<Arc<Gate>>,
    pub breaker: Option<Arc<Breaker>>,
    /// Of how many plans this is the last.
    pub generation: u64,
}

/// What came of looking for an endpoint.
#[derive(Debug)]
pub enum Choice<'a> {
    Pick(Pick<'a>),
    /// Those that could be picked have as many exchanges as they take.
    Full,
    /// None is left.
    None,
}

impl Upstream {
    pub fn new(
        settings: UpstreamSettings,
        endpoints: Vec<Endpoint>,
        balance: Balance,
        shared: Shared,
    ) -> Self {
        let (resting, reserve, seats) = (Vec::new(), Reserve::default(), Seats::default());
        Self { settings, endpoints, resting, seats, balance, reserve, shared }
    }

    #[must_use]
    pub fn with_resting(self, resting: Vec<Endpoint>) -> Self {
        Self { resting, ..self }
    }

    /// Who is tried when those that get traffic were.
    #[must_use]
    pub fn with_reserve(self, reserve: Reserve) -> Self {
        Self { reserve, ..self }
    }

    #[must_use]
    pub fn with_seats(self, seats: Seats) -> Self {
        Self { seats, ..self }
    }

    /// All endpoints that there are, whether or not they get traffic.
    pub fn known(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().chain(&self.resting)
    }

    /// Picks an endpoint that was not tried yet, or `None` when none is left. The exchange counts
    /// as in flight there until the pick is dropped. The endpoint of a session is the first, also
    /// while it takes nothing else. For an upstream without a gate.
    #[inline]
    pub fn pick(&self, draw: Draw, tried: &mut Tried) -> Option<Pick<'_>> {
        debug_assert!(self.shared.gate.is_none());
        let index = match draw.seat_untried(tried) {
            Some(seat) => seat,
            None => match self.balance.pick(&self.endpoints, draw, tried) {
                Some(index) => index,
                None => self.reserve_untried(draw, tried)?,
            },
        };
        tried.add(index);
        let endpoint = &self.endpoints[index];
        endpoint.state.enter();
        Some(Pick { endpoint, gate: None })
    }

    #[cold]
    fn reserve_untried(&self, draw: Draw, tried: &Tried) -> Option<usize> {
        self.reserve.pick(draw.random, |index| !tried.contains(index))
    }

    /// The same, unless there are as many exchanges as there may be, or others wait.
    pub fn pick_at_once(&self, gate: &Gate, draw: Draw, tried: &mut Tried) -> Choice<'_> {
        if gate.waiting() > 0 {
            return Choice::Full;
        }
        let choice = self.pick_in_turn(gate, draw, tried);
        if !matches!(choice, Choice::Pick(_)) {
            // Somebody may have found no room for the moment that this took.
            gate.call();
        }
        choice
    }

    /// The same for a waiter, who takes it in turn.
    pub fn pick_in_turn(&self, gate: &Gate, draw: Draw, tried: &mut Tried) -> Choice<'_> {
        if !gate.enter() {
            return Choice::Full;
        }
        let choice = self.choose_where(draw, tried, true, |_| true);
        if !matches!(choice, Choice::Pick(_)) {
            gate.give_back();
        }
        choice
    }

    /// Picks an endpoint among those that `may` have the exchange now: the one that balancing
    /// names, or else the next one in turn, unless only that one will do. Who is full, as
    /// `max_concurrency` says, may not. Nobody is waited for who waits at the gate.
    pub fn pick_where(
        &self,
        draw: Draw,
        tried: &mut Tried,
        may: impl FnMut(&Endpoint) -> bool,
    ) -> Choice<'_> {
        let gate = self.shared.gate.as_ref();
        if gate.is_some_and(|gate| !gate.enter()) {
            return Choice::Full;
        }
        let choice = self.choose_where(draw, tried, !self.is_consistent(), may);
        if !matches!(choice, Choice::Pick(_)) {
            gate.inspect(|gate| gate.leave());
        }
        choice
    }

    /// Whether an exchange could enter one of the endpoints that it has not tried and that `may`
    /// have it. Takes nothing.
    pub fn has_room_where(&self, tried: &Tried, mut may: impl FnMut(&Endpoint) -> bool) -> bool {
        let mut endpoints = self.endpoints.iter().enumerate();
        self.shared.gate.as_ref().is_none_or(|gate| gate.has_room())
            && endpoints.any(|(index, endpoint)| {
                endpoint.weight > 0
                    && !tried.contains(index)
                    && endpoint.state.in_flight() < endpoint.in_flight_max
                    && may(endpoint)
            })
    }

    /// Takes an exchange in at an endpoint that nobody has picked, if there is room for it.
    pub fn enter(&self, index: usize) -> Option<Pick<'_>> {
        let gate = self.shared.gate.as_ref();
        if gate.is_some_and(|gate| !gate.enter()) {
            return None;
        }
        let endpoint = &self.endpoints[index];
        if endpoint.state.enter_below(endpoint.in_flight_max) {
            return Some(Pick { endpoint, gate });
        }
        gate.inspect(|gate| gate.leave());
        None
    }

    /// Whether balancing sends the same to the same endpoint, whoever has room.
    pub fn is_consistent(&self) -> bool {
        self.balance.is_consistent()
    }

    /// Where balancing sends this, whoever has room: for those who wait for that endpoint alone.
    pub fn place_of(&self, draw: Draw, tried: &Tried) -> Option<usize> {
        let is_bound = self.balance.is_consistent();
        is_bound.then(|| self.balance.pick(&self.endpoints, draw, tried)).flatten()
    }

    /// Chooses among those that `may`, and have room: the one that balancing names, and if it
    /// `spills`, the next one in turn.
    fn choose_where(
        &self,
        draw: Draw,
        tried: &mut Tried,
        spills: bool,
        mut may: impl FnMut(&Endpoint) -> bool,
    ) -> Choice<'_> {
        let mut is_full = false;
        let mut enter = |index: usize| {
            let endpoint = &self.endpoints[index];
            let is_in = may(endpoint) && endpoint.state.enter_below(endpoint.in_flight_max);
            is_full |= !is_in;
            is_in
        };
        let pick = |index: usize, tried: &mut Tried| {
            tried.add(index);
            let gate = self.shared.gate.as_ref();
            Choice::Pick(Pick { endpoint: &self.endpoints[index], gate })
        };
        if let Some(seat) = draw.seat_untried(tried) {
            // A session waits for its endpoint: no other knows it.
            return if enter(seat) { pick(seat, tried) } else { Choice::Full };
        }
        let first = self.balance.pick(&self.endpoints, draw, tried);
        let found = first.filter(|index| enter(*index)).or_else(|| {
            // The next one in turn that has room.
            let (start, count) = (first?, if spills { self.endpoints.len() } else { 1 });
            (1..count).map(|step| (start + step) % count).find(|&index| {
                self.endpoints[index].weight > 0 && !tried.contains(index) && enter(index)
            })
        });
        // Those in reserve are for when there is nobody else, not for when others have no room.
        let found = match (found, first) {
            (None, None) => {
                self.reserve.pick(draw.random, |index| !tried.contains(index) && enter(index))
            }
            _ => found,
        };
        match found {
            Some(index) => pick(index, tried),
            None if is_full => Choice::Full,
            None => Choice::None,
        }
    }

    /// Whether an endpoint is left that was not tried, and has room for an exchange that nobody
    /// else waits for.
    pub fn has_another(&self, tried: &Tried) -> bool {
        if self.shared.gate.as_ref().is_some_and(|gate| gate.waiting() > 0) {
            return false;
        }
        let may = |index: usize| {
            let endpoint = &self.endpoints[index];
            !tried.contains(index) && endpoint.state.in_flight() < endpoint.in_flight_max
        };
        let mut others =
            (0..self.endpoints.len()).filter(|&index| self.endpoints[index].weight > 0);
        others.any(may) || self.reserve.pick(0, may).is_some()
    }

    /// Whether a pick depends on the client's address, which is not free to find out.
    pub fn hashes_clients(&self) -> bool {
        self.balance.hashes_clients()
    }

    /// Whether a pick depends on the key of a message.
    pub fn hashes_keys(&self) -> bool {
        self.balance.hashes_keys()
    }

    /// Whether this is what it has in common with others.
    pub fn shares(&self, shared: &Shared) -> bool {
        let (gate, breaker) = (&self.shared.gate, &self.shared.breaker);
        gate.is_some() == shared.gate.is_some() && breaker.is_some() == shared.breaker.is_some()
    }

    pub fn admission(&self) -> &Arc<Admission> {
        &self.shared.admission
    }

    /// Exchanges that wait for room.
    pub fn waiting(&self) -> usize {
        let of_gate = self.shared.gate.as_ref().map_or(0, |gate| gate.waiting());
        of_gate + self.shared.admission.waiting_in_all()
    }

    pub fn budget(&self) -> &RetryBudget {
        &self.shared.budget
    }

    pub fn gate(&self) -> Option<&Arc<Gate>> {
        self.shared.gate.as_ref()
    }

    /// Greater than that of the plans before in which it was another.
    pub fn generation(&self) -> u64 {
        self.shared.generation
    }

    /// The breaker, if it shall be asked, and by which rules it goes.
    pub fn breaker(&self) -> Option<(&Arc<Breaker>, &BreakerRules)> {
        self.shared.breaker.as_ref().zip(self.settings.breaker.as_ref())
    }

    /// Counts an exchange as in flight at an endpoint, apart from the plan.
    pub fn hold(&self, endpoint: &Endpoint) -> InFlight {
        InFlight::new(&endpoint.state, self.shared.gate.as_ref())
    }
}

/// A picked endpoint; counts as one exchange in flight while it lives.
#[derive(Debug)]
pub struct Pick<'a> {
    pub endpoint: &'a Endpoint,
    gate: Option<&'a Arc<Gate>>,
}

impl Pick<'_> {
    /// Apart from the plan.
    pub fn keep(self) -> InFlight {
        let kept = InFlight::taken(&self.endpoint.state, self.gate);
        std::mem::forget(self);
        kept
    }
}

impl Drop for Pick<'_> {
    #[inline]
    fn drop(&mut self) {
        self.endpoint.state.leave();
        if let Some(gate) = self.gate {
            gate.leave();
        }
    }
}

/// The endpoints that one exchange has tried, so that a retry goes elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    indexes: [u32; TRIED_MAX],
    len: u8,
}

impl Tried {
    pub fn contains(&self, index: usize) -> bool {
        self.indexes[..usize::from(self.len)].iter().any(|&tried| tried as usize == index)
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub fn add(&mut self, index: usize) {
        if usize::from(self.len) < TRIED_MAX {
            self.indexes[usize::from(self.len)] = index as u32;
            self.len += 1;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Marked;
    use crate::balance::tests::endpoints;

    /// An upstream of these endpoints, picked in turn, as it is without settings.
    pub(crate) fn upstream_of(endpoints: Vec<Endpoint>, gate: Option<Gate>) -> Upstream {
        let balance = Balance::round_robin(&endpoints);
        let second = Duration::from_secs(1);
        let settings = UpstreamSettings {
            name: "app".to_owned(),
            index: 0,
            host: HostHeader::Keep,
            keep_alive: true,
            buffered_max: None,
            proxy_protocol: None,
            tls: None,
            versions: Versions::Http1,
            max_requests: None,
            max_age: None,
            relaxed_responses: false,
            head: HeadLimits::DEFAULT,
            timeouts: UpstreamTimeouts {
                connect: second,
                response: second,
                reply: second,
                idle: second,
                queue: second,
            },
            retries: 2,
            retry: RetryRules {
                statuses: Vec::new(),
                marked: Marked::Method,
                patience: None,
                pause: Duration::ZERO,
            },
            breaker: None,
            grpc_retries: GrpcCodes::default(),
            failures_max: 0,
            sticky: None,
            connections: None,
            connections_kept: 0,
            greeting: None,
        };
        let shared = Shared {
            admission: Arc::new(Admission::new(None)),
            budget: Arc::default(),
            gate: gate.map(Arc::new),
            breaker: None,
            generation: 0,
        };
        Upstream::new(settings, endpoints, balance, shared)
    }

    fn upstream(weights: &[u32]) -> Upstream {
        upstream_of(endpoints(weights), None)
    }

    fn picked(upstream: &Upstream, seat: Option<u32>, tried: &mut Tried) -> Option<usize> {
        let draw = Draw { random: 0, client: None, key: None, seat };
        upstream.pick(draw, tried).map(|pick| pick.endpoint.slot)
    }

    #[test]
    fn a_session_goes_to_its_endpoint_first_whatever_that_takes() {
        let upstream = upstream(&[1, 1, 0]);
        for seat in [1, 2, 2, 0] {
            let found = picked(&upstream, Some(seat), &mut Tried::default());
            assert_eq!(found, Some(seat as usize));
        }
        assert_eq!(upstream.endpoints[2].state.in_flight(), 0);
    }

    #[test]
    fn a_session_whose_endpoint_fails_goes_on_at_another() {
        let upstream = upstream(&[1, 1, 0]);
        for seat in [0, 1, 2] {
            let mut tried = Tried::default();
            assert_eq!(picked(&upstream, Some(seat), &mut tried), Some(seat as usize));
            let next = picked(&upstream, Some(seat), &mut tried).unwrap();
            assert!(next != seat as usize && next < 2, "{next}");
        }
        let mut none = Tried::default();
        let without = [(); 4].map(|()| picked(&upstream, None, &mut none));
        assert!(without.iter().all(|found| *found != Some(2)));
    }
}
