//! The access log. A data thread formats lines into a batch of its own; a writer thread takes full
//! batches and writes them. When it cannot keep up, batches are dropped and counted: the disk never
//! slows the traffic down.

use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use fairwater_sys::clock::Civil;

use crate::Counters;

/// A batch is handed over when it holds this much; a tick hands over whatever there is.
const BATCH_BYTES: usize = 32 * 1024;
/// Batches that may wait for the writer: 8 MiB of lines, a second or so of heavy traffic.
const BATCHES_MAX: usize = 256;
/// The most bytes of one value in a line.
const VALUE_BYTES_MAX: usize = 8 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    /// The format that Apache and nginx call combined.
    Combined,
    Off,
}

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
    pub wall: (u64, u32),
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

/// The lines of one thread that are not handed over yet.
#[derive(Debug)]
pub struct LogBatch {
    format: LogFormat,
    text: Vec<u8>,
    lines: u32,
    to_writer: Option<SyncSender<Batch>>,
}

#[derive(Debug)]
struct Batch {
    text: Vec<u8>,
    lines: u32,
}

impl LogBatch {
    /// A batch for a thread without a log.
    pub const fn off() -> Self {
        Self { format: LogFormat::Off, text: Vec::new(), lines: 0, to_writer: None }
    }

    pub fn is_on(&self) -> bool {
        self.to_writer.is_some()
    }

    pub fn write(&mut self, entry: &Entry<'_>, counters: &Counters) {
        match self.format {
            LogFormat::Json => write_json(&mut self.text, entry),
            LogFormat::Combined => write_combined(&mut self.text, entry),
            LogFormat::Off => return,
        }
        self.lines += 1;
        if self.text.len() >= BATCH_BYTES {
            self.hand_over(counters);
        }
    }

    /// Hands over what there is, or drops it when the writer is behind.
    pub fn hand_over(&mut self, counters: &Counters) {
        let Some(to_writer) = &self.to_writer else { return };
        if self.text.is_empty() {
            return;
        }
        let text = std::mem::replace(&mut self.text, Vec::with_capacity(BATCH_BYTES + 4096));
        let lines = std::mem::take(&mut self.lines);
        counters.log_lines.add(u64::from(lines));
        if to_writer.try_send(Batch { text, lines }).is_err() {
            counters.log_dropped.add(u64::from(lines));
        }
    }
}

/// The thread that writes.
#[derive(Debug)]
pub struct LogWriter {
    format: LogFormat,
    to_writer: Option<SyncSender<Batch>>,
    thread: Option<JoinHandle<()>>,
    /// Lines that could not be written: the disk is full, the pipe is closed.
    lost: Arc<AtomicU64>,
}

