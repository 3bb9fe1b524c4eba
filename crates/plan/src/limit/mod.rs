//! Rate limits: what of a kind may come in a time, for each client, value of a header or cookie, or
//! route. A limit has one table of keys, whoever names it; time and the random key of the hashes
//! come in as arguments.

mod gcra;
mod table;
mod told;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use fairwater_message::{HeaderId, HeaderName, RequestHead};

use gcra::Gcra;
pub use gcra::{DEBT_NS_MAX, Quota, Wait};
use table::Table;
pub use table::Tally;
pub use told::Telling;

/// The most limits that hold for one request.
pub const LIMITS_PER_REQUEST_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    Requests,
    Connections,
    /// Of bodies, and of raw connections, both ways.
    Bytes,
}

/// What is counted apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// Networks of clients, by the bits of their addresses that count.
    Client { v4_bits: u8, v6_bits: u8 },
    /// The value of a header; of who sends none, the client.
    Header(HeaderName),
    /// The same of a cookie.
    Cookie(String),
    /// What names the limit: a route, or a listener as a whole.
    Route,
}

#[derive(Debug)]
pub struct Limit {
    pub name: String,
    pub counts: Counts,
    key: KeyRule,
    gcra: Gcra,
    telling: Telling,
    /// The item of `RateLimit-Policy`.
    policy: String,
    table: Table,
    random: RandomState,
}

/// What a limit is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitRule {
    pub name: String,
    pub counts: Counts,
    pub key: KeyRule,
    pub quota: Quota,
    pub telling: Telling,
    /// How many keys are told apart at a time.
    pub keys: usize,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller<'a> {
    /// Absent on a Unix socket.
    pub client: Option<IpAddr>,
    /// Absent for a connection.
    pub request: Option<(&'a RequestHead, &'a [u8])>,
}

/// The bits of an IPv6 address that belong to one client.
pub const V6_BITS: u8 = 64;

impl Limit {
    /// Hashes are made with `random`, which nobody outside may know.
    pub fn new(rule: LimitRule, random: RandomState) -> Self {
        let LimitRule { name, counts, key, quota, telling, keys } = rule;
        let gcra = match counts {
            Counts::Bytes => Gcra::new(quota),
            Counts::Requests | Counts::Connections => Gcra::of_units(quota),
        };
        let policy = told::policy(&name, counts, quota);
        Self { name, counts, key, gcra, telling, policy, table: Table::new(keys), random }
    }

    pub fn tally(&self) -> Tally {
        self.table.tally()
    }

    /// Bytes of its table, when it is used.
    pub fn memory(&self) -> usize {
        self.table.memory()
    }

    /// Charges a key for bytes that have passed.
    pub fn charge(&self, key: u64, now_ns: u64, amount: u64) {
        self.table.charge(key, &self.gcra, now_ns, amount);
    }

    /// Whether a key could be let in now.
    fn look(&self, key: u64, now_ns: u64) -> Result<(), Wait> {
        let made_up_ns = self.table.look(key);
        match self.counts {
            Counts::Bytes => self.gcra.has_left(made_up_ns, now_ns),
            _ => self.gcra.take(made_up_ns, now_ns).map(drop),
        }
    }

    fn take(&self, key: u64, now_ns: u64) -> Result<(), Wait> {
        match self.counts {
            Counts::Bytes => self.gcra.has_left(self.table.look(key), now_ns),
            _ => self.table.take(key, &self.gcra, now_ns),
        }
    }

    fn give_back(&self, key: u64) {
        if self.counts != Counts::Bytes {
            self.table.give_back(key, &self.gcra);
        }
    }

    fn key_of(&self, place: &str, caller: &Caller<'_>) -> u64 {
        match &self.key {
            KeyRule::Client { v4_bits, v6_bits } => {
                self.key_of_client(caller.client, *v4_bits, *v6_bits)
            }
            KeyRule::Header(name) => {
                let value = caller.request.and_then(|(head, bytes)| {
                    let field = head.fields.iter().find(|field| name.is_of(field, bytes))?;
                    Some(field.value.of(bytes))
                });
                self.key_of_value(value, caller)
            }
            KeyRule::Cookie(name) => {
                let value = caller.request.and_then(|(head, bytes)| cookie(head, bytes, name));
                self.key_of_value(value, caller)
            }
            KeyRule::Route => self.hash(b'r', place.as_bytes()),
        }
    }

    /// Who sends no value is a client among others: else everybody would leave it away.
    fn key_of_value(&self, value: Option<&[u8]>, caller: &Caller<'_>) -> u64 {
        match value {
            Some(value) => self.hash(b'v', value),
            None => self.key_of_client(caller.client, 32, V6_BITS),
        }
    }

