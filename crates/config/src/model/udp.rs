//! What only listeners for datagrams have.

use std::num::NonZeroU32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpListener {
    /// Flows at a time, of each thread and address.
    pub flows_max: u32,
    /// Replies to each datagram of a client; absent means that nobody knows.
    pub replies_max: Option<NonZeroU32>,
}

/// Each flow has a port of this machine, and Linux has 28 232 for that (`ip_local_port_range`):
/// room for three threads.
pub(crate) const FLOWS_DEFAULT: u32 = 8192;

impl Default for UdpListener {
    fn default() -> Self {
        Self { flows_max: FLOWS_DEFAULT, replies_max: None }
    }
}
