//! Bytes in a file: text, or hexadecimal digits.

use crate::code::{self, Code};
use crate::declare::{self, Absent, Kind, Setting};
use crate::read::text;
use crate::reader::Node;
use crate::report::Report;
use crate::span::Spanned;

/// What stands for bytes.
pub(super) const BYTES: Kind =
    Kind::Either(&Kind::Text("text, or bytes as `hex:0d0a`"), &Kind::Table(&HEX));

/// The same for those alone who may read the file.
pub(super) const SECRET_BYTES: Kind =
    Kind::Either(&Kind::Secret("text, or bytes as `hex:0d0a`"), &Kind::Table(&HEX));

static HEX: declare::Table = declare::Table {
    title: "bytes",
    settings: &[Setting {
        name: "hex",
        kind: Kind::Text("pairs of digits"),
        absent: Absent::Required,
        meaning: "bytes that are no text; blanks between them are left out",
        example: "hex = \"0d 0a\"",
    }],
    shared: &[],
    notes: "",
};

/// How bytes are written.
pub(super) enum Bytes {
    Text(Vec<u8>),
    Digits(Vec<u8>),
}

impl Bytes {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Text(bytes) | Self::Digits(bytes) => bytes.is_empty(),
        }
    }

    pub(super) fn into_inner(self) -> Vec<u8> {
        match self {
            Self::Text(bytes) | Self::Digits(bytes) => bytes,
        }
    }
}

/// At most so many bytes; what is none of these is reported under `code`. No message repeats them:
/// they may be secret.
pub(super) fn read(
    node: Node<'_>,
    max: usize,
    code: &'static Code,
    report: &mut Report,
) -> Option<Spanned<Bytes>> {
    let (digits, span) = if node.is_table() {
        let table = node.table("the table of bytes".to_owned(), &HEX, report)?;
        let text = table.require("hex", report)?.string(report)?;
        (text.value, text.span)
    } else {
        let text = node.string(report)?;
        match text.value.strip_prefix("hex:") {
            Some(digits) => (digits.to_owned().into(), text.span),
            None => {
                let text = text::bounded(node, max, report)?;
                let bytes = text.value.into_owned().into_bytes();
                return Some(Spanned::new(Bytes::Text(bytes), text.span));
            }
        }
    };
    let Some(bytes) = of_digits(&digits) else {
        let message = "the digits do not stand for bytes";
        let help = "write two hexadecimal digits for each, as in `hex:0d 0a`";
        report.add(code, span, message, "", help);
        return None;
    };
    if bytes.len() > max {
        let message = format!("these are {} bytes, and at most {max} are allowed", bytes.len());
        report.add(&code::OUT_OF_RANGE, span, message, "", "write fewer");
        return None;
    }
    Some(Spanned::new(Bytes::Digits(bytes), span))
}

/// The bytes of pairs of hexadecimal digits, at least one.
fn of_digits(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let pair = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        let is_hex = pair.bytes().all(|byte| byte.is_ascii_hexdigit());
        u8::from_str_radix(pair, 16).ok().filter(|_| is_hex)
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(pair).collect();
    bytes.filter(|bytes| !bytes.is_empty())
}
