//! Who the endpoints of each upstream are right now: what the configuration says, what names stand
//! for, and what was set at run time, put together.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use fairwater_config as config;
use fairwater_message::address::Endpoint as Address;
use fairwater_plan::Dial;
use fairwater_plan::health::{Standing as Given, Tier};

use crate::apps::{self, Apps};
use crate::changes::{Change, Changes, Presence, Rest};
use crate::dns::{Addresses, Answer, Question};
use crate::health::Health;
use crate::names::Names;

/// Addresses of the other family that are tried when connecting to one fails; each costs a timeout.
const FALLBACKS_MAX: usize = 2;

/// The endpoints of each upstream, in the order of the configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Roster(pub Vec<Vec<Member>>);

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// What it is called in logs, metrics and states: its address as it was written, followed by
    /// the address that was found if there are several.
    pub identity: String,
    /// The same, always with what was found: what a change of one address goes by.
    pub full_name: String,
    /// The address as it was written, normalised.
    pub written: String,
    /// What `Host` says under `host = "endpoint"`.
    pub host: String,
    pub dial: Dial,
    /// Its share while it takes traffic.
    pub weight: u32,
    pub standing: Standing,
    pub tier: Tier,
    /// The most exchanges that it has at a time.
    pub in_flight_max: u32,
    /// What is checked in its place.
    pub check: Option<Address>,
    /// How it stands in the plan, all that is known of it considered.
    pub given: Given,
    /// It was added at run time.
    pub is_added: bool,
    /// It is a process that ends as soon as nothing runs on it.
    pub is_leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    Resting(Rest),
    /// Its name has no address yet.
    Unresolved,
    /// An instance of an app that has no process which is ready.
    Down,
}

impl Member {
    pub(crate) fn takes_traffic(&self) -> bool {
        self.given.weight > 0
    }

    /// What its state is known by. Another address is another endpoint, whatever it is called: no
    /// connection to the one before may be taken for one to it.
    pub(crate) fn key(&self) -> String {
        match &self.dial {
            Dial::Ip(addresses) => format!("{} {addresses:?}", self.full_name),
            Dial::Unix(_) => self.full_name.clone(),
        }
    }
}

/// The question that an address asks.
pub(crate) fn question(address: &Address) -> Option<Question> {
    match address {
        Address::Name { host, .. } => Some(Question::Host(host.clone())),
        Address::Service(name) => Some(Question::Service(name.clone())),
        Address::Ip(_) | Address::Unix(_) => None,
    }
}

/// All questions that the endpoints of a configuration ask.
pub(crate) fn questions(config: &config::Config, changes: &Changes) -> Vec<Question> {
    let upstreams = config.upstreams.iter();
    upstreams
        .flat_map(|upstream| written(upstream, changes))
        .filter_map(|written| question(written.address))
        .collect()
}

/// An address of an upstream as it was written.
struct Written<'a> {
    address: &'a Address,
    weight: u16,
    /// What it has beside that; nothing, if it was added at run time.
    role: Option<&'a config::EndpointRole>,
}

/// The addresses of an upstream.
fn written<'a>(
    upstream: &'a config::Upstream,
    changes: &'a Changes,
) -> impl Iterator<Item = Written<'a>> {
    let name = upstream.name.value.as_str();
    let configured = upstream.endpoints.iter().map(|one| {
        let (address, weight) = (&one.address.value, one.weight);
        Written { address, weight, role: Some(&one.role) }
    });
    let is_there = |written: &Written<'_>| {
        let change = changes.get(name, &written.address.to_string());
        change.is_none_or(|change| change.presence != Presence::Removed)
    };
    let added = changes.of(name).filter_map(|(_, change)| match &change.presence {
        Presence::Added(address) => {
            Some(Written { address, weight: config::WEIGHT_DEFAULT, role: None })
        }
        _ => None,
    });
    configured.filter(is_there).chain(added)
}

