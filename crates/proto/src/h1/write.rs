//! Heads as we write them: every line anew from the index, hop-by-hop fields left out, framing and
//! identity by our own hand.

use fairwater_message::{
    BodyLength, Connection, Field, HeaderId, Method, RequestHead, ResponseHead, Version,
};

use super::fields::{is_named_by_connection, list};
use super::forward::{Edits, Forwarding, HostPolicy, write_identity, write_joined};
use crate::form::Form;

/// How the request body goes to the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFraming {
    None,
    Length(u64),
    Chunked,
}

/// How the response body goes to the client, and what becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyFraming {
    /// No framing field at all: 1xx, 204, or a body that ends with the connection.
    Bare,
    Length(u64),
    Chunked,
    /// A reply without a body whose `Content-Length` speaks of what a GET would get (HEAD, 304).
    AsWritten,
}

/// Writes the request head for an endpoint.
pub fn write_request(
    form: &mut impl Form,
    head: &RequestHead,
    bytes: &[u8],
    framing: RequestFraming,
    forwarding: &Forwarding<'_>,
) {
    let edits = &forwarding.edits;
    let path = edits.path.unwrap_or(head.path.of(bytes));
    let root: &[u8] = if path.starts_with(b"/") || path == b"*" {
        b""
    } else if head.method == Method::Options && path.is_empty() {
        // An absolute-form target without a path; of OPTIONS it means the server as a whole
        // (RFC 9112, section 3.2.4).
        b"*"
    } else {
        b"/"
    };
    let host = match forwarding.host {
        HostPolicy::Set(name) => name,
        HostPolicy::Keep => head.authority.of(bytes),
    };
    form.begin_request(head.method_span.of(bytes), [root, path], host);
    for field in &head.fields {
        if is_forwarded(field, head, bytes, forwarding.is_trusted) && edits.keeps(field, bytes) {
            form.field(field, bytes, false);
        }
    }
    if !edits.own_cookie.is_empty() {
        edits.write_cookies(form, head, bytes);
    }
    form.lines(edits.lines);
    write_request_framing(form, head, framing);
    write_identity(form, head, bytes, forwarding);
    write_via(form, head, bytes);
    if head.method == Method::Options
        && let Some(left) = max_forwards(head, bytes)
    {
        write_number(form, HeaderId::MaxForwards, u64::from(left.saturating_sub(1)));
    }
    if let Some(protocol) = asks_upgrade(head, bytes) {
        write_of_connection(form, HeaderId::Connection, b"upgrade");
        write_of_connection(form, HeaderId::Upgrade, protocol);
    } else if forwarding.close {
        write_of_connection(form, HeaderId::Connection, b"close");
    }
    form.end();
}

#[inline]
fn write_request_framing(form: &mut impl Form, head: &RequestHead, framing: RequestFraming) {
    match framing {
        RequestFraming::None if is_content_expected(head.method) => {
            write_number(form, HeaderId::ContentLength, 0);
        }
        RequestFraming::None => {}
        RequestFraming::Length(length) => write_number(form, HeaderId::ContentLength, length),
        RequestFraming::Chunked => {
            write_of_connection(form, HeaderId::TransferEncoding, b"chunked");
        }
    }
}

/// A field that only connections of HTTP/1 have.
#[inline]
fn write_of_connection<F: Form>(form: &mut F, id: HeaderId, value: &[u8]) {
    if F::SAYS_FRAMING {
        form.own(id, |out| out.extend_from_slice(value));
    }
}

#[inline]
fn write_number(form: &mut impl Form, id: HeaderId, number: u64) {
    form.own(id, |out| out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()));
}

/// Proxies that an OPTIONS may still pass; the one that gets 0 answers itself (RFC 9110, section
/// 7.6.2). `None` if it says nothing that can be read.
pub fn max_forwards(head: &RequestHead, bytes: &[u8]) -> Option<u32> {
    let field = head.find(HeaderId::MaxForwards)?;
    std::str::from_utf8(field.value.of(bytes)).ok()?.parse().ok()
}

/// The protocol that the client asks to switch to, where we let it: no body, and neither HTTP/2 nor
/// TLS, under which further requests would pass out of our sight (RFC 9113, section 3.1;
/// RFC 2817).
pub fn asks_upgrade<'a>(head: &RequestHead, bytes: &'a [u8]) -> Option<&'a [u8]> {
    if !head.connection.upgrade || head.version == Version::Http10 {
        return None;
    }
    if head.body != BodyLength::None {
        return None;
    }
    let value = head.find(HeaderId::Upgrade)?.value.of(bytes);
    (!value.is_empty() && !list(value).any(carries_requests)).then_some(value)
}

