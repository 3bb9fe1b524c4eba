//! `[upstreams.NAME]`.

use std::num::NonZeroU32;

use fairwater_message::address::{AddressError, Endpoint};

use crate::code;
use crate::declare::{self, Absent, Kind, Setting, Word, words};
use crate::model::{
    Balance, CheckKind, EndpointRole, HostRule, Upstream, UpstreamEndpoint, WEIGHT_DEFAULT,
    WEIGHT_MAX,
};
use crate::read::crowd::{self, CROWD, MAX_CONCURRENCY};
use crate::read::health::{self, AGENT, HEALTH};
use crate::read::limit::{self, DAY_MS, MAX_HEAD, MAX_HEADERS, WEEK_MS};
use crate::read::outlier::{self, OUTLIER};
use crate::read::pool::{self, POOL};
use crate::read::proxy_protocol::{self, VERSION_WORDS};
use crate::read::retry::{self, RETRY};
use crate::read::sticky::{self, STICKY_KIND};
use crate::read::text;
use crate::read::tls::{self, UPSTREAM_TLS};
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::{Span, Spanned};

/// A zone or a region each; more would be a list.
const PRIORITY_MAX: u32 = 255;

/// Less than comes with the head anyway.
const BUFFERED_BYTES_MIN: u64 = 1024;
/// A few of these are all that a thread may hold.
const BUFFERED_BYTES_MAX: u64 = 16 << 20;

