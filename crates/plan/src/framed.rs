//! Messages over TCP: how those of a listener are told apart, and how they share connections to
//! endpoints.

use std::ops::Range;
use std::sync::Arc;

use fairwater_message::frame::{ClientIdentity, Framing};

use crate::{Hosts, TcpIdle, UpstreamId};

/// A listener for messages.
#[derive(Debug)]
pub struct Framed {
    /// By the host that a TLS client asks for.
    pub upstreams: Hosts<UpstreamId>,
    pub rules: Arc<FrameRules>,
}

/// What holds for the messages of a listener. Connections to endpoints are shared by those who have
/// the same rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameRules {
    /// What clients send.
    pub request: Framing,
    /// What endpoints send.
    pub reply: Framing,
    pub replies: Replies,
    /// Messages of one client that are under way at a time; their replies come in their order.
    pub in_flight_max: u32,
    /// The bytes of a message that balancing may go by; counted from its first one.
    pub key: Option<Range<u32>>,
    /// A message that is answered here.
    pub ping: Option<Ping>,
    pub on_error: FrameErrors,
    /// What runs when its client goes is ended with its connection, instead of being waited for.
    pub aborts: bool,
    pub idle: TcpIdle,
    /// What is written into each message, in front of its body, about its client.
    pub identity: Option<ClientIdentity>,
}

/// What follows a message on the connection that it was sent over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    /// One reply to each; so many messages may be under way on a connection at a time.
    One { depth: u32 },
    /// None ever.
    None,
}

/// A heartbeat of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// The whole message.
    pub request: Vec<u8>,
    /// What it is answered with; nothing, if that is empty.
    pub reply: Vec<u8>,
}

/// Bytes that a client gets in place of a reply, by what has become of its message; without them
/// its connection is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameErrors {
    /// No endpoint could be connected to, or none is there.
    pub connect: Option<Vec<u8>>,
    /// Nothing came free in time.
    pub full: Option<Vec<u8>>,
    /// No reply in time.
    pub timeout: Option<Vec<u8>>,
    /// The endpoint has closed, or broken its rules, before the end of its reply.
    pub closed: Option<Vec<u8>>,
}
