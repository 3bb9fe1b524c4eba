//! Which processes there are, in a file below `run_dir`: a master that was killed leaves its apps
//! running, and the next one must not have them twice.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fairwater_sys::process;

/// For what the master before has left, between the signal to stop and the end.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// A process as the file has it. Numbers of processes are used again, and so the time of its start
/// stands beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) process_id: u32,
    pub(crate) stop_signal: i32,
    /// In the kernel's ticks since the machine has started.
    started: u64,
}

impl Entry {
    /// Nothing, if the process is gone.
    pub(crate) fn of(process_id: u32, stop_signal: i32) -> Option<Self> {
        Some(Self { process_id, stop_signal, started: started(process_id)? })
    }

    fn is_running(&self) -> bool {
        started(self.process_id) == Some(self.started)
    }
}

#[derive(Debug)]
pub(crate) struct Record {
    path: PathBuf,
}

impl Record {
    /// The one of whoever has this `run_dir`.
    pub(crate) fn in_directory(run_dir: &Path) -> Self {
        Self::new(run_dir.join("apps"))
    }

    fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// In place of what is there.
    ///
    /// # Errors
    /// As those of files.
    pub(crate) fn write(&self, entries: &[Entry]) -> io::Result<()> {
        if entries.is_empty() {
            return fs::remove_file(&self.path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            });
        }
        let new = self.path.with_extension("new");
        fs::write(&new, text(entries, &boot()))?;
        fs::rename(&new, &self.path)
    }

    /// Ends the processes that a master before has left. Tells how many there were.
    pub(crate) fn end_all(&self) -> usize {
        let left = fs::read_to_string(&self.path).unwrap_or_default();
        let left: Vec<_> = parse(&left, &boot()).into_iter().filter(Entry::is_running).collect();
        for entry in &left {
            process::signal_group(entry.process_id, entry.stop_signal).ok();
        }
        for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
            if !left.iter().any(Entry::is_running) {
                break;
            }
            std::thread::sleep(LOOK);
        }
        for entry in &left {
            // Of one that has ended, its children may be left.
            process::signal_group(entry.process_id, process::KILL).ok();
        }
        left.len()
    }
}

fn text(entries: &[Entry], boot: &str) -> String {
    let mut out = format!("{boot}\n");
    for Entry { process_id, stop_signal, started } in entries {
        // Writing to a String cannot fail.
        writeln!(out, "{process_id} {started} {stop_signal}").ok();
    }
    out
}

/// Nothing, if that was before the machine has started.
fn parse(text: &str, boot: &str) -> Vec<Entry> {
    let mut lines = text.lines();
    if lines.next() != Some(boot) {
        return Vec::new();
    }
    let entry = |line: &str| {
        let mut words = line.split(' ');
        Some(Entry {
            process_id: words.next()?.parse().ok()?,
            started: words.next()?.parse().ok()?,
            stop_signal: words.next()?.parse().ok()?,
        })
    };
    lines.filter_map(entry).collect()
}

fn boot() -> String {
    let id = fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id"));
    id.unwrap_or_default().trim().to_owned()
}

fn started(process_id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process_id}/stat")).ok()?;
    // The name of a program may have blanks and brackets; behind it this is the twentieth word.
    let (_, rest) = stat.rsplit_once(") ")?;
    let is_zombie = rest.starts_with('Z');
    rest.split(' ').nth(19).filter(|_| !is_zombie)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use fairwater_sys::child;

    use super::*;

    #[test]
    fn what_is_written_is_read_until_the_machine_starts_again() {
        let entries = [
            Entry { process_id: 5, stop_signal: 15, started: 123 },
            Entry { process_id: 6, stop_signal: 3, started: 456 },
        ];
        assert_eq!(parse(&text(&entries, "boot"), "boot"), entries);
        assert_eq!(parse(&text(&entries, "boot"), "another"), []);
        assert_eq!(parse("", ""), []);
    }

    #[test]
    fn only_the_process_that_is_meant_is_ended() {
        let mut command = Command::new("sleep");
        let id = child::spawn_apart(command.arg("60").stdin(Stdio::null()), None, None).unwrap();
        let entry = Entry::of(id, process::TERM).unwrap();
        let path = std::env::temp_dir().join(format!("fairwater-record-{id}"));
        let record = Record::new(path.clone());
        let other = Entry { started: entry.started + 1, ..entry };
        record.write(&[other]).unwrap();
        assert_eq!(record.end_all(), 0);
        assert!(entry.is_running());
        record.write(std::slice::from_ref(&entry)).unwrap();
        assert_eq!(record.end_all(), 1);
        assert!(!entry.is_running());
        child::ended(id).unwrap();
        record.write(&[]).unwrap();
        assert!(!path.exists());
    }
}
