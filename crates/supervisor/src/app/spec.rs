//! What an app is made of, and how that stands in the master's part: a line for each thing, with
//! line ends escaped.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use fairwater_sys::child::Identity;

/// An app, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    pub name: String,
    /// The program and its arguments, with `{socket}`, `{port}` and `{index}` in them.
    pub command: Vec<String>,
    /// Beside what the master has; with the same words in the values.
    pub env: Vec<(String, String)>,
    pub directory: Option<PathBuf>,
    pub user: Option<Identity>,
    pub instances: u32,
    pub address: Address,
    pub ready: Ready,
    pub stop_signal: i32,
    /// For apps that renew themselves.
    pub reload_signal: Option<i32>,
    pub timeouts: Timeouts,
    /// Requests after which a process is replaced; up to half as many more, by chance.
    pub max_requests: Option<u32>,
    /// Bytes, with all its children.
    pub max_memory: Option<u64>,
}

/// Where processes listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Each on a Unix socket of its own below this directory.
    Socket(PathBuf),
    /// All on one Unix socket below this directory, which the master opens for them.
    Shared(PathBuf),
    /// Each on a port of the loopback address that is free.
    Port,
}

/// When a process is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It accepts a connection.
    Connect,
    /// It answers a GET of this path with a status of 2xx.
    Http(String),
    /// It writes a line with this text in it to its standard output.
    Line(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until it is ready.
    pub start: Duration,
    /// For what runs, before it is told to stop.
    pub drain: Duration,
    /// From then on, until it is killed.
    pub stop: Duration,
}

impl Spec {
    fn new(name: &str) -> Self {
        let none = Duration::ZERO;
        Self {
            name: name.to_owned(),
            command: Vec::new(),
            env: Vec::new(),
            directory: None,
            user: None,
            instances: 0,
            address: Address::Port,
            ready: Ready::Connect,
            stop_signal: 0,
            reload_signal: None,
            timeouts: Timeouts { start: none, drain: none, stop: none },
            max_requests: None,
            max_memory: None,
        }
    }

    /// Whether a process of the one is as good as one of the other.
    pub(crate) fn has_same_processes(&self, other: &Self) -> bool {
        let of = |spec: &Self| {
            let Self { command, env, directory, user, address, .. } = spec.clone();
            (command, env, directory, user, address)
        };
        of(self) == of(other)
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "app {}", self.name)?;
        for word in &self.command {
            writeln!(f, "app-word {}", escaped(word))?;
        }
        for (name, value) in &self.env {
            writeln!(f, "app-env {}={}", name, escaped(value))?;
        }
        if let Some(path) = &self.directory {
            writeln!(f, "app-directory {}", path.display())?;
        }
        if let Some(Identity { user, group, groups }) = &self.user {
            write!(f, "app-user {user} {group}")?;
            groups.iter().try_for_each(|group| write!(f, " {group}"))?;
            writeln!(f)?;
        }
        match &self.address {
            Address::Socket(path) => writeln!(f, "app-address {}", path.display())?,
            Address::Shared(path) => writeln!(f, "app-address shared:{}", path.display())?,
            Address::Port => writeln!(f, "app-address port")?,
        }
        match &self.ready {
            Ready::Connect => writeln!(f, "app-ready connect")?,
            Ready::Http(path) => writeln!(f, "app-ready http {path}")?,
            Ready::Line(text) => writeln!(f, "app-ready line {}", escaped(text))?,
        }
        let Timeouts { start, drain, stop } = self.timeouts;
        let (start, drain, stop) = (start.as_millis(), drain.as_millis(), stop.as_millis());
        writeln!(f, "app-times {start} {drain} {stop}")?;
        if let Some(requests) = self.max_requests {
            writeln!(f, "app-requests {requests}")?;
        }
        if let Some(memory) = self.max_memory {
            writeln!(f, "app-memory {memory}")?;
        }
        let reload = self.reload_signal.unwrap_or(0);
        writeln!(f, "app-rest {} {} {reload}", self.instances, self.stop_signal)
    }
}

