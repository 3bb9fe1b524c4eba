//! The PROXY protocol, with clients and with endpoints.

use fairwater_message::network::IpNet;

use crate::span::Spanned;

/// Who says whose connections they make to a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyProtocol {
    pub from: Vec<Spanned<IpNet>>,
    /// All peers on Unix sockets.
    pub from_unix: bool,
    /// Whether a connection without a header is closed.
    pub is_required: bool,
}

/// The form of the header that endpoints get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    V1,
    V2,
}
