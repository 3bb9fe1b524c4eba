//! Words of Swoole for a listener of messages: what `frame` and `idle_timeout` say in ours.

use std::time::Duration;

use fairwater_message::frame::Framing;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting};
use crate::read::frame::{self, BODY_OFFSET_MAX, LENGTH_END_MAX, MESSAGE_BYTES_DEFAULT, U32BE};
use crate::reader::{Table, listed};
use crate::report::Report;
use crate::span::Spanned;

/// A week, as for `idle_timeout`.
const IDLE_SECONDS_MAX: u32 = 7 * 24 * 3600;

pub(super) static SWOOLE: declare::Table = declare::Table {
    title: "Words of Swoole",
    settings: &[
        Setting {
            name: "open_length_check",
            kind: Kind::Boolean,
            absent: Absent::Otherwise("as `frame` says"),
            meaning: "`framed` only: for `frame = { length = .. }`",
            example: "open_length_check = true",
        },
        Setting {
            name: "package_length_type",
            kind: Kind::Text("how a number is written, as in `frame`"),
            absent: Absent::Otherwise("`N`"),
            meaning: "`framed` only: its `length`",
            example: "package_length_type = \"N\"",
        },
        Setting {
            name: "package_length_offset",
            kind: Kind::Integer { min: 0, max: LENGTH_END_MAX - 1 },
            absent: Absent::Otherwise("0"),
            meaning: "`framed` only: its `offset`",
            example: "package_length_offset = 0",
        },
        Setting {
            name: "package_body_offset",
            kind: Kind::Integer { min: 0, max: BODY_OFFSET_MAX },
            absent: Absent::Otherwise("4; required unless the number ends there"),
            meaning: "`framed` only: its `body_offset`",
            example: "package_body_offset = 4",
        },
        Setting {
            name: "package_max_length",
            kind: Kind::Integer { min: 1, max: u32::MAX },
            absent: Absent::Otherwise("2097152"),
            meaning: "`framed` only: `max`, in bytes",
            example: "package_max_length = 2000000",
        },
        Setting {
            name: "open_eof_check",
            kind: Kind::Boolean,
            absent: Absent::Otherwise("as `frame` says"),
            meaning: "`framed` only: for `frame = { delimiter = .. }`. Each message is told apart, \
                      as with `open_eof_split`.",
            example: "open_eof_check = true",
        },
        Setting {
            name: "open_eof_split",
            kind: Kind::Boolean,
            absent: Absent::Otherwise("as `frame` says"),
            meaning: "`framed` only: the same",
            example: "open_eof_split = true",
        },
        Setting {
            name: "package_eof",
            kind: frame::DELIMITER,
            absent: Absent::Otherwise("`\\r\\n\\r\\n`"),
            meaning: "`framed` only: the delimiter",
            example: "package_eof = \"\\r\\n\"",
        },
        Setting {
            name: "heartbeat_idle_time",
            kind: Kind::Integer { min: 1, max: IDLE_SECONDS_MAX },
            absent: Absent::Otherwise("as `idle_timeout` says"),
            meaning: "`framed` only: `idle_timeout`, in seconds",
            example: "heartbeat_idle_time = 600",
        },
        Setting {
            name: "heartbeat_check_interval",
            kind: Kind::Integer { min: 1, max: IDLE_SECONDS_MAX / 2 },
            absent: Absent::Otherwise("none"),
            meaning: "`framed` only: alone it sets `idle_timeout` to twice as many seconds; beside \
                      `heartbeat_idle_time` it has no effect, since nobody has to go and look",
            example: "heartbeat_check_interval = 60",
        },
    ],
    shared: &[],
    notes: include_str!("../../reference/swoole.md"),
};

const OF_LENGTH: [&str; 3] =
    ["package_length_type", "package_length_offset", "package_body_offset"];

const OF_EOF: [&str; 1] = ["package_eof"];

/// What switches on how messages are told apart.
const SWITCHES: [&str; 3] = ["open_length_check", "open_eof_check", "open_eof_split"];

