//! `[listeners.NAME]`.

use fairwater_message::address::Listen;
use fairwater_message::network::IpNet;

use crate::code;
use crate::model::{HttpListener, IdleRule, Listener, OnError, Protocol, TcpListener};
use crate::read::text;
use crate::reader::{Key, Keys, Node, Table};
use crate::report::Report;
use crate::span::Spanned;

const LISTENER: Keys = &[
    Key { name: "bind", example: "bind = \":8080\"" },
    Key { name: "protocol", example: "protocol = \"http\"" },
    Key { name: "upstream", example: "upstream = \"app\"" },
    Key { name: "trusted_proxies", example: "trusted_proxies = [\"10.0.0.0/8\"]" },
    Key { name: "on_error", example: "on_error = { connect = \"Failed to connect backend\" }" },
    Key { name: "idle", example: "idle = \"both\"" },
];

const ON_ERROR: Keys = &[
    Key { name: "connect", example: "connect = \"Failed to connect backend\"" },
    Key { name: "empty", example: "empty = \"Backend Error\"" },
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Http,
    Tcp,
}

const KINDS: [(&str, Kind); 2] = [("http", Kind::Http), ("tcp", Kind::Tcp)];

const IDLE_RULES: [(&str, IdleRule); 2] = [("both", IdleRule::Both), ("client", IdleRule::Client)];

/// What only one protocol has.
const OWNED: [(&str, Kind); 3] =
    [("trusted_proxies", Kind::Http), ("on_error", Kind::Tcp), ("idle", Kind::Tcp)];

/// A message for a person or a program that was cut off, not a page.
const ON_ERROR_BYTES_MAX: usize = 16 * 1024;

pub(super) fn read(name: Spanned<&str>, node: Node<'_>, report: &mut Report<'_>) -> Listener {
    let mut listener = Listener {
        name: name.map(str::to_owned),
        bind: Vec::new(),
        protocol: Protocol::Http(HttpListener::default()),
        upstream: None,
    };
    let Some(table) = node.table(format!("[listeners.{}]", name.value), LISTENER, report) else {
        listener.upstream = Some(text::unread(node.span));
        return listener;
    };
    listener.bind = bind(&table, report);
    listener.upstream = table.get("upstream").map(|node| text::reference(node, report));
    let kind = match table.get("protocol") {
        Some(node) => node.choice(&KINDS, report),
        None => Some(Kind::Http),
    };
    // Without a protocol the settings that only one has cannot be judged, but their values can.
    if let Some(kind) = kind {
        refuse_foreign_keys(&table, kind, report);
    }
    let http = HttpListener { trusted_proxies: trusted_proxies(&table, report) };
    let tcp = TcpListener { on_error: on_error(&table, report), idle: idle(&table, report) };
    listener.protocol = match kind {
        Some(Kind::Tcp) => Protocol::Tcp(tcp),
        Some(Kind::Http) | None => Protocol::Http(http),
    };
    listener
}

fn bind(table: &Table<'_>, report: &mut Report<'_>) -> Vec<Spanned<Listen>> {
    let nodes = table.require("bind", report).and_then(|node| node.one_or_more(report));
    let mut addresses = Vec::new();
    for node in nodes.unwrap_or_default() {
        addresses.extend(text::parsed(node, &code::BAD_ADDRESS, Listen::parse, report));
    }
    addresses
}

fn refuse_foreign_keys(table: &Table<'_>, kind: Kind, report: &mut Report<'_>) {
    for (name, owner) in OWNED {
        let Some(span) = table.key_span(name).filter(|_| owner != kind) else {
            continue;
        };
        let (ours, other) = match owner {
            Kind::Http => ("http", "tcp"),
            Kind::Tcp => ("tcp", "http"),
        };
        let message = format!("`{name}` is a setting of {ours} listeners");
        let label = format!("{} is a listener for {other}", table.title());
        let help = format!("remove the line, or write `protocol = \"{ours}\"`");
        report.add(&code::OTHER_PROTOCOL, span, message, label, help);
    }
}

fn trusted_proxies(table: &Table<'_>, report: &mut Report<'_>) -> Vec<Spanned<IpNet>> {
    let nodes = table.get("trusted_proxies").and_then(|node| node.one_or_more(report));
    let mut networks = Vec::new();
    for node in nodes.unwrap_or_default() {
        networks.extend(text::parsed(node, &code::BAD_NETWORK, IpNet::parse, report));
    }
    networks
}

fn on_error(table: &Table<'_>, report: &mut Report<'_>) -> OnError {
    let node = table.get("on_error");
    let Some(table) = node.and_then(|node| node.table("`on_error`".to_owned(), ON_ERROR, report))
    else {
        return OnError::default();
    };
    let mut bytes = |name| {
        let node = table.get(name)?;
        text::bounded(node, ON_ERROR_BYTES_MAX, report).map(|text| text.value.as_bytes().to_vec())
    };
    OnError { connect: bytes("connect"), empty: bytes("empty") }
}

fn idle(table: &Table<'_>, report: &mut Report<'_>) -> IdleRule {
    table.get("idle").and_then(|node| node.choice(&IDLE_RULES, report)).unwrap_or_default()
}
