//! Heads of HTTP/2 as lines and back. A head becomes what a peer of HTTP/1.1 would send, and is read
//! by the same strict reader: what could mean two things there is refused, and what goes on is
//! written from the same index, and taken apart into fields where the next peer speaks HTTP/2.

use bytes::Bytes;
use fairwater_message::{Fault, FaultKind};
use fairwater_proto::websocket;
use h2::ext::Protocol;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, SEC_WEBSOCKET_KEY};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

/// Fields of a connection, which HTTP/2 has none of (RFC 9113, section 8.2.2).
const OF_CONNECTION: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// Room that is made at once for the fields of a head.
const FIELDS_LIKELY: usize = 16;

/// Whether the stream shall become a tunnel (extended CONNECT, RFC 8441).
pub(crate) fn is_tunnel(parts: &Parts) -> bool {
    parts.extensions.get::<Protocol>().is_some()
}

/// Writes a request head. For a tunnel it is that of HTTP/1.1 with this key.
///
/// # Errors
/// When it names two hosts, or asks for a tunnel that there is none of.
pub(crate) fn write_request(
    out: &mut Vec<u8>,
    parts: &Parts,
    has_body: bool,
    key: impl FnOnce() -> [u8; 24],
) -> Result<(), Fault> {
    let host = host(parts)?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let (method, target) = match (is_tunnel(parts), &parts.method) {
        (true, _) => ("GET", path.as_bytes()),
        (false, &Method::CONNECT) => ("CONNECT", host),
        (false, method) => (method.as_str(), path.as_bytes()),
    };
    for part in [method.as_bytes(), b" ", target, b" HTTP/1.1\r\nhost: ", host] {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
    for (name, value) in &parts.headers {
        if value.as_bytes().trim_ascii().len() < value.len() {
            return Err(Fault::because(FaultKind::BadRequest, "space_around_value"));
        }
        if name != HOST && name != COOKIE && !(is_tunnel(parts) && name == SEC_WEBSOCKET_KEY) {
            write_line(out, name, value.as_bytes());
        }
    }
    write_cookies(out, &parts.headers);
    if let Some(protocol) = parts.extensions.get::<Protocol>() {
        if !websocket::is_asked(protocol.as_str().as_bytes()) {
            return Err(FaultKind::TunnelUnknown.into());
        }
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ");
        out.extend_from_slice(&key());
        out.extend_from_slice(b"\r\n");
    } else if has_body && !parts.headers.contains_key(CONTENT_LENGTH) {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// `:authority`, or `host` where there is none; never two that differ (RFC 9113, section 8.3.1).
fn host(parts: &Parts) -> Result<&[u8], Fault> {
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let mut host = authority;
    let mut named = parts.headers.get_all(HOST).iter();
    if let Some(named) = named.next() {
        if !host.unwrap_or(named.as_bytes()).eq_ignore_ascii_case(named.as_bytes()) {
            return Err(Fault::because(FaultKind::BadRequest, "authority_and_host_differ"));
        }
        host = Some(host.unwrap_or(named.as_bytes()));
    }
    if named.next().is_some() {
        return Err(Fault::because(FaultKind::BadRequest, "repeated_host"));
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
pub(crate) fn lines(fields: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::new();
    fields.iter().for_each(|(name, value)| write_line(&mut out, name, value.as_bytes()));
    out
}

/// Writes the head of a reply. One that has a body and does not say how long it is gets the coding
/// that says so in HTTP/1.1.
pub(crate) fn write_response(
    out: &mut Vec<u8>,
    status: StatusCode,
    fields: &HeaderMap,
    has_body: bool,
) {
    let phrase = status.canonical_reason().unwrap_or_default();
    for part in ["HTTP/1.1 ", status.as_str(), " ", phrase, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    fields.iter().for_each(|(name, value)| write_line(out, name, value.as_bytes()));
    if has_body && !fields.contains_key(CONTENT_LENGTH) {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// A reply of which head and perhaps body were written as HTTP/1.1, by us. Tells where the head
/// ends.
pub(crate) fn response(text: &[u8]) -> Option<(Response<()>, usize)> {
    let status = StatusCode::from_bytes(text.get(9..12)?).ok()?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    let start = memchr::memchr(b'\n', text)? + 1;
    let len = fields(&text[start..], response.headers_mut())?;
    Some((response, start + len))
}

/// A request of which the head was written as HTTP/1.1, by us: its first field is the host.
pub(crate) fn request(text: &[u8], scheme: Scheme) -> Option<Request<()>> {
    let line_end = memchr::memchr(b'\n', text)? + 1;
    let host_end = line_end + memchr::memchr(b'\n', &text[line_end..])? + 1;
    let line = text[..line_end].strip_suffix(b" HTTP/1.1\r\n")?;
    let space = memchr::memchr(b' ', line)?;
    let host = text[line_end..host_end].strip_prefix(b"host: ")?.strip_suffix(b"\r\n")?;
    let copy = Bytes::copy_from_slice;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(scheme);
    uri.authority = Some(Authority::from_maybe_shared(copy(host)).ok()?);
    uri.path_and_query = Some(PathAndQuery::from_maybe_shared(copy(&line[space + 1..])).ok()?);
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(&line[..space]).ok()?;
    *request.uri_mut() = Uri::from_parts(uri).ok()?;
    fields(&text[host_end..], request.headers_mut())?;
    Some(request)
}

/// Reads field lines up to the empty one or the end. Returns their bytes.
pub(crate) fn fields(lines: &[u8], into: &mut HeaderMap) -> Option<usize> {
    let len = memchr::memmem::find(lines, b"\r\n\r\n").map_or(lines.len(), |at| at + 4);
    // Values are parts of one copy.
    let shared = Bytes::copy_from_slice(&lines[..len]);
    let mut start = 0;
    into.reserve(FIELDS_LIKELY);
    while let Some(at) = memchr::memchr(b'\n', &shared[start..]) {
        let line = start..(start + at).checked_sub(1).filter(|&end| shared[end] == b'\r')?;
        start += at + 1;
        if line.is_empty() {
            break;
        }
        let colon = line.start + memchr::memchr(b':', &shared[line.clone()])?;
        let name = HeaderName::from_bytes(&shared[line.start..colon]).ok()?;
        if !OF_CONNECTION.contains(&name.as_str()) {
            let value = shared.slice_ref(shared[colon + 1..line.end].trim_ascii());
            into.append(name, HeaderValue::from_maybe_shared(value).ok()?);
        }
    }
    Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_written_is_taken_apart() {
        let text =
            b"POST /a?b HTTP/1.1\r\nhost: a:80\r\nx-a: 1\r\nconnection: upgrade\r\nupgrade: x\r\n\
            cookie:  a=b; c=d\r\n\r\n";
        let request = request(text, Scheme::HTTP).unwrap();
        assert_eq!(
            (request.method(), request.uri().to_string()),
            (&Method::POST, "http://a:80/a?b".to_owned())
        );
        let fields: Vec<_> =
            request.headers().iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        assert_eq!(fields, [("x-a", &b"1"[..]), ("cookie", b"a=b; c=d")]);
        for broken in [
            "",
            "GET / HTTP/1.1\r\n",
            "GET /\r\nhost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
        ] {
            assert!(super::request(broken.as_bytes(), Scheme::HTTP).is_none(), "{broken}");
        }
    }

    #[test]
    fn a_reply_is_the_same_there_and_back() {
        let (reply, len) =
            response(b"HTTP/1.1 404 Not Found\r\nset-cookie: a\r\nset-cookie: b\r\n\r\nbody")
                .unwrap();
        assert_eq!((reply.status().as_u16(), reply.headers().len(), len), (404, 2, 56));
        let mut text = Vec::new();
        write_response(&mut text, reply.status(), reply.headers(), true);
        assert_eq!(
            text,
            b"HTTP/1.1 404 Not Found\r\nset-cookie: a\r\nset-cookie: b\r\ntransfer-encoding: chunked\r\n\r\n"
        );
    }
}
