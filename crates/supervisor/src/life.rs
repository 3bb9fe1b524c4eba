//! What ties the master to the system that it lives on: whoever started it, and the files that it
//! is known by.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use fairwater_sys::exec::Left;
use fairwater_sys::file::open_for_appending;
use fairwater_sys::{clock, privileges, process};

use crate::account::ROOT;
use crate::daemon::Report;
use crate::inherit::Inherited;
use crate::notify::Notify;
use crate::own_file::make_for;
use crate::pid_file::PidFile;
use crate::process_part::ProcessPart;
use crate::record::Record;

/// The ties of a master.
#[derive(Debug, Default)]
pub struct Life {
    /// Sockets that it was started with.
    pub inherited: Inherited,
    /// Who is told how it is.
    pub(crate) notify: Notify,
    /// Connections are accepted.
    is_serving: bool,
    /// Waits to be told that it serves.
    report: Option<Report>,
    output: Option<Output>,
    /// Locked as long as it runs.
    pid_file: Option<PidFile>,
}

/// Where a daemon says what it says.
#[derive(Debug)]
struct Output {
    path: PathBuf,
    file: File,
}

impl Life {
    /// Takes hold of the files that `part` names. With a `report` it is a daemon.
    ///
    /// # Errors
    /// Says what it cannot have.
    pub fn begin(
        part: &ProcessPart,
        inherited: Inherited,
        report: Option<Report>,
    ) -> Result<Self, String> {
        privileges::set_core_dumps(part.core_dumps)
            .map_err(|error| format!("cannot set core dumps: {error}"))?;
        let pid_file = part.pid_file.as_deref().map(PidFile::hold).transpose()?;
        let output = match (&report, &part.log_file) {
            (None, _) => None,
            (Some(_), None) => {
                let options = "`--log-file FILE`, or `log_file` in the configuration";
                return Err(format!("a daemon needs a file for what it says: {options}"));
            }
            (Some(_), Some(path)) => Some(Output::open(path.clone(), part)?),
        };
        Ok(Self {
            inherited,
            notify: Notify::from_environment(),
            is_serving: false,
            report,
            output,
            pid_file,
        })
    }

    /// Goes on with what the master before has left.
    pub(crate) fn of(record: &Record, part: &ProcessPart, left: &mut Left) -> Self {
        // Another program begins with what every program begins with.
        privileges::set_core_dumps(part.core_dumps).ok();
        let mut take = |file: &Option<(RawFd, PathBuf)>| {
            let (number, path) = file.as_ref()?;
            Some((File::from(left.take(*number)?), path.clone()))
        };
        Self {
            inherited: Inherited::default(),
            notify: Notify::from_environment(),
            is_serving: record.has_served,
            report: None,
            output: take(&record.output).map(|(file, path)| Output { path, file }),
            pid_file: take(&record.pid_file).map(|(file, path)| PidFile::of(file, path)),
        }
    }

    pub(crate) fn pid_file_record(&self) -> Option<(RawFd, PathBuf)> {
        self.pid_file.as_ref().map(|file| (file.as_fd().as_raw_fd(), file.path().to_owned()))
    }

    pub(crate) fn output_record(&self) -> Option<(RawFd, PathBuf)> {
        self.output.as_ref().map(|output| (output.file.as_raw_fd(), output.path.clone()))
    }

    /// What the next master goes on with.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let output = self.output.iter().map(|output| output.file.as_fd());
        self.pid_file.iter().map(PidFile::as_fd).chain(output)
    }

    /// Tells whoever waits for it that connections are accepted.
    ///
    /// # Errors
    /// Never, with an open log file.
    pub(crate) fn serving(&mut self) -> io::Result<()> {
        self.is_serving = true;
        self.notify.ready("Serving");
        match (self.report.take(), &self.output) {
            (Some(report), Some(output)) => report.serving(&output.file),
            _ => Ok(()),
        }
    }

    /// Goes on with another configuration than the last. Gives what is to be said about it.
    pub(crate) fn take_in(&mut self, last: &ProcessPart, next: &ProcessPart) -> Vec<String> {
        let mut notes = Vec::new();
        if let Err(error) = privileges::set_core_dumps(next.core_dumps) {
            notes.push(format!("cannot set core dumps: {error}"));
        }
        for (setting, last, next) in [
            ("pid_file", &last.pid_file, &next.pid_file),
            ("log_file", &last.log_file, &next.log_file),
        ] {
            if last != next {
                notes.push(format!("warning: `{setting}` stays as it is until the next start"));
            }
        }
        notes
    }

    /// A reload has ended, well or not: either way connections are accepted.
    pub(crate) fn reloaded(&self, is_good: bool) {
        if self.is_serving {
            let good = "Serving";
            let bad = "Serving, and the last reload has changed nothing";
            self.notify.ready(if is_good { good } else { bad });
        }
    }

    /// Takes the ends of orphans: they are left to the first process of a container, and to nobody
    /// else.
    pub(crate) fn reap_orphans(&self, is_ours: impl Fn(u32) -> bool) {
        while process::reap_orphan(&is_ours).is_some() {}
    }

    /// Gives a sign of life when one is due. Returns how long the next look may wait, at most
    /// `patience`.
    pub(crate) fn look(&mut self, patience: Duration) -> Duration {
        self.notify.beat(clock::coarse_ms()).map_or(patience, |next| next.min(patience))
    }

    /// Where a new worker says what it says, if not where the master does.
    pub(crate) fn output(&self) -> Option<(&PathBuf, &File)> {
        self.output.as_ref().map(|output| (&output.path, &output.file))
    }

    /// Opens what was moved away under its name again, for this process, and makes way for the
    /// workers, which open theirs themselves.
    ///
    /// # Errors
    /// Says what cannot be opened; what it had it keeps.
    pub(crate) fn reopen(&mut self, part: &ProcessPart) -> Result<(), String> {
        if let (Some(path), Some(owner)) = (&part.access_log, part.owner) {
            make_for(path, owner)
                .map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        }
        let Some(output) = &mut self.output else { return Ok(()) };
        *output = Output::open(output.path.clone(), part)?;
        let redirected = process::redirect_output(output.file.as_fd());
        redirected.map_err(|error| format!("cannot write to {}: {error}", output.path.display()))
    }
}

impl Output {
    /// Opens the file as the user whose it shall be: root follows no name that others may change.
    fn open(path: PathBuf, part: &ProcessPart) -> Result<Self, String> {
        let open = || open_for_appending(&path);
        let owner = part.owner.filter(|_| process::user_id() == ROOT);
        let opened = match owner {
            Some(owner) => make_for(&path, owner)
                .and_then(|()| privileges::with_files_of(owner.0, owner.1, open)),
            None => open(),
        };
        let whose = owner.map(|(user, _)| format!(" as user {user}")).unwrap_or_default();
        let failed = |error| format!("log_file: cannot open {}{whose}: {error}", path.display());
        let file = opened.map_err(failed)?;
        Ok(Self { path, file })
    }
}
