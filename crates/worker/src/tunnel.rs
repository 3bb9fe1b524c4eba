//! A connection that has switched protocols (WebSocket and its like): from here on bytes are bytes,
//! and the working set of the exchange is given back.

use fairwater_message::FaultKind;
use fairwater_plan::{InFlight, Pick};

use crate::accept::Accepted;
use crate::duplex::{self, Ending, Flow, Idle};
use crate::exchange::Exchange;
use crate::record::{OwnedRecord, Record, cut_off};
use crate::upstream::{Detached, Lease};

/// What the tunnel needs of the exchange that it began as.
#[derive(Debug)]
pub(crate) struct Tunnel {
    endpoint: Detached,
    up: Flow,
    down: Flow,
    record: OwnedRecord,
    idle: Idle,
    /// Counts the exchange at its endpoint until the tunnel ends.
    _in_flight: InFlight,
}

impl Tunnel {
    pub(crate) fn new<'a>(
        exchange: &mut Exchange<'a>,
        lease: Lease<'a>,
        pick: &Pick<'a>,
        record: &mut Record<'a>,
    ) -> Box<Self> {
        let ahead = exchange.source.take_ahead();
        Box::new(Self {
            endpoint: lease.detach(&exchange.connection.shard),
            up: Flow::starting_with(ahead),
            down: Flow::starting_with(exchange.reply.buffer.data().to_vec()),
            record: record.detach(),
            idle: Idle {
                after: exchange.timeouts.tunnel.unwrap_or(exchange.listener.timeouts.tunnel),
                half_close: exchange.listener.timeouts.half_close,
                stall: exchange.patience().stall,
                is_client_only: false,
            },
            _in_flight: pick.detach(),
        })
    }
}

/// A running tunnel. Its line is written when it is dropped, so that one that is cut off has one.
struct Running {
    connection: Accepted,
    tunnel: Box<Tunnel>,
    /// How it ended, once it has.
    ending: Option<Ending>,
}

/// Relays until either side ends it.
pub(crate) async fn serve(connection: Accepted, tunnel: Box<Tunnel>) {
    let mut running = Running { connection, tunnel, ending: None };
    let Running { connection, tunnel, ending } = &mut running;
    let idle = tunnel.idle;
    let (shard, client, timer) = (&*connection.shard, &connection.stream, &connection.timer);
    let Tunnel { endpoint, up, down, .. } = &mut **tunnel;
    *ending = Some(duplex::relay(shard, client, &endpoint.stream, timer, (up, down), idle).await);
}

impl Drop for Running {
    fn drop(&mut self) {
        let Tunnel { up, down, record, .. } = &mut *self.tunnel;
        let fault = match self.ending {
            Some(Ending::Closed) => None,
            Some(Ending::ClientReset) => Some(FaultKind::ClientAborted),
            Some(Ending::EndpointReset) => Some(FaultKind::BodyTruncated),
            Some(Ending::Idle) => Some(FaultKind::IdleTimeout),
            None => Some(cut_off()),
        };
        record.close(&self.connection.shard, &self.connection, (up.bytes, down.bytes), fault);
    }
}
