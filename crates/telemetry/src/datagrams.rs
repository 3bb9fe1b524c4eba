//! What is counted of datagrams.

use crate::Count;

/// Why a datagram goes no further. The words are those of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Dropped {
    /// From port 0, where nobody could be answered.
    BadSource,
    /// Of a client that has no flow, for which there was no room, no descriptor or no port.
    NoRoom,
    RateLimited,
    Overloaded,
    NoEndpoint,
    CircuitOpen,
    UpstreamFull,
    /// No endpoint could be sent to.
    Unreachable,
    /// For the way to the endpoint.
    TooLong,
    /// The kernel takes no more of them right now.
    Busy,
    /// Replies that the kernel takes not for the client.
    ReplyUnsent,
    /// Replies beyond what was asked for.
    ReplyExcess,
}

impl Dropped {
    pub const ALL: [Self; 12] = [
        Self::BadSource,
        Self::NoRoom,
        Self::RateLimited,
        Self::Overloaded,
        Self::NoEndpoint,
        Self::CircuitOpen,
        Self::UpstreamFull,
        Self::Unreachable,
        Self::TooLong,
        Self::Busy,
        Self::ReplyUnsent,
        Self::ReplyExcess,
    ];

    pub const fn reason(self) -> &'static str {
        match self {
            Self::BadSource => "bad_source",
            Self::NoRoom => "no_room",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::NoEndpoint => "no_endpoint",
            Self::CircuitOpen => "circuit_open",
            Self::UpstreamFull => "upstream_full",
            Self::Unreachable => "unreachable",
            Self::TooLong => "too_long",
            Self::Busy => "busy",
            Self::ReplyUnsent => "reply_unsent",
            Self::ReplyExcess => "reply_excess",
        }
    }
}

/// Of a listener.
#[derive(Debug, Default)]
pub struct DatagramCounters {
    /// From clients, and to them.
    pub received: Count,
    pub sent: Count,
    /// By [`Dropped`].
    pub dropped: [Count; Dropped::ALL.len()],
}

impl DatagramCounters {
    pub fn dropped(&self, reason: Dropped) {
        self.dropped[reason as usize].add(1);
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Count> {
        let Self { received, sent, dropped } = self;
        [received, sent].into_iter().chain(dropped)
    }
}
