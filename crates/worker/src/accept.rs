//! Step 1: a connection is accepted, counted, and given a task of its own.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use fairwater_message::FaultKind;
use fairwater_message::pack::Packer;
use fairwater_net::{Acceptor, Peer, Stream, Timer};
use fairwater_plan::{
    Admission, ConnectionLimits, Listener, ListenerId, Priority, Protocol, Room, TooMany, Turn,
};

use crate::downstream::{h1, h2};
use crate::listening::Place;
use crate::moving::{Door, Kind};
use crate::patience::Patience;
use crate::shard::Shard;
use crate::{framed, handshake, limits, rate, refuse, tcp};

/// Pause after an accept that failed for want of descriptors: trying at once would only burn the
/// processor, and closing connections free some.
const PAUSE: Duration = Duration::from_millis(50);

/// Where a connection comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub peer: Peer,
    pub listener: ListenerId,
    /// The limit that counts it as one of its client's.
    pub counted_by: Option<NonZeroU16>,
    /// What counts it of all connections.
    pub room: Room,
}

/// What a PROXY header has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    pub client: Peer,
    /// Where the client has connected to; `None` on a Unix socket.
    pub target: Option<SocketAddr>,
    /// It speaks TLS with the peer.
    pub is_secured: bool,
}

/// Whose connection it is. The size of an idle one depends on it.
#[derive(Debug)]
enum Origin {
    /// Who is at the other end of the socket.
    Peer(Peer),
    /// Whom that one has announced.
    Announced(Box<Announced>),
}

/// A connection as it came in. Counts as active until it is dropped.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub stream: Stream,
    pub timer: Timer,
    origin: Origin,
    pub listener: ListenerId,
    /// The limit that counts it as one of its client's.
    counted_by: Option<NonZeroU16>,
    room: Room,
    pub shard: Rc<Shard>,
}

impl Accepted {
    /// Of a connection that the limits of the listener have counted.
    pub(crate) fn new(shard: &Rc<Shard>, stream: Stream, arrival: Arrival) -> Self {
        let Arrival { peer, listener, counted_by, room } = arrival;
        let shard = Rc::clone(shard);
        let counters = &shard.counters.listeners[listener.0 as usize];
        counters.connections.add(1);
        counters.active.add(1);
        shard.spread.entered();
        let timer = Timer::new(&shard.wheel);
        Self { stream, timer, origin: Origin::Peer(peer), listener, counted_by, room, shard }
    }

    /// The client.
    #[inline]
    pub(crate) fn peer(&self) -> Peer {
        match &self.origin {
            Origin::Peer(peer) => *peer,
            Origin::Announced(announced) => announced.client,
        }
    }

    pub(crate) fn announced(&self) -> Option<&Announced> {
        match &self.origin {
            Origin::Peer(_) => None,
            Origin::Announced(announced) => Some(announced),
        }
    }

    /// It was announced by another process, which counted it.
    pub(crate) fn with_announced(mut self, announced: Option<Announced>) -> Self {
        if let Some(announced) = announced {
            self.origin = Origin::Announced(Box::new(announced));
        }
        self
    }

    /// Belongs to the client that was announced, or else to the peer, unless that has too many.
    pub(crate) fn announce(&mut self, announced: Option<Announced>) -> Result<(), TooMany> {
        let in_force = self.shard.in_force();
        let limits = &in_force.plan.listener(self.listener).connections;
        limits.leave_of(self.peer().ip(), self.counted_by.take());
        if let Some(announced) = announced {
            self.origin = Origin::Announced(Box::new(announced));
        }
        self.counted_by = limits.enter_of(self.peer().ip())?;
        Ok(())
    }

    /// Whether the client speaks TLS, with us or with who announced it.
    pub(crate) fn is_secured(&self) -> bool {
        !self.stream.is_plain() || self.announced().is_some_and(|announced| announced.is_secured)
    }

    /// Whether nothing new may begin: the process ends, or the listener is gone.
    pub(crate) fn is_over(&self) -> bool {
        // What cannot move to the next process is served until it learns that it shall go there.
        let is_last = self.shard.is_draining() && !self.shard.moves();
        is_last || self.of_listener(Listener::is_gone)
    }

    /// Whether another process serves this connection from now on.
    pub(crate) fn moves(&self) -> bool {
        self.shard.moves() && self.stream.is_plain()
    }

