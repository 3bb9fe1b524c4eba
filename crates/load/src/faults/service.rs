//! `fairwater-load service`: an endpoint with so many slots and a time for each request, which
//! fails in the manner that it is told. It works on what has come, whether or not somebody still
//! waits for it, as most servers do.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, BufRead as _, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::str::FromStr;
use std::time::{Duration, Instant};

use memchr::memmem;

use super::BODY_BYTE;
use crate::arguments::ServiceSettings;
use crate::backend::say;
use crate::poll::{Events, Poll};
use crate::soak::Random;

const BODY_BYTES: usize = 128;
/// What `/large` is answered with.
const LARGE_BYTES: usize = 4 << 20;
/// What the kernel takes of it.
const ROOM_BYTES: usize = 64 * 1024;
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Connections that wait while it does something else.
const BACKLOG: i32 = 4096;
/// What those who check ask for. Nobody waits for a slot with that.
const CHECK: &[u8] = b" /healthz ";

const LISTENER: usize = 0;
const ORDERS: usize = 1;
const FIRST_STREAM: usize = 2;

/// What it does with requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    Good,
    /// Hears, and never answers, checks neither.
    Silent,
    /// 500 at once.
    Error,
    /// Half of a body, and a reset.
    Reset,
    /// Every second request is answered with the end of its connection.
    Half,
    /// Accepts nothing, and its queue is full.
    Deaf,
}

impl FromStr for Manner {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "good" => Self::Good,
            "silent" => Self::Silent,
            "error" => Self::Error,
            "reset" => Self::Reset,
            "half" => Self::Half,
            "deaf" => Self::Deaf,
            _ => return Err(()),
        })
    }
}

pub(crate) fn run(settings: &ServiceSettings) -> io::Result<()> {
    let mut service = Service::new(settings)?;
    // Who fills the queue of one that accepts nothing must not close.
    let _queued = if settings.manner == Manner::Deaf { fill(settings)? } else { Vec::new() };
    say("ready")?;
    let mut events = Events::new();
    while !service.is_done() {
        let count = service.poll.wait(&mut events, service.next_end())?;
        service.finish();
        for index in 0..count {
            match events.ready(index).token {
                LISTENER if settings.manner != Manner::Deaf => service.accept()?,
                LISTENER => {}
                ORDERS => service.obey()?,
                token => service.serve(token - FIRST_STREAM),
            }
        }
    }
    Ok(())
}

/// Connects until the kernel takes no more.
fn fill(settings: &ServiceSettings) -> io::Result<Vec<TcpStream>> {
    let mut all = Vec::new();
    loop {
        match TcpStream::connect_timeout(&settings.http, Duration::from_millis(200)) {
            Ok(stream) => all.push(stream),
            Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(all),
            Err(error) => return Err(error),
        }
    }
}

struct Service {
    poll: Poll,
    listener: Option<TcpListener>,
    manner: Manner,
    takes: Duration,
    slots: usize,
    streams: Vec<Option<Stream>>,
    free: Vec<usize>,
    last_id: u64,
    queue: VecDeque<Job>,
    running: BinaryHeap<Reverse<(Instant, Job)>>,
    received: u64,
    random: Random,
    scratch: Vec<u8>,
    large: Rc<[u8]>,
}

struct Stream {
    id: u64,
    socket: TcpStream,
    input: Vec<u8>,
    output: Option<(Rc<[u8]>, usize)>,
    closing: bool,
    /// A request of it is worked on.
    is_busy: bool,
}

/// One request: of which connection, and how it wants to be answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Job {
    slot: usize,
    id: u64,
    closes: bool,
    is_large: bool,
    is_check: bool,
}

#[allow(clippy::disallowed_methods, reason = "a backend has no other clock")]
impl Service {
    fn new(settings: &ServiceSettings) -> io::Result<Self> {
        let poll = Poll::new()?;
        let listener = TcpListener::bind(settings.http)?;
        listener.set_nonblocking(true)?;
        let backlog = if settings.manner == Manner::Deaf { 0 } else { BACKLOG };
        rustix::net::listen(&listener, backlog)?;
        poll.add_listener(&listener, LISTENER)?;
        poll.add_listener(&io::stdin(), ORDERS)?;
        Ok(Self {
            poll,
            listener: Some(listener),
            manner: settings.manner,
            takes: Duration::from_millis(settings.takes_ms),
            slots: settings.slots,
            streams: Vec::new(),
            free: Vec::new(),
            last_id: 0,
            queue: VecDeque::new(),
            running: BinaryHeap::new(),
            received: 0,
            random: Random::new(1, 1),
            scratch: vec![0; HEAD_BYTES_MAX],
            large: reply(200, LARGE_BYTES, false),
        })
    }

    /// It was told to stop, and nothing is left to do.
    fn is_done(&self) -> bool {
        self.listener.is_none() && self.streams.iter().all(Option::is_none)
    }

    fn next_end(&self) -> Option<Duration> {
        let (end, _) = self.running.peek()?.0;
        Some(end.saturating_duration_since(Instant::now()))
    }

    /// One line on the standard input, answered with one line.
    fn obey(&mut self) -> io::Result<()> {
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().split_once(' ') {
            Some(("manner", word)) => {
                self.manner = word.parse().map_err(|()| io::Error::other(line.clone()))?;
            }
            Some(("takes", ms)) => {
                self.takes = Duration::from_millis(ms.parse().map_err(io::Error::other)?);
            }
            None if line == "count\n" => {}
            None if line == "stop\n" => self.stop(),
            _ => return Err(io::Error::other(line)),
        }
        say(&format!("received={}", self.received))
    }