    fn key_of_client(&self, client: Option<IpAddr>, v4_bits: u8, v6_bits: u8) -> u64 {
        match client.map(|ip| network(ip, v4_bits, v6_bits)) {
            Some(IpAddr::V4(ip)) => self.hash(b'4', &ip.octets()),
            Some(IpAddr::V6(ip)) => self.hash(b'6', &ip.octets()),
            None => self.hash(b'u', b""),
        }
    }

    /// 0 stands for nobody.
    fn hash(&self, kind: u8, bytes: &[u8]) -> u64 {
        let mut hasher = self.random.build_hasher();
        hasher.write_u8(kind);
        hasher.write(bytes);
        hasher.finish().max(1)
    }
}

fn network(client: IpAddr, v4_bits: u8, v6_bits: u8) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(v4_bits.into())).unwrap_or(0);
            Ipv4Addr::from_bits(ip.to_bits() & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(v6_bits.into())).unwrap_or(0);
            Ipv6Addr::from_bits(ip.to_bits() & mask).into()
        }
    }
}

/// The value of the first cookie of a name (RFC 6265, section 4.2.1).
fn cookie<'a>(head: &RequestHead, bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let lines = head.fields.iter().filter(|field| field.id == HeaderId::Cookie);
    let pairs = lines.flat_map(|field| field.value.of(bytes).split(|&byte| byte == b';'));
    pairs.into_iter().find_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        (pair[..at].trim_ascii() == name.as_bytes()).then(|| pair[at + 1..].trim_ascii())
    })
}

/// A limit where it holds.
#[derive(Clone, Debug)]
struct Applied {
    limit: Arc<Limit>,
    /// What names it.
    place: Arc<str>,
}

/// The limits that hold somewhere, in the order of their names there.
#[derive(Clone, Debug, Default)]
pub struct Limits(Vec<Applied>);

impl PartialEq for Limits {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |(one, other): (&Applied, &Applied)| {
            Arc::ptr_eq(&one.limit, &other.limit) && one.place == other.place
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(is_same)
    }
}

impl Eq for Limits {}

/// Who is beyond a limit.
#[derive(Clone, Copy, Debug)]
pub struct Denial<'l> {
    pub limit: &'l Limit,
    wait: Wait,
}

/// A budget of bytes that is charged as they pass.
#[derive(Clone, Debug)]
pub struct Budget {
    limit: Arc<Limit>,
    key: u64,
}

impl Budget {
    pub fn charge(&self, now_ns: u64, amount: u64) {
        self.limit.charge(self.key, now_ns, amount);
    }
}

impl Limits {
    /// Adds a limit that is named at a place. One that holds already holds once.
    pub fn add(&mut self, limit: Arc<Limit>, place: &Arc<str>) {
        let is_there = self.0.iter().any(|one| Arc::ptr_eq(&one.limit, &limit));
        if self.0.len() < LIMITS_PER_REQUEST_MAX && !is_there {
            self.0.push(Applied { limit, place: Arc::clone(place) });
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|one| one.limit.name.as_str())
    }

    /// Lets in one request or connection, which all limits have to agree to; if one does not, none
    /// of them charges it.
    ///
    /// # Errors
    /// Who denies it.
    pub fn take(&self, caller: &Caller<'_>, now_ns: u64) -> Result<(), Denial<'_>> {
        let mut keys = [0; LIMITS_PER_REQUEST_MAX];
        let all = || self.0.iter().map(|one| &*one.limit);
        for (key, one) in keys.iter_mut().zip(&self.0) {
            *key = one.limit.key_of(&one.place, caller);
        }
        let denied = |limit: &'_ Limit, key, wait| {
            limit.table.count(key, false);
            wait
        };
        if self.0.len() > 1 {
            for (limit, &key) in all().zip(&keys) {
                if let Err(wait) = limit.look(key, now_ns) {
                    return Err(Denial { limit, wait: denied(limit, key, wait) });
                }
            }
        }
        for (at, (limit, &key)) in all().zip(&keys).enumerate() {
            if let Err(wait) = limit.take(key, now_ns) {
                // Somebody else was faster.
                all().zip(&keys).take(at).for_each(|(before, &key)| before.give_back(key));
                return Err(Denial { limit, wait: denied(limit, key, wait) });
            }
        }
        all().zip(&keys).for_each(|(limit, &key)| limit.table.count(key, true));
        Ok(())
    }

    /// The budgets that what was let in is charged to.
    pub fn budgets(&self, caller: &Caller<'_>) -> Vec<Budget> {
        let of_bytes = self.0.iter().filter(|one| one.limit.counts == Counts::Bytes);
        let budget = |one: &Applied| Budget {
            limit: Arc::clone(&one.limit),
            key: one.limit.key_of(&one.place, caller),
        };
        of_bytes.map(budget).collect()
    }

    pub fn have_budgets(&self) -> bool {
        self.0.iter().any(|one| one.limit.counts == Counts::Bytes)
    }
}

#[cfg(test)]
mod tests;
