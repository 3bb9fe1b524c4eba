//! The backend: an HTTP/1.1 server whose bodies have the size that the path asks for, an echo
//! server, one for gRPC, and one that echoes datagrams.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::rc::Rc;

use memchr::memmem;
use rustix::net::sockopt;

use crate::arguments::BackendSettings;
use crate::datagrams;
use crate::h2::{Server, Words};
use crate::message::{self, BODY_BYTES_MAX, SERVICES_MAX};
use crate::poll::{Events, Poll, pin_to};
use crate::reply::decimal;

/// A request head longer than this ends its connection.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Connections that may wait to be accepted: above the thousand that `ab` opens at once.
const BACKLOG: i32 = 4096;

/// What `/tunnel` is answered with.
const TUNNEL: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Of datagrams that wait to be sent back.
const DATAGRAMS_BYTES: usize = 4 << 20;

const HTTP: usize = 0;
const ECHO: usize = 1;
const GRPC: usize = 2;
const DATAGRAMS: usize = 3;
const FIRST_STREAM: usize = 4;

pub(crate) fn run(settings: &BackendSettings) -> io::Result<()> {
    pin_to(settings.core)?;
    let mut backend = Backend::new(settings)?;
    say("ready")?;
    let mut events = Events::new();
    loop {
        let count = backend.poll.wait(&mut events, None)?;
        for index in 0..count {
            match events.ready(index).token {
                listener @ (HTTP | ECHO | GRPC) => backend.accept(listener)?,
                DATAGRAMS => backend.echo_datagrams(),
                token => backend.serve(token - FIRST_STREAM),
            }
        }
    }
}

pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

struct Backend {
    poll: Poll,
    listeners: [TcpListener; 3],
    datagrams: Option<UdpSocket>,
    streams: Vec<Option<Stream>>,
    free: Vec<usize>,
    replies: Replies,
    grpc_words: Rc<Words>,
    scratch: Vec<u8>,
}

struct Stream {
    socket: TcpStream,
    kind: Kind,
    /// The part of a request head, or of a frame, that came so far.
    input: Vec<u8>,
    /// What the socket has not taken yet: bytes and how many of them are gone.
    output: Option<(Rc<[u8]>, usize)>,
    closing: bool,
}

enum Kind {
    Http,
    Echo,
    Grpc(Box<Server>),
}

impl Backend {
    fn new(settings: &BackendSettings) -> io::Result<Self> {
        let poll = Poll::new()?;
        let addresses = [settings.http, settings.echo, settings.grpc];
        let [http, echo, grpc] = addresses.map(listen);
        let listeners = [http?, echo?, grpc?];
        for (token, listener) in listeners.iter().enumerate() {
            poll.add_listener(listener, token)?;
        }
        let datagrams = settings.datagrams.map(UdpSocket::bind).transpose()?;
        if let Some(socket) = &datagrams {
            socket.set_nonblocking(true)?;
            // The kernel grants what it will; a burst must find room.
            sockopt::set_socket_recv_buffer_size(socket, DATAGRAMS_BYTES)?;
            poll.add_listener(socket, DATAGRAMS)?;
        }
        Ok(Self {
            poll,
            listeners,
            datagrams,
            streams: Vec::new(),
            free: Vec::new(),
            replies: Replies { pattern: message::pattern(), ready: HashMap::new() },
            grpc_words: Rc::new(Words::new()),
            scratch: vec![0; 256 * 1024],
        })
    }

    fn echo_datagrams(&mut self) {
        self.datagrams.iter().for_each(|socket| datagrams::echo(socket, &mut self.scratch));
    }

    fn accept(&mut self, listener: usize) -> io::Result<()> {
        loop {
            let socket = match self.listeners[listener].accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The peer gave up while it was in the queue.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            let slot = self.free.pop().unwrap_or(self.streams.len());
            if slot == self.streams.len() {
                self.streams.push(None);
            }
            self.poll.add_stream(&socket, slot + FIRST_STREAM)?;
            let kind = match listener {
                HTTP => Kind::Http,
                ECHO => Kind::Echo,
                _ => Kind::Grpc(Box::new(Server::new(Rc::clone(&self.grpc_words)))),
            };
            self.streams[slot] =
                Some(Stream { socket, kind, input: Vec::new(), output: None, closing: false });
        }
    }

