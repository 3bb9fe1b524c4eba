//! Request heads (RFC 9112, sections 3 and 6): from bytes to an index, or to the fault that says
//! what is wrong with them.

use fairwater_message::{
    BodyLength, Fault, FaultKind, Field, HeadLimits, HeaderId, Method, RequestHead, Span,
    TARGET_BYTES_MAX, Version, target,
};

use super::fields::{self, Lines, REQUEST, content_length, has_control, read_connection};

/// Empty lines that are forgiven before a request line (RFC 9112, section 2.2).
const LEADING_LINES_MAX: u8 = 4;
/// The longest method that is registered has 17 letters; nobody needs twice that.
const METHOD_BYTES_MAX: usize = 32;
/// The longest request line: method, space, target, ` HTTP/1.1`.
const LINE_BYTES_MAX: usize = METHOD_BYTES_MAX + 1 + TARGET_BYTES_MAX + 9;

/// Reads one request head; keeps its place while bytes arrive.
#[derive(Debug, Default)]
pub struct RequestReader {
    lines: Lines,
    has_line: bool,
    leading_lines: u8,
    seen: Seen,
}

/// What may come once only, or not together.
#[derive(Debug, Default)]
struct Seen {
    host: Option<Span>,
    length: Option<u64>,
    is_chunked: bool,
    is_absolute: bool,
    connection_names: u8,
}

impl RequestReader {
    pub fn new(limits: HeadLimits) -> Self {
        Self { lines: Lines::new(limits), ..Self::default() }
    }

    /// Goes on where the last call stopped. `bytes` is everything received so far, from the first
    /// byte of the head on, and may hold more than the head. Returns whether the head is complete;
    /// `head.len` then says where the body starts.
    ///
    /// # Errors
    /// A fault with the status to answer; what was received must not be read any further.
    #[inline]
    pub fn read(&mut self, bytes: &[u8], head: &mut RequestHead) -> Result<bool, Fault> {
        while let Some((start, end)) = self
            .lines
            .next(bytes, REQUEST, false)
            .map_err(|fault| self.at_line_end(bytes, fault))?
        {
            if !self.has_line {
                if start == end {
                    self.leading_lines += 1;
                    if self.leading_lines > LEADING_LINES_MAX {
                        return Err(REQUEST.malformed("empty_lines_before_request"));
                    }
                    continue;
                }
                self.read_line(bytes, start, end, head)
                    .map_err(|fault| first_offence(&bytes[start..end]).unwrap_or(fault))?;
                self.has_line = true;
            } else if start == end {
                head.len = end + 2;
                self.finish(bytes, head)?;
                return Ok(true);
            } else {
                let fields = (&mut head.fields, self.lines.limits.fields);
                let field = fields::read_field(bytes, (start, end), fields, REQUEST)?;
                self.read_known(bytes, field, head)?;
            }
        }
        if !self.has_line {
            self.check_pending(bytes)?;
        }
        Ok(false)
    }

    /// Whether anything but empty lines has come.
    pub fn has_begun(&self, bytes: &[u8]) -> bool {
        self.has_line || !self.lines.pending(bytes).trim_ascii().is_empty()
    }

    /// Refuses early what can never become a request line, so that a TLS hello or random bytes do
    /// not hold a connection until its deadline.
    #[cold]
    fn check_pending(&self, bytes: &[u8]) -> Result<(), Fault> {
        let pending = self.lines.pending(bytes);
        first_offence(pending.strip_suffix(b"\r").unwrap_or(pending)).map_or(Ok(()), Err)
    }

    /// A line without a proper end. Before there was a request line, perhaps this is not HTTP.
    #[cold]
    fn at_line_end(&self, bytes: &[u8], fault: Fault) -> Fault {
        if self.has_line {
            return fault;
        }
        let pending = self.lines.pending(bytes);
        let line = pending.split(|&b| b == b'\n').next().unwrap_or_default();
        match first_offence(line) {
            Some(earlier) => earlier,
            None if line.is_empty() || speaks_http(line) => fault,
            None => NOT_HTTP,
        }
    }

