//! An endpoint: one address that takes requests, and the state of it that all threads share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sticky::SessionId;
use crate::{Alarm, Gate, Slot};

/// Where an endpoint is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dial {
    /// The addresses of one host, tried in this order.
    Ip(Vec<SocketAddr>),
    Unix(PathBuf),
}

/// One address of an upstream.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The canonical address, as logs and metrics name it.
    pub identity: String,
    /// What `Host` says under `host = "endpoint"`.
    pub host: String,
    pub dial: Dial,
    /// Share of the traffic; 0 takes none.
    pub weight: u32,
    /// The most exchanges that it has at a time.
    pub in_flight_max: u32,
    /// The number of its state, at hand.
    pub slot: usize,
    /// What sessions that stay with it know it by.
    pub session: SessionId,
    pub state: Arc<EndpointState>,
}

/// What is known of an endpoint beyond one plan. On a cache line of its own: every thread writes
/// it.
#[derive(Debug)]
#[repr(align(128))]
pub struct EndpointState {
    in_flight: AtomicU32,
    /// Connections for messages that are open, on all threads.
    connections: AtomicU32,
    /// Failures in a row, of all threads.
    failures: AtomicU32,
    slot: Slot,
    alarm: Arc<Alarm>,
}

impl EndpointState {
    /// `alarm` is rung when it fails too often.
    pub fn new(slot: Slot, alarm: Arc<Alarm>) -> Self {
        let [in_flight, connections, failures] = [(); 3].map(|()| AtomicU32::new(0));
        Self { in_flight, connections, failures, slot, alarm }
    }

    /// The number under which it is counted and pooled, for as long as anybody holds the state.
    pub fn slot(&self) -> usize {
        self.slot.number()
    }

    /// Exchanges that were picked and are not over, on all threads.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Takes in how an exchange has ended. Each `failures_max` in a row are told of; none, if that
    /// is 0. A success writes nothing but the first after a failure.
    #[inline]
    pub fn observe(&self, is_good: bool, failures_max: u32) {
        if is_good {
            if self.failures.load(Ordering::Relaxed) > 0 {
                self.failures.store(0, Ordering::Relaxed);
            }
            return;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if failures_max > 0 && failures.is_multiple_of(failures_max) {
            self.alarm.ring();
        }
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Counts failures from 0 again.
    pub fn forgive(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// Counts a connection for messages, if there are less than that; `disconnect` takes it back.
    pub fn connect_below(&self, max: u32) -> bool {
        let one_more = |count| (count < max).then_some(count + 1);
        self.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    pub fn disconnect(&self) {
        let before = self.connections.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "every end follows its beginning");
    }

    /// Connections for messages that are open, on all threads.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// One more, if there are less than that.
    pub(crate) fn enter_below(&self, max: u32) -> bool {
        let one_more = |count| (count < max).then_some(count + 1);
        self.in_flight.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok()
    }

    /// Sequentially consistent for those who wait at a gate: see [`crate::Queue::call`].
    pub(crate) fn leave(&self) {
        let before = self.in_flight.fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before > 0, "every leave follows its enter");
    }
}

/// Whether a status tells against the endpoint that has sent it: 501 and 505 are about the request.
pub const fn is_failure(status: u16) -> bool {
    status >= 500 && !matches!(status, 501 | 505)
}

/// Keeps an exchange counted as in flight, apart from the plan: a tunnel may outlive it.
#[derive(Debug)]
pub struct InFlight {
    state: Arc<EndpointState>,
    gate: Option<Arc<Gate>>,
}

impl InFlight {
    pub(crate) fn new(state: &Arc<EndpointState>, gate: Option<&Arc<Gate>>) -> Self {
        state.enter();
        gate.inspect(|gate| gate.hold());
        Self::taken(state, gate)
    }

    /// Of an exchange that is counted already.
    pub(crate) fn taken(state: &Arc<EndpointState>, gate: Option<&Arc<Gate>>) -> Self {
        Self { state: Arc::clone(state), gate: gate.map(Arc::clone) }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.leave();
        if let Some(gate) = &self.gate {
            gate.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;
    use crate::Slots;

    #[test]
    fn failures_in_a_row_are_told_of() {
        let alarm = Arc::new(Alarm::default());
        let state = EndpointState::new(Arc::new(Slots::default()).take(), Arc::clone(&alarm));
        let rings = |count: u32, failures_max: u32| {
            let cx = &mut Context::from_waker(Waker::noop());
            let fail = |_| {
                state.observe(false, failures_max);
                u32::from(alarm.poll(cx).is_ready())
            };
            (0..count).map(fail).sum::<u32>()
        };
        assert_eq!(rings(4, 5), 0);
        state.observe(true, 5);
        assert_eq!((state.failures(), rings(4, 5)), (0, 0));
        assert_eq!(rings(1, 5), 1);
        assert_eq!(rings(5, 5), 1, "nothing was done about it");
        state.forgive();
        assert_eq!((rings(4, 5), rings(100, 0)), (0, 0));
    }
}
