//! HTTP/2 clients (RFC 9113): one task per connection, which moves its frames, and one for each
//! stream, whose exchange is like any other.

mod lane;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use fairwater_message::{Fault, FaultKind, HEAD_BYTES_MAX, HeadLimits, Version};
use fairwater_net::Timer;
use fairwater_proto::frames::Frames;
use fairwater_proto::h1::RequestReader;
use fairwater_proto::websocket;
use h2::Reason;
use h2::server::{Builder, Connection, SendResponse};
use http::Request;

use super::Carrier;
use crate::accept::Accepted;
use crate::exchange::{self, Client, End};
use crate::h2::text;
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
/// What a client may send ahead, on a stream and over all of them.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Of a reply, taken from an endpoint before the client takes it.
const UNSENT_BYTES_MAX: usize = 64 * 1024;
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
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(head.bytes.into())
        .max_send_buffer_size(UNSENT_BYTES_MAX);
    builder
}

/// Serves a connection, of which `ahead` was read, until it closes.
pub(crate) async fn serve(connection: Accepted, Ahead(ahead): Ahead) {
    let connection = Rc::new(connection);
    let (limits, patience) =
        connection.of_listener(|listener| (listener.head, listener.timeouts.head));
    connection.timer.set(patience);
    let watch = Watch::new(Frames::of_client());
    let wire = Wire::new(Socket::Client(Rc::clone(&connection)), &watch, ahead);
    let mut shaking = std::pin::pin!(builder(limits).handshake::<_, Bytes>(wire));
    let shaken = poll_fn(|cx| match shaking.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result.ok()),
        Poll::Pending => connection.timer.poll_expired(cx).map(|()| None),
    });
    if let Some(frames) = shaken.await {
        run(&connection, frames, &watch).await;
    }
}

async fn run(connection: &Rc<Accepted>, mut frames: Connection<Wire, Bytes>, watch: &Watch) {
    let open = Rc::new(Cell::new(0));
    let idle = || connection.of_listener(|listener| listener.timeouts.idle);
    connection.timer.set(idle());
    let (mut is_leaving, mut is_cut) = (false, false);
    let head_timer = Timer::new(&connection.shard.wheel);
    loop {
        let mut incoming = None;
        let next = poll_fn(|cx| {
            if !is_leaving && is_over(connection) {
                is_leaving = true;
                frames.graceful_shutdown();
                if open.get() == 0 {
                    connection.timer.set(limits::GOODBYE);
                }
            }
            watch.begin_turn();
            match frames.poll_accept(cx) {
                Poll::Ready(Some(Ok(stream))) => {
                    incoming = Some(stream);
                    return Poll::Ready(Next::Stream);
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Next::Broken(error.reason()));
                }
                Poll::Ready(None) => return Poll::Ready(Next::Broken(None)),
                Poll::Pending => {}
            }
            if !is_cut && (watch.flood().is_some() || is_late(connection, watch, &head_timer, cx)) {
                is_cut = true;
                return Poll::Ready(Next::Flood);
            }
            connection.timer.poll_expired(cx).map(|()| Next::Idle)
        });
        match next.await {
            Next::Stream => {
                let Some((request, respond)) = incoming else { continue };
                let stream = Open::new(connection, &open);
                drop(tokio::task::spawn_local(serve_stream(stream, request, respond)));
            }
            Next::Flood => {
                let kind = match watch.flood() {
                    Some(_) => FaultKind::Http2Flood,
                    None => FaultKind::HeadTimeout,
                };
                connection.count_fault(kind);
                is_leaving = true;
                frames.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                connection.timer.set(limits::GOODBYE);
            }
            Next::Idle if !is_leaving => {
                is_leaving = true;
                frames.graceful_shutdown();
                connection.timer.set(limits::GOODBYE);
            }
            // The library has its own limits.
            Next::Broken(Some(Reason::ENHANCE_YOUR_CALM)) if !is_cut => {
                return connection.count_fault(FaultKind::Http2Flood);
            }
            Next::Idle | Next::Broken(_) => return,
        }
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

enum Next {
    Stream,
    /// The client does too much, or takes too long for a head.
    Flood,
    /// Nothing has come for too long.
    Idle,
    /// The end, and why.
    Broken(Option<Reason>),
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
        return respond::to_bad_head(shard, client, &mut work, fault, begun_us).await;
    }
    let times = HeadTimes { begun_us, done_us: begun_us };
    let exchange = exchange::serve::<true>(&in_force, client, &mut work, times);
    if let End::Tunnel(tunnel) = Box::pin(exchange).await {
        drop((work, in_force));
        tunnel::serve_lane(connection, (&lane, &timer), tunnel).await;
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