fn carries_requests(protocol: &[u8]) -> bool {
    let name = protocol.split(|&b| b == b'/').next().unwrap_or_default();
    name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"h2"))
        || name.eq_ignore_ascii_case(b"http")
        || name.eq_ignore_ascii_case(b"tls")
}

#[inline(always)]
fn is_forwarded(field: &Field, head: &RequestHead, bytes: &[u8], is_trusted: bool) -> bool {
    match field.id {
        HeaderId::Other => {
            let name = field.name.of(bytes);
            !is_dangerous_alias(name) && !is_named(head.connection, &head.fields, bytes, name)
        }
        // Written by us, each in its place.
        HeaderId::Host | HeaderId::ContentLength | HeaderId::Via => false,
        HeaderId::Expect => head.version != Version::Http10,
        HeaderId::XForwardedFor
        | HeaderId::XForwardedHost
        | HeaderId::XForwardedProto
        | HeaderId::Forwarded => false,
        HeaderId::XForwardedPort | HeaderId::XRealIp => is_trusted,
        HeaderId::XForwardedClientCert => false,
        HeaderId::MaxForwards if head.method == Method::Options => false,
        id if id.is_hop_by_hop() => false,
        id => {
            id.is_protected()
                || !is_named(head.connection, &head.fields, bytes, field.name.of(bytes))
        }
    }
}

/// A name with `_` that some servers would read as a framing, hop-by-hop or identity field.
#[inline]
fn is_dangerous_alias(name: &[u8]) -> bool {
    let alias = HeaderId::aliased(name);
    alias != HeaderId::Other
        && (alias.is_hop_by_hop()
            || alias.is_identity()
            || matches!(alias, HeaderId::ContentLength | HeaderId::Host | HeaderId::Via))
}

#[inline]
fn is_named(connection: Connection, fields: &[Field], bytes: &[u8], name: &[u8]) -> bool {
    connection.names_others && is_named_by_connection(bytes, fields, name)
}

/// Methods for which a request without a body still says so (RFC 9110, section 8.6).
fn is_content_expected(method: Method) -> bool {
    matches!(method, Method::Post | Method::Put | Method::Patch)
}

fn write_via(form: &mut impl Form, head: &RequestHead, bytes: &[u8]) {
    form.own(HeaderId::Via, |out| {
        if head.hops > 0 {
            write_joined(out, head, bytes, HeaderId::Via);
        }
        let version: &[u8] = match head.version {
            Version::Http10 => b"1.0 fairwater",
            Version::Http11 => b"1.1 fairwater",
            Version::Http2 => b"2 fairwater",
        };
        out.extend_from_slice(version);
    });
}

/// Writes the response head for a client. What `connection` says is written as it is given; an
/// HTTP/1.1 client needs neither `close` nor `keep_alive`.
pub fn write_response<F: Form>(
    form: &mut F,
    head: &ResponseHead,
    bytes: &[u8],
    framing: ReplyFraming,
    connection: Connection,
    edits: Edits<'_>,
) {
    form.begin_reply(head.status, head.reason.of(bytes));
    for field in &head.fields {
        if is_returned(field, head, bytes) && edits.keeps(field, bytes) {
            form.field(field, bytes, head.is_folded);
        }
    }
    form.lines(edits.lines);
    match framing {
        ReplyFraming::Length(length) => write_number(form, HeaderId::ContentLength, length),
        ReplyFraming::Chunked => {
            write_of_connection(form, HeaderId::TransferEncoding, b"chunked");
        }
        ReplyFraming::AsWritten if let BodyLength::Known(length) = head.body => {
            write_number(form, HeaderId::ContentLength, length);
        }
        ReplyFraming::Bare | ReplyFraming::AsWritten => {}
    }
    if connection.upgrade {
        write_of_connection(form, HeaderId::Connection, b"upgrade");
        if let Some(field) = head.find(HeaderId::Upgrade).filter(|_| F::SAYS_FRAMING) {
            form.field(&field, bytes, head.is_folded);
        }
    } else if connection.close {
        write_of_connection(form, HeaderId::Connection, b"close");
    } else if connection.keep_alive {
        write_of_connection(form, HeaderId::Connection, b"keep-alive");
    }
    form.end();
}

#[inline]
fn is_returned(field: &Field, head: &ResponseHead, bytes: &[u8]) -> bool {
    match field.id {
        HeaderId::ContentLength => false, // written by us
        id if id.is_hop_by_hop() => false,
        id => {
            id.is_protected()
                || !is_named(head.connection, &head.fields, bytes, field.name.of(bytes))
        }
    }
}

/// The registered phrase of a status that we make ourselves (RFC 9110, section 15).
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests;
