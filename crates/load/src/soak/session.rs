//! HTTP connections of the soak, of every sort that clients make.

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;

use super::journal::{Entry, Journal, now_us};
use super::random::Random;
use super::reply::{self, Ended, Outcome};
use super::request::{Kind, Request};

/// Longer than everything that an endpoint of the soak does to a request.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Small enough that a reply of a few hundred kilobytes waits for its reader.
const SLOW_BUFFER_BYTES: usize = 16 * 1024;

/// What all HTTP clients share.
#[derive(Debug)]
pub(super) struct Client<'a> {
    pub(super) target: SocketAddr,
    pub(super) pattern: &'a [u8],
    pub(super) journal: &'a Journal,
    pub(super) random: Random,
}

/// A connection with what was read ahead.
struct Connection {
    stream: TcpStream,
    input: BufReader<TcpStream>,
    port: u16,
}

impl Client<'_> {
    /// One connection from its beginning to its end.
    pub(super) fn session(&mut self) -> io::Result<()> {
        match self.random.below(100) {
            0..40 => self.keep_alive(false),
            40..50 => self.one_shot(false),
            50..60 => self.pairs(),
            60..70 => self.one_shot(true),
            70..75 => self.keep_alive(true),
            75..83 => self.slow_reader(),
            83..91 => self.abort_request(),
            _ => self.abort_reply(),
        }
    }

    fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect(self.target)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let input = BufReader::with_capacity(32 * 1024, stream.try_clone()?);
        let port = stream.local_addr()?.port();
        Ok(Connection { stream, input, port })
    }

    fn request(&mut self) -> Request {
        Request::random(self.journal.next_id(), &mut self.random)
    }

    fn keep_alive(&mut self, is_http10: bool) -> io::Result<()> {
        let mut connection = self.connect()?;
        for _ in 0..self.random.within(2, 30) {
            let mut request = self.request();
            if is_http10 {
                make_http10(&mut request);
            }
            if !self.exchange(&mut connection, &request)? {
                return Ok(());
            }
            let pause_ms = match self.random.below(100) {
                0..50 => 0,
                50..97 => self.random.below(100),
                // Around the moment in which pooled connections grow too old.
                _ => self.random.within(3500, 5000),
            };
            sleep(Duration::from_millis(pause_ms as u64));
        }
        Ok(())
    }

    fn one_shot(&mut self, is_http10: bool) -> io::Result<()> {
        let mut connection = self.connect()?;
        let mut request = self.request();
        if is_http10 {
            make_http10(&mut request);
        }
        request.closes = true;
        self.exchange(&mut connection, &request).map(drop)
    }

    /// Sends a request and reads its reply. Returns whether the connection goes on.
    fn exchange(&mut self, connection: &mut Connection, request: &Request) -> io::Result<bool> {
        let began_us = now_us();
        // A proxy may answer, and close, before it has read all: the reply decides.
        let sent = request.write(&mut connection.stream, self.pattern, &mut self.random, None);
        let ended = reply::read(&mut connection.input, request, self.pattern, &mut |_| {});
        let is_open = ended.is_open && sent.is_ok();
        self.note(connection, request, began_us, &ended)?;
        Ok(is_open)
    }

    /// Two requests in one write, and their replies in the same order.
    fn pairs(&mut self) -> io::Result<()> {
        let mut connection = self.connect()?;
        for _ in 0..self.random.within(1, 5) {
            let mut pair = [self.request(), self.request()];
            let mut bytes = Vec::new();
            for request in &mut pair {
                // Two large bodies at once could wait for each other.
                request.body_bytes %= 32 * 1024;
                request.write(&mut bytes, self.pattern, &mut self.random, None)?;
            }
            let began_us = now_us();
            let sent = connection.stream.write_all(&bytes);
            let mut is_open = true;
            for request in &pair {
                if !is_open {
                    // The one before was the last of its connection.
                    self.note_as(&connection, request, began_us, "unserved", 0, "")?;
                    continue;
                }
                let ended = reply::read(&mut connection.input, request, self.pattern, &mut |_| {});
                is_open = ended.is_open;
                self.note(&connection, request, began_us, &ended)?;
            }
            if !is_open || sent.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn slow_reader(&mut self) -> io::Result<()> {
        let mut connection = self.connect()?;
        set_socket_recv_buffer_size(&connection.stream, SLOW_BUFFER_BYTES)?;
        let mut request = self.request();
        request.kind = Kind::Get;
        request.body_bytes = self.random.within(64 * 1024, 4 << 20);
        let began_us = now_us();
        drop(request.write(&mut connection.stream, self.pattern, &mut self.random, None));
        // About twenty pauses for a reply of any length.
        let every = request.body_bytes / 20;
        let mut until_pause = every;
        let pause_ms = self.random.within(20, 300) as u64;
        let mut pace = |count: usize| match until_pause.checked_sub(count) {
            Some(left) => until_pause = left,
            None => {
                until_pause = every;
                sleep(Duration::from_millis(pause_ms));
            }
        };
        let ended = reply::read(&mut connection.input, &request, self.pattern, &mut pace);
        self.note(&connection, &request, began_us, &ended)
    }

    /// Goes away within the head, or within the body of a request.
    fn abort_request(&mut self) -> io::Result<()> {
        let mut connection = self.connect()?;
        let mut request = self.request();
        let began_us = now_us();
        if self.random.percent(40) {
            let head = request.head();
            let count = self.random.within(1, head.len() - 1);
            drop(connection.stream.write_all(&head[..count]));
            self.pause_before_abort();
            return self.note_as(&connection, &request, began_us, "abort_head", 0, "");
        }
        request.kind = if self.random.percent(50) { Kind::Post } else { Kind::Chunked };
        request.body_bytes = request.body_bytes.max(2);
        let share = self.random.below(99);
        drop(request.write(&mut connection.stream, self.pattern, &mut self.random, Some(share)));
        self.pause_before_abort();
        self.note_as(&connection, &request, began_us, "abort_body", 0, "")
    }

    /// Goes away while the reply is awaited or on its way.
    fn abort_reply(&mut self) -> io::Result<()> {
        use std::io::Read as _;
        let mut connection = self.connect()?;
        let mut request = self.request();
        let began_us = now_us();
        request.body_bytes = request.body_bytes.max(1024);
        drop(request.write(&mut connection.stream, self.pattern, &mut self.random, None));
        if self.random.percent(70) {
            let mut part = vec![0; self.random.within(1, 64 * 1024)];
            drop(connection.stream.read(&mut part));
        } else {
            self.pause_before_abort();
        }
        self.note_as(&connection, &request, began_us, "abort_reply", 0, "")
    }

    fn pause_before_abort(&mut self) {
        if self.random.percent(50) {
            sleep(Duration::from_millis(self.random.below(200) as u64));
        }
    }

    fn note(
        &self,
        connection: &Connection,
        request: &Request,
        began_us: u64,
        ended: &Ended,
    ) -> io::Result<()> {
        let (class, status, detail) = match &ended.outcome {
            Outcome::Ok => ("ok", 200, &ended.detail),
            Outcome::Refused(status) => ("refused", *status, &ended.detail),
            Outcome::Truncated(status) => ("truncated", *status, &ended.detail),
            Outcome::Silent => ("silent", 0, &ended.detail),
            Outcome::Hung => ("hung", 0, &ended.detail),
            Outcome::Wrong(what) => ("wrong", 0, what),
        };
        self.note_as(connection, request, began_us, class, status, detail)
    }

    fn note_as(
        &self,
        connection: &Connection,
        request: &Request,
        began_us: u64,
        class: &str,
        status: u16,
        detail: &str,
    ) -> io::Result<()> {
        let bytes = match request.kind {
            Kind::Get => request.body_bytes,
            Kind::Head => 0,
            Kind::Post | Kind::Chunked => request.expected(self.pattern).len(),
        };
        self.journal.write(&Entry {
            id: request.id,
            kind: request.kind.name(),
            class,
            status,
            began_us,
            port: connection.port,
            bytes,
            detail,
        })
    }
}

/// HTTP/1.0 has no chunks in requests.
fn make_http10(request: &mut Request) {
    request.is_http10 = true;
    if request.kind == Kind::Chunked {
        request.kind = Kind::Post;
    }
}
