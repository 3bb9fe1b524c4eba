//! One raw TCP connection: steps 1, 7, 8, 11 and 12 of the way of a request.

use std::io;
use std::rc::Rc;
use std::task::Context;

use fairwater_message::pack::{Packer, Unpacker};
use fairwater_message::{Fault, FaultKind};
use fairwater_net::Timer;
use fairwater_plan::{
    Choice, Draw, Hosts, OnError, Pick, Plan, Priority, Protocol, TcpIdle, Timeouts, Tried,
    Upstream, UpstreamId,
};
use fairwater_proto::client_hello::Alert;
use fairwater_telemetry::{Entry, Timers, TlsEntry};

use crate::accept::Accepted;
use crate::attempt::{self, observe};
use crate::duplex::{self, Ending, Flow, Idle, Silence};
use crate::moving::{Door, Kind, RelayParcel};
use crate::record::{cut_off, tls_entry};
use crate::server_name::{self, Nowhere};
use crate::shard::Shard;
use crate::upstream::{self, Detached, Reuse};
use crate::waiting::{Customer, Wait};
use crate::work::Buffer;
use crate::write::write_all;
use crate::{limits, rate, respond, waiting};

/// A connection that another process has begun to serve.
#[derive(Debug)]
pub(crate) struct Moved {
    endpoint: Detached,
    up: Flow,
    down: Flow,
    silence: Silence,
    names: [String; 2],
    begun_us: u64,
    connected_us: u64,
    attempts: u32,
    id: u128,
    server_name: Option<Box<str>>,
    queue_us: u64,
}

impl Moved {
    pub(crate) fn unpack(from: &mut Unpacker<'_>, endpoint: Detached) -> Option<Self> {
        Some(Self {
            endpoint,
            up: Flow::unpack(from)?,
            down: Flow::unpack(from)?,
            silence: Silence::unpack(from)?,
            names: [from.text()?.to_owned(), from.text()?.to_owned()],
            begun_us: from.number()?,
            connected_us: from.number()?,
            attempts: u32::try_from(from.number()?).ok()?,
            id: u128::from_be_bytes(from.bytes()?.try_into().ok()?),
            // Earlier versions do not tell these.
            server_name: from.text().filter(|name| !name.is_empty()).map(Box::from),
            queue_us: from.number().unwrap_or_default(),
        })
    }
}

/// Serves a connection until it ends, or another process does.
pub(crate) async fn serve(accepted: Accepted, moved: Option<Box<Moved>>) {
    let shard = Rc::clone(&accepted.shard);
    let in_force = shard.in_force();
    let listener = in_force.plan.listener(accepted.listener);
    let Protocol::Tcp { upstreams, on_error, idle } = &listener.protocol else { return };
    let names;
    let mut account = Account::open(&shard, &accepted, &listener.name);
    let (connection, mut silence) = match moved {
        Some(moved) => {
            let Moved { endpoint, up, down, silence, .. } = *moved;
            (account.up, account.down, names) = (up, down, moved.names);
            (account.begun_us, account.connected_us) = (moved.begun_us, moved.connected_us);
            (account.upstream, account.endpoint) = (&names[0], &names[1]);
            (account.attempts, account.id) = (moved.attempts, moved.id);
            (account.server_name, account.queue_us) = (moved.server_name, moved.queue_us);
            (endpoint, silence)
        }
        None => {
            // Allocated and gone once the endpoint is there, so that the relay itself stays small.
            let opened = Box::pin(open(&in_force.plan, (upstreams, on_error), &mut account)).await;
            let Some(connection) = opened else { return };
            connection.stream.keep_alive(limits::KEEPALIVE_IDLE, limits::KEEPALIVE_INTERVAL);
            account.down = Flow::answering_empty(on_error.empty.clone().unwrap_or_default());
            let is_client_only = *idle == TcpIdle::Client;
            let Timeouts { idle: after, half_close, body, .. } = listener.timeouts;
            let idle = Idle { after, half_close, stall: body, is_client_only };
            let meter = rate::meter_of(listener, accepted.peer().ip());
            (connection, Silence::new(idle).metered(meter))
        }
    };
    let ending = loop {
        let flows = (&mut account.up, &mut account.down);
        match duplex::relay(&accepted, &connection.stream, flows, &mut silence).await {
            Ending::Moves => match Box::pin(account.give_away(&connection, &silence)).await {
                Ok(true) => return,
                Ok(false) => silence.stays = true,
                Err(_) => break Ending::EndpointReset,
            },
            ending => break ending,
        }
    };
    drop(connection);
    account.end(match ending {
        // A client that sent nothing, such as a probe, was owed nothing.
        Ending::Closed if account.down.was_empty() && account.up.bytes > 0 => {
            Some(FaultKind::EmptyReply)
        }
        Ending::Closed | Ending::Moves => None,
        Ending::ClientReset => Some(FaultKind::ClientAborted),
        Ending::EndpointReset => Some(FaultKind::ReplyReset),
        Ending::Idle => Some(FaultKind::IdleTimeout),
    });
}

