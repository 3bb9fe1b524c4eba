//! One exchange: from a request head to its record. The steps are called from here and from nowhere
//! else, in this order.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use fairwater_message::{
    BodyLength, Fault, FaultKind, HeaderName, Method, RequestHead, ResponseHead, Version,
};
use fairwater_net::Timer;
use fairwater_plan::{
    Destination, Facts, Filters, Listener, Probe, Protocol, Route, RouteTimeouts, Unroutable,
    Upstream,
};
use fairwater_proto::h1::{client_address, max_forwards};

use crate::accept::Accepted;
use crate::downstream::{Carrier, Lane, Sink, Source};
use crate::filter::{self, Changes, Interception};
use crate::follow::Follow;
use crate::in_force::InForce;
use crate::own_reply::OwnReply;
use crate::patience::Patience;
use crate::record::{HeadTimes, Record};
use crate::shard::Shard;
use crate::tunnel::Tunnel;
use crate::work::{Buffer, Work};
use crate::{attempt, grpc, hold, respond};

/// Whose request it is, and the way to him and back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client<'a> {
    pub connection: &'a Accepted,
    pub timer: &'a Timer,
    pub carrier: Carrier<'a>,
}

impl<'a> Client<'a> {
    /// One that has a connection for himself.
    #[inline]
    pub(crate) fn of(connection: &'a Accepted) -> Self {
        let carrier = Carrier::Connection(&connection.stream);
        Self { connection, timer: &connection.timer, carrier }
    }
}

/// A request on its way through the stages, and where its reply goes.
pub(crate) struct Exchange<'a> {
    pub shard: &'a Shard,
    pub connection: &'a Accepted,
    pub timer: &'a Timer,
    pub in_force: &'a InForce,
    pub listener: &'a Listener,
    pub head: &'a RequestHead,
    /// The bytes that `head` points into.
    pub bytes: &'a [u8],
    pub source: Source<'a>,
    /// The request head as it goes to an endpoint.
    pub out: &'a mut Vec<u8>,
    /// Of its route, if that has any.
    pub filters: Option<&'a Filters>,
    /// The name of the client, if its route asks for one.
    pub user: &'a str,
    pub timeouts: RouteTimeouts,
    /// Another endpoint can be tried if the one that is asked does not answer.
    pub has_next: bool,
    /// Of the attempt that is made, where rules say what another one follows from.
    pub follow: Option<Follow<'a>>,
    pub changes: &'a mut Changes,
    pub reply: Reply<'a>,
}

impl<'a> Exchange<'a> {
    /// For bodies on both sides.
    pub(crate) fn patience(&self) -> Patience<'a> {
        let stall = self.timeouts.body.unwrap_or(self.listener.timeouts.body);
        Patience { timer: self.timer, stall }
    }

    /// For the head of a reply.
    #[inline]
    pub(crate) fn response_timeout(&self, upstream: &Upstream) -> Duration {
        self.timeouts.response.unwrap_or(upstream.settings.timeouts.response)
    }

    #[inline]
    fn forget_changes(&mut self) {
        if self.filters.is_some() {
            self.changes.clear();
            self.reply.changes.clear();
        }
    }

    /// Whether all is said on both sides, and another request may come, as is nearly always so.
    #[inline]
    fn is_plainly_over(&self) -> bool {
        self.source.is_done() && !self.source.is_half_closed && !self.reply.sink.closes
    }
}

/// The reply: what was read from the endpoint, and where it goes.
pub(crate) struct Reply<'a> {
    pub head: &'a mut ResponseHead,
    pub buffer: &'a mut Buffer,
    pub sink: Sink<'a>,
    /// Fields that filters take out of it.
    pub removed: &'a [HeaderName],
    pub changes: &'a mut Changes,
    /// Pages in place of the errors of endpoints.
    pub interception: Option<Interception<'a>>,
}

/// What becomes of the downstream connection.
#[derive(Debug)]
pub(crate) enum End {
    KeepAlive,
    Close,
    /// Close, but read what the client still sends for a moment: a close with unread bytes would be
    /// a reset, which could destroy the answer on its way.
    Linger,
    Tunnel(Box<Tunnel>),
}

