//! Connecting to endpoints.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::TcpStream;

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

/// Connects to a Unix socket. That is done at once, or not at all.
///
/// # Errors
/// As `connect(2)`; `WouldBlock` when too many others wait to be accepted.
pub async fn dial_unix(path: &Path) -> io::Result<Stream> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.connect(&address)?;
    Stream::unix(socket.into())
}
