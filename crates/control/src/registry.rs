//! What outlives a plan: the state of endpoints and upstreams, found again by their names.

use std::collections::HashMap;
use std::hash::RandomState;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::{Arc, Weak};

use fairwater_config as config;
use fairwater_plan::{
    Admission, Alarm, Breaker, BreakerChange, ClientLimit, ConnectionLimits, EndpointState,
    HandshakeLimits, Limit, LimitRule, ListenerId, PROBE_CONNECTIONS_MAX, Shared, Slots,
};

use crate::limit;
use crate::sticky::Secret;

/// A listener, as long as there may be connections of it.
#[derive(Debug)]
struct KnownListener {
    name: String,
    wire: Wire,
    is_there: bool,
    own: Arc<Admission>,
    per_client: Option<Arc<ClientLimit>>,
    handshakes: Arc<HandshakeLimits>,
    /// The id of the last one.
    last_limit: u16,
}

/// A rate limit, and what it is made of.
#[derive(Debug)]
struct KnownLimit {
    rule: LimitRule,
    limit: Arc<Limit>,
}

#[derive(Debug, Default)]
pub(crate) struct Registry {
    slots: Arc<Slots>,
    /// Of all endpoints.
    alarm: Arc<Alarm>,
    /// By upstream and `Member::key`. What no plan and no connection holds any more is forgotten.
    endpoints: HashMap<(String, String), Weak<EndpointState>>,
    /// By upstream.
    upstreams: HashMap<String, Shared>,
    /// By their ids.
    listeners: Vec<KnownListener>,
    all_connections: Option<Arc<Admission>>,
    /// Room beyond those for who probes.
    reserve: Option<Arc<Admission>>,
    /// By name.
    limits: HashMap<String, KnownLimit>,
    /// What cookies of sessions are sealed with where the configuration says nothing; there once
    /// somebody has asked for it.
    pub secret: Option<Secret>,
    /// Slots that were taken since somebody asked, and may have been others' before.
    taken: Vec<usize>,
}

impl Registry {
    /// With the secret of an earlier process.
    pub(crate) fn with(secret: Option<Secret>) -> Self {
        Self { secret, ..Self::default() }
    }

    /// The state of an endpoint, new if nobody holds one.
    pub(crate) fn endpoint(&mut self, upstream: &str, key: &str) -> Arc<EndpointState> {
        let key = (upstream.to_owned(), key.to_owned());
        if let Some(state) = self.endpoints.get(&key).and_then(Weak::upgrade) {
            return state;
        }
        let state = Arc::new(EndpointState::new(self.slots.take(), Arc::clone(&self.alarm)));
        self.taken.push(state.slot());
        self.endpoints.insert(key, Arc::downgrade(&state));
        state
    }

    /// The state of an endpoint, if anybody holds it.
    pub(crate) fn find(&self, upstream: &str, key: &str) -> Option<Arc<EndpointState>> {
        self.endpoints.get(&(upstream.to_owned(), key.to_owned()))?.upgrade()
    }

    /// Rung when an endpoint fails too often.
    pub(crate) fn alarm(&self) -> Arc<Alarm> {
        Arc::clone(&self.alarm)
    }

