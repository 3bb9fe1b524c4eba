//! A listener: where connections come in, and what they are taken for.

use std::net::IpAddr;
use std::time::Duration;

use fairwater_message::HeadLimits;
use fairwater_message::network::IpNet;
use fairwater_tls::Server;

use crate::{ConnectionLimits, Filters, Framed, Hosts, Limits, RouteTable, Udp, UpstreamId};

#[derive(Debug)]
pub struct Listener {
    pub name: String,
    pub protocol: Protocol,
    /// Peers say first whose connection it is.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Clients speak TLS.
    pub tls: Option<Server>,
    /// Beside HTTP/1.1.
    pub http2: bool,
    /// Peers whose word about the client is extended instead of replaced.
    pub trusted_proxies: Vec<IpNet>,
    pub timeouts: Timeouts,
    /// Proxies that a request may have passed before; more is taken for a loop.
    pub hops_max: u16,
    pub head: HeadLimits,
    pub connections: ConnectionLimits,
    /// For connections as they come; those of requests are among the filters.
    pub limits: Limits,
    /// What holds for replies to requests that have no route.
    pub filters: Option<Box<Filters>>,
}

/// Who says whose connections they make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    pub from: Vec<IpNet>,
    /// All peers on Unix sockets.
    pub from_unix: bool,
    /// Whether a connection without a header is closed.
    pub is_required: bool,
}

impl ProxyProtocol {
    /// Whether a peer, which has no address on a Unix socket, is believed.
    pub fn believes(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            Some(ip) => self.from.iter().any(|network| network.contains(ip)),
            None => self.from_unix,
        }
    }
}

/// How long clients of a listener may take. Those of a route and of an upstream come before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a TLS handshake; of raw connections also for a header of the PROXY protocol.
    pub handshake: Duration,
    /// For a whole request head, from its first byte.
    pub head: Duration,
    /// Between two requests; of a raw connection without a byte.
    pub idle: Duration,
    /// Without a byte of a body, each way.
    pub body: Duration,
    /// Of an upgraded connection without a byte.
    pub tunnel: Duration,
    /// For the second direction after the first was closed.
    pub half_close: Duration,
}

#[derive(Debug)]
pub enum Protocol {
    Http(Box<RouteTable>),
    Tcp {
        /// By the host that a TLS client asks for.
        upstreams: Hosts<UpstreamId>,
        on_error: OnError,
        idle: TcpIdle,
    },
    Framed(Box<Framed>),
    Udp(Udp),
    /// The listener is gone, but not all of its connections.
    Gone,
}

/// Bytes that a TCP client gets before the connection is closed; without them it is reset.
#[derive(Clone, Debug, Default)]
pub struct OnError {
    /// No endpoint could be connected.
    pub connect: Option<Vec<u8>>,
    /// The endpoint closed without having sent a byte.
    pub empty: Option<Vec<u8>>,
}

/// Whose bytes keep an idle TCP connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TcpIdle {
    #[default]
    Both,
    /// Only the client's: a heartbeat that it has to keep up.
    Client,
}

impl Listener {
    /// This listener for the connections that it leaves behind: they may end what runs.
    pub fn gone(&self) -> Self {
        Self {
            name: self.name.clone(),
            protocol: Protocol::Gone,
            proxy_protocol: None,
            tls: None,
            http2: self.http2,
            trusted_proxies: self.trusted_proxies.clone(),
            timeouts: self.timeouts,
            hops_max: self.hops_max,
            head: self.head,
            connections: self.connections.clone(),
            limits: Limits::default(),
            filters: None,
        }
    }

    /// Whether it answers those who ask how this process is, and does so to the last.
    pub fn has_probes(&self) -> bool {
        self.connections.has_reserve && !self.is_gone()
    }

    pub fn is_gone(&self) -> bool {
        matches!(self.protocol, Protocol::Gone)
    }

    /// Whether something comes before the protocol.
    #[inline]
    pub fn has_preamble(&self) -> bool {
        self.tls.is_some() || self.proxy_protocol.is_some()
    }

    /// Whether the client of a connection is another one than its peer, or may be.
    pub fn awaits_header(&self, peer: Option<IpAddr>) -> bool {
        self.proxy_protocol.as_ref().is_some_and(|rules| rules.believes(peer))
    }

    /// How long the header of a peer may take.
    pub fn header_timeout(&self) -> Duration {
        match (&self.protocol, &self.tls) {
            (Protocol::Http(_), None) => self.timeouts.head,
            _ => self.timeouts.handshake,
        }
    }

    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_believed_by_network_or_by_kind() {
        let from = ["10.0.0.0/8", "fd00::1"].map(|text| IpNet::parse(text).unwrap()).to_vec();
        for from_unix in [true, false] {
            let rules = ProxyProtocol { from: from.clone(), from_unix, is_required: true };
            let believes = |peer: &str| rules.believes(Some(peer.parse().unwrap()));
            assert!(believes("10.9.9.9") && believes("::ffff:10.9.9.9") && believes("fd00::1"));
            assert!(!believes("11.0.0.1") && !believes("fd00::2") && !believes("127.0.0.1"));
            assert_eq!(rules.believes(None), from_unix);
        }
    }
}
