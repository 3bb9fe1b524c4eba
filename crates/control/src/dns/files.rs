//! /etc/hosts and /etc/resolv.conf, as hosts(5) and resolv.conf(5) have them. Both are read again
//! when they have changed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use fairwater_message::address::HOST_NAME_BYTES_MAX;

/// Lists of blocked hosts are large; what is larger is cut off.
const NAME_FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Servers that are asked; the C library takes 3.
const SERVERS_MAX: usize = 8;
/// Domains that a short name is looked for in.
const SEARCH_MAX: usize = 32;
/// The limits of resolv.conf(5).
const NDOTS_MAX: u32 = 15;
const ATTEMPTS_MAX: u32 = 5;
const TIMEOUT_S_MAX: u32 = 30;
/// For one question at one server; the C library waits 5 s, which is long for a start.
const TIMEOUT_S: u32 = 2;
const ATTEMPTS: u32 = 2;
const DNS_PORT: u16 = 53;

/// A file and what was made of it.
pub(super) struct Watched<T> {
    path: PathBuf,
    parse: fn(&str) -> T,
    read: RefCell<(Option<Stamp>, Rc<T>)>,
}

/// Tells one state of a file from the next.
#[derive(Debug, PartialEq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
}

impl<T> std::fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watched").field(&self.path).finish()
    }
}

impl<T> Watched<T> {
    pub(super) fn new(path: &Path, parse: fn(&str) -> T) -> Self {
        Self { path: path.to_owned(), parse, read: RefCell::new((None, Rc::new(parse("")))) }
    }

    /// What the file says now; a file that is not there says nothing.
    pub(super) fn get(&self) -> Rc<T> {
        let stamp = fs::metadata(&self.path)
            .ok()
            .map(|metadata| Stamp { modified: metadata.modified().ok(), len: metadata.len() });
        let mut read = self.read.borrow_mut();
        if read.0 != stamp {
            let mut bytes = Vec::new();
            if let Ok(file) = File::open(&self.path) {
                // Half of it is better than nothing.
                file.take(NAME_FILE_BYTES_MAX).read_to_end(&mut bytes).ok();
            }
            *read = (stamp, Rc::new((self.parse)(&String::from_utf8_lossy(&bytes))));
        }
        Rc::clone(&read.1)
    }
}

/// The addresses that /etc/hosts gives to names.
#[derive(Debug, Default)]
pub(super) struct Hosts(HashMap<String, Vec<IpAddr>>);

impl Hosts {
    pub(super) fn parse(text: &str) -> Self {
        let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let mut words = without_comment(line).split_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse) else { continue };
            for name in words {
                hosts.entry(normal(name)).or_default().push(address);
            }
        }
        Self(hosts)
    }

    pub(super) fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

/// How and where names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResolvConf {
    pub servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
    /// For one question at one server.
    pub timeout: Duration,
    pub attempts: u32,
}

impl ResolvConf {
    /// These servers, and everything else as without a file.
    pub(super) fn of(servers: Vec<SocketAddr>) -> Self {
        Self { servers, ..Self::parse("") }
    }

    pub(super) fn parse(text: &str) -> Self {
        let mut conf = Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(TIMEOUT_S.into()),
            attempts: ATTEMPTS,
        };
        for line in text.lines() {
            // Only at the start of a line, says the manual; a server has no `#` in it either way.
            let mut words = without_comment(line).split_whitespace();
            match words.next() {
                // An address of one link (`fe80::1%eth0`) is not supported.
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    conf.servers.extend(address.map(|ip| SocketAddr::new(ip, DNS_PORT)));
                }
                Some("search" | "domain") => {
                    let names = words.map(normal).filter(|name| !name.is_empty());
                    conf.search = names.take(SEARCH_MAX).collect();
                }
                Some("options") => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        conf.servers.truncate(SERVERS_MAX);
        if conf.servers.is_empty() {
            conf.servers.push((Ipv4Addr::LOCALHOST, DNS_PORT).into());
        }
        conf
    }