    /// The states of an endpoint of this full name, in whichever upstreams it is or was.
    pub(crate) fn of_name(&self, full_name: &str) -> Vec<Arc<EndpointState>> {
        let is_it = |key: &str| {
            let rest = key.strip_prefix(full_name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let found = self.endpoints.iter().filter(|((_, key), _)| is_it(key));
        found.filter_map(|(_, state)| state.upgrade()).collect()
    }

    /// What an upstream has in common with that of its name before: its limits are these from now
    /// on.
    pub(crate) fn upstream(&mut self, upstream: &config::Upstream) -> Shared {
        let name = &upstream.name.value;
        let alarm = &self.alarm;
        let shared = self.upstreams.entry(name.clone()).or_insert_with(|| Shared {
            admission: Arc::new(Admission::new(None)),
            budget: Arc::default(),
            gate: None,
            breaker: None,
            generation: 0,
        });
        shared.generation += 1;
        shared.admission.set_queue_max(upstream.crowd.queue_max);
        shared.admission.set_max(upstream.max_connections.as_ref().map(|max| max.value.get()));
        let has_limits = upstream.crowd.max.is_some()
            || upstream.endpoints.iter().any(|one| one.role.concurrency.is_some());
        shared.gate = has_limits.then(|| shared.gate.take().unwrap_or_default());
        if let Some(gate) = &shared.gate {
            gate.set(upstream.crowd.max.map(NonZeroU32::get), upstream.crowd.queue_max);
        }
        let breaker = || Arc::new(Breaker::new(Arc::clone(alarm)));
        shared.breaker =
            upstream.circuit_breaker.map(|_| shared.breaker.take().unwrap_or_else(breaker));
        shared.clone()
    }

    /// What became of the breakers of upstreams since the last call.
    pub(crate) fn breaker_news(&self) -> Vec<(&str, BreakerChange)> {
        let breakers = self.upstreams.iter().filter_map(|(name, shared)| {
            let breaker = shared.breaker.as_ref()?;
            Some(breaker.take_news().into_iter().map(move |change| (name.as_str(), change)))
        });
        breakers.flatten().collect()
    }

    /// How many ids there will be with these listeners, at the most.
    pub(crate) fn ids_with(&self, listeners: &[config::Listener]) -> usize {
        let is_new = |one: &&config::Listener| !self.listeners.iter().any(|known| known.is(one));
        self.listeners.len() + listeners.iter().filter(is_new).count()
    }

    /// Gives each listener an id, in this order: the one that it has, if it is known. Ids of those
    /// that are gone are given anew once none of their connections is left, which `is_empty` knows.
    pub(crate) fn seat(
        &mut self,
        listeners: &[config::Listener],
        is_empty: &dyn Fn(ListenerId) -> bool,
    ) -> Seats {
        let mut seats = Seats::default();
        let gone: Vec<usize> = (0..self.listeners.len())
            .filter(|&place| !self.listeners[place].is_there)
            .filter(|&place| is_empty(ListenerId(place as u32)))
            .collect();
        self.listeners.iter_mut().for_each(|known| known.is_there = false);
        let mut places: Vec<Option<usize>> = Vec::new();
        for listener in listeners {
            let place = self.listeners.iter().position(|known| known.is(listener));
            place.inspect(|&place| self.listeners[place].is_there = true);
            places.push(place);
        }
        let mut free = gone.into_iter();
        for (listener, place) in listeners.iter().zip(places) {
            let place = place.unwrap_or_else(|| {
                let is_free = |place: &usize| !self.listeners[*place].is_there;
                let place = free.find(is_free).unwrap_or(self.listeners.len());
                let known = KnownListener::new(listener);
                match self.listeners.get_mut(place) {
                    Some(before) => *before = known,
                    None => self.listeners.push(known),
                }
                seats.taken.push(ListenerId(place as u32));
                place
            });
            seats.ids.push(ListenerId(place as u32));
        }
        seats
    }

    /// The limits of a listener, of which at most `all` connections may be open together with those
    /// of the others.
    pub(crate) fn connections(
        &mut self,
        id: ListenerId,
        listener: &config::Listener,
        all: Option<u32>,
    ) -> ConnectionLimits {
        let all = self.all_connections.get_or_insert_with(|| Arc::new(Admission::new(all)));
        let reserve = self
            .reserve
            .get_or_insert_with(|| Arc::new(Admission::new(Some(PROBE_CONNECTIONS_MAX))));
        let limits = &listener.limits;
        let known = &mut self.listeners[id.0 as usize];
        known.own.set_max(limits.connections.map(NonZeroU32::get));
        known.handshakes.at_once.set_max(limits.handshakes.map(NonZeroU32::get));
        known.handshakes.rate.set(limits.handshake_rate.map(NonZeroU32::get));
        let per_client = limits.connections_per_client.map(|max| {
            let limit = known.per_client.take();
            let limit = limit.unwrap_or_else(|| {
                known.last_limit = known.last_limit.wrapping_add(1);
                let id = NonZeroU16::new(known.last_limit).unwrap_or(NonZeroU16::MIN);
                Arc::new(ClientLimit::new(id, max.get()))
            });
            limit.set_max(max.get());
            limit
        });
        known.per_client.clone_from(&per_client);
        ConnectionLimits {
            all: Arc::clone(all),
            reserve: Arc::clone(reserve),
            has_reserve: false,
            own: Arc::clone(&known.own),
            per_client,
            rejects: limits.when_full == config::WhenFull::Reject,
            handshakes: Arc::clone(&known.handshakes),
        }
    }

    /// The secret for cookies of sessions.
    pub(crate) fn secret(&mut self) -> Secret {
        self.secret.get_or_insert_with(Secret::new).clone()
    }

    /// The rate limits of a configuration, in its order. One that is defined as before is that of
    /// before, with all that it knows; one that is gone is forgotten.
    pub(crate) fn rate_limits(&mut self, defined: &[config::RateLimit]) -> Vec<Arc<Limit>> {
        let mut before = std::mem::take(&mut self.limits);
        let find = |limit: &config::RateLimit| {
            let rule = limit::rule(limit);
            let name = rule.name.clone();
            let known = before.remove(&name).filter(|known| known.rule == rule);
            let known = known.unwrap_or_else(|| {
                let limit = Arc::new(Limit::new(rule.clone(), RandomState::new()));
                KnownLimit { rule, limit }
            });
            (name, known)
        };
        let all: Vec<_> = defined.iter().map(find).collect();
        let limits = all.iter().map(|(_, known)| Arc::clone(&known.limit)).collect();
        self.limits = all.into_iter().collect();
        limits
    }

    /// All slots so far are below this.
    pub(crate) fn slots_end(&self) -> usize {
        self.slots.end()
    }

    /// Forgets endpoints and upstreams that are gone. Returns the slots that have a new owner since
    /// the last call.
    pub(crate) fn settle(&mut self) -> Vec<usize> {
        self.endpoints.retain(|_, state| state.strong_count() > 0);
        self.upstreams.retain(|_, shared| Arc::strong_count(&shared.admission) > 1);
        std::mem::take(&mut self.taken)
    }
}

/// Who has which id.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    /// In the order of the configuration.
    pub ids: Vec<ListenerId>,
    /// Those that have a new owner.
    pub taken: Vec<ListenerId>,
}

impl KnownListener {
    fn new(listener: &config::Listener) -> Self {
        Self {
            name: listener.name.value.clone(),
            wire: Wire::of(listener),
            is_there: true,
            own: Arc::new(Admission::new(None)),
            per_client: None,
            handshakes: Arc::default(),
            last_limit: 0,
        }
    }