    fn read_line(
        &mut self,
        bytes: &[u8],
        start: usize,
        end: usize,
        head: &mut RequestHead,
    ) -> Result<(), Fault> {
        let line = &bytes[start..end];
        let method_len = line.iter().position(|&b| b == b' ').unwrap_or(line.len());
        if !line[..method_len].iter().all(|&b| is_method_byte(b)) || method_len == 0 {
            return Err(bad_method(line));
        }
        if method_len > METHOD_BYTES_MAX {
            return Err(REQUEST.malformed("method_too_long"));
        }
        // The target ends at the last space, and may itself hold none.
        let target_start = method_len + 1;
        let version_at = line.len().saturating_sub(9); // " HTTP/1.1"
        let version = line.get(version_at..).unwrap_or_default();
        if version_at < target_start || !version.starts_with(b" HTTP/") {
            return Err(bad_line(line));
        }
        let target = &line[target_start..version_at];
        if target.len() > TARGET_BYTES_MAX {
            return Err(FaultKind::TargetTooLong.into());
        }
        if target.is_empty() || !target.iter().all(|&b| matches!(b, 0x21..=0x7e) && b != b'#') {
            return Err(REQUEST.malformed("bad_character_in_target"));
        }
        head.version = match version {
            b" HTTP/1.1" => Version::Http11,
            b" HTTP/1.0" => Version::Http10,
            b" HTTP/2.0" if line.starts_with(b"PRI * ") => {
                return Err(Fault::because(FaultKind::NotHttp, "http2_preface"));
            }
            _ => return Err(version_error(version)),
        };
        head.method = Method::of(&line[..method_len]);
        head.method_span = Span::new(start, start + method_len);
        head.target = Span::new(start + target_start, start + version_at);
        self.read_target(bytes, head)
    }

    /// Origin, absolute or asterisk form (RFC 9112, section 3.2). CONNECT is refused outright.
    fn read_target(&mut self, bytes: &[u8], head: &mut RequestHead) -> Result<(), Fault> {
        if matches!(head.method, Method::Connect | Method::Trace) {
            return Err(FaultKind::MethodRefused.into());
        }
        let target = head.target.of(bytes);
        if target[0] == b'/' || (target == b"*" && head.method == Method::Options) {
            head.path = head.target;
            return Ok(());
        }
        let scheme_len = match target {
            _ if starts_with_ignoring_case(target, b"http://") => 7,
            _ if starts_with_ignoring_case(target, b"https://") => 8,
            _ => return Err(REQUEST.malformed("bad_target_form")),
        };
        let rest = &target[scheme_len..];
        let len = rest.iter().position(|&b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
        if !target::authority_is_valid(&rest[..len]) {
            return Err(REQUEST.malformed("bad_authority"));
        }
        let from = usize::from(head.target.start) + scheme_len;
        head.authority = Span::new(from, from + len);
        head.path = Span::new(from + len, usize::from(head.target.end));
        self.seen.is_absolute = true;
        Ok(())
    }

    #[inline]
    fn read_known(
        &mut self,
        bytes: &[u8],
        field: Field,
        head: &mut RequestHead,
    ) -> Result<(), Fault> {
        let value = field.value.of(bytes);
        match field.id {
            HeaderId::Host if self.seen.host.replace(field.value).is_some() => {
                return Err(REQUEST.malformed("repeated_host"));
            }
            HeaderId::ContentLength => {
                let length = content_length(value);
                if length.is_none() || self.seen.length.is_some() {
                    return Err(REQUEST.malformed("bad_content_length"));
                }
                self.seen.length = length;
            }
            HeaderId::TransferEncoding => self.read_coding(value, head.version)?,
            HeaderId::Connection => {
                let names = &mut self.seen.connection_names;
                read_connection(value, &mut head.connection, names, REQUEST)?;
            }
            HeaderId::Expect if head.version == Version::Http11 => {
                if !value.eq_ignore_ascii_case(b"100-continue") || head.expects_continue {
                    return Err(FaultKind::ExpectationFailed.into());
                }
                head.expects_continue = true;
            }
            HeaderId::Via => {
                let members = fields::list(value).count();
                head.hops = head.hops.saturating_add(members.try_into().unwrap_or(u16::MAX));
            }
            _ => {}
        }
        Ok(())
    }

    fn read_coding(&mut self, value: &[u8], version: Version) -> Result<(), Fault> {
        if version == Version::Http10 {
            return Err(REQUEST.malformed("transfer_encoding_on_http_1_0"));
        }
        if self.seen.is_chunked {
            return Err(REQUEST.malformed("repeated_transfer_encoding"));
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            // A coding that we do not know is honestly refused; a spelling of `chunked` that
            // another parser might accept is an attack.
            let is_plain = value.iter().all(|&b| fields::is_token(b));
            let hides_chunked = value.to_ascii_lowercase().windows(7).any(|w| w == b"chunked");
            return Err(if is_plain && !hides_chunked && !value.is_empty() {
                FaultKind::TransferCodingUnknown.into()
            } else {
                REQUEST.malformed("bad_transfer_encoding")
            });
        }
        self.seen.is_chunked = true;
        Ok(())
    }

    /// The rules that need the whole head.
    #[inline]
    fn finish(&mut self, bytes: &[u8], head: &mut RequestHead) -> Result<(), Fault> {
        head.body = match (self.seen.is_chunked, self.seen.length) {
            (true, Some(_)) => {
                return Err(REQUEST.malformed("content_length_and_transfer_encoding"));
            }
            (true, None) => BodyLength::Chunked,
            (false, Some(0) | None) => BodyLength::None,
            (false, Some(length)) => BodyLength::Known(length),
        };
        let Some(host) = self.seen.host else {
            return if head.version == Version::Http10 {
                Ok(())
            } else {
                Err(REQUEST.malformed("no_host"))
            };
        };
        let value = host.of(bytes);
        if !target::authority_is_valid(value) {
            // An empty Host is what a client without an authority sends; we have no use for it.
            return Err(REQUEST.malformed("bad_host"));
        }
        if self.seen.is_absolute && !head.authority.of(bytes).eq_ignore_ascii_case(value) {
            return Err(REQUEST.malformed("host_differs_from_target"));
        }
        head.authority = host;
        Ok(())
    }
}

fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
}