    fn option(&mut self, word: &str) {
        let Some((name, value)) = word.split_once(':') else { return };
        let Ok(value) = value.parse::<u32>() else { return };
        match name {
            "ndots" => self.ndots = value.min(NDOTS_MAX) as usize,
            "attempts" => self.attempts = value.clamp(1, ATTEMPTS_MAX),
            "timeout" => {
                self.timeout = Duration::from_secs(value.clamp(1, TIMEOUT_S_MAX).into());
            }
            _ => {}
        }
    }

    /// The complete names that a name may stand for, in the order in which they are tried.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        let is_complete = name.matches('.').count() >= self.ndots;
        let mut candidates: Vec<_> =
            self.search.iter().map(|domain| format!("{name}.{domain}")).collect();
        let at = if is_complete { 0 } else { candidates.len() };
        candidates.insert(at, name.to_owned());
        candidates.retain(|name| name.len() <= HOST_NAME_BYTES_MAX);
        candidates
    }
}

fn without_comment(line: &str) -> &str {
    line.split(['#', ';']).next().unwrap_or(line)
}

fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_as_the_system_reads_them() {
        let hosts = Hosts::parse(
            "127.0.0.1\tlocalhost  Me.Example.\n# 1.1.1.1 no\n::1 localhost # six\nx y\n10.0.0.1\n",
        );
        let loopback: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(hosts.addresses("localhost"), Some(&loopback[..]));
        assert_eq!(hosts.addresses("me.example"), Some(&loopback[..1]));
        assert_eq!(hosts.addresses("no"), None);
    }

    fn shown(text: &str) -> String {
        let conf = ResolvConf::parse(text);
        let servers: Vec<_> = conf.servers.iter().map(ToString::to_string).collect();
        let (timeout, attempts) = (conf.timeout.as_secs(), conf.attempts);
        format!("{} {:?} {} {timeout}s {attempts}", servers.join(","), conf.search, conf.ndots)
    }

    #[test]
    fn resolv_conf_is_read_as_the_system_reads_it() {
        assert_eq!(shown(""), "127.0.0.1:53 [] 1 2s 2");
        let text = "# c\nnameserver 10.0.0.1\nnameserver fd00::1 ; c\nnameserver fe80::1%eth0\n\
                    domain old.example\nsearch A.example. b.example\n\
                    options ndots:5 timeout:1 attempts:9 rotate ndots:x\n";
        let expected = "10.0.0.1:53,[fd00::1]:53 [\"a.example\", \"b.example\"] 5 1s 5";
        assert_eq!(shown(text), expected);
        assert_eq!(shown("options timeout:0 ndots:99"), "127.0.0.1:53 [] 15 1s 2");
    }

    #[test]
    fn short_names_are_looked_for_in_the_search_domains_first() {
        let conf = ResolvConf::parse("search a.example b.example\noptions ndots:2\n");
        assert_eq!(conf.candidates("app"), ["app.a.example", "app.b.example", "app"]);
        assert_eq!(conf.candidates("x.y.z"), ["x.y.z", "x.y.z.a.example", "x.y.z.b.example"]);
        assert_eq!(ResolvConf::parse("").candidates("app"), ["app"]);
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed() {
        let path = std::env::temp_dir().join(format!("fairwater-hosts-{}", std::process::id()));
        let watched = Watched::new(&path, Hosts::parse);
        assert!(watched.get().addresses("a").is_none());
        fs::write(&path, "10.0.0.1 a\n").unwrap();
        assert!(watched.get().addresses("a").is_some());
        fs::write(&path, "10.0.0.1 a b\n").unwrap();
        assert!(watched.get().addresses("b").is_some());
        fs::remove_file(&path).unwrap();
        assert!(watched.get().addresses("a").is_none());
    }
}
