//! One message on its way: its bytes, where it was tried, and what will be said of it.

use std::rc::Rc;

use fairwater_message::Fault;
use fairwater_plan::{Draw, Endpoint, InFlight, PlaceApart, Tried, Upstream};
use fairwater_telemetry::{Entry, Timers, TlsEntry};

use super::client::Client;
use super::order::Number;
use crate::record::tls_entry;
use crate::shard::Shard;

/// A message that a client has sent, and that has no whole reply.
#[derive(Debug)]
pub(super) struct Job {
    pub client: Rc<Client>,
    pub number: Number,
    /// The message, or its beginning; nothing, if it is not kept.
    pub bytes: Vec<u8>,
    /// The rest of it comes while it is sent.
    pub is_cut: bool,
    /// What balancing goes by, if it goes by the message.
    pub key: Option<u64>,
    pub tried: Tried,
    pub attempts: u32,
    /// When the circuit breaker let it through.
    pub admitted_ms: u64,
    /// While it waits for a connection, and until when it may.
    pub place: Option<Waiting>,
    pub until_ms: u64,
    /// The connection that is opened for it, by its number.
    pub dial: Option<u64>,
    pub trace: Trace,
}

/// A message that waits: a place among all of its upstream, and memory of the thread. Given back
/// when it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    _place: PlaceApart,
    shard: Rc<Shard>,
    bytes: usize,
}

impl Waiting {
    /// Lets a message wait, or says why it may not.
    pub(super) fn begin(
        shard: &Rc<Shard>,
        upstream: &Upstream,
        bytes: usize,
    ) -> Result<Self, &'static str> {
        let place = upstream.admission().wait_apart().ok_or("queue_full")?;
        let held = shard.held_bytes.get() + bytes;
        if held > shard.held_bytes_max {
            return Err("waiting_bytes");
        }
        shard.held_bytes.set(held);
        Ok(Self { _place: place, shard: Rc::clone(shard), bytes })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shard.held_bytes.set(self.shard.held_bytes.get() - self.bytes);
    }
}

/// When what happened, in microseconds if anybody wants to know, and how much it was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trace {
    pub begun_us: u64,
    pub sent_us: u64,
    pub answered_us: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub is_reused: bool,
    pub has_waited: bool,
}

/// A message that was sent over a connection, and waits for its reply there.
#[derive(Debug)]
pub(super) struct Owner {
    pub job: Job,
    /// When all of it was there to be sent.
    pub sent_ms: u64,
    pub in_flight: InFlight,
}

impl Job {
    pub(super) fn draw(&self, shard: &Shard, upstream: &Upstream) -> Draw {
        let client = upstream.hashes_clients().then(|| self.client.ip()).flatten();
        Draw { random: shard.random(), client, key: self.key, seat: None }
    }

    /// Whether it may go to another endpoint, after so much of it was sent and this has happened.
    pub(super) fn may_go_on(&self, upstream: &Upstream, undelivered: bool) -> bool {
        use fairwater_plan::Marked;
        let settings = &upstream.settings;
        let is_repeatable = || settings.retry.marked == Marked::All && upstream.budget().take();
        !self.is_cut
            && !self.bytes.is_empty()
            && self.attempts <= settings.retries
            && !self.client.is_gone()
            && (undelivered || is_repeatable())
    }

    /// Counts what has become of it, and says so.
    pub(super) fn record(
        &self,
        shard: &Shard,
        at: (&Upstream, Option<&Endpoint>),
        fault: Option<Fault>,
    ) {
        let counters = &shard.counters.listeners[self.client.accepted.listener.0 as usize];
        counters.request(0);
        counters.bytes_in.add(self.trace.bytes_in);
        counters.bytes_out.add(self.trace.bytes_out);
        if let Some(fault) = fault {
            counters.faults[fault.kind as usize].add(1);
        }
        if shard.log_is_on {
            self.write_line(shard, at, fault);
        }
    }

    #[cold]
    fn write_line(&self, shard: &Shard, at: (&Upstream, Option<&Endpoint>), fault: Option<Fault>) {
        let trace = &self.trace;
        let is_sent = trace.sent_us > 0;
        let ended_us = shard.now_us();
        let line = Line {
            upstream: &at.0.settings.name,
            endpoint: at.1.map_or("", |endpoint| &endpoint.identity),
            attempts: self.attempts,
            trace: *trace,
            timers: Timers {
                queue_us: (is_sent && trace.has_waited)
                    .then(|| trace.sent_us.saturating_sub(trace.begun_us)),
                connect_us: (is_sent && !trace.has_waited)
                    .then(|| trace.sent_us.saturating_sub(trace.begun_us)),
                response_us: (trace.answered_us > 0)
                    .then(|| trace.answered_us.saturating_sub(trace.sent_us)),
                total_us: ended_us.saturating_sub(trace.begun_us),
                ..Timers::default()
            },
            fault,
        };
        line.write(shard, &self.client, ended_us);
    }
}

/// What the access log says of a message, or of a connection that has ended with none.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    pub upstream: &'a str,
    pub endpoint: &'a str,
    pub attempts: u32,
    pub trace: Trace,
    pub timers: Timers,
    pub fault: Option<Fault>,
}

impl Line<'_> {
    pub(super) fn write(&self, shard: &Shard, client: &Client, now_us: u64) {
        let accepted = &client.accepted;
        let peer = accepted.peer();
        let tls = accepted.stream.agreed();
        let server_name = client.server_name.as_deref().unwrap_or_default();
        let passed = TlsEntry { server_name, ..TlsEntry::default() };
        let kind = self.fault.map(|fault| fault.kind);
        let in_force = shard.in_force();
        let entry = Entry {
            wall_us: shard.wall_us(now_us),
            id: shard.next_request_id(),
            listener: &in_force.plan.listener(accepted.listener).name,
            client: peer.ip(),
            client_port: peer.port(),
            protocol: "FRAMED",
            tls: tls.as_deref().map_or(passed, tls_entry),
            bytes_in: self.trace.bytes_in,
            bytes_out: self.trace.bytes_out,
            upstream: self.upstream,
            endpoint: self.endpoint,
            attempts: self.attempts,
            reused: self.trace.is_reused,
            timers: self.timers,
            detail: self.fault.map_or("", |fault| fault.detail),
            ..Entry::of(kind)
        };
        shard.log.borrow_mut().write(&entry, &shard.counters);
    }
}
