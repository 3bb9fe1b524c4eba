//! A connection that has switched protocols (WebSocket and its like), or a stream that has: from
//! here on bytes are bytes, and the working set of the exchange is given back.

use std::borrow::Borrow;
use std::io;

use fairwater_message::pack::{Packer, Unpacker};
use fairwater_message::{FaultKind, HeadLimits};
use fairwater_net::Timer;
use fairwater_plan::InFlight;

use crate::accept::Accepted;
use crate::downstream::Lane;
use crate::duplex::{self, Ending, Flow, Idle, Silence};
use crate::exchange::Exchange;
use crate::moving::{Door, Kind};
use crate::port::{self, Port};
use crate::record::{OwnedRecord, Record, cut_off};
use crate::upstream::Detached;
use crate::upstream::h2::Call;

/// What the tunnel needs of the exchange that it began as.
#[derive(Debug)]
pub(crate) struct Tunnel {
    far: Far,
    up: Flow,
    down: Flow,
    record: OwnedRecord,
    silence: Silence,
}

/// The end of an endpoint.
#[derive(Debug)]
pub(crate) enum Far {
    Connection(Detached),
    /// A stream, which counts as an exchange at its endpoint.
    Call {
        call: Box<Call>,
        _in_flight: InFlight,
    },
}

impl Tunnel {
    pub(crate) fn new<'a>(
        exchange: &mut Exchange<'a>,
        far: Far,
        record: &mut Record<'a>,
    ) -> Box<Self> {
        let ahead = exchange.source.take_ahead();
        Box::new(Self {
            far,
            up: Flow::starting_with(ahead),
            down: Flow::starting_with(exchange.reply.buffer.data().to_vec()),
            record: record.detach(),
            silence: Silence::new(Idle {
                after: exchange.timeouts.tunnel.unwrap_or(exchange.listener.timeouts.tunnel),
                half_close: exchange.listener.timeouts.half_close,
                stall: exchange.patience().stall,
                is_client_only: false,
            })
            .metered(record.meter.take()),
        })
    }

    /// One that another process has begun to serve.
    pub(crate) fn unpack(
        from: &mut Unpacker<'_>,
        endpoint: Detached,
        limits: HeadLimits,
    ) -> Option<Self> {
        Some(Self {
            far: Far::Connection(endpoint),
            up: Flow::unpack(from)?,
            down: Flow::unpack(from)?,
            silence: Silence::unpack(from)?,
            record: OwnedRecord::unpack(from, limits)?,
        })
    }
}

/// A running tunnel. Its line is written when it is dropped, so that one that is cut off has one.
struct Running<C: Borrow<Accepted>> {
    connection: C,
    tunnel: Box<Tunnel>,
    /// How it ended, once it has.
    ending: Option<Ending>,
    /// The line is written by another process.
    is_handed_on: bool,
}

/// Has a task of its own relay until either side ends it, or another process does: what the tunnel
/// began as is no part of its way.
pub(crate) fn start(connection: Accepted, tunnel: Box<Tunnel>) {
    let running = Running { connection, tunnel, ending: None, is_handed_on: false };
    drop(tokio::task::spawn_local(serve(running)));
}

/// Not an `async fn`: that would keep its argument twice.
#[allow(clippy::manual_async_fn, reason = "see above")]
fn serve(mut running: Running<Accepted>) -> impl Future<Output = ()> {
    async move {
        while running.ending.is_none() {
            let connection = &running.connection;
            let Tunnel { far, up, down, silence, .. } = &mut *running.tunnel;
            let ending = match far {
                Far::Connection(endpoint) => {
                    duplex::relay(connection, &endpoint.stream, (up, down), silence).await
                }
                Far::Call { call, .. } => {
                    let ports = (Port::Socket(&connection.stream), Port::Call(call));
                    let silence = (silence, &connection.timer);
                    Box::pin(port::relay(&connection.shard, ports, (up, down), silence)).await
                }
            };
            match ending {
                Ending::Moves => match Box::pin(running.give_away()).await {
                    Ok(true) => return,
                    Ok(false) => running.tunnel.silence.stays = true,
                    Err(_) => running.ending = Some(Ending::EndpointReset),
                },
                over => running.ending = Some(over),
            }
        }
    }
}

/// The same for a client that has a stream for it. Such a tunnel moves to no other process.
pub(crate) async fn serve_lane(
    connection: &Accepted,
    (lane, timer): (&Lane, &Timer),
    tunnel: Box<Tunnel>,
) {
    let mut running = Running { connection, tunnel, ending: None, is_handed_on: false };
    let Tunnel { far, up, down, silence, .. } = &mut *running.tunnel;
    let far = match far {
        Far::Connection(endpoint) => Port::Socket(&endpoint.stream),
        Far::Call { call, .. } => Port::Call(call),
    };
    let ports = (Port::Lane(lane), far);
    let ending = port::relay(&connection.shard, ports, (up, down), (silence, timer)).await;
    running.ending = Some(ending);
}

impl Running<Accepted> {
    /// Gives the tunnel to the process that serves in place of this one. Returns whether that has
    /// taken it.
    async fn give_away(&mut self) -> io::Result<bool> {
        let Some(heir) = self.connection.shard.heir() else { return Ok(false) };
        let Tunnel { far, up, down, silence, record } = &mut *self.tunnel;
        let Far::Connection(endpoint) = far else { return Ok(false) };
        if !self.connection.moves() || !endpoint.stream.is_plain() {
            return Ok(false);
        }
        up.come_to_rest()?;
        down.come_to_rest()?;
        let mut out = Packer::default();
        Door::of(&self.connection).pack(Kind::Tunnel, &mut out);
        record.way().pack(&mut out);
        up.pack(&mut out);
        down.pack(&mut out);
        silence.pack(&mut out);
        record.pack(&mut out);
        let client = &self.connection.stream;
        self.is_handed_on = heir.give(out.into_vec(), client, Some(&endpoint.stream)).await;
        Ok(self.is_handed_on)
    }
}

impl<C: Borrow<Accepted>> Drop for Running<C> {
    fn drop(&mut self) {
        if self.is_handed_on {
            return;
        }
        let Tunnel { up, down, record, .. } = &mut *self.tunnel;
        let fault = match self.ending {
            Some(Ending::Closed | Ending::Moves) => None,
            Some(Ending::ClientReset) => Some(FaultKind::ClientAborted),
            Some(Ending::EndpointReset) => Some(FaultKind::BodyTruncated),
            Some(Ending::Idle) => Some(FaultKind::IdleTimeout),
            None => Some(cut_off()),
        };
        let connection = self.connection.borrow();
        record.close(&connection.shard, connection, (up.bytes, down.bytes), fault);
    }
}
