//! `health` and `agent` of an upstream: what is asked of its endpoints.

use fairwater_message::address::AddressError;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting, Word};
use crate::model::{Agent, Check, CheckKind, Health, HttpCheck};
use crate::read::bytes::{self, BYTES};
use crate::read::{durations, header, statuses, text};
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::{Span, Spanned};

/// Faster ones would be load, and tell nothing more.
const CHECK_INTERVAL_MS_MIN: u64 = 10;
const CHECK_INTERVAL_MS_MAX: u64 = 3_600_000;
const CHECK_TIMEOUT_MS_MAX: u64 = 60_000;
/// A check that needs more results in a row should ask more seldom.
const CHECK_RESULTS_MAX: u32 = 100;
/// Bytes that are sent or looked for; a check is no place for more.
const CHECK_BYTES_MAX: usize = 4096;
/// Of a reply to a check.
const CHECK_BODY_BYTES_MAX: u64 = 1 << 20;

pub(super) static HEALTH: declare::Table = declare::Table {
    title: "[upstreams.NAME.health]",
    settings: &[
        Setting {
            name: "type",
            kind: Kind::Choice(TYPE_WORDS),
            absent: Absent::Default("\"http\""),
            meaning: "what an endpoint has to do",
            example: "type = \"http\"",
        },
        Setting {
            name: "path",
            kind: Kind::Text("the path of a request"),
            absent: Absent::Default("\"/\""),
            meaning: "`http`: what is asked for, with a query if there is one",
            example: "path = \"/healthz\"",
        },
        Setting {
            name: "method",
            kind: Kind::Text("method"),
            absent: Absent::Default("\"GET\""),
            meaning: "`http`: how",
            example: "method = \"HEAD\"",
        },
        Setting {
            name: "host",
            kind: Kind::Text("a host with or without port"),
            absent: Absent::Otherwise("`host` of the upstream, or the address of the endpoint"),
            meaning: "`http`: the `Host` of the request",
            example: "host = \"app.internal\"",
        },
        Setting {
            name: "headers",
            kind: Kind::Map(&Kind::Text("text")),
            absent: Absent::Otherwise("none"),
            meaning: "`http`: further headers of the request",
            example: "headers = { x-probe = \"1\" }",
        },
        Setting {
            name: "status",
            kind: Kind::OneOrMore(&statuses::STATUS),
            absent: Absent::Default("\"200-399\""),
            meaning: "`http`: statuses that are good",
            example: "status = [200, 204, \"300-399\"]",
        },
        Setting {
            name: "body",
            kind: Kind::Text("text"),
            absent: Absent::Otherwise("any will do"),
            meaning: "`http`: what the body has to contain, within `max_body`",
            example: "body = \"ok\"",
        },
        Setting {
            name: "advice_header",
            kind: Kind::Text("name"),
            absent: Absent::Otherwise("endpoints have no say"),
            meaning: "`http`: the header of a good reply in which an endpoint asks for a weight or \
                      for rest, in the words of [an agent](resilience.md#what-endpoints-ask-for)",
            example: "advice_header = \"x-advice\"",
        },
        Setting {
            name: "send",
            kind: BYTES,
            absent: Absent::Otherwise("nothing"),
            meaning: "`bytes` and `udp`: what is sent first",
            example: "send = \"stats\\r\\n\"",
        },
        Setting {
            name: "expect",
            kind: BYTES,
            absent: Absent::Otherwise("required for `bytes` and `udp`"),
            meaning: "`bytes` and `udp`: what the answer has to contain, within `max_body`",
            example: "expect = \"STAT\"",
        },
        Setting {
            name: "service",
            kind: Kind::Text("name"),
            absent: Absent::Otherwise("the server as a whole"),
            meaning: "`grpc`: whose health is asked for",
            example: "service = \"shop.Orders\"",
        },
        Setting {
            name: "port",
            kind: Kind::Integer { min: 1, max: 65_535 },
            absent: Absent::Otherwise("that of the endpoint"),
            meaning: "where checks go, on the host of the endpoint. An endpoint can have an address \
                      of its own for it: `check`.",
            example: "port = 9000",
        },
        Setting {
            name: "interval",
            kind: Kind::Duration { min_ms: CHECK_INTERVAL_MS_MIN, max_ms: CHECK_INTERVAL_MS_MAX },
            absent: Absent::Default("\"2s\""),
            meaning: "from one check to the next, give or take a tenth, so that checks of many \
                      endpoints and proxies spread out",
            example: "interval = \"2s\"",
        },
        Setting {
            name: "fast_interval",
            kind: Kind::Duration { min_ms: CHECK_INTERVAL_MS_MIN, max_ms: CHECK_INTERVAL_MS_MAX },
            absent: Absent::Default("\"500ms\""),
            meaning: "the same while the last results say otherwise than those before, and while no \
                      endpoint is good",
            example: "fast_interval = \"500ms\"",
        },
        Setting {
            name: "timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: CHECK_TIMEOUT_MS_MAX },
            absent: Absent::Default("\"1s\""),
            meaning: "for each step of a check: to connect, to shake hands, for the next bytes",
            example: "timeout = \"1s\"",
        },
        Setting {
            name: "deadline",
            kind: Kind::Duration { min_ms: 1, max_ms: CHECK_TIMEOUT_MS_MAX },
            absent: Absent::Default("\"2s\""),
            meaning: "for all of a check, so that an answer that drips in is none",
            example: "deadline = \"2s\"",
        },
        Setting {
            name: "max_body",
            kind: Kind::Size { min: 1, max: CHECK_BODY_BYTES_MAX },
            absent: Absent::Default("\"64KiB\""),
            meaning: "of an answer that is read; with more of it a check has seen enough",
            example: "max_body = \"64KiB\"",
        },
        Setting {
            name: "rise",
            kind: Kind::Integer { min: 1, max: CHECK_RESULTS_MAX },
            absent: Absent::Default("2"),
            meaning: "good results in a row that bring an endpoint back. The first result of one \
                      that is not known yet decides alone.",
            example: "rise = 2",
        },
        Setting {
            name: "fall",
            kind: Kind::Integer { min: 1, max: CHECK_RESULTS_MAX },
            absent: Absent::Default("3"),
            meaning: "bad results in a row that take an endpoint out",
            example: "fall = 3",
        },
        Setting {
            name: "mandatory",
            kind: Kind::Boolean,
            absent: Absent::Default("false"),
            meaning: "an endpoint gets no traffic before a check has found it good, even if there is \
                      no other",
            example: "mandatory = true",
        },
    ],
    shared: &[],
    notes: include_str!("../../reference/health.md"),
};

