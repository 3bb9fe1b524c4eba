//! One worker process, as the master has it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fairwater_message::tally::Tally;
use fairwater_sys::exec::Left;
use fairwater_sys::{child, pass, process};
use socket2::SockRef;

use crate::app::Apps;
use crate::link::{Link, News, Succession};
use crate::record::WorkerRecord;
use crate::sockets::{Share, Sockets};
use crate::upgrade::NAME;

/// For a worker to take an order while the link is full.
const TELLING: Duration = Duration::from_secs(2);

/// For the connections of a worker that hangs to move to the next one, and for one that is not
/// wanted to end.
const LEAVING: Duration = Duration::from_secs(2);

/// A running worker. Dropping it leaves the process alone.
#[derive(Debug)]
pub(crate) struct Worker {
    id: u32,
    link: Option<Link>,
    pub(crate) began: Instant,
    pub(crate) stage: Stage,
    /// What it was told of apps.
    told: HashMap<String, u64>,
    told_tally: Tally,
    /// The other end of a socket over which it takes connections of the worker before.
    heir: Option<OwnedFd>,
    /// What it has given before it serves.
    pub(crate) state: Option<OwnedFd>,
    doom: Doom,
}

/// Whether a worker has to be ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doom {
    None,
    /// Once another serves.
    Sealed,
    At(Instant),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Starting,
    Serving,
    /// Another one serves in its place.
    Retired,
}

impl Stage {
    const NAMED: [(Self, &str); 3] =
        [(Self::Starting, "starting"), (Self::Serving, "serving"), (Self::Retired, "retired")];

    fn name(self) -> &'static str {
        Self::NAMED.iter().find(|(stage, _)| *stage == self).map_or("", |(_, name)| name)
    }

    fn parse(text: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(_, name)| *name == text).map(|(stage, _)| *stage)
    }
}

/// What a worker serves with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Equipment<'a> {
    pub(crate) name: &'a str,
    pub(crate) files: BorrowedFd<'a>,
    pub(crate) sockets: &'a Sockets,
    pub(crate) apps: &'a Apps,
    /// Where it says what it says, if not where the master does.
    pub(crate) output: Option<(&'a PathBuf, &'a File)>,
    /// What the worker before has given, for one in its place.
    pub(crate) state: Option<(BorrowedFd<'a>, Succession)>,
}

impl Worker {
    /// Starts a worker and gives it all that it needs. One that `follows` another takes its
    /// connections.
    pub(crate) fn start(
        program: &Path,
        given: Equipment<'_>,
        follows: bool,
        now: Instant,
    ) -> io::Result<Self> {
        let (ours, theirs) = pass::pair()?;
        // A worker that takes nothing more must not hold the master.
        SockRef::from(&ours).set_write_timeout(Some(TELLING))?;
        let mut command = Command::new(program);
        command.arg0(NAME).arg("worker").stdin(Stdio::null());
        if let Some((path, file)) = given.output {
            command.arg("--log-file").arg(path);
            command.stdout(file.try_clone()?).stderr(file.try_clone()?);
        }
        let mut child = child::spawn(&mut command, &[theirs.as_fd()])?;
        let link = Some(Link::new(ours));
        let (id, stage, told) = (child.id(), Stage::Starting, HashMap::new());
        let (heir, state, doom) = (None, None, Doom::None);
        let told_tally = Tally::default();
        let mut worker = Self { id, link, began: now, stage, told, told_tally, heir, state, doom };
        let expects = if follows { worker.expect_connections() } else { Ok(()) };
        match expects.and_then(|()| worker.equip(given, false)) {
            // One that dies at once is found by its end, not by what cannot be sent to it.
            Err(error) if !is_gone(&error) => {
                // It would wait for the rest.
                drop(child.kill().and_then(|()| child.wait()));
                Err(error)
            }
            _ => Ok(worker),
        }
    }

    /// Has it find a way for connections of the worker before.
    fn expect_connections(&mut self) -> io::Result<()> {
        let link = self.link.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let (before, after) = pass::pair()?;
        for end in [&before, &after] {
            SockRef::from(end).set_nonblocking(true)?;
        }
        link.order("inherit", "", &[after.as_fd()])?;
        self.heir = Some(before);
        Ok(())
    }

