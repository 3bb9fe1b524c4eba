//! Steps 7 to 9 and the only loop over them: pick an endpoint, lease a connection to it, send. What
//! failed is tried elsewhere while nothing was delivered, or the method allows it, and the request
//! is still held.

use std::task::Context;

use fairwater_message::{Fault, FaultKind, field_named};
use fairwater_net::{Timer, clock};
use fairwater_plan::{
    Choice, Draw, Endpoint, Gate, Marked, Pick, Tried, Upstream, Versions, is_failure,
};
use fairwater_proto::h1::{asks_upgrade, client_address};
use fairwater_proto::websocket;

use crate::exchange::Exchange;
use crate::follow::Follow;
use crate::record::Record;
use crate::session;
use crate::shard::Shard;
use crate::tunnel::Tunnel;
use crate::upstream::h2::{self, Way};
use crate::upstream::{self, Reuse, h1};
use crate::waiting::{self, Wait};
use crate::websocket::is_handshake;

/// `IS_CALL` is whether it is one of gRPC. That tells the two callers apart, so that each has a
/// copy of its own and the compiler lays that of plain requests into its caller.
pub(crate) async fn run<'a, const IS_CALL: bool>(
    exchange: &mut Exchange<'a>,
    upstream: &'a Upstream,
    record: &mut Record<'a>,
) -> Result<Option<Box<Tunnel>>, Fault> {
    let peer = if upstream.hashes_clients() { exchange.connection.peer().ip() } else { None };
    let client = peer.map(|peer| {
        client_address(exchange.head, exchange.bytes, peer, |ip| exchange.listener.trusts(ip))
    });
    let (settings, shard) = (&upstream.settings, exchange.shard);
    exchange.in_force.deposits[settings.index].add_request(upstream.budget());
    if !admits(upstream, &mut exchange.changes.admitted_ms) {
        return Err(refused(exchange, upstream));
    }
    if let Some(cookie) = &settings.sticky {
        session::find(exchange, upstream, cookie);
    }
    let mut tried = Tried::default();
    let mut last = Fault::undelivered(FaultKind::NoEndpoint);
    for number in 0..=settings.retries {
        let seat = if settings.sticky.is_some() { session::seat(exchange) } else { None };
        let draw = Draw { random: shard.random(), client, key: None, seat };
        let pick = match upstream.gate() {
            None => upstream.pick(draw, &mut tried),
            Some(gate) => match upstream.pick_at_once(gate, draw, &mut tried) {
                Choice::Pick(pick) => Some(pick),
                Choice::None => None,
                Choice::Full => {
                    let at = (upstream, &**gate);
                    Box::pin(wait_for_room(exchange, at, (draw, &mut tried), record)).await?
                }
            },
        };
        let Some(pick) = pick else { break };
        let endpoint = pick.endpoint;
        record.endpoint = &endpoint.identity;
        if let Some(cookie) = &settings.sticky {
            session::picked(exchange, endpoint, cookie);
        }
        exchange.has_next = number < settings.retries
            && upstream.endpoints.len() > tried.len()
            && exchange.head.method.is_idempotent();
        if !settings.retry.is_plain() {
            exchange.follow = follow(exchange, upstream, (number, &tried));
            exchange.has_next |= exchange.follow.is_some();
        }
        let result = at_endpoint::<IS_CALL>(exchange, upstream, pick, record).await;
        let fault = result.as_ref().err().map(|fault| blamed(exchange, *fault));
        observe(shard, upstream, endpoint, fault, exchange.reply.head.status);
        last = match result {
            Err(fault) if is_tried_again(exchange, upstream, fault) => fault,
            result => {
                let status = exchange.reply.head.status;
                conclude(upstream, fault, status, exchange.changes.admitted_ms);
                return result;
            }
        };
        exchange.source.rewind();
        if !last.undelivered && (number > 0 || last.kind == FaultKind::StatusRefused) {
            Box::pin(pause(exchange, upstream, number + 1)).await?;
        }
    }
    conclude(upstream, Some(last.kind), 0, exchange.changes.admitted_ms);
    Err(last)
}