pub(super) static UPSTREAM: declare::Table = declare::Table {
    title: "[upstreams.NAME]",
    settings: &[
        Setting {
            name: "endpoints",
            kind: Kind::List(&Kind::Either(&Kind::Text("address"), &Kind::Table(&ENDPOINT))),
            absent: Absent::Otherwise("required, unless there are `apps`"),
            meaning: "who answers",
            example: "endpoints = [\"127.0.0.1:9001\"]",
        },
        Setting {
            name: "apps",
            kind: Kind::Text("name"),
            absent: Absent::Otherwise("none"),
            meaning: "the app of [apps.NAME] whose processes answer, each once it is ready",
            example: "apps = \"php\"",
        },
        Setting {
            name: "balance",
            kind: Kind::Choice(BALANCE_WORDS),
            absent: Absent::Otherwise(
                "`round_robin`; `source_hash` where [only UDP](udp.md) comes in",
            ),
            meaning: "how one is picked",
            example: "balance = \"round_robin\"",
        },
        Setting {
            name: "buffer_requests",
            kind: Kind::Size { min: BUFFERED_BYTES_MIN, max: BUFFERED_BYTES_MAX },
            absent: Absent::Otherwise("bodies are sent on as they come"),
            meaning: "the body of a request is read up to this size before an endpoint is picked, so \
                      that clients that send slowly hold none. See \
                      [resilience.md](resilience.md#slow-uploads). No effect on TCP, gRPC and WebSocket.",
            example: "buffer_requests = \"64KiB\"",
        },
        Setting {
            name: "host",
            kind: Kind::WordOrText(words!["keep", "endpoint"], "a host with or without port"),
            absent: Absent::Default("\"keep\""),
            meaning: "the `Host` that endpoints get: the client's, their own address (`localhost` \
                      on a Unix socket), or this one",
            example: "host = \"keep\"",
        },
        Setting {
            name: "tls",
            kind: Kind::Either(&Kind::Boolean, &Kind::Table(&UPSTREAM_TLS)),
            absent: Absent::Default("false"),
            meaning: "endpoints speak TLS, and their certificates are verified",
            example: "tls = true",
        },
        Setting {
            name: "http2",
            kind: Kind::Boolean,
            absent: Absent::Otherwise(
                "over TLS whatever the endpoint agrees to (ALPN), in clear HTTP/1.1",
            ),
            meaning: "endpoints are spoken to in HTTP/2, many requests over one connection: in clear \
                      without asking, over TLS if they agree; `false` is HTTP/1.1 in any case. See \
                      [HTTP/2](http2.md).",
            example: "http2 = true",
        },
        Setting {
            name: "proxy_protocol",
            kind: Kind::Choice(VERSION_WORDS),
            absent: Absent::Otherwise("endpoints are told nothing"),
            meaning: "a connection begins with the client's address, in this version of [the PROXY \
                      protocol](proxy-protocol.md), before TLS. It serves one client and one \
                      request: `keep_alive` has no effect.",
            example: "proxy_protocol = \"v2\"",
        },
        Setting {
            name: "keep_alive",
            kind: Kind::Boolean,
            absent: Absent::Default("true"),
            meaning: "use a connection for more than one request",
            example: "keep_alive = true",
        },
        Setting {
            name: "max_requests",
            kind: Kind::Integer { min: 1, max: u32::MAX },
            absent: Absent::Otherwise("no limit"),
            meaning: "requests, or [messages](messages.md), after which a connection is closed",
            example: "max_requests = 1000",
        },
        Setting {
            name: "max_connection_age",
            kind: Kind::Duration { min_ms: 1000, max_ms: WEEK_MS },
            absent: Absent::Otherwise("no limit"),
            meaning: "how old a connection may get before another takes its place; requests on it are \
                      finished. Where a name or a balancer stands for several servers, new ones \
                      get their share then. No effect on TCP but for messages.",
            example: "max_connection_age = \"1h\"",
        },
        Setting {
            name: "connect_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: 60_000 },
            absent: Absent::Default("\"2s\""),
            meaning: "to connect to an address of an endpoint. A host that does not answer in two \
                      seconds is not there; another endpoint may be.",
            example: "connect_timeout = \"2s\"",
        },
        Setting {
            name: "response_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: DAY_MS },
            absent: Absent::Default("\"60s\""),
            meaning: "from the end of a request to the complete head of its reply. Long enough for \
                      slow pages, short enough for a client that waits. No effect on TCP but for \
                      [messages](messages.md#times), where it is until the first byte of the reply.",
            example: "response_timeout = \"60s\"",
        },
        Setting {
            name: "idle_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: DAY_MS },
            absent: Absent::Default("\"4s\""),
            meaning: "a connection that waits for its next request; half of what the endpoint promises \
                      in `Keep-Alive: timeout`, if that is less. Node closes after 5 s, and who closes \
                      first avoids sending into a closed connection. No effect on TCP but for messages.",
            example: "idle_timeout = \"4s\"",
        },
        Setting {
            name: "sticky",
            kind: STICKY_KIND,
            absent: Absent::Otherwise("each request goes where `balance` says"),
            meaning: "requests of one client stay with one endpoint while that can serve: by a cookie \
                      that clients are given, or by their address, as `balance = \"source_hash\"` \
                      finds it. See [resilience.md](resilience.md#sessions-that-stay).",
            example: "sticky = \"cookie\"",
        },
        Setting {
            name: "health",
            kind: Kind::Either(&Kind::Text("the path of a request"), &Kind::Table(&HEALTH)),
            absent: Absent::Otherwise("no checks"),
            meaning: "asks endpoints whether they are well, and keeps traffic from those that are not. \
                      See [resilience.md](resilience.md).",
            example: "health = \"/healthz\"",
        },
        Setting {
            name: "agent",
            kind: Kind::Table(&AGENT),
            absent: Absent::Otherwise("none"),
            meaning: "a program beside each endpoint that sets its weight, or wants it drained",
            example: "agent = { port = 9100 }",
        },
        Setting {
            name: "outlier",
            kind: Kind::Either(&Kind::Boolean, &Kind::Table(&OUTLIER)),
            absent: Absent::Default("true"),
            meaning: "leaves an endpoint alone for a while when its requests fail and those of others \
                      do not",
            example: "outlier = { consecutive_failures = 3 }",
        },
        Setting {
            name: "slow_start",
            kind: Kind::Duration { min_ms: 0, max_ms: 3_600_000 },
            absent: Absent::Default("\"0s\""),
            meaning: "how long an endpoint that comes back, or is new, has less than its share: it \
                      grows in sixteen steps. For endpoints that have to warm up.",
            example: "slow_start = \"30s\"",
        },
        Setting {
            name: "panic_threshold",
            kind: Kind::Integer { min: 0, max: 100 },
            absent: Absent::Default("0"),
            meaning: "percent of good endpoints below which all get traffic, whatever checks say: a few \
                      would break down under the load of many. 0 is never.",
            example: "panic_threshold = 50",
        },
        Setting {
            name: "relaxed_responses",
            kind: Kind::Boolean,
            absent: Absent::Default("false"),
            meaning: "accept replies with bare line feeds and folded headers. For endpoints of \
                      your own that cannot be mended: see [SECURITY.md](../SECURITY.md).",
            example: "relaxed_responses = false",
        },
        Setting {
            name: "max_head",
            kind: MAX_HEAD,
            absent: Absent::Default("\"32KiB\""),
            meaning: "the head of a reply, first line included; more is a 502",
            example: "max_head = \"32KiB\"",
        },
        Setting {
            name: "max_headers",
            kind: MAX_HEADERS,
            absent: Absent::Default("128"),
            meaning: "header fields of a reply; more is a 502",
            example: "max_headers = 128",
        },
    ],
    shared: &[&CROWD, &RETRY, &POOL],
    notes: include_str!("../../reference/upstreams.md"),
};

