//! The master's one loop: signals, commands, news of the workers, and their ends.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use fairwater_message::tally::Tally;
use fairwater_sys::signal::{self, Signal, Signals};
use fairwater_sys::{poll, process};

use crate::app::Apps;
use crate::backoff::Backoff;
use crate::command::{Command, Commands};
use crate::life::Life;
use crate::link::{News, Succession};
use crate::reading::Loaded;
use crate::reload::{Reload, Wish};
use crate::sockets::Sockets;
use crate::watch::Watch;
use crate::worker::{Equipment, Stage, Worker};

/// What a master works with, whatever its configuration is.
#[derive(Debug)]
pub struct Means {
    /// Our own program, for workers.
    pub program: PathBuf,
    /// Where a newer one is looked for.
    pub installed: PathBuf,
    /// Prints a line for people.
    pub say: fn(&dyn fmt::Display),
    /// Prints what others have said, as it is.
    pub show: fn(&str),
}

pub(crate) struct Master {
    pub(crate) means: Means,
    /// The configuration file.
    pub(crate) file: PathBuf,
    /// The last good configuration.
    pub(crate) good: Loaded,
    pub(crate) life: Life,
    pub(crate) sockets: Sockets,
    /// What the worker that serves has given, for one in its place.
    pub(crate) state: Option<OwnedFd>,
    pub(crate) commands: Option<Commands>,
    pub(crate) apps: Apps,
    pub(crate) watch: Watch,
    /// In the order of their starts.
    pub(crate) workers: Vec<Worker>,
    pub(crate) reload: Option<Reload>,
    /// Another reload after the one that runs.
    pub(crate) next_reload: Option<Wish>,
    pub(crate) tally: Tally,
    backoff: Backoff,
    /// When the next worker is due, while there is none.
    pub(crate) due: Option<Instant>,
    pub(crate) has_served: bool,
    pub(crate) is_stopping: bool,
    /// Nothing that runs is waited for.
    is_urgent: bool,
    result: Option<Result<(), String>>,
}

/// Nothing is waited for longer than this without a look at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// The first worker waits so long for apps to be ready; so do clients that connect meanwhile.
pub(crate) const APPS_START: Duration = Duration::from_secs(5);
/// Workers that finish what runs while others serve; the oldest beyond must hurry.
const RETIRED_MAX: usize = 2;
/// More messages than the buffer of a link has room for.
const LAST_WORDS_MAX: usize = 1024;

/// Serves the configuration in `file`, with what was read of it, until signals end it.
///
/// # Errors
/// Why it could not begin, or did not end well.
pub fn run(means: Means, file: PathBuf, loaded: Loaded, life: Life) -> Result<(), String> {
    signal::block().map_err(|error| format!("cannot set up signals: {error}"))?;
    // There is a socket for each thread at each address. If it cannot be raised, it may do.
    process::raise_descriptor_limit().ok();
    let mut master = Master::new(means, file, loaded, life);
    if let Err(problem) = master.bind() {
        master.clean_up();
        return Err(problem);
    }
    master.due = Some(now() + APPS_START);
    master.serve_to_the_end()
}

impl Master {
    pub(crate) fn new(means: Means, file: PathBuf, loaded: Loaded, life: Life) -> Self {
        let say = means.say;
        Self {
            means,
            file,
            watch: Watch::of(&loaded.part.watched, now()),
            good: loaded,
            life,
            sockets: Sockets::default(),
            state: None,
            commands: None,
            apps: Apps::new(say),
            workers: Vec::new(),
            reload: None,
            next_reload: None,
            tally: Tally::default(),
            backoff: Backoff::default(),
            due: None,
            has_served: false,
            is_stopping: false,
            is_urgent: false,
            result: None,
        }
    }

    /// Serves until it is over, and leaves nothing behind.
    pub(crate) fn serve_to_the_end(mut self) -> Result<(), String> {
        let signals = Signals::new().map_err(|error| format!("cannot wait for signals: {error}"));
        let result = signals.and_then(|signals| {
            let result = self.serve(&signals);
            self.apps.end(&signals, self.is_urgent, now);
            result
        });
        self.clean_up();
        result
    }

    fn clean_up(&self) {
        self.sockets.clean_up_unless(&Sockets::default());
        self.commands.iter().for_each(Commands::clean_up);
    }

    pub(crate) fn say(&self, line: impl fmt::Display) {
        (self.means.say)(&line);
    }

