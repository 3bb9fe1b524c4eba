//! The generator: a closed loop with one request in flight per connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use crate::arguments::{DriveSettings, Mode};
use crate::message::{self, Request};
use crate::orders::{Generator, Quota, STALL_MAX, Tally};
use crate::poll::{Events, Poll, pin_to};
use crate::reply::{Progress, Reply};
use crate::wire::{Tls, Wire};

pub(crate) struct Drive {
    target: SocketAddr,
    tls: Option<Tls>,
    mode: Mode,
    window: usize,
    body_bytes: usize,
    pattern: Vec<u8>,
    requests: Vec<Request>,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    scratch: Vec<u8>,
    turn: usize,
    /// Sessions that go on may begin anew: one for each connection at a time, when there is none
    /// yet.
    full_handshakes_left: Option<usize>,
}

struct Connection {
    /// None only between two connections of mode close.
    socket: Option<Wire>,
    request: usize,
    state: State,
}

enum State {
    Idle,
    /// The request waits for the connection to stand.
    Connecting,
    Waiting(Reply),
    /// The reply is complete, and the server has yet to close.
    Closing,
}

impl Drive {
    pub(crate) fn new(settings: &DriveSettings) -> io::Result<Self> {
        pin_to(settings.core)?;
        let DriveSettings { mode, profile, body_bytes, .. } = *settings;
        let pattern = match mode {
            Mode::Frames => message::frames(body_bytes),
            _ => message::pattern(),
        };
        let tls = settings.trust.as_ref().map(|path| Tls::new(path, settings.resumes, &[]));
        Ok(Self {
            target: settings.target,
            tls: tls.transpose()?,
            mode,
            window: settings.window,
            body_bytes,
            requests: message::requests(mode, profile, body_bytes, &pattern),
            pattern,
            poll: Poll::new()?,
            events: Events::new(),
            connections: Vec::new(),
            scratch: vec![0; 256 * 1024],
            turn: 0,
            full_handshakes_left: settings.resumes.then_some(settings.window),
        })
    }