    /// Moves one stream on as far as it goes; a fault of the peer ends the stream alone.
    fn serve(&mut self, slot: usize) {
        let Some(stream) = self.streams[slot].as_mut() else { return };
        if stream.turn(&mut self.replies, &mut self.scratch).is_err() {
            self.streams[slot] = None;
            self.free.push(slot);
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    // A second `listen` sets the backlog, which the standard library does not let us choose.
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

impl Stream {
    /// Any error, also the peer's ordinary end, means that the stream is over.
    fn turn(&mut self, replies: &mut Replies, scratch: &mut [u8]) -> io::Result<()> {
        loop {
            if !self.flush()? {
                return Ok(());
            }
            if self.closing {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            let count = match self.socket.read(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            match self.kind {
                Kind::Echo => self.send(Rc::from(&scratch[..count]))?,
                Kind::Http => self.take_requests(&scratch[..count], replies)?,
                Kind::Grpc(_) => self.take_frames(&scratch[..count])?,
            }
            // A short read emptied the socket: the next edge tells of more, the end included,
            // which a proxy sends long after its last byte.
            if count < scratch.len() && self.output.is_none() && !self.closing {
                return Ok(());
            }
        }
    }

    fn take_requests(&mut self, bytes: &[u8], replies: &mut Replies) -> io::Result<()> {
        if self.input.is_empty() {
            let used = self.answer_all(bytes, replies)?;
            self.input.extend_from_slice(&bytes[used..]);
        } else {
            self.input.extend_from_slice(bytes);
            let input = std::mem::take(&mut self.input);
            let used = self.answer_all(&input, replies)?;
            self.input.extend_from_slice(&input[used..]);
        }
        if self.input.len() > HEAD_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(())
    }

    fn take_frames(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Kind::Grpc(server) = &mut self.kind else { return Ok(()) };
        self.input.extend_from_slice(bytes);
        let used = server.feed(&self.input).map_err(|fault| {
            // The proxy does not tell why a connection to its endpoint has ended.
            eprintln!("backend: {fault}");
            io::Error::other(fault)
        })?;
        self.input.drain(..used);
        let output = Rc::from(&server.output[..]);
        server.output.clear();
        self.send(output)
    }

    /// The number of bytes used up by whole requests.
    fn answer_all(&mut self, bytes: &[u8], replies: &mut Replies) -> io::Result<usize> {
        let mut used = 0;
        while let Some(length) = memmem::find(&bytes[used..], b"\r\n\r\n") {
            let head = &bytes[used..used + length + 4];
            if head.starts_with(b"GET /tunnel ") {
                // From here on bytes are bytes.
                self.kind = Kind::Echo;
                self.send([TUNNEL, &bytes[used + head.len()..]].concat().into())?;
                return Ok(bytes.len());
            }
            let persistence = Persistence::of(head);
            let (service, body_bytes) = target(head).ok_or(ErrorKind::InvalidData)?;
            self.closing |= persistence == Persistence::Close;
            self.send(replies.get(service, body_bytes, persistence))?;
            used += head.len();
        }
        Ok(used)
    }

    fn send(&mut self, bytes: Rc<[u8]>) -> io::Result<()> {
        if let Some((earlier, gone)) = self.output.take() {
            // Only a client that pipelines gets here, and no proxy under test does.
            let joined = [&earlier[gone..], &bytes[..]].concat();
            self.output = Some((joined.into(), 0));
        } else {
            self.output = Some((bytes, 0));
        }
        self.flush().map(drop)
    }

    /// Whether all output is gone.
    fn flush(&mut self) -> io::Result<bool> {
        while let Some((bytes, gone)) = self.output.as_mut() {
            match self.socket.write(&bytes[*gone..]) {
                Ok(count) => *gone += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            if *gone == bytes.len() {
                self.output = None;
            }
        }
        Ok(true)
    }
}

/// What the client wants to happen after the reply.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Persistence {
    Implied,
    /// HTTP/1.0 with `Connection: keep-alive`, which wants to be answered in kind (`ab`).
    Asked,
    Close,
}

impl Persistence {
    fn of(head: &[u8]) -> Self {
        // Without the first letter both spellings in use are found by one search.
        let value = memmem::find(head, b"onnection: ").map(|at| &head[at + 11..]);
        let line_end = memchr::memchr(b'\r', head).unwrap_or(head.len());
        let old = head[..line_end].ends_with(b"HTTP/1.0");
        let says = |word: &[u8]| {
            value.is_some_and(|v| {
                v.len() >= word.len() && v[..word.len()].eq_ignore_ascii_case(word)
            })
        };
        match old {
            true if says(b"keep-alive") => Self::Asked,
            true => Self::Close,
            false if says(b"close") => Self::Close,
            false => Self::Implied,
        }
    }
}

/// Service and body size from `GET /svcN/b/SIZE` or `GET /b/SIZE`.
fn target(head: &[u8]) -> Option<(usize, usize)> {
    let path = head.strip_prefix(b"GET ")?;
    let service = path.strip_prefix(b"/svc").map_or(0, decimal);
    let at = memmem::find(&path[..path.len().min(64)], b"/b/")?;
    let body_bytes = decimal(&path[at + 3..]);
    (service < SERVICES_MAX && body_bytes <= BODY_BYTES_MAX).then_some((service, body_bytes))
}

/// Replies are made once and sent again and again.
struct Replies {
    pattern: Vec<u8>,
    ready: HashMap<(usize, usize, Persistence), Rc<[u8]>>,
}

impl Replies {
    fn get(&mut self, service: usize, body_bytes: usize, persistence: Persistence) -> Rc<[u8]> {
        let pattern = &self.pattern;
        let make = || {
            let connection = match persistence {
                Persistence::Implied => "",
                Persistence::Asked => "Connection: keep-alive\r\n",
                Persistence::Close => "Connection: close\r\n",
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{connection}\
                 Content-Length: {body_bytes}\r\n\r\n"
            );
            [head.as_bytes(), &pattern[service..service + body_bytes]].concat().into()
        };
        Rc::clone(self.ready.entry((service, body_bytes, persistence)).or_insert_with(make))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_service_and_size() {
        assert_eq!(target(b"GET /b/128 HTTP/1.1\r\n"), Some((0, 128)));
        assert_eq!(target(b"GET /svc17/b/1024 HTTP/1.1\r\n"), Some((17, 1024)));
        assert_eq!(target(b"GET /b/99999999 HTTP/1.1\r\n"), None);
        assert_eq!(target(b"GET / HTTP/1.1\r\n"), None);
        assert_eq!(target(b"POST /b/1 HTTP/1.1\r\n"), None);
    }

    #[test]
    fn persistence_follows_version_and_header() {
        let check = |head: &str, expected| assert_eq!(Persistence::of(head.as_bytes()), expected);
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Persistence::Implied);
        check("GET / HTTP/1.1\r\nconnection: close\r\n\r\n", Persistence::Close);
        check("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", Persistence::Asked);
        check("GET / HTTP/1.0\r\n\r\n", Persistence::Close);
    }
}
