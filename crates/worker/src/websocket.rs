//! WebSockets between versions of HTTP: a client of HTTP/2 knows no key (RFC 8441, section 5), and an
//! endpoint of HTTP/1.1 wants one; with the two the other way round we answer the client's.

use fairwater_message::{Field, HeaderId};
use fairwater_proto::websocket::accept;

pub(crate) const KEY: &str = "sec-websocket-key";
pub(crate) const ACCEPT: &str = "sec-websocket-accept";

fn find<'a>(fields: &[Field], bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut others = fields.iter().filter(|field| field.id == HeaderId::Other);
    let found = others.find(|field| field.name.of(bytes).eq_ignore_ascii_case(name.as_bytes()));
    found.map(|field| field.value.of(bytes))
}

/// What the key in a request is answered with.
pub(crate) fn expected(fields: &[Field], bytes: &[u8]) -> Option<[u8; 28]> {
    find(fields, bytes, KEY).map(accept)
}

/// Whether a reply has understood the request.
pub(crate) fn is_accepted(fields: &[Field], bytes: &[u8], expected: &[u8; 28]) -> bool {
    find(fields, bytes, ACCEPT).is_some_and(|answer| answer == expected)
}
