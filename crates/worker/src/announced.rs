//! Whose connection it is, as its peer says before anything else: the PROXY protocol with clients.

use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};

use fairwater_message::FaultKind;
use fairwater_net::{Peer, Stream, Timer};
use fairwater_proto::proxy_protocol::{self, Client, HEADER_BYTES_MAX, NoHeader};

use crate::accept::{Accepted, Announced};
use crate::rate;
use crate::refuse;
use crate::shard::Shard;

/// Why a connection is not served.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unserved {
    Faulty(FaultKind),
    /// The client has too many, or the peer is gone: nobody's fault.
    Over,
}

/// Reads the header of a connection that may have one. What is behind it stays in the socket.
///
/// # Errors
/// When the connection shall be closed.
pub(crate) async fn read(connection: &mut Accepted) -> Result<(), Unserved> {
    let peer = connection.peer().ip();
    let rules = connection.of_listener(|listener| {
        let rules = listener.proxy_protocol.as_ref()?;
        Some((rules.is_required, rules.believes(peer), listener.header_timeout()))
    });
    let Some((is_required, is_believed, patience)) = rules else { return Ok(()) };
    if !is_believed {
        return match is_required {
            true => Err(Unserved::Faulty(FaultKind::UnknownPeer)),
            false => Ok(()),
        };
    }
    connection.timer.set(patience);
    let found = until_found(&connection.shard, &connection.stream, &connection.timer).await;
    let announced = match found {
        Found::Header { announced, len } => {
            take(&connection.shard, &connection.stream, len).await.map_err(|_| Unserved::Over)?;
            announced
        }
        Found::Other | Found::End(_) | Found::Late { is_begun: false } if !is_required => None,
        Found::End(0) => return Err(Unserved::Over),
        Found::Late { .. } => return Err(Unserved::Faulty(FaultKind::ProxyHeaderTimeout)),
        Found::Other | Found::Malformed | Found::End(_) => {
            return Err(Unserved::Faulty(FaultKind::BadProxyHeader));
        }
        Found::Lost => return Err(Unserved::Over),
    };
    if connection.announce(announced).is_err() {
        refuse::announced(connection).await;
        return Err(Unserved::Over);
    }
    let client = connection.peer().ip();
    if !connection.of_listener(|listener| rate::lets_in(listener, client)) {
        refuse::reset(&connection.shard, &connection.stream, connection.listener);
        return Err(Unserved::Over);
    }
    Ok(())
}

/// What is at the front of a connection.
enum Found {
    Header {
        /// `None` if it is the peer itself.
        announced: Option<Announced>,
        len: usize,
    },
    /// No header: what comes is the client's.
    Other,
    Malformed,
    /// After so many bytes, which might have become a header.
    End(usize),
    Late {
        is_begun: bool,
    },
    /// The connection is reset.
    Lost,
}

/// Waits until there is enough to tell, and takes none of it.
async fn until_found(shard: &Shard, stream: &Stream, timer: &Timer) -> Found {
    let (mut seen, mut is_begun) = (0, false);
    poll_fn(|cx| {
        loop {
            let mut scratch = shard.scratch.borrow_mut();
            let buffer = &mut scratch[..HEADER_BYTES_MAX];
            let Poll::Ready(looked) = stream.poll_peek(cx, buffer, seen) else {
                return timer.poll_expired(cx).map(|()| Found::Late { is_begun });
            };
            let Ok(len) = looked else { return Poll::Ready(Found::Lost) };
            match proxy_protocol::read(&buffer[..len]) {
                Ok(header) => return Poll::Ready(found(&header)),
                Err(NoHeader::Absent) => return Poll::Ready(Found::Other),
                Err(NoHeader::Malformed(_)) => return Poll::Ready(Found::Malformed),
                Err(NoHeader::Incomplete) if len <= seen => return Poll::Ready(Found::Malformed),
                Err(NoHeader::Undecided) if len <= seen => return Poll::Ready(Found::End(len)),
                Err(NoHeader::Incomplete) => is_begun = true,
                Err(NoHeader::Undecided) => {}
            }
            seen = len;
        }
    })
    .await
}

fn found(header: &proxy_protocol::Header<'_>) -> Found {
    let is_secured = header.is_secured();
    let announced = match header.client {
        Client::Sender => None,
        Client::Unix => Some(Announced { client: Peer::Unix, target: None, is_secured }),
        Client::Ip { source, target } => {
            let client = Peer::Ip { ip: source.ip().to_canonical(), port: source.port() };
            Some(Announced { client, target: Some(target), is_secured })
        }
    };
    Found::Header { announced, len: header.len }
}

/// Takes exactly so many bytes, which are there.
async fn take(shard: &Shard, stream: &Stream, len: usize) -> io::Result<()> {
    let mut left = len;
    poll_fn(|cx| {
        while left > 0 {
            let mut scratch = shard.scratch.borrow_mut();
            match ready!(stream.poll_read(cx, &mut scratch[..left]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                read => left -= read,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}
