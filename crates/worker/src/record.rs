//! Step 12: what an exchange comes to, as one log line and a few counters. Closed on drop, so that
//! an exchange that is cut off (a panic, a stop) is accounted for like any other.

use std::rc::Rc;

use fairwater_message::pack::{Packer, Unpacker};
use fairwater_message::{
    Fault, FaultKind, HeadLimits, HeaderId, RequestHead, ResponseHead, Version,
};
use fairwater_plan::{Limit, Listener};
use fairwater_proto::h1::RequestReader;
use fairwater_telemetry::{Entry, Kept, Timers, TlsEntry};
use fairwater_tls::Agreed;

use crate::accept::Accepted;
use crate::moving::RelayParcel;
use crate::rate::Meter;
use crate::shard::Shard;
use crate::waiting::Customer;

/// When a request head began to come, and when it was there; the same for one that came at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadTimes {
    pub begun_us: u64,
    pub done_us: u64,
}

#[derive(Debug)]
pub(crate) struct Record<'a> {
    shard: &'a Shard,
    connection: &'a Accepted,
    listener: &'a Listener,
    head: &'a RequestHead,
    bytes: &'a [u8],
    begun_us: u64,
    head_done_us: u64,
    connected_us: u64,
    answered_us: u64,
    /// When all was there that an endpoint is asked with.
    ready_us: u64,
    /// Waited for room until there was a connection.
    queue_us: u64,
    /// Given out when somebody asks for it first.
    id: Option<u128>,
    pub status: u16,
    pub bytes_in: u64,
    /// Body bytes that the client's socket has taken.
    pub bytes_out: u64,
    pub upstream: &'a str,
    pub endpoint: &'a str,
    pub attempts: u32,
    pub is_reused: bool,
    /// If the bytes of its bodies are limited.
    pub meter: Option<Rc<Meter>>,
    /// What the line will need of the head of the reply.
    reply: Option<Box<Kept>>,
    fault: Option<Fault>,
    /// The rate limit that has denied it.
    pub denied_by: Option<&'a Limit>,
    /// The exchange came to its end, good or bad.
    is_closed: bool,
    /// The line is written by somebody else: the connection has become a tunnel.
    is_handed_on: bool,
}

/// What lines say of TLS with the client.
pub(crate) fn tls_entry(tls: &Agreed) -> TlsEntry<'_> {
    TlsEntry {
        version: tls.version,
        cipher: tls.cipher,
        server_name: &tls.server_name,
        client_subject: &tls.peer.subject,
    }
}

/// Why something was dropped that had not come to its end.
pub(crate) fn cut_off() -> FaultKind {
    if std::thread::panicking() { FaultKind::Internal } else { FaultKind::Stopped }
}

impl<'a> Record<'a> {
    pub(crate) fn open(
        shard: &'a Shard,
        connection: &'a Accepted,
        listener: &'a Listener,
        (head, bytes): (&'a RequestHead, &'a [u8]),
        HeadTimes { begun_us, done_us }: HeadTimes,
    ) -> Self {
        Self {
            shard,
            connection,
            listener,
            head,
            bytes,
            begun_us,
            head_done_us: done_us,
            connected_us: 0,
            answered_us: 0,
            ready_us: done_us,
            queue_us: 0,
            id: None,
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            upstream: "",
            endpoint: "",
            attempts: 0,
            is_reused: false,
            meter: None,
            reply: None,
            fault: None,
            denied_by: None,
            is_closed: false,
            is_handed_on: false,
        }
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        self.fault = Some(fault);
    }

    /// The id of the exchange.
    pub(crate) fn id(&mut self) -> u128 {
        *self.id.get_or_insert_with(|| self.shard.next_request_id())
    }

    /// The body is there, which was waited for.
    pub(crate) fn is_whole(&mut self) {
        self.ready_us = self.shard.now_us();
    }

