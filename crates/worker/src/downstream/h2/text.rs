//! Heads of HTTP/2 as lines and back. A request becomes the head that a client of HTTP/1.1 would
//! send, and is read by the same strict reader: what could mean two things there is refused, and
//! what goes to an endpoint is written from the same index.

use bytes::Bytes;
use fairwater_message::{Fault, FaultKind};
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

/// Fields of a connection, which HTTP/2 has none of (RFC 9113, section 8.2.2).
const OF_CONNECTION: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// Writes a request head.
///
/// # Errors
/// When it names two hosts.
pub(super) fn write_request(out: &mut Vec<u8>, parts: &Parts, has_body: bool) -> Result<(), Fault> {
    let host = host(parts)?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let target = if parts.method == Method::CONNECT { host } else { path.as_bytes() };
    for part in [parts.method.as_str().as_bytes(), b" ", target, b" HTTP/1.1\r\nhost: ", host] {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
    for (name, value) in &parts.headers {
        if name != HOST && name != COOKIE {
            write_line(out, name, value.as_bytes());
        }
    }
    write_cookies(out, &parts.headers);
    if has_body && !parts.headers.contains_key(CONTENT_LENGTH) {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// `:authority`, or `host` where there is none; never two that differ (RFC 9113, section 8.3.1).
fn host(parts: &Parts) -> Result<&[u8], Fault> {
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let mut host = authority;
    for named in parts.headers.get_all(HOST) {
        if !host.unwrap_or(named.as_bytes()).eq_ignore_ascii_case(named.as_bytes()) {
            return Err(Fault::because(FaultKind::BadRequest, "authority_and_host_differ"));
        }
        host = host.or(Some(named.as_bytes()));
    }
    host.ok_or(Fault::because(FaultKind::BadRequest, "no_authority"))
}

/// Crumbs make one cookie again (RFC 9113, section 8.2.3).
fn write_cookies(out: &mut Vec<u8>, headers: &HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let Some(first) = crumbs.next() else { return };
    out.extend_from_slice(b"cookie: ");
    out.extend_from_slice(first.as_bytes());
    for crumb in crumbs {
        out.extend_from_slice(b"; ");
        out.extend_from_slice(crumb.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn write_line(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Fields as lines.
pub(super) fn lines(fields: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::new();
    fields.iter().for_each(|(name, value)| write_line(&mut out, name, value.as_bytes()));
    out
}

/// A reply of which head and perhaps body were written as HTTP/1.1, by us. Tells where the head
/// ends.
pub(super) fn response(text: &[u8]) -> Option<(Response<()>, usize)> {
    let status = StatusCode::from_bytes(text.get(9..12)?).ok()?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    let start = memchr::memchr(b'\n', text)? + 1;
    let len = fields(&text[start..], response.headers_mut())?;
    Some((response, start + len))
}

/// Reads field lines up to the empty one or the end. Returns their bytes.
pub(super) fn fields(lines: &[u8], into: &mut HeaderMap) -> Option<usize> {
    let mut rest = lines;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let line = rest[..end].strip_suffix(b"\r")?;
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        let colon = memchr::memchr(b':', line)?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        if !OF_CONNECTION.contains(&name.as_str()) {
            let value = Bytes::copy_from_slice(line[colon + 1..].trim_ascii());
            into.append(name, HeaderValue::from_maybe_shared(value).ok()?);
        }
    }
    Some(lines.len() - rest.len())
}
