//! Which route a request takes. An exact host comes before a wildcard and that before any host;
//! then, segment by segment, a literal before a capture and that before a prefix which ends there;
//! then more conditions before fewer. Ten thousand routes cost what ten cost: a hash look-up for
//! each label of the host and each segment of the path at the most.

mod condition;
mod path;
mod pattern;
mod trie;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::Ipv6Addr;

use fairwater_message::target;
use xxhash_rust::xxh3::xxh3_64;

use crate::{Filters, FixedReply, Redirect, UpstreamId};
pub use condition::{Condition, Conditions, Facts, ValueRule};
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
}

/// Hosts in lower case, without port and final dot.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    #[default]
    Any,
    Exact(String),
    /// All hosts that end with this, which begins with a dot.
    Wildcard(String),
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
    hosts: Map<PathTable>,
    /// By their ends, which begin with a dot.
    wildcards: Map<PathTable>,
    wildcard_bytes_max: usize,
    any_host: PathTable,
}

type Map<T> = HashMap<Box<[u8]>, T, BuildHasherDefault<OneShot>>;

impl RouteTable {
    pub fn new(rules: Vec<RouteRule>) -> Self {
        let mut table = Self::default();
        let mut hosts: HashMap<HostPattern, Vec<_>> = HashMap::new();
        for rule in rules {
            let of_host = hosts.entry(rule.host).or_default();
            of_host.push((rule.path, rule.conditions, table.routes.len()));
            table.routes.push(rule.route);
        }
        for (host, rules) in hosts {
            let paths = PathTable::new(rules);
            match host {
                HostPattern::Any => table.any_host = paths,
                HostPattern::Exact(host) => {
                    table.hosts.insert(host.into_bytes().into(), paths);
                }
                HostPattern::Wildcard(end) => {
                    table.wildcard_bytes_max = table.wildcard_bytes_max.max(end.len());
                    table.wildcards.insert(end.into_bytes().into(), paths);
                }
            }
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
        let mut found = None;
        if !(self.hosts.is_empty() && self.wildcards.is_empty()) {
            found = self.find_by_host(path, facts);
        }
        let found = found.or_else(|| self.any_host.find(path, facts));
        found.map(|route| &self.routes[route]).ok_or(Unroutable::NoRoute)
    }

    fn find_by_host(&self, path: &[u8], facts: Facts<'_>) -> Option<usize> {
        let host = target::host_of(facts.head.authority.of(facts.bytes));
        if host.first() == Some(&b'[') {
            return self.hosts.get(shortest_ipv6(host)?.as_bytes())?.find(path, facts);
        }
        let mut lower = [0; target::AUTHORITY_BYTES_MAX];
        let host = {
            let lower = lower.get_mut(..host.len())?;
            lower.copy_from_slice(host);
            lower.make_ascii_lowercase();
            &*lower
        };
        let exact = self.hosts.get(host).and_then(|paths| paths.find(path, facts));
        if exact.is_some() || self.wildcards.is_empty() {
            return exact;
        }
        // The longest end first; a label must be before it.
        let longest = host.len().saturating_sub(self.wildcard_bytes_max).max(1);
        let dots = (longest..host.len()).filter(|&at| host[at] == b'.');
        let mut ends = dots.filter_map(|at| self.wildcards.get(&host[at..]));
        ends.find_map(|paths| paths.find(path, facts))
    }
}

/// A bracketed address in the one spelling that the configuration gives it.
#[cold]
fn shortest_ipv6(host: &[u8]) -> Option<String> {
    let literal = std::str::from_utf8(host).ok()?.strip_prefix('[')?.strip_suffix(']')?;
    literal.parse::<Ipv6Addr>().ok().map(|ip| format!("[{ip}]"))
}

/// One hash over the whole key. Keys come from the configuration, so that no client can choose ones
/// that collide; it only looks them up.
#[derive(Default)]
struct OneShot(u64);

impl Hasher for OneShot {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = self.0.rotate_left(5) ^ xxh3_64(bytes);
    }

    fn write_usize(&mut self, _length: usize) {
        // The length prefix of a slice tells keys of one slice nothing apart.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
