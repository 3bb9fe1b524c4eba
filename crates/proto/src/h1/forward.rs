//! Who the client is, as the next hop is told (RFC 7239, and the X-Forwarded-* fields that everyone
//! reads).

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use fairwater_message::target::is_name;
use fairwater_message::{Field, HeaderId, HeaderName, RequestHead, cookie};

use super::fields::list;
use crate::form::Form;

/// Which `Host` endpoints get.
#[derive(Clone, Copy, Debug)]
pub enum HostPolicy<'a> {
    /// What the client sent.
    Keep,
    /// A name from the configuration, or the address of the endpoint.
    Set(&'a [u8]),
}

/// What the writer of a request needs to know beside the head.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// The peer of the downstream connection; `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// Whether the peer is listed in `trusted_proxies`: what it says of the client is extended,
    /// not replaced.
    pub is_trusted: bool,
    pub is_tls: bool,
    pub host: HostPolicy<'a>,
    /// Ask for the connection to be closed after the reply (`keep_alive = false`).
    pub close: bool,
    pub edits: Edits<'a>,
}

/// What filters change in a head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Edits<'a> {
    /// Path and query of a request, instead of its own.
    pub path: Option<&'a [u8]>,
    /// Fields of these names are left out, and those whose names some servers read as them.
    pub removed: &'a [HeaderName],
    /// Whole lines that are added.
    pub lines: &'a [u8],
    /// The name of a cookie that is ours: endpoints neither get nor set it. Empty is none.
    pub own_cookie: &'a [u8],
}

impl Edits<'_> {
    /// Whether a field stays. What some servers would read as a removed one goes too, lest a client
    /// put its own in the place of ours.
    #[inline]
    pub(super) fn keeps(&self, field: &Field, bytes: &[u8]) -> bool {
        !self.removed.iter().any(|name| name.covers(field, bytes))
            && (self.own_cookie.is_empty() || !self.touches(field, bytes))
    }

    /// Whether a field may have our cookie in it: it is written apart, or sets the cookie.
    #[cold]
    fn touches(&self, field: &Field, bytes: &[u8]) -> bool {
        match field.id {
            HeaderId::Cookie => true,
            HeaderId::SetCookie => cookie::name_of(field.value.of(bytes)) == self.own_cookie,
            _ => false,
        }
    }

    /// Writes the cookies of a request that are not ours.
    #[cold]
    pub(super) fn write_cookies(&self, form: &mut impl Form, head: &RequestHead, bytes: &[u8]) {
        let is_kept = |field: &&Field| !self.removed.iter().any(|name| name.covers(field, bytes));
        let cookies = head.fields.iter().filter(|field| field.id == HeaderId::Cookie);
        for value in cookies.filter(is_kept).map(|field| field.value.of(bytes)) {
            if cookie::has_others(value, self.own_cookie) {
                let write = |out: &mut Vec<u8>| cookie::write_others(value, self.own_cookie, out);
                form.own(HeaderId::Cookie, write);
            }
        }
    }
}

/// The address of the client: the peer, or, behind trusted proxies, the rightmost address of
/// `X-Forwarded-For` that is not one of them.
pub fn client_address(
    head: &RequestHead,
    bytes: &[u8],
    peer: IpAddr,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut client = peer;
    let lines = head.fields.iter().filter(|field| field.id == HeaderId::XForwardedFor).rev();
    for line in lines {
        // The list is walked from its end without being collected: it may have thousands of
        // members.
        let mut rest = line.value.of(bytes);
        while !rest.is_empty() {
            if !is_trusted(client) {
                return client;
            }
            let at = rest.iter().rposition(|&b| b == b',').map_or(0, |at| at + 1);
            let Some(next) = address(rest[at..].trim_ascii()) else { return client };
            client = next;
            rest = &rest[..at.saturating_sub(1)];
        }
    }
    client
}

/// An address as proxies write it: bare, bracketed, or with a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6))
}

