//! `Config` to `Plan`: names become places, addresses become something to dial.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use fairwater_config as config;
use fairwater_message::address::{self, Listen};
use fairwater_plan::{
    Balance, ConnectionLimits, Dial, Endpoint, Filters, HostHeader, Listener, ListenerId, OnError,
    Plan, Protocol, Route, RouteRule, RouteTable, TcpIdle, Timeouts, Upstream, UpstreamId,
    UpstreamSettings, UpstreamTimeouts,
};

use crate::Registry;
use crate::route::{Routes, conditions, host_pattern, path_pattern};

/// A plan, and what must be bound for it.
#[derive(Debug)]
pub struct Compiled {
    pub plan: Plan,
    pub binds: Vec<Bind>,
    /// What is odd but no reason not to start, in words for people.
    pub warnings: Vec<String>,
}

/// An address to listen on.
#[derive(Debug)]
pub struct Bind {
    pub listener: ListenerId,
    pub address: Listen,
    pub backlog: u32,
}

/// Compiles a configuration that was checked: every name in it resolves. What the registry knows
/// of an endpoint or an upstream goes on; at most `connections_max` clients may be connected. Looks
/// up host names of endpoints, which may take a while.
pub fn compile(
    config: &config::Config,
    registry: &mut Registry,
    connections_max: Option<u32>,
) -> Compiled {
    let mut warnings = Vec::new();
    let mut names = HashMap::new();
    let mut upstreams = Vec::new();
    for (index, upstream) in config.upstreams.iter().enumerate() {
        names.insert(upstream.name.value.as_str(), UpstreamId(index as u32));
        upstreams.push(Arc::new(compile_upstream(upstream, index, registry, &mut warnings)));
    }
    let mut routes = Routes::of(config, &names);
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
            let route = routes.compile(name, destination, &filters, timeouts, &path);
            let of_listener = rules.entry(name).or_default();
            of_listener.extend(route.map(RouteRule::of_all));
        }
    }
    for route in &config.routes {
        let Some(of_listener) = by_name.get(route.listener.value.as_str()) else { continue };
        let filters = [of_listener, &route.filters];
        let (name, destination) = (&*route.listener.value, &route.destination);
        let compiled = routes.compile(name, destination, &filters, route.timeouts, &route.path);
        let rule = |compiled: Route| RouteRule {
            host: host_pattern(route.host.as_ref().map(|host| &host.value)),
            path: path_pattern(&route.path),
            conditions: conditions(&route.conditions, &compiled),
            route: compiled,
        };
        rules.entry(&route.listener.value).or_default().extend(compiled.map(rule));
    }
    let mut listeners = Vec::new();
    let mut binds = Vec::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        let id = ListenerId(index as u32);
        let rules = rules.remove(listener.name.value.as_str()).unwrap_or_default();
        let connections = registry.connections(listener, connections_max);
        let filters = routes.of_listener(listener);
        listeners.push(compile_listener(listener, &names, rules, connections, filters));
        binds.extend(listener.bind.iter().map(|bind| Bind {
            listener: id,
            address: bind.value.clone(),
            backlog: listener.limits.backlog,
        }));
    }
    let plan = Plan {
        listeners,
        upstreams,
        slots_end: registry.slots_end(),
        drain: config.shutdown.drain,
    };
    Compiled { plan, binds, warnings }
}

fn compile_listener(
    listener: &config::Listener,
    names: &HashMap<&str, UpstreamId>,
    rules: Vec<RouteRule>,
    connections: ConnectionLimits,
    filters: Option<Box<Filters>>,
) -> Listener {
    let (protocol, trusted_proxies) = match &listener.protocol {
        config::Protocol::Http(http) => {
            let trusted = http.trusted_proxies.iter().map(|net| net.value).collect();
            (Protocol::Http(Box::new(RouteTable::new(rules))), trusted)
        }
        config::Protocol::Tcp(tcp) => (compile_tcp(listener, tcp, names), Vec::new()),
    };
    let config::ListenerTimeouts { head, idle, body, tunnel, half_close } = listener.timeouts;
    Listener {
        name: listener.name.value.clone(),
        protocol,
        trusted_proxies,
        timeouts: Timeouts { head, idle, body, tunnel, half_close },
        hops_max: listener.limits.hops,
        head: listener.limits.head,
        connections,
        filters,
    }
}

