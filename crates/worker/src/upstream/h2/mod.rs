//! Steps 8 to 11 over an endpoint that speaks HTTP/2: a call over a shared connection, the request
//! out and the reply back at once.

mod call;
mod fetch;
mod lease;
mod trunk;
mod upload;

use std::cell::Cell;
use std::pin::pin;
use std::task::Context;

use fairwater_message::{Fault, FaultKind, HeaderId, Method, RequestHead};
use fairwater_net::Timer;
use fairwater_plan::{Pick, Upstream};
use fairwater_proto::h1::asks_upgrade;
use fairwater_proto::hpack;
use fairwater_proto::http2::{Block, Requested};
use fairwater_proto::websocket;

use super::download::Outcome;
use super::h1::{both, replace};
use super::upload::write_head_as;
use crate::exchange::Exchange;
use crate::follow::HeadWait;
use crate::record::Record;
use crate::tunnel::{Far, Tunnel};
use crate::waiting::poll_gone;
pub(crate) use call::Call;
use fetch::Fetch;
pub(super) use lease::Trunks;
pub(crate) use lease::{Asked, Way, lease, pooled};
pub(super) use trunk::Trunk;
use upload::Upload;

/// How far both directions are.
#[derive(Default)]
struct Progress {
    /// The body of the request is still on its way.
    is_uploading: Cell<bool>,
    /// The head of the reply is there: the request is not sent again.
    is_answered: Cell<bool>,
}

/// Sends the request and relays the reply. `Some` is a stream that has become a tunnel.
pub(crate) async fn converse<'a>(
    exchange: &mut Exchange<'a>,
    upstream: &'a Upstream,
    call: Call,
    pick: &Pick<'a>,
    record: &mut Record<'a>,
) -> Result<Option<Box<Tunnel>>, Fault> {
    let is_tunnel = asks_websocket(exchange);
    let (head, bytes) = (exchange.head, exchange.bytes);
    let scheme = if upstream.settings.tls.is_some() { "https" } else { "http" };
    let tunnel = is_tunnel.then_some(websocket::NAME);
    let asked = Requested { is_tunnel, is_head: head.method == Method::Head };
    let patience = exchange.patience();
    let (response_timeout, progress) = (exchange.response_timeout(upstream), Progress::default());
    let carrier = exchange.source.carrier();
    let first = exchange.source.take()?;
    // Only then it is sure that the request can be sent again once there is a reply. Whether the
    // host is there is for the connection to find out.
    let is_in_memory = exchange.source.is_done() && exchange.source.is_held();
    let follow = exchange.follow.filter(|_| is_in_memory);
    let wait = HeadWait::new(response_timeout).until(response_timeout, follow);
    let first_wait = wait.first();
    let mut fetch = Fetch {
        shard: exchange.shard,
        call: &call,
        timer: patience.timer,
        stall: patience.stall,
        request: (head, bytes),
        is_tunnel,
        upstream: &upstream.settings,
        progress: &progress,
        wait,
    };
    let is_all = first.is_empty() && exchange.source.is_over();
    call.send(asked, is_all && !is_tunnel, |out| {
        let mut block = Block::of_request(out, scheme, tunnel).with_secrets(head.has_secrets);
        write_head_as(exchange, upstream, pick.endpoint, false, &mut block);
        if takes_trailers(head, bytes) {
            hpack::write_field(out, b"te", b"trailers");
        }
    })?;
    let reply = &mut exchange.reply;
    let outcome = if is_all {
        patience.timer.set(first_wait);
        fetch.run(reply, record, Some(&mut exchange.source)).await?
    } else {
        let meter = record.meter.clone();
        let source = &mut exchange.source;
        let mut upload = Upload { source, call: &call, progress: &progress, meter };
        progress.is_uploading.set(true);
        let sending = pin!(async {
            let result = upload.send_all(patience, first).await;
            progress.is_uploading.set(false);
            result
        });
        let reply_timer = Timer::new(&exchange.shard.wheel);
        let look_timer = Timer::new(&exchange.shard.wheel);
        fetch.timer = &reply_timer;
        let abort = |cx: &mut Context<'_>| poll_gone(carrier, &look_timer, cx);
        let fetching = pin!(fetch.run(reply, record, None));
        both(sending, fetching, abort, (&reply_timer, first_wait), &mut false).await?
    };
    exchange.shard.counters.endpoints[pick.endpoint.slot].response(exchange.reply.head.status);
    match outcome {
        Outcome::Intercepted => replace(exchange, record).await.map(|_| None),
        Outcome::Upgraded => {
            exchange.reply.buffer.clear();
            let far = Far::Call { call: Box::new(call), _in_flight: upstream.hold(pick.endpoint) };
            Ok(Some(Tunnel::new(exchange, far, record)))
        }
        Outcome::CallRefused => Err(FaultKind::CallRefused.into()),
        Outcome::Refused => {
            exchange.reply.buffer.clear();
            Err(FaultKind::StatusRefused.into())
        }
        Outcome::Reusable | Outcome::Spent => Ok(None),
    }
}

fn asks_websocket(exchange: &Exchange<'_>) -> bool {
    asks_upgrade(exchange.head, exchange.bytes).is_some_and(websocket::is_asked)
}

/// Whether the client reads trailers: the one thing that TE may say in HTTP/2 (RFC 9113, section
/// 8.2.2).
fn takes_trailers(head: &RequestHead, bytes: &[u8]) -> bool {
    let mut codings = head.fields.iter().filter(|field| field.id == HeaderId::Te);
    codings.any(|field| {
        let mut names = field.value.of(bytes).split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        names.any(|name| name.eq_ignore_ascii_case(b"trailers"))
    })
}
