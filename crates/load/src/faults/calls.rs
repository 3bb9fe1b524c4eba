//! `fairwater-load calls`: clients that do not wait for each other. Calls are due at times of their
//! own, whatever has become of those before, and one that is late counts from when it was due.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::answer::{Answer, Step};
use crate::arguments::CallsSettings;
use crate::poll::{Events, Poll};
use crate::soak::Random;

/// An idle connection is not used after this, so that no proxy closes it in the same moment.
const IDLE_MAX: Duration = Duration::from_secs(2);
/// Calls in flight at a time; further ones that are due count as refused.
const FLIGHTS_MAX: usize = 20_000;
const BUFFER_BYTES: usize = 64 * 1024;
/// Of one part in a thousand of a gap.
const PARTS: usize = 1000;

pub(crate) fn run(settings: &CallsSettings) -> io::Result<()> {
    let mut calls = Calls::new(settings)?;
    calls.run()?;
    std::fs::write(&settings.journal, calls.journal)
}

struct Calls {
    settings: CallsSettings,
    request: Vec<u8>,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    idle: Vec<usize>,
    /// Who has how long yet, in the order in which it is over.
    deadlines: VecDeque<(Instant, usize, u64)>,
    in_flight: usize,
    last_id: u64,
    scratch: Vec<u8>,
    journal: String,
    begun: Instant,
    begun_us: u64,
}

struct Connection {
    stream: TcpStream,
    is_connected: bool,
    call: Option<Call>,
    idle_since: Instant,
}

struct Call {
    id: u64,
    due: Instant,
    is_sent: bool,
    answer: Answer,
}

