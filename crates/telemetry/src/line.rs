//! One line of the access log, as bytes. Written for every exchange: names are constants that the
//! compiler copies in place, and the date is written once a second.

use std::io::Write;
use std::net::IpAddr;

use fairwater_message::secret::SecretNames;
use fairwater_message::{FaultKind, Field};
use fairwater_sys::clock::Civil;

use crate::escape::{escape, hex_pair};
use crate::hide::write_url;
use crate::template::Kept;

/// Microseconds spent in each phase; `None` where the exchange did not come so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timers {
    /// From the first byte of the request head to its last.
    pub head_us: Option<u64>,
    /// Waiting for room on the way to a connection; `None` where nobody waited. For a message that
    /// waited all the time until it was sent, the opening of a connection included.
    pub queue_us: Option<u64>,
    /// Until there was a connection to an endpoint, without that; for a message that has waited
    /// `None`.
    pub connect_us: Option<u64>,
    /// From then until the response head, or the first byte of the reply to a message.
    pub response_us: Option<u64>,
    pub total_us: u64,
}

/// What a line says of TLS with the client.
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsEntry<'a> {
    pub version: &'a str,
    pub cipher: &'a str,
    pub server_name: &'a str,
    pub client_subject: &'a str,
}

/// What a line tells. Empty slices and `None` are left out (JSON) or written as `-` (the others).
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry<'a> {
    /// Microseconds since the epoch.
    pub wall_us: u64,
    pub id: u128,
    pub listener: &'a str,
    pub client: Option<IpAddr>,
    pub client_port: u16,
    pub method: &'a [u8],
    pub host: &'a [u8],
    pub target: &'a [u8],
    /// `HTTP/1.1`, `TCP`, `FRAMED` or `UDP`.
    pub protocol: &'a str,
    pub referer: &'a [u8],
    pub user_agent: &'a [u8],
    /// Empty without TLS, all of them.
    pub tls: TlsEntry<'a>,
    pub status: u16,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub upstream: &'a str,
    pub endpoint: &'a str,
    pub attempts: u32,
    pub reused: bool,
    pub timers: Timers,
    pub reason: &'a str,
    pub party: &'a str,
    pub phase: &'a str,
    pub detail: &'a str,
    /// The rate limit that has denied it.
    pub limit: &'a str,
    /// The headers of the request, and the bytes that they point into.
    pub request: (&'a [Field], &'a [u8]),
    /// Of the headers of the reply, those that a template names.
    pub reply: Option<&'a Kept>,
}

impl Entry<'_> {
    /// Of something that has ended so, and of which the rest is filled in.
    pub fn of(fault: Option<FaultKind>) -> Self {
        Self {
            reason: fault.map_or("", FaultKind::reason),
            party: fault.map_or("", |kind| kind.party().name()),
            phase: fault.map_or("", |kind| kind.phase().name()),
            ..Self::default()
        }
    }
}

/// The date and time of the last line, up to the second.
#[derive(Debug)]
pub(crate) struct Date {
    second: u64,
    text: Vec<u8>,
}

impl Date {
    pub(crate) const fn new() -> Self {
        Self { second: u64::MAX, text: Vec::new() }
    }

    /// The text that `write` makes of a time, made anew for each second.
    pub(crate) fn at(&mut self, second: u64, write: fn(&mut Vec<u8>, Civil)) -> &[u8] {
        if self.second != second {
            self.second = second;
            self.text.clear();
            write(&mut self.text, Civil::from_epoch(second));
        }
        &self.text
    }
}

