//! Which route a request takes. An exact host comes before a wildcard and that before any host;
//! then, segment by segment, a literal before a capture and that before a prefix which ends there;
//! then more conditions before fewer. Ten thousand routes cost what ten cost: a hash look-up for
//! each label of the host and each segment of the path at the most.

mod condition;
mod host;
mod map;
mod path;
mod pattern;
mod trie;

use std::collections::HashMap;
use std::net::Ipv6Addr;

use fairwater_message::target;

use crate::{Filters, FixedReply, Redirect, UpstreamId};
pub use condition::{Condition, Conditions, Facts, ValueRule};
pub use host::{HostPattern, Hosts};
use path::PathTable;
pub use pattern::{PathPattern, Segment};

/// Which requests go where.
#[derive(Clone, Debug)]
pub struct RouteRule {
    pub host: HostPattern,
    pub path: PathPattern,
    pub conditions: Conditions,
    pub route: Route,
}

impl RouteRule {
    /// One for whatever no other takes.
    pub fn of_all(route: Route) -> Self {
        let (host, path) = (HostPattern::Any, PathPattern::Any);
        Self { host, path, conditions: Conditions::default(), route }
    }

    fn takes_everything(&self) -> bool {
        self.host == HostPattern::Any
            && self.path == PathPattern::Any
            && self.conditions.0.is_empty()
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Among the routes of the configuration; none for what a listener says itself.
    pub place: Option<u32>,
    pub destination: Destination,
    pub filters: Option<Box<Filters>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    Upstream(UpstreamId),
    Redirect(Box<Redirect>),
    Reply(Box<FixedReply>),
    Probe(Probe),
}

/// A question about this process, for those who send it requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Whether it runs.
    Live,
    /// Whether it shall get requests.
    Ready,
}

impl Route {
    /// One that does nothing but send requests on.
    pub fn to(upstream: UpstreamId) -> Self {
        Self { place: None, destination: Destination::Upstream(upstream), filters: None }
    }
}

/// Why a request has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unroutable {
    /// The path can be read in two ways.
    AmbiguousPath,
    NoRoute,
}

/// The routes of one listener.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Route>,
    hosts: Hosts<PathTable>,
    /// There is but one, and it takes everything.
    is_sole: bool,
}

impl RouteTable {
    pub fn new(rules: Vec<RouteRule>) -> Self {
        let is_sole = matches!(&rules[..], [sole] if sole.takes_everything());
        let mut table = Self { is_sole, ..Self::default() };
        let mut hosts: HashMap<HostPattern, Vec<_>> = HashMap::new();
        for rule in rules {
            let of_host = hosts.entry(rule.host).or_default();
            of_host.push((rule.path, rule.conditions, table.routes.len()));
            table.routes.push(rule.route);
        }
        for (host, rules) in hosts {
            table.hosts.insert(host, PathTable::new(rules));
        }
        table
    }

    /// The route of a request.
    ///
    /// # Errors
    /// See [`Unroutable`].
    pub fn find(&self, facts: Facts<'_>) -> Result<&Route, Unroutable> {
        let path = target::path_of(facts.head.path.of(facts.bytes));
        let path = if path.is_empty() { b"/" } else { path };
        let mut scratch = Vec::new(); // allocates only for a path that is not in normal form
        let path =
            target::normal_path(path, &mut scratch).map_err(|_| Unroutable::AmbiguousPath)?;
        if self.is_sole {
            return Ok(&self.routes[0]);
        }
        let take = |paths: &PathTable| paths.find(path, facts);
        let by_host = if self.hosts.are_alike() { None } else { self.find_by_host(facts, take) };
        let found = by_host.or_else(|| self.hosts.any().and_then(take));
        found.map(|route| &self.routes[route]).ok_or(Unroutable::NoRoute)
    }

    fn find_by_host(
        &self,
        facts: Facts<'_>,
        take: impl Fn(&PathTable) -> Option<usize>,
    ) -> Option<usize> {
        let host = target::host_of(facts.head.authority.of(facts.bytes));
        match host.first() {
            Some(b'[') => self.hosts.find(shortest_ipv6(host)?.as_bytes(), take),
            _ => self.hosts.find(host, take),
        }
    }
}

/// A bracketed address in the one spelling that the configuration gives it.
#[cold]
fn shortest_ipv6(host: &[u8]) -> Option<String> {
    let literal = std::str::from_utf8(host).ok()?.strip_prefix('[')?.strip_suffix(']')?;
    literal.parse::<Ipv6Addr>().ok().map(|ip| format!("[{ip}]"))
}

#[cfg(test)]
mod tests;
