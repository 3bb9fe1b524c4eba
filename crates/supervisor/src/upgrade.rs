//! An upgrade: another program in the place of this one. Its worker serves already when the master
//! becomes it, in the same process, with the same children and the same sockets; until then nothing
//! has changed.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use fairwater_sys::exec::{self, Left};
use fairwater_sys::{child, memory_file, process, signal};

use crate::app::Apps;
use crate::bind::Listening;
use crate::command::{Asker, Commands};
use crate::life::Life;
use crate::master::{Master, Means, now};
use crate::part::Part;
use crate::reading::Loaded;
use crate::record::{LoadedRecord, Record};
use crate::reload::{Next, Reload, Step, TAKING_IN, Wish};
use crate::sockets::{Sockets, number_in};
use crate::worker::Worker;

/// The name that every process of ours has in lists of processes.
pub(crate) const NAME: &str = "fairwater";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Another program: this file, whatever its name will mean by the time it is used.
#[derive(Debug)]
pub(crate) struct Program(OwnedFd);

impl Program {
    /// # Errors
    /// When there is none.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        child::aside(&File::open(path)?.into()).map(Self)
    }

    /// What it can be started by, as long as this lives.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

/// Whether this program can go on with what a master has written down.
pub fn understands(record: &[u8]) -> bool {
    let record = std::str::from_utf8(record).ok().and_then(Record::parse);
    record
        .is_some_and(|record| Apps::of(&record.apps, None, |_| (), &mut |_| None, now()).is_some())
}

impl Master {
    /// What the next master has to know, sealed.
    ///
    /// # Errors
    /// When there is no memory.
    pub(crate) fn write_down(&self) -> io::Result<OwnedFd> {
        let text = self.record(&mut Vec::new()).to_string();
        memory_file::sealed(c"fairwater-master", text.as_bytes())
    }

    fn record(&self, all: &mut Vec<Rc<Listening>>) -> Record {
        let mut loaded = |loaded: &Loaded, sockets: &Sockets| {
            let (places, admin) = sockets.record(all);
            let (files, part) = (loaded.files.as_raw_fd(), loaded.text.clone());
            LoadedRecord { files, part, places, admin }
        };
        let good = loaded(&self.good, &self.sockets);
        let reload = self.reload.as_ref();
        let next = reload.and_then(|reload| match &reload.step {
            Step::TakingIn(next) => Some((loaded(&next.loaded, &next.sockets), next.worker)),
            Step::Reading(_) | Step::Starting(..) | Step::Over => None,
        });
        let commands = self.commands.as_ref();
        let commands = commands.map(|commands| number_in(all, commands.listening()));
        let numbers = |askers: &Vec<Asker>| askers.iter().map(number).collect();
        let wish = self.next_reload.as_ref();
        Record {
            version: VERSION.to_owned(),
            installed: self.means.installed.clone(),
            file: self.file.clone(),
            has_served: self.has_served,
            tally: self.tally,
            listening: all.iter().map(|listening| listening.record()).collect(),
            good,
            commands,
            workers: self.workers.iter().map(|worker| worker.record(now())).collect(),
            state: self.state.as_ref().map(AsRawFd::as_raw_fd),
            askers: reload.map(|reload| numbers(&reload.askers)).unwrap_or_default(),
            said: reload.map(|reload| reload.said.clone()).unwrap_or_default(),
            next,
            apps: self.apps.written(now()),
            wishes: wish.map(|wish| numbers(&wish.askers)).unwrap_or_default(),
            has_wish: wish.is_some(),
            descriptors_before: process::descriptors_before(),
            wishes_upgrade: wish.is_some_and(|wish| wish.is_upgrade),
            pid_file: self.life.pid_file_record(),
            output: self.life.output_record(),
        }
    }