impl Roster {
    pub(crate) fn new(
        config: &config::Config,
        names: &Names,
        apps: &Apps,
        changes: &Changes,
    ) -> Self {
        let members = |upstream: &config::Upstream| {
            let mut members = Vec::new();
            for Written { address, weight, role } in written(upstream, changes) {
                let first = members.len();
                add(&mut members, address, weight, names);
                for member in &mut members[first..] {
                    member.play(role);
                }
            }
            add_instances(&mut members, config, upstream, apps);
            for member in &mut members {
                let set_of = |name: &str| changes.get(&upstream.name.value, name);
                member.set(set_of(&member.written));
                // What was set about this one address counts more.
                if member.full_name != member.written {
                    member.set(set_of(&member.full_name));
                }
            }
            // Whoever adds at run time what the configuration has by now means the same.
            let mut seen = HashSet::new();
            members.retain(|member| seen.insert(member.full_name.clone()));
            members
        };
        Self(config.upstreams.iter().map(members).collect())
    }
}

impl Roster {
    /// Of a configuration that nobody serves: names stand for themselves.
    pub(crate) fn sketch(config: &config::Config) -> Self {
        let mut roster =
            Self::new(config, &Names::default(), &Apps::default(), &Changes::default());
        let members = roster.0.iter_mut().flatten();
        members.for_each(|member| member.standing = Standing::Active);
        // Nothing is known of anybody.
        Health::default().judge(config, &mut roster, (0, false));
        roster
    }
}

impl Member {
    fn new(written: &str, host: String, dial: Dial, weight: u32) -> Self {
        Self {
            identity: written.to_owned(),
            full_name: written.to_owned(),
            written: written.to_owned(),
            host,
            dial,
            weight,
            standing: Standing::Active,
            tier: Tier::default(),
            in_flight_max: u32::MAX,
            check: None,
            given: Given { weight, reason: None },
            is_added: false,
            is_leaving: false,
        }
    }

    fn play(&mut self, role: Option<&config::EndpointRole>) {
        self.is_added = role.is_none();
        if let Some(config::EndpointRole { is_backup, priority, concurrency, check }) = role {
            self.in_flight_max = concurrency.map_or(u32::MAX, NonZeroU32::get);
            self.tier = Tier { is_backup: *is_backup, priority: *priority };
            self.check.clone_from(check);
        }
    }

    fn set(&mut self, change: Option<&Change>) {
        let Some(change) = change else { return };
        self.weight = change.weight.map_or(self.weight, u32::from);
        let has_address = !matches!(self.standing, Standing::Unresolved | Standing::Down);
        if let Some(rest) = change.rest.filter(|_| has_address) {
            self.standing = Standing::Resting(rest);
        }
    }
}

/// Adds the processes of the app of an upstream, and the instances that have none.
fn add_instances(
    members: &mut Vec<Member>,
    config: &config::Config,
    upstream: &config::Upstream,
    apps: &Apps,
) {
    let Some(name) = upstream.apps.as_ref().map(|name| name.value.as_str()) else { return };
    let app = config.apps.iter().find(|app| app.name.value == name);
    let count = app.map_or(0, |app| match app.address {
        // One endpoint for all.
        config::AppAddress::Shared => 1,
        config::AppAddress::Socket | config::AppAddress::Port => app.instances,
    });
    let processes = apps.get(name).map_or(&[][..], |state| &state.processes);
    for index in 0..count {
        if !processes.iter().any(|one| one.index == index && !one.is_draining) {
            let written = apps::instance(name, index);
            let dial = Dial::Ip(Vec::new());
            let member =
                Member::new(&written, written.clone(), dial, config::WEIGHT_DEFAULT.into());
            members.push(Member { standing: Standing::Down, ..member });
        }
    }
    for process in processes {
        let (host, dial) = match &process.address {
            Address::Unix(path) => ("localhost".to_owned(), Dial::Unix(path.clone())),
            Address::Ip(ip) => (ip.to_string(), Dial::Ip(vec![*ip])),
            // The master gives processes no names.
            Address::Name { .. } | Address::Service(_) => continue,
        };
        let written = apps::instance(name, process.index);
        let member = Member::new(&written, host, dial, config::WEIGHT_DEFAULT.into());
        let standing = match process.is_draining {
            true => Standing::Resting(Rest::Drain),
            false => Standing::Active,
        };
        members.push(Member {
            identity: apps::identity(name, process),
            full_name: apps::full_name(name, process),
            standing,
            is_leaving: process.is_draining,
            ..member
        });
    }
}

