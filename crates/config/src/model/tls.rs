//! TLS. What the files say is read and found good by then.

use std::path::PathBuf;

use fairwater_tls::{Client, Server};

use crate::span::Spanned;

/// A listener whose clients speak TLS.
#[derive(Debug, Clone)]
pub struct ListenerTls {
    pub server: Server,
    pub certificates: Vec<Certificate>,
    /// Of a certificate that is made up: the names that it has beside the hosts of routes.
    pub made_up_for: Option<Vec<String>>,
}

/// A certificate of a listener, for those who look after it.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Whose it is, and its file if that is one of many, for messages.
    pub shown: String,
    /// Seconds since the epoch, where it is named.
    pub not_after: Spanned<u64>,
    /// The file of its key.
    pub key: Spanned<PathBuf>,
}

/// How endpoints that speak TLS are spoken to.
#[derive(Debug, Clone)]
pub struct EndpointTls {
    pub client: Client,
    /// The name that they are asked for and checked against, in place of their own.
    pub server_name: Option<String>,
}
