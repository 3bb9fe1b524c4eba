//! A way to an endpoint that may speak HTTP/2: a call over a connection that is there, or that
//! comes up for all who wait for it; or a connection of HTTP/1, where the endpoint has not agreed
//! to more.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use fairwater_message::{Fault, FaultKind};
use fairwater_net::{Timer, clock};
use fairwater_plan::{Endpoint, Upstream, Versions};

use super::call::Call;
use super::trunk::{Room, Trunk};
use crate::limits;
use crate::shard::Shard;
use crate::upstream::{Connection, Lease, Permit, Reuse, admit, connect};
use crate::waiting::{Customer, Wait};

/// What an exchange goes over.
pub(crate) enum Way<'a> {
    Call(Call),
    Connection(Lease<'a>),
}

impl Way<'_> {
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Self::Call(call) => call.is_reused,
            Self::Connection(lease) => lease.is_reused,
        }
    }

    /// Whether nobody had to wait for it.
    pub(crate) fn is_at_once(&self) -> bool {
        match self {
            Self::Call(call) => call.is_reused,
            Self::Connection(lease) => lease.is_at_once,
        }
    }
}

/// The shared connections of a thread to one endpoint.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Trunks {
    pub(in crate::upstream) open: Vec<Rc<Trunk>>,
    opening: Option<Rc<Opening>>,
    room: Rc<Room>,
    /// The endpoint has not agreed to HTTP/2 when it was asked last.
    speaks_http1: bool,
}

/// A connection that comes up, and what those who wait for it are told.
#[derive(Debug, Default)]
struct Opening {
    result: Cell<Option<Result<(), Fault>>>,
    /// When there was room for it, if that had to be waited for.
    room_us: Cell<u64>,
}

impl Trunks {
    /// A call over a connection that has room for it and has had less than `max` of them.
    fn call(&mut self, max: u32) -> Option<Call> {
        self.retire_unless(|trunk| trunk.begun() < max);
        self.open.iter().find(|trunk| trunk.has_room()).map(|trunk| trunk.call(max))
    }

    /// Lets no further call begin over those that `is_kept` does not keep.
    pub(in crate::upstream) fn retire_unless(&mut self, mut is_kept: impl FnMut(&Trunk) -> bool) {
        self.open.retain(|trunk| {
            let stays = !trunk.is_over() && is_kept(trunk);
            if !stays {
                trunk.retire();
            }
            stays
        });
    }
}

/// What is asked for, and by whom.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub shard: &'a Rc<Shard>,
    pub timer: &'a Timer,
    pub upstream: &'a Upstream,
    pub endpoint: &'a Endpoint,
    /// Whether a connection of HTTP/1 may have been used before.
    pub reuse: Reuse,
}

/// # Errors
/// The fault says why there is no way; nothing was sent.
pub(crate) async fn lease<'a>(
    asked: Asked<'a>,
    customer: &mut impl Customer,
) -> Result<Way<'a>, Fault> {
    let patience = asked.upstream.settings.timeouts.queue;
    let mut until_ms = None;
    loop {
        match next(asked) {
            Next::Way(way) => return Ok(way),
            Next::Await(opening) => until_open(asked, &opening, customer).await?,
            Next::Wait { is_full } => {
                let now_ms = clock::coarse_ms();
                let at_ms = *until_ms.get_or_insert(now_ms + patience.as_millis() as u64);
                let _wait = is_full.then(|| Wait::begin(asked.shard, &mut *customer));
                until_changed(asked, at_ms).await?;
            }
            Next::Open(opener) => {
                let result = open(&opener, customer).await;
                opener.told(result.as_ref().map(|_| ()).map_err(|fault| *fault));
                return result;
            }
        }
    }
}

