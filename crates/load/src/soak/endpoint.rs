//! `fairwater-load endpoint`: what stands behind the proxy in a soak. A thread for each
//! connection, since it is neither measured nor short of memory; it is killed and stopped at any
//! time from outside, and closes connections unasked by itself.

use std::io::{self, BufReader, Write};
use std::sync::Arc;
use std::thread::{self, sleep};
use std::time::Duration;

use super::message::{Broken, Framing, Head, malformed, read_body};
use super::request::{HASH_START, body_of, hash_more, receipt};
use super::socket::{Listener, Socket};
use crate::arguments::EndpointSettings;
use crate::backend::say;
use crate::message::{BODY_BYTES_MAX, pattern};

const ECHO_BYTES: usize = 64 * 1024;

/// So that a reply goes out in many chunks.
const CHUNK_BYTES: usize = 20_000;

pub(crate) fn run(settings: &EndpointSettings) -> io::Result<()> {
    let pattern: Arc<[u8]> = pattern().into();
    let (http, echo) = (Listener::bind(&settings.http)?, Listener::bind(&settings.echo)?);
    say("ready")?;
    thread::spawn(move || accept_all(&echo, |socket| serve_echo(&socket).map_err(Broken::Io)));
    accept_all(&http, move |socket| serve(&socket, &pattern))
}

fn accept_all(
    listener: &Listener,
    serve: impl Fn(Socket) -> Result<(), Broken> + Clone + Send + 'static,
) -> io::Result<()> {
    loop {
        let socket = listener.accept()?;
        let serve = serve.clone();
        thread::spawn(move || {
            // A connection that ends anyhow is nothing to talk about; nonsense on it is.
            if let Err(Broken::Malformed(what)) = serve(socket) {
                eprintln!("malformed: {what}");
            }
        });
    }
}

fn serve_echo(mut socket: &Socket) -> io::Result<()> {
    use std::io::Read as _;
    let mut buffer = vec![0; ECHO_BYTES];
    loop {
        let count = socket.read(&mut buffer)?;
        if count == 0 {
            return socket.end_writing();
        }
        socket.write_all(&buffer[..count])?;
    }
}

fn serve(socket: &Socket, pattern: &[u8]) -> Result<(), Broken> {
    let mut input = BufReader::new(socket);
    while let Some(head) = Head::read(&mut input)? {
        let asked = Asked::of(&head)?;
        let mut length = 0;
        let mut hash = HASH_START;
        if let Some(framing) = head.framing()? {
            let mut sink = |bytes: &[u8]| {
                length += bytes.len();
                hash = hash_more(hash, bytes);
                Ok(())
            };
            read_body(&mut input, framing, &mut sink)?;
        } else if asked.method == Method::Post {
            return malformed(format!("POST without framing: {}", head.first));
        }
        let receipt = receipt(length, hash);
        let body = match asked.method {
            Method::Post => &receipt[..],
            _ => body_of(asked.id, asked.body_bytes, pattern),
        };
        if asked.id.is_multiple_of(13) {
            sleep(Duration::from_millis(asked.id % 200));
        }
        let closes = head.connection_says("close") || asked.id.is_multiple_of(67);
        answer(socket, &asked, body, closes)?;
        // Every now and then without a word, as servers do whose idle timeout has passed.
        if closes || asked.id.is_multiple_of(61) {
            return Ok(());
        }
    }
    Ok(())
}

fn answer(mut socket: &Socket, asked: &Asked, body: &[u8], closes: bool) -> Result<(), Broken> {
    let framing = match asked.wants_chunks {
        true => "Transfer-Encoding: chunked".to_owned(),
        false => format!("Content-Length: {}", body.len()),
    };
    let connection = if closes { "Connection: close\r\n" } else { "" };
    let head =
        format!("HTTP/1.1 200 OK\r\nX-Soak-Id: {}\r\n{framing}\r\n{connection}\r\n", asked.id);
    let mut bytes = head.into_bytes();
    let framing =
        if asked.wants_chunks { Framing::Chunked } else { Framing::Length(body.len() as u64) };
    match framing {
        _ if asked.method == Method::Head => {}
        Framing::Chunked => {
            for chunk in body.chunks(CHUNK_BYTES) {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            let trailer = if asked.id.is_multiple_of(5) { "X-Soak-End: yes\r\n" } else { "" };
            bytes.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
        }
        _ => bytes.extend_from_slice(body),
    }
    if asked.id.is_multiple_of(29) {
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        socket.write_all(first)?;
        sleep(Duration::from_millis(asked.id % 100));
        socket.write_all(rest)?;
    } else {
        socket.write_all(&bytes)?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Get,
    Head,
    Post,
}

/// What a request line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    method: Method,
    id: u64,
    body_bytes: usize,
    wants_chunks: bool,
}

impl Asked {
    fn of(head: &Head) -> Result<Self, Broken> {
        match Self::parse(&head.first) {
            Some(asked) if asked.body_bytes <= BODY_BYTES_MAX => Ok(asked),
            _ => malformed(format!("request line {:?}", head.first)),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let (method, rest) = line.split_once(' ')?;
        let method = match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            _ => return None,
        };
        let mut parts = rest.strip_suffix(" HTTP/1.1")?.strip_prefix("/soak/")?.split('/');
        let (id, body_bytes) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let wants_chunks = match parts.next()? {
            "chunked" => true,
            "length" => false,
            _ => return None,
        };
        parts.next().is_none().then_some(Self { method, id, body_bytes, wants_chunks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines_are_read_strictly() {
        let asked = Asked { method: Method::Post, id: 7, body_bytes: 90, wants_chunks: true };
        assert_eq!(Asked::parse("POST /soak/7/90/chunked HTTP/1.1"), Some(asked));
        for line in ["GET /soak/7/90 HTTP/1.1", "GET /soak/7/90/length HTTP/1.0", "x"] {
            assert_eq!(Asked::parse(line), None);
        }
    }
}
