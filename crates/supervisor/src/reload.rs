//! A reload: the files are read by a process of their own, the worker takes them in, and only when
//! both are content do they count. Whatever goes wrong before changes nothing.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::command::Asker;
use crate::link::Succession;
use crate::master::{APPS_START, Master, now};
use crate::reading::{Loaded, Outcome, Reading};
use crate::sockets::Sockets;
use crate::upgrade::Program;
use crate::watch::Watch;
use crate::worker::{Equipment, Stage};

/// For a worker that serves to take in another configuration, or for a new one to begin.
pub(crate) const TAKING_IN: Duration = Duration::from_secs(30);

/// Somebody wants a reload.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    /// Who waits for it; nobody, if a signal or a change asked.
    pub askers: Vec<Asker>,
    /// By another program.
    pub is_upgrade: bool,
}

/// A reload that has begun.
#[derive(Debug)]
pub(crate) struct Reload {
    pub step: Step,
    /// Who waits for its end.
    pub askers: Vec<Asker>,
    /// What the reader has said, warnings above all.
    pub said: String,
    /// The program that does it, if that is another one.
    pub program: Option<Program>,
}

#[derive(Debug)]
pub(crate) enum Step {
    Reading(Reading),
    /// Apps that are new start, until this time at the most: who sends to them shall find them.
    Starting(Box<Loaded>, Instant),
    /// A worker takes it in: the one that serves, or a new one.
    TakingIn(Box<Next>),
    /// It is decided.
    Over,
}

/// What will be in force.
#[derive(Debug)]
pub(crate) struct Next {
    pub loaded: Loaded,
    pub sockets: Sockets,
    /// The worker that takes it in.
    pub worker: u32,
    /// What else is to be said once it is in force.
    pub how: String,
    pub until: Instant,
}

impl Reload {
    /// What was read, once it is.
    pub(crate) fn read(&mut self, now: Instant) -> Option<Outcome> {
        match &mut self.step {
            Step::Reading(reading) => reading.outcome(now),
            Step::Starting(..) | Step::TakingIn(_) | Step::Over => None,
        }
    }

    /// The process that reads it.
    pub(crate) fn reader(&self) -> Option<u32> {
        match &self.step {
            Step::Reading(reading) => Some(reading.id()),
            Step::Starting(..) | Step::TakingIn(_) | Step::Over => None,
        }
    }

    /// The worker that takes it in.
    pub(crate) fn worker(&self) -> Option<u32> {
        match &self.step {
            Step::Reading(_) | Step::Starting(..) | Step::Over => None,
            Step::TakingIn(next) => Some(next.worker),
        }
    }

    /// What was read, once new apps are ready or have had their time.
    fn started(&mut self, are_settled: bool, now: Instant) -> Option<Loaded> {
        match std::mem::replace(&mut self.step, Step::Over) {
            Step::Starting(loaded, until) if are_settled || now >= until => Some(*loaded),
            other => {
                self.step = other;
                None
            }
        }
    }

    pub(crate) fn is_late(&self, now: Instant) -> bool {
        matches!(&self.step, Step::TakingIn(next) if now >= next.until)
    }

    /// Tells all who wait how it has ended.
    pub(crate) fn end(self, code: u8, text: &str) {
        let all = format!("{}{text}", self.said);
        self.askers.into_iter().for_each(|asker| asker.answer(code, &all));
    }
}

impl Master {
    /// Somebody wants a reload, or an upgrade: after the one that runs, which may have read what it
    /// shall not.
    pub(crate) fn wish(&mut self, asker: Option<Asker>, is_upgrade: bool) {
        if self.is_stopping {
            asker.into_iter().for_each(|asker| asker.answer(1, "fairwater: it ends\n"));
            return;
        }
        let wish = self.next_reload.get_or_insert_default();
        wish.askers.extend(asker);
        wish.is_upgrade |= is_upgrade;
    }

