//! `frame` and `reply_frame` of a listener: how messages are told apart.

use fairwater_message::frame::{Framing, LengthField, Number, VARINT_BYTES_MAX};

use crate::code;
use crate::declare::{self, Absent, Kind, Setting, words};
use crate::quantity::shown_bytes;
use crate::read::bytes::{self, BYTES};
use crate::reader::{Node, Table, listed};
use crate::report::Report;
use crate::span::Spanned;
use crate::suggest::nearest;

/// Longer ones no protocol has. With a longer one more would have to be known of what came before.
pub(super) const DELIMITER_BYTES_MAX: usize = 64;

/// The number of a length ends within so many bytes: these are there with the first packet.
pub(super) const LENGTH_END_MAX: u32 = 64;

/// The most that a header may have that a length does not count.
pub(super) const BODY_OFFSET_MAX: u32 = 65_535;

pub(super) const DIGITS_MAX: u8 = 10;

/// As Swoole has it.
pub(super) const MESSAGE_BYTES_DEFAULT: u64 = 2 << 20;

/// As Workerman has it.
const WORKERMAN_BYTES: u64 = 10 << 20;

/// What a line or a delimiter must be looked for in; a message of this size is held in memory.
const DELIMITED_BYTES_DEFAULT: u64 = 64 << 10;

const MESSAGE_BYTES_MAX: u64 = 4 << 30;

/// A message that is made here is filled up to its size.
const FIXED_BYTES_MAX: u32 = 16 << 20;

pub(super) const FRAME_KIND: Kind = Kind::Either(&PRESET, &Kind::Table(&FRAME));

pub(super) const DELIMITER: Kind = BYTES;

static PRESET: Kind =
    Kind::Choice(words!["swoole", "workerman-frame", "workerman-text", "line", "eof"]);

type Preset = fn() -> Framing;

const PRESETS: [(&str, Preset); 5] = [
    ("swoole", || u32be(4, MESSAGE_BYTES_DEFAULT)),
    ("workerman-frame", || u32be(0, WORKERMAN_BYTES)),
    ("workerman-text", || Framing::line(WORKERMAN_BYTES)),
    ("line", || Framing::line(DELIMITED_BYTES_DEFAULT)),
    ("eof", || Framing::Eof { max: MESSAGE_BYTES_DEFAULT }),
];

fn u32be(body_offset: u32, max: u64) -> Framing {
    Framing::Length(LengthField { number: U32BE, offset: 0, body_offset, max })
}

static FRAME: declare::Table = declare::Table {
    title: "frame, reply_frame",
    settings: &[
        Setting {
            name: "length",
            kind: Kind::Text("how a number is written, see below"),
            absent: Absent::Otherwise("none"),
            meaning: "a number in each message says how long it is",
            example: "length = \"u32be\"",
        },
        Setting {
            name: "offset",
            kind: Kind::Integer { min: 0, max: LENGTH_END_MAX - 1 },
            absent: Absent::Otherwise("0"),
            meaning: "with `length`: where the number begins. It ends within the first 64 bytes.",
            example: "offset = 0",
        },
        Setting {
            name: "body_offset",
            kind: Kind::Integer { min: 0, max: BODY_OFFSET_MAX },
            absent: Absent::Otherwise("where the number ends: it counts what follows"),
            meaning: "with `length`: the bytes that the number does not count. 0 if it counts all of \
                      the message, itself included. Not with `varint`, which counts what follows.",
            example: "body_offset = 4",
        },
        Setting {
            name: "delimiter",
            kind: DELIMITER,
            absent: Absent::Otherwise("none"),
            meaning: "each message ends with these bytes, 1 to 64, which belong to it",
            example: "delimiter = \"\\r\\n\\r\\n\"",
        },
        Setting {
            name: "line",
            kind: Kind::Boolean,
            absent: Absent::Otherwise("none"),
            meaning: "each message is a line, which ends with a line feed",
            example: "line = true",
        },
        Setting {
            name: "fixed",
            kind: Kind::Integer { min: 1, max: FIXED_BYTES_MAX },
            absent: Absent::Otherwise("none"),
            meaning: "each message has so many bytes",
            example: "fixed = 128",
        },
        Setting {
            name: "eof",
            kind: Kind::Boolean,
            absent: Absent::Otherwise("none"),
            meaning: "the end of what a peer sends is the end of its one message",
            example: "eof = true",
        },
        Setting {
            name: "max",
            kind: Kind::Size { min: 1, max: MESSAGE_BYTES_MAX },
            absent: Absent::Otherwise("`2MiB`; with `delimiter` and `line` `64KiB`"),
            meaning: "the most that a message may have in all; not with `fixed`. A longer one ends \
                      its connection (`bad_frame`) before room is made for it.",
            example: "max = \"2MiB\"",
        },
    ],
    shared: &[],
    notes: include_str!("../../reference/frames.md"),
};

/// Each table has one of these.
const KINDS: [&str; 5] = ["length", "delimiter", "line", "fixed", "eof"];