/// By the breaker of an upstream.
#[cold]
fn refused(exchange: &mut Exchange<'_>, upstream: &Upstream) -> Fault {
    if let Some((breaker, _)) = upstream.breaker() {
        exchange.changes.refused_for_ms = breaker.wait_ms(clock::coarse_ms());
    }
    Fault::undelivered(FaultKind::CircuitOpen)
}

/// Whether another try follows from a fault; where it costs a retry, that is taken.
#[cold]
fn is_tried_again(exchange: &Exchange<'_>, upstream: &Upstream, fault: Fault) -> bool {
    may_retry(exchange, upstream, fault) && (is_paid(fault) || upstream.budget().take())
}

/// What a fault counts as: an endpoint that closes while the client owes it the rest of its request
/// may have waited for that in vain.
#[cold]
fn blamed(exchange: &Exchange<'_>, fault: Fault) -> FaultKind {
    match is_silence(fault) && !fault.undelivered && !exchange.source.is_done() {
        true => FaultKind::ClientStalled,
        false => fault.kind,
    }
}

/// Waits until an endpoint has room for one exchange more.
async fn wait_for_room<'a>(
    exchange: &mut Exchange<'a>,
    at: (&'a Upstream, &'a Gate),
    (draw, tried): (Draw, &mut Tried),
    record: &mut Record<'_>,
) -> Result<Option<Pick<'a>>, Fault> {
    let _wait = Wait::begin(exchange.shard, record);
    let priority = exchange.filters.map(|filters| filters.priority).unwrap_or_default();
    let [look, room_look] = [(); 2].map(|()| Timer::new(&exchange.shard.wheel));
    let source = &mut exchange.source;
    let gone = |cx: &mut Context<'_>| {
        waiting::look_again(&room_look, cx);
        waiting::poll_client(source, &look, cx)
    };
    waiting::for_room(at, (draw, tried), priority, exchange.timer, gone).await
}

/// Lets a while pass before a try of this number, where more than a connection has failed.
async fn pause(exchange: &mut Exchange<'_>, upstream: &Upstream, number: u32) -> Result<(), Fault> {
    let pause = upstream.settings.retry.pause(number, exchange.shard.random());
    let look = Timer::new(&exchange.shard.wheel);
    waiting::pause(pause, &mut exchange.source, (exchange.timer, &look)).await
}

/// What another try may follow from, if one can follow the try of this number.
#[cold]
fn follow<'a>(
    exchange: &Exchange<'a>,
    upstream: &'a Upstream,
    (number, tried): (u32, &Tried),
) -> Option<Follow<'a>> {
    let settings = &upstream.settings;
    let can_follow = number < settings.retries
        && is_repeatable(exchange, upstream)
        && upstream.budget().has_any()
        && upstream.has_another(tried);
    can_follow.then_some(Follow { upstream, tried: *tried })
}

/// Whether the breaker of an upstream, if it has one, lets a request through, and when it did.
#[inline]
pub(crate) fn admits(upstream: &Upstream, admitted_ms: &mut u64) -> bool {
    upstream.breaker().is_none_or(|(breaker, _)| {
        *admitted_ms = clock::coarse_ms();
        breaker.admits(*admitted_ms)
    })
}

/// Takes in how a request has ended that was let through at this time, whatever its attempts were.
#[inline(always)]
pub(crate) fn conclude(
    upstream: &Upstream,
    fault: Option<FaultKind>,
    status: u16,
    admitted_ms: u64,
) {
    if upstream.breaker().is_some() {
        conclude_for_breaker(upstream, fault, status, admitted_ms);
    }
}

#[cold]
fn conclude_for_breaker(
    upstream: &Upstream,
    fault: Option<FaultKind>,
    status: u16,
    admitted_ms: u64,
) {
    if let Some((breaker, rules)) = upstream.breaker()
        && let Some(is_good) = verdict(fault, status)
    {
        breaker.observe(is_good, rules, admitted_ms, clock::coarse_ms());
    }
}

