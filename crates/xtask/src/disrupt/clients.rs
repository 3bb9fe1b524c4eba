//! Clients of every kind, each a thread that has one thing under way and knows what has become of
//! it: a request has failed when it was sent and no complete reply came. One that finds its
//! connection closed before it sends anything opens another, as clients do.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::Failure;

const PATIENCE: Duration = Duration::from_secs(10);
/// After a refused connection.
const AGAIN: Duration = Duration::from_millis(2);
/// Of the probe: 200 a second.
const PROBE_EVERY: Duration = Duration::from_millis(5);
const PIPELINED: usize = 8;
const BODY_BYTES: usize = 128;
const MESSAGE_BYTES: usize = 64;

/// As browsers ask for a WebSocket.
const TUNNEL: &str = "GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[derive(Debug, Default)]
pub(crate) struct Shared {
    is_over: AtomicBool,
    requests: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    first_fault: Mutex<Option<String>>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) refused: u64,
    /// Tunnels and raw connections that were closed.
    pub(crate) cut: u64,
    pub(crate) first_fault: Option<String>,
    /// When a probe was due, and how long it took; nothing if it failed.
    pub(crate) probes: Vec<(Instant, Option<Duration>)>,
}

pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
    probe: JoinHandle<Vec<(Instant, Option<Duration>)>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    KeepAlive,
    Closing,
    Pipelined,
    Tunnel,
    Raw,
}

impl Load {
    pub(crate) fn start(http: u16, tcp: u16, clients: usize) -> Result<Self, Failure> {
        let shared = Arc::new(Shared::default());
        let kinds = [Kind::KeepAlive, Kind::Closing, Kind::Pipelined, Kind::Tunnel, Kind::Raw];
        let mut all = Vec::new();
        for kind in kinds.into_iter().flat_map(|kind| std::iter::repeat_n(kind, clients)) {
            let port = if kind == Kind::Raw { tcp } else { http };
            let mut client =
                Client { kind, port, stream: None, shared: Arc::clone(&shared), count: 0 };
            all.push(std::thread::Builder::new().spawn(move || {
                while !client.shared.is_over.load(Ordering::Relaxed) {
                    client.turn();
                }
            })?);
        }
        let own = Arc::clone(&shared);
        let probe = std::thread::Builder::new().spawn(move || probe(http, &own))?;
        Ok(Self { shared, clients: all, probe })
    }

    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn end(self) -> Tally {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            if client.join().is_err() {
                eprintln!("a client has panicked");
            }
        }
        let probes = self.probe.join().unwrap_or_default();
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let first_fault = self.shared.first_fault.lock().unwrap_or_else(PoisonError::into_inner);
        Tally {
            requests: get(&self.shared.requests),
            failed: get(&self.shared.failed),
            refused: get(&self.shared.refused),
            cut: get(&self.shared.cut),
            first_fault: first_fault.clone(),
            probes,
        }
    }
}

struct Client {
    kind: Kind,
    port: u16,
    stream: Option<TcpStream>,
    shared: Arc<Shared>,
    count: u64,
}

impl Client {
    fn turn(&mut self) {
        let Some(mut stream) = self.stream.take().filter(is_open).or_else(|| self.connect()) else {
            return;
        };
        let result = match self.kind {
            Kind::KeepAlive => request(&mut stream, "", 1),
            Kind::Pipelined => request(&mut stream, "", PIPELINED),
            Kind::Closing => request(&mut stream, "Connection: close\r\n", 1).map(|_| false),
            Kind::Tunnel | Kind::Raw => {
                self.count += 1;
                echo(&mut stream, self.count).map(|()| true)
            }
        };
        let amount = if self.kind == Kind::Pipelined { PIPELINED as u64 } else { 1 };
        self.shared.requests.fetch_add(amount, Ordering::Relaxed);
        match result {
            Ok(stays) => self.stream = Some(stream).filter(|_| stays),
            Err(error) => match self.kind {
                Kind::Tunnel | Kind::Raw => self.fault(&self.shared.cut, &error),
                _ => self.fault(&self.shared.failed, &error),
            },
        }
    }

