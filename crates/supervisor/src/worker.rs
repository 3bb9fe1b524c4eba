//! One worker process, as the master has it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fairwater_sys::{child, pass, process};
use socket2::SockRef;

use crate::link::{Link, News};
use crate::sockets::{Share, Sockets};

/// For a worker to take an order while the link is full.
const TELLING: Duration = Duration::from_secs(2);

/// A running worker. Dropping it leaves the process alone.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    link: Option<Link>,
    pub(crate) began: Instant,
    pub(crate) stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Starting,
    Serving,
    /// Another one serves in its place.
    Retired,
}

/// What a worker serves with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Equipment<'a> {
    pub(crate) name: &'a str,
    pub(crate) files: BorrowedFd<'a>,
    pub(crate) sockets: &'a Sockets,
    /// Where it says what it says, if not where the master does.
    pub(crate) output: Option<(&'a PathBuf, &'a File)>,
}

impl Worker {
    /// Starts a worker and gives it all that it needs.
    pub(crate) fn start(program: &Path, given: Equipment<'_>, now: Instant) -> io::Result<Self> {
        let (ours, theirs) = pass::pair()?;
        // A worker that takes nothing more must not hold the master.
        SockRef::from(&ours).set_write_timeout(Some(TELLING))?;
        let mut command = Command::new(program);
        command.arg("worker").stdin(Stdio::null());
        if let Some((path, file)) = given.output {
            command.arg("--log-file").arg(path);
            command.stdout(file.try_clone()?).stderr(file.try_clone()?);
        }
        let child = child::spawn(&mut command, &[theirs.as_fd()])?;
        let link = Some(Link::new(ours));
        let worker = Self { child, link, began: now, stage: Stage::Starting };
        // One that dies at once is found by its end, not by what cannot be sent to it.
        worker.equip(given, false).ok();
        Ok(worker)
    }

    /// Has it serve with other files, and the sockets that it does not have yet.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(crate) fn replace(&self, given: Equipment<'_>) -> io::Result<()> {
        self.equip(given, true)
    }

    fn equip(&self, given: Equipment<'_>, has_before: bool) -> io::Result<()> {
        let link = self.link.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        link.order("configuration", given.name, &[given.files])?;
        for Share { address, sockets, is_kept } in given.sockets.shares()? {
            let wanted = if has_before && is_kept { 0 } else { pass::DESCRIPTORS_MAX };
            // More than one message takes: a machine with so many cores needs no socket for each.
            let fds: Vec<_> = sockets.iter().map(AsFd::as_fd).take(wanted).collect();
            let text = format!("{}\n{}", address.configured, address.bound);
            link.order("listening", &text, &fds)?;
        }
        if let Some(admin) = given.sockets.admin()?.filter(|_| !has_before) {
            link.order("admin", "", &[admin.as_fd()])?;
        }
        link.order("serve", "", &[])
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it says; nothing once it says no more.
    pub(crate) fn news(&mut self) -> Option<News> {
        let news = self.link.as_ref()?.next_news();
        if news.is_none() {
            self.link = None;
        }
        news
    }

    /// Where news come in.
    pub(crate) fn link(&self) -> Option<BorrowedFd<'_>> {
        self.link.as_ref().map(AsFd::as_fd)
    }

    /// How it ended, once it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Has it finish what runs, while another serves.
    pub(crate) fn retire(&mut self) {
        self.stage = Stage::Retired;
        self.link.iter().for_each(|link| drop(link.order("retire", "", &[])));
    }

    /// Has it finish what runs and end.
    pub(crate) fn drain(&self) {
        process::signal(self.id(), process::TERM).ok();
    }

    /// Has it open its logs again.
    pub(crate) fn reopen(&self) {
        process::signal(self.id(), process::USR1).ok();
    }

    /// Ends it at once, in order.
    pub(crate) fn stop(&self) {
        process::signal(self.id(), process::INT).ok();
    }
}
