//! What a listener of messages (`protocol = "framed"`) has beside what those of TCP have.

use std::ops::Range;

use fairwater_message::frame::{ClientIdentity, Framing, LengthField, Number};

use crate::code;
use crate::declare::{self, Absent, Kind, Setting, Word, words};
use crate::model::{FrameMode, FramedListener, IdleRule, Payload, Ping};
use crate::read::bytes::{self, BYTES, Bytes};
use crate::read::frame::{self, FRAME_KIND};
use crate::read::limit::DAY_MS;
use crate::read::on_error::{self, ON_ERROR_BYTES_MAX};
use crate::read::swoole;
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::{Span, Spanned};

/// More on one connection would wait for each other rather than for a free connection.
const DEPTH_MAX: u32 = 1024;

/// A key stands at the beginning of a message, which is read by the time when an endpoint is
/// picked.
const KEY_OFFSET_MAX: u32 = 4095;
const KEY_BYTES_MAX: u32 = 256;

pub(super) static FRAMED: declare::Table = declare::Table {
    title: "Messages over TCP",
    settings: &[
        Setting {
            name: "frame",
            kind: FRAME_KIND,
            absent: Absent::Otherwise("required for `framed`"),
            meaning: "`framed` only: how the messages of clients are told apart: `swoole`, \
                      `workerman-frame`, `workerman-text`, `line`, `eof`, or a table. See \
                      [messages.md](messages.md).",
            example: "frame = \"swoole\"",
        },
        Setting {
            name: "reply_frame",
            kind: FRAME_KIND,
            absent: Absent::Otherwise("as `frame`"),
            meaning: "`framed` only: the same for what endpoints send",
            example: "reply_frame = \"line\"",
        },
        Setting {
            name: "mode",
            kind: Kind::Choice(MODE_WORDS),
            absent: Absent::Default("\"exchange\""),
            meaning: "`framed` only: how messages share connections to endpoints",
            example: "mode = \"exchange\"",
        },
        Setting {
            name: "pipeline",
            kind: Kind::Integer { min: 1, max: DEPTH_MAX },
            absent: Absent::Default("1"),
            meaning: "`framed` only: messages that are under way on one connection to an endpoint, \
                      which must answer them in their order. It is used when no further connection \
                      may be opened.",
            example: "pipeline = 16",
        },
        Setting {
            name: "max_inflight",
            kind: Kind::Integer { min: 1, max: DEPTH_MAX },
            absent: Absent::Default("1"),
            meaning: "`framed` only: messages of one client that are under way at a time. Their \
                      replies come in their order; they may run on several endpoints.",
            example: "max_inflight = 4",
        },
        Setting {
            name: "key",
            kind: Kind::Table(&KEY),
            absent: Absent::Otherwise("none"),
            meaning: "`framed` only: the bytes of a message that `balance = \"key_hash\"` goes by",
            example: "key = { offset = 4, length = 8 }",
        },
        Setting {
            name: "ping",
            kind: Kind::Table(&PING),
            absent: Absent::Otherwise("heartbeats go to endpoints as all messages do"),
            meaning: "`framed` only: a message of clients that is answered here",
            example: "ping = { request = \"ping\", reply = \"pong\" }",
        },
        Setting {
            name: "on_client_close",
            kind: Kind::Choice(CLOSE_WORDS),
            absent: Absent::Default("\"finish\""),
            meaning: "`framed` only: what becomes of a message whose client has gone",
            example: "on_client_close = \"finish\"",
        },
        Setting {
            name: "identity",
            kind: Kind::Choice(words!["address", "address_and_port"]),
            absent: Absent::Otherwise("messages pass as they come"),
            meaning: "`framed` only: what is written in front of the body of each message, and a \
                      blank behind it. The length is made to fit.",
            example: "identity = \"address\"",
        },
        Setting {
            name: "frame_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: DAY_MS },
            absent: Absent::Default("\"10s\""),
            meaning: "`framed` only: the rest of a message, from its first byte. A client that sends \
                      byte by byte must not hold memory for long.",
            example: "frame_timeout = \"10s\"",
        },
    ],
    shared: &[],
    notes: "",
};