    fn fault(&self, counter: &AtomicU64, error: &io::Error) {
        counter.fetch_add(1, Ordering::Relaxed);
        let mut first = self.shared.first_fault.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| format!("{:?}: {error}", self.kind));
    }

    fn connect(&self) -> Option<TcpStream> {
        let Ok(mut stream) = connect(self.port) else {
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            sleep(AGAIN);
            return None;
        };
        if self.kind == Kind::Tunnel {
            let head = stream.write_all(TUNNEL.as_bytes()).and_then(|()| head(&mut stream));
            let switched = head.and_then(|head| match head.starts_with("HTTP/1.1 101 ") {
                true => Ok(()),
                false => Err(io::Error::other(head)),
            });
            if let Err(error) = switched {
                self.fault(&self.shared.failed, &error);
                return None;
            }
        }
        Some(stream)
    }
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Whether an idle connection was not closed by the other side.
fn is_open(stream: &TcpStream) -> bool {
    let looked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    stream.set_nonblocking(false).is_ok()
        && matches!(looked, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Sends some requests at once and reads their replies. Returns whether the connection stays.
fn request(stream: &mut TcpStream, header: &str, count: usize) -> io::Result<bool> {
    let one = format!("GET /b/{BODY_BYTES} HTTP/1.1\r\nHost: a\r\n{header}\r\n");
    stream.write_all(one.repeat(count).as_bytes())?;
    let mut stays = true;
    for _ in 0..count {
        let head = head(stream)?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(io::Error::other(head));
        }
        stays &= !head.to_ascii_lowercase().contains("\r\nconnection: close");
        stream.read_exact(&mut [0; BODY_BYTES])?;
    }
    Ok(stays)
}

/// Byte by byte would cost a call each: what is behind the head is looked at before it is taken.
fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = [0; 2048];
    loop {
        let seen = stream.peek(&mut bytes)?;
        if seen == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Some(at) = bytes[..seen].windows(4).position(|four| four == b"\r\n\r\n") {
            stream.read_exact(&mut bytes[..at + 4])?;
            return Ok(String::from_utf8_lossy(&bytes[..at + 4]).into_owned());
        }
        if seen == bytes.len() {
            return Err(ErrorKind::InvalidData.into());
        }
        // Half of it has come; the rest is on its way.
        std::thread::yield_now();
    }
}

/// Sends a message and wants the same back.
fn echo(stream: &mut TcpStream, number: u64) -> io::Result<()> {
    let mut message = [0; MESSAGE_BYTES];
    message.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&number.to_le_bytes()));
    stream.write_all(&message)?;
    let mut back = [0; MESSAGE_BYTES];
    stream.read_exact(&mut back)?;
    if back == message { Ok(()) } else { Err(io::Error::other("other bytes came back")) }
}

#[allow(clippy::disallowed_methods, reason = "a harness has no other clock")]
/// Requests that are due at fixed times, however long those before have taken.
fn probe(port: u16, shared: &Shared) -> Vec<(Instant, Option<Duration>)> {
    let mut probes = Vec::new();
    let mut stream: Option<TcpStream> = None;
    let mut due = Instant::now();
    while !shared.is_over.load(Ordering::Relaxed) {
        sleep(due.saturating_duration_since(Instant::now()));
        let open = stream.take().filter(is_open).map_or_else(|| connect(port), Ok);
        let done = open.and_then(|mut open| {
            let stays = request(&mut open, "", 1)?;
            stream = Some(open).filter(|_| stays);
            Ok(())
        });
        probes.push((due, done.ok().map(|()| due.elapsed())));
        due += PROBE_EVERY;
    }
    probes
}
