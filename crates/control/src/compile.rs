//! `Config` to `Plan`: names become places, endpoints get their states.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use fairwater_config as config;
use fairwater_message::address::Listen;
use fairwater_plan::health::{Reason, Tier};
use fairwater_plan::sticky::{Seats, SessionId};
use fairwater_plan::{
    Balance, BreakerRules, ConnectionLimits, Destination, Endpoint, Filters, HostHeader, Hosts,
    Limits, Listener, ListenerId, Marked, OnError, Plan, Protocol, ProxyProtocol, ProxyVersion,
    Reserve, Reservist, RetryRules, Route, RouteRule, RouteTable, Shared, Timeouts, Udp, Upstream,
    UpstreamId, UpstreamSettings, UpstreamTimeouts, UpstreamTls, Versions,
};

use crate::framed;
use crate::limit;
use crate::registry::Registry;
use crate::roster::{Member, Roster};
use crate::route::{Routes, conditions, host_pattern, path_pattern};
use crate::sticky::{self, Secret};

/// A plan, and what must be bound for it.
#[derive(Debug)]
pub struct Compiled {
    pub plan: Plan,
    pub binds: Vec<Bind>,
}

/// An address to listen on.
#[derive(Debug)]
pub struct Bind {
    pub listener: ListenerId,
    pub address: Listen,
    pub backlog: u32,
    /// The machine need not have the address yet.
    pub freebind: bool,
    /// Datagrams come in, not connections.
    pub is_udp: bool,
}

/// What was in force before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before<'a> {
    pub config: &'a config::Config,
    pub roster: &'a Roster,
    pub plan: &'a Plan,
}

/// Compiles a configuration that was checked: every name in it resolves. What the registry knows
/// of an endpoint, an upstream or a listener goes on, and upstreams that are as before are those of
/// before. At most `connections_max` clients may be connected.
pub(crate) fn compile(
    (config, ids): (&config::Config, &[ListenerId]),
    roster: &Roster,
    registry: &mut Registry,
    connections_max: Option<u32>,
    before: Option<Before<'_>>,
) -> Compiled {
    let upstreams = upstreams(config, roster, registry, before);
    let names = config.upstreams.iter().enumerate();
    let names = names.map(|(index, one)| (one.name.value.as_str(), UpstreamId(index as u32)));
    let names: HashMap<&str, UpstreamId> = names.collect();
    let limits = registry.rate_limits(&config.rate_limits);
    let mut routes = Routes::of(config, &names, &limits);
    let mut rules = rules(config, &mut routes);
    let gone = before.iter().flat_map(|before| before.plan.listeners.iter());
    let mut listeners: Vec<Arc<Listener>> = gone.map(|before| Arc::new(before.gone())).collect();
    let mut binds = Vec::new();
    for (listener, &id) in config.listeners.iter().zip(ids) {
        let rules = rules.remove(listener.name.value.as_str()).unwrap_or_default();
        let connections = registry.connections(id, listener, connections_max);
        let filters = routes.of_listener(listener);
        let mut compiled = compile_listener(listener, rules, connections, filters);
        compiled.limits = limit::of_connections(listener, routes.limits());
        // The one before knows its tickets.
        let known = before.and_then(|before| before.plan.listeners.get(id.0 as usize));
        if let Some(known) = known.filter(|known| known.tls == compiled.tls) {
            compiled.tls.clone_from(&known.tls);
        }
        let compiled = Arc::new(compiled);
        match listeners.get_mut(id.0 as usize) {
            Some(place) => *place = compiled,
            // New ids follow one another.
            None => listeners.push(compiled),
        }
        binds.extend(listener.bind.iter().map(|bind| Bind {
            listener: id,
            address: bind.value.clone(),
            backlog: listener.limits.backlog,
            freebind: listener.limits.freebind,
            is_udp: listener.protocol.is_udp(),
        }));
    }
    let plan = Plan {
        listeners: listeners.into(),
        upstreams,
        limits,
        slots_end: registry.slots_end(),
        drain: config.shutdown.drain,
        replaced: config.shutdown.replaced,
    };
    Compiled { plan, binds }
}

