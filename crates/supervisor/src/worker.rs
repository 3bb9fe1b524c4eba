//! One worker process, as the master has it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use fairwater_sys::{child, pass, process};

use crate::bind::Listening;
use crate::link::{Link, News};

/// A running worker. Dropping it leaves the process alone.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    link: Option<Link>,
    pub(crate) began: Instant,
    pub(crate) is_serving: bool,
}

/// What a worker serves with.
#[derive(Debug)]
pub(crate) struct Equipment<'a> {
    pub(crate) name: &'a str,
    pub(crate) files: BorrowedFd<'a>,
    pub(crate) listening: &'a [Listening],
    pub(crate) admin: Option<&'a Listening>,
}

impl Worker {
    /// Starts a worker and gives it all that it needs.
    pub(crate) fn start(
        program: &Path,
        equipment: &Equipment<'_>,
        now: Instant,
    ) -> io::Result<Self> {
        let (ours, theirs) = pass::pair()?;
        let mut command = Command::new(program);
        command.arg("worker").stdin(Stdio::null());
        let child = child::spawn(&mut command, &[theirs.as_fd()])?;
        let link = Link::new(ours);
        let worker = Self { child, link: Some(link), began: now, is_serving: false };
        // One that dies at once is found by its end, not by what cannot be sent to it.
        worker.equip(equipment).ok();
        Ok(worker)
    }

    fn equip(&self, equipment: &Equipment<'_>) -> io::Result<()> {
        let Some(link) = &self.link else { return Ok(()) };
        link.order("configuration", equipment.name, &[equipment.files])?;
        for listening in equipment.listening {
            let sockets: Vec<OwnedFd> = listening.sockets()?;
            // More than one message takes: a machine with so many cores needs no socket for each.
            let fds: Vec<_> = sockets.iter().map(AsFd::as_fd).take(pass::DESCRIPTORS_MAX).collect();
            link.order("listening", &listening.address.to_string(), &fds)?;
        }
        if let Some(admin) = equipment.admin {
            let sockets = admin.sockets()?;
            let fds: Vec<_> = sockets.iter().map(AsFd::as_fd).take(1).collect();
            link.order("admin", "", &fds)?;
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

    /// Has it finish what runs and end.
    pub(crate) fn drain(&self) {
        process::signal(self.id(), process::TERM).ok();
    }

    /// Ends it at once, in order.
    pub(crate) fn stop(&self) {
        process::signal(self.id(), process::INT).ok();
    }
}
