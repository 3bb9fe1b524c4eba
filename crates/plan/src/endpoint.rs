//! An endpoint: one address that takes requests, and the state of it that all threads share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Slot;

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
    /// The number of its state, at hand.
    pub slot: usize,
    pub state: Arc<EndpointState>,
}

/// What is known of an endpoint beyond one plan. On a cache line of its own: every thread writes
/// it.
#[derive(Debug)]
#[repr(align(128))]
pub struct EndpointState {
    in_flight: AtomicU32,
    slot: Slot,
}

impl Endpoint {
    /// Counts an exchange as in flight that was picked elsewhere.
    pub fn hold(&self) -> InFlight {
        InFlight::new(&self.state)
    }
}

impl EndpointState {
    pub fn new(slot: Slot) -> Self {
        Self { in_flight: AtomicU32::new(0), slot }
    }

    /// The number under which it is counted and pooled, for as long as anybody holds the state.
    pub fn slot(&self) -> usize {
        self.slot.number()
    }

    /// Exchanges that were picked and are not over, on all threads.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self) {
        let before = self.in_flight.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "every leave follows its enter");
    }
}

/// Keeps an exchange counted as in flight, apart from the plan: a tunnel may outlive it.
#[derive(Debug)]
pub struct InFlight(Arc<EndpointState>);

impl InFlight {
    pub(crate) fn new(state: &Arc<EndpointState>) -> Self {
        state.enter();
        Self(Arc::clone(state))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.leave();
    }
}