pub(super) static AGENT: declare::Table = declare::Table {
    title: "[upstreams.NAME.agent]",
    settings: &[
        Setting {
            name: "port",
            kind: Kind::Integer { min: 1, max: 65_535 },
            absent: Absent::Required,
            meaning: "where it listens, on the host of each endpoint",
            example: "port = 9100",
        },
        Setting {
            name: "send",
            kind: BYTES,
            absent: Absent::Otherwise("nothing"),
            meaning: "what it is sent first",
            example: "send = \"app\\n\"",
        },
        Setting {
            name: "interval",
            kind: Kind::Duration { min_ms: CHECK_INTERVAL_MS_MIN, max_ms: CHECK_INTERVAL_MS_MAX },
            absent: Absent::Default("\"2s\""),
            meaning: "how often it is asked, give or take a tenth",
            example: "interval = \"2s\"",
        },
        Setting {
            name: "timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: CHECK_TIMEOUT_MS_MAX },
            absent: Absent::Default("\"1s\""),
            meaning: "for its answer. An agent that gives none changes nothing.",
            example: "timeout = \"1s\"",
        },
    ],
    shared: &[],
    notes: "",
};

const TYPE_WORDS: &[Word] = &[
    Word {
        word: "http",
        meaning: "answer a request with a good status (and body). Over TLS if \
                                   the upstream has `tls`; in HTTP/2 if it has `http2 = true`.",
    },
    Word { word: "tcp", meaning: "accept a connection" },
    Word {
        word: "tls",
        meaning: "shake hands, with a certificate that the upstream's `tls` takes; \
                                  without `tls` any will do",
    },
    Word {
        word: "bytes",
        meaning: "send some bytes, perhaps after others. Over TLS if the upstream \
                                    has `tls`.",
    },
    Word {
        word: "udp",
        meaning: "answer a datagram with one that has some bytes in it, within `timeout`",
    },
    Word { word: "redis", meaning: "answer `PING`; one that asks for a password is there as well" },
    Word { word: "grpc", meaning: "say `SERVING` in `grpc.health.v1.Health/Check`" },
];

/// Which settings belong to a type, beside those that all have.
const OF_TYPE: &[(&str, &[&str])] = &[
    ("http", &["path", "method", "host", "headers", "status", "body", "advice_header"]),
    ("tcp", &[]),
    ("tls", &[]),
    ("bytes", &["send", "expect"]),
    ("udp", &["send", "expect"]),
    ("redis", &[]),
    ("grpc", &["service"]),
];

