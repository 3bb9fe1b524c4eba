//! HTTP/2 clients (RFC 9113): one task per connection, which moves its frames, and one for each
//! stream, whose exchange is like any other.

mod lane;
mod refused;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use fairwater_message::{BodyLength, Fault, FaultKind, HEAD_BYTES_MAX, HeadLimits, Version};
use fairwater_net::Timer;
use fairwater_proto::h1::{RequestReader, reason_phrase};
use fairwater_proto::http2::{Bounds, Code, Opened, Problem, Refusal, Role};
use fairwater_proto::websocket;

use super::Carrier;
use crate::accept::Accepted;
use crate::exchange::{self, Client, End};
use crate::h2::windows::{SMALL_BYTES, Windows};
use crate::h2::{Mux, Strand};
use crate::limits;
use crate::record::HeadTimes;
use crate::respond;
use crate::shard::Shard;
use crate::tunnel;
use crate::work::{Buffer, Loan, Work};
pub(crate) use lane::Lane;

/// How a client of HTTP/2 begins, which no client of HTTP/1 does (RFC 9113, section 3.4).
const BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Requests of one connection at a time.
const STREAMS_MAX: u32 = 128;
/// Of a reply, taken from an endpoint before the client takes it.
const UNSENT_BYTES_MAX: usize = 64 * 1024;

/// What was read before anybody knew that it is HTTP/2.
#[derive(Debug, Default)]
pub(crate) struct Ahead(pub Vec<u8>);

/// Whether a connection begins as one of HTTP/2.
pub(super) fn is_begun(bytes: &[u8]) -> bool {
    bytes.starts_with(BEGIN)
}

fn bounds(head: HeadLimits) -> Bounds {
    Bounds {
        // What is too large for the reader shall get there all the same: it has the last word.
        head_bytes: 2 * usize::from(head.bytes),
        head_fields: 2 * usize::from(head.fields),
        streams: STREAMS_MAX,
        stream_window: SMALL_BYTES,
        connection_window: Windows::of_all(SMALL_BYTES),
        unsent_bytes: UNSENT_BYTES_MAX,
        phrase: reason_phrase,
    }
}

/// Serves a connection, of which `ahead` was read, until it closes.
pub(crate) async fn serve(connection: Accepted, Ahead(ahead): Ahead) {
    let connection = Rc::new(connection);
    let mux = Mux::new(Role::Server, connection.of_listener(|listener| bounds(listener.head)));
    mux.take_ahead(&connection.shard, &ahead);
    drop(ahead);
    Serving::new(&connection, &mux).run().await;
}

/// A connection that is served.
struct Serving<'s> {
    connection: &'s Rc<Accepted>,
    mux: &'s Rc<Mux>,
    windows: Windows,
    /// Streams that run.
    open: Rc<Cell<u32>>,
    /// All that ever did.
    begun: u64,
    /// The client has begun some that it must not.
    is_rude: bool,
    head_timer: Timer,
    /// Which one it is set for.
    head: u64,
    /// The client was told to begin no more.
    is_leaving: bool,
    /// Nothing more is read.
    is_cut: bool,
    /// Bytes of bodies that the client had taken when it was looked at last.
    taken_bytes: u64,
}

enum Next {
    Stream(Opened),
    /// A request that nobody sees.
    Refused(Refusal),
    /// The client does what it must not.
    Offence(FaultKind),
    /// A head takes too long.
    Late,
    /// Nothing has come for too long.
    Idle,
    /// The end; whether the client is there to hear the last word.
    End(bool),
}

impl<'s> Serving<'s> {
    fn new(connection: &'s Rc<Accepted>, mux: &'s Rc<Mux>) -> Self {
        Self {
            connection,
            mux,
            windows: Windows::new(&connection.shard),
            open: Rc::new(Cell::new(0)),
            begun: 0,
            is_rude: false,
            head_timer: Timer::new(&connection.shard.wheel),
            head: 0,
            is_leaving: false,
            is_cut: false,
            taken_bytes: 0,
        }
    }