/// Takes in what an endpoint has made of an exchange: it ended with a fault, or with this status.
#[inline]
pub(crate) fn observe(
    shard: &Shard,
    upstream: &Upstream,
    endpoint: &Endpoint,
    fault: Option<FaultKind>,
    status: u16,
) {
    let Some(is_good) = verdict(fault, status) else { return };
    let counters = &shard.counters.endpoints[endpoint.slot];
    if is_good { &counters.successes } else { &counters.failures }.add(1);
    endpoint.state.observe(is_good, upstream.settings.failures_max);
}

/// Whether an end is a good one; `None` tells nothing about the endpoint.
#[inline]
fn verdict(fault: Option<FaultKind>, status: u16) -> Option<bool> {
    match fault {
        None | Some(FaultKind::StatusRefused) => Some(!is_failure(status)),
        Some(kind) => kind.is_of_endpoint().then_some(false),
    }
}

/// One endpoint: over a pooled connection if there is one, and over a new one if that was dead.
async fn at_endpoint<'a, const IS_CALL: bool>(
    exchange: &mut Exchange<'a>,
    upstream: &'a Upstream,
    pick: Pick<'a>,
    record: &mut Record<'a>,
) -> Result<Option<Box<Tunnel>>, Fault> {
    if upstream.settings.versions != Versions::Http1 {
        let futures = &exchange.shard.call_futures;
        return futures.place(|| at_shared(exchange, upstream, pick, record)).await;
    }
    let counters = &exchange.shard.counters.endpoints[pick.endpoint.slot];
    let mut reuse = match (upstream.settings.keep_alive, exchange.head.method.is_idempotent()) {
        (false, _) => Reuse::No,
        (true, true) => Reuse::Quick,
        (true, false) => Reuse::Checked,
    };
    loop {
        record.attempts += 1;
        counters.attempts.add(1);
        let (shard, client) = (exchange.shard, (exchange.connection, exchange.timer));
        let lease = match upstream::pooled(shard, upstream, pick.endpoint, reuse) {
            Some(pooled) => pooled,
            None => upstream::lease(shard, upstream, pick.endpoint, reuse, client, record).await?,
        };
        record.connected(lease.is_at_once);
        record.is_reused = lease.is_reused;
        if !lease.is_reused {
            return h1::converse(exchange, upstream, lease, &pick, record).await;
        }
        counters.reuses.add(1);
        match h1::converse(exchange, upstream, lease, &pick, record).await {
            // The endpoint closed it while it was idle, or in the moment when we used it. Or it has
            // taken the request and fallen silent, which looks the same, and may not come free.
            Err(fault)
                if is_silence(fault)
                    && may_retry(exchange, upstream, fault)
                    && (is_paid(fault) || upstream.budget().take()) =>
            {
                counters.stale.add(1);
                exchange.source.rewind();
                reuse = Reuse::No;
            }
            result => return result,
        }
    }
}

/// The same, where the endpoint may speak HTTP/2.
async fn at_shared<'a>(
    exchange: &mut Exchange<'a>,
    upstream: &'a Upstream,
    pick: Pick<'a>,
    record: &mut Record<'a>,
) -> Result<Option<Box<Tunnel>>, Fault> {
    let counters = &exchange.shard.counters.endpoints[pick.endpoint.slot];
    let is_idempotent = exchange.head.method.is_idempotent();
    let mut reuse = if is_idempotent { Reuse::Quick } else { Reuse::Checked };
    let wants_tunnel = asks_upgrade(exchange.head, exchange.bytes).is_some();
    let mut is_second = false;
    loop {
        record.attempts += 1;
        counters.attempts.add(1);
        let (shard, timer) = (&exchange.connection.shard, exchange.timer);
        let asked = h2::Asked { shard, timer, upstream, endpoint: pick.endpoint, reuse };
        let way = match h2::pooled(asked) {
            Some(way) => way,
            None => h2::lease(asked, record).await?,
        };
        let way = if wants_tunnel { tunnel_way(exchange, way, asked, record).await? } else { way };
        record.connected(way.is_at_once());
        record.is_reused = way.is_reused();
        if record.is_reused {
            counters.reuses.add(1);
        }
        let result = match way {
            Way::Call(call) => h2::converse(exchange, upstream, call, &pick, record).await,
            Way::Connection(lease) => {
                // What an attempt over HTTP/2 has left there is no part of this reply.
                exchange.shard.empty(exchange.reply.buffer);
                h1::converse(exchange, upstream, lease, &pick, record).await
            }
        };
        match result {
            // The connection was going away, or there were too many on it.
            Err(fault)
                if !is_second
                    && (fault.undelivered || record.is_reused)
                    && is_silence(fault)
                    && may_retry(exchange, upstream, fault)
                    && (is_paid(fault) || upstream.budget().take()) =>
            {
                counters.stale.add(1);
                exchange.source.rewind();
                (reuse, is_second) = (Reuse::No, true);
            }
            result => return result,
        }
    }
}