/// Adds the endpoints that one address stands for.
fn add(members: &mut Vec<Member>, address: &Address, weight: u16, names: &Names) {
    let written = address.to_string();
    let weight = u32::from(weight);
    let answer = question(address).and_then(|question| names.answer(&question));
    match (address, answer) {
        (Address::Ip(ip), _) => {
            members.push(Member::new(&written, written.clone(), Dial::Ip(vec![*ip]), weight));
        }
        (Address::Unix(path), _) => {
            // A path is no host; this is what HTTP over a local socket says by custom.
            let host = "localhost".to_owned();
            members.push(Member::new(&written, host, Dial::Unix(path.clone()), weight));
        }
        (Address::Name { port, .. }, Some(Answer::Host(addresses))) => {
            for found in dials(addresses, *port, &written) {
                let member = Member::new(&written, written.clone(), found.dial, weight);
                members.push(Member { identity: found.shown, full_name: found.full, ..member });
            }
        }
        (Address::Service(_), Some(Answer::Service(targets))) => {
            let scale = Scale::new(targets.iter().map(|target| target.weight));
            for target in targets {
                let host = format!("{}:{}", target.host, target.port);
                let weight = weight * scale.of(target.weight);
                for found in dials(&target.addresses, target.port, &format!("{written}/{host}")) {
                    let member = Member::new(&written, host.clone(), found.dial, weight);
                    members.push(Member { identity: found.shown, full_name: found.full, ..member });
                }
            }
        }
        _ => {
            let standing = Standing::Unresolved;
            let member = Member::new(&written, written.clone(), Dial::Ip(Vec::new()), weight);
            members.push(Member { standing, ..member });
        }
    }
}

/// One address of a host, with those that stand in for it.
struct Found {
    shown: String,
    full: String,
    dial: Dial,
}

/// The endpoints that the addresses of a host make. IPv4 comes first: an address of IPv6 is often
/// given where there is no way to it.
fn dials(addresses: &Addresses, port: u16, name: &str) -> Vec<Found> {
    let v4: Vec<_> = addresses.v4.iter().flatten().map(|&ip| IpAddr::from(ip)).collect();
    let v6: Vec<_> = addresses.v6.iter().flatten().map(|&ip| IpAddr::from(ip)).collect();
    let (first, second) = if v4.is_empty() { (v6, v4) } else { (v4, v6) };
    let found = |(index, &ip): (usize, &IpAddr)| {
        let full = format!("{name}/{ip}");
        let shown = if first.len() == 1 { name.to_owned() } else { full.clone() };
        let turned =
            (0..second.len().min(FALLBACKS_MAX)).map(|step| second[(index + step) % second.len()]);
        let all = std::iter::once(ip).chain(turned);
        let dial = Dial::Ip(all.map(|ip| SocketAddr::new(ip, port)).collect());
        Found { shown, full, dial }
    };
    first.iter().enumerate().map(found).collect()
}

/// Weights of SRV records, which go up to 65535, as weights of endpoints.
struct Scale {
    max: u32,
}

impl Scale {
    fn new(weights: impl Iterator<Item = u16>) -> Self {
        Self { max: weights.max().unwrap_or(0).into() }
    }

    /// At least 1: a record of weight 0 has a small chance, and an equal one among its like.
    fn of(&self, weight: u16) -> u32 {
        let (weight, limit) = (u32::from(weight), u32::from(config::WEIGHT_MAX));
        let scaled = if self.max > limit { weight * limit / self.max } else { weight };
        scaled.max(1)
    }
}

#[cfg(test)]
mod tests;
