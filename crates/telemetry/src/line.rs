//! One line of the access log, as bytes. Written for every exchange: names are constants that the
//! compiler copies in place, and the date is written once a second.

use std::io::Write;
use std::net::IpAddr;

use fairwater_sys::clock::Civil;

/// The most bytes of one value in a line.
pub(crate) const VALUE_BYTES_MAX: usize = 8 * 1024;

/// Microseconds spent in each phase; `None` where the exchange did not come so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timers {
    /// From the first byte of the request head to its last.
    pub head_us: Option<u64>,
    /// Until there was a connection to an endpoint.
    pub connect_us: Option<u64>,
    /// From then until the response head.
    pub response_us: Option<u64>,
    pub total_us: u64,
}

/// What a line tells. Empty slices and `None` are left out (JSON) or written as `-` (combined).
#[derive(Clone, Copy, Debug)]
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
    /// `HTTP/1.1`, or `TCP`.
    pub protocol: &'a str,
    pub referer: &'a [u8],
    pub user_agent: &'a [u8],
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
    fn at(&mut self, second: u64, write: fn(&mut Vec<u8>, Civil)) -> &[u8] {
        if self.second != second {
            self.second = second;
            self.text.clear();
            write(&mut self.text, Civil::from_epoch(second));
        }
        &self.text
    }
}

pub(crate) fn write_json(out: &mut Vec<u8>, date: &mut Date, entry: &Entry<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(date.at(entry.wall_us / 1_000_000, write_iso_second));
    // A million more has a digit in front, and keeps the zeros behind it.
    let micros = 1_000_000 + entry.wall_us % 1_000_000;
    out.extend_from_slice(&itoa::Buffer::new().format(micros).as_bytes()[1..]);
    out.extend_from_slice(b"Z\",\"id\":\"");
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
    text(out, b",\"target\":\"", entry.target);
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
    timers.connect_us.into_iter().for_each(|us| number(out, b",\"connect_us\":", us));
    timers.response_us.into_iter().for_each(|us| number(out, b",\"response_us\":", us));
    number(out, b",\"total_us\":", timers.total_us);
    text(out, b",\"user_agent\":\"", entry.user_agent);
    text(out, b",\"reason\":\"", entry.reason.as_bytes());
    text(out, b",\"party\":\"", entry.party.as_bytes());
    text(out, b",\"phase\":\"", entry.phase.as_bytes());
    text(out, b",\"detail\":\"", entry.detail.as_bytes());
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

/// Bytes as the inside of a JSON string in pure ASCII: nothing that a client sends can end the
/// line, the string, or reach a terminal as a control sequence. A byte above 0x7e is written as the
/// code point of the same number.
fn escape(out: &mut Vec<u8>, value: &[u8]) {
    let value = &value[..value.len().min(VALUE_BYTES_MAX)];
    if is_plain(value) {
        out.extend_from_slice(value);
        return;
    }
    for &byte in value {
        if is_plain(&[byte]) {
            out.push(byte);
        } else {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&hex_pair(byte));
        }
    }
}

/// Whether all bytes are printable ASCII and neither quote nor backslash; eight at a time.
fn is_plain(value: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    // The high bit of a byte is set where it is zero, or where a lower one was.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let is_odd = |word: u64| {
        let below_space = word.wrapping_sub(ONES * u64::from(b' ')) & !word;
        let delete_or_high = word.wrapping_add(ONES) | word;
        let quote = zero(word ^ (ONES * u64::from(b'"')));
        let backslash = zero(word ^ (ONES * u64::from(b'\\')));
        (below_space | delete_or_high | quote | backslash) & HIGHS != 0
    };
    let (words, rest) = value.as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    !words.iter().any(|&word| is_odd(u64::from_ne_bytes(word))) && !is_odd(u64::from_ne_bytes(last))
}

fn hex_pair(byte: u8) -> [u8; 2] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

fn write_hex(out: &mut Vec<u8>, value: u128) {
    let mut text = [[0; 2]; 16];
    for (pair, byte) in text.iter_mut().zip(value.to_be_bytes()) {
        *pair = hex_pair(byte);
    }
    out.extend_from_slice(text.as_flattened());
}

