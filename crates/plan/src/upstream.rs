//! An upstream: a named set of endpoints, how one of them is picked, and how many connections may
//! be open to them.

use std::sync::Arc;
use std::time::Duration;

use fairwater_message::{GrpcCodes, HeadLimits};
use fairwater_tls::Client;

use crate::{Admission, Balance, Draw, Endpoint};

/// The most endpoints that one exchange tries.
const TRIED_MAX: usize = 8;

/// Which `Host` endpoints get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    #[default]
    Keep,
    Endpoint,
    Name(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamSettings {
    pub name: String,
    /// Its place in the plan.
    pub index: usize,
    pub host: HostHeader,
    pub keep_alive: bool,
    /// Endpoints are told first whose connection it is; no other client uses it.
    pub proxy_protocol: Option<ProxyVersion>,
    /// Endpoints speak TLS.
    pub tls: Option<UpstreamTls>,
    pub versions: Versions,
    /// Requests after which a connection to an endpoint is closed, and time after which it is.
    pub max_requests: Option<u32>,
    pub max_age: Option<Duration>,
    pub relaxed_responses: bool,
    pub head: HeadLimits,
    pub timeouts: UpstreamTimeouts,
    /// Further endpoints that an exchange may try.
    pub retries: u32,
    /// What calls of gRPC may end with and be tried again.
    pub grpc_retries: GrpcCodes,
    /// Failures in a row that are told of; 0 is none.
    pub failures_max: u32,
}

/// What endpoints are spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    #[default]
    Http1,
    /// Without asking.
    Http2,
    /// As the handshake of TLS says.
    Agreed,
}

/// The form in which endpoints are told of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    V1,
    V2,
}

/// How endpoints are spoken to.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamTls {
    pub client: Client,
    /// The name that they are asked for and checked against, in place of their own.
    pub name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    pub connect: Duration,
    pub response: Duration,
    pub idle: Duration,
    pub queue: Duration,
}

#[derive(Debug)]
pub struct Upstream {
    pub settings: UpstreamSettings,
    pub endpoints: Vec<Endpoint>,
    /// Known, and out of the traffic: nothing is sent to them, and no connection is kept.
    pub resting: Vec<Endpoint>,
    balance: Balance,
    admission: Arc<Admission>,
}

impl Upstream {
    pub fn new(
        settings: UpstreamSettings,
        endpoints: Vec<Endpoint>,
        balance: Balance,
        admission: Arc<Admission>,
    ) -> Self {
        Self { settings, endpoints, resting: Vec::new(), balance, admission }
    }

    #[must_use]
    pub fn with_resting(self, resting: Vec<Endpoint>) -> Self {
        Self { resting, ..self }
    }

    /// All endpoints that there are, whether or not they get traffic.
    pub fn known(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().chain(&self.resting)
    }

    /// Picks an endpoint that was not tried yet, or `None` when none is left. The exchange counts
    /// as in flight there until the pick is dropped.
    pub fn pick(&self, draw: Draw, tried: &mut Tried) -> Option<Pick<'_>> {
        let index = self.balance.pick(&self.endpoints, draw, tried)?;
        tried.add(index);
        let endpoint = &self.endpoints[index];
        endpoint.state.enter();
        Some(Pick { endpoint })
    }

    /// Whether a pick depends on the client's address, which is not free to find out.
    pub fn hashes_clients(&self) -> bool {
        self.balance.hashes_clients()
    }

    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }
}

/// A picked endpoint; counts as one exchange in flight while it lives.
#[derive(Debug)]
pub struct Pick<'a> {
    pub endpoint: &'a Endpoint,
}

impl Drop for Pick<'_> {
    fn drop(&mut self) {
        self.endpoint.state.leave();
    }
}

/// The endpoints that one exchange has tried, so that a retry goes elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    indexes: [u32; TRIED_MAX],
    len: u8,
}

impl Tried {
    pub fn contains(&self, index: usize) -> bool {
        self.indexes[..usize::from(self.len)].iter().any(|&tried| tried as usize == index)
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn add(&mut self, index: usize) {
        if usize::from(self.len) < TRIED_MAX {
            self.indexes[usize::from(self.len)] = index as u32;
            self.len += 1;
        }
    }
}
