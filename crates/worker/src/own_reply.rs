//! A reply that we make ourselves: short, and telling nothing of the inside.

use std::borrow::Cow;

use fairwater_message::{FaultKind, GrpcCode, HeaderId, Method, RequestHead};
use fairwater_net::clock::{self, Civil};
use fairwater_plan::{ErrorPage, PageValues};
use fairwater_proto::h1::{Edits, reason_phrase};

use crate::exchange::is_bodiless;

#[derive(Debug)]
pub(crate) struct OwnReply<'o> {
    pub status: u16,
    pub content_type: &'o str,
    pub body: Cow<'o, [u8]>,
    /// Where the client should go.
    pub location: &'o [u8],
    /// When the client should come again, with a 503.
    pub retry_after_s: u64,
    /// What a client of gRPC is told.
    pub grpc: Option<GrpcCode>,
}

const TEXT: &str = "text/plain; charset=utf-8";

impl<'o> OwnReply<'o> {
    /// A reply without a body.
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            content_type: TEXT,
            body: Cow::Borrowed(b""),
            location: b"",
            retry_after_s: 1,
            grpc: None,
        }
    }

    /// The end of a call: a head that says what it came to, and nothing behind it.
    pub(crate) fn of_call(kind: FaultKind) -> Self {
        let message = reason_phrase(kind.status()).as_bytes();
        let grpc = Some(kind.grpc_code());
        Self {
            content_type: "application/grpc",
            grpc,
            body: Cow::Borrowed(message),
            ..Self::new(200)
        }
    }

    /// A reply whose body says its status, in JSON for who prefers that.
    pub(crate) fn of_fault(status: u16, head: &RequestHead, bytes: &[u8]) -> Self {
        let phrase = reason_phrase(status);
        let (content_type, body) = match prefers_json(head, bytes) {
            true => {
                ("application/json", format!("{{\"status\":{status},\"error\":\"{phrase}\"}}\n"))
            }
            false => (TEXT, format!("{status} {phrase}\n")),
        };
        Self { content_type, body: Cow::Owned(body.into_bytes()), ..Self::new(status) }
    }

    /// A page that stands for an error.
    pub(crate) fn of_page(status: u16, page: &ErrorPage, request_id: &str) -> Self {
        let values = PageValues { status, status_text: reason_phrase(status), request_id };
        let body = Cow::Owned(page.filled_in(values));
        Self { content_type: page.content_type(), body, ..Self::new(status) }
    }

    /// Bytes of the body that a client of this method gets.
    pub(crate) fn sent_len(&self, method: Method) -> u64 {
        let is_bodiless = is_bodiless(method, self.status) || self.grpc.is_some();
        if is_bodiless { 0 } else { self.body.len() as u64 }
    }

    /// Writes head and body.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        head: &RequestHead,
        edits: Edits<'_>,
        closes: bool,
    ) {
        let mut digits = itoa::Buffer::new();
        let phrase = reason_phrase(self.status).as_bytes();
        let status = digits.format(self.status).as_bytes();
        for part in [b"HTTP/1.1 ", status, b" ", phrase, b"\r\n"] {
            out.extend_from_slice(part);
        }
        let mut line = |id: HeaderId, value: &[u8]| {
            if !edits.removed.iter().any(|name| name.id() == id) {
                for part in [id.name().as_bytes(), b": ", value, b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
        };
        if !self.body.is_empty() {
            line(HeaderId::ContentType, self.content_type.as_bytes());
        }
        line(HeaderId::Date, date(clock::wall_us() / 1_000_000).as_bytes());
        if !self.location.is_empty() {
            line(HeaderId::Location, self.location);
        }
        match self.status {
            405 => line(HeaderId::Allow, b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"),
            503 => {
                let mut digits = itoa::Buffer::new();
                line(HeaderId::RetryAfter, digits.format(self.retry_after_s).as_bytes());
            }
            _ => {}
        }
        out.extend_from_slice(edits.lines);
        if let Some(code) = self.grpc {
            out.extend_from_slice(b"grpc-status: ");
            out.extend_from_slice(itoa::Buffer::new().format(code as u8).as_bytes());
            out.extend_from_slice(b"\r\ngrpc-message: ");
            out.extend_from_slice(&self.body);
            out.extend_from_slice(b"\r\n\r\n");
            return;
        }
        // A 204 has no length, and that of a 304 would speak of another reply.
        if !matches!(self.status, 204 | 304) {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(self.body.len()).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if closes {
            out.extend_from_slice(b"connection: close\r\n");
        } else if !crate::downstream::reads_chunks(head) {
            out.extend_from_slice(b"connection: keep-alive\r\n"); // HTTP/1.0 needs to be told
        }
        out.extend_from_slice(b"\r\n");
        if !is_bodiless(head.method, self.status) {
            out.extend_from_slice(&self.body);
        }
    }
}

/// Whether the client would rather have JSON than text.
pub(crate) fn prefers_json(head: &RequestHead, bytes: &[u8]) -> bool {
    let accept = head.find(HeaderId::Accept).map_or(&b""[..], |field| field.value.of(bytes));
    let at = |needle: &[u8]| accept.windows(needle.len()).position(|w| w == needle);
    match (at(b"application/json"), at(b"text/")) {
        (Some(json), Some(text)) => json < text,
        (json, _) => json.is_some(),
    }
}

/// RFC 9110, section 5.6.7.
fn date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let Civil { year, month, day, hour, minute, second } = Civil::from_epoch(seconds);
    let (name, month) = (DAYS[(seconds / 86_400 % 7) as usize], Civil::MONTHS[month as usize - 1]);
    format!("{name}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        for (seconds, expected) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_795_258_507, "Sat, 21 Nov 2026 10:55:07 GMT"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
