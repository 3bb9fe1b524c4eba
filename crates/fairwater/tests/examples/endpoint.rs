//! Endpoints that answer every request with `ok`, for as long as the test process lives.

use std::io::{Read, Write};
use std::net::TcpListener;
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

fn answer(mut connection: impl Read + Write) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match connection.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(len) => request.extend_from_slice(&buffer[..len]),
        }
    }
    // A proxy that has gone is seen by who asked it.
    connection.write_all(REPLY).ok();
}
