//! The lines of a head: where they end, and the header fields that they hold (RFC 9112, sections
//! 2.2 and 5).

use fairwater_message::{
    Connection, Fault, FaultKind, Field, HeadLimits, HeaderId, HeaderName, Span,
};
use memchr::memchr;

use crate::words;

/// The most bytes of a trailer section.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// The most names that one message may list in `Connection`: each costs a pass over the fields.
const CONNECTION_NAMES_MAX: u8 = 32;

/// Which errors a head may end with: requests and responses differ only in these.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blame {
    pub malformed: FaultKind,
    pub too_large: FaultKind,
}

pub(super) const REQUEST: Blame =
    Blame { malformed: FaultKind::BadRequest, too_large: FaultKind::HeadTooLarge };
pub(super) const RESPONSE: Blame =
    Blame { malformed: FaultKind::BadReply, too_large: FaultKind::ReplyHeadTooLarge };

impl Blame {
    pub(super) fn malformed(self, detail: &'static str) -> Fault {
        Fault::because(self.malformed, detail)
    }

    pub(super) fn too_large(self, detail: &'static str) -> Fault {
        Fault::because(self.too_large, detail)
    }
}

/// Finds line after line; keeps its place between reads, so that a head that comes byte by byte is
/// looked at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    /// Where the current line starts.
    pub start: usize,
    /// Everything before was searched for a line feed.
    scanned: usize,
    pub limits: HeadLimits,
}

impl Lines {
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The next complete line as (start, end), without its line end; `None` when more is needed.
    #[inline]
    pub(super) fn next(
        &mut self,
        bytes: &[u8],
        blame: Blame,
        relaxed: bool,
    ) -> Result<Option<(usize, usize)>, Fault> {
        let Some(at) = memchr(b'\n', &bytes[self.scanned..]) else {
            self.scanned = bytes.len();
            return if bytes.len() >= usize::from(self.limits.bytes) {
                Err(blame.too_large("head_too_long"))
            } else {
                Ok(None)
            };
        };
        let feed = self.scanned + at;
        if feed >= usize::from(self.limits.bytes) {
            return Err(blame.too_large("head_too_long"));
        }
        let start = self.start;
        let end = if feed > start && bytes[feed - 1] == b'\r' {
            feed - 1
        } else if relaxed {
            feed
        } else {
            return Err(blame.malformed("bare_lf"));
        };
        self.start = feed + 1;
        self.scanned = feed + 1;
        Ok(Some((start, end)))
    }

    /// The bytes of the line that is not complete yet.
    pub(super) fn pending<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start..]
    }
}

/// Whether a line holds a control character other than a tab.
#[inline]
pub(super) fn has_control(line: &[u8]) -> bool {
    let is_control = |b: u8| (b < 0x20 && b != b'\t') || b == 0x7f;
    words::has_control(line) && line.iter().any(|&b| is_control(b))
}

/// Characters of a token (RFC 9110, section 5.6.2).
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

#[inline]
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Reads one field line into the index.
#[inline]
pub(super) fn read_field(
    bytes: &[u8],
    (start, end): (usize, usize),
    (fields, fields_max): (&mut Vec<Field>, u16),
    blame: Blame,
) -> Result<Field, Fault> {
    let line = &bytes[start..end];
    let at = words::find(line, b':').unwrap_or(0);
    // A name that is known needs no look at its characters.
    let (colon, id) = match HeaderId::of(&line[..at]) {
        HeaderId::Other => {
            (name_len(line, at).map_err(|detail| blame.malformed(detail))?, HeaderId::Other)
        }
        id => (at, id),
    };
    let (mut from, mut to) = (start + colon + 1, end);
    while from < to && is_blank(bytes[from]) {
        from += 1;
    }
    while to > from && is_blank(bytes[to - 1]) {
        to -= 1;
    }
    if has_control(&bytes[from..to]) {
        return Err(blame.malformed("control_character_in_field"));
    }
    if fields.len() == usize::from(fields_max) {
        return Err(blame.too_large("too_many_fields"));
    }
    let field = Field { name: Span::new(start, start + colon), value: Span::new(from, to), id };
    fields.push(field);
    Ok(field)
}

#[inline]
pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The length of a name that should end at a colon: characters of a token.
#[inline]
fn name_len(line: &[u8], colon: usize) -> Result<usize, &'static str> {
    let name = &line[..colon];
    if !name.is_empty() && name.iter().fold(true, |good, &byte| good & is_token(byte)) {
        return Ok(colon);
    }
    let len = line.iter().position(|&byte| !is_token(byte)).unwrap_or(line.len());
    Err(name_error(line, len))
}

#[cold]
fn name_error(line: &[u8], at: usize) -> &'static str {
    match line.get(at) {
        Some(b' ' | b'\t') if at == 0 => "folded_field",
        Some(b' ' | b'\t') => "space_before_colon",
        Some(b':') => "empty_field_name",
        None => "field_without_colon",
        Some(_) => "bad_character_in_field_name",
    }
}

/// A `Content-Length` value: digits only, within 63 bits (RFC 9110, section 8.6).
#[inline]
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let mut length = 0_u64;
    for &byte in value {
        if !byte.is_ascii_digit() {
            return None;
        }
        length = length * 10 + u64::from(byte - b'0');
    }
    (length <= i64::MAX as u64).then_some(length)
}

/// Folds one `Connection` field into what the message said so far; `count` is the number of names
/// in all its `Connection` fields.
pub(super) fn read_connection(
    value: &[u8],
    connection: &mut Connection,
    count: &mut u8,
    blame: Blame,
) -> Result<(), Fault> {
    for name in list(value) {
        if name.eq_ignore_ascii_case(b"close") {
            connection.close = true;
        } else if name.eq_ignore_ascii_case(b"keep-alive") {
            connection.keep_alive = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            connection.upgrade = true;
        } else {
            connection.names_others = true;
        }
        if *count == CONNECTION_NAMES_MAX {
            return Err(blame.malformed("too_many_connection_names"));
        }
        *count += 1;
    }
    Ok(())
}

/// The members of a comma-separated list, trimmed, empty ones left out.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty())
}

/// Whether a `Connection` field names this field.
pub(super) fn is_named_by_connection(bytes: &[u8], fields: &[Field], name: &[u8]) -> bool {
    fields
        .iter()
        .filter(|field| field.id == HeaderId::Connection)
        .any(|field| list(field.value.of(bytes)).any(|named| named.eq_ignore_ascii_case(name)))
}

/// Appends the fields of a raw trailer section (each line ended by CRLF, without the final empty
/// one) to `out`, without those that a trailer may not carry and those of `removed`.
///
/// # Errors
/// A malformed line, or more than 128 fields.
pub fn write_trailers(
    raw: &[u8],
    of_request: bool,
    removed: &[HeaderName],
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let blame = if of_request {
        Blame { malformed: FaultKind::RequestBodyMalformed, ..REQUEST }
    } else {
        Blame { malformed: FaultKind::BodyMalformed, too_large: FaultKind::BodyMalformed }
    };
    let mut fields = Vec::new();
    let mut lines = Lines::default();
    while let Some(line) = lines.next(raw, blame, false)? {
        let field = read_field(raw, line, (&mut fields, HeadLimits::DEFAULT.fields), blame)?;
        let name = field.name.of(raw);
        let aliased = HeaderId::aliased(name);
        let is_removed = removed.iter().any(|name| name.covers(&field, raw));
        if field.id.is_forbidden_in_trailers() || aliased != HeaderId::Other || is_removed {
            continue;
        }
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(field.value.of(raw));
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