const MODE_WORDS: &[Word] = &[
    Word {
        word: "exchange",
        meaning: "each message is sent over a connection of a pool, and its reply comes back over \
                  it; then others have it",
    },
    Word {
        word: "connection",
        meaning: "each client has a connection to an endpoint for itself, as with `tcp`. For \
                  protocols with logins, transactions, or messages that nobody asked for.",
    },
    Word { word: "oneway", meaning: "messages have no replies" },
];

const CLOSE_WORDS: &[Word] = &[
    Word { word: "finish", meaning: "its reply is waited for, and dropped" },
    Word { word: "abort", meaning: "the connection to the endpoint is closed, so that it notices" },
];

static KEY: declare::Table = declare::Table {
    title: "key",
    settings: &[
        Setting {
            name: "offset",
            kind: Kind::Integer { min: 0, max: KEY_OFFSET_MAX },
            absent: Absent::Default("0"),
            meaning: "where it begins, counted from the first byte of the message",
            example: "offset = 4",
        },
        Setting {
            name: "length",
            kind: Kind::Integer { min: 1, max: KEY_BYTES_MAX },
            absent: Absent::Required,
            meaning: "how many bytes it has. Of a message that ends within them those count that \
                      are there; one that ends before them has no key, and goes anywhere.",
            example: "length = 8",
        },
    ],
    shared: &[],
    notes: "",
};

static PING: declare::Table = declare::Table {
    title: "ping",
    settings: &[
        Setting {
            name: "request",
            kind: BYTES,
            absent: Absent::Required,
            meaning: "the body of the message that clients send, or with `hex` all of it",
            example: "request = \"ping\"",
        },
        Setting {
            name: "reply",
            kind: BYTES,
            absent: Absent::Otherwise("nothing is sent"),
            meaning: "the same of what they get",
            example: "reply = \"pong\"",
        },
    ],
    shared: &[],
    notes: "",
};

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Exchange,
    Connection,
    Oneway,
}

const MODES: [(&str, Mode); 3] =
    [("exchange", Mode::Exchange), ("connection", Mode::Connection), ("oneway", Mode::Oneway)];

const ABORTS: [(&str, bool); 2] = [("finish", false), ("abort", true)];

const IDENTITIES: [(&str, ClientIdentity); 2] =
    [("address", ClientIdentity::Address), ("address_and_port", ClientIdentity::AddressAndPort)];

/// What is not written has the default of `idle` for messages.
pub(super) fn read(
    table: &Table<'_>,
    idle: Option<IdleRule>,
    report: &mut Report,
) -> FramedListener {
    let request = request(table, report);
    // In place of what could not be read, so that the rest can be.
    let is_request_known = request.is_some();
    let mut framed = FramedListener::new(request.unwrap_or(Framing::line(u64::MAX)));
    let reply = table.get("reply_frame").map(|node| frame::read(node, "reply_frame", report));
    let is_reply_known = reply.as_ref().map_or(is_request_known, Option::is_some);
    framed.reply = reply.flatten().unwrap_or(framed.reply);
    let mut number = |name| table.get(name)?.integer(report).map(|read| read.value);
    let depth = number("pipeline").unwrap_or(1);
    framed.in_flight_max = number("max_inflight").unwrap_or(framed.in_flight_max);
    let mode = table.get("mode").and_then(|node| node.choice(&MODES, report));
    let mode = mode.unwrap_or(Mode::Exchange);
    framed.mode = match mode {
        Mode::Exchange => FrameMode::Exchange { depth },
        Mode::Connection => FrameMode::Connection,
        Mode::Oneway => FrameMode::Oneway,
    };
    framed.key = key(table, report);
    let digits = |is_known, wanted| if is_known { wanted } else { Digits::Any };
    let (request, reply, error) = match mode {
        Mode::Exchange => (Digits::Message, Digits::LikelyMessage, Digits::LikelyMessage),
        Mode::Connection => (Digits::Any, Digits::Any, Digits::LikelyMessage),
        Mode::Oneway => (Digits::Message, Digits::Any, Digits::Any),
    };
    let of_ping = (digits(is_request_known, request), digits(is_reply_known, reply));
    framed.ping = ping(table, &framed, of_ping, report);
    let of_errors = digits(is_reply_known, error);
    framed.on_error = on_error::of_framed(table, (&framed.reply, of_errors), report);
    let aborts = table.get("on_client_close").and_then(|node| node.choice(&ABORTS, report));
    framed.aborts = aborts.unwrap_or(framed.aborts);
    framed.idle = idle.unwrap_or(framed.idle);
    framed.identity = identity(table, &framed.request, report);
    check_ends(table, &framed, depth, report);
    check_idle(table, idle, report);
    check_mode(table, mode, &framed, report);
    framed
}