/// How messages are told apart in these words; nothing, if they do not say. A switch that cannot be
/// read is meant all the same.
pub(super) fn frame(table: &Table<'_>, report: &mut Report) -> Option<Option<Framing>> {
    let on: Vec<&str> = SWITCHES
        .into_iter()
        .filter(|name| {
            let node = table.get(name);
            node.is_some_and(|node| node.boolean(report) != Some(false))
        })
        .collect();
    let is_length = on.contains(&"open_length_check");
    let is_eof = on.iter().any(|name| *name != "open_length_check");
    for (names, is_meant, switch) in
        [(&OF_LENGTH[..], is_length, "open_length_check"), (&OF_EOF, is_eof, "open_eof_split")]
    {
        refuse_unused(table, names, is_meant, switch, report);
    }
    refuse_unused(table, &["package_max_length"], !on.is_empty(), "open_length_check", report);
    let first = on.first()?;
    refuse_both(table, first, "frame", report);
    let span = table.key_span(first)?;
    if is_length && is_eof {
        let message = "messages have a length, or an end, and not both";
        let help = format!("leave one of {}", listed(on));
        report.add(&code::BAD_FRAME, span, message, "", help);
        return Some(None);
    }
    let max = match table.get("package_max_length") {
        Some(node) => node.integer(report).map(|read| read.map(u64::from)),
        None => Some(Spanned::new(MESSAGE_BYTES_DEFAULT, span)),
    };
    Some(if is_length { of_length(table, max, report) } else { of_eof(table, max, report) })
}

fn refuse_unused(
    table: &Table<'_>,
    names: &[&str],
    is_meant: bool,
    switch: &str,
    report: &mut Report,
) {
    for name in names.iter().filter(|_| !is_meant) {
        if let Some(span) = table.key_span(name) {
            let message = format!("`{name}` means nothing without `{switch}`");
            let help = format!("add `{switch} = true`, or remove the line");
            report.add(&code::BAD_FRAME, span, message, "", help);
        }
    }
}

fn of_length(table: &Table<'_>, max: Option<Spanned<u64>>, report: &mut Report) -> Option<Framing> {
    let here = table.span();
    let number = match table.get("package_length_type") {
        Some(node) => frame::number(node, report).map(|number| Spanned::new(number, node.span)),
        None => Some(Spanned::new(U32BE, here)),
    };
    let mut place = |name, default| match table.get(name) {
        Some(node) => node.integer(report).map(Some),
        None => Some(default),
    };
    let offset = place("package_length_offset", Some(Spanned::new(0, here)));
    let body_offset = place("package_body_offset", None);
    let (number, offset, body_offset) = (number?, offset??, body_offset?);
    let end = number.value.size().map(|size| offset.value + size);
    if let Some(end) = end.filter(|end| body_offset.is_none() && *end != SWOOLE_BODY_OFFSET) {
        let message = "`package_body_offset` is missing, which Swoole takes for 4";
        let label = format!("the number ends with byte {end}");
        let help = format!(
            "write `package_body_offset = {end}` if the number counts what follows it, here and \
             in Swoole"
        );
        report.add(&code::BAD_FRAME, number.span, message, label, help);
        return None;
    }
    frame::of_parts(number, offset, body_offset, max?, report)
}

/// What it is there if nothing is said.
const SWOOLE_BODY_OFFSET: u32 = 4;

fn of_eof(table: &Table<'_>, max: Option<Spanned<u64>>, report: &mut Report) -> Option<Framing> {
    let bytes = match table.get("package_eof") {
        Some(node) => frame::delimiter(node, report)?,
        None => b"\r\n\r\n".to_vec(),
    };
    frame::of_delimiter(bytes, max?, report)
}

/// The time without a byte of a client after which it is given up.
pub(super) fn idle(table: &Table<'_>, report: &mut Report) -> Option<Duration> {
    let mut seconds = |name| {
        let read = table.get(name)?.integer(report)?;
        Some(u64::from(read.value))
    };
    let (idle, interval) = (seconds("heartbeat_idle_time"), seconds("heartbeat_check_interval"));
    refuse_both(table, heartbeat(table)?, "idle_timeout", report);
    idle.or(interval.map(|interval| 2 * interval)).map(Duration::from_secs)
}

/// The word that sets it.
pub(super) fn heartbeat(table: &Table<'_>) -> Option<&'static str> {
    let names = ["heartbeat_idle_time", "heartbeat_check_interval"];
    names.into_iter().find(|name| table.key_span(name).is_some())
}

/// Reports a word of ours beside one of Swoole for the same.
fn refuse_both(table: &Table<'_>, theirs: &str, ours: &str, report: &mut Report) {
    if let Some(span) = table.key_span(ours) {
        let message = format!("`{ours}` and `{theirs}` say the same thing");
        report.add(&code::BAD_FRAME, span, message, "", "remove one of the two");
    }
}