pub(crate) fn write_json(
    out: &mut Vec<u8>,
    date: &mut Date,
    secrets: &SecretNames,
    entry: &Entry<'_>,
) {
    out.extend_from_slice(b"{\"time\":\"");
    write_iso(out, date, entry.wall_us);
    out.extend_from_slice(b"\",\"id\":\"");
    write_hex(out, entry.id);
    out.push(b'"');
    text(out, b",\"listener\":\"", entry.listener.as_bytes());
    if let Some(client) = entry.client {
        out.extend_from_slice(b",\"client\":\"");
        write_ip(out, client);
        number(out, b"\",\"client_port\":", u64::from(entry.client_port));
    }
    text(out, b",\"protocol\":\"", entry.protocol.as_bytes());
    text(out, b",\"method\":\"", entry.method);
    text(out, b",\"host\":\"", entry.host);
    if !entry.target.is_empty() {
        out.extend_from_slice(b",\"target\":\"");
        write_url(out, entry.target, secrets, None);
        out.push(b'"');
    }
    if entry.status > 0 {
        number(out, b",\"status\":", u64::from(entry.status));
    }
    number(out, b",\"bytes_in\":", entry.bytes_in);
    number(out, b",\"bytes_out\":", entry.bytes_out);
    text(out, b",\"upstream\":\"", entry.upstream.as_bytes());
    text(out, b",\"endpoint\":\"", entry.endpoint.as_bytes());
    if entry.attempts > 0 {
        number(out, b",\"attempts\":", u64::from(entry.attempts));
        match entry.reused {
            true => out.extend_from_slice(b",\"reused\":true"),
            false => out.extend_from_slice(b",\"reused\":false"),
        }
    }
    let timers = &entry.timers;
    timers.head_us.into_iter().for_each(|us| number(out, b",\"head_us\":", us));
    timers.queue_us.into_iter().for_each(|us| number(out, b",\"queue_us\":", us));
    timers.connect_us.into_iter().for_each(|us| number(out, b",\"connect_us\":", us));
    timers.response_us.into_iter().for_each(|us| number(out, b",\"response_us\":", us));
    number(out, b",\"total_us\":", timers.total_us);
    text(out, b",\"user_agent\":\"", entry.user_agent);
    text(out, b",\"tls_version\":\"", entry.tls.version.as_bytes());
    text(out, b",\"tls_cipher\":\"", entry.tls.cipher.as_bytes());
    text(out, b",\"tls_server_name\":\"", entry.tls.server_name.as_bytes());
    text(out, b",\"client_subject\":\"", entry.tls.client_subject.as_bytes());
    text(out, b",\"reason\":\"", entry.reason.as_bytes());
    text(out, b",\"party\":\"", entry.party.as_bytes());
    text(out, b",\"phase\":\"", entry.phase.as_bytes());
    text(out, b",\"detail\":\"", entry.detail.as_bytes());
    text(out, b",\"limit\":\"", entry.limit.as_bytes());
    out.extend_from_slice(b"}\n");
}

/// A value behind its name and opening quote; nothing when it is empty.
#[inline]
fn text<const N: usize>(out: &mut Vec<u8>, name: &[u8; N], value: &[u8]) {
    if value.is_empty() {
        return;
    }
    out.extend_from_slice(name);
    escape(out, value);
    out.push(b'"');
}

#[inline]
fn number<const N: usize>(out: &mut Vec<u8>, name: &[u8; N], value: u64) {
    out.extend_from_slice(name);
    if value < 10 {
        out.push(b'0' + value as u8);
    } else {
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }
}

#[inline]
pub(crate) fn write_hex(out: &mut Vec<u8>, value: u128) {
    let mut text = [[0; 2]; 16];
    for (pair, byte) in text.iter_mut().zip(value.to_be_bytes()) {
        *pair = hex_pair(byte);
    }
    out.extend_from_slice(text.as_flattened());
}

pub(crate) fn write_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(v4) => {
            for (at, octet) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        IpAddr::V6(v6) => {
            if write!(out, "{v6}").is_err() {
                // Writing to a Vec cannot fail.
            }
        }
    }
}

/// Digits with leading zeros.
pub(crate) fn padded(out: &mut Vec<u8>, value: u32, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10_u32.pow(place) % 10) as u8);
    }
}

