//! Response heads (RFC 9112, sections 4 and 6), as strictly as requests: an endpoint that breaks
//! the framing rules is not guessed at.

use fairwater_message::{
    BodyLength, Fault, Field, HeadLimits, HeaderId, ResponseHead, Span, Version,
};

use super::fields::{
    self, Lines, RESPONSE, content_length, has_control, is_blank, read_connection,
};

/// Reads one response head; keeps its place while bytes arrive.
#[derive(Debug, Default)]
pub struct ResponseReader {
    lines: Lines,
    has_line: bool,
    is_chunked: bool,
    length: Option<u64>,
    connection_names: u8,
    /// Accept bare LF and folded fields (`relaxed_responses`).
    is_relaxed: bool,
}

impl ResponseReader {
    pub fn new(is_relaxed: bool, limits: HeadLimits) -> Self {
        Self { lines: Lines::new(limits), is_relaxed, ..Self::default() }
    }

    /// As [`super::RequestReader::read`].
    ///
    /// # Errors
    /// A fault of the endpoint.
    #[inline]
    pub fn read(&mut self, bytes: &[u8], head: &mut ResponseHead) -> Result<bool, Fault> {
        while let Some((start, end)) = self
            .lines
            .next(bytes, RESPONSE, self.is_relaxed)
            .map_err(|fault| self.at_line_end(bytes, fault))?
        {
            if !self.has_line {
                read_line(bytes, start, end, head)?;
                self.has_line = true;
            } else if start == end {
                head.len = self.lines.start;
                return self.finish(head).map(|()| true);
            } else if self.is_relaxed && is_blank(bytes[start]) && !head.fields.is_empty() {
                unfold(bytes, start, end, head)?;
            } else {
                let fields = (&mut head.fields, self.lines.limits.fields);
                let field = fields::read_field(bytes, (start, end), fields, RESPONSE)?;
                self.read_known(bytes, field, head)?;
            }
        }
        if !self.has_line {
            check_pending(self.lines.pending(bytes))?;
        }
        Ok(false)
    }

    /// A line without a proper end: perhaps it was none of HTTP from its first bytes on.
    #[cold]
    fn at_line_end(&self, bytes: &[u8], fault: Fault) -> Fault {
        if self.has_line {
            return fault;
        }
        check_pending(self.lines.pending(bytes)).err().unwrap_or(fault)
    }

    #[inline]
    fn read_known(
        &mut self,
        bytes: &[u8],
        field: Field,
        head: &mut ResponseHead,
    ) -> Result<(), Fault> {
        let value = field.value.of(bytes);
        match field.id {
            HeaderId::ContentLength => {
                let length = content_length(value);
                if length.is_none() || self.length.is_some() {
                    return Err(RESPONSE.malformed("bad_content_length"));
                }
                self.length = length;
            }
            HeaderId::TransferEncoding => {
                let is_chunked = value.eq_ignore_ascii_case(b"chunked");
                if !is_chunked || self.is_chunked || head.version == Version::Http10 {
                    return Err(RESPONSE.malformed("bad_transfer_encoding"));
                }
                self.is_chunked = true;
            }
            HeaderId::Connection => {
                let names = &mut self.connection_names;
                read_connection(value, &mut head.connection, names, RESPONSE)?;
            }
            HeaderId::KeepAlive => head.keep_alive_timeout_s = keep_alive_timeout(value),
            _ => {}
        }
        Ok(())
    }

    #[inline]
    fn finish(&self, head: &mut ResponseHead) -> Result<(), Fault> {
        head.body = match (self.is_chunked, self.length) {
            (true, Some(_)) => {
                return Err(RESPONSE.malformed("content_length_and_transfer_encoding"));
            }
            (true, None) => BodyLength::Chunked,
            (false, Some(length)) => BodyLength::Known(length),
            (false, None) => BodyLength::UntilClose,
        };
        Ok(())
    }
}

#[inline]
fn read_line(bytes: &[u8], start: usize, end: usize, head: &mut ResponseHead) -> Result<(), Fault> {
    let line = &bytes[start..end];
    head.version = match line.get(..9) {
        Some(b"HTTP/1.1 ") => Version::Http11,
        Some(b"HTTP/1.0 ") => Version::Http10,
        _ => return Err(RESPONSE.malformed("bad_status_line")),
    };
    let digits = line.get(9..12).filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let Some(&[a, b, c]) = digits else { return Err(RESPONSE.malformed("bad_status")) };
    head.status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    // Many servers leave out the space before an empty reason.
    if head.status < 100 || !matches!(line.get(12), None | Some(b' ')) {
        return Err(RESPONSE.malformed("bad_status"));
    }
    if has_control(line) {
        return Err(RESPONSE.malformed("control_character_in_status_line"));
    }
    head.reason = Span::new((start + 13).min(end), end);
    Ok(())
}

/// Refuses what cannot become a status line without waiting for more of it.
#[cold]
fn check_pending(pending: &[u8]) -> Result<(), Fault> {
    let expected = b"HTTP/1.";
    let len = pending.len().min(expected.len());
    if pending[..len] != expected[..len] {
        return Err(RESPONSE.malformed("bad_status_line"));
    }
    Ok(())
}

/// Lengthens the last value over a folded line; `write` turns the line end inside into a space.
#[cold]
fn unfold(bytes: &[u8], start: usize, end: usize, head: &mut ResponseHead) -> Result<(), Fault> {
    let Some(last) = head.fields.last_mut() else { return Ok(()) };
    let is_framing = matches!(
        last.id,
        HeaderId::ContentLength | HeaderId::TransferEncoding | HeaderId::Connection
    );
    if is_framing || has_control(&bytes[start..end]) {
        return Err(RESPONSE.malformed("folded_field"));
    }
    last.value.end = Span::new(start, end).end;
    head.is_folded = true;
    Ok(())
}

/// `timeout=N` of a `Keep-Alive` field.
fn keep_alive_timeout(value: &[u8]) -> Option<u32> {
    fields::list(value).find_map(|parameter| {
        let (name, digits) = parameter.split_at_checked(8)?;
        let digits = std::str::from_utf8(digits).ok()?;
        name.eq_ignore_ascii_case(b"timeout=").then(|| digits.parse().ok())?
    })
}

#[cfg(test)]
mod tests;