    fn begin_reading(&mut self, wish: Wish) {
        let Wish { askers, is_upgrade } = wish;
        self.life.notify.reloading();
        let installed = &self.means.installed;
        let program = is_upgrade.then(|| Program::open(installed)).transpose();
        let read = program.and_then(|program| {
            let path = program.as_ref().map_or_else(|| self.means.program.clone(), Program::path);
            let before = is_upgrade.then(|| self.write_down()).transpose()?;
            Ok((Reading::start(&path, &self.file, before.as_ref(), now())?, program))
        });
        match read {
            Ok((reading, program)) => {
                let (step, said) = (Step::Reading(reading), String::new());
                self.reload = Some(Reload { step, askers, said, program });
            }
            Err(error) => {
                let what = if is_upgrade { installed } else { &self.file };
                let text = format!("fairwater: cannot read {}: {error}\n", what.display());
                (self.means.show)(&text);
                self.life.reloaded(false);
                askers.into_iter().for_each(|asker| asker.answer(1, &text));
            }
        }
    }

    /// Takes the next step of a reload, if it is time.
    pub(crate) fn go_on_with_reload(&mut self) {
        match &mut self.reload {
            // Whoever waits for the first worker waits for that, and for no other.
            None if !self.has_served => {}
            None => {
                let wish = self.next_reload.take();
                wish.into_iter().for_each(|wish| self.begin_reading(wish));
            }
            Some(reload) => {
                if let Some(outcome) = reload.read(now()) {
                    (self.means.show)(&outcome.said);
                    reload.said = outcome.said;
                    match outcome.loaded {
                        Some(loaded) => {
                            self.apps.add(&loaded.part.apps);
                            reload.step = Step::Starting(Box::new(loaded), now() + APPS_START);
                        }
                        None => return self.end_unread(),
                    }
                }
                if let Some(loaded) = reload.started(self.apps.are_settled(), now()) {
                    self.begin(loaded);
                } else if reload.is_late(now())
                    && let Some(worker) = reload.worker()
                {
                    self.refuse(worker, "it takes too long");
                }
            }
        }
    }

    /// Nothing good was read.
    fn end_unread(&mut self) {
        let is_upgrade = self.reload.as_ref().is_some_and(|reload| reload.program.is_some());
        let text = match is_upgrade {
            true => format!("{} does not take over; ", self.means.installed.display()),
            false => String::new(),
        };
        let text = format!("{text}all is as before");
        self.say(&text);
        self.end_reload(1, &format!("fairwater: {text}\n"));
    }

    /// Gives what was read to the worker.
    fn begin(&mut self, loaded: Loaded) {
        let sockets = match self.sockets.followed_by(&loaded.part, &mut self.life.inherited) {
            Ok(sockets) => sockets,
            Err(error) => {
                let text = format!("{error}; all is as before");
                self.say(&text);
                return self.end_reload(1, &format!("fairwater: {text}\n"));
            }
        };
        let (worker, how, until) = (0, String::new(), now() + TAKING_IN);
        let mut next = Box::new(Next { loaded, sockets, worker, how, until });
        if self.reload.as_ref().is_some_and(|reload| reload.program.is_some()) {
            return self.succeed_with(next);
        }
        let name = self.file.display().to_string();
        let (files, sockets, apps) = (next.loaded.files.as_fd(), &next.sockets, &self.apps);
        let given = Equipment { name: &name, files, sockets, apps, state: None, output: None };
        // One that cannot be told, or none at all: then a new one.
        let mut workers = self.workers.iter_mut().rev();
        let serving = workers.find(|worker| worker.stage == Stage::Serving);
        let told = serving.and_then(|worker| worker.replace(given).is_ok().then(|| worker.id()));
        match told {
            Some(id) => {
                next.worker = id;
                self.wait_for(next);
            }
            None => self.succeed_with(next),
        }
    }

    fn wait_for(&mut self, next: Box<Next>) {
        if let Some(reload) = &mut self.reload {
            reload.step = Step::TakingIn(next);
        }
    }

    /// The worker cannot take in a setting: a new one does.
    pub(crate) fn succeed(&mut self, id: u32, setting: &str) {
        if let Some(mut next) = self.next_of(id) {
            next.how =
                format!("; `{setting}` takes a new process, and the old one finishes what runs");
            self.succeed_with(next);
        }
    }

