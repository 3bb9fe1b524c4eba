//! Heads as lines (RFC 9112, section 2.1).

use fairwater_message::{Field, HeaderId};

use crate::form::Form;

/// Appends a head.
#[derive(Debug)]
pub struct Lines<'a>(pub &'a mut Vec<u8>);

impl Form for Lines<'_> {
    const SAYS_FRAMING: bool = true;

    #[inline]
    fn begin_request(&mut self, method: &[u8], path: [&[u8]; 2], host: &[u8]) {
        let Self(out) = self;
        out.extend_from_slice(method);
        out.push(b' ');
        path.iter().for_each(|piece| out.extend_from_slice(piece));
        out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        out.extend_from_slice(host);
        out.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn begin_reply(&mut self, status: u16, reason: &[u8]) {
        let Self(out) = self;
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason);
        out.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn field(&mut self, field: &Field, bytes: &[u8], is_folded: bool) {
        let Self(out) = self;
        let name = field.name.of(bytes);
        let value = field.value.of(bytes);
        if is_folded {
            return write_unfolded(out, name, value);
        }
        // `Name: value CRLF` is how nearly every peer writes it: then one copy does.
        let (start, end) = (usize::from(field.name.start), usize::from(field.value.end));
        if field.value.start == field.name.end + 2
            && bytes.get(end..end + 2) == Some(b"\r\n")
            && let Some(line) = bytes.get(start..end + 2)
            && line[name.len() + 1] == b' '
        {
            out.extend_from_slice(line);
            return;
        }
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }

    #[inline(always)]
    fn own(&mut self, id: HeaderId, write: impl FnOnce(&mut Vec<u8>)) {
        let Self(out) = self;
        out.extend_from_slice(id.name().as_bytes());
        out.extend_from_slice(b": ");
        write(out);
        out.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn lines(&mut self, lines: &[u8]) {
        self.0.extend_from_slice(lines);
    }

    #[inline]
    fn end(&mut self) {
        self.0.extend_from_slice(b"\r\n");
    }
}

/// A folded value on one line.
#[cold]
fn write_unfolded(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend(value.iter().map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }));
    out.extend_from_slice(b"\r\n");
}
