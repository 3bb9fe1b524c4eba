//! `on_error` of a listener for TCP or for messages over it.

use fairwater_message::frame::Framing;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting};
use crate::model::{FrameErrors, OnError, Payload};
use crate::read::bytes::{self, BYTES};
use crate::read::framed::{self, Digits};
use crate::reader::{Node, Table};
use crate::report::Report;

pub(super) const ON_ERROR_KIND: Kind = Kind::Either(&Kind::Text("text"), &Kind::Table(&ON_ERROR));

static ON_ERROR: declare::Table = declare::Table {
    title: "on_error",
    settings: &[
        Setting {
            name: "connect",
            kind: BYTES,
            absent: Absent::Otherwise("the connection is reset"),
            meaning: "no endpoint could be connected to",
            example: "connect = \"Failed to connect backend\"",
        },
        Setting {
            name: "empty",
            kind: BYTES,
            absent: Absent::Otherwise("the connection is closed"),
            meaning: "`tcp` only: the endpoint ended the connection, in order or with a reset, \
                      without having sent a byte to a client that had",
            example: "empty = \"Backend Error\"",
        },
        Setting {
            name: "full",
            kind: BYTES,
            absent: Absent::Otherwise("the connection is closed"),
            meaning: "`framed` only: nothing came free in time, or too many wait for it",
            example: "full = \"Busy\"",
        },
        Setting {
            name: "timeout",
            kind: BYTES,
            absent: Absent::Otherwise("the connection is closed"),
            meaning: "`framed` only: no reply in time",
            example: "timeout = \"Backend Timeout\"",
        },
        Setting {
            name: "closed",
            kind: BYTES,
            absent: Absent::Otherwise("the connection is closed"),
            meaning: "`framed` only: the endpoint ended the connection, or broke the rules of \
                      `reply_frame`, before the end of its reply",
            example: "closed = \"Backend Error\"",
        },
    ],
    shared: &[],
    notes: include_str!("../../reference/on_error.md"),
};

/// A message for a person or a program that was cut off, not a page.
pub(super) const ON_ERROR_BYTES_MAX: usize = 16 * 1024;

pub(super) fn of_tcp(table: &Table<'_>, report: &mut Report) -> OnError {
    let Some(node) = table.get("on_error") else { return OnError::default() };
    let mut read = |node| {
        let bytes = bytes::read(node, ON_ERROR_BYTES_MAX, &code::BAD_MESSAGE, report)?;
        Some(bytes.value.into_inner())
    };
    if node.is_text() {
        let all = read(node);
        return OnError { connect: all.clone(), empty: all };
    }
    let Some(table) = open(node, &["full", "timeout", "closed"], "tcp", report) else {
        return OnError::default();
    };
    let mut read = |name| {
        let bytes = bytes::read(table.get(name)?, ON_ERROR_BYTES_MAX, &code::BAD_MESSAGE, report)?;
        Some(bytes.value.into_inner())
    };
    OnError { connect: read("connect"), empty: read("empty") }
}

/// Of a listener whose clients get messages of this form.
pub(super) fn of_framed(
    table: &Table<'_>,
    reply: (&Framing, Digits),
    report: &mut Report,
) -> FrameErrors {
    let Some(node) = table.get("on_error") else { return FrameErrors::default() };
    if node.is_text() {
        let all = framed::payload(node, reply, report);
        return FrameErrors {
            connect: all.clone(),
            full: all.clone(),
            timeout: all.clone(),
            closed: all,
        };
    }
    let Some(table) = open(node, &["empty"], "framed", report) else {
        return FrameErrors::default();
    };
    let mut read = |name| -> Option<Payload> { framed::payload(table.get(name)?, reply, report) };
    FrameErrors {
        connect: read("connect"),
        full: read("full"),
        timeout: read("timeout"),
        closed: read("closed"),
    }
}

/// The table, whose settings are those of one protocol.
fn open<'t>(
    node: Node<'t>,
    foreign: &[&str],
    protocol: &str,
    report: &mut Report,
) -> Option<Table<'t>> {
    let table = node.table("`on_error`".to_owned(), &ON_ERROR, report)?;
    for name in foreign {
        if let Some(span) = table.key_span(name) {
            let message = format!("`{name}` never happens to a {protocol} listener");
            let help = match protocol {
                "tcp" => "remove the line; `connect` and `empty` do",
                _ => "write `closed`, which is the same of a message",
            };
            report.add(&code::OTHER_PROTOCOL, span, message, "", help);
        }
    }
    Some(table)
}
