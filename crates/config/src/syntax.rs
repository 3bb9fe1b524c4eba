//! Bytes to a TOML tree, behind limits on what the parser is given.

use std::sync::Arc;

use toml::de::DeTable;

use crate::code;
use crate::report::Report;
use crate::source::{Source, without_byte_order_mark};
use crate::span::Span;

/// The parser takes up to 50 bytes of memory for each byte of a hostile file.
pub const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Above this only the first syntax error is asked for: the parser keeps every one that it finds.
const RECOVERY_BYTES_MAX: usize = 256 * 1024;

/// One slip makes the parser stumble over what follows it, so the first ones say the most.
const SYNTAX_ERRORS_MAX: usize = 10;

/// A file's text and its number in spans; reports a file that is too large, or no text.
pub(crate) fn open(name: &str, bytes: &[u8], report: &mut Report) -> Option<(Arc<Source>, u16)> {
    let is_too_large = bytes.len() > FILE_BYTES_MAX;
    let source = Arc::new(Source::new(name, if is_too_large { &[] } else { bytes }));
    let number = report.add_source(&source);
    if is_too_large {
        report.add(
            &code::FILE_TOO_LARGE,
            Span::start_of(number),
            format!("the file has more than {FILE_BYTES_MAX} bytes"),
            "",
            "check the path: this is probably not a configuration",
        );
        return None;
    }
    check_bytes(bytes, number, report).then_some((source, number))
}

/// Whether the bytes are text; reports what is none.
fn check_bytes(bytes: &[u8], file: u16, report: &mut Report) -> bool {
    let is_utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    let bytes = without_byte_order_mark(bytes);
    let Err(error) = std::str::from_utf8(bytes) else { return true };
    let start = error.valid_up_to();
    let end = start + char::REPLACEMENT_CHARACTER.len_utf8();
    let message = match is_utf16 {
        true => "the file is UTF-16, not UTF-8".to_owned(),
        false => format!("the byte 0x{:02x} is not UTF-8", bytes[start]),
    };
    let help = "save the file as UTF-8";
    report.add(&code::NOT_UTF8, Span::new(file, start..end), message, "", help);
    false
}

/// Gives a tree only if all of the file is TOML. Nesting is limited by the parser, to 80.
pub(crate) fn parse<'s>(source: &'s Source, file: u16, report: &mut Report) -> Option<DeTable<'s>> {
    let text = source.text();
    let errors = if text.len() > RECOVERY_BYTES_MAX {
        match DeTable::parse(text) {
            Ok(table) => return Some(table.into_inner()),
            Err(error) => vec![error],
        }
    } else {
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Some(table.into_inner());
        }
        errors
    };
    for (index, error) in errors.iter().take(SYNTAX_ERRORS_MAX).enumerate() {
        let span = error.span().map_or(Span::start_of(file), |range| Span::new(file, range));
        let is_echo = errors[..index].iter().any(|earlier| earlier.span() == error.span());
        if !is_echo {
            let (message, label) = match error.message().split_once(", expected ") {
                // The parser would ask for single quotes alone.
                Some((message, _)) if message.contains("quoted") => (message, String::new()),
                Some((message, expected)) => (message, format!("expected {expected}")),
                None => (error.message(), String::new()),
            };
            report.add(&code::SYNTAX, span, message, label, help(message));
        }
    }
    None
}

/// What can be read of a text that is not TOML as a whole.
pub(crate) fn salvage(text: &[u8]) -> Option<DeTable<'_>> {
    let text = std::str::from_utf8(without_byte_order_mark(text)).ok()?;
    let is_short = text.len() <= RECOVERY_BYTES_MAX;
    is_short.then(|| DeTable::parse_recoverable(text).0.into_inner())
}

fn help(message: &str) -> &'static str {
    const HELPS: [(&str, &str); 6] = [
        ("must be quoted", "write the text in double quotes"),
        ("duplicate key", "write each key and each table once"),
        ("recurs", "write fewer brackets or dots within one another"),
        ("control character", "remove the character, or write it as an escape such as \\u0000"),
        ("basic string", "close the text with the quotes that it begins with"),
        ("literal string", "close the text with the quotes that it begins with"),
    ];
    let found = HELPS.iter().find(|(part, _)| message.contains(part));
    found.map_or("a line is `key = value`, `[table]` or `# comment`", |(_, help)| help)
}