fn compile_tcp(
    listener: &config::Listener,
    tcp: &config::TcpListener,
    names: &HashMap<&str, UpstreamId>,
) -> Protocol {
    let on_error =
        OnError { connect: tcp.on_error.connect.clone(), empty: tcp.on_error.empty.clone() };
    let idle = match tcp.idle {
        config::IdleRule::Both => TcpIdle::Both,
        config::IdleRule::Client => TcpIdle::Client,
    };
    // A checked TCP listener names its upstream.
    let upstream = listener.destination.as_ref().and_then(config::Destination::upstream);
    let upstream = upstream.and_then(|name| names.get(name.value.as_str()).copied());
    Protocol::Tcp { upstream: upstream.unwrap_or(UpstreamId(0)), on_error, idle }
}

fn compile_upstream(
    upstream: &config::Upstream,
    index: usize,
    registry: &mut Registry,
    warnings: &mut Vec<String>,
) -> Upstream {
    let name = &upstream.name.value;
    let endpoints: Vec<_> = upstream
        .endpoints
        .iter()
        .map(|endpoint| compile_endpoint(endpoint, name, registry, warnings))
        .collect();
    let balance = match upstream.balance {
        config::Balance::RoundRobin => Balance::round_robin(&endpoints),
        config::Balance::Random => Balance::random(&endpoints),
        config::Balance::LeastConnections => Balance::least_connections(&endpoints),
        config::Balance::SourceHash => Balance::source_hash(&endpoints),
    };
    let settings = UpstreamSettings {
        name: name.clone(),
        index,
        host: match &upstream.host {
            config::HostRule::Keep => HostHeader::Keep,
            config::HostRule::Endpoint => HostHeader::Endpoint,
            config::HostRule::Literal(name) => HostHeader::Name(name.clone()),
        },
        keep_alive: upstream.keep_alive,
        max_requests: upstream.max_requests.as_ref().map(|max| max.value.get()),
        relaxed_responses: upstream.relaxed_responses,
        head: upstream.head,
        timeouts: UpstreamTimeouts {
            connect: upstream.timeouts.connect,
            response: upstream.timeouts.response,
            idle: upstream.timeouts.idle,
            queue: upstream.timeouts.queue,
        },
        retries: upstream.retries,
    };
    let max = upstream.max_connections.as_ref().map(|max| max.value.get());
    Upstream::new(settings, endpoints, balance, registry.admission(name, max))
}

fn compile_endpoint(
    endpoint: &config::UpstreamEndpoint,
    upstream: &str,
    registry: &mut Registry,
    warnings: &mut Vec<String>,
) -> Endpoint {
    let address = &endpoint.address.value;
    let identity = address.to_string();
    let (dial, host) = match address {
        address::Endpoint::Ip(address) => (Dial::Ip(vec![*address]), identity.clone()),
        address::Endpoint::Name { host, port } => {
            let addresses = look_up(host, *port, warnings);
            (Dial::Ip(addresses), identity.clone())
        }
        // A path is no host; this is what HTTP over a local socket says by custom.
        address::Endpoint::Unix(path) => (Dial::Unix(path.clone()), "localhost".to_owned()),
    };
    let state = registry.endpoint(upstream, &identity);
    let weight = u32::from(endpoint.weight);
    Endpoint { identity, host, dial, weight, slot: state.slot(), state }
}

/// The addresses of a name as of now. A name that does not resolve is an endpoint that is down, no
/// reason not to start.
fn look_up(host: &str, port: u16, warnings: &mut Vec<String>) -> Vec<SocketAddr> {
    match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            warnings
                .push(format!("endpoint {host}:{port} is down: its name has no address: {error}"));
            Vec::new()
        }
    }
}