/// What only some of them have.
const PARTS: [(&str, &[&str]); 3] = [
    ("offset", &["length"]),
    ("body_offset", &["length"]),
    ("max", &["length", "delimiter", "line", "eof"]),
];

pub(super) fn read(node: Node<'_>, name: &str, report: &mut Report) -> Option<Framing> {
    if node.is_text() {
        return node.of_kind(&PRESET).choice(&PRESETS, report).map(|preset| preset());
    }
    let table = node.table(format!("`{name}`"), &FRAME, report)?;
    let kinds: Vec<&str> =
        KINDS.into_iter().filter(|kind| table.key_span(kind).is_some()).collect();
    let kind = match kinds[..] {
        [kind] => kind,
        [] => {
            let message = format!("`{name}` does not say how messages are told apart");
            let help = format!("add one of {}, as in `length = \"u32be\"`", listed(KINDS));
            report.add(&code::BAD_FRAME, node.span, message, "", help);
            return None;
        }
        [first, second, ..] => {
            let span = table.key_span(second).unwrap_or(node.span);
            let message = format!("`{name}` tells messages apart by `{first}` and by `{second}`");
            report.add(&code::BAD_FRAME, span, message, "", "remove one of the two");
            return None;
        }
    };
    for (part, owners) in PARTS.into_iter().filter(|(_, owners)| !owners.contains(&kind)) {
        if let Some(span) = table.key_span(part) {
            let message = format!("`{part}` means nothing beside `{kind}`");
            let help = format!("remove the line; it belongs to {}", listed(owners.iter().copied()));
            report.add(&code::BAD_FRAME, span, message, "", help);
        }
    }
    of_table(&table, kind, report)
}

fn of_table(table: &Table<'_>, kind: &str, report: &mut Report) -> Option<Framing> {
    let span = table.key_span("max").unwrap_or(table.span());
    let max = table.get("max").map(|node| node.size(report));
    let max_or = |default| max.unwrap_or(Some(default)).map(|max| Spanned::new(max, span));
    let node = table.get(kind)?;
    match kind {
        "length" => of_length(table, max_or(MESSAGE_BYTES_DEFAULT), report),
        "delimiter" => {
            let bytes = delimiter(node, report)?;
            of_delimiter(bytes, max_or(DELIMITED_BYTES_DEFAULT)?, report)
        }
        "fixed" => {
            let size = u64::from(node.integer(report)?.value);
            Some(Framing::Fixed { size })
        }
        "line" if is_true(node, kind, report) => {
            Some(Framing::line(max_or(DELIMITED_BYTES_DEFAULT)?.value))
        }
        "eof" if is_true(node, kind, report) => {
            Some(Framing::Eof { max: max_or(MESSAGE_BYTES_DEFAULT)?.value })
        }
        _ => None,
    }
}

fn is_true(node: Node<'_>, kind: &str, report: &mut Report) -> bool {
    let value = node.boolean(report);
    if value == Some(false) {
        let message = format!("`{kind} = false` does not say how messages are told apart");
        let help = format!("write `{kind} = true`, or one of {}", listed(KINDS));
        report.add(&code::BAD_FRAME, node.span, message, "", help);
    }
    value == Some(true)
}

pub(super) fn delimiter(node: Node<'_>, report: &mut Report) -> Option<Vec<u8>> {
    let bytes =
        bytes::read(node, DELIMITER_BYTES_MAX, &code::BAD_MESSAGE, report)?.value.into_inner();
    if bytes.is_empty() {
        let help = "write at least one character, as in `\"\\r\\n\"`";
        report.add(&code::BAD_FRAME, node.span, "an empty text ends no message", "", help);
        return None;
    }
    Some(bytes)
}

pub(super) fn of_delimiter(
    bytes: Vec<u8>,
    max: Spanned<u64>,
    report: &mut Report,
) -> Option<Framing> {
    let least = bytes.len() as u64;
    let framing = Framing::Delimiter { bytes: bytes.into(), max: max.value };
    holds(max, least, report).then_some(framing)
}

fn of_length(table: &Table<'_>, max: Option<Spanned<u64>>, report: &mut Report) -> Option<Framing> {
    let mut place = |name| {
        let span = table.key_span(name)?;
        Some(table.get(name)?.integer(report).map(|read| Spanned::new(read.value, span)))
    };
    let (offset, body_offset) = (place("offset"), place("body_offset"));
    let node = table.get("length")?;
    let number = number(node, report);
    let offset = offset.unwrap_or(Some(Spanned::new(0, node.span)))?;
    let body_offset = body_offset.map_or(Some(None), |read| read.map(Some))?;
    let number = Spanned::new(number?, node.span);
    of_parts(number, offset, body_offset, max?, report)
}

