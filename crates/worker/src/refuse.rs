//! Connections for which there is no room: told so, and closed.

use std::io::IoSlice;
use std::rc::Rc;

use fairwater_message::RequestHead;
use fairwater_net::{Stream, Timer};
use fairwater_plan::{Listener, ListenerId, Protocol};
use fairwater_proto::h1::Edits;

use crate::accept::Accepted;
use crate::own_reply::OwnReply;
use crate::patience::Patience;
use crate::respond;
use crate::shard::Shard;
use crate::work::Buffer;
use crate::write::write_all;

/// Turns a connection away: for HTTP with a 503, else with a reset.
pub(crate) fn start(shard: &Rc<Shard>, stream: Stream, listener: ListenerId) {
    shard.counters.listeners[listener.0 as usize].refused.add(1);
    let in_force = shard.in_force();
    let listener = in_force.plan.listener(listener);
    let Some(refusal) = Refusal::of(shard, listener) else { return stream.reset_on_close() };
    let stall = listener.timeouts.body;
    drop(tokio::task::spawn_local(async move {
        let timer = Timer::new(&refusal.0.wheel);
        tell(&stream, Patience { timer: &timer, stall }).await;
    }));
}

/// Turns a connection away that comes too soon: with a reset, since whoever sends so many of them
/// shall cost nothing more.
pub(crate) fn reset(shard: &Shard, stream: &Stream, listener: ListenerId) {
    shard.counters.listeners[listener.0 as usize].refused.add(1);
    stream.reset_on_close();
}

/// As `start`, for one of a client that was announced on it, and has too many.
pub(crate) async fn announced(connection: &Accepted) {
    let (shard, listener) = (&connection.shard, connection.listener);
    shard.counters.listeners[listener.0 as usize].refused.add(1);
    match connection.of_listener(|listener| Refusal::of(shard, listener)) {
        Some(_refusal) => tell(&connection.stream, connection.patience()).await,
        None => connection.stream.reset_on_close(),
    }
}

async fn tell(stream: &Stream, patience: Patience<'_>) {
    let mut out = Vec::new();
    let head = RequestHead::default();
    OwnReply::of_fault(503, &head, &[]).write(&mut out, &head, Edits::default(), true);
    if write_all(stream, patience, &mut [IoSlice::new(&out)], &mut 0).await.is_ok() {
        respond::linger(stream, patience, &mut Buffer::default()).await;
    }
}

/// Counts as one refusal until it is dropped.
struct Refusal(Rc<Shard>);

impl Refusal {
    /// If clients of the listener can be told, before TLS: it takes memory and time, which must
    /// have an end as well.
    fn of(shard: &Rc<Shard>, listener: &Listener) -> Option<Self> {
        let is_http = matches!(listener.protocol, Protocol::Http(_)) && listener.tls.is_none();
        if !is_http || shard.refusals.get() >= shard.refusals_max {
            return None;
        }
        shard.refusals.set(shard.refusals.get() + 1);
        Some(Self(Rc::clone(shard)))
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        self.0.refusals.set(self.0.refusals.get() - 1);
    }
}