    fn succeed_with(&mut self, mut next: Box<Next>) {
        let other = self.reload.as_ref().and_then(|reload| reload.program.as_ref());
        let program = other.map_or_else(|| self.means.program.clone(), Program::path);
        // An upgrade goes on where the worker before was; a reload ends what was set until then.
        let succession = if other.is_some() { Succession::GoesOn } else { Succession::Reload };
        match self.start_with(&program, (&next.loaded, &next.sockets), succession) {
            Ok(worker) => {
                // Its end is told by it; one that was to come with the old files is not wanted.
                self.due = None;
                next.worker = worker.id();
                self.take_in(worker);
                self.wait_for(next);
            }
            Err(error) => {
                next.sockets.clean_up_unless(&self.sockets);
                self.end_reload(1, &format!("fairwater: cannot start a worker: {error}\n"));
            }
        }
    }

    /// What the worker was to take in.
    fn next_of(&mut self, id: u32) -> Option<Box<Next>> {
        let reload = self.reload.as_mut().filter(|reload| reload.worker() == Some(id))?;
        match std::mem::replace(&mut reload.step, Step::Over) {
            Step::TakingIn(next) => Some(next),
            _ => None,
        }
    }

    /// What was read counts from now on. Returns false if it cannot.
    pub(crate) fn commit(&mut self, id: u32) -> bool {
        let is_awaited = |reload: &&Reload| reload.worker() == Some(id);
        let upgrade = self.reload.as_ref().filter(is_awaited);
        if let Some(program) = upgrade.and_then(|upgrade| upgrade.program.as_ref()) {
            // The rest of this is what the other program begins with.
            let error = self.become_other(program);
            let others = self.workers.iter_mut().filter(|worker| worker.id() == id);
            others.for_each(|worker| worker.stage = Stage::Starting);
            self.refuse(id, &format!("cannot run {}: {error}", self.means.installed.display()));
            return false;
        }
        let Some(next) = self.next_of(id) else { return true };
        let Next { loaded, sockets, how, .. } = *next;
        let before = std::mem::replace(&mut self.sockets, sockets);
        let last = std::mem::replace(&mut self.good, loaded).part.process;
        self.apps.serve_as(self.good.part.process.user());
        for note in self.life.take_in(&last, &self.good.part.process) {
            self.say(&note);
        }
        self.sockets.tune();
        self.say_places(&before);
        for (listener, address) in before.beyond(&self.sockets) {
            self.say(format_args!("{listener} listens on {address} no more"));
        }
        before.clean_up_unless(&self.sockets);
        if let Err(error) = self.open_commands() {
            self.say(error);
        }
        self.watch = Watch::of(&self.good.part.watched, now());
        let text = format!("{} is in force{how}", self.file.display());
        self.say(&text);
        self.end_reload(0, &format!("fairwater: {text}\n"));
        true
    }

    /// The worker does not take in what was read: all stays as it was.
    pub(crate) fn refuse(&mut self, id: u32, reason: &str) {
        let Some(next) = self.next_of(id) else { return };
        next.sockets.clean_up_unless(&self.sockets);
        self.say(format_args!("{reason}; the configuration is as before"));
        self.end_reload(1, &format!("fairwater: {reason}; the configuration is as before\n"));
        // Nobody knows how far it came.
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.id() == id) else { return };
        match worker.stage {
            Stage::Starting => worker.dismiss(now()),
            Stage::Serving => self.start(),
            Stage::Retired => {}
        }
    }

    fn end_reload(&mut self, code: u8, text: &str) {
        // Those that hold now; new ones that were started in vain are none of them.
        self.apps.change(&self.good.part.apps, now());
        if let Some(reload) = self.reload.take() {
            self.life.reloaded(code == 0);
            self.tally.is_last_bad = code != 0;
            match code {
                0 => self.tally.reloads += 1,
                _ => self.tally.reload_failures += 1,
            }
            reload.end(code, text);
        }
    }

    /// There will be no reload any more.
    pub(crate) fn give_up_reload(&mut self, text: &str) {
        if let Some(Reload { step: Step::TakingIn(next), .. }) = &self.reload {
            next.sockets.clean_up_unless(&self.sockets);
        }
        self.end_reload(1, text);
        let wish = self.next_reload.take().unwrap_or_default();
        wish.askers.into_iter().for_each(|asker| asker.answer(1, text));
    }
}