    /// Gives the connection, which has no request under way, to the process that serves in place of
    /// this one. Returns whether that has taken it.
    pub(crate) async fn give_away(&self) -> bool {
        let Some(heir) = self.shard.heir() else { return false };
        let mut parcel = Packer::default();
        Door::of(self).pack(Kind::Idle, &mut parcel);
        heir.give(parcel.into_vec(), &self.stream, None).await
    }

    /// Counts a fault that belongs to no request.
    pub(crate) fn count_fault(&self, kind: FaultKind) {
        self.shard.counters.listeners[self.listener.0 as usize].faults[kind as usize].add(1);
    }

    /// For what this connection is sent and sends, apart from any route.
    pub(crate) fn patience(&self) -> Patience<'_> {
        Patience { timer: &self.timer, stall: self.of_listener(|listener| listener.timeouts.body) }
    }

    /// Something that its listener says now.
    #[inline(always)]
    pub(crate) fn of_listener<T>(&self, read: impl FnOnce(&Listener) -> T) -> T {
        read(self.shard.in_force().plan.listener(self.listener))
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        let shard = &self.shard;
        shard.counters.listeners[self.listener.0 as usize].active.subtract(1);
        shard.spread.left();
        let in_force = shard.in_force();
        let limits = &in_force.plan.listener(self.listener).connections;
        limits.leave(self.room);
        limits.leave_of(self.peer().ip(), self.counted_by);
        if std::thread::panicking() {
            shard.counters.panics.add(1);
        }
    }
}

/// A listening socket, as the one who accepts from it has it.
struct Source {
    shard: Rc<Shard>,
    acceptor: Acceptor,
    place: Rc<Place>,
    timer: Timer,
}

/// Accepts connections until the socket closes or the shard drains.
pub(crate) async fn run(shard: Rc<Shard>, acceptor: Acceptor, place: Rc<Place>) {
    let timer = Timer::new(&shard.wheel);
    let source = Source { shard, acceptor, place, timer };
    while source.until_ready().await {
        source.accept().await;
    }
}

impl Source {
    /// Waits for a connection. Returns false when there shall be no more.
    async fn until_ready(&self) -> bool {
        poll_fn(|cx| match self.poll_over(cx) {
            Poll::Ready(()) => Poll::Ready(false),
            Poll::Pending => self.acceptor.poll_ready(cx).map(|_| true),
        })
        .await
    }