/// Writes X-Forwarded-For, -Proto, -Host and Forwarded.
pub(super) fn write_identity(
    form: &mut impl Form,
    head: &RequestHead,
    bytes: &[u8],
    forwarding: &Forwarding<'_>,
) {
    let extend = forwarding.is_trusted;
    // A dual-stack listener sees IPv4 clients as mapped addresses; nobody wants to read those.
    let peer = forwarding.peer.map(|peer| Address::of(peer.to_canonical()));
    if let Some(peer) = &peer {
        form.own(HeaderId::XForwardedFor, |out| {
            if extend {
                write_joined(out, head, bytes, HeaderId::XForwardedFor);
            }
            out.extend_from_slice(peer.text());
        });
    }
    let scheme: &[u8] = if forwarding.is_tls { b"https" } else { b"http" };
    write_unless_extended(form, head, bytes, extend, HeaderId::XForwardedProto, scheme);
    let authority = head.authority.of(bytes);
    write_unless_extended(form, head, bytes, extend, HeaderId::XForwardedHost, authority);
    form.own(HeaderId::Forwarded, |out| {
        if extend {
            write_joined(out, head, bytes, HeaderId::Forwarded);
        }
        write_forwarded(out, peer.as_ref(), authority, scheme);
    });
}

/// What a trusted peer said stays; else our own word.
fn write_unless_extended(
    form: &mut impl Form,
    head: &RequestHead,
    bytes: &[u8],
    extend: bool,
    id: HeaderId,
    own: &[u8],
) {
    let value = match head.find(id).filter(|_| extend) {
        Some(field) => field.value.of(bytes),
        None => own,
    };
    if !value.is_empty() {
        form.own(id, |out| out.extend_from_slice(value));
    }
}

/// The members of all fields with this id, each followed by a comma.
pub(super) fn write_joined(out: &mut Vec<u8>, head: &RequestHead, bytes: &[u8], id: HeaderId) {
    for field in head.fields.iter().filter(|field| field.id == id) {
        for member in list(field.value.of(bytes)) {
            out.extend_from_slice(member);
            out.extend_from_slice(b", ");
        }
    }
}

/// Our own element.
#[inline(always)]
fn write_forwarded(out: &mut Vec<u8>, peer: Option<&Address>, authority: &[u8], scheme: &[u8]) {
    match peer {
        None => out.extend_from_slice(b"for=unknown"),
        Some(peer) if peer.is_v6 => {
            out.extend_from_slice(b"for=\"[");
            out.extend_from_slice(peer.text());
            out.extend_from_slice(b"]\"");
        }
        Some(peer) => {
            out.extend_from_slice(b"for=");
            out.extend_from_slice(peer.text());
        }
    }
    if !authority.is_empty() {
        // Only a token needs no quotes (RFC 7239, section 4); a port's colon is not one.
        let is_token = is_name(authority);
        out.extend_from_slice(if is_token { b";host=" } else { b";host=\"" });
        out.extend_from_slice(authority);
        out.extend_from_slice(if is_token { b"" } else { b"\"" });
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(scheme);
}

/// The longest text of an address, as RFC 5952 writes it.
const ADDRESS_BYTES: usize = 46;

/// An address in text.
struct Address {
    bytes: [u8; ADDRESS_BYTES],
    len: usize,
    is_v6: bool,
}

impl Address {
    /// IPv4 by hand: the general formatter takes more than four times as long.
    #[inline(always)]
    fn of(ip: IpAddr) -> Self {
        let mut bytes = [0; ADDRESS_BYTES];
        if let IpAddr::V4(v4) = ip {
            let mut len = 0;
            for octet in v4.octets() {
                bytes[len..len + 4].copy_from_slice(&OCTETS[usize::from(octet)]);
                len += 2 + usize::from(octet > 9) + usize::from(octet > 99);
            }
            return Self { bytes, len: len - 1, is_v6: false };
        }
        let mut rest = &mut bytes[..];
        // The text of every address has room.
        drop(write!(rest, "{ip}"));
        let len = ADDRESS_BYTES - rest.len();
        Self { bytes, len, is_v6: true }
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Each octet in digits, and the dot behind it.
static OCTETS: [[u8; 4]; 256] = {
    let mut octets = [[b'.'; 4]; 256];
    let mut octet = 0;
    while octet < 256 {
        let digits = [octet / 100, octet / 10 % 10, octet % 10];
        let mut at = if octet > 99 {
            0
        } else if octet > 9 {
            1
        } else {
            2
        };
        let mut len = 0;
        while at < 3 {
            octets[octet][len] = b'0' + digits[at] as u8;
            (at, len) = (at + 1, len + 1);
        }
        octet += 1;
    }
    octets
};

#[cfg(test)]
mod tests;
