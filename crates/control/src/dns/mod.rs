//! Looking up names: in /etc/hosts first, then at the servers that are configured or in
//! /etc/resolv.conf. Knows nothing of endpoints; keeps nothing but what it read of the files.

mod files;
mod server;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use fairwater_proto::dns::{Kind, Record, Reply};

use files::{Hosts, ResolvConf, Watched};
use server::Server;

/// Hosts of one service that are looked up; those beyond are left out.
const TARGETS_MAX: usize = 128;
/// Addresses of one name that are used; those beyond are left out.
const ADDRESSES_MAX: usize = 1000;
/// How long what /etc/hosts says is taken for true; a change is seen after this.
const FILE_TTL_S: u32 = 5;
/// The same for an answer of which a part is missing.
const PARTIAL_TTL_S: u32 = 15;

/// What is looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    /// A host, for its addresses.
    Host(String),
    /// The owner of SRV records.
    Service(String),
}

/// What a question was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Host(Addresses),
    /// In one order, whatever that of the records was.
    Service(Vec<Target>),
}

/// The addresses of a host, each family in one order; `None` for one that nobody told about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub v4: Option<Vec<Ipv4Addr>>,
    pub v6: Option<Vec<Ipv6Addr>>,
}

/// A host that offers a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub host: String,
    pub port: u16,
    pub weight: u16,
    pub addresses: Addresses,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    NoName,
    NoAddress,
    /// No server can be reached.
    Silent(String),
    /// The servers do not answer this question.
    Refused(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => f.write_str("there is no such name"),
            Self::NoAddress => f.write_str("the name has no address"),
            Self::Silent(said) | Self::Refused(said) => f.write_str(said),
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Service(name) => write!(f, "srv://{name}"),
        }
    }
}

impl Addresses {
    pub(crate) fn is_empty(&self) -> bool {
        self.v4.as_ref().is_none_or(Vec::is_empty) && self.v6.as_ref().is_none_or(Vec::is_empty)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.v4.iter().flatten().map(|&ip| IpAddr::from(ip));
        v4.chain(self.v6.iter().flatten().map(|&ip| IpAddr::from(ip)))
    }

    fn add(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(ip) => self.v4.get_or_insert_default().push(ip),
            IpAddr::V6(ip) => self.v6.get_or_insert_default().push(ip),
        }
    }

    fn in_order(mut self) -> Self {
        fn tidy<T: Ord>(addresses: &mut Option<Vec<T>>) {
            if let Some(addresses) = addresses {
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(ADDRESSES_MAX);
            }
        }
        tidy(&mut self.v4);
        tidy(&mut self.v6);
        self
    }
}

/// Where to ask, if not where /etc/resolv.conf says.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResolverSettings {
    pub servers: Vec<SocketAddr>,
    /// For one question at one server.
    pub timeout: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Resolver {
    settings: ResolverSettings,
    hosts: Watched<Hosts>,
    resolv_conf: Watched<ResolvConf>,
    random: fn() -> u64,
}

impl Resolver {
    pub(crate) fn new(settings: ResolverSettings, random: fn() -> u64) -> Self {
        Self {
            settings,
            hosts: Watched::new(Path::new("/etc/hosts"), Hosts::parse),
            resolv_conf: Watched::new(Path::new("/etc/resolv.conf"), ResolvConf::parse),
            random,
        }
    }

