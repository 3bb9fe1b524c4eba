//! Connecting to endpoints.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::{TcpStream, UnixStream};

use crate::Stream;

/// Connects to an address.
///
/// # Errors
/// As `connect(2)`.
pub async fn dial_ip(address: SocketAddr) -> io::Result<Stream> {
    let stream = TcpStream::connect(address).await?;
    // Requests leave in one write: waiting for more would only delay them.
    drop(stream.set_nodelay(true));
    Ok(stream.into())
}

/// Connects to a Unix socket.
///
/// # Errors
/// As `connect(2)`.
pub async fn dial_unix(path: &Path) -> io::Result<Stream> {
    UnixStream::connect(path).await.map(Stream::from)
}
