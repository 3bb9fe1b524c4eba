//! The generator of HTTP/2: a closed loop with many requests in flight on each connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use super::call::Call;
use super::client::Client;
use crate::arguments::{Asked, MultiplexSettings};
use crate::orders::{Generator, Quota, STALL_MAX, Tally};
use crate::poll::{Events, Poll, pin_to};
use crate::wire::{Tls, Wire};

/// Its name in TLS.
const PROTOCOL: &[u8] = b"h2";

pub(crate) struct Multiplex {
    target: SocketAddr,
    asked: Asked,
    tls: Option<Tls>,
    streams: usize,
    window: usize,
    calls: Rc<[Call]>,
    turn: usize,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    scratch: Vec<u8>,
}

struct Connection {
    wire: Wire,
    client: Client,
    /// The beginning of a frame that is not whole yet.
    rest: Vec<u8>,
    /// Of the client's output.
    sent: usize,
}

impl Multiplex {
    pub(crate) fn new(settings: &MultiplexSettings) -> io::Result<Self> {
        pin_to(settings.core)?;
        let tls = settings.trust.as_ref().map(|path| Tls::new(path, false, &[PROTOCOL]));
        Ok(Self {
            target: settings.target,
            asked: settings.asked,
            tls: tls.transpose()?,
            streams: settings.streams,
            window: settings.window,
            calls: Call::all(settings).into(),
            turn: 0,
            poll: Poll::new()?,
            events: Events::new(),
            connections: Vec::new(),
            scratch: vec![0; 256 * 1024],
        })
    }

    /// With its preface and settings on the way.
    fn connect(&mut self, slot: usize) -> io::Result<Connection> {
        let socket = TcpStream::connect(self.target)?;
        socket.set_nodelay(true)?;
        let mut wire = match &mut self.tls {
            Some(tls) => tls.wrap(socket, self.target, slot)?,
            None => Wire::Clear(socket),
        };
        wire.shake_hands()?;
        if self.tls.is_some() && wire.protocol() != Some(PROTOCOL) {
            return Err(io::Error::other("the proxy does not agree to HTTP/2"));
        }
        wire.set_nonblocking()?;
        self.poll.add_stream(&wire, slot)?;
        let client = Client::new(self.asked, Rc::clone(&self.calls));
        let mut connection = Connection { wire, client, rest: Vec::new(), sent: 0 };
        connection.flush()?;
        Ok(connection)
    }

    fn work(&mut self, mut quota: Quota) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let total = quota.left as u64;
        self.begin(&mut quota, &mut tally)?;
        while tally.requests < total {
            let count = self.poll.wait(&mut self.events, Some(STALL_MAX))?;
            if count == 0 {
                let missing = total - tally.requests;
                return Err(io::Error::other(format!("stalled with {missing} replies missing")));
            }
            for index in 0..count {
                let ready = self.events.ready(index);
                self.advance(ready.token, ready.ended, &mut quota, &mut tally)?;
            }
        }
        Ok(tally)
    }

    /// Fills all streams, or those of the first connections with one each.
    fn begin(&mut self, quota: &mut Quota, tally: &mut Tally) -> io::Result<()> {
        let (turns, count) = match quota.is_one_each() {
            true => (1, self.window.min(self.connections.len())),
            false => (self.streams, self.connections.len()),
        };
        for _ in 0..turns {
            for slot in 0..count {
                if let Some(slot) = quota.take(slot) {
                    self.start(slot);
                }
            }
        }
        for slot in 0..count {
            self.flush(slot, quota, tally)?;
        }
        Ok(())
    }

    fn start(&mut self, slot: usize) {
        self.turn = (self.turn + 1) % self.calls.len();
        self.connections[slot].client.start(self.turn);
    }

    /// Takes all that came for one connection, and only then sends the requests that follow.
    fn advance(
        &mut self,
        slot: usize,
        ended: bool,
        quota: &mut Quota,
        tally: &mut Tally,
    ) -> io::Result<()> {
        let mut done = 0;
        let outcome = loop {
            match self.connections[slot].turn(&mut self.scratch) {
                Ok(Turn::Taken { replies, is_all }) => {
                    done += replies;
                    if is_all && !ended {
                        break Ok(());
                    }
                }
                Ok(Turn::Nothing) => break Ok(()),
                Ok(Turn::End) => break Err("early end".to_owned()),
                Err(fault) => break Err(fault),
            }
        };
        if let Err(fault) = outcome {
            done += self.replace(slot, &fault, tally)?;
        }
        self.go_on(slot, done, quota, tally)
    }

    /// So many requests of a connection are over.
    fn go_on(
        &mut self,
        slot: usize,
        done: usize,
        quota: &mut Quota,
        tally: &mut Tally,
    ) -> io::Result<()> {
        tally.requests += done as u64;
        for _ in 0..done {
            let Some(next) = quota.take(slot) else { break };
            self.start(next);
            if next != slot {
                self.flush(next, quota, tally)?;
            }
        }
        self.flush(slot, quota, tally)
    }

    fn flush(&mut self, slot: usize, quota: &mut Quota, tally: &mut Tally) -> io::Result<()> {
        match self.connections[slot].flush() {
            Ok(()) => Ok(()),
            Err(error) => {
                let done = self.replace(slot, &error.to_string(), tally)?;
                self.go_on(slot, done, quota, tally)
            }
        }
    }

    /// Blames a fault for all that was in flight, and puts a fresh connection in place.
    fn replace(&mut self, slot: usize, fault: &str, tally: &mut Tally) -> io::Result<usize> {
        let lost = self.connections[slot].client.in_flight();
        for _ in 0..lost {
            tally.blame(fault)?;
        }
        if lost == 0 {
            tally.reopened += 1;
        }
        self.connections[slot] = self.connect(slot)?;
        Ok(lost)
    }
}

impl Generator for Multiplex {
    fn open(&mut self, count: usize) -> io::Result<Tally> {
        while self.connections.len() < count {
            let connection = self.connect(self.connections.len())?;
            self.connections.push(connection);
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

/// What one read came to.
enum Turn {
    /// `is_all`: the socket is empty now.
    Taken {
        replies: usize,
        is_all: bool,
    },
    Nothing,
    End,
}

impl Connection {
    fn turn(&mut self, scratch: &mut [u8]) -> Result<Turn, String> {
        let held = self.rest.len();
        scratch[..held].copy_from_slice(&self.rest);
        let count = match self.wire.read(&mut scratch[held..]) {
            Ok(0) => return Ok(Turn::End),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Nothing),
            Err(error) => return Err(error.to_string()),
        };
        let end = held + count;
        let (used, replies) = self.client.feed(&scratch[..end])?;
        self.rest.clear();
        self.rest.extend_from_slice(&scratch[used..end]);
        Ok(Turn::Taken { replies, is_all: self.wire.is_clear() && end < scratch.len() })
    }

    fn flush(&mut self) -> io::Result<()> {
        let output = &mut self.client.output;
        while self.sent < output.len() {
            match self.wire.write(&output[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        output.clear();
        self.sent = 0;
        Ok(())
    }
}
