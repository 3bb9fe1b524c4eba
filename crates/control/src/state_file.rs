//! The file in `state_dir` that holds what was set at run time to stay. It is written whole or not
//! at all, and a broken one is put aside: it never keeps the process from starting.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use fairwater_config::WEIGHT_MAX;
use fairwater_message::address::Endpoint;
use toml::de::{DeTable, DeValue};

use crate::changes::{Change, Changes, Presence, RESTS};

/// Room for all changes that there may be.
const STATE_BYTES_MAX: u64 = 8 * 1024 * 1024;
const NAME: &str = "endpoints.toml";
/// Of the form of the file; another one is not understood.
pub(crate) const VERSION: &str = "1";

#[derive(Debug)]
pub(crate) struct StateFile {
    directory: PathBuf,
}

impl StateFile {
    /// Makes the directory if it is not there, for its owner alone.
    ///
    /// # Errors
    /// When there is none and none can be made.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !fs::metadata(directory)?.is_dir() {
                    return Err(io::ErrorKind::NotADirectory.into());
                }
            }
            result => result?,
        }
        Ok(Self { directory: directory.to_owned() })
    }

    /// What it holds, and what is to be said about it.
    pub(crate) fn read(&self) -> (Changes, Option<String>) {
        let path = self.directory.join(NAME);
        let shown = path.display();
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| {
            file.take(STATE_BYTES_MAX).read_to_string(&mut text)?;
            Ok(())
        });
        let problem = match read {
            Ok(()) => match parse(&text) {
                Ok(changes) => return (changes, None),
                Err(problem) => problem,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return (Changes::default(), None);
            }
            Err(error) => error.to_string(),
        };
        let aside = self.directory.join(format!("{NAME}.broken"));
        let what = match fs::rename(&path, &aside) {
            Ok(()) => format!("it is kept as {}", aside.display()),
            Err(error) => format!("it cannot be put aside: {error}"),
        };
        let line = format!(
            "warning: {shown} cannot be used: {problem}; {what}, and what was set at run time is lost"
        );
        (Changes::default(), Some(line))
    }

    /// # Errors
    /// When it cannot be written; the one before stays.
    pub(crate) fn write(&self, changes: &Changes) -> io::Result<()> {
        let new = self.directory.join(format!("{NAME}.new"));
        let options =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
        let mut file = options.open(&new)?;
        file.write_all(render(changes).as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.directory.join(NAME))?;
        // The name too is to be there after a power cut.
        File::open(&self.directory)?.sync_all()
    }
}

pub(crate) fn render(changes: &Changes) -> String {
    let mut out =
        format!("# What was set at run time. Written by Fairwater.\nversion = {VERSION}\n");
    for (upstream, name, change) in changes.iter() {
        out.push_str("\n[[endpoints]]\n");
        let mut line = |key: &str, value: &str| out.push_str(&format!("{key} = {value}\n"));
        line("upstream", &quoted(upstream));
        line("address", &quoted(name));
        match change.presence {
            Presence::AsConfigured => {}
            Presence::Added(_) => line("presence", "\"added\""),
            Presence::Removed => line("presence", "\"removed\""),
        }
        if let Some(weight) = change.weight {
            line("weight", &weight.to_string());
        }
        if let Some((word, _)) = RESTS.iter().find(|(_, rest)| Some(*rest) == change.rest) {
            line("state", &quoted(word));
        }
    }
    out
}

/// A string of TOML; there are no control characters in names.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

pub(crate) fn parse(text: &str) -> Result<Changes, String> {
    let root = DeTable::parse(text).map_err(|error| error.message().to_owned())?;
    let mut changes = Changes::default();
    let mut has_version = false;
    for (key, value) in root.get_ref() {
        match (&**key.get_ref(), value.get_ref()) {
            ("version", DeValue::Integer(number)) if number.as_str() == VERSION => {
                has_version = true;
            }
            ("version", _) => return Err("it has the form of another version".to_owned()),
            ("endpoints", DeValue::Array(entries)) => {
                for entry in entries.iter() {
                    let DeValue::Table(entry) = entry.get_ref() else {
                        return Err("an endpoint is no table".to_owned());
                    };
                    read_entry(entry, &mut changes)?;
                }
            }
            (key, _) => return Err(format!("`{key}` does not belong there")),
        }
    }
    if has_version { Ok(changes) } else { Err("it has no version".to_owned()) }
}

