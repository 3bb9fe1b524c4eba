//! Heads as compressed fields (RFC 9113, section 8.3; RFC 7541), without the frames around them.

use fairwater_message::{Field, HeaderId, Trailers};

use crate::form::Form;
use crate::hpack::{Name, write_field, write_secret, write_status};

/// Names that fit are put into small letters without an allocation.
const NAME_BYTES: usize = 64;
const KEY: &[u8] = b"sec-websocket-key";

/// Appends the fields of a head.
#[derive(Debug)]
pub struct Block<'a> {
    out: &'a mut Vec<u8>,
    scheme: &'static str,
    tunnel: Option<&'static str>,
    has_secrets: bool,
}

impl<'a> Block<'a> {
    /// Of a request; `tunnel` is the protocol that it asks for in place of its method (RFC 8441,
    /// section 4).
    pub fn of_request(
        out: &'a mut Vec<u8>,
        scheme: &'static str,
        tunnel: Option<&'static str>,
    ) -> Self {
        Self { out, scheme, tunnel, has_secrets: false }
    }

    pub fn of_reply(out: &'a mut Vec<u8>) -> Self {
        Self { out, scheme: "", tunnel: None, has_secrets: false }
    }

    /// Of a head with fields that may come into no table of any later hop. Which ones is not kept:
    /// none does.
    pub fn with_secrets(self, has_secrets: bool) -> Self {
        Self { has_secrets, ..self }
    }

    /// A field that has come with the head, or a part of it.
    fn given(&mut self, name: &[u8], value: &[u8]) {
        match self.has_secrets {
            true => write_secret(self.out, name, value),
            false => write_field(self.out, name, value),
        }
    }
}

impl Form for Block<'_> {
    const SAYS_FRAMING: bool = false;

    fn begin_request(&mut self, method: &[u8], path: [&[u8]; 2], host: &[u8]) {
        let method = if self.tunnel.is_some() { b"CONNECT" } else { method };
        write_field(self.out, b":method", method);
        write_field(self.out, b":scheme", self.scheme.as_bytes());
        match path {
            [b"", path] => self.given(b":path", path),
            [root, rest] => self.given(b":path", &[root, rest].concat()),
        }
        self.given(b":authority", host);
        if let Some(protocol) = self.tunnel {
            write_field(self.out, b":protocol", protocol.as_bytes());
        }
    }

    fn begin_reply(&mut self, status: u16, _reason: &[u8]) {
        write_status(self.out, status);
    }

    fn field(&mut self, field: &Field, bytes: &[u8], is_folded: bool) {
        let (name, value) = (field.name.of(bytes), field.value.of(bytes));
        if is_folded {
            let unfolded = |&b: &u8| if matches!(b, b'\r' | b'\n') { b' ' } else { b };
            let value: Vec<u8> = value.iter().map(unfolded).collect();
            // Where a line has nothing, the value would begin or end with blanks (section 8.2.1).
            return self.given(&name.to_ascii_lowercase(), value.trim_ascii());
        }
        match field.id {
            // A tunnel of HTTP/2 has no key.
            HeaderId::Other if self.tunnel.is_some() && name.eq_ignore_ascii_case(KEY) => {}
            HeaderId::Other => in_small(name, |name| self.given(name, value)),
            id if self.has_secrets => write_secret(self.out, id.name().as_bytes(), value),
            id => Name::of(id).write(self.out, value),
        }
    }

    #[inline(always)]
    fn own(&mut self, id: HeaderId, write: impl FnOnce(&mut Vec<u8>)) {
        Name::of(id).write_with(self.out, write);
    }

    fn lines(&mut self, lines: &[u8]) {
        write_lines(self.out, lines, b"");
    }

    fn end(&mut self) {}
}

/// Fields of a connection, which HTTP/2 has none of (section 8.2.2).
fn is_of_connection(name: &[u8]) -> bool {
    match name.len() {
        7 => name.eq_ignore_ascii_case(b"upgrade"),
        10 => name.eq_ignore_ascii_case(b"connection") || name.eq_ignore_ascii_case(b"keep-alive"),
        16 => name.eq_ignore_ascii_case(b"proxy-connection"),
        17 => name.eq_ignore_ascii_case(b"transfer-encoding"),
        _ => false,
    }
}

/// Field lines up to the empty one, without those of connections and another name.
pub(super) fn write_lines(out: &mut Vec<u8>, lines: &[u8], without: &[u8]) {
    each_line(lines, |name, value| {
        if !name.eq_ignore_ascii_case(without) {
            in_small(name, |name| write_field(out, name, value));
        }
    });
}

/// As [`Block::with_secrets`], where any has come with them.
pub(super) fn write_trailers(out: &mut Vec<u8>, trailers: &Trailers) {
    let write = if trailers.has_secrets { write_secret } else { write_field };
    each_line(&trailers.lines, |name, value| in_small(name, |name| write(out, name, value)));
}

fn each_line(lines: &[u8], mut take: impl FnMut(&[u8], &[u8])) {
    let mut rest = lines;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if !is_of_connection(name) {
            take(name, value);
        }
    }
}

/// Writes a field whose name may have capital letters.
fn in_small(name: &[u8], write: impl FnOnce(&[u8])) {
    let mut small = [0; NAME_BYTES];
    match small.get_mut(..name.len()) {
        Some(small) => {
            small.copy_from_slice(name);
            small.make_ascii_lowercase();
            write(small);
        }
        None => write(&name.to_ascii_lowercase()),
    }
}
