//! `[listeners.NAME]`.

use fairwater_message::address::Listen;
use fairwater_message::network::IpNet;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting, words};
use crate::model::{
    Destination, Filters, HttpListener, IdleRule, Listener, ListenerLimits, ListenerTimeouts,
    Protocol, TcpListener,
};
use crate::read::filter::{self, FILTERS};
use crate::read::framed::{self, FRAMED};
use crate::read::limit::{self, LIMITS};
use crate::read::on_error::{self, ON_ERROR_KIND};
use crate::read::proxy_protocol::{self, PROXY_PROTOCOL};
use crate::read::rate_limit::{self, RATE_LIMITS};
use crate::read::swoole::{self, SWOOLE};
use crate::read::text;
use crate::read::tls::{self, CLIENT_AUTH};
use crate::read::udp::{self, UDP};
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::Spanned;

pub(super) static LISTENER: declare::Table = declare::Table {
    title: "[listeners.NAME]",
    settings: &[
        Setting {
            name: "bind",
            kind: Kind::OneOrMore(&Kind::Text("address")),
            absent: Absent::Required,
            meaning: "where to listen",
            example: "bind = \":8080\"",
        },
        Setting {
            name: "protocol",
            kind: Kind::Choice(words!["http", "tcp", "framed", "udp"]),
            absent: Absent::Default("\"http\""),
            meaning: "what comes in; `framed` is [messages over TCP](messages.md)",
            example: "protocol = \"http\"",
        },
        Setting {
            name: "http2",
            kind: Kind::Boolean,
            absent: Absent::Default("true"),
            meaning: "`http` only: [HTTP/2](http2.md) as well, for clients that ask for it in the TLS \
                      handshake (ALPN), or begin with it in clear",
            example: "http2 = false",
        },
        Setting {
            name: "proxy_protocol",
            kind: Kind::Table(&PROXY_PROTOCOL),
            absent: Absent::Otherwise("the peer is the client"),
            meaning: "balancers in front say whose connection it is, before TLS and anything else: \
                      see [the PROXY protocol](proxy-protocol.md)",
            example: "proxy_protocol = { from = [\"10.0.0.0/8\"] }",
        },
        Setting {
            name: "tls",
            kind: Kind::Either(&tls::MADE_UP, &tls::FROM_FILES),
            absent: Absent::Otherwise("clients speak no TLS"),
            meaning: "clients speak TLS. Of several certificates each client gets the one with the \
                      name that it asks for (SNI), or the first. `dev` makes one up that nobody \
                      trusts, for trying things out.",
            example: "tls = { cert = \"site.pem\", key = \"site.key\" }",
        },
        Setting {
            name: "tls_min_version",
            kind: Kind::Choice(words!["1.2", "1.3"]),
            absent: Absent::Otherwise("`1.2`"),
            meaning: "the oldest version of TLS that is spoken",
            example: "tls_min_version = \"1.2\"",
        },
        Setting {
            name: "tls_ticket_keys",
            kind: Kind::Text("file"),
            absent: Absent::Otherwise("keys of this process alone, which change every 6 hours"),
            meaning: "keys of session tickets, for several nodes and for upgrades: one of 64 \
                      hexadecimal digits per line. The first one makes tickets, all read them.",
            example: "tls_ticket_keys = \"tickets.key\"",
        },
        Setting {
            name: "client_auth",
            kind: Kind::Table(&CLIENT_AUTH),
            absent: Absent::Otherwise("clients show no certificates"),
            meaning: "which certificates clients show",
            example: "client_auth = { ca = \"clients.pem\" }",
        },
        Setting {
            name: "upstream",
            kind: Kind::Text("name"),
            absent: Absent::Otherwise(
                "required for `tcp`, `framed` and `udp`; for `http` unless there are routes",
            ),
            meaning: "takes everything that no route takes",
            example: "upstream = \"app\"",
        },
        Setting {
            name: "trusted_proxies",
            kind: Kind::OneOrMore(&Kind::Text("network")),
            absent: Absent::Otherwise("none"),
            meaning: "`http` only: peers that may say who the client is, such as `10.0.0.0/8` or a \
                      single address. A peer on a Unix socket has no address and is never trusted.",
            example: "trusted_proxies = [\"10.0.0.0/8\"]",
        },
        Setting {
            name: "on_error",
            kind: ON_ERROR_KIND,
            absent: Absent::Otherwise("a reset or a close"),
            meaning: "`tcp` and `framed` only: what a client gets for an endpoint that fails: one \
                      text for all causes, or one for each",
            example: "on_error = { connect = \"Failed to connect backend\" }",
        },
        Setting {
            name: "idle",
            kind: Kind::Choice(words!["both", "client"]),
            absent: Absent::Otherwise("`both` for `tcp`, `client` for `framed`"),
            meaning: "`tcp` and `framed` only: whose bytes keep a connection from ending after `idle_timeout`. With \
                      `client` a client must send something in time, however much it is sent.",
            example: "idle = \"both\"",
        },
        RATE_LIMITS,
    ],
    shared: &[&LIMITS, &FILTERS, &FRAMED, &SWOOLE, &UDP],
    notes: "",
};

#[derive(Clone, Copy, PartialEq)]
enum Wire {
    Http,
    Tcp,
    Framed,
    Udp,
}

const WIRES: [(&str, Wire); 4] =
    [("http", Wire::Http), ("tcp", Wire::Tcp), ("framed", Wire::Framed), ("udp", Wire::Udp)];

impl Wire {
    fn word(self) -> &'static str {
        WIRES.iter().find(|(_, wire)| *wire == self).map_or("", |(word, _)| *word)
    }
}

