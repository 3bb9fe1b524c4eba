//! Connecting to endpoints.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::{TcpStream, UnixStream};

use crate::Stream;

/// Connects to the first address that answers.
///
/// # Errors
/// That of the last address.
pub async fn dial_ip(addresses: &[SocketAddr]) -> io::Result<Stream> {
    let no_address = io::ErrorKind::AddrNotAvailable;
    let mut last = io::Error::new(no_address, "the endpoint has no address");
    for &address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Requests leave in one write: waiting for more would only delay them.
                drop(stream.set_nodelay(true));
                return Ok(stream.into());
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Connects to a Unix socket.
///
/// # Errors
/// As `connect(2)`.
pub async fn dial_unix(path: &Path) -> io::Result<Stream> {
    UnixStream::connect(path).await.map(Stream::from)
}
