//! Connections for which there is no room: told so, and closed.

use std::io::IoSlice;
use std::rc::Rc;

use fairwater_message::RequestHead;
use fairwater_net::{Stream, Timer};
use fairwater_plan::{ListenerId, Protocol};
use fairwater_proto::h1::Edits;

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
    let is_http = matches!(listener.protocol, Protocol::Http(_));
    // To say so takes memory and time, which must have an end as well.
    if !is_http || shard.refusals.get() >= shard.refusals_max {
        return stream.reset_on_close();
    }
    let stall = listener.timeouts.body;
    let refusal = Refusal::new(shard);
    drop(tokio::task::spawn_local(async move {
        let timer = Timer::new(&refusal.0.wheel);
        let patience = Patience { timer: &timer, stall };
        let mut out = Vec::new();
        let head = RequestHead::default();
        OwnReply::of_fault(503, &head, &[]).write(&mut out, &head, Edits::default(), true);
        if write_all(&stream, patience, &mut [IoSlice::new(&out)], &mut 0).await.is_ok() {
            respond::linger(&stream, patience, &mut Buffer::default()).await;
        }
    }));
}

/// Counts as one refusal until it is dropped.
struct Refusal(Rc<Shard>);

impl Refusal {
    fn new(shard: &Rc<Shard>) -> Self {
        shard.refusals.set(shard.refusals.get() + 1);
        Self(Rc::clone(shard))
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        self.0.refusals.set(self.0.refusals.get() - 1);
    }
}