    async fn run(mut self) {
        let connection = self.connection;
        connection.timer.set_idle(connection.of_listener(|listener| listener.timeouts.idle));
        loop {
            let next = poll_fn(|cx| {
                let next = self.poll_next(cx);
                if next.is_pending() {
                    self.mux.end_turn();
                }
                next
            });
            match next.await {
                Next::Stream(opened) => {
                    let lane = Lane::new(Strand::new(self.mux, opened.stream), connection);
                    let stream = Open::new(connection, &self.open);
                    drop(tokio::task::spawn_local(serve_stream(stream, lane, opened)));
                    self.let_others().await;
                }
                Next::Refused(refusal) => {
                    self.is_rude = true;
                    refused::account(connection, refusal);
                }
                Next::Offence(kind) => self.cut(kind),
                Next::Late => {
                    self.mux.with(|engine| engine.abort(Code::ENHANCE_YOUR_CALM));
                    self.cut(FaultKind::HeadTimeout);
                }
                Next::Idle => {
                    // Who is told only now has a moment to hear it.
                    let was_leaving = self.is_leaving;
                    if !self.has_moved() && was_leaving {
                        break;
                    }
                }
                Next::End(is_there) => {
                    if is_there {
                        // A client shall hear of it, whatever it still sends.
                        let (shard, mut rest) = (&connection.shard, Buffer::default());
                        shard.lend_block(&mut rest);
                        respond::linger(&connection.stream, connection.patience(), &mut rest).await;
                        shard.empty(&mut rest);
                    }
                    break;
                }
            }
        }
        self.mux.close();
    }

    /// A client that is new, or has begun more than it may, has to wait for whoever else has
    /// something: all its streams at once are some milliseconds of work.
    async fn let_others(&mut self) {
        self.begun += 1;
        let is_known = !self.is_rude && self.begun > u64::from(2 * STREAMS_MAX);
        if !is_known && self.begun.is_multiple_of(limits::STREAMS_PER_TURN) {
            tokio::task::yield_now().await;
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let ends = || self.begun > 0 && self.connection.shard.grants_no_keep_alive();
        let is_over = is_over(self.connection) || self.open.get() == 0 && ends();
        if !self.is_leaving && is_over {
            self.leave();
        }
        let (mux, streams) = (self.mux, self.open.get());
        self.windows.fit(mux.read_bytes(), streams, |bytes| {
            mux.with(|engine| engine.set_windows(bytes, Windows::of_all(bytes)))
        });
        let (shard, socket) = (&self.connection.shard, &self.connection.stream);
        let read = mux.poll_read(cx, shard, socket);
        match mux.with(|engine| engine.next_opened()) {
            Some(Ok(opened)) => return Poll::Ready(Next::Stream(opened)),
            Some(Err(refusal)) => return Poll::Ready(Next::Refused(refusal)),
            None => {}
        }
        if !self.is_cut {
            if let Some((code, flood)) = mux.with(|engine| engine.end()) {
                let is_flood = flood.is_some() || code == Code::ENHANCE_YOUR_CALM;
                let kind = if is_flood { FaultKind::Http2Flood } else { FaultKind::Http2Error };
                return Poll::Ready(Next::Offence(kind));
            }
            if self.is_late(cx) {
                return Poll::Ready(Next::Late);
            }
        }
        if mux.poll_flush(cx, socket).is_ready() {
            if mux.lost().is_some() {
                return Poll::Ready(Next::End(false));
            }
            if self.is_cut || mux.with(|engine| engine.has_left()) {
                return Poll::Ready(Next::End(true));
            }
        }
        if read.is_ready() && self.open.get() == 0 {
            return Poll::Ready(Next::End(false));
        }
        self.connection.timer.poll_expired(cx).map(|()| Next::Idle)
    }

    /// Lets no further stream begin; those that run go on.
    fn leave(&mut self) {
        self.is_leaving = true;
        self.mux.with(|engine| engine.leave());
        if self.open.get() == 0 {
            self.connection.timer.set(limits::GOODBYE);
        }
    }

    /// Ends all that runs; what is to be said of it has been.
    fn cut(&mut self, kind: FaultKind) {
        self.connection.count_fault(kind);
        (self.is_leaving, self.is_cut) = (true, true);
        self.connection.timer.set(limits::GOODBYE);
    }

    /// The time is over. A client that still takes what it has asked for is given as much again; to
    /// others is said that this ends.
    fn has_moved(&mut self) -> bool {
        let connection = self.connection;
        let untaken_bytes = connection.stream.untaken_bytes() as u64;
        let data_bytes = self.mux.with(|engine| engine.data_bytes());
        let taken_bytes = data_bytes.saturating_sub(untaken_bytes);
        let is_shed = connection.timer.is_shed();
        let has_moved = !self.is_cut && !is_shed && taken_bytes > self.taken_bytes;
        self.taken_bytes = taken_bytes;
        if has_moved {
            let idle = connection.of_listener(|listener| listener.timeouts.idle);
            set_idle(&connection.timer, self.is_leaving, idle);
        } else if !self.is_leaving {
            self.leave();
        }
        has_moved
    }

    /// Whether a head that has begun takes too long; the first frame counts as one.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let begun = self.mux.with(|engine| match engine.has_settings() {
            true => engine.begun_head(),
            false => Some(0),
        });
        let Some(head) = begun else {
            if self.head_timer.is_set() {
                self.head_timer.set_at(u64::MAX);
            }
            return false;
        };
        // There is always one that has begun, of who asks for much on a slow way.
        if !self.head_timer.is_set() || self.head != head {
            self.head = head;
            self.head_timer.set(self.connection.of_listener(|listener| listener.timeouts.head));
        }
        self.head_timer.poll_expired(cx).is_ready()
    }
}

