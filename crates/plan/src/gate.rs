//! How many exchanges an upstream and its endpoints have at a time: those beyond wait in one queue,
//! whichever endpoint comes free.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Priority, Queue, Waiter};

/// The gate of an upstream, where its endpoints or the whole of it take only so many exchanges at a
/// time. How many an endpoint has is counted at the endpoint.
#[derive(Debug)]
pub struct Gate {
    in_flight: AtomicU32,
    max: AtomicU32,
    queue: Queue,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            max: AtomicU32::new(u32::MAX),
            queue: Queue::default(),
        }
    }
}

impl Gate {
    /// So many exchanges at a time over all endpoints, and so many that wait. What is beyond goes
    /// on. There may be more room than before at any of the endpoints: all who wait look for it.
    pub fn set(&self, max: Option<u32>, queue_max: u32) {
        self.max.store(max.unwrap_or(u32::MAX), Ordering::SeqCst);
        self.queue.set_max(queue_max);
        self.queue.call_all();
    }

    /// Exchanges that were let in and are not over.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Exchanges that wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// A place in the queue, taken when it is first polled.
    pub fn waiter(&self, priority: Priority) -> Waiter<'_> {
        self.queue.waiter(priority)
    }

    pub(crate) fn enter(&self) -> bool {
        let max = self.max.load(Ordering::Relaxed);
        let one_more = |count| (count < max).then_some(count + 1);
        self.in_flight.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok()
    }

    /// Whether one more may enter, at this moment.
    pub fn has_room(&self) -> bool {
        self.in_flight.load(Ordering::SeqCst) < self.max.load(Ordering::Relaxed)
    }

    /// One more, whatever the limit is: it was let in before.
    pub(crate) fn hold(&self) {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
    }

    /// Gives back what was of no use, and tells nobody: who takes it in turn holds the queue.
    pub(crate) fn give_back(&self) {
        let before = self.in_flight.fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before > 0, "every leave follows its enter");
    }

    /// To be called after the endpoint has counted one less.
    pub(crate) fn leave(&self) {
        self.give_back();
        self.queue.call();
    }

    /// Calls who is next: also by a waiter whose turn it was and who has taken nothing.
    pub fn call(&self) {
        self.queue.call();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::balance::tests::endpoints;
    use crate::queue::tests::Parked;
    use crate::upstream::tests::upstream_of;
    use crate::{Choice, Draw, Reserve, Reservist, Tried, Turn, Upstream};

    const DRAW: Draw = Draw { random: 0, client: None, key: None, seat: None };

    /// An upstream of endpoints that take so many at a time, with weights.
    fn upstream(all: &[(u32, u32)], max: Option<u32>, reserve: &[u32]) -> Upstream {
        let weights: Vec<_> = all.iter().map(|(weight, _)| *weight).collect();
        let mut endpoints = endpoints(&weights);
        for (endpoint, (_, max)) in endpoints.iter_mut().zip(all) {
            endpoint.in_flight_max = *max;
        }
        let gate = Gate::default();
        gate.set(max, 100);
        let reserve = reserve.iter().map(|&index| Reservist { index, weight: 1 }).collect();
        upstream_of(endpoints, Some(gate)).with_reserve(Reserve::new(vec![reserve]))
    }

    fn gate(upstream: &Upstream) -> &Gate {
        upstream.gate().unwrap()
    }

    /// What is picked for one who has tried nothing.
    fn choose(upstream: &Upstream) -> Choice<'_> {
        upstream.pick_at_once(gate(upstream), DRAW, &mut Tried::default())
    }

    fn place(choice: &Choice<'_>) -> Option<usize> {
        match choice {
            Choice::Pick(pick) => Some(pick.endpoint.slot),
            _ => None,
        }
    }

    #[test]
    fn a_session_waits_for_its_endpoint_while_others_have_room() {
        let upstream = upstream(&[(1, 1), (1, 1), (0, 1)], None, &[]);
        for seat in [0, 2] {
            let draw = Draw { seat: Some(seat), ..DRAW };
            let tried = &mut Tried::default();
            let first = upstream.pick_at_once(gate(&upstream), draw, tried);
            assert_eq!(place(&first), Some(seat as usize));
            let second = upstream.pick_at_once(gate(&upstream), draw, &mut Tried::default());
            assert!(matches!(second, Choice::Full));
            // Where it has failed, any other does.
            let next = upstream.pick_at_once(gate(&upstream), draw, tried);
            assert!(place(&next).is_some_and(|found| found < 2 && found != seat as usize));
        }
        assert_eq!(gate(&upstream).in_flight(), 0);
    }

    #[test]
    fn those_that_have_room_are_picked_and_nobody_else() {
        let upstream = upstream(&[(1, 1), (1, 2), (0, 9)], None, &[2]);
        let picks: Vec<_> = (0..3).map(|_| choose(&upstream)).collect();
        let mut places: Vec<_> = picks.iter().filter_map(place).collect();
        places.sort_unstable();
        assert_eq!(places, [0, 1, 1]);
        assert!(matches!(choose(&upstream), Choice::Full), "who is in reserve does not help out");
        assert_eq!(gate(&upstream).in_flight(), 3);
        drop(picks);
        assert_eq!(gate(&upstream).in_flight(), 0);
        assert!(place(&choose(&upstream)).is_some());
    }

    #[test]
    fn who_is_in_reserve_is_tried_when_the_others_were() {
        let upstream = upstream(&[(1, 1), (0, 1)], None, &[1]);
        let mut tried = Tried::default();
        let mut pick = || upstream.pick_at_once(gate(&upstream), DRAW, &mut tried);
        assert_eq!([place(&pick()), place(&pick()), place(&pick())], [Some(0), Some(1), None]);
        assert!(matches!(pick(), Choice::None));
        assert_eq!(gate(&upstream).in_flight(), 0);
    }

    #[test]
    fn an_upstream_has_a_limit_of_its_own() {
        let upstream = upstream(&[(1, 9), (1, 9)], Some(2), &[]);
        let picks = [choose(&upstream), choose(&upstream)];
        assert!(picks.iter().all(|pick| place(pick).is_some()));
        assert!(matches!(choose(&upstream), Choice::Full));
        // A tunnel keeps its place, apart from the pick.
        let [Choice::Pick(pick), other] = picks else { panic!("two picks") };
        let held = upstream.hold(pick.endpoint);
        drop((pick, other));
        assert_eq!(gate(&upstream).in_flight(), 1);
        drop(held);
        assert_eq!(gate(&upstream).in_flight(), 0);
    }

    /// A call that is lost leaves a thread parked for ever. Some have tried an endpoint and cannot
    /// take it: what is free there is for those behind them.
    #[test]
    fn threads_that_fight_for_room_all_get_some() {
        for max in [None, Some(2)] {
            let upstream = upstream(&[(1, 1), (3, 2)], max, &[]);
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let upstream = &upstream;
                    scope.spawn(move || {
                        let waker = Parked::waker();
                        for round in 0..5000_u64 {
                            let draw = Draw { random: round, client: None, key: None, seat: None };
                            let mut tried = Tried::default();
                            if thread == 0 {
                                tried.add((round % 2) as usize);
                            }
                            let pick = take(upstream, draw, &mut tried, &waker);
                            assert!(pick.endpoint.state.in_flight() <= pick.endpoint.in_flight_max);
                            assert!(gate(upstream).in_flight() <= max.unwrap_or(3) + 1);
                        }
                    });
                }
            });
            assert_eq!((gate(&upstream).in_flight(), gate(&upstream).waiting()), (0, 0));
        }
    }

    fn take<'a>(
        upstream: &'a Upstream,
        draw: Draw,
        tried: &mut Tried,
        waker: &Waker,
    ) -> crate::Pick<'a> {
        let gate = gate(upstream);
        if let Choice::Pick(pick) = upstream.pick_at_once(gate, draw, tried) {
            return pick;
        }
        let mut waiter = gate.waiter(Priority::Normal);
        loop {
            let turn = waiter.poll(waker, || match upstream.pick_in_turn(gate, draw, tried) {
                Choice::Pick(pick) => Some(pick),
                _ => None,
            });
            match turn {
                Turn::Enter(pick) => return pick,
                _ => std::thread::park(),
            }
        }
    }
}
