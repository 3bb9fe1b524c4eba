//! How it is found out which endpoints are good: checks of our own, what endpoints say themselves,
//! and what becomes of requests.

use std::num::NonZeroU32;
use std::time::Duration;

use fairwater_message::address::Endpoint;

/// Active checks of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Health {
    pub check: Check,
    /// Good results in a row that bring an endpoint back; at least 1.
    pub rise: u32,
    /// Bad ones that take it out; at least 1.
    pub fall: u32,
    /// No traffic for endpoints that no check has found good.
    pub is_mandatory: bool,
}

/// What is asked of an endpoint, how often, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Check {
    pub kind: CheckKind,
    /// In place of the port of the endpoint.
    pub port: Option<u16>,
    pub interval: Duration,
    /// While results say otherwise than before.
    pub fast_interval: Duration,
    /// For each step: to connect, to shake hands, for the next bytes.
    pub timeout: Duration,
    /// For all of it.
    pub deadline: Duration,
    /// Of a reply, its head apart.
    pub body_bytes_max: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CheckKind {
    /// It accepts a connection.
    Tcp,
    Http(HttpCheck),
    /// It shakes hands.
    Tls,
    /// Its answer has some bytes in it.
    Bytes {
        send: Vec<u8>,
        expect: Vec<u8>,
    },
    /// The same of one datagram, and the first that answers it.
    Udp {
        send: Vec<u8>,
        expect: Vec<u8>,
    },
    /// It answers `PING`.
    Redis,
    /// `grpc.health.v1.Health/Check` for this service; empty is the server as a whole.
    Grpc {
        service: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HttpCheck {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Absent means that of requests, or the endpoint's own address where they keep the client's.
    pub host: Option<String>,
    pub headers: Vec<(String, String)>,
    /// Inclusive ranges; never empty.
    pub statuses: Vec<(u16, u16)>,
    /// What the body has to contain.
    pub body: Option<String>,
    /// The header in which an endpoint asks for a weight or for rest.
    pub advice_header: Option<String>,
}

/// A program beside each endpoint that says how it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Agent {
    pub port: u16,
    pub send: Vec<u8>,
    pub interval: Duration,
    pub timeout: Duration,
}

/// When endpoints are left alone for what became of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlier {
    /// Failures in a row; 0 is never.
    pub consecutive: u32,
    /// Points of percent that the rate of success may be below that of the others; 0 is any.
    pub success_points: u32,
    /// Requests of an endpoint in a window, below which its rate says nothing.
    pub requests_min: u32,
    pub window: Duration,
    /// The first ejection.
    pub ejection: Duration,
    pub ejection_max: Duration,
    /// Percent of the endpoints.
    pub ejected_max: u32,
}

/// What an endpoint has of its own beside its weight.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointRole {
    pub is_backup: bool,
    /// The lowest serves.
    pub priority: u32,
    /// Exchanges at a time; absent means no limit.
    pub concurrency: Option<NonZeroU32>,
    /// What is checked in its place.
    pub check: Option<Endpoint>,
}

/// Often enough that a dead endpoint is out within seconds.
const INTERVAL: Duration = Duration::from_secs(2);

impl Check {
    pub(crate) fn new(kind: CheckKind) -> Self {
        Self {
            kind,
            port: None,
            interval: INTERVAL,
            fast_interval: Duration::from_millis(500),
            timeout: Duration::from_secs(1),
            deadline: Duration::from_secs(2),
            body_bytes_max: 64 * 1024,
        }
    }
}

impl Health {
    pub(crate) fn new(kind: CheckKind) -> Self {
        Self { check: Check::new(kind), rise: 2, fall: 3, is_mandatory: false }
    }

    /// The shorthand: a GET of this path.
    pub fn http(path: &str) -> Self {
        Self::new(CheckKind::Http(HttpCheck::new(path)))
    }
}

impl HttpCheck {
    pub(crate) fn new(path: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            path: path.to_owned(),
            host: None,
            headers: Vec::new(),
            statuses: vec![(200, 399)],
            body: None,
            advice_header: None,
        }
    }
}

impl Agent {
    pub(crate) fn new(port: u16) -> Self {
        Self { port, send: Vec::new(), interval: INTERVAL, timeout: Duration::from_secs(1) }
    }
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            consecutive: 5,
            success_points: 30,
            requests_min: 100,
            window: Duration::from_secs(10),
            ejection: Duration::from_secs(10),
            ejection_max: Duration::from_secs(300),
            ejected_max: 50,
        }
    }
}
