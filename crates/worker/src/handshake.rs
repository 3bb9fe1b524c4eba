//! What comes before the protocol of a client: whose connection it is, and TLS.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use fairwater_message::FaultKind;
use fairwater_net::{Stream, Timer};
use fairwater_plan::Listener;

use crate::accept::{self, Accepted};
use crate::announced::{self, Unserved};

/// Does that and then serves. What fails is counted.
pub(crate) async fn serve(mut connection: Accepted) {
    let result = match announced::read(&mut connection).await {
        Ok(()) => secure(&connection).await.map_err(Unserved::Faulty),
        Err(unserved) => Err(unserved),
    };
    match result {
        Ok(()) => accept::serve(connection),
        Err(Unserved::Faulty(kind)) => {
            let shard = &connection.shard;
            let counters = &shard.counters.listeners[connection.listener.0 as usize];
            counters.faults[kind as usize].add(1);
        }
        Err(Unserved::Over) => {}
    }
}

/// Shakes hands, where clients speak TLS. One that cannot gets an alert that says why.
async fn secure(connection: &Accepted) -> Result<(), FaultKind> {
    let read = |listener: &Listener| {
        let tls = listener.tls.as_ref()?;
        Some((tls.session(), listener.timeouts.handshake))
    };
    let Some((session, patience)) = connection.of_listener(read) else { return Ok(()) };
    connection.timer.set(patience);
    let secured = session.ok_or_else(|| io::ErrorKind::Unsupported.into());
    let secured = secured.and_then(|session| connection.stream.secure(session));
    let result = match secured {
        Ok(()) => until_shaken(&connection.stream, &connection.timer).await,
        Err(error) => Err(error),
    };
    result.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => FaultKind::HandshakeTimeout,
        _ => FaultKind::HandshakeFailed,
    })
}

/// Waits for the end of a handshake, of either side, for as long as the timer says.
pub(crate) async fn until_shaken(stream: &Stream, timer: &Timer) -> io::Result<()> {
    poll_fn(|cx| match stream.poll_handshake(cx) {
        Poll::Pending => timer.poll_expired(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        ready => ready,
    })
    .await
}
