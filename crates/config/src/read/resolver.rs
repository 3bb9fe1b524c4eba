//! `[resolver]`.

use std::net::{IpAddr, SocketAddr};

use fairwater_message::address::{AddressError, Endpoint};

use crate::code;
use crate::declare::{self, Absent, Kind, Setting};
use crate::model::Resolver;
use crate::read::text;
use crate::reader::Node;
use crate::report::Report;

/// The port of DNS.
const PORT: u16 = 53;

/// More servers only make a name that nobody knows slow.
const SERVERS_MAX: usize = 8;

pub(super) static RESOLVER: declare::Table = declare::Table {
    title: "[resolver]",
    settings: &[
        Setting {
            name: "servers",
            kind: Kind::OneOrMore(&Kind::Text("address")),
            absent: Absent::Otherwise("those in /etc/resolv.conf"),
            meaning: "IP addresses of DNS servers, with a port unless it is 53; asked in this order. \
                      With them nothing of /etc/resolv.conf counts, its search domains included.",
            example: "servers = [\"10.0.0.53\", \"10.0.1.53:5353\"]",
        },
        Setting {
            name: "timeout",
            kind: Kind::Duration { min_ms: 10, max_ms: 30_000 },
            absent: Absent::Otherwise("`options timeout` of /etc/resolv.conf, or else `2s`"),
            meaning: "for one question at one server; then the next one is asked",
            example: "timeout = \"2s\"",
        },
    ],
    shared: &[],
    notes: include_str!("../../reference/resolver.md"),
};

pub(super) fn read(node: Node<'_>, report: &mut Report) -> Resolver {
    let Some(table) = node.table("[resolver]".to_owned(), &RESOLVER, report) else {
        return Resolver::default();
    };
    let servers = table.get("servers");
    let nodes = servers.and_then(|node| node.one_or_more(report)).unwrap_or_default();
    if let Some(surplus) = nodes.get(SERVERS_MAX) {
        let message = format!("`servers` has {} elements", nodes.len());
        let help = format!("name {SERVERS_MAX} at the most");
        report.add(&code::OUT_OF_RANGE, surplus.span, message, "", help);
    }
    let server = |node: &Node<'_>| text::parsed(*node, &code::BAD_ADDRESS, server, report);
    Resolver {
        servers: nodes.iter().filter_map(server).map(|server| server.value).collect(),
        timeout: table.get("timeout").and_then(|node| node.duration(report)),
    }
}

fn server(text: &str) -> Result<SocketAddr, AddressError> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, PORT));
    }
    match Endpoint::parse(text)? {
        Endpoint::Ip(address) => Ok(address),
        _ => Err(AddressError::new(
            format!("`{text}` is not an IP address, and a name could not be looked up without it"),
            "write the address of the server, as in `10.0.0.53` or `[fd00::53]:53`",
        )),
    }
}
