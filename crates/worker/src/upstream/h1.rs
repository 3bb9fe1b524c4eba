//! Steps 9 to 11 over an HTTP/1 endpoint: the request goes out, the response comes back, and both
//! bodies flow at once where they have to.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use fairwater_message::{BodyLength, Fault, FaultKind};
use fairwater_net::Timer;
use fairwater_plan::{Pick, Upstream};
use fairwater_proto::h1::asks_upgrade;

use super::download::{Download, Outcome};
use super::upload::{Upload, write_head};
use crate::downstream::Carrier;
use crate::exchange::{Exchange, reply_length};
use crate::filter;
use crate::follow::HeadWait;
use crate::record::Record;
use crate::tunnel::{Far, Tunnel};
use crate::upstream::Lease;
use crate::waiting::poll_gone;
use crate::websocket;

/// Sends the request and relays the response. `Some` is a connection that has become a tunnel.
pub(crate) async fn converse<'a>(
    exchange: &mut Exchange<'a>,
    upstream: &'a Upstream,
    lease: Lease<'a>,
    pick: &Pick<'a>,
    record: &mut Record<'a>,
) -> Result<Option<Box<Tunnel>>, Fault> {
    let coding = write_head(exchange, upstream, pick.endpoint, lease.is_last());
    let patience = exchange.patience();
    let timer = patience.timer;
    let response_timeout = exchange.response_timeout(upstream);
    let carrier = exchange.source.carrier();
    let asks_upgrade = asks_upgrade(exchange.head, exchange.bytes);
    let accept = asks_upgrade.and_then(|_| own_key_answer(exchange));
    let first = exchange.source.take()?;
    let (mut written, is_answered) = (0, Cell::new(false));
    let mut upload = Upload {
        shard: exchange.shard,
        source: &mut exchange.source,
        endpoint: lease.stream(),
        coding,
        is_answered: &is_answered,
        written: &mut written,
        meter: record.meter.clone(),
    };
    let mut is_sent = upload.send(patience, exchange.out, first).await?;
    let mut download = Download {
        shard: exchange.shard,
        endpoint: lease.stream(),
        timer,
        stall: patience.stall,
        request: exchange.head,
        asks_upgrade,
        accept,
        upstream: &upstream.settings,
        is_uploading: false,
        is_answered: &is_answered,
        wait: HeadWait::new(response_timeout),
    };
    let reply = &mut exchange.reply;
    let result = if upload.source.is_done() || !is_sent {
        if exchange.has_next && upload.source.is_held() {
            let follow = exchange.follow;
            download.wait = download.wait.until(upstream.settings.timeouts.connect, follow);
        }
        timer.set(download.wait.first());
        download.run(reply, record, Some(upload.source)).await
    } else {
        let reply_timer = Timer::new(&exchange.shard.wheel);
        download.timer = &reply_timer;
        download.is_uploading = true;
        is_sent = false;
        let download = pin!(download.run(reply, record, None));
        let look_timer = Timer::new(&exchange.shard.wheel);
        let reply = (&reply_timer, response_timeout);
        let abort = |cx: &mut Context<'_>| poll_gone(carrier, &look_timer, cx);
        let upload = pin!(upload.send_rest(patience, exchange.out));
        both(upload, download, abort, reply, &mut is_sent).await
    };
    let outcome = result.map_err(|fault| judged(fault, &lease, written))?;
    lease.counters().response(exchange.reply.head.status);
    let is_reusable = match outcome {
        Outcome::Upgraded => {
            let far = Far::Connection(lease.detach(&exchange.connection.shard));
            return Ok(Some(Tunnel::new(exchange, far, record)));
        }
        Outcome::Intercepted => Box::pin(replace(exchange, record)).await?,
        Outcome::Reusable => true,
        Outcome::Spent | Outcome::CallRefused => false,
        Outcome::Refused => return refuse(exchange, lease, is_sent.then_some(written)),
    };
    if is_reusable && is_sent {
        lease.give_back(written, promised(exchange));
    }
    Ok(None)
}