    /// There is a connection; one that was there at once costs no look at the clock.
    pub(crate) fn connected(&mut self, is_at_once: bool) {
        let is_first = is_at_once && self.attempts == 1;
        let at_once_us = self.ready_us + self.queue_us;
        self.connected_us = if is_first { at_once_us } else { self.shard.now_us() };
    }

    /// The head of the reply is there; `bytes` is what it points into.
    pub(crate) fn answered(&mut self, head: &ResponseHead, bytes: &[u8]) {
        self.answered_us = self.shard.now_us();
        self.status = head.status;
        if self.shard.log_names_replies {
            let kept = self.shard.log.borrow().keep(&head.fields, bytes);
            self.reply = Some(Box::new(kept));
        }
    }

    /// It has come to its end: what is written and counted when it is dropped is complete.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Hands the line on to a tunnel, which writes it when it ends.
    pub(crate) fn detach(&mut self) -> OwnedRecord {
        self.is_handed_on = true;
        OwnedRecord {
            head: self.head.clone(),
            bytes: self.bytes.to_vec(),
            times_us: [self.begun_us, self.head_done_us, self.connected_us, self.answered_us],
            queue_us: self.queue_us,
            id: self.id,
            status: self.status,
            upstream: self.upstream.to_owned(),
            endpoint: self.endpoint.to_owned(),
            attempts: self.attempts,
            is_reused: self.is_reused,
            reply: self.reply.take(),
        }
    }

    fn write_line(&mut self) {
        let id = self.id();
        let now_us = self.shard.now_us();
        let value = |id| self.head.find(id).map_or(&b""[..], |field| field.value.of(self.bytes));
        let peer = self.connection.peer();
        let kind = self.fault.map(|fault| fault.kind);
        let tls = self.connection.stream.agreed();
        let entry = Entry {
            wall_us: self.shard.wall_us(now_us),
            id,
            listener: &self.listener.name,
            client: peer.ip(),
            client_port: peer.port(),
            method: self.head.method_span.of(self.bytes),
            host: self.head.authority.of(self.bytes),
            target: self.head.target.of(self.bytes),
            protocol: match self.head.version {
                _ if self.head.len == 0 => "",
                Version::Http10 => "HTTP/1.0",
                Version::Http11 => "HTTP/1.1",
                Version::Http2 => "HTTP/2",
            },
            referer: value(HeaderId::Referer),
            user_agent: value(HeaderId::UserAgent),
            tls: tls.as_deref().map(tls_entry).unwrap_or_default(),
            status: self.status,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            upstream: self.upstream,
            endpoint: self.endpoint,
            attempts: self.attempts,
            reused: self.is_reused,
            timers: self.timers(now_us),
            detail: self.fault.map_or("", |fault| fault.detail),
            limit: self.denied_by.map_or("", |limit| &limit.name),
            request: (&self.head.fields, self.bytes),
            reply: self.reply.as_deref(),
            ..Entry::of(kind)
        };
        self.shard.log.borrow_mut().write(&entry, &self.shard.counters);
    }

    fn timers(&self, now_us: u64) -> Timers {
        let since =
            |end: u64, start: u64| (end > 0 && start > 0).then(|| end.saturating_sub(start));
        Timers {
            head_us: since(self.head_done_us, self.begun_us),
            queue_us: (self.queue_us > 0).then_some(self.queue_us),
            connect_us: since(self.connected_us, self.head_done_us + self.queue_us),
            response_us: since(self.answered_us, self.connected_us),
            total_us: now_us.saturating_sub(self.begun_us),
        }
    }
}

impl Customer for Record<'_> {
    fn id(&mut self) -> u128 {
        Record::id(self)
    }

    fn add_wait(&mut self, us: u64) {
        if us > 0 {
            self.queue_us += us;
            // Of a try before this one, if there was any.
            (self.connected_us, self.answered_us) = (0, 0);
        }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if self.is_handed_on {
            return;
        }
        if !self.is_closed && self.fault.is_none() {
            self.fault = Some(cut_off().into());
        }
        let counters = &self.shard.counters.listeners[self.connection.listener.0 as usize];
        counters.request(self.status);
        counters.bytes_in.add(self.bytes_in);
        counters.bytes_out.add(self.bytes_out);
        if let Some(meter) = &self.meter {
            meter.settle(self.bytes_in + self.bytes_out);
        }
        if let Some(fault) = self.fault {
            counters.faults[fault.kind as usize].add(1);
        }
        if self.shard.log_is_on {
            self.write_line();
        }
    }
}