    /// A connection cannot go on under another protocol: a listener that changes it is another one.
    fn is(&self, listener: &config::Listener) -> bool {
        self.name == listener.name.value && self.wire == Wire::of(listener)
    }
}

/// What connections of a listener go on under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Http,
    Bytes,
    Messages,
    Datagrams,
}

impl Wire {
    fn of(listener: &config::Listener) -> Self {
        match &listener.protocol {
            config::Protocol::Http(_) => Self::Http,
            config::Protocol::Framed(framed) if framed.mode != config::FrameMode::Connection => {
                Self::Messages
            }
            config::Protocol::Tcp(_) | config::Protocol::Framed(_) => Self::Bytes,
            config::Protocol::Udp(_) => Self::Datagrams,
        }
    }
}

#[cfg(test)]
mod tests {
    use fairwater_message::address::Listen;
    use fairwater_message::frame::Framing;

    use super::*;

    #[test]
    fn states_are_found_again_while_somebody_holds_them() {
        let mut registry = Registry::default();
        let first = registry.endpoint("app", "a:1");
        let other = registry.endpoint("web", "a:1");
        assert!(Arc::ptr_eq(&first, &registry.endpoint("app", "a:1")));
        assert!(!Arc::ptr_eq(&first, &other));
        assert_eq!(registry.settle(), [0, 1]);
        drop(first);
        let again = registry.endpoint("app", "b:1");
        assert_eq!((again.slot(), registry.settle()), (0, vec![0]));
        assert_eq!(registry.slots_end(), 2);
        assert_eq!(registry.endpoints.len(), 2);
    }