#[allow(clippy::disallowed_methods, reason = "a generator has no other clock")]
impl Calls {
    fn new(settings: &CallsSettings) -> io::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", settings.path).into_bytes();
        Ok(Self {
            settings: settings.clone(),
            request,
            poll: Poll::new()?,
            connections: Vec::new(),
            free: Vec::new(),
            idle: Vec::new(),
            deadlines: VecDeque::new(),
            in_flight: 0,
            last_id: 0,
            scratch: vec![0; BUFFER_BYTES],
            journal: String::new(),
            begun: Instant::now(),
            begun_us: now.as_micros() as u64,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::new();
        let end = self.begun + Duration::from_millis(self.settings.time_ms);
        let mut random = Random::new(1, 0);
        let mut due = self.begun;
        loop {
            let now = Instant::now();
            while due <= now && due < end {
                self.begin(due);
                due += gap(&mut random, self.settings.rate);
            }
            self.give_up(now);
            if due >= end && self.in_flight == 0 {
                return Ok(());
            }
            let next = self.deadlines.front().map(|(deadline, ..)| *deadline);
            let wake = if due < end {
                next.map_or(due, |next| next.min(due))
            } else {
                next.unwrap_or(now)
            };
            let wait = wake.saturating_duration_since(Instant::now());
            let count = self.poll.wait(&mut events, Some(wait))?;
            for index in 0..count {
                self.turn(events.ready(index).token);
            }
        }
    }

    fn begin(&mut self, due: Instant) {
        self.last_id += 1;
        let call = Call { id: self.last_id, due, is_sent: false, answer: Answer::default() };
        let slot = match self.idle_slot() {
            Some(slot) => slot,
            None if self.in_flight >= FLIGHTS_MAX => return self.note(due, "refused"),
            None => match self.open() {
                Ok(slot) => slot,
                Err(_) => return self.note(due, "refused"),
            },
        };
        let deadline = due + Duration::from_millis(self.settings.patience_ms);
        self.deadlines.push_back((deadline, slot, self.last_id));
        self.in_flight += 1;
        if let Some(connection) = self.connections[slot].as_mut() {
            connection.call = Some(call);
        }
        self.turn(slot);
    }

    /// A connection that was used a moment ago.
    fn idle_slot(&mut self) -> Option<usize> {
        while let Some(slot) = self.idle.pop() {
            let connection = self.connections[slot].as_ref();
            if connection
                .is_some_and(|one| one.call.is_none() && one.idle_since.elapsed() < IDLE_MAX)
            {
                return Some(slot);
            }
            // It has ended, or is older than it should be, as are those below it.
            if connection.is_some_and(|one| one.call.is_none()) {
                self.close(slot);
            }
        }
        None
    }

    fn open(&mut self) -> io::Result<usize> {
        let stream = connect_to(self.settings.target)?;
        let slot = self.free.pop().unwrap_or(self.connections.len());
        if slot == self.connections.len() {
            self.connections.push(None);
        }
        self.poll.add_stream(&stream, slot)?;
        let idle_since = Instant::now();
        self.connections[slot] =
            Some(Connection { stream, is_connected: false, call: None, idle_since });
        Ok(slot)
    }

    fn close(&mut self, slot: usize) {
        if self.connections[slot].take().is_some() {
            self.free.push(slot);
        }
    }

    /// Moves one connection on as far as it goes.
    fn turn(&mut self, slot: usize) {
        let Some(connection) = self.connections[slot].as_mut() else { return };
        let fate = connection.turn(&self.request, &mut self.scratch);
        let Some(fate) = fate else { return };
        if let Some(call) = connection.call.take() {
            self.in_flight -= 1;
            let word = fate.word(&call.answer);
            self.note(call.due, &word);
        }
        if fate == Fate::Answered { self.idle.push(slot) } else { self.close(slot) }
    }

    fn give_up(&mut self, now: Instant) {
        while let Some((deadline, slot, id)) = self.deadlines.front().copied() {
            let connection = self.connections[slot].as_ref();
            let call = connection.and_then(|one| one.call.as_ref());
            let due = call.filter(|call| call.id == id).map(|call| call.due);
            if due.is_some() && deadline > now {
                return;
            }
            self.deadlines.pop_front();
            if let Some(due) = due {
                self.in_flight -= 1;
                self.note(due, "late");
                self.close(slot);
            }
        }
    }

    /// When it was due, how long it took and what became of it.
    fn note(&mut self, due: Instant, word: &str) {
        let at = self.begun_us + due.duration_since(self.begun).as_micros() as u64;
        _ = writeln!(self.journal, "{at} {} {word}", due.elapsed().as_micros());
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// And the connection stays.
    Answered,
    AnsweredLast,
    /// Ended by the other side before the reply was complete, or while idle.
    Ended,
    Refused,
}

impl Fate {
    fn word(self, answer: &Answer) -> String {
        match (self, answer.status()) {
            (Self::Refused, _) => "refused".to_owned(),
            (Self::Ended, 0) => "ended".to_owned(),
            (Self::Ended, _) => "cut".to_owned(),
            (_, 200) if answer.is_wrong() => "wrong".to_owned(),
            (_, status) => status.to_string(),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a generator has no other clock")]
impl Connection {
    /// `None` while there is nothing to say.
    fn turn(&mut self, request: &[u8], scratch: &mut [u8]) -> Option<Fate> {
        if !self.is_connected {
            match self.stream.take_error() {
                Ok(None) if self.stream.peer_addr().is_ok() => self.is_connected = true,
                Ok(None) => return None,
                _ => return Some(Fate::Refused),
            }
        }
        if let Some(call) = self.call.as_mut().filter(|call| !call.is_sent) {
            // It is far smaller than the room of a socket.
            match self.stream.write(request) {
                Ok(len) if len == request.len() => call.is_sent = true,
                _ => return Some(Fate::Ended),
            }
        }
        loop {
            let len = match self.stream.read(scratch) {
                Ok(0) => {
                    let call = self.call.as_ref();
                    let is_done = call.is_some_and(|call| call.answer.ends_with_connection());
                    return Some(if is_done { Fate::AnsweredLast } else { Fate::Ended });
                }
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(_) => return Some(Fate::Ended),
            };
            let Some(call) = self.call.as_mut() else { return Some(Fate::Ended) };
            match call.answer.feed(&scratch[..len]) {
                Step::More => {}
                Step::Nonsense | Step::Done { stays: false } => return Some(Fate::AnsweredLast),
                Step::Done { stays: true } => {
                    self.idle_since = Instant::now();
                    return Some(Fate::Answered);
                }
            }
        }
    }
}

fn connect_to(target: SocketAddr) -> io::Result<TcpStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// To the next call: as many short ones and few long ones as independent clients make.
fn gap(random: &mut Random, rate: u32) -> Duration {
    let part = (random.below(PARTS) + 1) as f64 / (PARTS + 1) as f64;
    Duration::from_secs_f64(-part.ln() / f64::from(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_make_the_rate() {
        let mut random = Random::new(1, 0);
        let all: Duration = (0..10_000).map(|_| gap(&mut random, 100)).sum();
        assert!((95.0..105.0).contains(&all.as_secs_f64()), "{all:?}");
    }
}
