//! HTTP/2 clients (RFC 9113): one task per connection, which moves its frames, and one for each
//! stream, whose exchange is like any other.

mod lane;
mod refused;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use fairwater_message::{Fault, FaultKind, HEAD_BYTES_MAX, HeadLimits, Version};
use fairwater_net::Timer;
use fairwater_proto::frames::{Frames, Offence, Refusal};
use fairwater_proto::h1::RequestReader;
use fairwater_proto::websocket;
use h2::Reason;
use h2::server::{Builder, Connection, SendResponse};
use http::Request;

use super::Carrier;
use crate::accept::Accepted;
use crate::exchange::{self, Client, End};
use crate::h2::text;
use crate::h2::windows::{SMALL_BYTES, Windows};
use crate::h2::wire::{Socket, Watch, Wire};
use crate::limits;
use crate::record::HeadTimes;
use crate::respond;
use crate::tunnel;
use crate::work::{Loan, Work};
pub(crate) use lane::Lane;

/// How a client of HTTP/2 begins, which no client of HTTP/1 does (RFC 9113, section 3.4).
const BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Requests of one connection at a time.
const STREAMS_MAX: u32 = 128;
/// Of a reply, taken from an endpoint before the client takes it.
const UNSENT_BYTES_MAX: usize = 64 * 1024;
/// What the library counts for a field beside its name and value (RFC 9113, section 6.5.2).
const FIELD_OVERHEAD_BYTES: u32 = 32;
/// For what is missing from 256 bytes in each frame of data that waits: a stream full of messages
/// of 30 bytes may wait for its endpoint, and frames of one byte take no more memory than the
/// window.
const SMALL_FRAMES_BYTES: usize = 2 * 1024 * 1024;
/// While streams run, their own timers count.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What was read before anybody knew that it is HTTP/2.
#[derive(Debug, Default)]
pub(crate) struct Ahead(pub Vec<u8>);

/// Whether a connection begins as one of HTTP/2.
pub(super) fn is_begun(bytes: &[u8]) -> bool {
    bytes.starts_with(BEGIN)
}

fn builder(head: HeadLimits) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .enable_connect_protocol()
        .initial_window_size(SMALL_BYTES)
        .initial_connection_window_size(Windows::of_all(SMALL_BYTES))
        // What is too large for the reader shall get there all the same: it has a line in the log.
        .max_header_list_size(
            2 * (u32::from(head.bytes) + u32::from(head.fields) * FIELD_OVERHEAD_BYTES),
        )
        .max_send_buffer_size(UNSENT_BYTES_MAX)
        .data_frame_budget(SMALL_FRAMES_BYTES)
        // As many as can have been taken, and not one of those that a client gives up at once.
        .max_pending_accept_reset_streams(STREAMS_MAX as usize)
        .max_concurrent_reset_streams(STREAMS_MAX as usize);
    builder
}

/// Serves a connection, of which `ahead` was read, until it closes.
///
/// Not an `async fn`, which would keep its arguments twice, and with all that comes once in memory
/// of its own: what an idle connection costs is the size of this future.
pub(crate) fn serve(connection: Accepted, Ahead(ahead): Ahead) -> impl Future<Output = ()> {
    let connection = Rc::new(connection);
    async move {
        let watch = Watch::new(Frames::of_client());
        let Some(frames) = Box::pin(shake_hands(&connection, &watch, ahead)).await else { return };
        let mut serving = Serving::new(&connection, frames, &watch);
        if let Over::Said(reason) = poll_fn(|cx| serving.poll(cx)).await {
            Box::pin(serving.end(reason)).await;
        }
    }
}

async fn shake_hands(
    connection: &Rc<Accepted>,
    watch: &Rc<Watch>,
    ahead: Vec<u8>,
) -> Option<Connection<Wire, Bytes>> {
    let (limits, patience) =
        connection.of_listener(|listener| (listener.head, listener.timeouts.head));
    connection.timer.set(patience);
    let wire = Wire::new(Socket::Client(Rc::clone(connection)), watch, ahead);
    let mut shaking = pin!(builder(limits).handshake::<_, Bytes>(wire));
    let shaken = poll_fn(|cx| match shaking.as_mut().poll(cx) {
        Poll::Ready(Ok(frames)) => Poll::Ready(Ok(frames)),
        Poll::Ready(Err(error)) => {
            Poll::Ready(Err((!error.is_io()).then_some(FaultKind::Http2Error)))
        }
        Poll::Pending => {
            connection.timer.poll_expired(cx).map(|()| Err(Some(FaultKind::HeadTimeout)))
        }
    });
    match shaken.await {
        Ok(frames) => Some(frames),
        Err(kind) => {
            kind.into_iter().for_each(|kind| connection.count_fault(kind));
            None
        }
    }
}

