//! What becomes of requests when endpoints fail or have too much to do.

use std::num::NonZeroU32;
use std::time::Duration;

use fairwater_message::GrpcCodes;

/// More would multiply the load when it hurts most.
const RETRIES_DEFAULT: u32 = 2;
/// Enough for what failed together not to come again together, and hardly felt.
const BACKOFF_DEFAULT: Duration = Duration::from_millis(25);
/// What a second of many small requests is; who is behind more of them waits too long anyway.
const QUEUE_DEFAULT: u32 = 4096;

/// When requests are sent once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Further endpoints that an exchange may try.
    pub count: u32,
    /// Calls of gRPC that end with one of these are tried again.
    pub grpc: GrpcCodes,
    /// Replies that are as good as none, as ranges of statuses.
    pub statuses: Vec<(u16, u16)>,
    pub unsafe_ones: Repeatable,
    /// For the head of a reply, while another endpoint can be tried.
    pub patience: Option<Duration>,
    /// The longest first pause.
    pub backoff: Duration,
}

/// Which requests may be sent twice although their method does not say so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Repeatable {
    #[default]
    None,
    All,
    /// Those with this field, in lower case.
    Marked(String),
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            count: RETRIES_DEFAULT,
            grpc: GrpcCodes::default(),
            statuses: Vec::new(),
            unsafe_ones: Repeatable::None,
            patience: None,
            backoff: BACKOFF_DEFAULT,
        }
    }
}

/// How many exchanges there are at a time, and how many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowd {
    /// Over all endpoints; absent means no limit.
    pub max: Option<NonZeroU32>,
    pub queue_max: u32,
}

impl Default for Crowd {
    fn default() -> Self {
        Self { max: None, queue_max: QUEUE_DEFAULT }
    }
}

/// When an upstream is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// Of the requests in a window.
    pub failed_percent: u32,
    pub requests_min: u32,
    pub window: Duration,
    pub open: Duration,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            failed_percent: 50,
            requests_min: 20,
            window: Duration::from_secs(10),
            open: Duration::from_secs(5),
        }
    }
}

/// Which requests get room first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Priority {
    High,
    #[default]
    Normal,
    Low,
}