    /// Has it serve with other files, and the sockets that it does not have yet.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(crate) fn replace(&mut self, given: Equipment<'_>) -> io::Result<()> {
        self.equip(given, true)
    }

    /// As it is written down for the next master.
    pub(crate) fn record(&self, now: Instant) -> WorkerRecord {
        let age = now.saturating_duration_since(self.began);
        WorkerRecord {
            id: self.id,
            stage: self.stage.name().to_owned(),
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            link: self.link.as_ref().map(|link| link.as_fd().as_raw_fd()),
            heir: self.heir.as_ref().map(AsRawFd::as_raw_fd),
            is_doomed: self.doom != Doom::None,
        }
    }

    /// One that the master before has started. It is told of all apps again.
    pub(crate) fn of(record: &WorkerRecord, left: &mut Left, now: Instant) -> Option<Self> {
        let link = record.link.map(|number| left.take(number));
        Some(Self {
            id: record.id,
            link: link.map(|link| link.map(Link::new)).unwrap_or_default(),
            began: now.checked_sub(Duration::from_millis(record.age_ms)).unwrap_or(now),
            told_tally: Tally::default(),
            stage: Stage::parse(&record.stage)?,
            heir: record.heir.and_then(|number| left.take(number)),
            told: HashMap::new(),
            state: None,
            doom: if record.is_doomed { Doom::At(now) } else { Doom::None },
        })
    }

    /// A process that says what the other end of `link` says.
    #[cfg(test)]
    pub(crate) fn sample(id: u32, stage: Stage, link: Link, now: Instant) -> Self {
        let (link, heir, state, told) = (Some(link), None, None, HashMap::new());
        let (told_tally, doom) = (Tally::default(), Doom::None);
        Self { id, link, began: now, stage, told, told_tally, heir, state, doom }
    }

    fn equip(&mut self, given: Equipment<'_>, has_before: bool) -> io::Result<()> {
        let link = self.link.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        link.order("configuration", given.name, &[given.files])?;
        for Share { address, sockets, is_kept } in given.sockets.shares() {
            let wanted = if has_before && is_kept { 0 } else { pass::DESCRIPTORS_MAX };
            // More than one message takes: a machine with so many cores needs no socket for each.
            let fds: Vec<_> = sockets.into_iter().take(wanted).collect();
            let text = format!("{}\n{}", address.configured, address.bound);
            link.order("listening", &text, &fds)?;
        }
        if let Some(admin) = given.sockets.admin()?.filter(|_| !has_before) {
            link.order("admin", "", &[admin.as_fd()])?;
        }
        if let Some((state, succession)) = given.state {
            link.order("state", succession.word(), &[state])?;
        }
        given.apps.tell(&mut self.told, |state| link.order("app", &state.to_string(), &[]))?;
        link.order("serve", "", &[])
    }

    /// Tells it what is new of apps, and what was counted. One that does not read now is told
    /// later.
    pub(crate) fn tell_of(&mut self, apps: &Apps, tally: Tally) {
        let Some(link) = &self.link else { return };
        apps.tell(&mut self.told, |state| link.order_app(state)).ok();
        if self.told_tally != tally && link.order("tally", &tally.to_string(), &[]).is_ok() {
            self.told_tally = tally;
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// What it says; nothing once it says no more.
    pub(crate) fn news(&mut self) -> Option<News> {
        let news = self.link.as_ref()?.next_news();
        if news.is_none() {
            self.link = None;
        }
        news
    }

    /// All that is open to it.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.link().into_iter().chain(self.heir.as_ref().map(AsFd::as_fd))
    }

    /// Where news come in.
    pub(crate) fn link(&self) -> Option<BorrowedFd<'_>> {
        self.link.as_ref().map(AsFd::as_fd)
    }

    /// What has become of it: it has ended, was stopped, or goes on.
    pub(crate) fn change(&self) -> Option<ExitStatus> {
        child::change(self.id).ok().flatten()
    }

    /// Ends it some time after another serves in its place.
    pub(crate) fn doom(&mut self, now: Instant) {
        self.doom = match self.stage {
            Stage::Retired => Doom::At(now + LEAVING),
            Stage::Starting | Stage::Serving => Doom::Sealed,
        };
    }

    /// Ends one that shall not begin to serve, in order or not.
    pub(crate) fn dismiss(&mut self, now: Instant) {
        self.stage = Stage::Retired;
        self.doom = Doom::At(now + LEAVING);
        self.stop();
    }

    pub(crate) fn is_doomed(&self) -> bool {
        self.doom != Doom::None
    }

    /// Ends it now if it is doomed and its time has come.
    pub(crate) fn meet_doom(&mut self, now: Instant) {
        if let Doom::At(at) = self.doom
            && at <= now
        {
            self.doom = Doom::None;
            process::signal(self.id, process::KILL).ok();
        }
    }

    /// Where connections of the worker before come in, once.
    pub(crate) fn take_heir(&mut self) -> Option<OwnedFd> {
        self.heir.take()
    }

    /// Has it finish what runs, while another serves, which takes connections over `heir`.
    pub(crate) fn retire(&mut self, heir: Option<&OwnedFd>, now: Instant) {
        self.stage = Stage::Retired;
        if self.doom == Doom::Sealed {
            self.doom = Doom::At(now + LEAVING);
        }
        let fds: Vec<_> = heir.map(AsFd::as_fd).into_iter().collect();
        self.link.iter().for_each(|link| drop(link.order("retire", "", &fds)));
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

/// Whether nobody is at the other end any more.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