/// Finds the upstream of a connection, and connects to an endpoint of it. Where that fails the
/// client is told, and the connection is over.
async fn open<'a>(
    plan: &'a Plan,
    (upstreams, on_error): (&Hosts<UpstreamId>, &OnError),
    account: &mut Account<'a>,
) -> Option<Detached> {
    let accepted = account.accepted;
    let upstream = match server_name::choose(accepted, upstreams).await {
        Ok((upstream, name)) => {
            account.server_name = name.map(String::into_boxed_str);
            plan.upstream(upstream)
        }
        Err(Nowhere { fault, alert, name }) => {
            account.server_name = name.map(String::into_boxed_str);
            account.end(fault);
            let alert = alert.map(Alert::record);
            refuse(accepted, alert.as_ref().map(|alert| &alert[..]), &mut account.told).await;
            return None;
        }
    };
    account.upstream = &upstream.settings.name;
    match connect(account.shard, upstream, accepted, account).await {
        Ok(connection) => Some(connection),
        Err(fault) => {
            account.end(Some(fault.kind));
            refuse(accepted, on_error.connect.as_deref(), &mut account.told).await;
            None
        }
    }
}

/// Connects to the picked endpoint, or to another while there are any: nothing was sent yet.
async fn connect<'a>(
    shard: &Rc<Shard>,
    upstream: &'a Upstream,
    accepted: &Accepted,
    account: &mut Account<'a>,
) -> Result<Detached, Fault> {
    let mut admitted_ms = 0;
    if !attempt::admits(upstream, &mut admitted_ms) {
        return Err(Fault::undelivered(FaultKind::CircuitOpen));
    }
    let mut tried = Tried::default();
    let mut last = Fault::undelivered(FaultKind::NoEndpoint);
    for _ in 0..=upstream.settings.retries {
        let draw =
            Draw { random: shard.random(), client: accepted.peer().ip(), key: None, seat: None };
        let Some(pick) = pick(upstream, account, (draw, &mut tried)).await? else { break };
        account.endpoint = &pick.endpoint.identity;
        account.attempts += 1;
        shard.counters.endpoints[pick.endpoint.slot].attempts.add(1);
        let client = (accepted, &accepted.timer);
        let result =
            upstream::lease(shard, upstream, pick.endpoint, Reuse::No, client, account).await;
        let fault = result.as_ref().err().map(|fault| fault.kind);
        observe(shard, upstream, pick.endpoint, fault, 0);
        match result {
            Ok(lease) => {
                attempt::conclude(upstream, None, 0, admitted_ms);
                account.connected_us = shard.now_us();
                return Ok(lease.detach(shard));
            }
            // Its endpoints share the permits: the next one would have to wait as well.
            Err(fault) if fault.kind == FaultKind::UpstreamFull => return Err(fault),
            Err(fault) => last = fault,
        }
    }
    attempt::conclude(upstream, Some(last.kind), 0, admitted_ms);
    Err(last)
}

/// Picks an endpoint, or waits for one that has room.
async fn pick<'a>(
    upstream: &'a Upstream,
    account: &mut Account<'_>,
    (draw, tried): (Draw, &mut Tried),
) -> Result<Option<Pick<'a>>, Fault> {
    let Some(gate) = upstream.gate() else { return Ok(upstream.pick(draw, tried)) };
    match upstream.pick_at_once(gate, draw, tried) {
        Choice::Pick(pick) => return Ok(Some(pick)),
        Choice::None => return Ok(None),
        Choice::Full => {}
    }
    let (accepted, shard) = (account.accepted, account.shard);
    let _wait = Wait::begin(shard, account);
    let look = Timer::new(&shard.wheel);
    let gone = |cx: &mut Context<'_>| waiting::poll_reset(&accepted.stream, &look, cx);
    let (at, timer) = ((upstream, &**gate), &accepted.timer);
    waiting::for_room(at, (draw, tried), Priority::Normal, timer, gone).await
}

/// Tells a client that no endpoint is there: with bytes where there are any, else by a reset.
async fn refuse(accepted: &Accepted, bytes: Option<&[u8]>, told: &mut u64) {
    let Some(bytes) = bytes else { return accepted.stream.reset_on_close() };
    let mut parts = [io::IoSlice::new(bytes)];
    if write_all(&accepted.stream, accepted.patience(), &mut parts, told).await.is_ok() {
        let (patience, mut rest) = (accepted.patience(), Buffer::default());
        respond::linger(&accepted.stream, patience, &mut rest).await;
    }
}

