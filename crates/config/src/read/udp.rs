//! What only listeners for datagrams have, and what they have not.

use std::collections::HashSet;
use std::num::NonZeroU32;

use fairwater_message::address::Listen;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting};
use crate::model::{Balance, Config, Destination, Listener, UdpListener};
use crate::reader::Table;
use crate::report::Report;
use crate::span::Spanned;

/// Each takes a descriptor, a port and about a kilobyte of the kernel's memory.
const FLOWS_MAX: u32 = 1 << 20;
/// A reply of more datagrams is a stream.
const REPLIES_MAX: u32 = 65_535;

pub(super) static UDP: declare::Table = declare::Table {
    title: "Flows of UDP listeners",
    settings: &[
        Setting {
            name: "max_replies",
            kind: Kind::Integer { min: 1, max: REPLIES_MAX },
            absent: Absent::Otherwise("nobody knows how many there will be"),
            meaning: "`udp` only: replies to each datagram of a client, as 1 for DNS. A flow that owes \
                      none is over at once, and one that ends while it owes all of them tells against \
                      its endpoint. Further replies are dropped.",
            example: "max_replies = 1",
        },
        Setting {
            name: "max_flows",
            kind: Kind::Integer { min: 1, max: FLOWS_MAX },
            absent: Absent::Default("8192"),
            meaning: "`udp` only: flows at a time, on each thread and address; never more than half of \
                      the connections that the process has room for, over all threads. Who has been \
                      silent for the longest makes room for another. Each has a port of this machine, \
                      of which Linux has 28 232 for that (`ip_local_port_range`).",
            example: "max_flows = 8192",
        },
    ],
    shared: &[],
    notes: include_str!("../../reference/udp.md"),
};

/// What has to do with connections.
pub(crate) const OF_CONNECTIONS: [&str; 11] = [
    "tls",
    "tls_min_version",
    "tls_ticket_keys",
    "client_auth",
    "proxy_protocol",
    "tls_handshake_timeout",
    "half_close_timeout",
    "backlog",
    "when_full",
    "max_handshakes",
    "max_handshake_rate",
];

pub(super) fn read(table: &Table<'_>, report: &mut Report) -> UdpListener {
    let mut number = |name| table.get(name).and_then(|node| node.integer(report));
    let mut listener = UdpListener::default();
    listener.replies_max = number("max_replies").and_then(|read| NonZeroU32::new(read.value));
    listener.flows_max = number("max_flows").map_or(listener.flows_max, |read| read.value);
    listener
}

/// Reports what a listener for datagrams cannot have.
pub(super) fn judge(table: &Table<'_>, bind: &[Spanned<Listen>], report: &mut Report) {
    for name in OF_CONNECTIONS {
        let Some(span) = table.key_span(name) else { continue };
        let message = format!("`{name}` is a setting of listeners for connections");
        let label = format!("{} is a listener for udp", table.title());
        report.add(&code::OTHER_PROTOCOL, span, message, label, "remove the line");
    }
    for bind in bind.iter().filter(|bind| matches!(bind.value, Listen::Unix(_))) {
        let message =
            format!("`{}` is a Unix socket, and {} is for UDP", bind.value, table.title());
        let help = "write an address with a port, as in `bind = \":53\"`";
        report.add(&code::NO_DATAGRAMS, bind.span, message, "", help);
    }
}

/// Where nothing says how endpoints are picked, those that get datagrams alone are picked by the
/// client: what one sends stays together then, whatever becomes of its flow.
pub(super) fn complete(config: &mut Config) {
    let is_udp = |listener: &&Listener| listener.protocol.is_udp();
    let upstream = |destination: &Destination| Some(destination.upstream()?.value.clone());
    let of = |listener: &Listener| listener.destination.as_ref().and_then(upstream);
    let mut alone: HashSet<String> =
        config.listeners.iter().filter(is_udp).filter_map(of).collect();
    if alone.is_empty() {
        return;
    }
    let others = config.listeners.iter().filter(|listener| !is_udp(listener)).filter_map(of);
    let of_routes = config.routes.iter().filter_map(|route| upstream(&route.destination));
    for name in others.chain(of_routes) {
        alone.remove(&name);
    }
    for upstream in config.upstreams.iter_mut().filter(|one| !one.has_balance) {
        if alone.contains(&upstream.name.value) {
            upstream.balance = Balance::SourceHash;
        }
    }
}
