//! Headers for endpoints.

use std::io::Write;
use std::net::SocketAddr;

use super::{Client, Pair, SIGNATURE, UNIX_BYTES, ssl, tlv};

/// Longer texts are left away: no host, protocol or name has as many bytes.
const TLV_TEXT_BYTES_MAX: usize = 255;

/// What endpoints are told beside the addresses; version 2 only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    pub unique_id: &'a [u8],
    /// If the client speaks TLS.
    pub tls: Option<ToldTls<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub struct ToldTls<'a> {
    /// Such as `TLSv1.3`.
    pub version: &'a str,
    /// The protocol above (ALPN).
    pub alpn: Option<&'a [u8]>,
    /// The host that the client has asked for (SNI).
    pub authority: Option<&'a str>,
    /// Shown by the client, and verified.
    pub certificate: Option<Certificate<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    pub common_name: Option<&'a str>,
    /// The session was resumed: the certificate came with an earlier connection.
    pub is_resumed: bool,
}

/// Appends a line of version 1.
pub fn write_v1(out: &mut Vec<u8>, client: Client) {
    let Client::Ip { source, target } = client else {
        return out.extend_from_slice(b"PROXY UNKNOWN\r\n");
    };
    let (from, to) = (source.port(), target.port());
    // Writing to memory does not fail.
    drop(match Pair::of(source.ip(), target.ip()) {
        Pair::V4(source, target) => write!(out, "PROXY TCP4 {source} {target} {from} {to}\r\n"),
        Pair::V6(source, target) => write!(out, "PROXY TCP6 {source} {target} {from} {to}\r\n"),
    });
}

/// Appends a header of version 2 for a datagram from `source` to `target`.
pub fn write_v2_udp(out: &mut Vec<u8>, source: SocketAddr, target: SocketAddr) {
    let family = out.len() + SIGNATURE.len() + 1;
    write_v2(out, Client::Ip { source, target }, Told::default());
    // In place of a stream: the low half of the byte says how it is carried.
    out[family] = out[family] & 0xf0 | 0x02;
}

/// Appends a header of version 2.
pub fn write_v2(out: &mut Vec<u8>, client: Client, told: Told<'_>) {
    let start = out.len();
    out.extend_from_slice(SIGNATURE);
    match client {
        Client::Sender => return out.extend_from_slice(&[0x20, 0, 0, 0]),
        Client::Unix => {
            out.extend_from_slice(&[0x21, 0x31, 0, 0]);
            // Without paths: that of the client has none most of the time.
            out.extend_from_slice(&[0; UNIX_BYTES]);
        }
        Client::Ip { source, target } => {
            match Pair::of(source.ip(), target.ip()) {
                Pair::V4(source, target) => {
                    out.extend_from_slice(&[0x21, 0x11, 0, 0]);
                    out.extend_from_slice(&source.octets());
                    out.extend_from_slice(&target.octets());
                }
                Pair::V6(source, target) => {
                    out.extend_from_slice(&[0x21, 0x21, 0, 0]);
                    out.extend_from_slice(&source.octets());
                    out.extend_from_slice(&target.octets());
                }
            }
            out.extend_from_slice(&source.port().to_be_bytes());
            out.extend_from_slice(&target.port().to_be_bytes());
        }
    }
    write_tlvs(out, told);
    let length = (out.len() - start - super::PREFIX_BYTES) as u16;
    out[start + 14..start + 16].copy_from_slice(&length.to_be_bytes());
}

fn write_tlvs(out: &mut Vec<u8>, told: Told<'_>) {
    if let Some(tls) = told.tls {
        text(out, tlv::ALPN, tls.alpn);
        text(out, tlv::AUTHORITY, tls.authority.map(str::as_bytes));
    }
    text(out, tlv::UNIQUE_ID, Some(told.unique_id).filter(|id| !id.is_empty()));
    let Some(tls) = told.tls else { return };
    let (flags, is_unverified) = match tls.certificate {
        None => (ssl::SPOKEN, 1),
        Some(Certificate { is_resumed: true, .. }) => (ssl::SPOKEN | ssl::CERTIFICATE, 0),
        Some(_) => (ssl::SPOKEN | ssl::CERTIFICATE_NOW | ssl::CERTIFICATE, 0),
    };
    let mut value = vec![flags, 0, 0, 0, is_unverified];
    text(&mut value, tlv::SSL_VERSION, Some(tls.version.as_bytes()));
    let name = tls.certificate.and_then(|certificate| certificate.common_name);
    text(&mut value, tlv::SSL_CN, name.map(str::as_bytes));
    one(out, tlv::SSL, &value);
}

fn text(out: &mut Vec<u8>, kind: u8, value: Option<&[u8]>) {
    if let Some(value) = value.filter(|value| value.len() <= TLV_TEXT_BYTES_MAX) {
        one(out, kind, value);
    }
}

fn one(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
}