/// The way for a connection that shall become a tunnel: what a stream cannot do may be had over
/// HTTP/1.1, where the endpoint speaks that as well.
async fn tunnel_way<'a>(
    exchange: &Exchange<'a>,
    way: Way<'a>,
    asked: h2::Asked<'a>,
    record: &mut Record<'_>,
) -> Result<Way<'a>, Fault> {
    let Way::Call(call) = &way else { return Ok(way) };
    let h2::Asked { timer, upstream, endpoint, reuse, shard } = asked;
    let protocol = asks_upgrade(exchange.head, exchange.bytes).unwrap_or_default();
    let patience = upstream.settings.timeouts.connect;
    if websocket::is_asked(protocol) && call.takes_tunnels(timer, patience).await {
        return match is_handshake(exchange.head, exchange.bytes) {
            true => Ok(way),
            false => Err(Fault::because(FaultKind::BadRequest, "not_a_websocket_handshake")),
        };
    }
    if upstream.settings.versions == Versions::Http2 {
        return match websocket::is_asked(protocol) {
            true => Err(FaultKind::NoWebSocket.into()),
            // Who asks to upgrade can do without (RFC 9110, section 7.8).
            false => Ok(way),
        };
    }
    drop(way);
    let client = (exchange.connection, timer);
    let lease = upstream::lease(shard, upstream, endpoint, reuse, client, record).await?;
    Ok(Way::Connection(lease))
}

fn is_silence(fault: Fault) -> bool {
    matches!(fault.kind, FaultKind::EmptyReply | FaultKind::ReplyReset)
}

/// Whether the request may be sent once more: it is whole, nothing of an answer has gone out, and
/// either no endpoint can have seen it or seeing it twice does no harm.
fn may_retry(exchange: &Exchange<'_>, upstream: &Upstream, fault: Fault) -> bool {
    !exchange.reply.sink.is_started
        && exchange.source.is_held()
        && (fault.undelivered
            || is_decided(fault)
            || fault.kind == FaultKind::CallRefused
            || (is_mute(fault) && is_repeatable(exchange, upstream)))
}

/// Whether it was decided with the fault that another try follows.
fn is_decided(fault: Fault) -> bool {
    matches!(fault.kind, FaultKind::StatusRefused | FaultKind::TryTimeout)
}

/// Whether the budget need not be asked: nothing was sent, it was asked, or the endpoint has
/// nothing to do for what has not reached it.
fn is_paid(fault: Fault) -> bool {
    fault.undelivered || is_decided(fault) || fault.kind == FaultKind::Unheard
}

/// Whether the endpoint may have seen the request, and has said nothing.
fn is_mute(fault: Fault) -> bool {
    is_silence(fault) || fault.kind == FaultKind::Unheard
}

/// Whether it does no harm if a request reaches two endpoints.
fn is_repeatable(exchange: &Exchange<'_>, upstream: &Upstream) -> bool {
    let head = exchange.head;
    head.method.is_idempotent()
        || match &upstream.settings.retry.marked {
            Marked::Method => false,
            Marked::All => true,
            Marked::Field(name) => field_named(&head.fields, exchange.bytes, name).is_some(),
        }
}