/// What each listener routes by.
fn rules<'a>(
    config: &'a config::Config,
    routes: &mut Routes<'_>,
) -> HashMap<&'a str, Vec<RouteRule>> {
    let mut rules: HashMap<&str, Vec<RouteRule>> = HashMap::new();
    let mut by_name = HashMap::new();
    for listener in &config.listeners {
        by_name.insert(listener.name.value.as_str(), &listener.filters);
        // What a listener says itself is a route that takes what no other takes.
        if let Some(destination) = &listener.destination {
            let path = config::PathRule::Any;
            let filters = [&listener.filters];
            let timeouts = config::RouteTimeouts::default();
            let name = &*listener.name.value;
            let route = routes.compile(None, name, destination, &filters, timeouts, &path);
            let of_listener = rules.entry(name).or_default();
            of_listener.extend(route.map(RouteRule::of_all));
        }
    }
    for (place, route) in config.routes.iter().enumerate() {
        let Some(of_listener) = by_name.get(route.listener.value.as_str()) else { continue };
        let filters = [of_listener, &route.filters];
        let (name, destination) = (&*route.listener.value, &route.destination);
        let compiled = routes.compile(
            Some(place as u32),
            name,
            destination,
            &filters,
            route.timeouts,
            &route.path,
        );
        let rule = |compiled: Route| RouteRule {
            host: host_pattern(route.host.as_ref().map(|host| &host.value)),
            path: path_pattern(&route.path),
            conditions: conditions(&route.conditions, &compiled),
            route: compiled,
        };
        rules.entry(&route.listener.value).or_default().extend(compiled.map(rule));
    }
    rules
}

/// The plan of a configuration that nobody serves: no name is looked up.
pub fn sketch(config: &config::Config) -> Plan {
    let roster = Roster::sketch(config);
    let mut registry = Registry::with(Some(Secret::of_nobody()));
    let seats = registry.seat(&config.listeners, &|_| true);
    compile((config, &seats.ids), &roster, &mut registry, None, None).plan
}

/// The same plan with other endpoints. Upstreams whose endpoints are those of before stay as they
/// are, and so do routes and listeners.
pub(crate) fn compile_again(roster: &Roster, registry: &mut Registry, before: Before<'_>) -> Plan {
    Plan {
        listeners: Arc::clone(&before.plan.listeners),
        upstreams: upstreams(before.config, roster, registry, Some(before)),
        limits: before.plan.limits.clone(),
        slots_end: registry.slots_end(),
        drain: before.plan.drain,
        replaced: before.plan.replaced,
    }
}

/// All upstreams; those that are as before are not built anew.
fn upstreams(
    config: &config::Config,
    roster: &Roster,
    registry: &mut Registry,
    before: Option<Before<'_>>,
) -> Vec<Arc<Upstream>> {
    let upstreams = config.upstreams.iter().zip(&roster.0).enumerate();
    upstreams
        .map(|(index, (upstream, members))| {
            let settings = settings(upstream, index, registry);
            let shared = registry.upstream(upstream);
            let is_as_before = |before: &Before<'_>| {
                let choice = before.config.upstreams.get(index).map(Choice::of);
                before.roster.0.get(index) == Some(members)
                    && choice == Some(Choice::of(upstream))
                    && before
                        .plan
                        .upstreams
                        .get(index)
                        .is_some_and(|one| one.settings == settings && one.shares(&shared))
            };
            match before.filter(is_as_before) {
                Some(before) => Arc::clone(&before.plan.upstreams[index]),
                None => Arc::new(compile_upstream((upstream, settings), members, registry, shared)),
            }
        })
        .collect()
}

