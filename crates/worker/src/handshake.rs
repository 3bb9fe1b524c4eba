//! TLS with a client, before anything else is said.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use fairwater_message::FaultKind;
use fairwater_net::{Stream, Timer};

use crate::accept::{self, Accepted};

/// Shakes hands and then serves. A client that cannot is counted, and closed with an alert that
/// says why.
pub(crate) async fn serve(connection: Accepted) {
    let session = connection.of_listener(|listener| listener.tls.as_ref()?.session());
    let patience = connection.of_listener(|listener| listener.timeouts.handshake);
    connection.timer.set(patience);
    let secured = session.ok_or_else(|| io::ErrorKind::Unsupported.into());
    let secured = secured.and_then(|session| connection.stream.secure(session));
    let result = match secured {
        Ok(()) => until_shaken(&connection.stream, &connection.timer).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => accept::serve(connection),
        Err(error) => {
            let kind = match error.kind() {
                io::ErrorKind::TimedOut => FaultKind::HandshakeTimeout,
                _ => FaultKind::HandshakeFailed,
            };
            let shard = &connection.shard;
            let counters = &shard.counters.listeners[connection.listener.0 as usize];
            counters.faults[kind as usize].add(1);
        }
    }
}

/// Waits for the end of a handshake, of either side, for as long as the timer says.
pub(crate) async fn until_shaken(stream: &Stream, timer: &Timer) -> io::Result<()> {
    poll_fn(|cx| match stream.poll_handshake(cx) {
        Poll::Pending => timer.poll_expired(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        ready => ready,
    })
    .await
}
