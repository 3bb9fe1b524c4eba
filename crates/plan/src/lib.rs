//! The compiled, immutable configuration, and every decision made on it: which route, which
//! endpoint. No IO, no clock, no runtime; randomness comes in as an argument.

mod admission;
mod balance;
mod endpoint;
mod listener;
mod retry;
mod route;
mod upstream;

pub use admission::{Admission, Turn, Waiter};
pub use balance::{Balance, Draw};
pub use endpoint::{Dial, Endpoint, EndpointState, InFlight};
pub use listener::{Listener, OnError, Protocol, TcpIdle};
pub use retry::RetryBudget;
pub use route::{
    Condition, Conditions, Facts, HostPattern, PathPattern, Route, RouteRule, RouteTable, Segment,
    Unroutable, ValueRule,
};
pub use upstream::{HostHeader, Pick, Tried, Upstream, UpstreamSettings, UpstreamTimeouts};

use std::sync::Arc;

/// Everything that a worker thread needs to know to serve.
#[derive(Debug)]
pub struct Plan {
    pub listeners: Vec<Listener>,
    pub upstreams: Vec<Arc<Upstream>>,
    /// The number of endpoints of all upstreams: every endpoint has one slot below it, for counters
    /// and pools.
    pub endpoint_slots: usize,
}

/// The place of a listener in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u32);

/// The place of an upstream in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamId(pub u32);

impl Plan {
    pub fn listener(&self, id: ListenerId) -> &Listener {
        &self.listeners[id.0 as usize]
    }

    pub fn upstream(&self, id: UpstreamId) -> &Arc<Upstream> {
        &self.upstreams[id.0 as usize]
    }
}