    fn bind(&mut self) -> Result<(), String> {
        // First: who holds it is another master with the same files.
        self.open_commands()?;
        let inherited = &mut self.life.inherited;
        let sockets = self.sockets.followed_by(&self.good.part, inherited);
        self.sockets = sockets.map_err(|error| error.to_string())?;
        for address in inherited.left() {
            (self.means.say)(&format_args!(
                "warning: no listener has {address}, whose socket was passed"
            ));
        }
        self.apps.serve_as(self.good.part.process.user());
        // Whoever has the addresses is the only one who serves them.
        self.apps.begin(&self.good.part.apps, self.good.part.run_dir.as_deref());
        Ok(())
    }

    /// Opens the master's own socket where the configuration has it.
    pub(crate) fn open_commands(&mut self) -> Result<(), String> {
        let wanted = self.good.part.control.as_deref();
        if self.commands.as_ref().map(Commands::path) == wanted {
            return Ok(());
        }
        let opened = wanted.map(Commands::open).transpose().map_err(|error| error.to_string())?;
        let before = std::mem::replace(&mut self.commands, opened);
        before.iter().for_each(Commands::clean_up);
        Ok(())
    }

    fn serve(&mut self, signals: &Signals) -> Result<(), String> {
        while self.result.is_none() {
            self.apps.turn(now());
            self.go_on_with_reload();
            self.workers.iter_mut().for_each(|worker| worker.tell_of(&self.apps, self.tally));
            if self.is_due() {
                self.start();
            }
            self.wait(signals)?;
            // First: who tells all processes to end tells this one.
            while let Some(signal) = signals.next() {
                self.obey(signal);
            }
            self.hear_all();
            let commands = self.commands.as_mut().map(|commands| commands.take(now()));
            for (command, asker) in commands.unwrap_or_default() {
                match command {
                    Command::Reload => self.wish(Some(asker), false),
                    Command::Upgrade => self.wish(Some(asker), true),
                    Command::Status => asker.answer(0, &self.status()),
                    Command::Restart(name) => self.apps.restart(&name, asker, now()),
                    Command::Renew(name) => self.apps.renew(&name, asker),
                }
            }
            self.reap();
            // After those that are ours: their ends are waited for there.
            self.life.reap_orphans(|id| self.is_ours(id));
            if self.watch.has_changed(now()) {
                self.wish(None, false);
            }
        }
        self.result.take().unwrap_or(Ok(()))
    }

    /// Whether a worker is to be started: the first one when the apps are ready, or have had their
    /// time.
    fn is_due(&self) -> bool {
        let can_begin = !self.has_served && self.apps.are_settled();
        self.due.is_some_and(|due| can_begin || due <= now())
    }

    /// Waits until there is something to do.
    fn wait(&mut self, signals: &Signals) -> Result<(), String> {
        let dues = self.due.into_iter().chain(self.watch.next());
        let due = dues.chain(self.apps.next_turn(now())).min();
        let patience = due.map_or(LOOK, |due| due.saturating_duration_since(now()));
        let patience = self.life.look(patience.min(LOOK));
        let mut fds = vec![signals.as_fd()];
        fds.extend(self.workers.iter().filter_map(Worker::link));
        fds.extend(self.commands.iter().flat_map(Commands::fds));
        fds.extend(self.apps.fds());
        let ready = poll::readable(&fds, patience);
        ready.map(drop).map_err(|error| format!("cannot wait for signals: {error}"))
    }

    /// Starts a worker with the last good configuration.
    pub(crate) fn start(&mut self) {
        self.due = None;
        let goes_on = Succession::GoesOn;
        let started = self.start_with(&self.means.program, (&self.good, &self.sockets), goes_on);
        match started {
            Ok(worker) => self.take_in(worker),
            Err(error) => self.failed(&format!("cannot start a worker: {error}")),
        }
    }

    pub(crate) fn take_in(&mut self, worker: Worker) {
        self.apps.worker_started(worker.id());
        self.workers.push(worker);
    }

    pub(crate) fn start_with(
        &self,
        program: &Path,
        (loaded, sockets): (&Loaded, &Sockets),
        succession: Succession,
    ) -> std::io::Result<Worker> {
        let name = self.file.display().to_string();
        let (files, apps) = (loaded.files.as_fd(), &self.apps);
        let state = self.state.as_ref().map(|state| (state.as_fd(), succession));
        let output = self.life.output();
        let equipment = Equipment { name: &name, files, sockets, apps, state, output };
        Worker::start(program, equipment, self.serving().is_some(), now())
    }

