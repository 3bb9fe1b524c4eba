//! `sticky` of an upstream: whose requests stay with an endpoint.

use std::time::Duration;

use fairwater_tls::SealKey;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sticky {
    /// By the address of the client.
    Address,
    /// By a cookie that clients are given.
    Cookie(StickyCookie),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickyCookie {
    pub name: String,
    pub secure: CookieSecure,
    pub same_site: SameSite,
    pub http_only: bool,
    pub path: String,
    /// Absent means the host of the request alone.
    pub domain: Option<String>,
    /// Absent means until the browser ends.
    pub max_age: Option<Duration>,
    /// Of the secrets, the first one first; none means one of the process's own.
    pub keys: Vec<SealKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CookieSecure {
    /// If the client came over TLS.
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SameSite {
    Strict,
    #[default]
    Lax,
    None,
}

impl StickyCookie {
    /// What the key of a secret is for.
    pub const PURPOSE: &str = "session cookie";

    /// One with every other setting at its default.
    pub fn new(name: String) -> Self {
        Self {
            name,
            secure: CookieSecure::default(),
            same_site: SameSite::default(),
            http_only: true,
            path: "/".to_owned(),
            domain: None,
            max_age: None,
            keys: Vec::new(),
        }
    }

    /// The name of the cookie of an upstream that gives none: other upstreams have others.
    pub fn name_for(upstream: &str) -> String {
        let hash = fairwater_tls::fingerprint(upstream.as_bytes());
        format!("fairwater_{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2])
    }
}
