//! `fairwater-load hold`: clients that hold connections and do next to nothing on them. Who is cut
//! off comes again.

use std::io;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};

use crate::arguments::{Held, HoldSettings};
use crate::backend::say;

/// Each connection has its turn once in so many steps.
const STEPS: usize = 50;
const STEP: Duration = Duration::from_millis(100);
/// What a slow reader takes in its turn.
const SIP_BYTES: usize = 256;
/// What the kernel takes for a reader that takes nothing.
const ROOM_BYTES: usize = 8 * 1024;

pub(crate) fn run(settings: &HoldSettings) -> io::Result<()> {
    let mut all: Vec<Option<TcpStream>> = Vec::new();
    for _ in 0..settings.count {
        all.push(open(settings.target, settings.held).ok());
    }
    say(&format!("open={}", all.iter().flatten().count()))?;
    let begun = now();
    for step in 0.. {
        if begun.elapsed() > Duration::from_millis(settings.time_ms) {
            break;
        }
        for slot in all.iter_mut().skip(step % STEPS).step_by(STEPS) {
            if !slot.as_mut().is_some_and(|stream| turn(stream, settings.held)) {
                *slot = open(settings.target, settings.held).ok();
            }
        }
        sleep(STEP);
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a generator has no other clock")]
fn now() -> Instant {
    Instant::now()
}

fn open(target: SocketAddr, held: Held) -> io::Result<TcpStream> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    // What a reader does not take waits at the proxy, and not in our kernel.
    sockopt::set_socket_recv_buffer_size(&socket, ROOM_BYTES)?;
    connect(&socket, &target)?;
    let mut stream = TcpStream::from(socket);
    let request: &[u8] = match held {
        Held::Heads => b"GET / HTTP/1.1\r\nHost: a\r\nX-",
        Held::Readers => b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    stream.write_all(request)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// A byte of the head, or a sip of the reply. Returns whether the connection still stands.
fn turn(stream: &mut TcpStream, held: Held) -> bool {
    let mut bytes = [0; SIP_BYTES];
    let read = stream.read(&mut bytes);
    let is_open = match read {
        Ok(0) => false,
        // A head that is not complete has no reply but one that refuses it.
        Ok(_) => held == Held::Readers,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    };
    is_open && (held == Held::Readers || stream.write(b"a").is_ok())
}