    /// Takes in what the workers say.
    fn hear_all(&mut self) {
        let links: Vec<_> = self.workers.iter().filter_map(Worker::link).collect();
        let Ok(ready) = poll::readable(&links, Duration::ZERO) else { return };
        let with_links = self.workers.iter().filter(|worker| worker.link().is_some());
        let ids = with_links.map(Worker::id).zip(ready).filter(|(_, is_ready)| *is_ready);
        for id in ids.map(|(id, _)| id).collect::<Vec<_>>() {
            self.hear(id);
        }
    }

    fn hear(&mut self, id: u32) {
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.id() == id) else { return };
        let was = worker.stage;
        match worker.news() {
            Some(News::Serving) => self.hear_serving(id),
            // That of one that starts counts once it serves.
            Some(News::State(state)) => match was {
                Stage::Starting => worker.state = Some(state),
                Stage::Serving => self.state = Some(state),
                Stage::Retired => {}
            },
            Some(News::Fixed(setting)) => self.succeed(id, &setting),
            // An address that nobody will serve any more must not take connections.
            Some(News::Draining) if self.is_stopping => self.sockets.release(),
            Some(News::Draining) if was == Stage::Serving => self.follow(id),
            Some(News::AppLeft(number)) => self.apps.left(id, number),
            Some(News::AppDrained(number)) => self.apps.drained(id, number),
            Some(News::AppRequests(number, count)) => self.apps.requests(id, number, count),
            // Once is enough: each of them may start a process.
            Some(News::Hangs(_)) if worker.is_doomed() => {}
            Some(News::Hangs(doing)) => {
                worker.doom(now());
                self.say(format_args!("worker {id} has a thread that hangs: {doing}"));
                if was == Stage::Serving && self.due.is_none() {
                    self.start();
                }
            }
            Some(News::Failed(reason)) if self.takes_in(id) => self.refuse(id, &reason),
            Some(News::Failed(reason)) => self.say(reason),
            Some(News::Draining) | None => {}
        }
    }

    /// A worker says that it serves: news, unless another one serves in its place by now. That may
    /// be so for one that was held up.
    fn hear_serving(&mut self, id: u32) {
        let mut later = self.workers.iter().rev().take_while(|worker| worker.id() != id);
        let is_late = later.any(|worker| worker.stage == Stage::Serving);
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.id() == id) else { return };
        match worker.stage {
            Stage::Retired => {}
            // What it serves with may not hold any more.
            Stage::Starting if is_late => worker.dismiss(now()),
            Stage::Starting => {
                worker.stage = Stage::Serving;
                self.state = worker.state.take();
                self.serves(id);
            }
            Stage::Serving => self.serves(id),
        }
    }

    /// Starts a worker in place of one that serves and was told to end by somebody else: nobody
    /// shall wait until it has finished.
    fn follow(&mut self, id: u32) {
        let is_coming = self.workers.iter().any(|worker| worker.stage == Stage::Starting);
        if !is_coming && self.due.is_none() {
            self.say(format_args!("worker {id} was told to end; another one takes its place"));
            self.start();
        }
    }

    /// Whether this worker takes in another configuration.
    fn takes_in(&self, id: u32) -> bool {
        self.reload.as_ref().and_then(Reload::worker) == Some(id)
    }

    /// A worker serves with what it was given last.
    pub(crate) fn serves(&mut self, id: u32) {
        if !std::mem::replace(&mut self.has_served, true) {
            if let Err(error) = self.life.serving() {
                self.say(format_args!("cannot write to the log file: {error}"));
            }
            self.say_places(&Sockets::default());
        }
        if !self.commit(id) {
            return;
        }
        // Of several the last one serves.
        let heir = self.workers.iter_mut().find(|worker| worker.id() == id);
        let heir = heir.and_then(Worker::take_heir);
        let others = self.workers.iter_mut().filter(|worker| worker.id() != id);
        let serving = others.filter(|worker| worker.stage == Stage::Serving);
        serving.for_each(|worker| worker.retire(heir.as_ref(), now()));
        let retired = self.workers.iter().filter(|worker| worker.stage == Stage::Retired);
        let beyond = retired.clone().count().saturating_sub(RETIRED_MAX);
        retired.clone().take(beyond).for_each(Worker::drain);
        // Whatever such a one takes in, nobody is served by it.
        let awaited = retired.map(Worker::id).find(|id| self.takes_in(*id));
        awaited.into_iter().for_each(|id| self.refuse(id, "another worker has taken over"));
    }

    pub(crate) fn say_places(&self, before: &Sockets) {
        for (listener, address) in self.sockets.beyond(before) {
            self.say(format_args!("{listener} listens on {address}"));
        }
    }

    /// Whether the end of a child is waited for.
    fn is_ours(&self, id: u32) -> bool {
        let reader = self.reload.as_ref().and_then(Reload::reader);
        let mut others = self.workers.iter().map(Worker::id).chain(reader);
        self.apps.has(id) || others.any(|ours| ours == id)
    }

    /// The worker that serves, if one does.
    fn serving(&self) -> Option<&Worker> {
        self.workers.iter().rev().find(|worker| worker.stage == Stage::Serving)
    }

    fn obey(&mut self, signal: Signal) {
        match signal {
            Signal::Terminate if !self.is_stopping => self.stop(Worker::drain),
            Signal::Terminate | Signal::Interrupt => {
                self.is_urgent = true;
                self.stop(Worker::stop);
            }
            Signal::Hangup => self.wish(None, false),
            Signal::User2 => self.wish(None, true),
            Signal::User1 => {
                if let Err(problem) = self.life.reopen(&self.good.part.process) {
                    self.say(&problem);
                }
                self.workers.iter().for_each(Worker::reopen);
            }
            Signal::Child => {}
        }
    }

    fn stop(&mut self, how: fn(&Worker)) {
        self.is_stopping = true;
        self.due = None;
        self.give_up_reload("fairwater: it is told to end\n");
        self.life.notify.stopping();
        self.workers.iter().for_each(how);
        if self.workers.is_empty() {
            self.result = Some(Ok(()));
        }
    }

    /// Sees which workers have ended, and goes on without them, or with others.
    fn reap(&mut self) {
        let mut at = 0;
        while let Some(worker) = self.workers.get_mut(at) {
            worker.meet_doom(now());
            let Some(status) = worker.change() else {
                at += 1;
                continue;
            };
            if status.code().is_none() && status.signal().is_none() {
                let what = if status.continued() { "goes on" } else { "was stopped, and waits" };
                let id = worker.id();
                self.say(format_args!("worker {id} {what}"));
                continue;
            }
            let id = worker.id();
            self.hear_last_words(at, id);
            let worker = self.workers.remove(at);
            self.apps.worker_ended(id);
            self.goes_on_without(&worker, status);
        }
    }

    /// Takes in what is still in the link of a worker that has ended. That is all there is to come:
    /// whoever else may hold the other end is not waited for.
    fn hear_last_words(&mut self, at: usize, id: u32) {
        for _ in 0..LAST_WORDS_MAX {
            let Some(link) = self.workers.get(at).and_then(Worker::link) else { return };
            match poll::readable(&[link], Duration::ZERO) {
                Ok(ready) if ready == [true] => self.hear(id),
                _ => return,
            }
        }
    }

    fn goes_on_without(&mut self, worker: &Worker, status: ExitStatus) {
        let end = format!("worker {} {}", worker.id(), ended(status));
        self.refuse(worker.id(), &end);
        if self.is_stopping {
            // One that is told so early is ended by the signal itself.
            let is_early = worker.stage == Stage::Starting
                && matches!(status.signal(), Some(process::TERM | process::INT));
            let is_well = status.success() || is_early;
            if !is_well {
                self.say(&end);
            }
            let is_last = self.workers.is_empty();
            let result = if is_well { Ok(()) } else { Err(end) };
            self.result = is_last.then_some(result);
            return;
        }
        if !self.has_served {
            // Nobody relies on it yet, and it would only fail again.
            self.result = Some(Err(end));
            return;
        }
        if worker.stage == Stage::Retired && status.success() {
            return;
        }
        self.say(end);
        self.tally.workers_lost += 1;
        if self.workers.iter().all(|worker| worker.stage == Stage::Retired || worker.is_doomed()) {
            let serves = worker.stage == Stage::Serving;
            self.again(serves.then(|| now().saturating_duration_since(worker.began)));
        }
    }

    fn failed(&mut self, problem: &str) {
        match self.has_served {
            true => {
                self.say(problem);
                self.again(None);
            }
            false => self.result = Some(Err(problem.to_owned())),
        }
    }

    /// Plans the next worker, after one that served for so long, or not at all.
    fn again(&mut self, served: Option<Duration>) {
        let pause = self.backoff.next(served);
        if !pause.is_zero() {
            self.say(format_args!("the next worker starts in {pause:?}"));
        }
        self.due = Some(now() + pause);
    }

    /// How it is, in lines for people.
    fn status(&self) -> String {
        let (id, version) = (std::process::id(), env!("CARGO_PKG_VERSION"));
        let mut text = format!("master {id}, version {version}\n");
        if self.is_stopping {
            text.push_str("it was told to end, and takes nothing new\n");
        }
        let Tally { reloads, reload_failures, is_last_bad, workers_lost } = self.tally;
        if reloads + reload_failures > 0 {
            let last = if is_last_bad { "; the last one failed, and changed nothing" } else { "" };
            text.push_str(&format!("{reloads} reloads, {reload_failures} that failed{last}\n"));
        }
        if workers_lost > 0 {
            text.push_str(&format!("{workers_lost} workers ended without being told to\n"));
        }
        for worker in &self.workers {
            let stage = match worker.stage {
                Stage::Starting => "starts",
                Stage::Serving if self.is_stopping => "finishes what runs",
                Stage::Serving => "serves",
                Stage::Retired => "finishes what runs",
            };
            let age = now().saturating_duration_since(worker.began).as_secs();
            text.push_str(&format!("worker {} {stage}, {age} s old\n", worker.id()));
        }
        if let Some(due) = self.due {
            let pause = due.saturating_duration_since(now());
            let pause = pause.as_secs_f32();
            text.push_str(&format!("the next worker starts in {pause:.1} s\n"));
        }
        text + &self.apps.status(now())
    }
}