static ENDPOINT: declare::Table = declare::Table {
    title: "an endpoint",
    settings: &[
        Setting {
            name: "address",
            kind: Kind::Text("address"),
            absent: Absent::Required,
            meaning: "where it is",
            example: "address = \"127.0.0.1:9002\"",
        },
        Setting {
            name: "weight",
            kind: Kind::Integer { min: 0, max: WEIGHT_MAX as u32 },
            absent: Absent::Default("1"),
            meaning: "its share of the traffic; 0 takes none, and finishes what it has",
            example: "weight = 3",
        },
        Setting {
            name: "backup",
            kind: Kind::Boolean,
            absent: Absent::Default("false"),
            meaning: "gets traffic only while no other endpoint is good",
            example: "backup = true",
        },
        Setting {
            name: "priority",
            kind: Kind::Integer { min: 0, max: PRIORITY_MAX },
            absent: Absent::Default("0"),
            meaning: "endpoints of the lowest number that has good ones get all traffic, backups apart",
            example: "priority = 1",
        },
        Setting {
            name: "max_concurrency",
            kind: MAX_CONCURRENCY,
            absent: Absent::Otherwise("no limit"),
            meaning: "requests (on TCP: connections) that it has at a time; while it has so many, \
                      others get them, or they wait",
            example: "max_concurrency = 10",
        },
        Setting {
            name: "check",
            kind: Kind::Text("address"),
            absent: Absent::Otherwise("its own address"),
            meaning: "where it is checked: an IP address with a port, or a Unix socket",
            example: "check = \"127.0.0.1:9000\"",
        },
    ],
    shared: &[],
    notes: "",
};

const BALANCE_WORDS: &[Word] = &[
    Word { word: "round_robin", meaning: "in turn; over a full turn each gets exactly its weight" },
    Word { word: "random", meaning: "by chance, in proportion to the weights" },
    Word {
        word: "least_connections",
        meaning: "the one with the fewest exchanges in flight for its weight, counted over all \
                  threads; equal ones in turn, heavy ones more often. For requests that take \
                  differently long, and for long connections.",
    },
    Word {
        word: "source_hash",
        meaning: "by the client's address: a client stays with its endpoint, and if one is removed \
                  only its clients move. Behind trusted proxies the address is the last one in \
                  `X-Forwarded-For` that is not trusted; for TCP it is the peer's. With `proxy_protocol` the client that was \
                  announced takes the place of the peer. All clients on \
                  Unix sockets count as one.",
    },
    Word {
        word: "key_hash",
        meaning: "[messages](messages.md) by their `key`: those with one key go to one endpoint, and \
                  if one is removed only its keys move",
    },
];

const BALANCES: [(&str, Balance); 5] = [
    ("round_robin", Balance::RoundRobin),
    ("random", Balance::Random),
    ("least_connections", Balance::LeastConnections),
    ("source_hash", Balance::SourceHash),
    ("key_hash", Balance::KeyHash),
];

/// Settings that have no effect where others or the endpoints are not so that they could.
const DOUBTFUL: [&str; 9] = [
    "max_queue",
    "queue_timeout",
    "retries",
    "retry_status",
    "retry_unsafe",
    "retry_grpc",
    "try_timeout",
    "retry_backoff",
    "buffer_requests",
];