/// A connection that is served.
struct Serving<'s> {
    connection: &'s Rc<Accepted>,
    frames: Connection<Wire, Bytes>,
    watch: &'s Watch,
    windows: Windows,
    /// Streams that run.
    open: Rc<Cell<u32>>,
    head_timer: Timer,
    /// The client was told to begin no more.
    is_leaving: bool,
    /// Nothing more is read.
    is_cut: bool,
    /// Bytes of bodies that the client had taken when it was looked at last.
    taken_bytes: u64,
}

#[allow(clippy::large_enum_variant, reason = "it is the usual one, and moved once")]
enum Next {
    Stream(Request<h2::RecvStream>, SendResponse<Bytes>),
    /// A request was answered before anybody saw it.
    Refused(Refusal),
    /// The client does what it must not.
    Offence(Offence),
    /// A head takes too long.
    Late,
    /// Nothing has come for too long.
    Idle,
    /// The end, and why the library has made it.
    End(Option<Reason>),
}

/// How a connection has come to its end.
enum Over {
    /// Nothing has come for too long, and it was said that this is the end.
    Idle,
    /// The library has said the last word, and why.
    Said(Option<Reason>),
}

impl<'s> Serving<'s> {
    fn new(
        connection: &'s Rc<Accepted>,
        frames: Connection<Wire, Bytes>,
        watch: &'s Watch,
    ) -> Self {
        connection.timer.set(connection.of_listener(|listener| listener.timeouts.idle));
        let (open, head_timer) = (Rc::new(Cell::new(0)), Timer::new(&connection.shard.wheel));
        Self {
            connection,
            frames,
            watch,
            windows: Windows::new(&connection.shard),
            open,
            head_timer,
            is_leaving: false,
            is_cut: false,
            taken_bytes: 0,
        }
    }

    /// Ready when it is over. All that happens on the way happens within one turn of the task.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        let connection = self.connection;
        loop {
            let Poll::Ready(next) = self.poll_next(cx) else {
                self.end_turn();
                return Poll::Pending;
            };
            match next {
                Next::Stream(request, respond) => {
                    if self.watch.take_stream(respond.stream_id().as_u32()) {
                        let stream = Open::new(connection, &self.open);
                        drop(tokio::task::spawn_local(serve_stream(stream, request, respond)));
                    }
                }
                Next::Refused(refusal) => refused::account(connection, refusal),
                Next::Offence(offence) => {
                    let is_flood = matches!(offence, Offence::Flood(_));
                    let kind = if is_flood { FaultKind::Http2Flood } else { FaultKind::Http2Error };
                    self.cut(kind, offence.code().into());
                }
                Next::Late => self.cut(FaultKind::HeadTimeout, Reason::ENHANCE_YOUR_CALM),
                Next::Idle => {
                    if !self.has_moved() && self.is_leaving {
                        return Poll::Ready(Over::Idle);
                    }
                }
                Next::End(reason) => return Poll::Ready(Over::Said(reason)),
            }
        }
    }

    /// Whatever became of all that was read: the next turn is another one.
    fn end_turn(&mut self) {
        self.watch.begin_turn();
        self.windows.fit(self.watch.read_bytes(), self.open.get(), |bytes| {
            let is_set = self.frames.set_initial_window_size(bytes).is_ok();
            if is_set {
                self.frames.set_target_window_size(Windows::of_all(bytes));
            }
            is_set
        });
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let is_good = self.watch.offence().is_none();
        if !self.is_leaving && is_good && (is_over(self.connection) || self.watch.is_worn()) {
            self.leave();
        }
        match self.frames.poll_accept(cx) {
            Poll::Ready(Some(Ok((request, respond)))) => {
                return Poll::Ready(Next::Stream(request, respond));
            }
            Poll::Ready(Some(Err(error))) => {
                let is_ours = error.is_library();
                return Poll::Ready(Next::End(error.reason().filter(|_| is_ours)));
            }
            Poll::Ready(None) => return Poll::Ready(Next::End(None)),
            Poll::Pending => {}
        }
        if let Some(refusal) = self.watch.next_refused() {
            return Poll::Ready(Next::Refused(refusal));
        }
        if !self.is_cut {
            if let Some(offence) = self.watch.offence() {
                return Poll::Ready(Next::Offence(offence));
            }
            if is_late(self.connection, self.watch, &self.head_timer, cx) {
                return Poll::Ready(Next::Late);
            }
        }
        self.connection.timer.poll_expired(cx).map(|()| Next::Idle)
    }

    /// Lets no further stream begin; those that run go on.
    fn leave(&mut self) {
        self.is_leaving = true;
        self.frames.graceful_shutdown();
        if self.open.get() == 0 {
            self.connection.timer.set(limits::GOODBYE);
        }
    }

    /// Ends all that runs.
    fn cut(&mut self, kind: FaultKind, reason: Reason) {
        self.connection.count_fault(kind);
        (self.is_leaving, self.is_cut) = (true, true);
        self.frames.abrupt_shutdown(reason);
        self.connection.timer.set(limits::GOODBYE);
    }

    /// The time is over. A client that still takes what it has asked for is given as much again; to
    /// others is said that this ends.
    fn has_moved(&mut self) -> bool {
        let connection = self.connection;
        let untaken_bytes = connection.stream.untaken_bytes() as u64;
        let taken_bytes = self.watch.data_bytes().saturating_sub(untaken_bytes);
        let has_moved = !self.is_cut && taken_bytes > self.taken_bytes;
        self.taken_bytes = taken_bytes;
        if has_moved {
            let idle = connection.of_listener(|listener| listener.timeouts.idle);
            connection.timer.set(if self.is_leaving { limits::GOODBYE } else { idle });
        } else if !self.is_leaving {
            self.leave();
        }
        has_moved
    }

    /// The library has said the last word, and closed our direction.
    async fn end(&mut self, reason: Option<Reason>) {
        let connection = self.connection;
        while let Some(refusal) = self.watch.next_refused() {
            refused::account(connection, refusal);
        }
        match reason {
            _ if self.is_cut => {}
            // It has its own limits.
            Some(Reason::ENHANCE_YOUR_CALM) => connection.count_fault(FaultKind::Http2Flood),
            Some(reason) if reason != Reason::NO_ERROR => {
                connection.count_fault(FaultKind::Http2Error);
            }
            _ => return,
        }
        // A client that was at fault shall hear of it, whatever it still sends.
        let mut work = Loan::new(&connection.shard);
        respond::linger(&connection.stream, connection.patience(), &mut work.request).await;
    }
}

