//! Messages over TCP: what a listener says of them, and an upstream.

use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use fairwater_message::frame::{ClientIdentity, Framing, Greeting};

use crate::model::IdleRule;
use crate::span::Spanned;

#[derive(Debug, Clone)]
pub struct FramedListener {
    /// What clients send, and endpoints.
    pub request: Framing,
    pub reply: Framing,
    pub mode: FrameMode,
    /// Messages of one client that are under way at a time; at least one.
    pub in_flight_max: u32,
    /// The bytes of a message that balancing may go by.
    pub key: Option<Spanned<Range<u32>>>,
    pub ping: Option<Ping>,
    pub on_error: FrameErrors,
    /// What runs when its client goes is ended, instead of being waited for.
    pub aborts: bool,
    pub idle: IdleRule,
    /// What endpoints are told of the client in each message.
    pub identity: Option<ClientIdentity>,
}

/// How messages share the connections to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameMode {
    /// Each has a reply, and so many are under way on a connection at a time.
    Exchange { depth: u32 },
    /// They do not: each client has a connection of its own.
    Connection,
    /// None has a reply.
    Oneway,
}

/// A heartbeat that is answered here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    pub request: Payload,
    /// Absent means that nothing is answered.
    pub reply: Option<Payload>,
}

/// What a message is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// The body of one.
    Body(Vec<u8>),
    /// All that is sent.
    Whole(Vec<u8>),
}

/// What a client gets in place of a reply; without it its connection is closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrameErrors {
    /// No endpoint could be connected to.
    pub connect: Option<Payload>,
    /// Nothing came free in time.
    pub full: Option<Payload>,
    /// No reply in time.
    pub timeout: Option<Payload>,
    /// The endpoint closed before the end of its reply.
    pub closed: Option<Payload>,
}

/// What an upstream says of connections for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Kept open to each endpoint.
    pub kept: Option<Spanned<u32>>,
    /// Open to each endpoint at the most; absent means no limit but that of the upstream.
    pub max: Option<Spanned<NonZeroU32>>,
    pub greeting: Option<Greeting>,
    /// For the rest of a reply, from its first byte.
    pub reply_timeout: Duration,
    /// What is written of these, where it stands.
    pub written: Vec<Spanned<&'static str>>,
}

/// As long as for the body of a reply of HTTP.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

impl FramedListener {
    /// One with every other setting at its default.
    pub fn new(framing: Framing) -> Self {
        Self {
            request: framing.clone(),
            reply: framing,
            mode: FrameMode::Exchange { depth: 1 },
            in_flight_max: 1,
            key: None,
            ping: None,
            on_error: FrameErrors::default(),
            aborts: false,
            idle: IdleRule::Client,
            identity: None,
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            kept: None,
            max: None,
            greeting: None,
            reply_timeout: REPLY_TIMEOUT,
            written: Vec::new(),
        }
    }
}