/// The line of a connection; written on drop, so that one that is cut off has one.
struct Account<'a> {
    shard: &'a Rc<Shard>,
    accepted: &'a Accepted,
    id: u128,
    begun_us: u64,
    connected_us: u64,
    /// Waited for room until then.
    queue_us: u64,
    listener: &'a str,
    upstream: &'a str,
    endpoint: &'a str,
    attempts: u32,
    /// The host that the client asks for, in a session that is not ours.
    server_name: Option<Box<str>>,
    up: Flow,
    down: Flow,
    /// Bytes of our own that the client took.
    told: u64,
    fault: Option<FaultKind>,
    is_over: bool,
    /// The line is written by another process.
    is_handed_on: bool,
}

impl<'a> Account<'a> {
    fn open(shard: &'a Rc<Shard>, accepted: &'a Accepted, listener: &'a str) -> Self {
        Self {
            shard,
            accepted,
            id: shard.next_request_id(),
            begun_us: shard.now_us(),
            connected_us: 0,
            queue_us: 0,
            listener,
            upstream: "",
            endpoint: "",
            attempts: 0,
            server_name: None,
            up: Flow::default(),
            down: Flow::default(),
            told: 0,
            fault: None,
            is_over: false,
            is_handed_on: false,
        }
    }

    /// Gives the connection to the process that serves in place of this one. Returns whether that
    /// has taken it.
    async fn give_away(&mut self, connection: &Detached, silence: &Silence) -> io::Result<bool> {
        let Some(heir) = self.shard.heir() else { return Ok(false) };
        if !self.accepted.moves() || !connection.stream.is_plain() {
            return Ok(false);
        }
        self.up.come_to_rest()?;
        self.down.come_to_rest()?;
        let mut out = Packer::default();
        Door::of(self.accepted).pack(Kind::Tcp, &mut out);
        RelayParcel { upstream: self.upstream, endpoint: self.endpoint }.pack(&mut out);
        self.up.pack(&mut out);
        self.down.pack(&mut out);
        silence.pack(&mut out);
        out.bytes(self.upstream.as_bytes()).bytes(self.endpoint.as_bytes());
        out.number(self.begun_us).number(self.connected_us).number(self.attempts.into());
        out.bytes(&self.id.to_be_bytes());
        out.bytes(self.server_name.as_deref().unwrap_or_default().as_bytes());
        if self.queue_us > 0 {
            out.number(self.queue_us);
        }
        let (client, endpoint) = (&self.accepted.stream, Some(&connection.stream));
        self.is_handed_on = heir.give(out.into_vec(), client, endpoint).await;
        Ok(self.is_handed_on)
    }

    fn end(&mut self, fault: Option<FaultKind>) {
        (self.fault, self.is_over) = (fault, true);
    }

    fn write_line(&self) {
        let peer = self.accepted.peer();
        let is_connected = self.connected_us > 0;
        let now_us = self.shard.now_us();
        let tls = self.accepted.stream.agreed();
        let server_name = self.server_name.as_deref().unwrap_or_default();
        let passed = TlsEntry { server_name, ..TlsEntry::default() };
        let entry = Entry {
            wall_us: self.shard.wall_us(now_us),
            id: self.id,
            listener: self.listener,
            client: peer.ip(),
            client_port: peer.port(),
            protocol: "TCP",
            tls: tls.as_deref().map_or(passed, tls_entry),
            bytes_in: self.up.bytes,
            bytes_out: self.down.bytes + self.told,
            upstream: self.upstream,
            endpoint: self.endpoint,
            attempts: self.attempts,
            timers: Timers {
                queue_us: (self.queue_us > 0).then_some(self.queue_us),
                connect_us: is_connected
                    .then(|| self.connected_us.saturating_sub(self.begun_us + self.queue_us)),
                total_us: now_us.saturating_sub(self.begun_us),
                ..Timers::default()
            },
            ..Entry::of(self.fault)
        };
        self.shard.log.borrow_mut().write(&entry, &self.shard.counters);
    }
}

impl Customer for Account<'_> {
    fn id(&mut self) -> u128 {
        self.id
    }

    fn add_wait(&mut self, us: u64) {
        self.queue_us += us;
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        if self.is_handed_on {
            return;
        }
        let counters = &self.shard.counters.listeners[self.accepted.listener.0 as usize];
        counters.request(0);
        if !self.is_over {
            self.fault = Some(cut_off());
        }
        counters.bytes_in.add(self.up.bytes);
        counters.bytes_out.add(self.down.bytes + self.told);
        if let Some(kind) = self.fault {
            counters.faults[kind as usize].add(1);
        }
        if self.shard.log_is_on {
            self.write_line();
        }
    }
}