pub(crate) fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "has ended".to_owned(),
        (Some(code), _) => format!("has ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "has ended".to_owned(),
    }
}

#[allow(clippy::disallowed_methods, reason = "the master's loop is where its clock is read")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::Command;

    use fairwater_sys::pass;

    use super::*;
    use crate::link::Link;
    use crate::part::Part;

    /// A master with workers that are no more than what they say. Their ends are waited for.
    fn master(stages: &[Stage]) -> (Master, Vec<Link>) {
        let program = PathBuf::from("/bin/true");
        let means = Means { installed: program.clone(), program, say: |_| (), show: |_| () };
        let files = File::open("/dev/null").unwrap().into();
        let loaded = Loaded { part: Part::default(), text: String::new(), files };
        let mut master = Master::new(means, "f.toml".into(), loaded, Life::default());
        master.has_served = true;
        let mut links = Vec::new();
        for stage in stages {
            let (ours, theirs) = pass::pair().unwrap();
            let id = Command::new("sleep").arg("60").spawn().unwrap().id();
            master.workers.push(Worker::sample(id, *stage, Link::new(ours), now()));
            links.push(Link::new(theirs));
        }
        (master, links)
    }

    fn stages(master: &Master) -> Vec<Stage> {
        master.workers.iter().map(|worker| worker.stage).collect()
    }

    fn end(mut master: Master) {
        master.is_stopping = true;
        for worker in &master.workers {
            process::signal(worker.id(), process::KILL).ok();
        }
        while !master.workers.is_empty() {
            master.reap();
        }
    }

    #[test]
    fn who_was_replaced_does_not_serve_by_saying_so() {
        let (mut master, links) = master(&[Stage::Retired, Stage::Starting, Stage::Serving]);
        links[0].tell(&News::Serving);
        master.hear_all();
        assert_eq!(stages(&master), [Stage::Retired, Stage::Starting, Stage::Serving]);
        // It was started before the one that serves, and has what held then.
        links[1].tell(&News::Serving);
        master.hear_all();
        assert_eq!(stages(&master), [Stage::Retired, Stage::Retired, Stage::Serving]);
        let overtaken = master.workers[1].id();
        while master.workers.iter().any(|worker| worker.id() == overtaken) {
            master.reap();
        }
        end(master);
    }

    #[test]
    fn who_hangs_is_replaced_once_however_often_it_says_so() {
        let (mut master, links) = master(&[Stage::Serving]);
        for _ in 0..3 {
            links[0].tell(&News::Hangs("x".to_owned()));
            master.hear_all();
        }
        assert_eq!(stages(&master), [Stage::Serving, Stage::Starting]);
        end(master);
    }

    #[test]
    fn who_is_ended_before_it_begins_has_ended_well() {
        for (stage, is_well) in [(Stage::Starting, true), (Stage::Serving, false)] {
            let (mut master, _links) = master(&[stage]);
            master.stop(Worker::drain);
            while !master.workers.is_empty() {
                master.reap();
            }
            assert_eq!(master.result.unwrap().is_ok(), is_well);
        }
    }

    #[test]
    fn nobody_else_is_waited_for_who_holds_the_link_of_one_that_has_ended() {
        let (mut master, links) = master(&[Stage::Serving]);
        links[0].tell(&News::AppLeft(1));
        process::signal(master.workers[0].id(), process::KILL).unwrap();
        while !master.workers.is_empty() {
            master.reap();
        }
        assert!(master.due.is_some());
        drop(links);
    }
}