pub(super) fn read(name: Spanned<&str>, node: Node<'_>, report: &mut Report) -> Upstream {
    let mut upstream = Upstream::new(name.value, []);
    upstream.name.span = name.span;
    let Some(table) = node.table(format!("[upstreams.{}]", name.value), &UPSTREAM, report) else {
        return upstream;
    };
    upstream.apps = table.get("apps").map(|node| text::reference(node, report));
    upstream.endpoints = endpoints(&table, upstream.apps.is_some(), report);
    let balance = table.get("balance").and_then(|node| node.choice(&BALANCES, report));
    upstream.balance = balance.unwrap_or_default();
    upstream.has_balance = balance.is_some();
    upstream.sticky = sticky::of_upstream(name.value, &table, report);
    sticky::check_balance(upstream.sticky.as_ref(), balance, &table, report);
    upstream.max_connections = limit(&table, "max_connections", report);
    let buffered = table.get("buffer_requests").and_then(|node| node.size(report));
    upstream.buffer_requests = buffered.and_then(|bytes| u32::try_from(bytes).ok());
    upstream.max_requests = limit(&table, "max_requests", report);
    let age = table.get("max_connection_age");
    upstream.max_connection_age = age.and_then(|node| node.duration(report));
    upstream.host = host(&table, report);
    upstream.tls = tls::of_upstream(&table, report);
    upstream.http2 = table.get("http2").and_then(|node| node.boolean(report));
    upstream.proxy_protocol = proxy_protocol::of_upstream(&table, report);
    let keep_alive = table.get("keep_alive").and_then(|node| node.boolean(report));
    upstream.keep_alive = keep_alive.unwrap_or(true);
    upstream.relaxed_responses = relaxed_responses(&table, report);
    upstream.head = limit::head(&table, report);
    for (name, timeout) in [
        ("connect_timeout", &mut upstream.timeouts.connect),
        ("response_timeout", &mut upstream.timeouts.response),
        ("idle_timeout", &mut upstream.timeouts.idle),
        ("queue_timeout", &mut upstream.timeouts.queue),
    ] {
        let read = table.get(name).and_then(|node| node.duration(report));
        *timeout = read.unwrap_or(*timeout);
    }
    upstream.retry = retry::read(&table, report);
    upstream.crowd = crowd::read(&table, report);
    upstream.circuit_breaker = crowd::breaker(&table, report);
    upstream.health = health::of_upstream(&table, report);
    upstream.agent = health::agent(&table, report);
    upstream.outlier = outlier::read(&table, report);
    let slow_start = table.get("slow_start").and_then(|node| node.duration(report));
    upstream.slow_start = slow_start.unwrap_or_default();
    upstream.panic_threshold = panic_threshold(&table, report);
    upstream.of_grpc = of_grpc(&upstream, &table);
    upstream.pool = pool::read(&table, report);
    let doubtful = DOUBTFUL.iter().map(|name| (*name, table.key_span(name)));
    upstream.doubtful =
        doubtful.filter_map(|(name, span)| Some(Spanned::new(name, span?))).collect();
    upstream
}

