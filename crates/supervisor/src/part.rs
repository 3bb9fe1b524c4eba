//! What of a configuration the master itself needs, as the process that reads it writes it down: a
//! line for each thing, so that the master parses no more than that.

use std::fmt;
use std::path::PathBuf;

use fairwater_message::address::Listen;

use crate::app::spec::Spec;
use crate::bind::UDP;
use crate::process_part::ProcessPart;
use crate::watch::Stamp;

/// The last line: half of a part is none.
const END: &str = "end\n";
/// The word for an address of datagrams.
const BIND_UDP: &str = "bind_udp";

/// The part of the master.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub threads: usize,
    /// In the order of the configuration.
    pub binds: Vec<Bind>,
    /// The admin socket.
    pub admin: Option<PathBuf>,
    /// The master's own socket.
    pub control: Option<PathBuf>,
    /// Files and directories that are looked at for changes.
    pub watched: Vec<(PathBuf, Stamp)>,
    /// Where sockets are, and what apps there are.
    pub run_dir: Option<PathBuf>,
    pub apps: Vec<Spec>,
    pub process: ProcessPart,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    pub listener: String,
    pub address: Listen,
    pub backlog: u32,
    /// The client speaks first.
    pub waits_for_data: bool,
    /// The machine need not have the address yet.
    pub freebind: bool,
    /// For datagrams.
    pub is_udp: bool,
}

impl Bind {
    /// The address as it was written; that of datagrams is another one than that of connections.
    pub(crate) fn configured(&self) -> String {
        let Self { address, is_udp, .. } = self;
        if *is_udp { format!("{UDP}{address}") } else { address.to_string() }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "threads {}", self.threads)?;
        for Bind { listener, address, backlog, waits_for_data, freebind, is_udp } in &self.binds {
            // A program that knows no datagrams must not take it for an address of TCP.
            let bind = if *is_udp { BIND_UDP } else { "bind" };
            let word = if *waits_for_data { "data" } else { "connect" };
            let held = if *freebind { "free" } else { "held" };
            writeln!(f, "{bind} {listener} {backlog} {word} {held} {address}")?;
        }
        if let Some(path) = &self.admin {
            writeln!(f, "admin {}", path.display())?;
        }
        if let Some(path) = &self.control {
            writeln!(f, "control {}", path.display())?;
        }
        for (path, stamp) in &self.watched {
            writeln!(f, "watch {stamp} {}", path.display())?;
        }
        if let Some(path) = &self.run_dir {
            writeln!(f, "run_dir {}", path.display())?;
        }
        self.apps.iter().try_for_each(|app| app.fmt(f))?;
        self.process.fmt(f)?;
        f.write_str(END)
    }
}

impl Part {
    /// Reads what `Display` writes; nothing, if that is not whole.
    pub fn parse(text: &str) -> Option<Self> {
        let mut part = Self::default();
        for line in text.strip_suffix(END)?.lines() {
            match line.split_once(' ')? {
                ("threads", count) => part.threads = count.parse().ok()?,
                (bind @ ("bind" | BIND_UDP), rest) => {
                    let mut words = rest.splitn(5, ' ');
                    part.binds.push(Bind {
                        listener: words.next()?.to_owned(),
                        backlog: words.next()?.parse().ok()?,
                        waits_for_data: words.next()? == "data",
                        freebind: words.next()? == "free",
                        address: Listen::parse(words.next()?).ok()?,
                        is_udp: bind == BIND_UDP,
                    });
                }
                ("admin", path) => part.admin = Some(path.into()),
                ("control", path) => part.control = Some(path.into()),
                ("watch", rest) => {
                    let (stamp, path) = rest.split_once(' ')?;
                    part.watched.push((path.into(), Stamp::parse(stamp)));
                }
                ("run_dir", path) => part.run_dir = Some(path.into()),
                (word, rest) if word == "app" || word.starts_with("app-") => {
                    Spec::read(&mut part.apps, word, rest)?;
                }
                // What a newer program knows is its own: it gets it back when it takes over.
                (word, rest) => part.process.take(word, rest)?,
            }
        }
        Some(part).filter(|part| part.threads > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::app::spec::tests::sample;

    #[test]
    fn what_is_written_is_read() {
        let bind = |address: &str, waits_for_data| Bind {
            listener: "web".to_owned(),
            address: Listen::parse(address).unwrap(),
            backlog: 4096,
            waits_for_data,
            freebind: !waits_for_data,
            is_udp: address == "[::1]:81",
        };
        let part = Part {
            threads: 2,
            binds: vec![
                bind(":80", true),
                bind("[::1]:81", false),
                bind("unix:/run/a b.sock", true),
            ],
            admin: Some("/run/an admin.sock".into()),
            control: Some("/run/master.sock".into()),
            watched: vec![
                ("a b.toml".into(), Stamp::of(Path::new("/"))),
                ("conf.d".into(), Stamp::of(Path::new("/none"))),
            ],
            run_dir: Some("/run/a b".into()),
            apps: vec![sample("a"), sample("b")],
            process: ProcessPart {
                owner: Some((33, 34)),
                access_log: Some("/var/log/an access.log".into()),
                pid_file: Some("/run/a b.pid".into()),
                log_file: Some("/var/log/a b.log".into()),
                core_dumps: true,
            },
        };
        assert_eq!(Part::parse(&part.to_string()), Some(part.clone()));
        let text = part.to_string();
        for end in 0..text.len() {
            assert_eq!(Part::parse(&text[..end]), None, "half of it is nothing");
        }
    }
}
