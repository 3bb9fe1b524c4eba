//! A connection that has switched protocols (WebSocket and its like): from here on bytes are bytes,
//! and the working set of the exchange is given back.

use std::sync::Arc;

use fairwater_message::FaultKind;
use fairwater_plan::{InFlight, Pick, Upstream};

use crate::accept::Accepted;
use crate::duplex::{self, Ending, Flow, Idle};
use crate::exchange::Exchange;
use crate::limits;
use crate::record::{OwnedRecord, Record};
use crate::upstream::{Detached, Lease};

/// What the tunnel needs of the exchange that it began as.
#[derive(Debug)]
pub(crate) struct Tunnel {
    endpoint: Detached,
    up: Flow,
    down: Flow,
    record: OwnedRecord,
    /// Counts the exchange at its endpoint until the tunnel ends.
    _in_flight: InFlight,
}

impl Tunnel {
    pub(crate) fn new<'a>(
        exchange: &mut Exchange<'a>,
        upstream: &Arc<Upstream>,
        lease: Lease<'a>,
        pick: &Pick<'a>,
        record: &mut Record<'a>,
    ) -> Box<Self> {
        let ahead = exchange.source.take_ahead();
        Box::new(Self {
            endpoint: lease.detach(&exchange.connection.shard, upstream),
            up: Flow::starting_with(ahead),
            down: Flow::starting_with(exchange.reply.buffer.data().to_vec()),
            record: record.detach(),
            _in_flight: pick.detach(),
        })
    }
}

/// Relays until either side ends it. Consumes the downstream connection.
pub(crate) async fn serve(connection: Accepted, mut tunnel: Box<Tunnel>) {
    let shard = &*connection.shard;
    let idle = Idle { after: limits::TUNNEL_IDLE, is_client_only: false };
    let flows = (&mut tunnel.up, &mut tunnel.down);
    let (client, timer) = (&connection.stream, &connection.timer);
    let ending = duplex::relay(shard, client, &tunnel.endpoint.stream, timer, flows, idle).await;
    let fault = match ending {
        Ending::Closed => None,
        Ending::ClientReset => Some(FaultKind::ClientAborted),
        Ending::EndpointReset => Some(FaultKind::BodyTruncated),
        Ending::Idle => Some(FaultKind::IdleTimeout),
    };
    tunnel.record.close(shard, &connection, (tunnel.up.bytes, tunnel.down.bytes), fault);
}