impl Spec {
    /// Takes in a line of the part; nothing, if it makes no sense there. The last line of an app is
    /// `app-rest`, without which it has no instances.
    pub(crate) fn read(specs: &mut Vec<Self>, word: &str, rest: &str) -> Option<()> {
        if word == "app" {
            specs.push(Self::new(rest));
            return Some(());
        }
        let spec = specs.last_mut()?;
        match word {
            "app-word" => spec.command.push(unescaped(rest)),
            "app-env" => {
                let (name, value) = rest.split_once('=')?;
                spec.env.push((name.to_owned(), unescaped(value)));
            }
            "app-directory" => spec.directory = Some(rest.into()),
            "app-user" => {
                let mut ids = rest.split(' ').map(|id| id.parse().ok());
                let (user, group) = (ids.next()??, ids.next()??);
                spec.user = Some(Identity { user, group, groups: ids.collect::<Option<_>>()? });
            }
            "app-address" => {
                spec.address = match rest {
                    "port" => Address::Port,
                    // Others are absolute paths.
                    other => match other.strip_prefix("shared:") {
                        Some(path) => Address::Shared(path.into()),
                        None => Address::Socket(other.into()),
                    },
                }
            }
            "app-ready" => {
                spec.ready = match rest.split_once(' ') {
                    None if rest == "connect" => Ready::Connect,
                    Some(("http", path)) => Ready::Http(path.to_owned()),
                    Some(("line", text)) => Ready::Line(unescaped(text)),
                    _ => return None,
                }
            }
            "app-times" => {
                let mut times = rest.split(' ').map(|ms| ms.parse().ok());
                let mut next = || times.next().flatten().map(Duration::from_millis);
                spec.timeouts = Timeouts { start: next()?, drain: next()?, stop: next()? };
            }
            "app-requests" => spec.max_requests = Some(rest.parse().ok()?),
            "app-memory" => spec.max_memory = Some(rest.parse().ok()?),
            "app-rest" => {
                let mut numbers = rest.split(' ');
                spec.instances = numbers.next()?.parse().ok()?;
                spec.stop_signal = numbers.next()?.parse().ok()?;
                spec.reload_signal = Some(numbers.next()?.parse().ok()?).filter(|one| *one != 0);
            }
            _ => return None,
        }
        Some(())
    }
}

/// In one line.
pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

pub(super) fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                other => out.extend(other),
            },
            (c, false) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An app of one instance with a port, whose times are easy to tell apart.
    pub(crate) fn sample(name: &str) -> Spec {
        let seconds = Duration::from_secs;
        Spec {
            command: vec!["true".to_owned()],
            instances: 1,
            stop_signal: 15,
            timeouts: Timeouts { start: seconds(30), drain: seconds(20), stop: seconds(10) },
            ..Spec::new(name)
        }
    }

    fn check(spec: &Spec) {
        let mut specs = Vec::new();
        for line in spec.to_string().lines() {
            let (word, rest) = line.split_once(' ').unwrap();
            Spec::read(&mut specs, word, rest).unwrap();
        }
        assert_eq!(specs, std::slice::from_ref(spec));
    }

    #[test]
    fn what_is_written_is_read() {
        check(&sample("a"));
        let identity = Identity { user: 33, group: 33, groups: vec![33, 4] };
        check(&Spec {
            command: vec![
                "sh".to_owned(),
                "-c".to_owned(),
                "a\\n\nb\r '".to_owned(),
                String::new(),
            ],
            env: vec![("A".to_owned(), "x=\n".to_owned()), ("B".to_owned(), String::new())],
            directory: Some("/srv/a b".into()),
            user: Some(identity),
            address: Address::Socket("/run/fairwater/app-a".into()),
            ready: Ready::Line("listening on \\".to_owned()),
            reload_signal: Some(10),
            max_requests: Some(1000),
            max_memory: Some(1 << 30),
            ..sample("a")
        });
        check(&Spec { address: Address::Shared("/run/app-c".into()), ..sample("c") });
        check(&Spec { ready: Ready::Http("/healthz?a b".to_owned()), ..sample("b") });
    }

    #[test]
    fn only_what_a_process_is_started_with_makes_another_one() {
        let spec = sample("a");
        let later = Spec { instances: 5, max_requests: Some(1), ..sample("a") };
        assert!(spec.has_same_processes(&later));
        let other = Spec { env: vec![("A".to_owned(), "1".to_owned())], ..sample("a") };
        assert!(!spec.has_same_processes(&other));
    }
}