/// A length of these parts, if they go together.
pub(super) fn of_parts(
    number: Spanned<Number>,
    offset: Spanned<u32>,
    body_offset: Option<Spanned<u32>>,
    max: Spanned<u64>,
    report: &mut Report,
) -> Option<Framing> {
    let size = number.value.size();
    if let Some(read) = body_offset.as_ref().filter(|_| size.is_none()) {
        let message = "a varint has no bytes of its own that `body_offset` could count";
        let help = "remove the line: it counts what follows it";
        report.add(&code::BAD_FRAME, read.span, message, "", help);
        return None;
    }
    let end = offset.value + size.unwrap_or(VARINT_BYTES_MAX);
    if end > LENGTH_END_MAX {
        let message = format!("the length ends with byte {end} of a message");
        let label = format!("it must end within the first {LENGTH_END_MAX}");
        report.add(&code::BAD_FRAME, offset.span, message, label, "write a smaller `offset`");
        return None;
    }
    let behind = offset.value + size.unwrap_or(0);
    let field = LengthField {
        number: number.value,
        offset: offset.value,
        body_offset: body_offset.map_or(behind, |read| read.value),
        max: max.value,
    };
    let least = field.body_start() + u32::from(size.is_none());
    holds(max, u64::from(least), report).then_some(Framing::Length(field))
}

/// Whether some message is not too long.
fn holds(max: Spanned<u64>, least: u64, report: &mut Report) -> bool {
    if max.value >= least {
        return true;
    }
    let message = format!("no message has at most {} bytes", max.value);
    let label = format!("what all of them have takes {least}");
    let help = format!("write more, such as `\"{}\"`", shown_bytes(MESSAGE_BYTES_DEFAULT));
    report.add(&code::BAD_FRAME, max.span, message, label, help);
    false
}

const fn binary(bytes: u8, is_signed: bool, is_little: bool) -> Number {
    Number::Binary { bytes, is_signed, is_little }
}

pub(super) const U32BE: Number = binary(4, false, false);

/// Our names, and the codes of pack() that Swoole has. What is in host order there is little on
/// every machine that we know.
const NUMBERS: &[(&str, Number)] = &[
    ("u8", binary(1, false, false)),
    ("i8", binary(1, true, false)),
    ("u16be", binary(2, false, false)),
    ("u16le", binary(2, false, true)),
    ("i16be", binary(2, true, false)),
    ("i16le", binary(2, true, true)),
    ("u24be", binary(3, false, false)),
    ("u24le", binary(3, false, true)),
    ("i24be", binary(3, true, false)),
    ("i24le", binary(3, true, true)),
    ("u32be", U32BE),
    ("u32le", binary(4, false, true)),
    ("i32be", binary(4, true, false)),
    ("i32le", binary(4, true, true)),
    ("u64be", binary(8, false, false)),
    ("u64le", binary(8, false, true)),
    ("i64be", binary(8, true, false)),
    ("i64le", binary(8, true, true)),
    ("varint", Number::Varint),
    ("c", binary(1, true, true)),
    ("C", binary(1, false, true)),
    ("s", binary(2, true, true)),
    ("S", binary(2, false, true)),
    ("n", binary(2, false, false)),
    ("v", binary(2, false, true)),
    ("l", binary(4, true, true)),
    ("L", binary(4, false, true)),
    ("N", U32BE),
    ("V", binary(4, false, true)),
    ("q", binary(8, true, true)),
    ("Q", binary(8, false, true)),
    ("J", binary(8, false, false)),
    ("P", binary(8, false, true)),
];

/// How a length is written, by our names or those of pack().
pub(super) fn number(node: Node<'_>, report: &mut Report) -> Option<Number> {
    let text = node.string(report)?;
    match parse_number(&text.value) {
        Ok(number) => Some(number),
        Err(help) => {
            let message = format!("`{}` is not how a length is written", text.value);
            report.add(&code::BAD_FRAME, text.span, message, "", help);
            None
        }
    }
}

fn parse_number(text: &str) -> Result<Number, String> {
    if let Some((_, number)) = NUMBERS.iter().find(|(name, _)| *name == text) {
        return Ok(*number);
    }
    let digits = text.strip_prefix("ascii").filter(|digits| !digits.starts_with('0'));
    if let Some(digits) = digits.and_then(|digits| digits.parse::<u8>().ok()) {
        return match digits {
            1..=DIGITS_MAX => Ok(Number::Ascii { digits }),
            _ => Err(format!("write `ascii1` to `ascii{DIGITS_MAX}`, by the number of digits")),
        };
    }
    if matches!(text, "i" | "I") {
        return Err("in pack() its size is that of the machine, and Swoole refuses it: write \
                    `l` or `L`, which have 4 bytes"
            .to_owned());
    }
    let lower = text.to_ascii_lowercase();
    let both = [format!("{lower}be"), format!("{lower}le")];
    if both.iter().all(|name| NUMBERS.iter().any(|(known, _)| known == name)) {
        return Err(format!("say which byte comes first: write {}", either(&both)));
    }
    let names = NUMBERS.iter().map(|(name, _)| *name).filter(|name| name.len() > 1);
    Err(match nearest(&lower, names) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "write `u32be`, another size from 8 to 64 bits, `varint`, or `ascii4` for four \
                 digits"
            .to_owned(),
    })
}

fn either(names: &[String; 2]) -> String {
    format!("`{}` or `{}`", names[0], names[1])
}
