//! The one place where a fault becomes a response, and the few replies that we make ourselves.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::task::Poll;

use fairwater_message::{Fault, FaultKind};
use fairwater_net::Stream;
use fairwater_proto::h1::Edits;

use crate::downstream::Sink;
use crate::exchange::{Client, End, Exchange};
use crate::filter;
use crate::grpc;
use crate::limits;
use crate::own_reply::OwnReply;
use crate::patience::Patience;
use crate::record::{HeadTimes, Record};
use crate::session;
use crate::shard::Shard;
use crate::work::{Buffer, Work};
use crate::write::Stall;

/// Answers a fault, if the client can still be answered.
pub(crate) async fn to_fault(
    exchange: &mut Exchange<'_>,
    record: &mut Record<'_>,
    fault: Fault,
) -> End {
    let status = fault.kind.status();
    session::withdraw(exchange);
    let sink = &mut exchange.reply.sink;
    if sink.is_started || status == 0 {
        sink.break_off(fault.kind);
        return End::Close;
    }
    // A body of which nobody knows where it ends, or a client that broke the rules: no more of it.
    let is_broken = matches!(status, 400 | 408 | 413 | 431);
    let skipped = has_no_rest(exchange) || (!is_broken && skip_body(exchange).await);
    let closes = exchange.reply.sink.closes || is_broken || !skipped;
    if grpc::is_call(exchange.head, exchange.bytes) {
        let own = OwnReply::of_call(fault.kind);
        // Whoever does not get it has gone.
        return send(exchange, record, &own, closes).await.map_or(End::Close, |()| End::Close);
    }
    let page = filter::error_page(exchange, record, status);
    let mut own = page.unwrap_or_else(|| OwnReply::of_fault(status, exchange.head, exchange.bytes));
    if fault.kind == FaultKind::CircuitOpen {
        own.retry_after_s = exchange.changes.refused_for_ms.div_ceil(1_000).max(1);
    }
    if send(exchange, record, &own, closes).await.is_err() {
        return End::Close;
    }
    if closes { End::Linger } else { End::KeepAlive }
}

/// Answers in place of an endpoint.
pub(crate) async fn with(
    exchange: &mut Exchange<'_>,
    record: &mut Record<'_>,
    own: &OwnReply<'_>,
) -> Result<(), Fault> {
    let skipped = has_no_rest(exchange) || skip_body(exchange).await;
    exchange.reply.sink.closes |= !skipped;
    let closes = exchange.reply.sink.closes;
    send(exchange, record, own, closes).await
}

/// Whether nothing of the request stands before the next one: it is read, or a stream of its own.
fn has_no_rest(exchange: &Exchange<'_>) -> bool {
    exchange.source.is_done() || exchange.source.carrier().connection().is_none()
}

async fn send(
    exchange: &mut Exchange<'_>,
    record: &mut Record<'_>,
    own: &OwnReply<'_>,
    closes: bool,
) -> Result<(), Fault> {
    let (head, patience) = (exchange.head, exchange.patience());
    let reply = &mut exchange.reply;
    let edits = reply.changes.edits(reply.removed);
    let write = |out: &mut Vec<u8>| own.write(out, head, edits, closes);
    reply.sink.answer(patience, write).await?;
    record.status = own.status;
    record.bytes_out += own.sent_len(head.method);
    Ok(())
}

/// Answers a head that could not be read, and accounts for it.
pub(crate) async fn to_bad_head(
    shard: &Shard,
    Client { connection, timer, carrier }: Client<'_>,
    work: &mut Work,
    fault: Fault,
    begun_us: u64,
) {
    let status = fault.kind.status();
    let head = &mut work.request_head;
    head.fields.clear(); // half an index is none
    let times = HeadTimes { begun_us, done_us: shard.now_us() };
    let in_force = shard.in_force();
    let listener = in_force.plan.listener(connection.listener);
    let request = (&*head, work.request.data());
    let mut record = Record::open(shard, connection, listener, request, times);
    record.fault(fault);
    if status == 0 {
        return;
    }
    let page = filter::bad_head_page(listener, &mut record, status);
    let own = page.unwrap_or_else(|| OwnReply::of_fault(status, head, &[]));
    let mut sink = Sink::new(carrier, &mut work.reply_out, true);
    // Of a broken head no more is known than its first line, and often not even that: then the
    // method is the default of an empty index.
    let mut lines = Vec::new();
    let mut edits = Edits::default();
    if let Some(filters) = &listener.filters {
        filters.response.write_fixed(&mut lines);
        edits.removed = &filters.response.removed;
        edits.lines = &lines;
    }
    let write = |out: &mut Vec<u8>| own.write(out, head, edits, true);
    let patience = Patience { timer, stall: listener.timeouts.body };
    if sink.answer(patience, write).await.is_ok() {
        record.status = status;
        record.bytes_out = own.sent_len(head.method);
    }
    drop(record);
    drop(sink);
    if let Some(stream) = carrier.connection() {
        linger(stream, patience, &mut work.request).await;
    }
}

/// `OPTIONS *` asks about the server as a whole, and that is us.
pub(crate) async fn to_options(
    exchange: &mut Exchange<'_>,
    record: &mut Record<'_>,
) -> Result<(), Fault> {
    with(exchange, record, &OwnReply::new(204)).await
}

/// Reads and drops the rest of a request body, if it is short and comes soon. Returns whether the
/// connection stands at the next request.
pub(crate) async fn skip_body(exchange: &mut Exchange<'_>) -> bool {
    let source = &mut exchange.source;
    let timer = exchange.timer;
    let mut budget = limits::LINGER_BYTES;
    // For all of it: a client that drips gains nothing.
    timer.set(limits::LINGER);
    loop {
        let Ok(range) = source.take() else { return false };
        if source.take_trailers().is_err() {
            return false;
        }
        if source.is_done() {
            return true;
        }
        let Some(left) = budget.checked_sub(range.len()) else { return false };
        budget = left;
        if range.is_empty() {
            if exchange.head.expects_continue {
                return false; // it waits for our word, which it did not get
            }
            if source.fill_in_time(timer).await.is_err() {
                return false;
            }
        }
    }
}

/// Ends our direction and reads what the client still sends: for a moment, and for as long as it
/// takes what it was sent, which a reset would cut off.
pub(crate) async fn linger(stream: &Stream, patience: Patience<'_>, buffer: &mut Buffer) {
    let timer = patience.timer;
    if stream.shut_down().is_err() {
        return;
    }
    timer.set(limits::LINGER);
    buffer.clear();
    let mut budget = limits::LINGER_BYTES;
    let mut stall: Option<Stall> = None;
    loop {
        let room = buffer.room();
        let step = poll_fn(|cx| match stream.poll_read(cx, room) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(ControlFlow::Break(())),
            Poll::Ready(Ok(len)) => Poll::Ready(ControlFlow::Continue(len)),
            Poll::Pending => match &mut stall {
                Some(stall) => stall.poll(cx, stream, patience).map(ControlFlow::Break),
                None => timer.poll_expired(cx).map(|()| ControlFlow::Continue(0)),
            },
        });
        let ControlFlow::Continue(len) = step.await else { return };
        if len == 0 {
            // The moment is over. The end of our direction counts as one byte.
            if stream.untaken_bytes() <= 1 {
                return;
            }
            stall = Some(Stall::default());
        }
        let Some(left) = budget.checked_sub(len) else { return };
        budget = left;
    }
}
