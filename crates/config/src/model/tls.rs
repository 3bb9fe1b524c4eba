//! TLS of upstreams. What the files say is read and found good by then.

use fairwater_tls::Client;

/// How endpoints that speak TLS are spoken to.
#[derive(Debug, Clone)]
pub struct EndpointTls {
    pub client: Client,
    /// The name that they are asked for and checked against, in place of their own.
    pub server_name: Option<String>,
}