    fn connect(&mut self, slot: usize) -> io::Result<Wire> {
        let mut socket = self.wrap(TcpStream::connect(self.target)?, slot)?;
        socket.shake_hands()?;
        if self.mode == Mode::Tunnel {
            socket.write_all(message::TUNNEL)?;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte)?;
                head.push(byte[0]);
            }
            if !head.starts_with(b"HTTP/1.1 101 ") {
                return Err(io::Error::other("the tunnel is refused"));
            }
        }
        socket.set_nonblocking()?;
        self.poll.add_stream(&socket, slot)?;
        Ok(socket)
    }

    fn wrap(&mut self, socket: TcpStream, slot: usize) -> io::Result<Wire> {
        match &mut self.tls {
            Some(tls) => tls.wrap(socket, self.target, slot),
            None => Ok(Wire::Clear(socket)),
        }
    }

    fn work(&mut self, mut quota: Quota) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let total = quota.left as u64;
        for slot in 0..self.window.min(self.connections.len()) {
            if let Some(slot) = quota.take(slot) {
                self.start(slot, &mut tally)?;
            }
        }
        while tally.requests < total {
            let count = self.poll.wait(&mut self.events, Some(STALL_MAX))?;
            if count == 0 {
                let missing = total - tally.requests;
                return Err(io::Error::other(format!("stalled with {missing} replies missing")));
            }
            for index in 0..count {
                let ready = self.events.ready(index);
                if self.advance(ready.token, ready.ended, &mut tally)? {
                    tally.requests += 1;
                    if let Some(slot) = quota.take(ready.token) {
                        self.start(slot, &mut tally)?;
                    }
                }
            }
        }
        Ok(tally)
    }

    /// Sends the next request on a connection that has none in flight.
    fn start(&mut self, slot: usize, tally: &mut Tally) -> io::Result<()> {
        self.turn = (self.turn + 1) % self.requests.len();
        if self.connections[slot].socket.is_none() {
            let socket = self.wrap(begin_connect(self.target)?, slot)?;
            self.poll.add_stream(&socket, slot)?;
            self.connections[slot].socket = Some(socket);
        }
        let connection = &mut self.connections[slot];
        connection.request = self.turn;
        connection.state = match connection.send(&self.requests[self.turn].bytes) {
            Ok(()) => State::Waiting(first_state(self.mode)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => State::Connecting,
            Err(error) => {
                // The reply can't come; the read that the broken socket announces ends it.
                tally.blame(error)?;
                State::Waiting(first_state(self.mode))
            }
        };
        Ok(())
    }

    /// Takes what came for one connection; true when its request is over, well or not.
    fn advance(&mut self, slot: usize, ended: bool, tally: &mut Tally) -> io::Result<bool> {
        if matches!(self.connections[slot].state, State::Connecting) {
            return self.send_late(slot, tally);
        }
        loop {
            let connection = &mut self.connections[slot];
            let Some(socket) = connection.socket.as_mut() else { return Ok(false) };
            let is_clear = socket.is_clear();
            let count = match socket.read(&mut self.scratch) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return self.fail(slot, error, tally),
            };
            let start = self.requests[connection.request].body_start;
            let expected = &self.pattern[start..start + self.body_bytes];
            match (&mut connection.state, count) {
                (State::Closing, 0) => {
                    let is_full = socket.is_full_handshake();
                    self.reset(slot)?;
                    self.check_resumption(is_full, tally)?;
                    return Ok(true);
                }
                (State::Idle, 0) => {
                    tally.reopened += 1;
                    self.reset(slot)?;
                    return Ok(false);
                }
                (State::Waiting(_), 0) => return self.fail(slot, "early end", tally),
                (State::Waiting(reply), _) => match reply.feed(&self.scratch[..count], expected) {
                    Progress::More => {}
                    Progress::Done if self.mode == Mode::Close => connection.state = State::Closing,
                    Progress::Done => {
                        connection.state = State::Idle;
                        return Ok(true);
                    }
                    Progress::Wrong(fault) => return self.fail(slot, fault, tally),
                },
                (State::Idle | State::Closing | State::Connecting, _) => {
                    return self.fail(slot, "bytes that nobody asked for", tally);
                }
            }
            // A short read emptied the socket, unless its end came with it.
            if is_clear && count < self.scratch.len() && !ended {
                return Ok(false);
            }
        }
    }

    fn check_resumption(&mut self, is_full: bool, tally: &mut Tally) -> io::Result<()> {
        let Some(left) = self.full_handshakes_left.as_mut().filter(|_| is_full) else {
            return Ok(());
        };
        match left.checked_sub(1) {
            Some(rest) => *left = rest,
            None => tally.blame("a session was not resumed")?,
        }
        Ok(())
    }

    /// The connection stands, or failed to.
    fn send_late(&mut self, slot: usize, tally: &mut Tally) -> io::Result<bool> {
        let connection = &mut self.connections[slot];
        match connection.send(&self.requests[connection.request].bytes) {
            Ok(()) => connection.state = State::Waiting(first_state(self.mode)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return self.fail(slot, error, tally),
        }
        Ok(false)
    }

    /// Counts a fault and puts a fresh connection in place; the request is over.
    fn fail(&mut self, slot: usize, fault: impl ToString, tally: &mut Tally) -> io::Result<bool> {
        tally.blame(fault)?;
        let in_flight = !matches!(self.connections[slot].state, State::Idle);
        self.reset(slot)?;
        Ok(in_flight)
    }

    fn reset(&mut self, slot: usize) -> io::Result<()> {
        let connection = &mut self.connections[slot];
        connection.state = State::Idle;
        connection.socket = None;
        if self.mode != Mode::Close {
            let socket = self.connect(slot)?;
            self.connections[slot].socket = Some(socket);
        }
        Ok(())
    }
}

impl Generator for Drive {
    fn open(&mut self, count: usize) -> io::Result<Tally> {
        while self.connections.len() < count {
            let slot = self.connections.len();
            let socket = match self.mode {
                Mode::Close => None,
                // Blocking: so the proxy's backlog can't overflow, however many are asked for.
                Mode::Keepalive | Mode::Echo | Mode::Tunnel | Mode::Frames => {
                    Some(self.connect(slot)?)
                }
            };
            self.connections.push(Connection { socket, request: 0, state: State::Idle });
        }
        Ok(Tally::default())
    }

    fn go(&mut self, count: usize) -> io::Result<Tally> {
        self.work(Quota::of(count))
    }

    fn each(&mut self) -> io::Result<Tally> {
        self.work(Quota::one_each(self.connections.len()))
    }
}

impl Connection {
    /// Requests are far smaller than a socket's buffer, so a short write is a fault.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let socket = self.socket.as_mut().ok_or(ErrorKind::NotConnected)?;
        match socket.write(bytes) {
            Ok(count) if count == bytes.len() => Ok(()),
            Ok(_) => Err(ErrorKind::WriteZero.into()),
            Err(error) => Err(error),
        }
    }
}

fn first_state(mode: Mode) -> Reply {
    match mode {
        Mode::Echo | Mode::Tunnel | Mode::Frames => Reply::Body(0),
        Mode::Keepalive | Mode::Close => Reply::Head(Vec::new()),
    }
}

/// On loopback the handshake is over when this returns, so that the request can go at once.
fn begin_connect(target: SocketAddr) -> io::Result<TcpStream> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &target) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error.into()),
    }
}
