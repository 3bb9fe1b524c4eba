//! Which upstream a request goes to: exact host before any host, then exact path before the longest
//! prefix. Ten thousand routes cost what ten cost: a hash look-up per path segment at the most.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::Ipv6Addr;

use fairwater_message::target;
use fairwater_message::{RequestHead, TARGET_BYTES_MAX};
use xxhash_rust::xxh3::xxh3_64;

use crate::UpstreamId;

/// One route as it was configured.
#[derive(Clone, Debug)]
pub struct RouteRule {
    /// Exact host in lower case; `None` takes any.
    pub host: Option<String>,
    /// `/x` is exact, `/x/*` takes `/x` and everything below, `/*` everything.
    pub path: String,
    pub upstream: UpstreamId,
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
    hosts: Map<PathTable>,
    any_host: PathTable,
}

type Map<T> = HashMap<Box<[u8]>, T, BuildHasherDefault<OneShot>>;

#[derive(Debug, Default)]
struct PathTable {
    exact: Map<UpstreamId>,
    /// Without the final `/*`.
    prefixes: Map<UpstreamId>,
    prefix_bytes_max: usize,
    everything: Option<UpstreamId>,
}

impl RouteTable {
    pub fn new(rules: &[RouteRule]) -> Self {
        let mut table = Self::default();
        for rule in rules {
            let paths = match &rule.host {
                Some(host) => table.hosts.entry(host.as_bytes().into()).or_default(),
                None => &mut table.any_host,
            };
            paths.add(&rule.path, rule.upstream);
        }
        table
    }

    /// The route of a request.
    ///
    /// # Errors
    /// See [`Unroutable`].
    pub fn find(&self, head: &RequestHead, bytes: &[u8]) -> Result<UpstreamId, Unroutable> {
        let path = target::path_of(head.path.of(bytes));
        let path = if path.is_empty() { b"/" } else { path };
        let mut scratch = Vec::new(); // allocates only for a path that is not in normal form
        let path =
            target::normal_path(path, &mut scratch).map_err(|_| Unroutable::AmbiguousPath)?;
        if !self.hosts.is_empty() {
            let found = self.host(head.authority.of(bytes)).and_then(|paths| paths.find(path));
            if let Some(upstream) = found {
                return Ok(upstream);
            }
        }
        self.any_host.find(path).ok_or(Unroutable::NoRoute)
    }

    fn host(&self, authority: &[u8]) -> Option<&PathTable> {
        let host = target::host_of(authority);
        if host.first() == Some(&b'[') {
            return self.hosts.get(shortest_ipv6(host)?.as_bytes());
        }
        let mut lower = [0; target::AUTHORITY_BYTES_MAX];
        let lower = lower.get_mut(..host.len())?;
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        self.hosts.get(&*lower)
    }
}

/// A bracketed address in the one spelling that the configuration gives it.
#[cold]
fn shortest_ipv6(host: &[u8]) -> Option<String> {
    let literal = std::str::from_utf8(host).ok()?.strip_prefix('[')?.strip_suffix(']')?;
    literal.parse::<Ipv6Addr>().ok().map(|ip| format!("[{ip}]"))
}

impl PathTable {
    fn add(&mut self, path: &str, upstream: UpstreamId) {
        match path.strip_suffix("/*") {
            Some("") => self.everything = Some(upstream),
            Some(prefix) => {
                self.prefix_bytes_max = self.prefix_bytes_max.max(prefix.len());
                self.prefixes.insert(prefix.as_bytes().into(), upstream);
            }
            None => {
                self.exact.insert(path.as_bytes().into(), upstream);
            }
        }
    }

    fn find(&self, path: &[u8]) -> Option<UpstreamId> {
        debug_assert!(path.len() <= TARGET_BYTES_MAX);
        if !self.exact.is_empty()
            && let Some(&upstream) = self.exact.get(path)
        {
            return Some(upstream);
        }
        if !self.prefixes.is_empty()
            && let Some(upstream) = self.longest_prefix(path)
        {
            return Some(upstream);
        }
        self.everything
    }

    /// Only ends of segments can end a prefix, and none lies behind the longest prefix that there
    /// is: what a client sends cannot make the search long.
    fn longest_prefix(&self, path: &[u8]) -> Option<UpstreamId> {
        let mut end = path.len();
        loop {
            if end <= self.prefix_bytes_max
                && let Some(&upstream) = self.prefixes.get(&path[..end])
            {
                return Some(upstream);
            }
            end = path[..end].iter().rposition(|&b| b == b'/').filter(|&at| at > 0)?;
        }
    }
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