const IDLE_RULES: [(&str, IdleRule); 2] = [("both", IdleRule::Both), ("client", IdleRule::Client)];

/// What not all protocols have, beside the filters and what messages alone have.
const OWNED: [(&str, &[Wire]); 5] = [
    ("http2", &[Wire::Http]),
    ("trusted_proxies", &[Wire::Http]),
    ("on_error", &[Wire::Tcp, Wire::Framed]),
    ("idle", &[Wire::Tcp, Wire::Framed]),
    ("body_timeout", &[Wire::Http, Wire::Framed]),
];

pub(super) fn read(name: Spanned<&str>, node: Node<'_>, report: &mut Report) -> Listener {
    let mut listener = Listener {
        name: name.map(str::to_owned),
        bind: Vec::new(),
        protocol: Protocol::Http(HttpListener::default()),
        proxy_protocol: None,
        tls: None,
        destination: None,
        filters: Filters::default(),
        rate_limits: Vec::new(),
        timeouts: ListenerTimeouts::of(&Protocol::Http(HttpListener::default())),
        limits: ListenerLimits::default(),
    };
    let Some(table) = node.table(format!("[listeners.{}]", name.value), &LISTENER, report) else {
        listener.destination = Some(Destination::Upstream(text::unread(node.span)));
        return listener;
    };
    listener.bind = bind(&table, report);
    listener.destination = filter::destination(&table, &[], report);
    listener.filters = filter::filters(&table, &[], report);
    listener.rate_limits = rate_limit::named(&table, report);
    let kind = match table.get("protocol") {
        Some(node) => node.choice(&WIRES, report),
        None => Some(Wire::Http),
    };
    let http2 = table.get("http2").and_then(|node| node.boolean(report)).unwrap_or(true);
    let alpn = match kind {
        Some(Wire::Http) if http2 => &["h2", "http/1.1"][..],
        Some(Wire::Http) => &["http/1.1"],
        _ => &[],
    };
    listener.proxy_protocol = proxy_protocol::of_listener(&table, report);
    listener.tls = tls::of_listener(&table, alpn, report);
    // Without a protocol the settings that only one has cannot be judged, but their values can.
    if let Some(kind) = kind {
        refuse_foreign_keys(&table, kind, report);
        if kind == Wire::Udp {
            udp::judge(&table, &listener.bind, report);
        }
    }
    listener.protocol = protocol(&table, kind, http2, report);
    listener.timeouts = ListenerTimeouts::of(&listener.protocol);
    limit::timeouts(&table, &mut listener.timeouts, report);
    if kind == Some(Wire::Framed) {
        listener.timeouts.idle = swoole::idle(&table, report).unwrap_or(listener.timeouts.idle);
    }
    listener.limits = limit::limits(&table, report);
    listener
}

fn bind(table: &Table<'_>, report: &mut Report) -> Vec<Spanned<Listen>> {
    let nodes = table.require("bind", report).and_then(|node| node.one_or_more(report));
    let mut addresses = Vec::new();
    for node in nodes.unwrap_or_default() {
        addresses.extend(text::parsed(node, &code::BAD_ADDRESS, Listen::parse, report));
    }
    addresses
}

fn protocol(table: &Table<'_>, kind: Option<Wire>, http2: bool, report: &mut Report) -> Protocol {
    let trusted_proxies = trusted_proxies(table, report);
    let idle = table.get("idle").and_then(|node| node.choice(&IDLE_RULES, report));
    let udp = udp::read(table, report);
    match kind {
        Some(Wire::Udp) => Protocol::Udp(udp),
        Some(Wire::Framed) => Protocol::Framed(Box::new(framed::read(table, idle, report))),
        Some(Wire::Tcp) => Protocol::Tcp(TcpListener {
            on_error: on_error::of_tcp(table, report),
            idle: idle.unwrap_or_default(),
        }),
        Some(Wire::Http) | None => Protocol::Http(HttpListener { trusted_proxies, http2 }),
    }
}

fn refuse_foreign_keys(table: &Table<'_>, kind: Wire, report: &mut Report) {
    let filters = FILTERS.settings.iter().map(|setting| setting.name);
    let of_http = filters.chain(limit::OF_HTTP).map(|name| (name, &[Wire::Http][..]));
    let of_messages = [&FRAMED, &SWOOLE].into_iter().flat_map(declare::Table::names);
    let of_messages = of_messages.map(|name| (name, &[Wire::Framed][..]));
    let of_udp = UDP.names().map(|name| (name, &[Wire::Udp][..]));
    let of_one = of_http.chain(of_messages).chain(of_udp);
    for (name, owners) in OWNED.into_iter().chain(of_one) {
        let Some(span) = table.key_span(name).filter(|_| !owners.contains(&kind)) else {
            continue;
        };
        let owners: Vec<_> = owners.iter().map(|owner| owner.word()).collect();
        let message = format!("`{name}` is a setting of {} listeners", owners.join(" and "));
        let kind = if kind == Wire::Framed { "messages" } else { kind.word() };
        let label = format!("{} is a listener for {kind}", table.title());
        let help = format!("remove the line, or write `protocol = \"{}\"`", owners[0]);
        report.add(&code::OTHER_PROTOCOL, span, message, label, help);
    }
}

fn trusted_proxies(table: &Table<'_>, report: &mut Report) -> Vec<Spanned<IpNet>> {
    let nodes = table.get("trusted_proxies").and_then(|node| node.one_or_more(report));
    let mut networks = Vec::new();
    for node in nodes.unwrap_or_default() {
        networks.extend(text::parsed(node, &code::BAD_NETWORK, IpNet::parse, report));
    }
    networks
}
