//! Datagrams: the generator, a closed loop over sockets of which each is a client, and the echo
//! behind the proxy.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};

use crate::arguments::VolleySettings;
use crate::message;
use crate::orders::{Generator, Quota, STALL_MAX, Tally};
use crate::poll::{Events, Poll, pin_to};

/// No datagram is longer.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Clients that send a datagram and wait for it to come back, several at a time.
pub(crate) struct Volley {
    target: SocketAddr,
    /// Datagrams of each client that are under way.
    window: usize,
    pattern: Vec<u8>,
    body_bytes: usize,
    poll: Poll,
    events: Events,
    clients: Vec<UdpSocket>,
    scratch: Vec<u8>,
}

impl Volley {
    pub(crate) fn new(settings: &VolleySettings) -> io::Result<Self> {
        pin_to(settings.core)?;
        Ok(Self {
            target: settings.target,
            window: settings.window,
            pattern: message::pattern(),
            body_bytes: settings.body_bytes,
            poll: Poll::new()?,
            events: Events::new(),
            clients: Vec::new(),
            scratch: vec![0; DATAGRAM_BYTES_MAX],
        })
    }

    /// What a client sends: another's differs from it.
    fn datagram(&self, slot: usize) -> &[u8] {
        let start = slot % message::SERVICES_MAX;
        &self.pattern[start..start + self.body_bytes]
    }

    fn send(&self, slot: usize) -> io::Result<()> {
        self.clients[slot].send(self.datagram(slot)).map(drop)
    }

    fn work(&mut self, mut quota: Quota, window: usize) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let total = quota.left as u64;
        for _ in 0..window {
            for slot in 0..self.clients.len() {
                if let Some(slot) = quota.take(slot) {
                    self.send(slot)?;
                }
            }
        }
        while tally.requests < total {
            let count = self.poll.wait(&mut self.events, Some(STALL_MAX))?;
            if count == 0 {
                let missing = total - tally.requests;
                return Err(io::Error::other(format!("{missing} datagrams were lost")));
            }
            for index in 0..count {
                self.receive(self.events.ready(index).token, &mut quota, &mut tally)?;
            }
        }
        Ok(tally)
    }

    /// Takes what came for one client, and sends as much again.
    fn receive(&mut self, slot: usize, quota: &mut Quota, tally: &mut Tally) -> io::Result<()> {
        loop {
            let len = match self.clients[slot].recv(&mut self.scratch) {
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            if self.scratch[..len] != *self.datagram(slot) {
                tally.blame("another datagram came back")?;
            }
            tally.requests += 1;
            if !quota.is_one_each() && quota.take(slot).is_some() {
                self.send(slot)?;
            }
        }
    }
}

impl Generator for Volley {
    fn open(&mut self, count: usize) -> io::Result<Tally> {
        while self.clients.len() < count {
            let any = if self.target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any)?;
            socket.connect(self.target)?;
            socket.set_nonblocking(true)?;
            self.poll.add_stream(&socket, self.clients.len())?;
            self.clients.push(socket);
        }
        Ok(Tally::default())
    }

    fn go(&mut self, count: usize) -> io::Result<Tally> {
        self.work(Quota::of(count), self.window)
    }

    fn each(&mut self) -> io::Result<Tally> {
        self.work(Quota::one_each(self.clients.len()), 1)
    }
}

/// Sends each datagram back, for as long as there are any.
pub(crate) fn echo(socket: &UdpSocket, scratch: &mut [u8]) {
    loop {
        match socket.recv_from(scratch) {
            // One that the kernel does not take is lost, and missed by who waits for it.
            Ok((len, from)) => drop(socket.send_to(&scratch[..len], from)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            // Somebody before has gone.
            Err(_) => {}
        }
    }
}
