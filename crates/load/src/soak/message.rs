//! Heads and bodies of HTTP/1, read by the book from a blocking stream: what endpoint and client
//! of the soak have in common.

use std::io::{self, BufRead, ErrorKind, Read as _};

/// Far above what the soak sends, so that it can only mean a fault.
const LINE_BYTES_MAX: u64 = 64 * 1024;
const FIELDS_MAX: usize = 100;

/// Why reading stopped.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection ended early, was reset, or is silent.
    Io(io::Error),
    /// The bytes are not what the grammar, or the other side's promise, says.
    Malformed(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) fn malformed<T>(what: impl Into<String>) -> Result<T, Broken> {
    Err(Broken::Malformed(what.into()))
}

#[derive(Debug, Default)]
pub(super) struct Head {
    /// The request or status line.
    pub(super) first: String,
    fields: Vec<(String, String)>,
}

impl Head {
    /// `None` when the stream ends before its first byte.
    pub(super) fn read(input: &mut impl BufRead) -> Result<Option<Self>, Broken> {
        if input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut head = Self { first: line(input)?, fields: Vec::new() };
        loop {
            let text = line(input)?;
            if text.is_empty() {
                return Ok(Some(head));
            }
            let Some((name, value)) = text.split_once(':') else {
                return malformed(format!("field line {text:?}"));
            };
            head.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            if head.fields.len() > FIELDS_MAX {
                return malformed("too many fields");
            }
        }
    }

    /// The one value of a field; two of them are none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(field, _)| field == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// Whether one of the comma-separated elements of `Connection` is this.
    pub(super) fn connection_says(&self, option: &str) -> bool {
        let fields = self.fields.iter().filter(|(name, _)| name == "connection");
        fields.flat_map(|(_, v)| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case(option))
    }

    /// How the body is framed, as far as the head says; `None` without a word about it.
    pub(super) fn framing(&self) -> Result<Option<Framing>, Broken> {
        match (self.get("content-length"), self.get("transfer-encoding")) {
            (None, None) => Ok(None),
            (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => {
                Ok(Some(Framing::Chunked))
            }
            (Some(text), None) => match text.parse() {
                Ok(length) => Ok(Some(Framing::Length(length))),
                Err(_) => malformed(format!("content-length {text:?}")),
            },
            both => malformed(format!("framing {both:?}")),
        }
    }
}

/// A line without its CRLF.
fn line(input: &mut impl BufRead) -> Result<String, Broken> {
    let mut bytes = Vec::new();
    input.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(Broken::Io(ErrorKind::UnexpectedEof.into()));
    }
    if bytes.pop() != Some(b'\r') {
        return malformed("a line without CR");
    }
    String::from_utf8(bytes).map_err(|_| Broken::Malformed("a line that is not text".into()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// Takes what a body brings; an error means that it brings the wrong thing.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Broken>;

/// Reads a body to its end and not beyond. A stream that ends before is an `UnexpectedEof`.
pub(super) fn read_body(
    input: &mut impl BufRead,
    framing: Framing,
    sink: Sink<'_>,
) -> Result<(), Broken> {
    match framing {
        Framing::Length(length) => read_exactly(input, length, sink),
        Framing::UntilClose => loop {
            let bytes = input.fill_buf()?;
            if bytes.is_empty() {
                return Ok(());
            }
            sink(bytes)?;
            let count = bytes.len();
            input.consume(count);
        },
        Framing::Chunked => loop {
            let text = line(input)?;
            let Ok(length) = u64::from_str_radix(&text, 16) else {
                return malformed(format!("chunk head {text:?}"));
            };
            if length == 0 {
                while !line(input)?.is_empty() {} // trailers
                return Ok(());
            }
            read_exactly(input, length, sink)?;
            if !line(input)?.is_empty() {
                return malformed("a chunk longer than its head says");
            }
        },
    }
}

fn read_exactly(input: &mut impl BufRead, length: u64, sink: Sink<'_>) -> Result<(), Broken> {
    let mut left = length;
    while left > 0 {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            return Err(Broken::Io(ErrorKind::UnexpectedEof.into()));
        }
        let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        sink(&bytes[..count])?;
        input.consume(count);
        left -= count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, framing: Framing, expected: Result<&str, bool>) {
        let mut body = Vec::new();
        let mut sink = |bytes: &[u8]| {
            body.extend_from_slice(bytes);
            Ok(())
        };
        let result = read_body(&mut text.as_bytes(), framing, &mut sink);
        let result = match result {
            Ok(()) => Ok(String::from_utf8(body).unwrap()),
            Err(broken) => Err(matches!(broken, Broken::Io(_))),
        };
        assert_eq!(result.as_deref().map_err(|is_io| *is_io), expected, "{text:?}");
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        check("hello", Framing::Length(3), Ok("hel"));
        check("hello", Framing::UntilClose, Ok("hello"));
        check("3\r\nhel\r\n2\r\nlo\r\n0\r\na: b\r\n\r\nx", Framing::Chunked, Ok("hello"));
    }

    #[test]
    fn short_bodies_are_told_from_malformed_ones() {
        check("he", Framing::Length(3), Err(true));
        check("3\r\nhel\r\n", Framing::Chunked, Err(true));
        check("3\r\nhel\r\n0\r\n", Framing::Chunked, Err(true));
        check("3\r\nhello\r\n", Framing::Chunked, Err(false));
        check("z\r\n", Framing::Chunked, Err(false));
    }

    #[test]
    fn two_framings_are_none() {
        let text = "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let head = Head::read(&mut text.as_bytes()).unwrap().unwrap();
        assert!(head.framing().is_err());
    }
}
