//! The compiled, immutable configuration, and every decision made on it: which route, which
//! endpoint. No IO, no clock, no runtime; randomness comes in as an argument.

mod admission;
mod alarm;
mod balance;
mod breaker;
mod connections;
mod current;
mod endpoint;
mod filter;
mod framed;
mod gate;
pub mod health;
mod limit;
mod listener;
mod overload;
mod queue;
mod rate;
mod reserve;
mod retry;
mod route;
mod slot;
pub mod sticky;
mod udp;
mod upstream;

pub use admission::{Admission, PlaceApart};
pub use alarm::Alarm;
pub use balance::{Balance, Draw, key_hash};
pub use breaker::{Breaker, BreakerRules, Change as BreakerChange, State as BreakerState};
pub use connections::{
    ClientLimit, ConnectionLimits, HandshakeLimits, PROBE_CONNECTIONS_MAX, Room, TooMany,
};
pub use current::{CurrentPlan, PlanReader};
pub use endpoint::{Dial, Endpoint, EndpointState, InFlight, is_failure};
pub use filter::{
    Access, BasicAuth, Claim, Cors, CorsRules, ErrorEntry, ErrorPage, ErrorPages, Filters,
    FixedReply, HeaderEdits, OriginPattern, Origins, PageFormat, PageValues, PathEdit, PathShape,
    Place, Redirect, RouteTimeouts, Statuses, Values, is_preflight,
};
pub use framed::{FrameErrors, FrameRules, Framed, Ping, Replies};
pub use gate::Gate;
pub use limit::{
    Budget, Caller, Counts, DEBT_NS_MAX, Denial, KeyRule, LIMITS_PER_REQUEST_MAX, Limit, LimitRule,
    Limits, Quota, Tally, Telling, V6_BITS, Wait,
};
pub use listener::{Listener, OnError, Protocol, ProxyProtocol, TcpIdle, Timeouts};
pub use overload::{CurrentLevel, Level, Overload, Usage, shed};
pub use queue::{Priority, Queue, Turn, Waiter};
pub use rate::Rate;
pub use reserve::{Reserve, Reservist};
pub use retry::{Deposits, Marked, RetryBudget, RetryRules};
pub use route::{
    Condition, Conditions, Destination, Facts, HostPattern, Hosts, PathPattern, Probe, Route,
    RouteRule, RouteTable, Segment, Unroutable, ValueRule,
};
pub use slot::{Slot, Slots};
pub use udp::Udp;
pub use upstream::{
    Choice, HostHeader, Pick, ProxyVersion, Shared, Tried, Upstream, UpstreamSettings,
    UpstreamTimeouts, UpstreamTls, Versions,
};

use std::sync::Arc;
use std::time::Duration;

/// Everything that a worker thread needs to know to serve.
#[derive(Debug)]
pub struct Plan {
    /// By their ids. One that is gone keeps its place while it may have connections.
    pub listeners: Arc<[Arc<Listener>]>,
    pub upstreams: Vec<Arc<Upstream>>,
    /// All that are named anywhere.
    pub limits: Vec<Arc<Limit>>,
    /// For running exchanges, after the order to stop.
    pub drain: Duration,
    /// The same, once another process serves in place of this one.
    pub replaced: Duration,
    /// The slots of all endpoints, for counters and pools, are below this.
    pub slots_end: usize,
}

/// The place of a listener in its plan, and in all that come after it.
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