pub(super) fn of_upstream(table: &Table<'_>, report: &mut Report) -> Option<Health> {
    let node = table.get("health")?;
    if node.is_table() {
        let table = node.table(inner(table, "health"), &HEALTH, report)?;
        return Some(health(&table, report));
    }
    let path = text::parsed(node, &code::BAD_CHECK, path_or_type, report)?;
    Some(Health::http(&path.value))
}

/// The title of a table below another.
fn inner(table: &Table<'_>, name: &str) -> String {
    format!("{}.{name}]", table.title().trim_end_matches(']'))
}

fn health(table: &Table<'_>, report: &mut Report) -> Health {
    let types = OF_TYPE.iter().map(|(name, _)| (*name, *name)).collect::<Vec<_>>();
    let kind = table.get("type").and_then(|node| node.choice(&types, report)).unwrap_or("http");
    let own = OF_TYPE.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, names)| names);
    let mut told = own.to_vec();
    for (owner, names) in OF_TYPE {
        for name in *names {
            if told.contains(name) {
                continue;
            }
            told.push(name);
            let Some(span) = table.key_span(name) else { continue };
            let message = format!("`{name}` has no effect on a check of type `{kind}`");
            let help = format!("remove the line, or set `type = \"{owner}\"`");
            report.add(&code::BAD_CHECK, span, message, "", help);
        }
    }
    let kind = match kind {
        "tcp" => CheckKind::Tcp,
        "tls" => CheckKind::Tls,
        "redis" => CheckKind::Redis,
        "bytes" => {
            let (send, expect) = exchange(table, report);
            CheckKind::Bytes { send, expect }
        }
        "udp" => {
            let (send, expect) = exchange(table, report);
            CheckKind::Udp { send, expect }
        }
        "grpc" => CheckKind::Grpc { service: service(table, report) },
        _ => CheckKind::Http(http(table, report)),
    };
    let mut health = Health::new(kind);
    pace(table, &mut health.check, report);
    for (name, count) in [("rise", &mut health.rise), ("fall", &mut health.fall)] {
        let read = table.get(name).and_then(|node| node.integer(report));
        *count = read.map_or(*count, |read| read.value);
    }
    let mandatory = table.get("mandatory").and_then(|node| node.boolean(report));
    health.is_mandatory = mandatory.unwrap_or(false);
    health
}

/// How often, where, and how long.
fn pace(table: &Table<'_>, check: &mut Check, report: &mut Report) {
    let port = table.get("port").and_then(|node| node.integer(report));
    check.port = port.and_then(|read| u16::try_from(read.value).ok());
    let times = [
        ("interval", &mut check.interval),
        ("fast_interval", &mut check.fast_interval),
        ("timeout", &mut check.timeout),
        ("deadline", &mut check.deadline),
    ];
    durations::read(table, times, report);
    let size = table.get("max_body").and_then(|node| node.size(report));
    check.body_bytes_max = size.unwrap_or(check.body_bytes_max);
    for (short, long) in [
        (("fast_interval", &mut check.fast_interval), ("interval", &mut check.interval)),
        (("timeout", &mut check.timeout), ("deadline", &mut check.deadline)),
    ] {
        durations::order(table, short, long, &code::BAD_CHECK, report);
    }
}

fn http(table: &Table<'_>, report: &mut Report) -> HttpCheck {
    let read = table.get("path").and_then(|node| path(node, report));
    let mut check = HttpCheck::new(read.as_ref().map_or("/", |path| &path.value));
    if let Some(text) = table.get("method").and_then(|node| node.string(report)) {
        let is_method = header::is_token(&text.value) && !text.value.contains(char::is_lowercase);
        if !is_method || &*text.value == "CONNECT" {
            let message = format!("`{}` is no method of a check", text.value);
            let help = "write `GET`, `HEAD` or `OPTIONS`";
            report.add(&code::BAD_METHOD, text.span, message, "", help);
        }
        check.method = text.value.into_owned();
    }
    let host = table.get("host");
    let host = host.and_then(|n| text::parsed(n, &code::BAD_HOST, text::host_and_port, report));
    check.host = host.map(|host| host.value);
    check.headers = headers(table, report);
    if let Some(node) = table.get("status") {
        check.statuses = statuses::read(node, 200, &code::BAD_CHECK, report);
    }
    let body = table.get("body").and_then(|node| text::bounded(node, CHECK_BYTES_MAX, report));
    check.body = body.and_then(|body| not_empty(body.map(|text| text.into_owned()), report));
    let advice = table.get("advice_header").and_then(|node| node.string(report));
    check.advice_header = advice.and_then(|name| {
        let is_name = header::is_name(&Spanned::new(&*name.value, name.span), report);
        is_name.then(|| name.value.to_ascii_lowercase())
    });
    check
}

