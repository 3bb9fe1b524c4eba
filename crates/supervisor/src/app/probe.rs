//! Whether a process is ready, by a connection to it. The master does this itself, before any
//! worker knows of the process: of the answer it takes the first bytes of the first line, which are
//! compared and not parsed, so that nothing the process sends can do more than be late.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use fairwater_message::address::Endpoint;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::app::spec::Ready;

/// Between attempts. A start takes from tens of milliseconds to seconds.
const INTERVAL: Duration = Duration::from_millis(50);
/// For one attempt: a process that is still starting may accept and say nothing.
const ATTEMPT: Duration = Duration::from_secs(5);
/// `HTTP/1.1 200`, and no more.
const STATUS_BYTES: usize = 12;
/// For the rest of a good answer, which is thrown away: a program that is cut off while it writes
/// complains.
const REST: Duration = Duration::from_millis(100);
/// Thrown away in one turn.
const REST_READS: usize = 16;

#[derive(Debug)]
pub(crate) struct Probe {
    /// When the next attempt begins, or the one that runs is over.
    pub(crate) due: Instant,
    attempt: Option<Attempt>,
}

#[derive(Debug)]
struct Attempt {
    socket: Socket,
    is_asked: bool,
    answer: Vec<u8>,
    /// When a good answer has had its time.
    good_until: Option<Instant>,
}

impl Probe {
    pub(crate) fn new(now: Instant) -> Self {
        Self { due: now, attempt: None }
    }

    /// What to wait for, beside `due`.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        let asked = self.attempt.as_ref().filter(|attempt| attempt.is_asked);
        asked.map(|attempt| attempt.socket.as_fd())
    }

    /// Goes on. Tells whether the process is ready.
    pub(crate) fn turn(&mut self, address: &Endpoint, ready: &Ready, now: Instant) -> bool {
        if self.attempt.is_none() && self.due <= now {
            self.attempt = Attempt::new(address).ok();
            self.due = now + if self.attempt.is_some() { ATTEMPT } else { INTERVAL };
        }
        let Some(attempt) = &mut self.attempt else { return false };
        let is_ready = attempt.is_ready(ready, now);
        let is_over = match is_ready {
            Ok(true) => return true,
            Ok(false) => self.due <= now,
            Err(_) => true,
        };
        if is_over {
            self.attempt = None;
            self.due = now + INTERVAL;
        }
        false
    }

    /// When the next turn is worth it, without news of the socket.
    pub(crate) fn next_turn(&self, now: Instant) -> Instant {
        match &self.attempt {
            // A connection that comes up makes nothing readable.
            Some(attempt) if !attempt.is_asked => self.due.min(now + INTERVAL / 10),
            Some(Attempt { good_until: Some(until), .. }) => *until,
            _ => self.due,
        }
    }
}

impl Attempt {
    fn new(address: &Endpoint) -> io::Result<Self> {
        let (domain, address) = match address {
            Endpoint::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
            Endpoint::Ip(ip) => (Domain::for_address(*ip), (*ip).into()),
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(Self { socket, is_asked: false, answer: Vec::new(), good_until: None }),
        }
    }

    fn is_ready(&mut self, ready: &Ready, now: Instant) -> io::Result<bool> {
        if !self.is_asked {
            if let Some(error) = self.socket.take_error()? {
                return Err(error);
            }
            if self.socket.peer_addr().is_err() {
                return Ok(false);
            }
            let Ready::Http(path) = ready else { return Ok(true) };
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            // It fits into the buffer of a new connection, or the attempt fails.
            self.socket.write_all(request.as_bytes())?;
            self.is_asked = true;
        }
        let mut byte = [0];
        while self.answer.len() < STATUS_BYTES {
            match self.socket.read(&mut byte) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => self.answer.push(byte[0]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if !self.answer.starts_with(b"HTTP/1.") || !self.answer[8..].starts_with(b" 2") {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let until = *self.good_until.get_or_insert(now + REST);
        Ok(self.is_read_out() || until <= now)
    }

    fn is_read_out(&mut self) -> bool {
        let mut bytes = [0; 4096];
        for _ in 0..REST_READS {
            match self.socket.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[allow(clippy::disallowed_methods, reason = "sockets take their time")]
    fn check(ready: &Ready, answer: &'static str, expected: bool) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Endpoint::Ip(listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut request = [0; 4];
            if peer.read(&mut request).unwrap_or(0) > 0 {
                peer.write_all(answer.as_bytes()).unwrap();
            }
            drop(listener);
        });
        let mut probe = Probe::new(Instant::now());
        let is_ready = loop {
            let was_finished = server.is_finished();
            let is_ready = probe.turn(&address, ready, Instant::now());
            if is_ready || was_finished {
                break is_ready;
            }
        };
        drop(probe);
        server.join().unwrap();
        assert_eq!(is_ready, expected, "{answer}");
    }

    #[test]
    fn a_process_is_ready_when_it_answers_as_it_shall() {
        check(&Ready::Connect, "", true);
        let http = Ready::Http("/healthz".to_owned());
        check(&http, "HTTP/1.1 204 No Content\r\n\r\n", true);
        check(&http, "HTTP/1.0 200 OK\r\n\r\n", true);
        check(&http, "HTTP/1.1 503 Service Unavailable\r\n\r\n", false);
        check(&http, "SSH-2.0-OpenSSH_9.9\r\n", false);
        check(&http, "HTTP/1.1 2", false);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "some instant to begin with")]
    fn nobody_is_not_ready_and_is_asked_again() {
        let mut probe = Probe::new(Instant::now());
        let begun = probe.due;
        let address = Endpoint::parse("unix:/nobody/is/here").unwrap();
        assert!(!probe.turn(&address, &Ready::Connect, begun));
        assert_eq!(probe.next_turn(begun), begun + INTERVAL);
        assert!(probe.socket().is_none());
    }
}