    /// The answer, and for how many seconds it holds.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(crate) async fn look_up(&self, question: &Question) -> Result<(Answer, u32), Failure> {
        let around = Around {
            conf: match self.settings.servers.is_empty() {
                true => (*self.resolv_conf.get()).clone(),
                false => ResolvConf::of(self.settings.servers.clone()),
            },
            timeout: self.settings.timeout,
            random: self.random,
        };
        match question {
            Question::Host(name) => {
                let (addresses, ttl_s) = self.host(&around, name).await?;
                Ok((Answer::Host(addresses), ttl_s))
            }
            Question::Service(name) => {
                let (targets, ttl_s) = self.service(&around, name).await?;
                Ok((Answer::Service(targets), ttl_s))
            }
        }
    }

    async fn host(&self, around: &Around, name: &str) -> Result<(Addresses, u32), Failure> {
        let hosts = self.hosts.get();
        if let Some(known) = hosts.addresses(name) {
            let mut addresses = Addresses::default();
            known.iter().for_each(|&address| addresses.add(address));
            return Ok((addresses.in_order(), FILE_TTL_S));
        }
        // RFC 6761, section 6.3: not a matter for servers.
        if name == "localhost" || name.ends_with(".localhost") {
            let v4 = Some(vec![Ipv4Addr::LOCALHOST]);
            return Ok((Addresses { v4, v6: Some(vec![Ipv6Addr::LOCALHOST]) }, FILE_TTL_S));
        }
        let mut refused = None;
        let mut last = Failure::NoName;
        for candidate in around.conf.candidates(name) {
            match around.addresses(&candidate).await {
                Ok(found) => return Ok(found),
                Err(failure @ Failure::Silent(_)) => return Err(failure),
                // Another candidate may still be one that the server is willing to talk about.
                Err(failure @ Failure::Refused(_)) => refused = Some(failure),
                Err(Failure::NoAddress) => last = Failure::NoAddress,
                Err(Failure::NoName) => {}
            }
        }
        Err(refused.unwrap_or(last))
    }

    async fn service(&self, around: &Around, name: &str) -> Result<(Vec<Target>, u32), Failure> {
        let mut refused = None;
        let mut found = None;
        for candidate in around.conf.candidates(name) {
            match around.ask(&candidate, Kind::Srv, around.conf.attempts).await {
                Ok(Some((records, ttl_s))) if !records.is_empty() => {
                    found = Some((records, ttl_s));
                    break;
                }
                Ok(_) => {}
                Err(failure @ Failure::Silent(_)) => return Err(failure),
                Err(failure) => refused = Some(failure),
            }
        }
        let Some((records, mut ttl_s)) = found else {
            return Err(refused.unwrap_or(Failure::NoName));
        };
        for mut targets in by_priority(records) {
            let mut is_empty = true;
            for target in &mut targets {
                match self.host(around, &target.host).await {
                    Ok((addresses, its_ttl_s)) => {
                        target.addresses = addresses;
                        ttl_s = ttl_s.min(its_ttl_s);
                        is_empty = false;
                    }
                    Err(Failure::NoName | Failure::NoAddress) => {}
                    // One host that nobody tells about is no reason to do without the others, nor
                    // to turn to those of the next priority.
                    Err(_) => {
                        ttl_s = ttl_s.min(PARTIAL_TTL_S);
                        is_empty = false;
                    }
                }
            }
            if !is_empty {
                return Ok((targets, ttl_s));
            }
        }
        Err(Failure::NoAddress)
    }
}

/// The targets of each priority, the lowest first, without addresses and in one order.
fn by_priority(records: Vec<Record>) -> Vec<Vec<Target>> {
    let mut priorities: BTreeMap<u16, Vec<Target>> = BTreeMap::new();
    for record in records {
        let Record::Service { priority, weight, port, target } = record else { continue };
        // A root as the target says that the service is not to be had (RFC 2782).
        if !target.is_empty() && port > 0 {
            let addresses = Addresses::default();
            let target = Target { host: target, port, weight, addresses };
            priorities.entry(priority).or_default().push(target);
        }
    }
    let in_order = |mut targets: Vec<Target>| {
        targets.sort_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
        targets.dedup_by(|a, b| (&a.host, a.port) == (&b.host, b.port));
        targets.truncate(TARGETS_MAX);
        targets
    };
    priorities.into_values().map(in_order).collect()
}

/// What holds for the questions of one look-up.
struct Around {
    conf: ResolvConf,
    timeout: Option<Duration>,
    random: fn() -> u64,
}

