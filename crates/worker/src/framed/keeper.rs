//! Who looks after the messages that wait at a desk: ends the waiting of those whose time is over,
//! and stands in the queues that all threads share, for a connection or for an exchange more.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use fairwater_net::{Timer, clock};
use fairwater_plan::{Gate, Priority, Turn, Upstream};

use super::desk::Desk;
use crate::limits;
use crate::shard::Shard;

/// What there is to do.
enum Step {
    /// Nobody waits any more.
    Done,
    /// The plan is another, or there is room at the gate.
    Again,
    /// There is a permit for one connection more.
    Open,
}

/// To be called when the first message waits.
pub(super) fn start(shard: &Rc<Shard>, desk: &Rc<Desk>) {
    desk.has_keeper(Some(Waker::noop()));
    let admission = Arc::clone(desk.upstream().admission());
    admission.keeper(true);
    let (shard, desk) = (Rc::clone(shard), Rc::clone(desk));
    drop(tokio::task::spawn_local(async move {
        keep(shard, desk).await;
        admission.keeper(false);
    }));
}

async fn keep(shard: Rc<Shard>, desk: Rc<Desk>) {
    let timer = Timer::new(&shard.wheel);
    loop {
        let upstream = desk.upstream();
        let step = next(&desk, &upstream, &timer).await;
        desk.keeper_waits.set(false);
        match step {
            Step::Done => break,
            Step::Again => {
                desk.open_more(&shard);
                // Whatever has come of it, others have their turn.
                tokio::task::yield_now().await;
            }
            Step::Open => {
                if !desk.open_permitted(&shard, &upstream) {
                    upstream.admission().leave();
                    // Somebody else was faster; not at once again.
                    timer.pass(limits::YIELD_AFTER).await;
                }
            }
        }
    }
    desk.has_keeper(None);
}

async fn next(desk: &Rc<Desk>, upstream: &Arc<Upstream>, timer: &Timer) -> Step {
    let admission = upstream.admission();
    let mut for_connection = admission.waiter(Priority::Normal);
    let gate = upstream.gate().map(|gate| &**gate);
    let mut for_exchange = gate.map(|gate| (gate, gate.waiter(Priority::Normal)));
    poll_fn(|cx| {
        desk.has_keeper(Some(cx.waker()));
        loop {
            desk.drop_late(clock::coarse_ms());
            let Some(until_ms) = desk.waits_until_ms() else { return Poll::Ready(Step::Done) };
            if !Arc::ptr_eq(&desk.upstream(), upstream) {
                return Poll::Ready(Step::Again);
            }
            let mut look_ms = until_ms;
            // First those that are there, and then one more.
            if let Some((gate, waiter)) = &mut for_exchange {
                let take = || desk.could_place(upstream).then_some(());
                match waiter.poll(cx.waker(), take) {
                    Turn::Enter(()) => return Poll::Ready(Step::Again),
                    Turn::Wait => {}
                    Turn::Refused => {
                        *waiter = gate.waiter(Priority::Normal);
                        look_ms = soon_ms();
                    }
                }
            }
            if gate.is_none_or(Gate::has_room) && desk.wants_connection(upstream) {
                match for_connection.poll(cx.waker(), || admission.take_permit()) {
                    Turn::Enter(()) => return Poll::Ready(Step::Open),
                    Turn::Wait => desk.keeper_waits.set(true),
                    Turn::Refused => {
                        // There is no place in the queue: later.
                        for_connection = admission.waiter(Priority::Normal);
                        look_ms = soon_ms();
                    }
                }
            }
            timer.set_at(until_ms.min(look_ms));
            if timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

fn soon_ms() -> u64 {
    clock::coarse_ms() + limits::ROOM_LOOK.as_millis() as u64
}
