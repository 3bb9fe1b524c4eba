//! Step 1: a connection is accepted, counted, and given a task of its own.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use fairwater_net::{Acceptor, Peer, Stream, Timer};
use fairwater_plan::{Admission, ConnectionLimits, Listener, ListenerId, Protocol, Turn};

use crate::downstream::h1;
use crate::patience::Patience;
use crate::shard::Shard;
use crate::{limits, refuse, tcp};

/// Pause after an accept that failed for want of descriptors: trying at once would only burn the
/// processor, and closing connections free some.
const PAUSE: Duration = Duration::from_millis(50);

/// A connection as it came in. Counts as active until it is dropped.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub stream: Stream,
    pub timer: Timer,
    pub peer: Peer,
    pub listener: ListenerId,
    pub shard: Rc<Shard>,
}

impl Accepted {
    /// Of a connection that `connections` of the listener has counted.
    fn new(shard: Rc<Shard>, stream: Stream, peer: Peer, listener: ListenerId) -> Self {
        let counters = &shard.counters.listeners[listener.0 as usize];
        counters.connections.add(1);
        counters.active.add(1);
        let timer = Timer::new(&shard.wheel);
        Self { stream, timer, peer, listener, shard }
    }

    /// For what this connection is sent and sends, apart from any route.
    pub(crate) fn patience(&self) -> Patience<'_> {
        Patience { timer: &self.timer, stall: self.of_listener(|listener| listener.timeouts.body) }
    }

    /// Something that its listener says now.
    #[inline]
    pub(crate) fn of_listener<T>(&self, read: impl FnOnce(&Listener) -> T) -> T {
        read(self.shard.in_force().plan.listener(self.listener))
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        let shard = &self.shard;
        shard.counters.listeners[self.listener.0 as usize].active.subtract(1);
        let in_force = shard.in_force();
        let limits = &in_force.plan.listener(self.listener).connections;
        limits.leave();
        if let (Some(clients), Some(client)) = (&limits.per_client, self.peer.ip()) {
            clients.leave(client);
        }
        if std::thread::panicking() {
            shard.counters.panics.add(1);
        }
    }
}

/// Accepts connections until the shard drains.
pub(crate) async fn run(shard: Rc<Shard>, acceptor: Acceptor, listener: ListenerId) {
    let timer = Timer::new(&shard.wheel);
    while !shard.is_draining() {
        if until_ready(&shard, &acceptor, &timer).await {
            accept(&shard, &acceptor, listener, &timer).await;
        }
    }
}

/// Waits for a connection. Returns false when there shall be no more.
async fn until_ready(shard: &Shard, acceptor: &Acceptor, timer: &Timer) -> bool {
    poll_fn(|cx| match poll_over(shard, timer, cx) {
        Poll::Ready(()) => Poll::Ready(false),
        Poll::Pending => acceptor.poll_ready(cx).map(|_| true),
    })
    .await
}

/// Ready when the shard drains: registers for the wake that this sends to everyone on the wheel.
fn poll_over(shard: &Shard, timer: &Timer, cx: &mut Context<'_>) -> Poll<()> {
    match timer.poll_expired(cx).is_ready() || shard.is_draining() {
        true => Poll::Ready(()),
        false => Poll::Pending,
    }
}

/// Accepts one connection. Who shall wait in the backlog is accepted once there is room: another
/// process may still serve it. Who would be turned away is accepted first, lest the room for one
/// who is not there after all be missing to another.
async fn accept(shard: &Rc<Shard>, acceptor: &Acceptor, listener: ListenerId, timer: &Timer) {
    let in_force = shard.in_force();
    let limits = &in_force.plan.listener(listener).connections;
    let waits = !limits.rejects;
    if waits && !limits.enter() && !until_room(shard, limits, timer).await {
        return;
    }
    let accepted = poll_fn(|cx| Poll::Ready(acceptor.poll_accept(cx))).await;
    let Poll::Ready(Ok((stream, peer))) = accepted else {
        if waits {
            limits.leave();
        }
        if accepted.is_ready() {
            shard.counters.accept_failures.add(1);
            tokio::time::sleep(PAUSE).await;
        }
        return;
    };
    let has_room = waits || limits.enter();
    let is_one_too_many = match (&limits.per_client, peer.ip()) {
        (Some(clients), Some(client)) if has_room => !clients.enter(client),
        _ => false,
    };
    if has_room && !is_one_too_many {
        return spawn(Accepted::new(Rc::clone(shard), stream, peer, listener));
    }
    if has_room {
        limits.leave();
    }
    refuse::start(shard, stream, listener);
}

/// Waits until there is room for a connection, of this listener and of all. Returns false when
/// there shall be no more.
async fn until_room(shard: &Shard, limits: &ConnectionLimits, timer: &Timer) -> bool {
    if !until_entered(shard, &limits.own, timer).await {
        return false;
    }
    let has_entered = until_entered(shard, &limits.all, timer).await;
    if !has_entered {
        limits.own.leave();
    }
    has_entered
}

async fn until_entered(shard: &Shard, limit: &Admission, timer: &Timer) -> bool {
    if limit.enter() {
        return true;
    }
    let mut waiter = limit.waiter();
    let entered = poll_fn(|cx| match waiter.poll(cx.waker()) {
        Turn::Enter => Poll::Ready(true),
        Turn::Wait => poll_over(shard, timer, cx).map(|()| false),
        // Thousands of sockets wait: nobody wakes this one.
        Turn::Refused => Poll::Ready(false),
    });
    let has_entered = entered.await;
    if !has_entered && !shard.is_draining() {
        tokio::time::sleep(PAUSE).await;
    }
    has_entered
}

fn spawn(accepted: Accepted) {
    let in_force = accepted.shard.in_force();
    match &in_force.plan.listener(accepted.listener).protocol {
        Protocol::Http(_) => drop(tokio::task::spawn_local(h1::serve(accepted))),
        Protocol::Tcp { .. } => {
            accepted.stream.keep_alive(limits::KEEPALIVE_IDLE, limits::KEEPALIVE_INTERVAL);
            drop(tokio::task::spawn_local(tcp::serve(accepted)));
        }
    }
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