    #[test]
    fn rate_limits_keep_what_they_know_while_they_are_defined_alike() {
        let limits = |rates: &[(&str, u32)]| {
            let tables = rates.iter().map(|(name, rate)| {
                format!("[rate_limits.{name}]\nrate = \"{rate}/min\"\nkeys = 10\n")
            });
            let text = format!(
                "[listeners.a]\nbind = \":1\"\nrespond = 200\n{}",
                tables.collect::<String>()
            );
            config::parse("f", text.as_bytes()).0.unwrap().rate_limits
        };
        let mut registry = Registry::default();
        let first = registry.rate_limits(&limits(&[("a", 5), ("b", 5)]));
        let again = registry.rate_limits(&limits(&[("b", 5), ("a", 6), ("c", 5)]));
        assert!(Arc::ptr_eq(&first[1], &again[0]));
        assert!(!Arc::ptr_eq(&first[0], &again[1]), "it is another one");
        registry.rate_limits(&[]);
        assert!(!Arc::ptr_eq(&again[0], &registry.rate_limits(&limits(&[("b", 5)]))[0]));
    }

    #[test]
    fn permits_are_those_of_before_under_the_same_limit() {
        let mut registry = Registry::default();
        let mut admission = |max: u32| {
            let max = NonZeroU32::new(max).map(config::Spanned::from);
            let upstream =
                config::Upstream { max_connections: max, ..config::Upstream::new("app", []) };
            registry.settle();
            registry.upstream(&upstream).admission
        };
        let first = admission(1);
        assert!(first.enter());
        assert!(!admission(1).enter());
        assert!(admission(2).enter());
        assert!(!first.enter(), "one limit for all who know it");
        drop(first);
        assert_eq!(admission(2).open(), 0, "it is another one");
    }

    #[test]
    fn listeners_keep_their_ids_and_those_of_the_dead_are_given_anew() {
        let listener = |name: &str, protocol| {
            let bind = Listen::parse(":80").unwrap();
            config::Listener::new(name, bind, protocol, "app")
        };
        let http = |name| listener(name, config::Protocol::Http(Default::default()));
        let tcp = |name| listener(name, config::Protocol::Tcp(Default::default()));
        let mut registry = Registry::default();
        let mut seat = |listeners: &[config::Listener], is_empty: bool| {
            let seats = registry.seat(listeners, &|_| is_empty);
            (seats.ids.iter().map(|id| id.0).collect::<Vec<_>>(), seats.taken.len())
        };
        assert_eq!(seat(&[http("a"), http("b"), tcp("c")], true), (vec![0, 1, 2], 3));
        assert_eq!(seat(&[tcp("c"), http("a")], true), (vec![2, 0], 0));
        assert_eq!(seat(&[tcp("c"), http("a"), http("d")], false), (vec![2, 0, 3], 1));
        assert_eq!(seat(&[tcp("c"), http("a"), http("d"), http("e")], true), (vec![2, 0, 3, 1], 1));
        assert_eq!(seat(&[http("c"), http("d")], true), (vec![4, 3], 1), "c has connections yet");
        assert_eq!(seat(&[tcp("c"), http("d")], true), (vec![2, 3], 0), "as it was");
        let framed = |mode| {
            let line = config::FramedListener::new(Framing::line(9));
            let framed = config::FramedListener { mode, ..line };
            listener("c", config::Protocol::Framed(Box::new(framed)))
        };
        let relay = framed(config::FrameMode::Connection);
        assert_eq!(seat(&[relay, http("d")], false), (vec![2, 3], 0), "bytes are bytes");
        let oneway = framed(config::FrameMode::Oneway);
        assert_eq!(seat(&[oneway, http("d")], false), (vec![5, 3], 1));
        let udp = listener("c", config::Protocol::Udp(Default::default()));
        assert_eq!(seat(&[udp, http("d")], false), (vec![6, 3], 1), "flows are none of these");
    }
}
