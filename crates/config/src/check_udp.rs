//! Whether datagrams can go where their listeners send them.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use fairwater_message::address::{Endpoint, Listen};

use crate::code;
use crate::model::{Config, Destination, Listener, ProxyVersion, Upstream};
use crate::report::Report;

pub(crate) fn check(config: &Config, report: &mut Report) {
    let listeners: Vec<&Listener> =
        config.listeners.iter().filter(|one| one.protocol.is_udp()).collect();
    let names: HashSet<&str> = listeners.iter().map(|one| &*one.name.value).collect();
    for route in config.routes.iter().filter(|route| names.contains(&*route.listener.value)) {
        let listener = &route.listener.value;
        let message = format!("listener `{listener}` is for UDP, and has no routes");
        let help = format!("set `upstream` in [listeners.{listener}], and remove the route");
        report.add(&code::ROUTE_ON_UDP, route.span, message, "", help);
    }
    let upstreams: HashMap<&str, &Upstream> =
        config.upstreams.iter().map(|one| (&*one.name.value, one)).collect();
    let mut seen = HashSet::new();
    for listener in listeners {
        let name = listener.destination.as_ref().and_then(Destination::upstream);
        let upstream = name.and_then(|name| upstreams.get(&*name.value));
        if let Some(upstream) = upstream {
            check_loop(listener, upstream, report);
        }
        if let Some(upstream) = upstream.filter(|one| seen.insert(&*one.name.value)) {
            check_upstream(&listener.name.value, upstream, report);
        }
    }
}

/// A datagram that comes back to its own listener goes round for ever: nothing in it says that it
/// was here before.
fn check_loop(listener: &Listener, upstream: &Upstream, report: &mut Report) {
    let is_own = |address: &SocketAddr| {
        listener.bind.iter().any(|bind| match &bind.value {
            Listen::Ip(bound) if bound.ip().is_unspecified() => {
                bound.port() == address.port() && address.ip().is_loopback()
            }
            Listen::Ip(bound) => bound == address && bound.port() != 0,
            Listen::Any { port } => *port == address.port() && address.ip().is_loopback(),
            Listen::Unix(_) => false,
        })
    };
    for endpoint in &upstream.endpoints {
        let Endpoint::Ip(address) = &endpoint.address.value else { continue };
        if is_own(address) {
            let name = &listener.name.value;
            let message = format!("`{address}` is where listener `{name}` itself takes datagrams");
            let label = "they would go round for ever";
            let help = "write the address of who answers";
            report.add(&code::UDP_LOOP, endpoint.address.span, message, label, help);
        }
    }
}

fn check_upstream(listener: &str, upstream: &Upstream, report: &mut Report) {
    let name = &upstream.name.value;
    let gets = format!("upstream `{name}` gets datagrams of listener `{listener}`");
    let unix =
        upstream.endpoints.iter().filter(|one| matches!(one.address.value, Endpoint::Unix(_)));
    for endpoint in unix {
        let address = &endpoint.address;
        let message = format!("{gets}, and `{}` is a Unix socket", address.value);
        let help = "write an address with a port, or give UDP an upstream of its own";
        report.add(&code::NO_DATAGRAMS, address.span, message, "", help);
    }
    if let Some(apps) = &upstream.apps {
        let message = format!("{gets}, and the processes of apps take connections");
        let help = "write their addresses in `endpoints`, of an upstream of its own";
        report.add(&code::NO_DATAGRAMS, apps.span, message, "", help);
    }
    let of_connections = [
        (
            upstream.tls.is_some(),
            "`tls` is for connections",
            "remove it, or give UDP an upstream of its own",
        ),
        (
            upstream.proxy_protocol == Some(ProxyVersion::V1),
            "version 1 of the PROXY protocol is for connections",
            "write `proxy_protocol = \"v2\"`",
        ),
    ];
    for (_, what, help) in of_connections.into_iter().filter(|(is_there, ..)| *is_there) {
        let message = format!("{gets}, and {what}");
        report.add(&code::NO_DATAGRAMS, upstream.name.span, message, "", help);
    }
}