/// RFC 3339, in UTC.
#[inline]
pub(crate) fn write_iso(out: &mut Vec<u8>, date: &mut Date, wall_us: u64) {
    out.extend_from_slice(date.at(wall_us / 1_000_000, write_iso_second));
    padded_micros(out, wall_us);
    out.push(b'Z');
}

/// What is left of microseconds behind whole seconds, with its zeros.
#[inline]
pub(crate) fn padded_micros(out: &mut Vec<u8>, us: u64) {
    // A million more has a digit in front, and keeps the zeros behind it.
    let micros = 1_000_000 + us % 1_000_000;
    out.extend_from_slice(&itoa::Buffer::new().format(micros).as_bytes()[1..]);
}

fn write_iso_second(out: &mut Vec<u8>, civil: Civil) {
    for (value, width, end) in [
        (civil.year, 4, b'-'),
        (civil.month, 2, b'-'),
        (civil.day, 2, b'T'),
        (civil.hour, 2, b':'),
        (civil.minute, 2, b':'),
        (civil.second, 2, b'.'),
    ] {
        padded(out, value, width);
        out.push(end);
    }
}

/// As Apache httpd and nginx write it, in UTC.
pub(crate) fn write_common(out: &mut Vec<u8>, date: &mut Date, wall_us: u64) {
    out.extend_from_slice(date.at(wall_us / 1_000_000, write_common_second));
}

fn write_common_second(out: &mut Vec<u8>, civil: Civil) {
    padded(out, civil.day, 2);
    out.push(b'/');
    out.extend_from_slice(Civil::MONTHS[(civil.month as usize + 11) % 12].as_bytes());
    out.push(b'/');
    for (value, width, end) in [
        (civil.year, 4, b':'),
        (civil.hour, 2, b':'),
        (civil.minute, 2, b':'),
        (civil.second, 2, b' '),
    ] {
        padded(out, value, width);
        out.push(end);
    }
    out.extend_from_slice(b"+0000");
}

