//! What an upstream says of its connections for messages.

use std::num::NonZeroU32;

use fairwater_message::frame::Greeting;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting};
use crate::model::Pool;
use crate::read::bytes::{self, BYTES, SECRET_BYTES};
use crate::read::limit::DAY_MS;
use crate::read::on_error::ON_ERROR_BYTES_MAX;
use crate::reader::Table;
use crate::report::Report;
use crate::span::Spanned;

/// More that nobody uses would only cost the endpoint.
const KEPT_MAX: u32 = 1024;

pub(super) static POOL: declare::Table = declare::Table {
    title: "Connections for messages",
    settings: &[
        Setting {
            name: "min_connections",
            kind: Kind::Integer { min: 0, max: KEPT_MAX },
            absent: Absent::Default("0"),
            meaning: "connections for [messages](messages.md) that are kept open to each endpoint, \
                      over all threads",
            example: "min_connections = 4",
        },
        Setting {
            name: "max_connections_per_endpoint",
            kind: Kind::Integer { min: 1, max: u32::MAX },
            absent: Absent::Otherwise("no limit but `max_connections`"),
            meaning: "the same: that are open at the most. At the limit messages wait, for \
                      `queue_timeout` at most.",
            example: "max_connections_per_endpoint = 32",
        },
        Setting {
            name: "on_connect",
            kind: Kind::Table(&ON_CONNECT),
            absent: Absent::Otherwise("the first message is the first that is sent"),
            meaning: "what such a connection begins with, as a login",
            example: "on_connect = { send = \"AUTH secret\\r\\n\", expect = \"+OK\\r\\n\" }",
        },
        Setting {
            name: "reply_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: DAY_MS },
            absent: Absent::Default("\"30s\""),
            meaning: "the rest of the reply to a message, from its first byte; until then it is \
                      `response_timeout`",
            example: "reply_timeout = \"30s\"",
        },
    ],
    shared: &[],
    notes: "",
};

static ON_CONNECT: declare::Table = declare::Table {
    title: "on_connect",
    settings: &[
        Setting {
            name: "send",
            kind: SECRET_BYTES,
            absent: Absent::Required,
            meaning: "what is sent, as it is",
            example: "send = \"AUTH secret\\r\\n\"",
        },
        Setting {
            name: "expect",
            kind: BYTES,
            absent: Absent::Otherwise("nothing is waited for"),
            meaning: "what the endpoint answers, exactly; another answer is a failure of the \
                      connection",
            example: "expect = \"+OK\\r\\n\"",
        },
    ],
    shared: &[],
    notes: "",
};

pub(super) fn read(table: &Table<'_>, report: &mut Report) -> Pool {
    let mut pool = Pool::default();
    let mut number = |name| table.get(name)?.integer(report);
    pool.kept = number("min_connections");
    let max = number("max_connections_per_endpoint");
    pool.max = max.and_then(|read| Some(Spanned::new(NonZeroU32::new(read.value)?, read.span)));
    pool.greeting = greeting(table, report);
    let timeout = table.get("reply_timeout").and_then(|node| node.duration(report));
    pool.reply_timeout = timeout.unwrap_or(pool.reply_timeout);
    let names = declare::Table::names(&POOL);
    pool.written =
        names.filter_map(|name| Some(Spanned::new(name, table.key_span(name)?))).collect();
    pool
}

fn greeting(table: &Table<'_>, report: &mut Report) -> Option<Greeting> {
    let table = table.get("on_connect")?.table("`on_connect`".to_owned(), &ON_CONNECT, report)?;
    let send = table.require("send", report);
    let send =
        send.and_then(|node| bytes::read(node, ON_ERROR_BYTES_MAX, &code::BAD_MESSAGE, report));
    let expect = table
        .get("expect")
        .and_then(|node| bytes::read(node, ON_ERROR_BYTES_MAX, &code::BAD_MESSAGE, report));
    for (name, bytes) in [("send", &send), ("expect", &expect)] {
        let is_empty = bytes.as_ref().is_some_and(|bytes| bytes.value.is_empty());
        if let Some(span) = table.key_span(name).filter(|_| is_empty) {
            let message = format!("`{name}` is empty");
            report.add(&code::BAD_MESSAGE, span, message, "", "write some bytes");
        }
    }
    let expect = expect.map(|bytes| bytes.value.into_inner());
    Some(Greeting { send: send?.value.into_inner(), expect: expect.unwrap_or_default() })
}
