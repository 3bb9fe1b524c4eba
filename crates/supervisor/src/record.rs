//! What a master writes down for the one that goes on in its place, in lines: numbers of
//! descriptors that stay open, and all else that it cannot find out again.

use std::fmt;
use std::os::fd::RawFd;
use std::path::PathBuf;

use fairwater_message::tally::Tally;

/// The first line. Another one is another form, which nobody here can read.
const FORM: &str = "fairwater-master 1";
/// The last: half of a record is none.
const END: &str = "end";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// Of the program that wrote it.
    pub version: String,
    /// Where a newer program is looked for.
    pub installed: PathBuf,
    pub file: PathBuf,
    pub has_served: bool,
    pub tally: Tally,
    pub listening: Vec<ListeningRecord>,
    pub good: LoadedRecord,
    /// The master's own socket, among `listening`.
    pub commands: Option<usize>,
    pub workers: Vec<WorkerRecord>,
    /// All apps, as they write themselves down.
    pub apps: String,
    /// What the worker that serves has given.
    pub state: Option<RawFd>,
    /// Who waits for the upgrade that this is, and what the reader has said.
    pub askers: Vec<RawFd>,
    pub said: String,
    /// What the upgrade puts into force, and the worker that serves with it.
    pub next: Option<(LoadedRecord, u32)>,
    /// Who wants another reload.
    pub wishes: Vec<RawFd>,
    pub has_wish: bool,
    /// And by the program that is installed then.
    pub wishes_upgrade: bool,
    /// The soft limit of open descriptors before it was raised; 0 if it was not.
    pub descriptors_before: u64,
    /// Open files that the process is known by, and their names.
    pub pid_file: Option<(RawFd, PathBuf)>,
    pub output: Option<(RawFd, PathBuf)>,
}

/// The sockets of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListeningRecord {
    pub sockets: Vec<RawFd>,
    pub address: String,
    /// Device and number of its file.
    pub file: Option<(u64, u64)>,
}

/// A configuration and its sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LoadedRecord {
    pub files: RawFd,
    pub part: String,
    /// Numbers of `listening`, and whether the set before had them.
    pub places: Vec<(usize, bool)>,
    pub admin: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkerRecord {
    pub id: u32,
    pub stage: String,
    pub age_ms: u64,
    pub link: Option<RawFd>,
    pub heir: Option<RawFd>,
    pub is_doomed: bool,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FORM}")?;
        writeln!(f, "version {}", escape(&self.version))?;
        writeln!(f, "installed {}", escape(&self.installed.to_string_lossy()))?;
        writeln!(f, "file {}", escape(&self.file.to_string_lossy()))?;
        if self.has_served {
            writeln!(f, "served")?;
        }
        writeln!(f, "tally {}", self.tally)?;
        for one in &self.listening {
            write!(f, "listening {} ", list(&one.sockets))?;
            match one.file {
                Some((device, number)) => write!(f, "{device}:{number}")?,
                None => f.write_str("-")?,
            }
            writeln!(f, " {}", escape(&one.address))?;
        }
        writeln!(f, "good {}", self.good)?;
        if let Some(at) = self.commands {
            writeln!(f, "commands {at}")?;
        }
        for WorkerRecord { id, stage, age_ms, link, heir, is_doomed } in &self.workers {
            let (link, heir) = (list(link.as_slice()), list(heir.as_slice()));
            writeln!(f, "worker {id} {age_ms} {link} {heir} {} {stage}", u8::from(*is_doomed))?;
        }
        if !self.apps.is_empty() {
            writeln!(f, "apps {}", escape(&self.apps))?;
        }
        writeln!(f, "state {}", list(self.state.as_slice()))?;
        writeln!(f, "askers {}", list(&self.askers))?;
        writeln!(f, "said {}", escape(&self.said))?;
        if let Some((loaded, worker)) = &self.next {
            writeln!(f, "next {worker} {loaded}")?;
        }
        if self.has_wish {
            writeln!(f, "wishes {}", list(&self.wishes))?;
        }
        if self.wishes_upgrade {
            writeln!(f, "wishes_upgrade")?;
        }
        if self.descriptors_before > 0 {
            writeln!(f, "descriptors_before {}", self.descriptors_before)?;
        }
        for (word, file) in [("pid_file", &self.pid_file), ("output", &self.output)] {
            if let Some((number, path)) = file {
                writeln!(f, "{word} {number} {}", escape(&path.to_string_lossy()))?;
            }
        }
        writeln!(f, "{END}")
    }
}