/// The record of an exchange that goes on as a tunnel, with its own copy of everything.
#[derive(Debug)]
pub(crate) struct OwnedRecord {
    head: RequestHead,
    bytes: Vec<u8>,
    times_us: [u64; 4],
    queue_us: u64,
    id: Option<u128>,
    status: u16,
    upstream: String,
    endpoint: String,
    attempts: u32,
    is_reused: bool,
    reply: Option<Box<Kept>>,
}

impl OwnedRecord {
    /// Where the exchange went.
    pub(crate) fn way(&self) -> RelayParcel<'_> {
        RelayParcel { upstream: &self.upstream, endpoint: &self.endpoint }
    }

    /// All but what a template wants of the head of the reply: another process may have another
    /// template.
    pub(crate) fn pack(&self, out: &mut Packer) {
        let way = self.way();
        out.bytes(&self.bytes[..self.head.len]);
        self.times_us.iter().for_each(|time| _ = out.number(*time));
        out.bytes(&self.id.map(u128::to_le_bytes).unwrap_or_default());
        out.number(self.status.into()).number(self.attempts.into()).number(self.is_reused.into());
        way.pack(out);
        if self.queue_us > 0 {
            out.number(self.queue_us);
        }
    }

    pub(crate) fn unpack(from: &mut Unpacker<'_>, limits: HeadLimits) -> Option<Self> {
        let (bytes, mut head) = (from.bytes()?.to_vec(), RequestHead::default());
        RequestReader::new(limits).read(&bytes, &mut head).ok().filter(|is_whole| *is_whole)?;
        let mut time = || from.number();
        let times_us = [time()?, time()?, time()?, time()?];
        let id = u128::from_le_bytes(from.bytes()?.try_into().ok()?);
        let status = u16::try_from(from.number()?).ok()?;
        let attempts = u32::try_from(from.number()?).ok()?;
        let is_reused = from.number()? != 0;
        let RelayParcel { upstream, endpoint } = RelayParcel::unpack(from)?;
        let (upstream, endpoint) = (upstream.to_owned(), endpoint.to_owned());
        let id = (id != 0).then_some(id);
        // Told if there was any, and not by earlier versions.
        let queue_us = from.number().unwrap_or_default();
        let reply = None;
        Some(Self {
            head,
            bytes,
            times_us,
            queue_us,
            id,
            status,
            upstream,
            endpoint,
            attempts,
            is_reused,
            reply,
        })
    }

    /// Writes the line and counts.
    pub(crate) fn close(
        &mut self,
        shard: &Shard,
        connection: &Accepted,
        (bytes_in, bytes_out): (u64, u64),
        fault: Option<FaultKind>,
    ) {
        let in_force = shard.in_force();
        let [begun_us, head_done_us, connected_us, answered_us] = self.times_us;
        drop(Record {
            shard,
            connection,
            listener: in_force.plan.listener(connection.listener),
            head: &self.head,
            bytes: &self.bytes,
            begun_us,
            head_done_us,
            connected_us,
            answered_us,
            ready_us: head_done_us,
            queue_us: self.queue_us,
            id: self.id,
            status: self.status,
            bytes_in,
            bytes_out,
            upstream: &self.upstream,
            endpoint: &self.endpoint,
            attempts: self.attempts,
            is_reused: self.is_reused,
            meter: None,
            reply: self.reply.take(),
            fault: fault.map(Fault::new),
            denied_by: None,
            is_closed: true,
            is_handed_on: false,
        });
    }
}