enum Next<'a> {
    Way(Way<'a>),
    /// Somebody opens a connection that we can share.
    Await(Rc<Opening>),
    /// There are as many as there may be, or one has come up and not said yet what it takes.
    Wait {
        is_full: bool,
    },
    Open(Opener<'a>),
}

fn next(asked: Asked<'_>) -> Next<'_> {
    if let Some(way) = pooled(asked) {
        return Next::Way(way);
    }
    asked.trunks(|trunks| match &trunks.opening {
        Some(opening) => Next::Await(Rc::clone(opening)),
        None if trunks.open.len() >= limits::TRUNKS_PER_ENDPOINT => Next::Wait { is_full: true },
        None if trunks.open.iter().any(|trunk| !trunk.is_settled()) => {
            Next::Wait { is_full: false }
        }
        // Nobody can share what comes of it.
        None if trunks.speaks_http1 => Next::Open(Opener { asked, opening: None }),
        None => {
            let opening = Rc::default();
            trunks.opening = Some(Rc::clone(&opening));
            Next::Open(Opener { asked, opening: Some(opening) })
        }
    })
}

/// What is there already.
pub(crate) fn pooled(asked: Asked<'_>) -> Option<Way<'_>> {
    if let Some(call) = asked.trunks(|trunks| trunks.call(asked.calls_max())) {
        return Some(Way::Call(call));
    }
    let Asked { shard, upstream, endpoint, reuse, .. } = asked;
    let pooled = match upstream.settings.versions {
        Versions::Http2 => None,
        _ => shard.pools.take(shard, upstream, endpoint.slot, reuse),
    };
    pooled.map(|connection| Way::Connection(asked.lease(connection, true, true)))
}

impl<'a> Asked<'a> {
    fn trunks<T>(&self, with: impl FnOnce(&mut Trunks) -> T) -> T {
        self.shard.pools.trunks(self.endpoint.slot, with)
    }

    /// Requests that a connection may have.
    fn calls_max(&self) -> u32 {
        let settings = &self.upstream.settings;
        if settings.keep_alive { settings.max_requests.unwrap_or(u32::MAX) } else { 1 }
    }

    fn lease(self, connection: Connection, is_reused: bool, is_at_once: bool) -> Lease<'a> {
        let Self { shard, upstream, endpoint, .. } = self;
        Lease { connection: Some(connection), is_reused, is_at_once, shard, upstream, endpoint }
    }

    /// What has come free meanwhile; the task is woken when more does.
    fn look(self, cx: &Context<'_>) -> Option<Way<'a>> {
        let way = pooled(self);
        if way.is_none() {
            self.trunks(|trunks| trunks.room.wait(cx));
        }
        way
    }
}

/// The one who opens a connection for all; whoever waits hears of it when this is dropped, if it
/// was not told before.
struct Opener<'a> {
    asked: Asked<'a>,
    opening: Option<Rc<Opening>>,
}

impl Opener<'_> {
    fn told(mut self, result: Result<(), Fault>) {
        if let Some(opening) = &self.opening {
            opening.result.set(Some(result));
        }
        self.end();
    }

    fn end(&mut self) {
        if self.opening.take().is_some() {
            self.asked.trunks(|trunks| {
                trunks.opening = None;
                trunks.room.wake();
            });
        }
    }
}

impl Drop for Opener<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits for a connection that somebody else opens. When he has gone before, another does.
async fn until_open(
    asked: Asked<'_>,
    opening: &Rc<Opening>,
    customer: &mut impl Customer,
) -> Result<(), Fault> {
    let _wait = Wait::behind(asked.shard, customer, &opening.room_us);
    let Asked { timer, upstream, .. } = asked;
    // He may have to queue first.
    timer.set(upstream.settings.timeouts.connect + upstream.settings.timeouts.queue);
    poll_fn(|cx| {
        if let Some(result) = opening.result.get() {
            return Poll::Ready(result);
        }
        let is_current = asked.trunks(|trunks| {
            trunks.room.wait(cx);
            trunks.opening.as_ref().is_some_and(|current| Rc::ptr_eq(current, opening))
        });
        if !is_current {
            return Poll::Ready(Ok(()));
        }
        let late = || Err(Fault::undelivered(FaultKind::ConnectTimeout));
        timer.poll_expired(cx).map(|()| late())
    })
    .await
}

/// Waits for anything to become of the connections, until the queue has taken too long.
async fn until_changed(asked: Asked<'_>, until_ms: u64) -> Result<(), Fault> {
    asked.timer.set_at(until_ms);
    let mut waits = false;
    poll_fn(|cx| {
        if asked.timer.poll_expired(cx).is_ready() {
            return Poll::Ready(Err(Fault::undelivered(FaultKind::UpstreamFull)));
        }
        if std::mem::replace(&mut waits, true) {
            return Poll::Ready(Ok(()));
        }
        asked.trunks(|trunks| trunks.room.wait(cx));
        Poll::Pending
    })
    .await
}

async fn open<'a>(opener: &Opener<'a>, customer: &mut impl Customer) -> Result<Way<'a>, Fault> {
    let asked = opener.asked;
    let Asked { shard, timer, upstream, endpoint, .. } = asked;
    if let Some(way) = admit(shard, upstream, timer, customer, |cx| asked.look(cx)).await? {
        return Ok(way);
    }
    if let Some(opening) = &opener.opening {
        opening.room_us.set(shard.now_us());
    }
    let permit = Permit(upstream);
    let protocols: &[&str] = match upstream.settings.versions {
        // Who is spoken to without asking knows what comes.
        Versions::Http2 => &["h2"],
        _ => &["h2", "http/1.1"],
    };
    let stream = connect(shard, upstream, endpoint, (&[], protocols), timer).await?;
    std::mem::forget(permit);
    let agrees = stream.agreed().is_some_and(|agreed| agreed.alpn == "h2");
    let is_http2 = upstream.settings.versions == Versions::Http2 || agrees;
    asked.trunks(|trunks| trunks.speaks_http1 = !is_http2);
    if !is_http2 {
        let connection = Connection::new(stream, 0);
        return Ok(Way::Connection(asked.lease(connection, false, false)));
    }
    let room = asked.trunks(|trunks| Rc::clone(&trunks.room));
    let trunk = Trunk::begin(shard, upstream, endpoint, stream, &room);
    let call = trunk.call(asked.calls_max());
    shard.pools.keep(shard, upstream, endpoint, trunk);
    Ok(Way::Call(call))
}