impl fmt::Display for LoadedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place =
            |(at, is_kept): &(usize, bool)| format!("{at}{}", if *is_kept { "=" } else { "+" });
        let places: Vec<_> = self.places.iter().map(place).collect();
        let admin = list(self.admin.as_slice());
        write!(f, "{} {admin} {} {}", self.files, list(&places), escape(&self.part))
    }
}

impl Record {
    /// Reads what `Display` writes; nothing, if that is not whole, or of another form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        (lines.next()? == FORM && lines.next_back()? == END).then_some(())?;
        let mut record = Self::default();
        for line in lines {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            record.take(word, rest)?;
        }
        let count = record.listening.len();
        let is_whole = record.numbers().all(|at| at < count);
        is_whole.then_some(record)
    }

    fn take(&mut self, word: &str, rest: &str) -> Option<()> {
        match word {
            "version" => self.version = unescape(rest)?,
            "installed" => self.installed = unescape(rest)?.into(),
            "file" => self.file = unescape(rest)?.into(),
            "served" => self.has_served = true,
            "tally" => self.tally = Tally::parse(rest)?,
            "listening" => {
                let mut words = rest.splitn(3, ' ');
                let sockets = unlist(words.next()?)?;
                let file = match words.next()? {
                    "-" => None,
                    id => {
                        let (device, number) = id.split_once(':')?;
                        Some((device.parse().ok()?, number.parse().ok()?))
                    }
                };
                let address = unescape(words.next()?)?;
                self.listening.push(ListeningRecord { sockets, address, file });
            }
            "good" => self.good = LoadedRecord::parse(rest)?,
            "commands" => self.commands = Some(rest.parse().ok()?),
            "worker" => {
                let mut words = rest.splitn(6, ' ');
                self.workers.push(WorkerRecord {
                    id: words.next()?.parse().ok()?,
                    age_ms: words.next()?.parse().ok()?,
                    link: unlist(words.next()?)?.pop(),
                    heir: unlist(words.next()?)?.pop(),
                    is_doomed: words.next()? != "0",
                    stage: words.next()?.to_owned(),
                });
            }
            "apps" => self.apps = unescape(rest)?,
            "state" => self.state = unlist(rest)?.pop(),
            "askers" => self.askers = unlist(rest)?,
            "said" => self.said = unescape(rest)?,
            "next" => {
                let (worker, rest) = rest.split_once(' ')?;
                self.next = Some((LoadedRecord::parse(rest)?, worker.parse().ok()?));
            }
            "pid_file" => self.pid_file = Some(file(rest)?),
            "output" => self.output = Some(file(rest)?),
            "wishes" => (self.has_wish, self.wishes) = (true, unlist(rest)?),
            "descriptors_before" => self.descriptors_before = rest.parse().ok()?,
            "wishes_upgrade" => self.wishes_upgrade = true,
            _ => return None,
        }
        Some(())
    }

    /// All that are said to be numbers of `listening`.
    fn numbers(&self) -> impl Iterator<Item = usize> {
        let sets = std::iter::once(&self.good).chain(self.next.iter().map(|(next, _)| next));
        let of_sets = sets.flat_map(|set| set.places.iter().map(|(at, _)| *at).chain(set.admin));
        of_sets.chain(self.commands)
    }
}