    /// Accepts nothing more, and closes what is idle; the rest is answered first.
    fn stop(&mut self) {
        self.listener = None;
        for slot in 0..self.streams.len() {
            if self.streams[slot].as_ref().is_some_and(|stream| !stream.is_busy) {
                self.close(slot);
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some(listener) = &self.listener {
            let socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
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
            self.last_id += 1;
            let (id, input) = (self.last_id, Vec::new());
            self.streams[slot] =
                Some(Stream { id, socket, input, output: None, closing: false, is_busy: false });
        }
        Ok(())
    }

    fn close(&mut self, slot: usize) {
        if self.streams[slot].take().is_some() {
            self.free.push(slot);
        }
    }

    fn serve(&mut self, slot: usize) {
        let Some(stream) = self.streams[slot].as_mut() else { return };
        if stream.read(&mut self.scratch).is_err() {
            return self.close(slot);
        }
        while let Some(job) = self.streams[slot].as_mut().and_then(|stream| stream.job(slot)) {
            self.take(job);
        }
    }

    fn take(&mut self, job: Job) {
        if job.is_check {
            // It answers checks while it is at anything but silence.
            if self.manner != Manner::Silent {
                self.answer(job, &reply(200, 2, job.closes));
            }
            return;
        }
        self.received += 1;
        match self.manner {
            Manner::Silent | Manner::Deaf => {}
            Manner::Error => self.answer(job, &reply(500, BODY_BYTES, job.closes)),
            Manner::Half if self.random.percent(50) => self.close(job.slot),
            Manner::Good | Manner::Half | Manner::Reset => {
                self.queue.push_back(job);
                self.start();
            }
        }
    }

    fn start(&mut self) {
        while self.running.len() < self.slots {
            let Some(job) = self.queue.pop_front() else { return };
            self.running.push(Reverse((Instant::now() + self.takes, job)));
        }
    }

    /// Answers what is done by now. A slot is free again when it should have been, not when this
    /// process came to it.
    fn finish(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((end, job))) = self.running.peek().copied() {
            if end > now {
                return;
            }
            self.running.pop();
            if let Some(next) = self.queue.pop_front() {
                self.running.push(Reverse((end + self.takes, next)));
            }
            if self.manner == Manner::Reset {
                self.break_off(job);
            } else if job.is_large {
                self.limit_room(job);
                let large = Rc::clone(&self.large);
                self.answer(job, &large);
            } else {
                self.answer(job, &reply(200, BODY_BYTES, job.closes));
            }
        }
    }

    /// What nobody takes waits in this process, and not in the kernel, which has one store for all.
    fn limit_room(&mut self, job: Job) {
        let Some(stream) = self.stream_of(job) else { return };
        rustix::net::sockopt::set_socket_send_buffer_size(&stream.socket, ROOM_BYTES).ok();
    }

    fn break_off(&mut self, job: Job) {
        let Some(stream) = self.stream_of(job) else { return };
        let whole = reply(200, BODY_BYTES, false);
        if stream.socket.write(&whole[..whole.len() - BODY_BYTES / 2]).is_ok() {
            // The close becomes a reset.
            rustix::net::sockopt::set_socket_linger(&stream.socket, Some(Duration::ZERO)).ok();
        }
        self.close(job.slot);
    }

    fn stream_of(&mut self, job: Job) -> Option<&mut Stream> {
        self.streams[job.slot].as_mut().filter(|stream| stream.id == job.id)
    }

    fn answer(&mut self, job: Job, bytes: &Rc<[u8]>) {
        let is_stopping = self.listener.is_none();
        let Some(stream) = self.stream_of(job) else { return };
        stream.is_busy = false;
        stream.closing |= job.closes || is_stopping;
        stream.output = Some((Rc::clone(bytes), 0));
        match stream.flush() {
            Ok(false) => {}
            Ok(true) if !stream.closing => {}
            _ => self.close(job.slot),
        }
    }
}

impl Stream {
    /// Takes what has come. Any error, also the peer's ordinary end, means that it is over.
    fn read(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        if self.flush()? && self.closing {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        loop {
            match self.socket.read(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => self.input.extend_from_slice(&scratch[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            if self.input.len() > HEAD_BYTES_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
        }
    }

    /// The next request, if it is complete and the one before is answered.
    fn job(&mut self, slot: usize) -> Option<Job> {
        if self.is_busy || self.output.is_some() {
            return None;
        }
        let len = memmem::find(&self.input, b"\r\n\r\n")? + 4;
        let head = &self.input[..len];
        let line = &head[..memchr::memchr(b'\r', head)?];
        let closes =
            line.ends_with(b"HTTP/1.0") || memmem::find(head, b"onnection: close").is_some();
        let is_check = memmem::find(line, CHECK).is_some();
        let is_large = memmem::find(line, b" /large ").is_some();
        self.input.drain(..len);
        self.is_busy = true;
        Some(Job { slot, id: self.id, closes, is_large, is_check })
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

fn reply(status: u16, body_bytes: usize, closes: bool) -> Rc<[u8]> {
    let connection = if closes { "Connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: text/plain\r\n{connection}\
         Content-Length: {body_bytes}\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + body_bytes, BODY_BYTE);
    bytes.into()
}