/// Serves one exchange. Never fails: a fault becomes a response where one is still possible, and
/// always a record. On return `work.request` holds what lies behind this request.
///
/// `IS_LANE` tells the two callers apart, so that each has a copy of its own and the compiler lays
/// that of a connection into its loop: 200 instructions of a request.
pub(crate) async fn serve<const IS_LANE: bool>(
    in_force: &InForce,
    Client { connection, timer, carrier }: Client<'_>,
    work: &mut Work,
    times: HeadTimes,
) -> End {
    let Work {
        request,
        request_head: head,
        held,
        out,
        changes,
        reply_changes,
        response,
        response_head,
        reply_out,
    } = work;
    let head = &*head;
    debug_assert_eq!(request.start, 0, "heads are read at the front of the buffer");
    let (bytes, tail) = request.bytes.split_at_mut(head.len);
    let shard = &*connection.shard;
    let listener = in_force.plan.listener(connection.listener);
    let mut record = Record::open(shard, connection, listener, (head, bytes), times);
    let closes = !IS_LANE && (!head.wants_keep_alive() || carrier.is_sent_away(shard));
    let mut exchange = Exchange {
        shard,
        connection,
        timer,
        in_force,
        listener,
        head,
        bytes,
        source: Source::new(carrier, (tail, held), request.end - head.len, head.body),
        out,
        filters: None,
        user: "",
        timeouts: RouteTimeouts::default(),
        has_next: false,
        follow: None,
        changes,
        reply: Reply {
            head: response_head,
            buffer: response,
            sink: Sink::new(carrier, reply_out, closes),
            removed: &[],
            changes: reply_changes,
            interception: None,
        },
    };
    let result = match carrier {
        Carrier::Lane(lane) if IS_LANE => run_unless_reset(lane, &mut exchange, &mut record).await,
        _ => run(&mut exchange, &mut record).await,
    };
    let end = match result {
        Ok(Some(tunnel)) => End::Tunnel(tunnel),
        Ok(None) if exchange.is_plainly_over() => End::KeepAlive,
        Ok(None) => finish(&mut exchange).await,
        Err(fault) if IS_LANE && has_all(&exchange, &record, fault) => End::Close,
        Err(fault) => {
            record.fault(fault);
            respond::to_fault(&mut exchange, &mut record, fault).await
        }
    };
    record.bytes_in = exchange.source.bytes();
    let rest = exchange.source.take_rest();
    exchange.forget_changes();
    shard.empty(exchange.reply.buffer);
    drop(exchange);
    record.close();
    drop(record);
    request.keep(head.len, rest, held);
    end
}

/// Nobody works for a stream that is gone, however little of it has begun: a client could begin and
/// give up as many as it likes.
async fn run_unless_reset<'a>(
    lane: &Lane,
    exchange: &mut Exchange<'a>,
    record: &mut Record<'a>,
) -> Result<Option<Box<Tunnel>>, Fault> {
    let mut run = pin!(run(exchange, record));
    poll_fn(|cx| match lane.poll_reset(cx) {
        Poll::Ready(()) => Poll::Ready(Err(FaultKind::ClientAborted.into())),
        Poll::Pending => run.as_mut().poll(cx),
    })
    .await
}

/// Whether a client that has gone has all that the reply said it has: some leave with the last
/// byte, before the end of the stream, which may come in a frame of its own.
fn has_all(exchange: &Exchange<'_>, record: &Record<'_>, fault: Fault) -> bool {
    let length = exchange.reply.head.body;
    fault.kind == FaultKind::ClientAborted
        && matches!(length, BodyLength::Known(length) if length == record.bytes_out)
}

/// Steps 4 to 11. `Some` is a connection that has become a tunnel.
async fn run<'a>(
    exchange: &mut Exchange<'a>,
    record: &mut Record<'a>,
) -> Result<Option<Box<Tunnel>>, Fault> {
    let (head, bytes) = (exchange.head, exchange.bytes);
    if head.hops >= exchange.listener.hops_max {
        filter::pass_by(exchange, record)?;
        return Err(FaultKind::Loop.into());
    }
    if head.method == Method::Options
        && (head.path.of(bytes) == b"*" || max_forwards(head, bytes) == Some(0))
    {
        filter::pass_by(exchange, record)?;
        respond::to_options(exchange, record).await?;
        return Ok(None);
    }
    let Protocol::Http(routes) = &exchange.listener.protocol else {
        exchange.reply.sink.closes = true;
        return Err(FaultKind::ListenerGone.into());
    };
    let (listener, connection) = (exchange.listener, exchange.connection);
    let client = || {
        let peer = connection.peer().ip()?;
        Some(client_address(head, bytes, peer, |ip| listener.trusts(ip)))
    };
    let route = match routes.find(Facts { head, bytes, client: &client }) {
        Ok(route) => route,
        Err(error) => {
            filter::pass_by(exchange, record)?;
            return Err(match error {
                Unroutable::AmbiguousPath => {
                    Fault::because(FaultKind::BadRequest, "ambiguous_path")
                }
                Unroutable::NoRoute => FaultKind::NoRoute.into(),
            });
        }
    };
    let upstream = match route.destination {
        Destination::Upstream(upstream) => Some(exchange.in_force.plan.upstream(upstream)),
        _ => None,
    };
    // Also of requests that do not come so far: whose they would have been.
    record.upstream = upstream.map_or("", |upstream| &upstream.settings.name);
    if let Some(filters) = &route.filters
        && filter::pass(exchange, filters, record).await?
    {
        return Ok(None);
    }
    let Some(upstream) = upstream else {
        return answer(exchange, record, route).await.map(|()| None);
    };
    if exchange.shard.refuses_requests(exchange.listener) {
        return Err(FaultKind::Overloaded.into());
    }
    if let Some(bytes_max) = upstream.settings.buffered_max {
        Box::pin(hold::run(exchange, bytes_max, record)).await?;
    }
    if head.version == Version::Http2 {
        // Elsewhere: the future of all this would be moved with the one around it.
        let futures = &exchange.shard.attempt_futures;
        return futures.place(|| grpc::run_any(exchange, upstream, record)).await;
    }
    attempt::run::<false>(exchange, upstream, record).await
}