fn compile_listener(
    listener: &config::Listener,
    rules: Vec<RouteRule>,
    connections: ConnectionLimits,
    filters: Option<Box<Filters>>,
) -> Listener {
    let is_probe = |rule: &RouteRule| matches!(rule.route.destination, Destination::Probe(_));
    let has_reserve = rules.iter().any(is_probe);
    let (protocol, trusted_proxies) = match &listener.protocol {
        config::Protocol::Http(http) => {
            let trusted = http.trusted_proxies.iter().map(|net| net.value).collect();
            (Protocol::Http(Box::new(RouteTable::new(rules))), trusted)
        }
        config::Protocol::Tcp(tcp) => {
            let on_error = tcp.on_error.clone();
            let on_error = OnError { connect: on_error.connect, empty: on_error.empty };
            let (upstreams, idle) = (by_host(rules), framed::idle(tcp.idle));
            (Protocol::Tcp { upstreams, on_error, idle }, Vec::new())
        }
        config::Protocol::Framed(messages) => {
            (framed::protocol(messages, by_host(rules)), Vec::new())
        }
        config::Protocol::Udp(udp) => (compile_udp(udp, &rules), Vec::new()),
    };
    let config::ListenerTimeouts { handshake, head, idle, body, tunnel, half_close } =
        listener.timeouts;
    Listener {
        name: listener.name.value.clone(),
        protocol,
        http2: matches!(&listener.protocol, config::Protocol::Http(http) if http.http2),
        trusted_proxies,
        timeouts: Timeouts { handshake, head, idle, body, tunnel, half_close },
        proxy_protocol: listener.proxy_protocol.as_ref().map(|rules| ProxyProtocol {
            from: rules.from.iter().map(|network| network.value).collect(),
            from_unix: rules.from_unix,
            is_required: rules.is_required,
        }),
        tls: listener.tls.as_ref().map(|tls| tls.server.clone()),
        hops_max: listener.limits.hops,
        head: listener.limits.head,
        connections: ConnectionLimits { has_reserve, ..connections },
        limits: Limits::default(),
        filters,
    }
}

/// The upstreams of a listener whose routes know nothing but the host.
fn by_host(rules: Vec<RouteRule>) -> Hosts<UpstreamId> {
    let mut upstreams = Hosts::default();
    for rule in rules {
        // A checked route of it leads nowhere else.
        if let Destination::Upstream(upstream) = rule.route.destination {
            upstreams.insert(rule.host, upstream);
        }
    }
    upstreams
}

fn compile_udp(udp: &config::UdpListener, rules: &[RouteRule]) -> Protocol {
    // A checked listener of it leads to one upstream.
    let upstream = rules.iter().find_map(|rule| match rule.route.destination {
        Destination::Upstream(upstream) => Some(upstream),
        _ => None,
    });
    upstream.map_or(Protocol::Gone, |upstream| {
        let replies_max = udp.replies_max.map(NonZeroU32::get);
        Protocol::Udp(Udp { upstream, flows_max: udp.flows_max, replies_max })
    })
}

/// By what endpoints are chosen, beside what is known of them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Choice {
    balance: config::Balance,
    is_mandatory: bool,
}

impl Choice {
    fn of(upstream: &config::Upstream) -> Self {
        let is_mandatory = upstream.health.as_ref().is_some_and(|health| health.is_mandatory);
        let balance = match upstream.sticky.as_ref().map(|sticky| &sticky.value) {
            Some(config::Sticky::Address) => config::Balance::SourceHash,
            Some(config::Sticky::Cookie(_)) | None => upstream.balance,
        };
        Self { balance, is_mandatory }
    }
}

fn compile_upstream(
    (upstream, settings): (&config::Upstream, UpstreamSettings),
    members: &[Member],
    registry: &mut Registry,
    shared: Shared,
) -> Upstream {
    let Choice { balance, is_mandatory } = Choice::of(upstream);
    let (mut endpoints, mut resting, mut seats) = (Vec::new(), Vec::new(), Vec::new());
    let mut reserve: BTreeMap<(bool, Reason, Tier), Vec<Reservist>> = BTreeMap::new();
    for member in members {
        let endpoint = compile_endpoint(member, &settings.name, registry);
        if sticky::keeps_sessions(upstream, member) {
            // Whoever keeps sessions keeps connections, and has a place there.
            seats.push((endpoint.session, endpoints.len()));
        }
        match member.given.reason {
            Some(reason) if !reason.keeps_connections() => resting.push(endpoint),
            reason => {
                if let Some(reason) = reason.filter(|reason| reason.is_in_reserve(is_mandatory)) {
                    let index = endpoints.len() as u32;
                    let one = Reservist { index, weight: member.weight };
                    // Who was ejected is the last.
                    let place = (reason == Reason::Ejected, reason, member.tier);
                    reserve.entry(place).or_default().push(one);
                }
                endpoints.push(endpoint);
            }
        }
    }
    let reserve = Reserve::new(reserve.into_values().collect());
    let balance = match balance {
        config::Balance::RoundRobin => Balance::round_robin(&endpoints),
        config::Balance::Random => Balance::random(&endpoints),
        config::Balance::LeastConnections => Balance::least_connections(&endpoints),
        config::Balance::SourceHash => Balance::source_hash(&endpoints),
        config::Balance::KeyHash => Balance::key_hash(&endpoints),
    };
    Upstream::new(settings, endpoints, balance, shared)
        .with_resting(resting)
        .with_reserve(reserve)
        .with_seats(Seats::new(seats))
}

