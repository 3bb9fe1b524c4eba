//! The host that a TLS client asks for on a raw connection, whether the session is ours or passed
//! through: then its first message is looked at and left where it is.

use std::future::poll_fn;
use std::task::Poll;

use fairwater_message::FaultKind;
use fairwater_plan::{Hosts, UpstreamId};
use fairwater_proto::client_hello::{Alert, HELLO_BYTES_MAX, NoHello, server_name};

use crate::accept::Accepted;

/// Why a connection goes nowhere.
#[derive(Debug)]
pub(crate) struct Nowhere {
    /// Nothing, of a client that has said nothing.
    pub fault: Option<FaultKind>,
    /// What a client that waits for the answer of its endpoint is told.
    pub alert: Option<Alert>,
    /// The host that it asks for.
    pub name: Option<String>,
}

impl Nowhere {
    fn because(fault: FaultKind) -> Self {
        Self { fault: Some(fault), alert: None, name: None }
    }

    fn telling(fault: FaultKind, alert: Alert) -> Self {
        Self { fault: Some(fault), alert: Some(alert), name: None }
    }
}

/// Finds the upstream of a connection, and the host that its client asks for where nobody else
/// knows it.
pub(crate) async fn choose(
    connection: &Accepted,
    upstreams: &Hosts<UpstreamId>,
) -> Result<(UpstreamId, Option<String>), Nowhere> {
    let any = || upstreams.any().copied();
    let of = |name: &str| upstreams.find(name.as_bytes(), |id| Some(*id)).or_else(any);
    if upstreams.are_alike() {
        return any().map(|id| (id, None)).ok_or(Nowhere::because(FaultKind::NoRoute));
    }
    if let Some(agreed) = connection.stream.agreed() {
        let chosen = of(&agreed.server_name).ok_or(Nowhere::because(FaultKind::NoRoute))?;
        return Ok((chosen, None));
    }
    match until_said(connection).await {
        Said::Host(name) => match of(name.as_deref().unwrap_or_default()) {
            Some(upstream) => Ok((upstream, name)),
            None => {
                let nowhere = Nowhere::telling(FaultKind::NoRoute, Alert::UnrecognizedName);
                Err(Nowhere { name, ..nowhere })
            }
        },
        Said::Other => {
            any().map(|id| (id, None)).ok_or(Nowhere::because(FaultKind::HandshakeFailed))
        }
        Said::Nonsense => Err(Nowhere::telling(FaultKind::HandshakeFailed, Alert::DecodeError)),
        Said::Late => Err(Nowhere::because(FaultKind::HandshakeTimeout)),
        Said::End { is_begun } => {
            let fault = is_begun.then_some(FaultKind::ClientAborted);
            Err(Nowhere { fault, alert: None, name: None })
        }
    }
}

/// What a client says first.
enum Said {
    Host(Option<String>),
    /// It speaks no TLS.
    Other,
    Nonsense,
    /// Nothing, or not all of it, in time.
    Late,
    End {
        is_begun: bool,
    },
}

async fn until_said(connection: &Accepted) -> Said {
    let (stream, timer) = (&connection.stream, &connection.timer);
    timer.set(connection.of_listener(|listener| listener.timeouts.handshake));
    let mut seen = 0;
    poll_fn(|cx| {
        loop {
            let mut scratch = connection.shard.scratch.borrow_mut();
            let buffer = &mut scratch[..HELLO_BYTES_MAX];
            let Poll::Ready(looked) = stream.poll_peek(cx, buffer, seen) else {
                return timer.poll_expired(cx).map(|()| Said::Late);
            };
            let len = looked.unwrap_or(seen);
            if len <= seen {
                return Poll::Ready(Said::End { is_begun: seen > 0 });
            }
            match server_name(&buffer[..len]) {
                Ok(name) => return Poll::Ready(Said::Host(name)),
                Err(NoHello::Absent) => return Poll::Ready(Said::Other),
                Err(NoHello::Malformed(_)) => return Poll::Ready(Said::Nonsense),
                Err(NoHello::Incomplete) => seen = len,
            }
        }
    })
    .await
}