/// Answers for a route that sends its requests nowhere.
async fn answer<'a>(
    exchange: &mut Exchange<'a>,
    record: &mut Record<'a>,
    route: &'a Route,
) -> Result<(), Fault> {
    match &route.destination {
        // `https:///x` would be read as the host x.
        Destination::Redirect(redirect)
            if redirect.needs_host() && exchange.head.authority.is_empty() =>
        {
            Err(Fault::because(FaultKind::BadRequest, "missing_host"))
        }
        Destination::Redirect(redirect) => {
            let mut location = Vec::new();
            let none = Filters::default();
            let filters = route.filters.as_deref().unwrap_or(&none);
            filter::with_values(exchange, filters, record, |values, _| {
                redirect.write(values, &filters.shape, &mut location);
            });
            let own = OwnReply { location: &location, ..OwnReply::new(redirect.status) };
            respond::with(exchange, record, &own).await
        }
        // What has a body of its own needs no page.
        Destination::Reply(reply) if reply.body.is_empty() && reply.status >= 400 => {
            let own = filter::error_page(exchange, record, reply.status);
            let own = own.unwrap_or_else(|| OwnReply::new(reply.status));
            respond::with(exchange, record, &own).await
        }
        Destination::Reply(reply) => {
            let own = OwnReply {
                content_type: &reply.content_type,
                body: Cow::Borrowed(&reply.body),
                ..OwnReply::new(reply.status)
            };
            respond::with(exchange, record, &own).await
        }
        Destination::Probe(probe) => {
            let shard = exchange.shard;
            let (status, body) = match probe {
                Probe::Ready if !shard.is_ready.load(Ordering::Relaxed) => {
                    (503, &b"stopping\n"[..])
                }
                Probe::Ready if shard.turns_away() => (503, &b"overloaded\n"[..]),
                Probe::Live | Probe::Ready => (200, &b"ok\n"[..]),
            };
            let own = OwnReply { body: Cow::Borrowed(body), ..OwnReply::new(status) };
            respond::with(exchange, record, &own).await
        }
        Destination::Upstream(_) => Err(FaultKind::Internal.into()),
    }
}

/// After a complete reply: whether another request can come on this connection.
async fn finish(exchange: &mut Exchange<'_>) -> End {
    // A client that closed its direction may have sent further requests before.
    if exchange.source.is_half_closed && exchange.source.is_read_out() {
        return End::Close;
    }
    if exchange.source.carrier().connection().is_none() {
        return End::Close; // a stream has no next request
    }
    if !exchange.source.is_done() {
        // Answered before the request was read. Its rest is dropped if it is short, or else the
        // connection is; it is never taken for the next request.
        return match respond::skip_body(exchange).await {
            true if !exchange.reply.sink.closes => End::KeepAlive,
            _ => End::Linger,
        };
    }
    if !exchange.reply.sink.closes {
        return End::KeepAlive;
    }
    // Bytes behind the last request would turn the close into a reset, and what the client was sent
    // be lost. Whom we close on of our own accord may be sending the next request right now.
    let is_ours = exchange.head.wants_keep_alive();
    let is_unread =
        !exchange.source.behind().is_empty() || exchange.connection.stream.unread_bytes() > 0;
    if is_ours || is_unread { End::Linger } else { End::Close }
}

/// Whether a response to this request with this status has no body, whatever its head says (RFC
/// 9112, section 6.3).
pub(crate) fn is_bodiless(method: Method, status: u16) -> bool {
    method == Method::Head || status == 204 || status == 304 || (100..200).contains(&status)
}

/// The length of the response body that follows on the endpoint's connection.
pub(crate) fn reply_length(method: Method, reply: &ResponseHead) -> BodyLength {
    match reply.body {
        _ if is_bodiless(method, reply.status) => BodyLength::None,
        BodyLength::Known(0) => BodyLength::None,
        length => length,
    }
}