fn settings(
    upstream: &config::Upstream,
    index: usize,
    registry: &mut Registry,
) -> UpstreamSettings {
    UpstreamSettings {
        name: upstream.name.value.clone(),
        index,
        host: match &upstream.host {
            config::HostRule::Keep => HostHeader::Keep,
            config::HostRule::Endpoint => HostHeader::Endpoint,
            config::HostRule::Literal(name) => HostHeader::Name(name.clone()),
        },
        // A connection that was announced is of one client.
        keep_alive: upstream.keep_alive && upstream.proxy_protocol.is_none(),
        buffered_max: upstream.buffer_requests.map(|bytes| bytes as usize),
        proxy_protocol: upstream.proxy_protocol.map(|version| match version {
            config::ProxyVersion::V1 => ProxyVersion::V1,
            config::ProxyVersion::V2 => ProxyVersion::V2,
        }),
        tls: upstream
            .tls
            .as_ref()
            .map(|tls| UpstreamTls { client: tls.client.clone(), name: tls.server_name.clone() }),
        versions: match (upstream.http2, &upstream.tls) {
            // A connection that was announced has one request: there is nothing to share.
            _ if upstream.proxy_protocol.is_some() => Versions::Http1,
            (Some(false), _) | (None, None) => Versions::Http1,
            (Some(true), None) => Versions::Http2,
            (_, Some(_)) => Versions::Agreed,
        },
        max_requests: upstream.max_requests.as_ref().map(|max| max.value.get()),
        max_age: upstream.max_connection_age,
        relaxed_responses: upstream.relaxed_responses,
        head: upstream.head,
        timeouts: UpstreamTimeouts {
            connect: upstream.timeouts.connect,
            response: upstream.timeouts.response,
            reply: upstream.pool.reply_timeout,
            idle: upstream.timeouts.idle,
            queue: upstream.timeouts.queue,
        },
        retries: upstream.retry.count,
        retry: retry_rules(&upstream.retry),
        breaker: upstream.circuit_breaker.map(|breaker| BreakerRules {
            failed_percent: breaker.failed_percent,
            requests_min: breaker.requests_min,
            window_ms: breaker.window.as_millis() as u64,
            open_ms: breaker.open.as_millis() as u64,
        }),
        grpc_retries: upstream.retry.grpc,
        failures_max: upstream.outlier.map_or(0, |outlier| outlier.consecutive),
        sticky: sticky::cookie(upstream, || registry.secret()),
        connections: upstream.pool.max.as_ref().map(|max| max.value.get()),
        connections_kept: upstream.pool.kept.as_ref().map_or(0, |kept| kept.value),
        greeting: upstream.pool.greeting.clone(),
    }
}

fn retry_rules(retry: &config::Retry) -> RetryRules {
    RetryRules {
        statuses: retry.statuses.clone(),
        marked: match &retry.unsafe_ones {
            config::Repeatable::None => Marked::Method,
            config::Repeatable::All => Marked::All,
            config::Repeatable::Marked(name) => Marked::Field(name.clone()),
        },
        patience: retry.patience,
        pause: retry.backoff,
    }
}

fn compile_endpoint(member: &Member, upstream: &str, registry: &mut Registry) -> Endpoint {
    let state = registry.endpoint(upstream, &member.key());
    Endpoint {
        identity: member.identity.clone(),
        host: member.host.clone(),
        dial: member.dial.clone(),
        weight: member.given.weight,
        in_flight_max: member.in_flight_max,
        slot: state.slot(),
        session: SessionId::of(&member.full_name),
        state,
    }
}