/// How long a connection is kept at the most: half of what the endpoint promises, whose clock
/// started before ours.
#[inline]
fn promised(exchange: &Exchange<'_>) -> Option<Duration> {
    let promised = exchange.reply.head.keep_alive_timeout_s;
    promised.map(|seconds| Duration::from_millis(u64::from(seconds) * 500))
}

/// A fault, with what is known of the bytes that were written.
#[cold]
fn judged(mut fault: Fault, lease: &Lease<'_>, written: u64) -> Fault {
    let is_reset = fault.kind == FaultKind::ReplyReset;
    let is_silent = is_reset || fault.kind == FaultKind::EmptyReply;
    fault.undelivered |= is_silent && lease.is_undelivered(written, is_reset);
    fault
}

/// Drops a reply that is as good as none; the connection stays, if all that was `sent` is over.
#[cold]
fn refuse<T>(exchange: &mut Exchange<'_>, lease: Lease<'_>, sent: Option<u64>) -> Result<T, Fault> {
    if let Some(written) = sent.filter(|_| is_whole(exchange)) {
        lease.give_back(written, promised(exchange));
    }
    exchange.reply.buffer.clear();
    Err(FaultKind::StatusRefused.into())
}

/// The answer to the key that we have sent for a client who knows of none.
fn own_key_answer(exchange: &Exchange<'_>) -> Option<[u8; 28]> {
    match exchange.source.carrier() {
        Carrier::Connection(_) => None,
        Carrier::Lane(_) => websocket::expected(&exchange.head.fields, exchange.bytes),
    }
}

/// Sends a page instead of a reply of which the head was read. Returns whether the endpoint's
/// connection can be used again: only if all of the reply has come with its head, since nobody
/// waits for the rest.
pub(super) async fn replace(
    exchange: &mut Exchange<'_>,
    record: &mut Record<'_>,
) -> Result<bool, Fault> {
    let status = exchange.reply.head.status;
    let page = filter::error_page(exchange, record, status);
    // Found a moment ago, when the reply was intercepted.
    let page = page.ok_or(Fault::from(FaultKind::Internal))?;
    let removed = exchange.filters.map_or(&[][..], |filters| &filters.replaced);
    let (request, patience) = (exchange.head, exchange.patience());
    let is_whole = is_whole(exchange);
    let reply = &mut exchange.reply;
    let lines = &mut reply.changes.lines;
    for part in ["content-type: ", page.content_type, "\r\n"] {
        lines.extend_from_slice(part.as_bytes());
    }
    let head = (&*reply.head, reply.buffer.data());
    let edits = reply.changes.edits(removed);
    reply.sink.replace(patience, request, head, edits, &page.body).await?;
    reply.buffer.clear();
    record.bytes_out += page.sent_len(request.method);
    Ok(is_whole)
}

/// Whether all of a reply of which the head was read has come with it, so that the connection can
/// be used again.
fn is_whole(exchange: &Exchange<'_>) -> bool {
    let reply = &exchange.reply;
    let behind = reply.buffer.data().len() - reply.head.len;
    let is_whole = match reply_length(exchange.head.method, reply.head) {
        BodyLength::None => behind == 0,
        BodyLength::Known(length) => length == behind as u64,
        BodyLength::Chunked | BodyLength::UntilClose => false,
    };
    is_whole && reply.head.allows_reuse()
}

/// Runs both directions until the response is complete. An endpoint that answers early ends the
/// upload; one that takes no more of it may still have an answer.
pub(super) async fn both(
    mut upload: Pin<&mut impl Future<Output = Result<bool, Fault>>>,
    mut download: Pin<&mut impl Future<Output = Result<Outcome, Fault>>>,
    mut abort: impl FnMut(&mut Context<'_>) -> Poll<Fault>,
    (reply_timer, patience): (&Timer, Duration),
    is_sent: &mut bool,
) -> Result<Outcome, Fault> {
    let mut is_uploading = true;
    poll_fn(|cx| {
        if is_uploading && let Poll::Ready(result) = upload.as_mut().poll(cx) {
            is_uploading = false;
            match result {
                Ok(is_taken) => {
                    *is_sent = is_taken;
                    reply_timer.set(patience);
                }
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        }
        if let Poll::Ready(result) = download.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        abort(cx).map(Err)
    })
    .await
}