impl LoadedRecord {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let files = words.next()?.parse().ok()?;
        let admin = unlist(words.next()?)?.pop();
        let place = |text: &String| match text.split_at_checked(text.len() - 1)? {
            (at, "=") => Some((at.parse().ok()?, true)),
            (at, "+") => Some((at.parse().ok()?, false)),
            _ => None,
        };
        let places = unlist::<String>(words.next()?)?.iter().map(place).collect::<Option<_>>()?;
        Some(Self { files, part: unescape(words.next()?)?, places, admin })
    }
}

/// Things with commas between them, or a dash for none.
fn list<T: fmt::Display>(all: &[T]) -> String {
    let texts: Vec<_> = all.iter().map(T::to_string).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(",") }
}

fn unlist<T: std::str::FromStr>(text: &str) -> Option<Vec<T>> {
    let texts = (text != "-").then(|| text.split(',')).into_iter().flatten();
    texts.map(|text| text.parse().ok().filter(|_| !text.is_empty())).collect()
}

/// The descriptor of a file, and its name.
fn file(text: &str) -> Option<(RawFd, PathBuf)> {
    let (number, path) = text.split_once(' ')?;
    Some((number.parse().ok()?, unescape(path)?.into()))
}

/// A text as one line.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut all = text.chars();
    while let Some(one) = all.next() {
        out.push(match one {
            '\\' => match all.next()? {
                'n' => '\n',
                '\\' => '\\',
                _ => return None,
            },
            one => one,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let listening = |sockets: &[RawFd], address: &str, file| ListeningRecord {
            sockets: sockets.to_vec(),
            address: address.to_owned(),
            file,
        };
        let loaded = |places: &[(usize, bool)], admin| LoadedRecord {
            files: 17,
            part: "threads 2\nbind a\\n b\nend\n".to_owned(),
            places: places.to_vec(),
            admin,
        };
        let worker = |id, stage: &str, link| WorkerRecord {
            id,
            stage: stage.to_owned(),
            age_ms: 5_000_000_000,
            link,
            heir: link.map(|link| link + 1),
            is_doomed: link.is_none(),
        };
        Record {
            version: "0.1.0".to_owned(),
            installed: "/usr/bin/a b".into(),
            file: "fairwater.toml".into(),
            has_served: true,
            tally: Tally { reloads: 3, ..Tally::default() },
            listening: vec![
                listening(&[5, 6], "[::]:80", None),
                listening(&[7], "unix:/run/a b.sock", Some((1, 2))),
                listening(&[], "127.0.0.1:1", None),
            ],
            good: loaded(&[(0, true), (2, false)], Some(1)),
            commands: Some(1),
            workers: vec![worker(12, "retired", None), worker(13, "serving", Some(9))],
            apps: "a\nb\n".to_owned(),
            state: Some(8),
            askers: vec![10, 11],
            said: "a\n\\b\n".to_owned(),
            next: Some((loaded(&[], None), 13)),
            wishes: Vec::new(),
            has_wish: true,
            wishes_upgrade: true,
            descriptors_before: 1024,
            pid_file: Some((21, "/run/a b.pid".into())),
            output: Some((22, "a.log".into())),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let empty = Record { wishes: vec![], has_wish: false, next: None, ..Record::default() };
        for record in [record(), empty] {
            assert_eq!(Record::parse(&record.to_string()), Some(record));
        }
    }

    #[test]
    fn what_is_broken_is_nothing() {
        let text = record().to_string();
        for end in 0..text.len() {
            assert_eq!(Record::parse(&text[..end]), None);
        }
        for (from, to) in
            [("master 1", "master 2"), ("commands 1", "commands 3"), ("0=", "0"), ("0=", "9=")]
        {
            assert_eq!(Record::parse(&text.replacen(from, to, 1)), None, "{to}");
        }
    }
}
