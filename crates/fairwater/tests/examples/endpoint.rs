//! Endpoints that answer every request with `ok`, for as long as the test process lives, in the
//! version of HTTP that they are spoken to. Messages that begin with their length are sent back.

use std::io::{self, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::thread;

const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";

/// Starts one on a free port, and gives its address.
pub(crate) fn on_tcp() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().flatten().for_each(answer));
    address
}

/// Starts one on a free port of TCP that sends datagrams back as well, and gives its address.
pub(crate) fn on_tcp_and_udp() -> String {
    // A port that is free for one need not be for the other.
    let pair = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind(listener.local_addr().unwrap()).ok()?;
        Some((listener, socket))
    };
    let (listener, socket) = std::iter::repeat_with(pair).flatten().next().unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().flatten().for_each(answer));
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..len], from).ok();
        }
    });
    address
}

/// Starts one on a Unix socket.
pub(crate) fn on_unix(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(answer));
}

/// Receives datagrams and forgets them.
pub(crate) fn on_datagrams(path: &Path) {
    let receiver = UnixDatagram::bind(path).unwrap();
    thread::spawn(move || while receiver.recv(&mut [0; 4096]).is_ok() {});
}

/// How HTTP/2 begins (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn answer(mut connection: impl Read + Write) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match connection.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(len) => request.extend_from_slice(&buffer[..len]),
        }
        // No request of HTTP begins so.
        if request.starts_with(&[0]) {
            answer_messages(&request, connection).ok();
            return;
        }
    }
    // A proxy that has gone is seen by who asked it.
    if request.starts_with(&PREFACE[..18]) {
        answer_frames(request, connection).ok();
    } else {
        connection.write_all(REPLY).ok();
    }
}

/// Sends back whatever has come, and comes.
fn answer_messages(come: &[u8], mut connection: impl Read + Write) -> io::Result<()> {
    connection.write_all(come)?;
    let mut buffer = [0; 4096];
    loop {
        match connection.read(&mut buffer)? {
            0 => return Ok(()),
            len => connection.write_all(&buffer[..len])?,
        }
    }
}

/// `:status: 200`, as all peers have it in their table (RFC 7541, appendix A).
const STATUS: &[u8] = &[0x88];
/// The same, and `content-type: application/grpc`.
const STATUS_OF_CALL: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// A message of gRPC that says SERVING, which is 1 in the first field.
const SERVING: &[u8] = b"\0\0\0\0\x02\x08\x01";
const TRAILERS: &[u8] = b"\0\x0bgrpc-status\x010";

/// Answers each head, of which it reads no more than that it came (RFC 9113, section 4.1). One with
/// a body is a call of gRPC that asks for its health.
fn answer_frames(mut came: Vec<u8>, mut connection: impl Read + Write) -> io::Result<()> {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const ACK: u8 = 1;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    let frame = |kind: u8, flags: u8, stream: &[u8], payload: &[u8]| {
        [&[0, 0, payload.len() as u8, kind, flags], stream, payload].concat()
    };
    let mut out = frame(SETTINGS, 0, &[0; 4], b"");
    let mut start = PREFACE.len();
    loop {
        while let Some(head) = came.get(start..start + 9) {
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags, stream) = (head[3], head[4], &head[5..]);
            if came.len() < start + 9 + len {
                break;
            }
            if kind == HEADERS && flags & END_STREAM == 0 {
                out.extend(frame(HEADERS, END_HEADERS, stream, STATUS_OF_CALL));
                out.extend(frame(DATA, 0, stream, SERVING));
                out.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS));
            } else if kind == HEADERS {
                out.extend(frame(HEADERS, END_HEADERS, stream, STATUS));
                out.extend(frame(DATA, END_STREAM, stream, b"ok\n"));
            } else if kind == SETTINGS && flags != ACK {
                out.extend(frame(SETTINGS, ACK, stream, b""));
            }
            start += 9 + len;
        }
        connection.write_all(&out)?;
        out.clear();
        let mut piece = [0; 4096];
        match connection.read(&mut piece)? {
            0 => return Ok(()),
            len => came.extend_from_slice(&piece[..len]),
        }
    }
}
