//! WebSockets between versions of HTTP: a client of HTTP/2 knows no key (RFC 8441, section 5), and
//! an endpoint of HTTP/1.1 wants one; with the two the other way round we answer the client's.

use fairwater_message::{Field, Method, RequestHead, field_named};
use fairwater_proto::websocket::{accept, is_key};
use fairwater_tls::sha1;

const KEY: &str = "sec-websocket-key";
const ACCEPT: &str = "sec-websocket-accept";

/// Whether a request is the handshake that we answer in place of an endpoint (RFC 6455, section
/// 4.2.1). The version is for the endpoint to judge.
pub(crate) fn is_handshake(head: &RequestHead, bytes: &[u8]) -> bool {
    let is_named = |field: &&Field| field.name.of(bytes).eq_ignore_ascii_case(KEY.as_bytes());
    let mut keys = head.fields.iter().filter(is_named);
    let is_one =
        keys.next().is_some_and(|key| is_key(key.value.of(bytes))) && keys.next().is_none();
    is_one && head.method == Method::Get
}

/// What the key in a request is answered with.
pub(crate) fn expected(fields: &[Field], bytes: &[u8]) -> Option<[u8; 28]> {
    field_named(fields, bytes, KEY).map(|key| accept(key, sha1))
}

/// Whether a reply has understood the request.
pub(crate) fn is_accepted(fields: &[Field], bytes: &[u8], expected: &[u8; 28]) -> bool {
    field_named(fields, bytes, ACCEPT).is_some_and(|answer| answer == expected)
}
