//! What of a kind may come in a time.

use std::fmt;

use crate::span::Spanned;

/// One `[rate_limits.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    pub name: Spanned<String>,
    pub counts: RateCounts,
    pub key: RateKey,
    /// So many in so many seconds; neither is 0.
    pub count: u64,
    pub seconds: u64,
    /// So many at once; not 0.
    pub burst: u64,
    pub telling: RateTelling,
    /// How many keys are told apart.
    pub keys: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateCounts {
    #[default]
    Requests,
    Connections,
    Bytes,
}

impl RateCounts {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Connections => "connections",
            Self::Bytes => "bytes",
        }
    }
}

/// What has a budget of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateKey {
    Client {
        v4_bits: u8,
        v6_bits: u8,
    },
    /// In lower case.
    Header(String),
    Cookie(String),
    Route,
}

/// Of IPv6 whoever has one address has the whole /64.
impl Default for RateKey {
    fn default() -> Self {
        Self::Client { v4_bits: 32, v6_bits: 64 }
    }
}

/// As it is written.
impl fmt::Display for RateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            key if *key == Self::default() => f.write_str("client"),
            Self::Client { v4_bits, v6_bits } => write!(f, "client/{v4_bits}/{v6_bits}"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Route => f.write_str("route"),
        }
    }
}

/// Which replies tell of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateTelling {
    #[default]
    Denied,
    Always,
    Never,
}

impl RateLimit {
    pub(crate) fn new(name: Spanned<String>) -> Self {
        Self {
            name,
            counts: RateCounts::default(),
            key: RateKey::default(),
            count: 1,
            seconds: 1,
            burst: 1,
            telling: RateTelling::default(),
            keys: 1,
        }
    }
}
