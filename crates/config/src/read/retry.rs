//! When requests to an upstream are sent once more.

use fairwater_message::GrpcCode;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting, Word, words};
use crate::model::{Repeatable, Retry};
use crate::read::limit::DAY_MS;
use crate::read::{header, statuses};
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::Spanned;

/// An exchange remembers eight endpoints that it tried.
const RETRIES_MAX: u32 = 7;
/// Below it a reply says that nothing is wrong, or is none yet.
const STATUS_MIN: u16 = 400;

pub(super) static RETRY: declare::Table = declare::Table {
    title: "Retries",
    settings: &[
        Setting {
            name: "retries",
            kind: Kind::Integer { min: 0, max: RETRIES_MAX },
            absent: Absent::Default("2"),
            meaning: "further endpoints that are tried where that does no harm. More would multiply \
                      the load when it hurts most.",
            example: "retries = 2",
        },
        Setting {
            name: "retry_status",
            kind: Kind::OneOrMore(&statuses::STATUS),
            absent: Absent::Otherwise("none"),
            meaning: "replies that are as good as none: with such a status another endpoint is tried \
                      and the reply dropped, for requests that may be sent twice. One with a \
                      `Retry-After` above 0 goes to the client.",
            example: "retry_status = [502, \"503-504\"]",
        },
        Setting {
            name: "retry_unsafe",
            kind: Kind::Either(&Kind::Boolean, &Kind::Text("header")),
            absent: Absent::Default("false"),
            meaning: "whether requests are sent twice although their method (`POST`, `PATCH`) does not \
                      say that it does no harm: all of them, or those that have this header. A body of more than \
                      16 KiB can be sent again only if `buffer_requests` holds it. [Messages](messages.md#what-is-sent-again) \
                      have no headers: `true` holds for them.",
            example: "retry_unsafe = \"Idempotency-Key\"",
        },
        Setting {
            name: "retry_grpc",
            kind: Kind::OneOrMore(&Kind::Choice(GRPC_WORDS)),
            absent: Absent::Otherwise("none"),
            meaning: "calls of gRPC that an endpoint ends with one of these before any message are \
                      tried at another, as far as `retries` goes. List only what says that nothing \
                      was done.",
            example: "retry_grpc = [\"unavailable\"]",
        },
        Setting {
            name: "try_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: DAY_MS },
            absent: Absent::Otherwise("`response_timeout`"),
            meaning: "until the head of a reply, while another endpoint can be tried instead; the last \
                      one has `response_timeout`",
            example: "try_timeout = \"2s\"",
        },
        Setting {
            name: "retry_backoff",
            kind: Kind::Duration { min_ms: 0, max_ms: 10_000 },
            absent: Absent::Default("\"25ms\""),
            meaning: "the longest pause before the second retry, and before one that follows from \
                      `retry_status`: anything from nothing to this, and twice as much each time, up \
                      to ten times as much",
            example: "retry_backoff = \"25ms\"",
        },
    ],
    shared: &[],
    notes: "",
};

const GRPC_WORDS: &[Word] = words![
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated"
];

pub(super) fn read(table: &Table<'_>, report: &mut Report) -> Retry {
    let mut retry = Retry::default();
    let count = table.get("retries").and_then(|node| node.integer(report));
    retry.count = count.map_or(retry.count, |read| read.value);
    let codes = table.get("retry_grpc").and_then(|node| node.one_or_more(report));
    for node in codes.unwrap_or_default() {
        if let Some(code) = node.choice(&GrpcCode::ALL, report) {
            retry.grpc = retry.grpc.with(code);
        }
    }
    if let Some(node) = table.get("retry_status") {
        retry.statuses = statuses::read(node, STATUS_MIN, &code::BAD_RETRY, report);
    }
    if let Some(node) = table.get("retry_unsafe") {
        retry.unsafe_ones = repeatable(node, report);
    }
    retry.patience = table.get("try_timeout").and_then(|node| node.duration(report));
    let backoff = table.get("retry_backoff").and_then(|node| node.duration(report));
    retry.backoff = backoff.unwrap_or(retry.backoff);
    if retry.count == 0 {
        for name in ["retry_status", "retry_unsafe", "retry_grpc", "try_timeout", "retry_backoff"] {
            warn_of_none(table, name, report);
        }
    }
    retry
}

fn repeatable(node: Node<'_>, report: &mut Report) -> Repeatable {
    if !node.is_text() {
        return match node.boolean(report) {
            Some(true) => Repeatable::All,
            _ => Repeatable::None,
        };
    }
    let Some(name) = node.string(report) else { return Repeatable::None };
    match header::is_name(&Spanned::new(&*name.value, name.span), report) {
        true => Repeatable::Marked(name.value.to_ascii_lowercase()),
        false => Repeatable::None,
    }
}

fn warn_of_none(table: &Table<'_>, name: &str, report: &mut Report) {
    let Some(span) = table.key_span(name) else { return };
    let message = format!("`{name}` has no effect where `retries` is 0");
    report.add(&code::NO_RETRIES, span, message, "", "remove it, or write `retries = 2`");
}