fn starts_with_ignoring_case(text: &[u8], prefix: &[u8]) -> bool {
    text.len() >= prefix.len() && text[..prefix.len()].eq_ignore_ascii_case(prefix)
}

/// A first line without a word of HTTP: no HTTP client sends it, and it gets no answer.
const NOT_HTTP: Fault = Fault::because(FaultKind::NotHttp, "no_request_line");

/// What is wrong with the beginning of a request line, judged by the bytes up to the first wrong
/// one: the verdict does not depend on how much more of the line has come.
#[cold]
fn first_offence(line: &[u8]) -> Option<Fault> {
    let line = &line[..line.len().min(LINE_BYTES_MAX + 1)];
    if !matches!(line.first()?, b'\t' | b' '..=b'~') {
        return Some(NOT_HTTP);
    }
    if has_control(line) {
        let at = line.iter().position(|&b| has_control(&[b])).unwrap_or_default();
        let is_text = line[0].is_ascii_alphabetic() && line[..at].is_ascii();
        return Some(match is_text {
            true => REQUEST.malformed("control_character_in_request_line"),
            false => NOT_HTTP,
        });
    }
    if line.len() <= LINE_BYTES_MAX {
        return None;
    }
    Some(match line.iter().position(|&b| b == b' ') {
        Some(at) if at <= METHOD_BYTES_MAX => FaultKind::TargetTooLong.into(),
        _ => REQUEST.malformed("method_too_long"),
    })
}

/// Whether a line has a word of HTTP in it, so that who sent it is told what is wrong with it.
fn speaks_http(line: &[u8]) -> bool {
    let method = line.split(|&b| b == b' ').next().unwrap_or_default();
    Method::of(method) != Method::Other
        || line.windows(5).any(|word| word.eq_ignore_ascii_case(b"HTTP/"))
}

#[cold]
fn bad_method(line: &[u8]) -> Fault {
    match line.first() {
        _ if !speaks_http(line) => NOT_HTTP,
        Some(&first) if fields::is_token(first) => REQUEST.malformed("bad_method"),
        _ => REQUEST.malformed("bad_request_line"),
    }
}

#[cold]
fn bad_line(line: &[u8]) -> Fault {
    if speaks_http(line) { REQUEST.malformed("bad_request_line") } else { NOT_HTTP }
}

#[cold]
fn version_error(version: &[u8]) -> Fault {
    match version {
        [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            FaultKind::VersionUnsupported.into()
        }
        _ => REQUEST.malformed("bad_version"),
    }
}

#[cfg(test)]
mod tests;