/// Whether no further stream may begin. Such a connection cannot move to another process.
fn is_over(connection: &Accepted) -> bool {
    connection.shard.is_draining() || connection.of_listener(fairwater_plan::Listener::is_gone)
}

/// Whether a head that has begun takes too long.
fn is_late(connection: &Accepted, watch: &Watch, timer: &Timer, cx: &mut Context<'_>) -> bool {
    if !watch.is_within_head() {
        if timer.is_set() {
            timer.set_at(u64::MAX);
        }
        return false;
    }
    if !timer.is_set() {
        timer.set(connection.of_listener(|listener| listener.timeouts.head));
    }
    timer.poll_expired(cx).is_ready()
}

/// A stream that runs; the connection is idle when there is none.
struct Open {
    connection: Rc<Accepted>,
    count: Rc<Cell<u32>>,
}

impl Open {
    fn new(connection: &Rc<Accepted>, count: &Rc<Cell<u32>>) -> Self {
        count.set(count.get() + 1);
        connection.timer.set(NEVER);
        Self { connection: Rc::clone(connection), count: Rc::clone(count) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
        if self.count.get() == 0 {
            let connection = &self.connection;
            let idle = connection.of_listener(|listener| listener.timeouts.idle);
            connection.timer.set(if is_over(connection) { limits::GOODBYE } else { idle });
        }
    }
}

async fn serve_stream(
    stream: Open,
    request: Request<h2::RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let connection = &*stream.connection;
    let shard = &*connection.shard;
    let begun_us = shard.now_us();
    let (parts, body) = request.into_parts();
    let has_body = !body.is_end_stream() && !text::is_tunnel(&parts);
    let lane = Lane::new(body, respond);
    let timer = Timer::new(&shard.wheel);
    let mut work = Loan::new(shard);
    let in_force = shard.in_force();
    let limits = in_force.plan.listener(connection.listener).head;
    let client = Client { connection, timer: &timer, carrier: Carrier::Lane(&lane) };
    let key = || {
        let random = u128::from(shard.random()) << 64 | u128::from(shard.random());
        websocket::key(random.to_le_bytes())
    };
    work.out.clear();
    let head = text::write_request(&mut work.out, &parts, has_body, key);
    if let Err(fault) = head.and_then(|()| read_head(limits, &mut work)) {
        return Box::pin(respond::to_bad_head(shard, client, &mut work, fault, begun_us)).await;
    }
    let times = HeadTimes { begun_us, done_us: begun_us };
    let exchange =
        shard.streams.place(|| exchange::serve::<true>(&in_force, client, &mut work, times));
    if let End::Tunnel(tunnel) = exchange.await {
        drop((work, in_force));
        Box::pin(tunnel::serve_lane(connection, (&lane, &timer), tunnel)).await;
    }
}

/// Puts the head that was written where one of HTTP/1 would be.
fn read_head(limits: HeadLimits, work: &mut Work) -> Result<(), Fault> {
    work.request_head.clear();
    work.request_head.version = Version::Http2;
    if work.out.len() > HEAD_BYTES_MAX {
        return Err(FaultKind::HeadTooLarge.into());
    }
    work.request.hold(&work.out);
    let is_whole = RequestReader::new(limits).read(work.request.data(), &mut work.request_head)?;
    work.request_head.version = Version::Http2;
    match is_whole && work.request_head.len == work.out.len() {
        true => Ok(()),
        // A line end in a place where the library lets none pass.
        false => Err(FaultKind::BadRequest.into()),
    }
}