/// A check of another port asks another program, which has a version of its own.
fn of_grpc(upstream: &Upstream, table: &Table<'_>) -> Vec<Spanned<&'static str>> {
    let is_asked = upstream.health.as_ref().is_some_and(|health| {
        matches!(health.check.kind, CheckKind::Grpc { .. }) && health.check.port.is_none()
    });
    let has_own = upstream.endpoints.iter().any(|endpoint| endpoint.role.check.is_some());
    let found = [("health", is_asked && !has_own), ("retry_grpc", upstream.retry.count > 0)];
    let named = found.into_iter().filter(|(_, is_there)| *is_there);
    named.filter_map(|(name, _)| Some(Spanned::new(name, table.key_span(name)?))).collect()
}

fn panic_threshold(table: &Table<'_>, report: &mut Report) -> u32 {
    let read = table.get("panic_threshold").and_then(|node| node.integer(report));
    let Some(read) = read else { return 0 };
    if read.value == 100 {
        let message = "one bad endpoint would be enough for all to be used";
        let help = "write less, such as 50";
        report.add(&code::ALWAYS_PANIC, read.span, message, "", help);
    }
    read.value
}

fn endpoints(table: &Table<'_>, has_apps: bool, report: &mut Report) -> Vec<UpstreamEndpoint> {
    let list = match has_apps {
        true => table.get("endpoints"),
        false => table.require("endpoints", report),
    };
    let Some(list) = list else { return Vec::new() };
    let nodes = list.elements(report).unwrap_or_default();
    let endpoints: Vec<_> = nodes.iter().filter_map(|node| endpoint(*node, report)).collect();
    let all_are_read = endpoints.len() == nodes.len() && !nodes.is_empty();
    if all_are_read && endpoints.iter().all(|endpoint| endpoint.weight == 0) {
        let message = format!("every endpoint of {} has weight 0", table.title());
        let help = "give at least one of them a weight above 0";
        report.add(&code::NO_WEIGHT, list.span, message, "none of these takes traffic", help);
    }
    endpoints
}

fn endpoint(node: Node<'_>, report: &mut Report) -> Option<UpstreamEndpoint> {
    let mut weight = WEIGHT_DEFAULT;
    let mut role = EndpointRole::default();
    let mut address = Some(node);
    if node.is_table() {
        let table = node.table("an endpoint".to_owned(), &ENDPOINT, report)?;
        let read = table.get("weight").and_then(|node| node.integer(report));
        weight = read.and_then(|read| u16::try_from(read.value).ok()).unwrap_or(WEIGHT_DEFAULT);
        address = table.require("address", report);
        let backup = table.get("backup").and_then(|node| node.boolean(report));
        role.is_backup = backup.unwrap_or(false);
        let priority = table.get("priority").and_then(|node| node.integer(report));
        role.priority = priority.map_or(0, |read| read.value);
        role.concurrency = crowd::concurrency(&table, report);
        role.check = table.get("check").and_then(|node| check_address(node, report));
    }
    let address = text::parsed(address?, &code::BAD_ADDRESS, Endpoint::parse, report)?;
    Some(UpstreamEndpoint { address, weight, role })
}

/// Names are not looked up for checks alone.
fn check_address(node: Node<'_>, report: &mut Report) -> Option<Endpoint> {
    let parse = |text: &str| match Endpoint::parse(text)? {
        address @ (Endpoint::Ip(_) | Endpoint::Unix(_)) => Ok(address),
        Endpoint::Name { .. } | Endpoint::Service(_) => Err(AddressError::new(
            format!("`{text}` is a name, and checks need an address"),
            "write an IP address with a port, or set `port` in `health` for the same host",
        )),
    };
    text::parsed(node, &code::BAD_ADDRESS, parse, report).map(|address| address.value)
}

fn limit(table: &Table<'_>, name: &str, report: &mut Report) -> Option<Spanned<NonZeroU32>> {
    let read = table.get(name)?.integer(report)?;
    Some(Spanned::new(NonZeroU32::new(read.value)?, read.span))
}

fn host(table: &Table<'_>, report: &mut Report) -> HostRule {
    let parse = |text: &str| match text {
        "keep" => Ok(HostRule::Keep),
        "endpoint" => Ok(HostRule::Endpoint),
        literal => text::host_and_port(literal).map(HostRule::Literal),
    };
    let node = table.get("host");
    let rule = node.and_then(|node| text::parsed(node, &code::BAD_HOST, parse, report));
    rule.map_or_else(HostRule::default, |rule| rule.value)
}

fn relaxed_responses(table: &Table<'_>, report: &mut Report) -> bool {
    let Some(node) = table.get("relaxed_responses") else {
        return false;
    };
    let relaxed = node.boolean(report).unwrap_or(false);
    if relaxed {
        warn_of_relaxed_responses(table.title(), node.span, report);
    }
    relaxed
}

fn warn_of_relaxed_responses(title: &str, span: Span, report: &mut Report) {
    report.add(
        &code::RELAXED_RESPONSES,
        span,
        format!("{title} accepts malformed replies"),
        "bare line feeds and folded headers pass",
        "remove the line once the endpoints send well-formed replies",
    );
}
