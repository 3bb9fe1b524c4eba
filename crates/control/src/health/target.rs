//! What is asked, and where: all that a probe depends on. Two that are equal are made once.

use std::net::SocketAddr;
use std::time::Duration;

use fairwater_config as config;
use fairwater_message::address::Endpoint as Address;
use fairwater_plan::Dial;
use fairwater_proto::proxy_protocol::{Client, Told, write_v1, write_v2};
use fairwater_tls::{Client as TlsClient, ClientSettings};

use crate::roster::Member;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub dial: Dial,
    pub ask: Ask,
    /// What `Host` says.
    pub host: String,
    pub tls: Option<Tls>,
    pub http2: Http2,
    /// What a connection begins with: that it is of nobody (PROXY protocol).
    pub header: Vec<u8>,
    /// Bare line feeds and folded fields are fine in replies.
    pub is_relaxed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Whether an endpoint is well.
    Check(config::Check),
    /// What the program beside it says.
    Agent(config::Agent),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tls {
    pub client: TlsClient,
    /// The name that is asked for and checked.
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http2 {
    No,
    /// Without asking.
    Always,
    /// If the handshake of TLS says so.
    Agreed,
}

impl Ask {
    pub(crate) fn intervals(&self) -> (Duration, Duration) {
        match self {
            Self::Check(check) => (check.interval, check.fast_interval),
            Self::Agent(agent) => (agent.interval, agent.interval),
        }
    }

    pub(crate) fn step(&self) -> Duration {
        match self {
            Self::Check(check) => check.timeout,
            Self::Agent(agent) => agent.timeout,
        }
    }

    pub(crate) fn deadline(&self) -> Duration {
        match self {
            Self::Check(check) => check.deadline,
            Self::Agent(agent) => agent.timeout,
        }
    }
}

impl Target {
    /// A text that no other has.
    pub(crate) fn key(&self) -> String {
        let Self { dial, ask, host, tls, http2, header, is_relaxed } = self;
        let tls = tls.as_ref().map(|tls| (tls.client.fingerprint(), &tls.name));
        format!("{dial:?} {ask:?} {host} {tls:?} {http2:?} {header:?} {is_relaxed}")
    }

    /// The check of an endpoint, if its upstream has any, and the endpoint an address.
    pub(crate) fn check(upstream: &config::Upstream, member: &Member) -> Option<Self> {
        let check = &upstream.health.as_ref()?.check;
        let dial = place(upstream, member, check.port)?;
        let (host, kind) = (of_host(upstream, check, member), &check.kind);
        // Who accepts a connection has done all that is asked.
        let tls = upstream.tls.as_ref().filter(|_| *kind != config::CheckKind::Tcp);
        let tls = tls.map(|tls| Tls {
            client: tls.client.clone(),
            name: tls.server_name.clone().unwrap_or_else(|| without_port(&member.host).to_owned()),
        });
        let tls = match kind {
            config::CheckKind::Tls => tls.or_else(|| any_certificate(&member.host)),
            _ => tls,
        };
        let http2 = match (kind, upstream.http2, &tls) {
            (config::CheckKind::Grpc { .. }, ..) | (_, Some(true), None) => Http2::Always,
            (_, Some(true), Some(_)) => Http2::Agreed,
            _ => Http2::No,
        };
        Some(Self {
            dial,
            ask: Ask::Check(check.clone()),
            host,
            tls,
            http2,
            header: header(upstream),
            is_relaxed: upstream.relaxed_responses,
        })
    }

    /// The agent of an endpoint.
    pub(crate) fn agent(upstream: &config::Upstream, member: &Member) -> Option<Self> {
        let agent = upstream.agent.as_ref()?;
        Some(Self {
            dial: place(upstream, member, Some(agent.port))?,
            ask: Ask::Agent(agent.clone()),
            host: String::new(),
            tls: None,
            http2: Http2::No,
            header: Vec::new(),
            is_relaxed: false,
        })
    }
}

/// Where an endpoint is asked: at an address of its own for that, or on its host.
fn place(upstream: &config::Upstream, member: &Member, port: Option<u16>) -> Option<Dial> {
    let is_agent_port = |port: &u16| upstream.agent.as_ref().is_some_and(|a| a.port == *port);
    let dial = match &member.check {
        Some(Address::Ip(ip)) => match port.filter(is_agent_port) {
            Some(port) => Dial::Ip(vec![SocketAddr::new(ip.ip(), port)]),
            None => Dial::Ip(vec![*ip]),
        },
        Some(Address::Unix(path)) => Dial::Unix(path.clone()),
        _ => match (&member.dial, port) {
            (Dial::Ip(addresses), Some(port)) => {
                Dial::Ip(addresses.iter().map(|ip| SocketAddr::new(ip.ip(), port)).collect())
            }
            (dial, _) => dial.clone(),
        },
    };
    match &dial {
        Dial::Ip(addresses) if addresses.is_empty() => None,
        _ => Some(dial),
    }
}

/// The `Host` of a check.
fn of_host(upstream: &config::Upstream, check: &config::Check, member: &Member) -> String {
    let own = match &check.kind {
        config::CheckKind::Http(http) => http.host.clone(),
        _ => None,
    };
    own.unwrap_or_else(|| match &upstream.host {
        config::HostRule::Literal(name) => name.clone(),
        config::HostRule::Keep | config::HostRule::Endpoint => member.host.clone(),
    })
}

/// A handshake with whoever is there.
fn any_certificate(host: &str) -> Option<Tls> {
    let client = TlsClient::new(ClientSettings::default()).ok()?;
    Some(Tls { client, name: without_port(host).to_owned() })
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn header(upstream: &config::Upstream) -> Vec<u8> {
    let mut header = Vec::new();
    match upstream.proxy_protocol {
        Some(config::ProxyVersion::V1) => write_v1(&mut header, Client::Sender),
        Some(config::ProxyVersion::V2) => write_v2(&mut header, Client::Sender, Told::default()),
        None => {}
    }
    header
}
