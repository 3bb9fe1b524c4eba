//! `Config` to `Plan`: names become places, addresses become something to dial.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use fairwater_config as config;
use fairwater_message::address::{self, Listen};
use fairwater_plan::{
    Balance, Condition, Conditions, Dial, Endpoint, EndpointState, HostHeader, HostPattern,
    Listener, ListenerId, OnError, PathPattern, Plan, Protocol, Route, RouteRule, RouteTable,
    Segment, TcpIdle, Upstream, UpstreamId, UpstreamSettings, UpstreamTimeouts, ValueRule,
};

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
}

/// Compiles a configuration that was checked: every name in it resolves. Looks up host names of
/// endpoints, which may take a while.
pub fn compile(config: &config::Config) -> Compiled {
    let mut warnings = Vec::new();
    let mut slots = 0;
    let mut names = HashMap::new();
    let mut upstreams = Vec::new();
    for (index, upstream) in config.upstreams.iter().enumerate() {
        names.insert(upstream.name.value.as_str(), UpstreamId(index as u32));
        upstreams.push(Arc::new(compile_upstream(upstream, index, &mut slots, &mut warnings)));
    }
    let mut routes: HashMap<&str, Vec<RouteRule>> = HashMap::new();
    for route in &config.routes {
        let Some(&upstream) = names.get(route.upstream.value.as_str()) else { continue };
        let rule = RouteRule {
            host: host_pattern(route.host.as_ref().map(|host| &host.value)),
            path: path_pattern(&route.path),
            conditions: Conditions(route.conditions.iter().map(condition).collect()),
            route: Route { upstream },
        };
        routes.entry(&route.listener.value).or_default().push(rule);
    }
    let mut listeners = Vec::new();
    let mut binds = Vec::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        let id = ListenerId(index as u32);
        let upstream = listener.upstream.as_ref().and_then(|name| names.get(name.value.as_str()));
        let rules = routes.remove(listener.name.value.as_str()).unwrap_or_default();
        listeners.push(compile_listener(listener, upstream.copied(), rules));
        binds.extend(
            listener.bind.iter().map(|bind| Bind { listener: id, address: bind.value.clone() }),
        );
    }
    let plan = Plan { listeners, upstreams, endpoint_slots: slots };
    Compiled { plan, binds, warnings }
}

fn host_pattern(host: Option<&config::HostMatch>) -> HostPattern {
    match host {
        None => HostPattern::Any,
        Some(config::HostMatch::Exact(host)) => HostPattern::Exact(host.clone()),
        Some(config::HostMatch::Wildcard(end)) => HostPattern::Wildcard(end.clone()),
    }
}

fn condition(condition: &config::Condition) -> Condition {
    let rule = |value: &config::ValueMatch| match value {
        config::ValueMatch::Present => ValueRule::Present,
        config::ValueMatch::Absent => ValueRule::Absent,
        config::ValueMatch::Is(text) => ValueRule::Is(text.clone()),
    };
    match condition {
        config::Condition::Method(methods) => Condition::Method(methods.clone()),
        config::Condition::Header { name, value } => {
            Condition::Header { name: name.clone(), value: rule(value) }
        }
        config::Condition::Query { name, value } => {
            Condition::Query { name: name.clone(), value: rule(value) }
        }
        config::Condition::Client(networks) => Condition::Client(networks.clone()),
    }
}

fn path_pattern(path: &config::PathRule) -> PathPattern {
    match path {
        config::PathRule::Any => PathPattern::Any,
        config::PathRule::Exact(path) => PathPattern::Exact(path.clone()),
        config::PathRule::Prefix(prefix) => PathPattern::Prefix(prefix.clone()),
        config::PathRule::Pattern { segments, is_prefix } => {
            let segment = |segment: &config::PathSegment| match segment {
                config::PathSegment::Literal(text) => Segment::Literal(text.clone()),
                config::PathSegment::Capture(name) => Segment::Capture(name.clone()),
            };
            let segments = segments.iter().map(segment).collect();
            PathPattern::Segments { segments, is_prefix: *is_prefix }
        }
    }
}

fn compile_listener(
    listener: &config::Listener,
    upstream: Option<UpstreamId>,
    mut rules: Vec<RouteRule>,
) -> Listener {
    let name = listener.name.value.clone();
    match &listener.protocol {
        config::Protocol::Http(http) => {
            // The shorthand is a route that takes what no other takes.
            rules.extend(upstream.map(|upstream| RouteRule {
                host: HostPattern::Any,
                path: PathPattern::Any,
                conditions: Conditions::default(),
                route: Route { upstream },
            }));
            let trusted_proxies = http.trusted_proxies.iter().map(|net| net.value).collect();
            Listener {
                name,
                protocol: Protocol::Http(Box::new(RouteTable::new(rules))),
                trusted_proxies,
            }
        }
        config::Protocol::Tcp(tcp) => {
            let on_error = OnError {
                connect: tcp.on_error.connect.clone(),
                empty: tcp.on_error.empty.clone(),
            };
            let idle = match tcp.idle {
                config::IdleRule::Both => TcpIdle::Both,
                config::IdleRule::Client => TcpIdle::Client,
            };
            // A checked TCP listener names its upstream.
            let upstream = upstream.unwrap_or(UpstreamId(0));
            let protocol = Protocol::Tcp { upstream, on_error, idle };
            Listener { name, protocol, trusted_proxies: Vec::new() }
        }
    }
}

fn compile_upstream(
    upstream: &config::Upstream,
    index: usize,
    slots: &mut usize,
    warnings: &mut Vec<String>,
) -> Upstream {
    let endpoints: Vec<_> = upstream
        .endpoints
        .iter()
        .map(|endpoint| {
            let slot = *slots;
            *slots += 1;
            compile_endpoint(endpoint, slot, warnings)
        })
        .collect();
    let balance = match upstream.balance {
        config::Balance::RoundRobin => Balance::round_robin(&endpoints),
        config::Balance::Random => Balance::random(&endpoints),
        config::Balance::LeastConnections => Balance::least_connections(&endpoints),
        config::Balance::SourceHash => Balance::source_hash(&endpoints),
    };
    let settings = UpstreamSettings {
        name: upstream.name.value.clone(),
        index,
        host: match &upstream.host {
            config::HostRule::Keep => HostHeader::Keep,
            config::HostRule::Endpoint => HostHeader::Endpoint,
            config::HostRule::Literal(name) => HostHeader::Name(name.clone()),
        },
        keep_alive: upstream.keep_alive,
        max_requests: upstream.max_requests.as_ref().map(|max| max.value.get()),
        max_connections: upstream.max_connections.as_ref().map(|max| max.value.get()),
        relaxed_responses: upstream.relaxed_responses,
        timeouts: UpstreamTimeouts {
            connect: upstream.timeouts.connect,
            response: upstream.timeouts.response,
            idle: upstream.timeouts.idle,
            queue: upstream.timeouts.queue,
        },
        retries: upstream.retries,
    };
    Upstream::new(settings, endpoints, balance)
}

fn compile_endpoint(
    endpoint: &config::UpstreamEndpoint,
    slot: usize,
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
    let state = Arc::new(EndpointState::default());
    Endpoint { identity, host, dial, weight: u32::from(endpoint.weight), slot, state }
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
