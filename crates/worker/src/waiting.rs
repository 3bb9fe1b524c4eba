//! Waiting before an endpoint is asked: for room at a full upstream, and between two tries. What is
//! waited for room is told apart in the log: it is neither the endpoint's time nor the network's.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use fairwater_message::{Fault, FaultKind};
use fairwater_net::{Stream, Timer};
use fairwater_plan::{Choice, Draw, Gate, Pick, Priority, Tried, Turn, Upstream};

use crate::downstream::{Carrier, Source};
use crate::limits;
use crate::shard::Shard;

/// Who is led to an endpoint, and has a line in the log.
pub(crate) trait Customer {
    /// The id in that line.
    fn id(&mut self) -> u128;

    /// Takes in that he has waited for room for so long.
    fn add_wait(&mut self, us: u64);
}

/// Somebody waits for room until this is dropped.
pub(crate) struct Wait<'a, C: Customer> {
    shard: &'a Shard,
    customer: &'a mut C,
    since_us: u64,
    /// When there was room, where somebody else finds it; 0 while there is none.
    room_us: Option<&'a Cell<u64>>,
}

impl<'a, C: Customer> Wait<'a, C> {
    pub(crate) fn begin(shard: &'a Shard, customer: &'a mut C) -> Self {
        Self { shard, customer, since_us: shard.now_us(), room_us: None }
    }

    /// Waits for what another one does, who has to wait for room himself first.
    pub(crate) fn behind(shard: &'a Shard, customer: &'a mut C, room_us: &'a Cell<u64>) -> Self {
        let mut wait = Self::begin(shard, customer);
        wait.room_us = Some(room_us);
        wait
    }
}

impl<C: Customer> Drop for Wait<'_, C> {
    fn drop(&mut self) {
        let room_us = self.room_us.map_or(0, Cell::get);
        let until_us = if room_us > 0 { room_us } else { self.shard.now_us() };
        self.customer.add_wait(until_us.saturating_sub(self.since_us));
    }
}

/// Picks an endpoint that has room, or waits for one that has; `None` when none is left to try.
/// `gone` is ready with a fault when nobody waits for it any more.
pub(crate) async fn for_room<'a>(
    (upstream, gate): (&'a Upstream, &Gate),
    (draw, tried): (Draw, &mut Tried),
    priority: Priority,
    timer: &Timer,
    mut gone: impl FnMut(&mut Context<'_>) -> Poll<Fault>,
) -> Result<Option<Pick<'a>>, Fault> {
    timer.set(upstream.settings.timeouts.queue);
    let waiter = gate.waiter(priority).picky(draw.seat.is_some());
    let mut waiter = waiter.of_generation(upstream.generation());
    poll_fn(|cx| {
        let take = || match upstream.pick_in_turn(gate, draw, tried) {
            Choice::Full => None,
            choice => Some(choice),
        };
        match waiter.poll(cx.waker(), take) {
            Turn::Enter(Choice::Pick(pick)) => return Poll::Ready(Ok(Some(pick))),
            Turn::Enter(_) => {
                // He was called for what he takes nothing of.
                gate.call();
                return Poll::Ready(Ok(None));
            }
            Turn::Refused => {
                let fault = Fault::undelivered(FaultKind::UpstreamFull);
                return Poll::Ready(Err(Fault { detail: "queue_full", ..fault }));
            }
            Turn::Wait => {}
        }
        if let Poll::Ready(fault) = gone(cx) {
            return Poll::Ready(Err(fault));
        }
        timer.poll_expired(cx).map(|()| Err(FaultKind::UpstreamFull.into()))
    })
    .await
}

/// Wakes who waits for room now and then, so that he looks for it: an exchange that began while its
/// upstream had no limits tells nobody when it ends.
pub(crate) fn look_again(timer: &Timer, cx: &mut Context<'_>) {
    if !timer.is_set() {
        timer.set(limits::ROOM_LOOK);
    }
    while timer.poll_expired(cx).is_ready() {
        timer.set(limits::ROOM_LOOK);
    }
}

/// Lets a while pass, unless the client goes.
pub(crate) async fn pause(
    duration: Duration,
    source: &mut Source<'_>,
    timers: (&Timer, &Timer),
) -> Result<(), Fault> {
    timers.0.set(duration);
    poll_fn(|cx| match poll_client(source, timers.1, cx) {
        Poll::Ready(fault) => Poll::Ready(Err(fault)),
        Poll::Pending => timers.0.poll_expired(cx).map(Ok),
    })
    .await
}

/// Ready with a fault when the client has gone, or has closed its direction: most have gone then,
/// and where many wait the others go before who may yet be there.
pub(crate) fn poll_client(
    source: &mut Source<'_>,
    timer: &Timer,
    cx: &mut Context<'_>,
) -> Poll<Fault> {
    if !source.is_done() {
        return poll_gone(source.carrier(), timer, cx);
    }
    match source.poll_abort(cx) {
        Poll::Pending if source.is_half_closed => Poll::Ready(FaultKind::ClientAborted.into()),
        result => result,
    }
}

/// Ready with a fault when the client has gone.
pub(crate) fn poll_gone(carrier: Carrier<'_>, timer: &Timer, cx: &mut Context<'_>) -> Poll<Fault> {
    match carrier {
        Carrier::Connection(client) => poll_reset(client, timer, cx),
        Carrier::Lane(lane) => lane.poll_reset(cx).map(|()| FaultKind::ClientAborted.into()),
    }
}

/// Looks now and then whether the client is still there, while nothing is read from it and a reset
/// would go unnoticed. Ready only with a fault.
pub(crate) fn poll_reset(client: &Stream, timer: &Timer, cx: &mut Context<'_>) -> Poll<Fault> {
    if !timer.is_set() {
        timer.set(limits::ABORT_LOOK);
    }
    while timer.poll_expired(cx).is_ready() {
        if client.is_reset() {
            return Poll::Ready(FaultKind::ClientAborted.into());
        }
        timer.set(limits::ABORT_LOOK);
    }
    Poll::Pending
}