fn write_ip(out: &mut Vec<u8>, ip: IpAddr) {
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
fn padded(out: &mut Vec<u8>, value: u32, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10_u32.pow(place) % 10) as u8);
    }
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

pub(crate) fn write_combined(out: &mut Vec<u8>, date: &mut Date, entry: &Entry<'_>) {
    match entry.client {
        Some(client) => write_ip(out, client),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" - - [");
    out.extend_from_slice(date.at(entry.wall_us / 1_000_000, write_common_second));
    out.extend_from_slice(b"] \"");
    if entry.method.is_empty() {
        out.extend_from_slice(if entry.protocol == "TCP" { b"TCP" } else { b"-" });
    } else {
        escape(out, entry.method);
        out.push(b' ');
        escape(out, entry.target);
        out.push(b' ');
        out.extend_from_slice(entry.protocol.as_bytes());
    }
    out.extend_from_slice(b"\" ");
    padded(out, u32::from(entry.status), 3);
    out.push(b' ');
    out.extend_from_slice(itoa::Buffer::new().format(entry.bytes_out).as_bytes());
    for value in [entry.referer, entry.user_agent] {
        out.extend_from_slice(b" \"");
        if value.is_empty() {
            out.push(b'-');
        }
        escape(out, value);
        out.push(b'"');
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn entry() -> Entry<'static> {
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
            user_agent: b"curl/8 \\",
            status: 502,
            bytes_in: 0,
            bytes_out: 12,
            upstream: "app",
            endpoint: "127.0.0.1:9001",
            attempts: 2,
            reused: false,
            timers: Timers { head_us: Some(3), connect_us: None, response_us: None, total_us: 99 },
            reason: "upstream_empty_reply",
            party: "upstream",
            phase: "response",
            detail: "",
        }
    }

    #[test]
    fn json_is_one_ascii_line() {
        let mut out = Vec::new();
        write_json(&mut out, &mut Date::new(), &entry());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"time":"2026-11-21T10:55:07.000042Z","id":"00000000000000000000000000000abc","#,
                r#""listener":"web","client":"10.0.0.1","client_port":4242,"protocol":"HTTP/1.1","#,
                r#""method":"GET","host":"a.example","target":"/x?y=\u0022\u000d\u000a\u001b\u00ff","#,
                r#""status":502,"bytes_in":0,"bytes_out":12,"upstream":"app","#,
                r#""endpoint":"127.0.0.1:9001","attempts":2,"reused":false,"head_us":3,"#,
                r#""total_us":99,"user_agent":"curl/8 \u005c","reason":"upstream_empty_reply","#,
                r#""party":"upstream","phase":"response"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn combined_is_what_log_readers_expect() {
        let mut out = Vec::new();
        write_combined(&mut out, &mut Date::new(), &Entry { target: b"/x", ..entry() });
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "10.0.0.1 - - [21/Nov/2026:10:55:07 +0000] \"GET /x HTTP/1.1\" 502 12 \"-\" \
             \"curl/8 \\u005c\"\n"
        );
    }

    #[test]
    fn plain_is_what_needs_no_escape() {
        for byte in 0..=u8::MAX {
            let expected = matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
            for before in 0..20 {
                let mut value = vec![b'a'; 24];
                value[before] = byte;
                assert_eq!(is_plain(&value[..=before]), expected, "{byte} behind {before}");
                assert_eq!(is_plain(&value), expected, "{byte} behind {before}, and more");
            }
        }
    }

    #[test]
    fn the_date_follows_the_clock() {
        let mut date = Date::new();
        let mut line = |wall_us| {
            let mut out = Vec::new();
            write_json(&mut out, &mut date, &Entry { wall_us, ..entry() });
            String::from_utf8(out).unwrap()
        };
        assert!(line(0).starts_with(r#"{"time":"1970-01-01T00:00:00.000000Z""#));
        assert!(line(999_999).starts_with(r#"{"time":"1970-01-01T00:00:00.999999Z""#));
        assert!(line(1_000_001).starts_with(r#"{"time":"1970-01-01T00:00:01.000001Z""#));
        assert!(line(20).starts_with(r#"{"time":"1970-01-01T00:00:00.000020Z""#));
    }
}