impl LogWriter {
    /// Starts the writer; `path` `None` means standard output.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread cannot be started.
    pub fn start(format: LogFormat, path: Option<&Path>) -> io::Result<Self> {
        if format == LogFormat::Off {
            return Ok(Self { format, to_writer: None, thread: None, lost: Arc::default() });
        }
        let output: Box<dyn Write + Send> = match path {
            Some(path) => Box::new(File::options().append(true).create(true).open(path)?),
            None => Box::new(io::stdout()),
        };
        let (to_writer, batches) = sync_channel(BATCHES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&lost);
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(&batches, output, &count))?;
        Ok(Self { format, to_writer: Some(to_writer), thread: Some(thread), lost })
    }

    /// The batch for one more data thread.
    pub fn batch(&self) -> LogBatch {
        LogBatch {
            format: self.format,
            text: Vec::new(),
            lines: 0,
            to_writer: self.to_writer.clone(),
        }
    }

    pub fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    /// Writes what was handed over and ends, once every batch is dropped.
    pub fn finish(mut self) {
        self.to_writer = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn write_all(batches: &Receiver<Batch>, mut output: Box<dyn Write + Send>, lost: &AtomicU64) {
    while let Ok(batch) = batches.recv() {
        if output.write_all(&batch.text).and_then(|()| output.flush()).is_err() {
            lost.fetch_add(u64::from(batch.lines), Ordering::Relaxed);
        }
    }
}

fn write_json(out: &mut Vec<u8>, entry: &Entry<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    write_iso_time(out, entry.wall);
    out.extend_from_slice(b"\",\"id\":\"");
    write_hex(out, entry.id);
    out.push(b'"');
    text(out, "listener", entry.listener.as_bytes());
    if let Some(client) = entry.client {
        out.extend_from_slice(b",\"client\":\"");
        write_ip(out, client);
        out.push(b'"');
        number(out, "client_port", u64::from(entry.client_port));
    }
    text(out, "protocol", entry.protocol.as_bytes());
    text(out, "method", entry.method);
    text(out, "host", entry.host);
    text(out, "target", entry.target);
    if entry.status > 0 {
        number(out, "status", u64::from(entry.status));
    }
    number(out, "bytes_in", entry.bytes_in);
    number(out, "bytes_out", entry.bytes_out);
    text(out, "upstream", entry.upstream.as_bytes());
    text(out, "endpoint", entry.endpoint.as_bytes());
    if entry.attempts > 0 {
        number(out, "attempts", u64::from(entry.attempts));
        out.extend_from_slice(if entry.reused {
            b",\"reused\":true"
        } else {
            b",\"reused\":false"
        });
    }
    for (name, value) in [
        ("head_us", entry.timers.head_us),
        ("connect_us", entry.timers.connect_us),
        ("response_us", entry.timers.response_us),
        ("total_us", Some(entry.timers.total_us)),
    ] {
        if let Some(value) = value {
            number(out, name, value);
        }
    }
    text(out, "user_agent", entry.user_agent);
    for (name, value) in [
        ("reason", entry.reason),
        ("party", entry.party),
        ("phase", entry.phase),
        ("detail", entry.detail),
    ] {
        text(out, name, value.as_bytes());
    }
    out.extend_from_slice(b"}\n");
}

/// `,"name":"value"`, left out when empty.
fn text(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if value.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    escape(out, value);
    out.push(b'"');
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Bytes as the inside of a JSON string in pure ASCII: nothing that a client sends can end the
/// line, the string, or reach a terminal as a control sequence. A byte above 0x7e is written as the
/// code point of the same number.
fn escape(out: &mut Vec<u8>, value: &[u8]) {
    let value = &value[..value.len().min(VALUE_BYTES_MAX)];
    let is_plain = |b: u8| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\';
    if value.iter().all(|&b| is_plain(b)) {
        out.extend_from_slice(value);
        return;
    }
    for &byte in value {
        if is_plain(byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn write_hex(out: &mut Vec<u8>, value: u128) {
    for shift in (0..32).rev() {
        out.push(HEX[(value >> (shift * 4)) as usize & 15]);
    }
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

fn write_iso_time(out: &mut Vec<u8>, (seconds, micros): (u64, u32)) {
    let civil = Civil::from_epoch(seconds);
    for (value, width, end) in [
        (civil.year, 4, b'-'),
        (civil.month, 2, b'-'),
        (civil.day, 2, b'T'),
        (civil.hour, 2, b':'),
        (civil.minute, 2, b':'),
        (civil.second, 2, b'.'),
        (micros, 6, b'Z'),
    ] {
        padded(out, value, width);
        out.push(end);
    }
}

fn write_combined(out: &mut Vec<u8>, entry: &Entry<'_>) {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    match entry.client {
        Some(client) => write_ip(out, client),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" - - [");
    let civil = Civil::from_epoch(entry.wall.0);
    padded(out, civil.day, 2);
    out.push(b'/');
    out.extend_from_slice(MONTHS[(civil.month as usize + 11) % 12].as_bytes());
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
    out.extend_from_slice(b"+0000] \"");
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
            wall: (1_795_258_507, 42),
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
        write_json(&mut out, &entry());
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
        write_combined(&mut out, &Entry { target: b"/x", ..entry() });
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "10.0.0.1 - - [21/Nov/2026:10:55:07 +0000] \"GET /x HTTP/1.1\" 502 12 \"-\" \
             \"curl/8 \\u005c\"\n"
        );
    }
}
