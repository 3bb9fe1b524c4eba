//! What a call of gRPC changes for its exchange: the client may say how long it waits, the two
//! sides may be silent for long, and a failure of ours is a status of gRPC, not of HTTP.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use fairwater_message::{
    Fault, FaultKind, Field, HeaderId, RequestHead, Trailers, Version, field_named,
};
use fairwater_net::Timer;
use fairwater_plan::Upstream;
use fairwater_proto::grpc;

use crate::attempt;
use crate::downstream::Part;
use crate::exchange::Exchange;
use crate::record::Record;
use crate::tunnel::Tunnel;

const TIMEOUT: &str = "grpc-timeout";
const STATUS: &str = "grpc-status";
/// So much later than the client's own deadline comes that of the head.
const BEHIND_DEADLINE: Duration = Duration::from_secs(1);

/// Whether a request is a call. There is none over HTTP/1.
#[inline(always)]
pub(crate) fn is_call(head: &RequestHead, bytes: &[u8]) -> bool {
    head.version == Version::Http2
        && head
            .find(HeaderId::ContentType)
            .is_some_and(|field| grpc::is_call(field.value.of(bytes)))
}

/// As [`attempt::run`], for whatever came over HTTP/2.
pub(crate) async fn run_any<'a>(
    exchange: &mut Exchange<'a>,
    upstream: &'a Upstream,
    record: &mut Record<'a>,
) -> Result<Option<Box<Tunnel>>, Fault> {
    match is_call(exchange.head, exchange.bytes) {
        true => Box::pin(run(exchange, upstream, record)).await,
        false => attempt::run::<true>(exchange, upstream, record).await,
    }
}

/// As [`attempt::run`], until the client waits no longer.
async fn run<'a>(
    exchange: &mut Exchange<'a>,
    upstream: &'a Upstream,
    record: &mut Record<'a>,
) -> Result<Option<Box<Tunnel>>, Fault> {
    // Messages come when there is something to say, as in any other tunnel.
    let silence = exchange.timeouts.tunnel.unwrap_or(exchange.listener.timeouts.tunnel);
    exchange.timeouts.body.get_or_insert(silence);
    let Some(timeout) = timeout(exchange) else {
        return attempts(exchange, upstream, record).await;
    };
    // Who says how long he waits means the head as well, and it is no fault of the endpoint.
    exchange.timeouts.response = Some(timeout + BEHIND_DEADLINE);
    let timer = Timer::new(&exchange.shard.wheel);
    timer.set(timeout);
    let mut attempts = pin!(attempts(exchange, upstream, record));
    poll_fn(|cx| match attempts.as_mut().poll(cx) {
        Poll::Pending => timer.poll_expired(cx).map(|()| Err(FaultKind::DeadlineExceeded.into())),
        ready => ready,
    })
    .await
}

/// All attempts. A refusal that no other endpoint has taken back goes to the client as it came.
async fn attempts<'a>(
    exchange: &mut Exchange<'a>,
    upstream: &'a Upstream,
    record: &mut Record<'a>,
) -> Result<Option<Box<Tunnel>>, Fault> {
    let result = attempt::run::<true>(exchange, upstream, record).await;
    if !result.as_ref().is_err_and(|fault| fault.kind == FaultKind::CallRefused) {
        return result;
    }
    let patience = exchange.patience();
    let reply = &mut exchange.reply;
    record.answered(reply.head, reply.buffer.data());
    let edits = reply.changes.edits(reply.removed);
    reply.sink.start(exchange.head, (reply.head, reply.buffer.data()), edits);
    let end = Part { data: &[], is_last: true, trailers: Trailers::NONE, is_read_out: false };
    reply.sink.send::<true>(patience, end).await.map(|()| None)
}

fn timeout(exchange: &Exchange<'_>) -> Option<Duration> {
    grpc::timeout(field_named(&exchange.head.fields, exchange.bytes, TIMEOUT)?)
}

/// What a reply says of its call.
pub(crate) fn status<'a>(fields: &[Field], bytes: &'a [u8]) -> Option<&'a [u8]> {
    field_named(fields, bytes, STATUS)
}
