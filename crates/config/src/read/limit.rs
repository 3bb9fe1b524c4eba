//! Timeouts and limits of listeners and routes.

use std::num::NonZeroU32;
use std::time::Duration;

use fairwater_message::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX, HeadLimits};

use crate::declare::{self, Absent, Kind, Setting, Word};
use crate::model::{ListenerLimits, ListenerTimeouts, RouteTimeouts, WhenFull};
use crate::reader::Table;
use crate::report::Report;

pub(super) const DAY_MS: u64 = 24 * 3_600_000;

/// What a tunnel or a raw connection may well be silent for.
pub(super) const WEEK_MS: u64 = 7 * DAY_MS;

/// A longer queue is a longer wait, and the kernel caps it anyway.
const BACKLOG_MAX: u32 = 1 << 20;

/// A longer way is a loop.
const HOPS_MAX: u32 = 100;

/// A head that fits the start line and a few fields.
pub(super) const HEAD_BYTES_MIN: u64 = 1024;
/// A browser sends some fifteen.
pub(super) const HEAD_FIELDS_MIN: u32 = 16;

pub(super) const MAX_HEAD: Kind = Kind::Size { min: HEAD_BYTES_MIN, max: HEAD_BYTES_MAX as u64 };
pub(super) const MAX_HEADERS: Kind =
    Kind::Integer { min: HEAD_FIELDS_MIN, max: HEAD_FIELDS_MAX as u32 };

pub(super) static LIMITS: declare::Table = declare::Table {
    title: "Timeouts and limits of listeners",
    settings: &[
        Setting {
            name: "tls_handshake_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: DAY_MS },
            absent: Absent::Otherwise("`10s`"),
            meaning: "a whole TLS handshake",
            example: "tls_handshake_timeout = \"10s\"",
        },
        Setting {
            name: "request_head_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: DAY_MS },
            absent: Absent::Default("\"10s\""),
            meaning: "`http` only: a whole request head, from its first byte. A client that sends \
                      byte by byte must not hold memory for long.",
            example: "request_head_timeout = \"10s\"",
        },
        Setting {
            name: "idle_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: WEEK_MS },
            absent: Absent::Otherwise(
                "`75s` for `http`, `10m` for `tcp` and `framed`, `60s` for `udp`",
            ),
            meaning: "between two requests; a raw connection without a byte, one for messages \
                      without one of its client, a flow of UDP without a datagram. Cloud balancers in \
                      front keep theirs for 60 s and must be the first to close.",
            example: "idle_timeout = \"75s\"",
        },
        Setting {
            name: "body_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: DAY_MS },
            absent: Absent::Default("\"30s\""),
            meaning: "`http` and `framed` only: no byte of a body, or none taken by who should read \
                      it, in either direction; four times as long for a peer on a Unix socket or on loopback, of \
                      which is only seen when it has taken tens of kilobytes",
            example: "body_timeout = \"30s\"",
        },
        Setting {
            name: "tunnel_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: WEEK_MS },
            absent: Absent::Default("\"1h\""),
            meaning: "`http` only: an upgraded connection (WebSocket) without a byte. They are quiet \
                      by nature; their own pings keep them.",
            example: "tunnel_timeout = \"1h\"",
        },
        Setting {
            name: "half_close_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: WEEK_MS },
            absent: Absent::Default("\"30s\""),
            meaning: "the second direction of a raw or upgraded connection without a byte, after the \
                      first was closed; `idle_timeout` if that is shorter. No effect on messages that \
                      share connections.",
            example: "half_close_timeout = \"30s\"",
        },
        Setting {
            name: "backlog",
            kind: Kind::Integer { min: 1, max: BACKLOG_MAX },
            absent: Absent::Default("4096"),
            meaning: "connections that the kernel holds until they are accepted, per thread; \
                      `net.core.somaxconn` caps it",
            example: "backlog = 4096",
        },
        Setting {
            name: "freebind",
            kind: Kind::Boolean,
            absent: Absent::Default("false"),
            meaning: "listens on addresses that this machine does not have yet, as those that move \
                      between two machines (VRRP)",
            example: "freebind = false",
        },
        Setting {
            name: "max_connections",
            kind: Kind::Integer { min: 1, max: u32::MAX },
            absent: Absent::Otherwise("no limit but that of the top level"),
            meaning: "connections (of UDP: flows) of this listener at a time, over all threads",
            example: "max_connections = 10000",
        },
        Setting {
            name: "max_connections_per_client",
            kind: Kind::Integer { min: 1, max: u32::MAX },
            absent: Absent::Otherwise("no limit"),
            meaning: "connections of one address (of IPv6, of one /64) at a time. Further ones get a \
                      503, or for `tcp` and with TLS a reset. It counts the peer, also behind `trusted_proxies`; \
                      with `proxy_protocol` the client that was announced.",
            example: "max_connections_per_client = 100",
        },
        Setting {
            name: "when_full",
            kind: Kind::Choice(FULL_WORDS),
            absent: Absent::Default("\"wait\""),
            meaning: "what becomes of a connection beyond `max_connections`",
            example: "when_full = \"wait\"",
        },
        Setting {
            name: "max_handshakes",
            kind: Kind::Integer { min: 1, max: u32::MAX },
            absent: Absent::Otherwise("no limit"),
            meaning: "TLS handshakes that are under way at a time, over all threads. Further ones \
                      wait, at most 4096 of them and within `tls_handshake_timeout`.",
            example: "max_handshakes = 1000",
        },
        Setting {
            name: "max_handshake_rate",
            kind: Kind::Integer { min: 1, max: 1_000_000 },
            absent: Absent::Otherwise("no limit"),
            meaning: "TLS handshakes that begin in a second, over all threads. Further ones wait \
                      within `tls_handshake_timeout`.",
            example: "max_handshake_rate = 2000",
        },
        Setting {
            name: "max_hops",
            kind: Kind::Integer { min: 1, max: HOPS_MAX },
            absent: Absent::Default("10"),
            meaning: "`http` only: proxies that a request may have passed, by its `Via`. More is a \
                      loop, and a 508.",
            example: "max_hops = 10",
        },
        Setting {
            name: "max_head",
            kind: MAX_HEAD,
            absent: Absent::Default("\"32KiB\""),
            meaning: "`http` only: a request head, first line included; more is a 431",
            example: "max_head = \"32KiB\"",
        },
        Setting {
            name: "max_headers",
            kind: MAX_HEADERS,
            absent: Absent::Default("128"),
            meaning: "`http` only: header fields of a request; more is a 431",
            example: "max_headers = 128",
        },
    ],
    shared: &[],
    notes: "",
};

