//! WebSockets between versions of HTTP: a client of HTTP/2 knows no key (RFC 8441, section 5), and an
//! endpoint of HTTP/1.1 wants one; with the two the other way round we answer the client's.

use fairwater_message::{Field, field_named};
use fairwater_proto::websocket::accept;

const KEY: &str = "sec-websocket-key";
const ACCEPT: &str = "sec-websocket-accept";

/// What the key in a request is answered with.
pub(crate) fn expected(fields: &[Field], bytes: &[u8]) -> Option<[u8; 28]> {
    field_named(fields, bytes, KEY).map(accept)
}

/// Whether a reply has understood the request.
pub(crate) fn is_accepted(fields: &[Field], bytes: &[u8], expected: &[u8; 28]) -> bool {
    field_named(fields, bytes, ACCEPT).is_some_and(|answer| answer == expected)
}