    /// Ready when there shall be no more: registers for the wake that a draining shard sends to
    /// everyone on the wheel, and for that of the place.
    fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        let is_over = self.timer.poll_expired(cx).is_ready() || self.shard.is_draining();
        match is_over || self.place.poll_closing(cx).is_ready() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Source {
    /// Accepts one connection. Who shall wait in the backlog is accepted once there is room:
    /// another process may still serve it. Who would be turned away is accepted first, lest the
    /// room for one who is not there after all be missing to another.
    async fn accept(&self) {
        let (shard, listener) = (&self.shard, self.place.listener());
        let in_force = shard.in_force();
        let limits = &in_force.plan.listener(listener).connections;
        let waits = !limits.rejects;
        let is_refusing = shard.refuses_connections(in_force.plan.listener(listener));
        if waits && is_refusing {
            // It stays in the backlog.
            return Timer::new(&shard.wheel).pass(PAUSE).await;
        }
        let mut room = if waits { limits.enter() } else { None };
        if waits && room.is_none() {
            room = self.until_room(limits).await;
            if room.is_none() {
                return;
            }
        }
        let accepted = poll_fn(|cx| Poll::Ready(self.acceptor.poll_accept(cx))).await;
        let Poll::Ready(Ok((stream, peer))) = accepted else {
            room.into_iter().for_each(|room| limits.leave(room));
            if accepted.is_ready() {
                shard.counters.accept_failures.add(1);
                Timer::new(&shard.wheel).pass(PAUSE).await;
            }
            return;
        };
        if !waits && !is_refusing {
            room = limits.enter();
        }
        let counted = match limits.per_client {
            // Who announces its clients is none of them.
            Some(_)
                if room.is_some() && !in_force.plan.listener(listener).awaits_header(peer.ip()) =>
            {
                limits.enter_of(peer.ip())
            }
            _ => Ok(None),
        };
        if let Ok(counted_by) = counted
            && let Some(room) = room
        {
            let by = in_force.plan.listener(listener);
            // Who announces its clients is none of them.
            if !by.limits.is_empty()
                && !by.awaits_header(peer.ip())
                && !rate::lets_in(by, peer.ip())
            {
                limits.leave(room);
                limits.leave_of(peer.ip(), counted_by);
                return refuse::reset(shard, &stream, listener);
            }
            let arrival = Arrival { peer, listener, counted_by, room };
            // Handing over costs more than most requests: for those a difference may stay.
            let slack = match in_force.plan.listener(listener).protocol {
                Protocol::Tcp { .. } | Protocol::Framed(_) => 0,
                Protocol::Http(_) | Protocol::Udp(_) | Protocol::Gone => limits::SPREAD_SLACK,
            };
            let own = shard.spread.hand_over(stream, arrival, slack);
            return own.into_iter().for_each(|stream| {
                spawn(Accepted::new(shard, stream, arrival));
            });
        }
        room.into_iter().for_each(|room| limits.leave(room));
        refuse::start(shard, stream, listener);
    }

    /// Waits until there is room for a connection, of this listener and of all. Returns none when
    /// there shall be no more.
    async fn until_room(&self, limits: &ConnectionLimits) -> Option<Room> {
        if !limits.own.enter() {
            self.until_entered(&limits.own, None).await?;
        }
        let reserve = limits.has_reserve.then_some(&*limits.reserve);
        let room = match limits.enter_all() {
            None => self.until_entered(&limits.all, reserve).await,
            room => room,
        };
        if room.is_none() {
            limits.own.leave();
        }
        room
    }

    /// Waits for a permit, or for one of a reserve, whichever comes first.
    async fn until_entered(&self, limit: &Admission, reserve: Option<&Admission>) -> Option<Room> {
        let mut waiter = limit.waiter(Priority::Normal);
        let mut other = reserve.map(|limit| (limit, limit.waiter(Priority::Normal)));
        let entered = poll_fn(|cx| {
            match waiter.poll(cx.waker(), || limit.take_permit()) {
                Turn::Enter(()) => return Poll::Ready(Some(Room::Common)),
                // Thousands of sockets wait: nobody wakes this one.
                Turn::Refused => return Poll::Ready(None),
                Turn::Wait => {}
            }
            if let Some((limit, waiter)) = &mut other
                && let Turn::Enter(()) = waiter.poll(cx.waker(), || limit.take_permit())
            {
                return Poll::Ready(Some(Room::Reserve));
            }
            self.poll_over(cx).map(|()| None)
        });
        let room = entered.await;
        if room.is_none() && !self.shard.is_draining() && !self.place.is_closing() {
            Timer::new(&self.shard.wheel).pass(PAUSE).await;
        }
        room
    }
}

pub(crate) fn spawn(accepted: Accepted) {
    match accepted.of_listener(Listener::has_preamble) {
        true => drop(tokio::task::spawn_local(handshake::serve(accepted))),
        false => serve(accepted),
    }
}

/// Serves a connection on which nothing more comes before its protocol.
pub(crate) fn serve(accepted: Accepted) {
    let in_force = accepted.shard.in_force();
    match &in_force.plan.listener(accepted.listener).protocol {
        Protocol::Http(_) if speaks_http2(&accepted) => {
            drop(tokio::task::spawn_local(h2::serve(accepted, h2::Ahead::default())));
        }
        Protocol::Http(_) => drop(tokio::task::spawn_local(h1::serve(accepted))),
        // It went while this connection came. For datagrams none ever does.
        Protocol::Gone | Protocol::Udp(_) => {}
        Protocol::Framed(_) => {
            accepted.stream.keep_alive(limits::KEEPALIVE_IDLE, limits::KEEPALIVE_INTERVAL);
            framed::serve(accepted, Vec::new());
        }
        Protocol::Tcp { .. } => {
            accepted.stream.keep_alive(limits::KEEPALIVE_IDLE, limits::KEEPALIVE_INTERVAL);
            drop(tokio::task::spawn_local(tcp::serve(accepted, None)));
        }
    }
}

/// Whether client and listener have agreed on HTTP/2 below it (ALPN, RFC 7301).
fn speaks_http2(accepted: &Accepted) -> bool {
    accepted.stream.agreed().is_some_and(|agreed| agreed.alpn == "h2")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future that a function makes.
    fn size_of_future<A, F: Future>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    /// With the runtime's own 100 bytes this makes a task of 256.
    #[test]
    fn an_idle_connection_is_small() {
        let size = size_of_future(h1::serve);
        assert!(size <= 152, "{size}");
    }
}