const FULL_WORDS: &[Word] = &[
    Word { word: "wait", meaning: "it stays in the backlog until another ends" },
    Word {
        word: "reject",
        meaning: "it gets a 503 at once, or a reset: for `tcp`, and where many come at a time",
    },
];

const WHEN_FULL: [(&str, WhenFull); 2] = [("wait", WhenFull::Wait), ("reject", WhenFull::Reject)];

/// What only HTTP has.
pub(super) const OF_HTTP: [&str; 5] =
    ["request_head_timeout", "tunnel_timeout", "max_hops", "max_head", "max_headers"];

pub(super) static ROUTE_TIMEOUTS: declare::Table = declare::Table {
    title: "Timeouts of routes",
    settings: &[
        Setting {
            name: "response_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: DAY_MS },
            absent: Absent::Otherwise("that of the upstream"),
            meaning: "from the end of a request to the complete head of its reply",
            example: "response_timeout = \"5m\"",
        },
        Setting {
            name: "body_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: DAY_MS },
            absent: Absent::Otherwise("that of the listener"),
            meaning: "no byte of a body, in either direction",
            example: "body_timeout = \"5m\"",
        },
        Setting {
            name: "tunnel_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: WEEK_MS },
            absent: Absent::Otherwise("that of the listener"),
            meaning: "an upgraded connection without a byte",
            example: "tunnel_timeout = \"1d\"",
        },
    ],
    shared: &[],
    notes: "",
};

/// Reads what is there into what holds otherwise.
pub(super) fn timeouts(table: &Table<'_>, timeouts: &mut ListenerTimeouts, report: &mut Report) {
    for (name, timeout) in [
        ("tls_handshake_timeout", &mut timeouts.handshake),
        ("request_head_timeout", &mut timeouts.head),
        ("idle_timeout", &mut timeouts.idle),
        ("body_timeout", &mut timeouts.body),
        ("tunnel_timeout", &mut timeouts.tunnel),
        ("half_close_timeout", &mut timeouts.half_close),
    ] {
        *timeout = duration(table, name, report).unwrap_or(*timeout);
    }
    // A message is read as a head is: whole, and in a time.
    timeouts.head = duration(table, "frame_timeout", report).unwrap_or(timeouts.head);
}

pub(super) fn of_route(table: &Table<'_>, report: &mut Report) -> RouteTimeouts {
    RouteTimeouts {
        response: duration(table, "response_timeout", report),
        body: duration(table, "body_timeout", report),
        tunnel: duration(table, "tunnel_timeout", report),
    }
}

fn duration(table: &Table<'_>, name: &str, report: &mut Report) -> Option<Duration> {
    table.get(name)?.duration(report)
}

pub(super) fn limits(table: &Table<'_>, report: &mut Report) -> ListenerLimits {
    let mut limits = ListenerLimits::default();
    let mut number = |name| {
        let read = table.get(name).and_then(|node| node.integer(report));
        read.map(|read| read.value)
    };
    limits.backlog = number("backlog").unwrap_or(limits.backlog);
    limits.connections = number("max_connections").and_then(NonZeroU32::new);
    limits.connections_per_client = number("max_connections_per_client").and_then(NonZeroU32::new);
    limits.handshakes = number("max_handshakes").and_then(NonZeroU32::new);
    limits.handshake_rate = number("max_handshake_rate").and_then(NonZeroU32::new);
    let hops = number("max_hops").and_then(|hops| u16::try_from(hops).ok());
    limits.hops = hops.unwrap_or(limits.hops);
    let freebind = table.get("freebind").and_then(|node| node.boolean(report));
    limits.freebind = freebind.unwrap_or(limits.freebind);
    let when_full = table.get("when_full").and_then(|node| node.choice(&WHEN_FULL, report));
    limits.when_full = when_full.unwrap_or_default();
    limits.head = head(table, report);
    limits
}

/// Of a listener or an upstream.
pub(super) fn head(table: &Table<'_>, report: &mut Report) -> HeadLimits {
    let bytes = table.get("max_head").and_then(|node| node.size(report));
    let fields = table.get("max_headers").and_then(|node| node.integer(report));
    HeadLimits {
        bytes: bytes
            .and_then(|bytes| u16::try_from(bytes).ok())
            .unwrap_or(HeadLimits::DEFAULT.bytes),
        fields: fields
            .and_then(|fields| u16::try_from(fields.value).ok())
            .unwrap_or(HeadLimits::DEFAULT.fields),
    }
}