impl Around {
    /// The addresses of a complete name.
    async fn addresses(&self, name: &str) -> Result<(Addresses, u32), Failure> {
        let mut addresses = Addresses::default();
        let v4 = self.ask(name, Kind::A, self.conf.attempts).await;
        // There is nothing of a name that is not there.
        let Some((records, mut ttl_s)) = v4? else { return Err(Failure::NoName) };
        addresses.v4 = Some(Vec::new());
        let attempts = if records.is_empty() { self.conf.attempts } else { 1 };
        match self.ask(name, Kind::Aaaa, attempts).await {
            Ok(answer) => {
                addresses.v6 = Some(Vec::new());
                let (more, its_ttl_s) = answer.unwrap_or((Vec::new(), u32::MAX));
                ttl_s = ttl_s.min(its_ttl_s);
                records.iter().chain(&more).for_each(|record| match record {
                    Record::Address(address) => addresses.add(*address),
                    Record::Service { .. } => {}
                });
            }
            Err(failure) if records.is_empty() => return Err(failure),
            // Some servers never answer questions for IPv6.
            Err(_) => {
                ttl_s = ttl_s.min(PARTIAL_TTL_S);
                for record in &records {
                    if let Record::Address(address) = record {
                        addresses.add(*address);
                    }
                }
            }
        }
        match addresses.is_empty() {
            true => Err(Failure::NoAddress),
            false => Ok((addresses.in_order(), ttl_s)),
        }
    }

    /// Asks one server after the other; `None` when there is no such name.
    async fn ask(
        &self,
        name: &str,
        kind: Kind,
        attempts: u32,
    ) -> Result<Option<(Vec<Record>, u32)>, Failure> {
        let mut failure = Failure::Silent("there is no server to ask".to_owned());
        for _ in 0..attempts {
            for &address in &self.conf.servers {
                let timeout = self.timeout.unwrap_or(self.conf.timeout);
                let server = Server { address, timeout, random: self.random };
                match server.ask(name, kind).await {
                    Ok(Reply::Records { records, ttl_s }) => return Ok(Some((records, ttl_s))),
                    Ok(Reply::NoName) => return Ok(None),
                    Ok(Reply::Refused(code)) => {
                        let said = format!("the server {address} refuses to answer (code {code})");
                        failure = Failure::Refused(said);
                    }
                    Ok(Reply::Truncated) => {
                        let said = format!("the answer of {address} is cut off");
                        failure = Failure::Refused(said);
                    }
                    Err(error) => {
                        failure = Failure::Silent(format!("no answer from {address}: {error}"));
                    }
                }
            }
        }
        Err(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(priority: u16, weight: u16, port: u16, target: &str) -> Record {
        Record::Service { priority, weight, port, target: target.to_owned() }
    }

    #[test]
    fn targets_are_grouped_by_priority_in_one_order() {
        let records = vec![
            service(2, 0, 80, "later"),
            service(1, 5, 81, "b"),
            service(1, 7, 80, "b"),
            service(1, 9, 80, "a"),
            service(1, 1, 80, "a"),
            service(0, 1, 80, ""),
            service(0, 1, 0, "a"),
        ];
        let shown = |target: &Target| format!("{}:{} {}", target.host, target.port, target.weight);
        let groups: Vec<Vec<_>> =
            by_priority(records).iter().map(|group| group.iter().map(shown).collect()).collect();
        assert_eq!(groups, [&["a:80 9", "b:80 7", "b:81 5"][..], &["later:80 0"]]);
    }

    #[test]
    fn addresses_have_one_order_and_a_limit() {
        let mut addresses = Addresses::default();
        for ip in ["10.0.0.2", "::2", "10.0.0.1", "10.0.0.2", "::1"] {
            addresses.add(ip.parse().unwrap());
        }
        let ordered = addresses.in_order();
        assert_eq!(ordered.v4.unwrap(), [[10, 0, 0, 1], [10, 0, 0, 2]].map(Ipv4Addr::from));
        assert_eq!(ordered.v6.unwrap().len(), 2);
        let mut many = Addresses::default();
        (0..2 * ADDRESSES_MAX as u32).for_each(|n| many.add(Ipv4Addr::from(n).into()));
        assert_eq!(many.in_order().v4.unwrap().len(), ADDRESSES_MAX);
    }
}
