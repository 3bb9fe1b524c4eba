//! Opening connections to endpoints, for a message that waits or ahead of any.

use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use fairwater_message::frame::Greeting;
use fairwater_message::{Fault, FaultKind};
use fairwater_net::{Stream, Timer};
use fairwater_plan::{Endpoint, Upstream};

use super::desk::Desk;
use super::job::Job;
use super::wire::Wire;
use crate::attempt::observe;
use crate::patience::Patience;
use crate::shard::Shard;
use crate::write::write_one;
use crate::{limits, upstream};

/// What a connection may be opened under. Given back, unless the connection has come up.
struct Permit {
    upstream: Arc<Upstream>,
    place: usize,
}

impl Permit {
    /// Of all that may be open to the upstream and to the endpoint; none, if that is reached.
    fn take(upstream: &Arc<Upstream>, place: usize) -> Option<Self> {
        upstream.admission().take_permit()?;
        let permit = Self::given(upstream, place);
        if permit.is_none() {
            upstream.admission().leave();
        }
        permit
    }

    /// The same, where one of the upstream is taken already.
    fn given(upstream: &Arc<Upstream>, place: usize) -> Option<Self> {
        let most = upstream.settings.connections.unwrap_or(u32::MAX);
        let endpoint = &upstream.endpoints[place];
        endpoint.state.connect_below(most).then(|| Self { upstream: Arc::clone(upstream), place })
    }

    fn endpoint(&self) -> &Endpoint {
        &self.upstream.endpoints[self.place]
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.endpoint().state.disconnect();
        self.upstream.admission().leave();
    }
}

/// Opens a connection for a message, if there may be one more.
pub(super) fn start(
    shard: &Rc<Shard>,
    desk: &Rc<Desk>,
    upstream: &Arc<Upstream>,
    place: usize,
    job: &mut Job,
) {
    if let Some(permit) = Permit::take(upstream, place) {
        job.dial = Some(begin(shard, desk, permit, true));
    }
}

/// The same under a permit of the upstream that is taken already. Returns whether it was used.
pub(super) fn start_permitted(
    shard: &Rc<Shard>,
    desk: &Rc<Desk>,
    upstream: &Arc<Upstream>,
    place: usize,
    job: &mut Job,
) -> bool {
    let permit = Permit::given(upstream, place);
    job.dial = permit.map(|permit| begin(shard, desk, permit, true));
    job.dial.is_some()
}

/// Opens a connection that nobody waits for.
pub(super) fn ahead(shard: &Rc<Shard>, desk: &Rc<Desk>, upstream: &Arc<Upstream>, place: usize) {
    if let Some(permit) = Permit::take(upstream, place) {
        begin(shard, desk, permit, false);
    }
}

fn begin(shard: &Rc<Shard>, desk: &Rc<Desk>, permit: Permit, is_for_one: bool) -> u64 {
    let number = desk.begins_dial(is_for_one);
    let (shard, desk) = (Rc::clone(shard), Rc::clone(desk));
    drop(tokio::task::spawn_local(async move {
        let (upstream, place) = (Arc::clone(&permit.upstream), permit.place);
        let fault = match open(&shard, &permit).await {
            Ok((stream, written)) => {
                let at = (Arc::clone(&upstream), place);
                let wire = Wire::new(&shard, &desk, at, (stream, written));
                mem::forget(permit);
                wire.enter();
                drop(tokio::task::spawn_local(wire.run()));
                None
            }
            Err(fault) => {
                observe(&shard, &upstream, permit.endpoint(), Some(fault.kind), 0);
                drop(permit);
                Some(fault)
            }
        };
        desk.ends_dial(&shard, (number, is_for_one), (&upstream, place), fault);
    }));
    number
}

/// Connects, and says what every connection begins with. Gives how many bytes that were.
async fn open(shard: &Shard, permit: &Permit) -> Result<(Stream, u64), Fault> {
    let timer = Timer::new(&shard.wheel);
    let (upstream, endpoint) = (&permit.upstream, permit.endpoint());
    let stream = upstream::connect(shard, upstream, endpoint, (&[], &[]), &timer).await?;
    stream.keep_alive(limits::KEEPALIVE_IDLE, limits::KEEPALIVE_INTERVAL);
    let Some(greeting) = &upstream.settings.greeting else { return Ok((stream, 0)) };
    match greet(&stream, greeting, &timer, upstream).await {
        Ok(()) => Ok((stream, greeting.send.len() as u64)),
        Err(fault) => {
            let counters = &shard.counters.endpoints[endpoint.slot];
            counters.open.subtract(1);
            counters.connect_failures.add(1);
            Err(fault)
        }
    }
}

async fn greet(
    stream: &Stream,
    greeting: &Greeting,
    timer: &Timer,
    upstream: &Upstream,
) -> Result<(), Fault> {
    let stall = upstream.settings.timeouts.connect;
    let patience = Patience { timer, stall };
    let undelivered = |kind, detail| Fault { detail, ..Fault::undelivered(kind) };
    let sent = write_one(stream, patience, &greeting.send, &mut 0).await;
    sent.map_err(|_| undelivered(FaultKind::ConnectFailed, "greeting_not_taken"))?;
    let mut answer = vec![0; greeting.expect.len()];
    let mut come = 0;
    timer.set(stall);
    while come < answer.len() {
        let read = poll_fn(|cx| match stream.poll_read(cx, &mut answer[come..]) {
            Poll::Pending => timer.poll_expired(cx).map(|()| None),
            Poll::Ready(read) => Poll::Ready(Some(read)),
        });
        match read.await {
            None => return Err(undelivered(FaultKind::ConnectTimeout, "greeting")),
            Some(Ok(0) | Err(_)) => {
                return Err(undelivered(FaultKind::ConnectFailed, "greeting_refused"));
            }
            Some(Ok(len)) => come += len,
        }
        if !greeting.expect.starts_with(&answer[..come]) {
            return Err(undelivered(FaultKind::BadReply, "greeting"));
        }
    }
    Ok(())
}