pub(crate) fn write_combined(
    out: &mut Vec<u8>,
    date: &mut Date,
    secrets: &SecretNames,
    entry: &Entry<'_>,
) {
    match entry.client {
        Some(client) => write_ip(out, client),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" - - [");
    write_common(out, date, entry.wall_us);
    out.extend_from_slice(b"] \"");
    if entry.method.is_empty() {
        let is_raw = matches!(entry.protocol, "TCP" | "FRAMED" | "UDP");
        out.extend_from_slice(if is_raw { entry.protocol.as_bytes() } else { b"-" });
    } else {
        escape(out, entry.method);
        out.push(b' ');
        write_url(out, entry.target, secrets, None);
        out.push(b' ');
        out.extend_from_slice(entry.protocol.as_bytes());
    }
    out.extend_from_slice(b"\" ");
    padded(out, u32::from(entry.status), 3);
    out.push(b' ');
    out.extend_from_slice(itoa::Buffer::new().format(entry.bytes_out).as_bytes());
    out.extend_from_slice(b" \"");
    match entry.referer {
        b"" => out.push(b'-'),
        referer => write_url(out, referer, secrets, None),
    }
    out.extend_from_slice(b"\" \"");
    match entry.user_agent {
        b"" => out.push(b'-'),
        agent => escape(out, agent),
    }
    out.extend_from_slice(b"\"\n");
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    pub(crate) fn entry() -> Entry<'static> {
        Entry {
            wall_us: 1_795_258_507_000_042,
            id: 0xabc,
            listener: "web",
            client: Some(Ipv4Addr::new(10, 0, 0, 1).into()),
            client_port: 4242,
            method: b"GET",
            host: b"a.example",
            target: b"/x?y=\"\r\n\x1b\xff",
            protocol: "HTTP/1.1",
            referer: b"",
            tls: TlsEntry::default(),
            user_agent: b"curl/8 \\",
            status: 502,
            bytes_in: 0,
            bytes_out: 12,
            upstream: "app",
            endpoint: "127.0.0.1:9001",
            attempts: 2,
            reused: false,
            timers: Timers {
                head_us: Some(3),
                queue_us: Some(70),
                total_us: 99,
                ..Timers::default()
            },
            reason: "upstream_empty_reply",
            party: "upstream",
            phase: "response",
            detail: "",
            limit: "",
            request: (&[], &[]),
            reply: None,
        }
    }

    #[test]
    fn json_is_one_ascii_line() {
        let mut out = Vec::new();
        write_json(&mut out, &mut Date::new(), &SecretNames::none(), &entry());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"time":"2026-11-21T10:55:07.000042Z","id":"00000000000000000000000000000abc","#,
                r#""listener":"web","client":"10.0.0.1","client_port":4242,"protocol":"HTTP/1.1","#,
                r#""method":"GET","host":"a.example","target":"/x?y=\u0022\u000d\u000a\u001b\u00ff","#,
                r#""status":502,"bytes_in":0,"bytes_out":12,"upstream":"app","#,
                r#""endpoint":"127.0.0.1:9001","attempts":2,"reused":false,"head_us":3,"queue_us":70,"#,
                r#""total_us":99,"user_agent":"curl/8 \u005c","reason":"upstream_empty_reply","#,
                r#""party":"upstream","phase":"response"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn combined_is_what_log_readers_expect() {
        let mut out = Vec::new();
        let entry = Entry { target: b"/x", ..entry() };
        write_combined(&mut out, &mut Date::new(), &SecretNames::none(), &entry);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "10.0.0.1 - - [21/Nov/2026:10:55:07 +0000] \"GET /x HTTP/1.1\" 502 12 \"-\" \
             \"curl/8 \\u005c\"\n"
        );
    }

    #[test]
    fn combined_names_the_protocol_of_what_has_no_request() {
        for (protocol, expected) in
            [("TCP", "TCP"), ("FRAMED", "FRAMED"), ("UDP", "UDP"), ("HTTP/1.1", "-"), ("", "-")]
        {
            let mut out = Vec::new();
            let entry = Entry { method: b"", protocol, ..entry() };
            write_combined(&mut out, &mut Date::new(), &SecretNames::none(), &entry);
            let line = String::from_utf8(out).unwrap();
            assert!(line.contains(&format!("] \"{expected}\" ")), "{line}");
        }
    }

    #[test]
    fn secrets_are_in_no_format() {
        let entry = Entry {
            target: b"/x?token=abc&y=1",
            referer: b"http://me:abc@host/?code=abc",
            ..entry()
        };
        for write in [write_json, write_combined] {
            let mut out = Vec::new();
            write(&mut out, &mut Date::new(), &SecretNames::default(), &entry);
            let line = String::from_utf8(out).unwrap();
            assert!(line.contains("/x?token=***&y=1") && !line.contains("abc&"), "{line}");
            assert!(!line.contains("me:") && !line.contains("code=a"), "{line}");
        }
    }

    #[test]
    fn the_date_follows_the_clock() {
        let mut date = Date::new();
        let mut line = |wall_us| {
            let mut out = Vec::new();
            write_json(&mut out, &mut date, &SecretNames::none(), &Entry { wall_us, ..entry() });
            String::from_utf8(out).unwrap()
        };
        assert!(line(0).starts_with(r#"{"time":"1970-01-01T00:00:00.000000Z""#));
        assert!(line(999_999).starts_with(r#"{"time":"1970-01-01T00:00:00.999999Z""#));
        assert!(line(1_000_001).starts_with(r#"{"time":"1970-01-01T00:00:01.000001Z""#));
        assert!(line(20).starts_with(r#"{"time":"1970-01-01T00:00:00.000020Z""#));
    }
}