fn read_entry(entry: &DeTable<'_>, changes: &mut Changes) -> Result<(), String> {
    let (mut upstream, mut name, mut presence) = (None, None, None);
    let mut change = Change::default();
    for (key, value) in entry {
        match (&**key.get_ref(), value.get_ref()) {
            ("upstream", DeValue::String(text)) => upstream = Some(text.to_string()),
            ("address", DeValue::String(text)) => name = Some(text.to_string()),
            ("presence", DeValue::String(text)) => presence = Some(text.to_string()),
            ("weight", DeValue::Integer(number)) => {
                let weight = number.as_str().parse().ok().filter(|weight| *weight <= WEIGHT_MAX);
                change.weight = Some(weight.ok_or("a weight is out of range")?);
            }
            ("state", DeValue::String(text)) => {
                let found = RESTS.iter().find(|(word, _)| word == text);
                let (_, rest) = found.ok_or_else(|| format!("there is no state `{text}`"))?;
                change.rest = Some(*rest);
            }
            (key, _) => return Err(format!("`{key}` of an endpoint is not understood")),
        }
    }
    let (Some(upstream), Some(name)) = (upstream, name) else {
        return Err("an endpoint has no upstream or no address".to_owned());
    };
    change.presence = match presence.as_deref() {
        None => Presence::AsConfigured,
        Some("removed") => Presence::Removed,
        Some("added") => {
            let address = Endpoint::parse(&name).map_err(|error| error.problem().to_owned())?;
            Presence::Added(address)
        }
        Some(other) => return Err(format!("there is no presence `{other}`")),
    };
    changes.edit(&upstream, &name, |empty| *empty = change);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Rest;

    #[test]
    fn what_is_written_is_read_again() {
        let mut changes = Changes::default();
        for (name, presence, weight, rest) in [
            ("a:1", Presence::AsConfigured, Some(0), Some(Rest::Drain)),
            ("unix:/run/\"q\\ü.sock", Presence::Removed, None, None),
            ("b:1", Presence::Added(Endpoint::parse("b:1").unwrap()), Some(1000), None),
            ("b:1/10.0.0.1", Presence::AsConfigured, None, Some(Rest::Maintenance)),
        ] {
            changes.edit("app", name, |change| *change = Change { presence, weight, rest });
        }
        assert_eq!(parse(&render(&changes)), Ok(changes));
    }

    #[test]
    fn broken_files_are_refused() {
        for (text, problem) in [
            ("", "it has no version"),
            ("version = 2", "it has the form of another version"),
            ("version = 1\nx = 1", "`x` does not belong there"),
            ("version = 1\n[[endpoints]]", "an endpoint has no upstream or no address"),
            (
                "version = 1\nendpoints = [{ upstream = 'a', address = 'b', weight = 1001 }]",
                "a weight is out of range",
            ),
            (
                "version = 1\nendpoints = [{ upstream = 'a', address = 'b', state = 'up' }]",
                "there is no state `up`",
            ),
            (
                "version = 1\nendpoints = [{ upstream = 'a', address = 'b', presence = 'added' }]",
                "`b` has no port",
            ),
        ] {
            assert_eq!(parse(text), Err(problem.to_owned()), "{text}");
        }
        assert!(parse("version = ").is_err());
    }

    #[test]
    fn a_broken_file_is_put_aside() {
        let directory =
            std::env::temp_dir().join(format!("fairwater-state-{}", std::process::id()));
        let file = StateFile::open(&directory).unwrap();
        assert_eq!(file.read(), (Changes::default(), None));
        let mut changes = Changes::default();
        changes.edit("app", "a:1", |change| change.weight = Some(3));
        file.write(&changes).unwrap();
        assert_eq!(StateFile::open(&directory).unwrap().read(), (changes, None));
        fs::write(directory.join(NAME), b"\xff").unwrap();
        let (changes, line) = file.read();
        assert!(changes == Changes::default() && line.unwrap().contains("cannot be used"));
        assert_eq!(file.read(), (Changes::default(), None));
        assert!(directory.join("endpoints.toml.broken").exists());
        fs::remove_dir_all(&directory).unwrap();
    }
}
