//! TCP sessions of the soak: what goes out must come back, and the end must pass through too.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use super::journal::{Entry, Journal, now_us};
use super::random::Random;
use super::session::PATIENCE;

/// Small enough to be on its way in the buffers of all sockets in between.
const MESSAGE_BYTES_MAX: usize = 128 * 1024;

#[derive(Debug)]
pub(super) struct EchoClient<'a> {
    pub(super) target: SocketAddr,
    pub(super) pattern: &'a [u8],
    pub(super) journal: &'a Journal,
    pub(super) random: Random,
}

/// How a session ended: its class, and in words.
type Ended = (&'static str, String);

impl EchoClient<'_> {
    pub(super) fn session(&mut self) -> io::Result<()> {
        let id = self.journal.next_id();
        let began_us = now_us();
        let mut stream = TcpStream::connect(self.target)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let port = stream.local_addr()?.port();
        let mut bytes = 0;
        let (class, detail) = self.talk(&mut stream, &mut bytes);
        drop(stream);
        let detail = &*detail;
        self.journal.write(&Entry {
            id,
            kind: "tcp",
            class,
            status: 0,
            began_us,
            port,
            bytes,
            detail,
        })
    }

    fn talk(&mut self, stream: &mut TcpStream, bytes: &mut usize) -> Ended {
        let aborts = self.random.percent(15);
        for _ in 0..self.random.within(1, 20) {
            let count = match self.random.below(10) {
                0..7 => self.random.within(1, 2000),
                _ => self.random.within(2000, MESSAGE_BYTES_MAX),
            };
            let start = self.random.below(1000);
            let message = &self.pattern[start..start + count];
            if let Err(error) = stream.write_all(message) {
                return broken(&error, *bytes);
            }
            if aborts && self.random.percent(20) {
                return ("abort_reply", String::new());
            }
            if let Some(ended) = read_back(stream, message, bytes) {
                return ended;
            }
            if self.random.percent(30) {
                sleep(Duration::from_millis(self.random.below(200) as u64));
            }
        }
        if let Err(error) = stream.shutdown(Shutdown::Write) {
            return broken(&error, *bytes);
        }
        match stream.read(&mut [0]) {
            Ok(0) => ("ok", String::new()),
            Ok(_) => ("wrong", "bytes that nobody sent".into()),
            Err(error) => broken(&error, *bytes),
        }
    }
}

/// `None` when all came back.
fn read_back(stream: &mut TcpStream, message: &[u8], bytes: &mut usize) -> Option<Ended> {
    let mut buffer = vec![0; message.len()];
    let mut seen = 0;
    while seen < message.len() {
        match stream.read(&mut buffer[seen..]) {
            Ok(0) => return Some(broken(&io::ErrorKind::UnexpectedEof.into(), *bytes)),
            Ok(count) => {
                if buffer[seen..seen + count] != message[seen..seen + count] {
                    return Some(("wrong", format!("other bytes behind {bytes}")));
                }
                seen += count;
                *bytes += count;
            }
            Err(error) => return Some(broken(&error, *bytes)),
        }
    }
    None
}

fn broken(error: &io::Error, bytes: usize) -> Ended {
    let class = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "hung",
        _ if bytes == 0 => "silent",
        _ => "truncated",
    };
    (class, format!("{:?}", error.kind()))
}
