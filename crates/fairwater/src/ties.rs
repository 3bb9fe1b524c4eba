//! What ties a process that serves to who has started it: where it says what it says, and who wants
//! to know how it is.

use std::os::fd::AsFd;
use std::path::PathBuf;

use fairwater_supervisor::Notify;
use fairwater_sys::file::open_for_appending;
use fairwater_sys::process;

use crate::say;

/// The ties of a process.
#[derive(Debug, Default)]
pub(crate) struct Ties {
    /// What its standard output and error are, to be opened again.
    pub log_file: Option<PathBuf>,
    /// The service manager, where this process is the one that it has started.
    pub notify: Notify,
    /// It has no children but those that others have left to it, as the first process of a
    /// container.
    pub reaps: bool,
}

impl Ties {
    /// Takes the ends of orphans.
    pub(crate) fn reap(&self) {
        while self.reaps && process::reap_orphan(|_| false).is_some() {}
    }

    /// Goes on in a new file, where the old one was moved away.
    pub(crate) fn reopen(&self) {
        let Some(path) = &self.log_file else { return };
        let opened = open_for_appending(path);
        if let Err(error) = opened.and_then(|file| process::redirect_output(file.as_fd())) {
            say(format_args!("cannot open {} again: {error}", path.display()));
        }
    }
}