/// In our words, or in those of Swoole.
fn request(table: &Table<'_>, report: &mut Report) -> Option<Framing> {
    if let Some(framing) = swoole::frame(table, report) {
        return framing;
    }
    table.require("frame", report).and_then(|node| frame::read(node, "frame", report))
}

fn key(table: &Table<'_>, report: &mut Report) -> Option<Spanned<Range<u32>>> {
    let span = table.key_span("key")?;
    let table = table.get("key")?.table("`key`".to_owned(), &KEY, report)?;
    let offset = table.get("offset").and_then(|node| node.integer(report));
    let offset = offset.map_or(0, |read| read.value);
    let length = table.require("length", report)?.integer(report)?;
    Some(Spanned::new(offset..offset + length.value, span))
}

fn ping(
    table: &Table<'_>,
    framed: &FramedListener,
    (of_request, of_reply): (Digits, Digits),
    report: &mut Report,
) -> Option<Ping> {
    let table = table.get("ping")?.table("`ping`".to_owned(), &PING, report)?;
    let request = table.require("request", report);
    let request = request.and_then(|node| payload(node, (&framed.request, of_request), report));
    let reply = table.get("reply");
    let reply = reply.and_then(|node| payload(node, (&framed.reply, of_reply), report));
    request.map(|request| Ping { request, reply })
}

/// What bytes in digits have to be.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Digits {
    Any,
    /// A message, unless whoever reads them knows better.
    LikelyMessage,
    Message,
}

/// A message of this form.
pub(super) fn payload(
    node: Node<'_>,
    (framing, digits): (&Framing, Digits),
    report: &mut Report,
) -> Option<Payload> {
    let bytes = bytes::read(node, ON_ERROR_BYTES_MAX, &code::BAD_MESSAGE, report)?;
    let body = match bytes.value {
        Bytes::Digits(whole) => {
            check_digits(&whole, bytes.span, (framing, digits), report);
            return Some(Payload::Whole(whole));
        }
        Bytes::Text(body) => body,
    };
    if framing.takes(&body) {
        return Some(Payload::Body(body));
    }
    let has_room = matches!(framing, Framing::Delimiter { bytes, max }
        if (body.len() + bytes.len()) as u64 <= *max);
    let message = match has_room {
        true => "the text cannot be a message: it has the end of one in it",
        false => "the text cannot be a message: it is too long for one",
    };
    let help = "write another text, or all bytes of the message as `hex:0d0a`";
    report.add(&code::BAD_MESSAGE, bytes.span, message, "", help);
    None
}

fn check_digits(
    bytes: &[u8],
    span: Span,
    (framing, digits): (&Framing, Digits),
    report: &mut Report,
) {
    let (code, message) = match digits {
        Digits::Message => (&code::BAD_MESSAGE, "no message of a client can be these bytes"),
        Digits::LikelyMessage => (
            &code::NO_WHOLE_MESSAGE,
            "clients get these bytes as they are, and they are no message",
        ),
        Digits::Any => return,
    };
    if let Some(why) = misfit(framing, bytes) {
        let help = "write all bytes of one message, or its body as text, which is made one";
        report.add(code, span, message, why, help);
    }
}

/// Why bytes are not one message.
fn misfit(framing: &Framing, bytes: &[u8]) -> Option<String> {
    let len = bytes.len() as u64;
    let max = framing.max();
    let total = match framing {
        Framing::Length(field) => field.total(bytes),
        Framing::Delimiter { .. } => framing.first_message(bytes).map(|first| first as u64),
        Framing::Fixed { size } => Some(*size),
        Framing::Eof { .. } => Some(len),
    };
    Some(match total {
        Some(total) if total == len && len <= max => return None,
        _ if len > max => format!("{len} bytes, and a message has at most {max}"),
        Some(total) => format!("{len} bytes, and the message has {total}"),
        None if matches!(framing, Framing::Length(_)) => {
            "there is no length in them, or none that a message may have".to_owned()
        }
        None => "there is no end of a message in them".to_owned(),
    })
}