/// For a connection on which no stream runs.
fn set_idle(timer: &Timer, is_leaving: bool, idle: Duration) {
    if is_leaving { timer.set(limits::GOODBYE) } else { timer.set_idle(idle) }
}

/// Whether no further stream may begin. Such a connection cannot move to another process.
fn is_over(connection: &Accepted) -> bool {
    connection.shard.is_draining() || connection.of_listener(fairwater_plan::Listener::is_gone)
}

/// A stream that runs; the connection is idle when there is none.
struct Open {
    connection: Rc<Accepted>,
    count: Rc<Cell<u32>>,
}

impl Open {
    fn new(connection: &Rc<Accepted>, count: &Rc<Cell<u32>>) -> Self {
        count.set(count.get() + 1);
        // While streams run, their own timers count.
        connection.timer.unset();
        Self { connection: Rc::clone(connection), count: Rc::clone(count) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
        if self.count.get() == 0 {
            let connection = &self.connection;
            let idle = connection.of_listener(|listener| listener.timeouts.idle);
            set_idle(&connection.timer, is_over(connection), idle);
        }
    }
}

async fn serve_stream(stream: Open, lane: Lane, opened: Opened) {
    let connection = &*stream.connection;
    let shard = &*connection.shard;
    let begun_us = shard.now_us();
    let timer = Timer::new(&shard.wheel);
    let mut work = Loan::new(shard);
    let in_force = shard.in_force();
    let limits = in_force.plan.listener(connection.listener).head;
    let client = Client { connection, timer: &timer, carrier: Carrier::Lane(&lane) };
    if let Err(fault) = read_head(opened, limits, &mut work, shard) {
        // Apart, so that streams without one have no room for it.
        return Box::pin(respond::to_bad_head(shard, client, &mut work, fault, begun_us)).await;
    }
    let times = HeadTimes { begun_us, done_us: begun_us };
    let set: &mut Work = &mut work;
    let exchange =
        shard.lane_futures.place(|| exchange::serve::<true>(&in_force, client, set, times));
    if let End::Tunnel(tunnel) = exchange.await {
        drop((work, in_force));
        Box::pin(tunnel::serve_lane(connection, (&lane, &timer), tunnel)).await;
    }
}

/// Puts a head where one of HTTP/1 would be.
fn read_head(
    opened: Opened,
    limits: HeadLimits,
    work: &mut Work,
    shard: &Shard,
) -> Result<(), Fault> {
    work.request_head.clear();
    work.request_head.version = Version::Http2;
    let mut text = opened.text;
    let bad = |detail| Err(Fault::because(FaultKind::BadRequest, detail));
    match opened.problem {
        None => {}
        Some(Problem::TooLarge) => return Err(FaultKind::HeadTooLarge.into()),
        Some(Problem::HostsDiffer) => return bad("authority_and_host_differ"),
        Some(Problem::NoHost) => return bad("no_authority"),
        Some(Problem::SpaceAround) => return bad("space_around_value"),
    }
    match opened.tunnel {
        None => {}
        Some(false) => return Err(FaultKind::TunnelUnknown.into()),
        Some(true) => {
            let random = u128::from(shard.random()) << 64 | u128::from(shard.random());
            text.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
            let key = websocket::key(random.to_le_bytes());
            text.extend_from_slice(&[b"sec-websocket-key: ", &key[..], b"\r\n\r\n"].concat());
        }
    }
    if text.len() > HEAD_BYTES_MAX {
        return Err(FaultKind::HeadTooLarge.into());
    }
    let text_len = text.len();
    shard.empty(&mut work.request);
    work.request.adopt(text);
    let is_whole = RequestReader::new(limits).read(work.request.data(), &mut work.request_head)?;
    work.request_head.version = Version::Http2;
    work.request_head.has_secrets = opened.has_secrets;
    if !opened.is_all && opened.tunnel.is_none() && work.request_head.body == BodyLength::None {
        // Of no length, with trailers perhaps.
        work.request_head.body = BodyLength::Known(0);
    }
    match is_whole && work.request_head.len == text_len {
        true => Ok(()),
        // A line end in a place where none can be.
        false => Err(FaultKind::BadRequest.into()),
    }
}