/// Headers that frame the request, or are settings of their own.
const OWN_HEADERS: [&str; 6] =
    ["host", "connection", "content-length", "transfer-encoding", "upgrade", "te"];

fn headers(table: &Table<'_>, report: &mut Report) -> Vec<(String, String)> {
    let entries = table.get("headers").and_then(|node| node.named(report)).unwrap_or_default();
    let mut headers = Vec::new();
    for (name, node) in entries {
        let lower = name.value.to_ascii_lowercase();
        if OWN_HEADERS.contains(&&*lower) {
            let message = format!("`{}` is written by Fairwater itself", name.value);
            let help = match &*lower {
                "host" => "remove it, and set `host`",
                _ => "remove it",
            };
            report.add(&code::FIXED_HEADER, name.span, message, "", help);
        } else if header::is_name(&name, report)
            && let Some(value) = header::value(node, report)
        {
            headers.push((lower, value.value));
        }
    }
    headers
}

/// What is sent, and what comes back.
fn exchange(table: &Table<'_>, report: &mut Report) -> (Vec<u8>, Vec<u8>) {
    let send = table.get("send").and_then(|node| bytes(node, report));
    let expect = table.require("expect", report);
    let expect = expect.and_then(|node| bytes(node, report));
    (send.unwrap_or_default(), expect.unwrap_or_default())
}

fn bytes(node: Node<'_>, report: &mut Report) -> Option<Vec<u8>> {
    let bytes = bytes::read(node, CHECK_BYTES_MAX, &code::BAD_CHECK, report)?;
    if bytes.value.is_empty() {
        refuse_empty(bytes.span, report);
        return None;
    }
    Some(bytes.value.into_inner())
}

fn not_empty(text: Spanned<String>, report: &mut Report) -> Option<String> {
    if text.value.is_empty() {
        refuse_empty(text.span, report);
        return None;
    }
    Some(text.value)
}

fn refuse_empty(span: Span, report: &mut Report) {
    let help = "write some, or remove the line";
    report.add(&code::BAD_CHECK, span, "the text is empty", "", help);
}

fn service(table: &Table<'_>, report: &mut Report) -> String {
    /// Its length is one byte in the message that asks.
    const SERVICE_BYTES_MAX: usize = 127;
    let text = table.get("service").and_then(|n| text::bounded(n, SERVICE_BYTES_MAX, report));
    text.map_or_else(String::new, |text| text.value.into_owned())
}

/// What stands behind the method in a request.
fn path(node: Node<'_>, report: &mut Report) -> Option<Spanned<String>> {
    text::parsed(node, &code::BAD_CHECK, parse_path, report)
}

fn parse_path(text: &str) -> Result<String, AddressError> {
    let is_path = text.starts_with('/')
        && !text.contains('#')
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path {
        return Ok(text.to_owned());
    }
    let remedy = "write it as it stands in a request, as in `/healthz` or `/ping?full=1`";
    Err(AddressError::new(format!("`{text}` is not the path of a request"), remedy))
}

/// As above, for who writes a type where a path is wanted.
fn path_or_type(text: &str) -> Result<String, AddressError> {
    if OF_TYPE.iter().all(|(name, _)| *name != text) {
        return parse_path(text);
    }
    let example = match text {
        "bytes" | "udp" => {
            format!("{{ type = \"{text}\", send = \"PING\", expect = \"PONG\" }}")
        }
        "http" => "\"/healthz\"".to_owned(),
        _ => format!("{{ type = \"{text}\" }}"),
    };
    let problem = format!("`{text}` is the type of a check, and a path is expected here");
    Err(AddressError::new(problem, format!("write `health = {example}`")))
}

pub(super) fn agent(table: &Table<'_>, report: &mut Report) -> Option<Agent> {
    let node = table.get("agent")?;
    let table = node.table(inner(table, "agent"), &AGENT, report)?;
    let port = table.require("port", report).and_then(|node| node.integer(report));
    let mut agent = Agent::new(u16::try_from(port?.value).ok()?);
    agent.send = table.get("send").and_then(|node| bytes(node, report)).unwrap_or_default();
    for (name, duration) in [("interval", &mut agent.interval), ("timeout", &mut agent.timeout)] {
        let read = table.get(name).and_then(|node| node.duration(report));
        *duration = read.unwrap_or(*duration);
    }
    Some(agent)
}