fn identity(table: &Table<'_>, framing: &Framing, report: &mut Report) -> Option<ClientIdentity> {
    let node = table.get("identity")?;
    let what = match framing {
        Framing::Fixed { .. } => "messages of a fixed size cannot have more",
        Framing::Length(LengthField { number: Number::Varint, .. }) => {
            "a varint cannot be made to fit: it may need more bytes than before"
        }
        Framing::Length(_) | Framing::Delimiter { .. } | Framing::Eof { .. } => {
            return node.choice(&IDENTITIES, report);
        }
    };
    let help = "remove the line; `mode = \"connection\"` with `proxy_protocol` of the upstream \
                tells endpoints as well";
    report.add(&code::BAD_FRAME, node.span, what, "", help);
    None
}

/// A connection whose end is the end of a message has one.
fn check_ends(table: &Table<'_>, framed: &FramedListener, depth: u32, report: &mut Report) {
    let is_eof = |framing: &Framing| matches!(framing, Framing::Eof { .. });
    let has_one = is_eof(&framed.request) || is_eof(&framed.reply);
    for (name, count) in [("pipeline", depth), ("max_inflight", framed.in_flight_max)] {
        if let Some(span) = table.key_span(name).filter(|_| has_one && count > 1) {
            let message = "a connection whose end is the end of a message has one message";
            let help = "remove the line, or tell messages apart otherwise";
            report.add(&code::BAD_FRAME, span, message, "", help);
        }
    }
}

fn check_idle(table: &Table<'_>, idle: Option<IdleRule>, report: &mut Report) {
    let Some(heartbeat) = swoole::heartbeat(table) else { return };
    if let Some(span) = table.key_span("idle").filter(|_| idle == Some(IdleRule::Both)) {
        let message = format!("`{heartbeat}` counts what clients send, and no reply");
        let help = "write `idle = \"client\"`, or `idle_timeout` for both";
        report.add(&code::BAD_FRAME, span, message, "", help);
    }
}

/// What means nothing in the other modes.
const UNUSED_IN_CONNECTION: [&str; 7] =
    ["pipeline", "max_inflight", "key", "ping", "on_client_close", "identity", "frame_timeout"];
const UNUSED_IN_ONEWAY: [&str; 5] =
    ["reply_frame", "pipeline", "max_inflight", "on_client_close", "on_error"];

fn check_mode(table: &Table<'_>, mode: Mode, framed: &FramedListener, report: &mut Report) {
    if mode != Mode::Connection
        && let Some(span) = table.key_span("half_close_timeout")
    {
        let message = "`half_close_timeout` has no effect: messages share connections";
        let help = "remove the line, or write `mode = \"connection\"`";
        report.add(&code::NO_EFFECT_IN_MODE, span, message, "", help);
    }
    let (word, settings, errors) = match mode {
        Mode::Exchange => return,
        Mode::Connection => ("connection", &UNUSED_IN_CONNECTION[..], &["full", "timeout"][..]),
        Mode::Oneway => ("oneway", &UNUSED_IN_ONEWAY[..], &[][..]),
    };
    // What a ping is answered with is made to be a message of that form.
    let has_replies =
        framed.ping.as_ref().is_some_and(|ping| matches!(ping.reply, Some(Payload::Body(_))));
    let mut warn = |name: &str, span: Span| {
        let message = format!("`{name}` has no effect with `mode = \"{word}\"`");
        let help = "remove the line, or the mode";
        report.add(&code::NO_EFFECT_IN_MODE, span, message, "", help);
    };
    for name in settings.iter().filter(|name| **name != "reply_frame" || !has_replies) {
        if let Some(span) = table.key_span(name) {
            warn(name, span);
        }
    }
    // One text for all causes is meant for those that there are.
    let written = table.get("on_error").filter(Node::is_table);
    for name in errors {
        if let Some(span) = written.and_then(|node| node.key_span(name)) {
            warn(name, span);
        }
    }
}