    /// Becomes another program, whose worker serves. Returns only if that fails; then everything is
    /// as before.
    pub(crate) fn become_other(&self, program: &Program) -> io::Error {
        let mut all = Vec::new();
        let text = self.record(&mut all).to_string();
        let record = match memory_file::sealed(c"fairwater-master", text.as_bytes()) {
            Ok(record) => record,
            Err(error) => return error,
        };
        let mut kept: Vec<BorrowedFd<'_>> = vec![record.as_fd(), self.good.files.as_fd()];
        kept.extend(all.iter().flat_map(|listening| listening.fds()));
        kept.extend(self.workers.iter().flat_map(Worker::fds));
        kept.extend(self.apps.open());
        kept.extend(self.state.as_ref().map(AsFd::as_fd));
        kept.extend(self.life.fds());
        if let Some(Reload { step: Step::TakingIn(next), askers, .. }) = &self.reload {
            kept.push(next.loaded.files.as_fd());
            kept.extend(askers.iter().map(AsFd::as_fd));
        }
        kept.extend(self.next_reload.iter().flat_map(|wish| &wish.askers).map(AsFd::as_fd));
        let Ok(path) = CString::new(program.path().into_os_string().into_encoded_bytes()) else {
            return io::ErrorKind::InvalidInput.into();
        };
        let state = record.as_raw_fd().to_string();
        let words = [NAME, "run", "-c"].map(OsStr::new);
        let arguments =
            [&words[..], &[self.file.as_os_str(), OsStr::new("--state"), OsStr::new(&state)]];
        exec::replace(&path, &arguments.concat(), &kept)
    }
}

fn number(asker: &Asker) -> RawFd {
    asker.as_fd().as_raw_fd()
}

/// Goes on as the master that was here before and has written down in descriptor `state` how.
///
/// # Errors
/// When that makes no sense, and as [`crate::run`].
pub fn go_on(mut means: Means, mut left: Left, state: RawFd) -> Result<(), String> {
    signal::block().map_err(|error| format!("cannot set up signals: {error}"))?;
    let record = left.take(state).and_then(|fd| memory_file::read(fd).ok());
    let record = record.and_then(|bytes| Record::parse(std::str::from_utf8(&bytes).ok()?));
    let record = record.ok_or("there is no master before this one")?;
    means.installed.clone_from(&record.installed);
    process::remember_descriptors_before(record.descriptors_before);
    let restored = restore(means, &record, &mut left);
    let mut master = restored.ok_or("the master before this one has left nothing to go on with")?;
    drop(left);
    if let Some((_, worker)) = record.next {
        master.serves(worker);
    }
    master.serve_to_the_end()
}

fn restore(means: Means, record: &Record, left: &mut Left) -> Option<Master> {
    let all = record.listening.iter().map(|one| Listening::of(one, left).map(Rc::new));
    let all = all.collect::<Option<Vec<_>>>()?;
    let mut loaded = |record: &LoadedRecord| {
        let part = Part::parse(&record.part)?;
        let sockets = Sockets::of(record, &part, &all)?;
        let (text, files) = (record.part.clone(), left.take(record.files)?);
        Some((Loaded { part, text, files }, sockets))
    };
    let (good, sockets) = loaded(&record.good)?;
    let next = match &record.next {
        Some((next, worker)) => {
            let (loaded, sockets) = loaded(next)?;
            let before = &record.version;
            let how = format!(
                "; {VERSION} has taken over from {before}, whose worker finishes what runs"
            );
            Some(Box::new(Next { loaded, sockets, worker: *worker, how, until: now() + TAKING_IN }))
        }
        None => None,
    };
    let mut askers = |numbers: &[RawFd]| -> Vec<Asker> {
        numbers.iter().filter_map(|number| left.take(*number)).map(Asker::of).collect()
    };
    let reload = next.map(|next| Reload {
        step: Step::TakingIn(next),
        askers: askers(&record.askers),
        said: record.said.clone(),
        program: None,
    });
    let wish = Wish { askers: askers(&record.wishes), is_upgrade: record.wishes_upgrade };
    let workers = record.workers.iter().map(|worker| Worker::of(worker, left, now()));
    let workers = workers.collect::<Option<_>>()?;
    let commands = record.commands.and_then(|at| all.get(at));
    let commands = commands.zip(good.part.control.as_deref());
    let commands = commands.and_then(|(all, path)| Commands::of(path, Rc::clone(all)).ok());
    let (say, run_dir) = (means.say, good.part.run_dir.clone());
    let mut take = |number| left.take(number);
    let apps = Apps::of(&record.apps, run_dir.as_deref(), say, &mut take, now())?;
    let life = Life::of(record, &good.part.process, left);
    let mut master = Master::new(means, record.file.clone(), good, life);
    master.apps = apps;
    master.apps.serve_as(master.good.part.process.user());
    master.commands = commands;
    master.state = record.state.and_then(|number| left.take(number));
    master.sockets = sockets;
    master.workers = workers;
    master.reload = reload;
    master.next_reload = record.has_wish.then_some(wish);
    master.has_served = record.has_served;
    master.tally = record.tally;
    Some(master)
}
