//! Datagrams: a listener that takes them, and the flows that it knows them by.

use crate::UpstreamId;

/// A listener for datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    pub upstream: UpstreamId,
    /// Flows at a time, on each thread and address. Who is silent for the longest makes room.
    pub flows_max: u32,
    /// Replies to each datagram of a client: a flow that owes none is over. Absent means that
    /// nobody knows how many there will be, and that only silence ends it.
    pub replies_max: Option<u32>,
}
