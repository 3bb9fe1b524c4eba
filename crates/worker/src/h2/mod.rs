//! What both sides of HTTP/2 share: the socket below the library, heads as lines, and a body on its
//! way out.

pub(crate) mod text;
pub(crate) mod windows;
pub(crate) mod wire;

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;

/// Sends data on a stream, as much as the peer takes now. Nothing but the end of the stream waits
/// for no room.
pub(crate) fn poll_send(
    stream: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
    data: &[u8],
    is_last: bool,
) -> Poll<io::Result<usize>> {
    if data.is_empty() {
        return Poll::Ready(stream.send_data(Bytes::new(), is_last).map(|()| 0).map_err(broken));
    }
    stream.reserve_capacity(data.len());
    let mut room = stream.capacity();
    while room == 0 {
        match ready!(stream.poll_capacity(cx)) {
            Some(more) => room = more.map_err(broken)?,
            None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
    let len = room.min(data.len());
    let is_end = is_last && len == data.len();
    stream.send_data(Bytes::copy_from_slice(&data[..len]), is_end).map_err(broken)?;
    Poll::Ready(Ok(len))
}

pub(crate) fn broken(error: h2::Error) -> io::Error {
    match error.is_io() {
        true => error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()),
        false => io::ErrorKind::ConnectionReset.into(),
    }
}
