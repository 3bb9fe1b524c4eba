//! Managed apps: processes that the master starts, watches, replaces and ends, and that workers
//! send requests to. They belong to the master, and live through the end of any worker.
//!
//! `place` decides, `process` does, and `Apps` puts the two together for the master's loop. Nothing
//! here waits. Workers learn the whole state of an app with every change ([`AppState`]), and give
//! back numbers alone: what is in flight no more, and how many requests there were.

mod end;
mod lines;
mod memory;
mod place;
mod probe;
mod process;
mod record;
mod restart;
mod shared;
pub(crate) mod spec;
mod status;
mod words;
mod written;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fairwater_message::address::Endpoint;
use fairwater_message::app::{AppPlace, AppProcess, AppState, Exit};
use fairwater_sys::{poll, process as system};

use crate::master::ended;
use place::{Act, Ended, Place, Stage};
use process::Process;
use record::Record;
use restart::Restart;
use shared::Shared;
use spec::{Address, Spec};

/// Prints a line for people.
type Say = fn(&dyn fmt::Display);

/// Between looks at the memory of processes, where that is limited.
const MEMORY_LOOK: Duration = Duration::from_secs(1);
/// Of a problem, as workers show it.
const PROBLEM_BYTES_MAX: usize = 200;

/// All apps.
#[derive(Debug)]
pub(crate) struct Apps {
    apps: Vec<App>,
    record: Option<Record>,
    /// Those that get traffic to processes, and whose rights they have.
    workers: Vec<u32>,
    worker_user: u32,
    /// Of the last process that was started.
    number: u32,
    /// Of the last change that workers shall know.
    version: u64,
    memory_due: Option<Instant>,
    /// Lines of apps that nobody took.
    lines_lost: u64,
    say: Say,
}

#[derive(Debug)]
struct App {
    spec: Rc<Spec>,
    /// By index; those at the end are on their way out if there are more than instances.
    places: Vec<Place>,
    processes: Vec<Process>,
    /// The socket of all of them, if they share one.
    shared: Option<Shared>,
    /// What workers shall know, and which change that was.
    state: AppState,
    version: u64,
    is_removed: bool,
    /// Those that somebody waits for.
    restarts: Vec<Restart>,
}

impl Apps {
    pub(crate) fn new(say: Say) -> Self {
        let (apps, workers, worker_user) = (Vec::new(), Vec::new(), system::user_id());
        let (number, version) = (0, 0);
        let (record, memory_due, lines_lost) = (None, None, 0);
        Self { apps, record, workers, worker_user, number, version, memory_due, lines_lost, say }
    }

    /// Begins. What the master before has left of its apps is ended first, if it is known in
    /// `run_dir`.
    pub(crate) fn begin(&mut self, specs: &[Spec], run_dir: Option<&Path>) {
        self.record = run_dir.map(Record::in_directory);
        match self.record.as_ref().map_or(0, Record::end_all) {
            0 => {}
            count => (self.say)(&format_args!("ended {count} processes of apps without a master")),
        }
        self.add(specs);
    }

    /// Workers have the rights of this user from now on; of the master's own, if of none.
    pub(crate) fn serve_as(&mut self, user: Option<u32>) {
        self.worker_user = user.unwrap_or_else(system::user_id);
    }

    /// Whether a child is one of them.
    pub(crate) fn has(&self, process_id: u32) -> bool {
        let mut processes = self.apps.iter().flat_map(|app| &app.processes);
        processes.any(|process| process.id == process_id)
    }

    /// Starts those that are new.
    pub(crate) fn add(&mut self, specs: &[Spec]) {
        for spec in specs {
            if !self.apps.iter().any(|app| app.spec.name == spec.name) {
                self.apps.push(App::new(spec));
            }
        }
    }

    /// What to wait for.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.apps.iter().flat_map(|app| &app.processes).flat_map(Process::fds)
    }

    /// When there is something to do even if there are no news.
    pub(crate) fn next_turn(&self, now: Instant) -> Option<Instant> {
        let of_apps = self.apps.iter().flat_map(|app| app.next_turns(now));
        of_apps.chain(self.memory_due).min()
    }

    /// Does what is due.
    pub(crate) fn turn(&mut self, now: Instant) {
        let must_weigh = self.must_weigh(now);
        let mut is_other = false;
        let mut out = Output { say: self.say, lost: self.lines_lost };
        for app in &mut self.apps {
            app.listen(&mut out);
            app.look_for_ready((&self.workers, self.worker_user), now, self.say);
            is_other |= app.reap(now, &mut out);
            if must_weigh {
                app.weigh(self.say);
            }
            is_other |= app.act(&mut self.number, self.worker_user, now, self.say);
            app.answer();
        }
        self.lines_lost = out.lost;
        self.apps.retain(|app| !(app.is_removed && app.places.iter().all(Place::is_empty)));
        for app in &mut self.apps {
            app.forget_places();
            app.take_stock(&mut self.version);
        }
        if is_other {
            self.write_record();
        }
    }

    fn must_weigh(&mut self, now: Instant) -> bool {
        let is_limited = self.apps.iter().any(|app| app.spec.max_memory.is_some());
        let is_due = is_limited && self.memory_due.is_none_or(|due| due <= now);
        if is_due {
            self.memory_due = Some(now + MEMORY_LOOK);
        }
        is_due
    }

    fn write_record(&self) {
        let Some(record) = &self.record else { return };
        let processes = self.apps.iter().flat_map(|app| &app.processes);
        let entries: Vec<_> = processes.filter_map(|process| process.entry.clone()).collect();
        if let Err(error) = record.write(&entries) {
            (self.say)(&format_args!("warning: the list of apps cannot be written: {error}"));
        }
    }

    /// Tells of all apps that are others than what was `told` before.
    ///
    /// # Errors
    /// When what is told is not taken; then it is to be told again.
    pub(crate) fn tell(
        &self,
        told: &mut HashMap<String, u64>,
        mut tell: impl FnMut(&AppState) -> io::Result<()>,
    ) -> io::Result<()> {
        for app in &self.apps {
            if told.get(&app.spec.name) != Some(&app.version) {
                tell(&app.state)?;
                told.insert(app.spec.name.clone(), app.version);
            }
        }
        Ok(())
    }

    pub(crate) fn worker_started(&mut self, worker: u32) {
        self.workers.push(worker);
    }

    pub(crate) fn worker_ended(&mut self, worker: u32) {
        self.workers.retain(|known| *known != worker);
        let places = self.apps.iter_mut().flat_map(|app| &mut app.places);
        places.for_each(|place| place.worker_ended(worker));
    }

    /// A worker sends nothing new to a process that drains.
    pub(crate) fn left(&mut self, worker: u32, number: u32) {
        let places = self.apps.iter_mut().flat_map(|app| &mut app.places);
        places.for_each(|place| place.left(number, worker));
    }

    /// A worker has nothing in flight any more at a process that drains.
    pub(crate) fn drained(&mut self, worker: u32, number: u32) {
        let places = self.apps.iter_mut().flat_map(|app| &mut app.places);
        places.for_each(|place| place.drained(number, worker));
    }

    /// So many requests has a worker sent to a process so far.
    pub(crate) fn requests(&mut self, worker: u32, number: u32, count: u64) {
        let say = self.say;
        for app in &mut self.apps {
            for process in app.processes.iter_mut().filter(|process| process.number == number) {
                if process.add_requests(worker, count) {
                    app.places[process.index as usize].wear_out(|| {
                        say(&format_args!(
                            "app {}.{} has had its requests, and is replaced",
                            app.spec.name, process.index
                        ));
                    });
                }
            }
        }
    }

    /// Whether each instance is ready or was tried in vain.
    pub(crate) fn are_settled(&self) -> bool {
        self.apps.iter().flat_map(|app| &app.places).all(Place::is_settled)
    }

    /// Other apps hold from now on. Processes that would be started otherwise now are replaced, and
    /// those of apps that are gone drain and end.
    pub(crate) fn change(&mut self, specs: &[Spec], now: Instant) {
        for app in &mut self.apps {
            let is_there = specs.iter().any(|spec| spec.name == app.spec.name);
            if !is_there && !std::mem::replace(&mut app.is_removed, true) {
                (self.say)(&format_args!("app {} is gone: its processes end", app.spec.name));
                let times = app.spec.timeouts;
                let places = app.places.iter_mut().filter(|place| !place.is_closed());
                places.for_each(|place| place.close(Some(&self.workers), now, &times));
            }
        }
        for spec in specs {
            match self.apps.iter_mut().find(|app| app.spec.name == spec.name) {
                Some(app) => app.change(spec, &self.workers, now, self.say),
                None => self.apps.push(App::new(spec)),
            }
        }
    }

    /// Has all processes stop; nothing is in flight any more.
    pub(crate) fn close(&mut self, now: Instant) {
        for app in &mut self.apps {
            let times = app.spec.timeouts;
            app.places.iter_mut().for_each(|place| place.close(None, now, &times));
            app.give_up_restarts();
        }
    }

    /// Whatever is still there then, is killed.
    pub(crate) fn hurry(&mut self, at: Instant) {
        self.apps.iter_mut().flat_map(|app| &mut app.places).for_each(|place| place.hurry(at));
    }

    pub(crate) fn are_gone(&self) -> bool {
        self.apps.iter().flat_map(|app| &app.places).all(Place::is_empty)
    }
}

/// Where the lines of apps go. They are many and not ours: rather than wait for whoever reads them,
/// the master drops them and counts.
struct Output {
    say: Say,
    lost: u64,
}

impl Output {
    fn line(&mut self, app: &str, index: u32, line: &str) {
        use std::os::fd::AsFd;
        if !poll::is_writable(io::stderr().as_fd()) {
            self.lost += 1;
            return;
        }
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            (self.say)(&format_args!("warning: {lost} lines of apps are lost: nobody took them"));
        }
        (self.say)(&format_args!("{app}.{index}: {line}"));
    }
}

impl App {
    fn new(spec: &Spec) -> Self {
        Self {
            places: (0..spec.instances).map(|_| Place::default()).collect(),
            processes: Vec::new(),
            shared: None,
            state: AppState::default(),
            version: 0,
            is_removed: false,
            restarts: Vec::new(),
            spec: Rc::new(spec.clone()),
        }
    }

    fn change(&mut self, spec: &Spec, workers: &[u32], now: Instant, say: Say) {
        let times = spec.timeouts;
        let are_as_good = self.spec.has_same_processes(spec) && !self.is_removed;
        self.is_removed = false;
        self.spec = Rc::new(spec.clone());
        // Workers shall look at it again, by what they know of its settings now.
        self.state = AppState::default();
        if are_as_good {
            let spec = &self.spec;
            let same = self.processes.iter_mut().filter(|one| one.spec.has_same_processes(spec));
            same.for_each(|one| one.adopt(spec, system::random_u64()));
        } else {
            say(&format_args!("app {} is another one now: its instances are replaced", spec.name));
        }
        // Nobody knows what is in flight at which process of a shared socket.
        let workers = if matches!(spec.address, Address::Shared(_)) { &[] } else { workers };
        while self.places.len() < spec.instances as usize {
            self.places.push(Place::default());
        }
        for (index, place) in self.places.iter_mut().enumerate() {
            if index >= spec.instances as usize {
                if !place.is_closed() {
                    place.close(Some(workers), now, &times);
                }
                continue;
            }
            place.open();
            if !are_as_good {
                place.replace(now, &times);
            }
        }
    }

    fn next_turns(&self, now: Instant) -> impl Iterator<Item = Instant> {
        let may_replace = !self.places.iter().any(Place::is_replacing);
        let of_places =
            self.places.iter().filter_map(move |place| place.next_turn(now, may_replace));
        let of_processes = self.processes.iter().filter_map(move |process| process.next_turn(now));
        of_places.chain(of_processes)
    }

    fn listen(&mut self, out: &mut Output) {
        for process in &mut self.processes {
            let index = process.index;
            process.listen(|line| out.line(&self.spec.name, index, line));
        }
    }

    fn look_for_ready(&mut self, (workers, user): (&[u32], u32), now: Instant, say: Say) {
        for process in &mut self.processes {
            let place = &mut self.places[process.index as usize];
            if !matches!(place.stage_of(process.number), Some(Stage::Starting { .. })) {
                continue;
            }
            let (name, index, id) = (&self.spec.name, process.index, process.id);
            match process.is_ready(user, now) {
                Ok(true) => {
                    say(&format_args!("app {name}.{index} is ready (process {id})"));
                    // Nobody knows what is in flight at which process of a shared socket.
                    let is_shared = matches!(process.spec.address, Address::Shared(_));
                    let workers = if is_shared { &[] } else { workers };
                    place.ready(process.number, workers, now, &self.spec.timeouts);
                }
                Ok(false) => {}
                Err(problem) => {
                    say(&format_args!("app {name}.{index} (process {id}) is killed: {problem}"));
                    process.kill();
                }
            }
        }
    }

    /// Sees who has ended. Tells whether somebody has.
    fn reap(&mut self, now: Instant, out: &mut Output) -> bool {
        let before = self.processes.len();
        let Self { spec, places, processes, .. } = self;
        processes.retain_mut(|process| {
            let Some(status) = process.ended() else { return true };
            let (name, index, id) = (&spec.name, process.index, process.id);
            process.finish_lines(|line| out.line(name, index, line));
            let how = ended(status);
            let place = &mut places[index as usize];
            let Some(Ended { exit, pause }) = place.ended(process.number, &how, now) else {
                return false;
            };
            let what = match exit {
                Exit::NotReady => " before it was ready",
                Exit::Unexpected => "",
                Exit::Stopped => " as it was told to",
                Exit::Killed => ", since it did not stop",
            };
            let next = pause.map(|pause| format!("; the next one starts in {pause:?}"));
            let next = next.unwrap_or_default();
            (out.say)(&format_args!("app {name}.{index} (process {id}) {how}{what}{next}"));
            false
        });
        self.processes.len() < before
    }

    /// Has processes replaced that have taken too much memory.
    fn weigh(&mut self, say: Say) {
        let Some(max) = self.spec.max_memory else { return };
        for process in &self.processes {
            let place = &mut self.places[process.index as usize];
            if place.stage_of(process.number) == Some(Stage::Ready) {
                let bytes = memory::bytes(process.id);
                if bytes > max {
                    place.wear_out(|| {
                        let (name, index) = (&self.spec.name, process.index);
                        let mib = bytes >> 20;
                        say(&format_args!("app {name}.{index} has {mib} MiB, and is replaced"));
                    });
                }
            }
        }
    }

    /// Does what its places want. Tells whether processes were started.
    fn act(&mut self, number: &mut u32, worker_user: u32, now: Instant, say: Say) -> bool {
        let mut has_started = false;
        for index in 0..self.places.len() {
            let may_replace = !self.places.iter().any(Place::is_replacing);
            let times = self.spec.timeouts;
            for act in self.places[index].turn(now, may_replace, &times) {
                match act {
                    Act::Start => {
                        has_started = true;
                        *number += 1;
                        self.start((*number, index as u32), worker_user, now, say);
                    }
                    Act::Stop(number) => self.with(number, Process::stop),
                    Act::Kill(number) => self.with(number, Process::kill),
                }
            }
        }
        has_started
    }

    fn with(&mut self, number: u32, act: fn(&mut Process)) {
        self.processes.iter_mut().filter(|one| one.number == number).for_each(act);
    }

    fn start(&mut self, (number, index): (u32, u32), worker_user: u32, now: Instant, say: Say) {
        let place = &mut self.places[index as usize];
        let shared = match (&self.spec.address, &self.shared) {
            (Address::Shared(directory), None) => Shared::open(directory, worker_user)
                .map(|shared| self.shared = Some(shared))
                .map_err(|error| {
                    format!("cannot open a socket in {}: {error}", directory.display())
                }),
            _ => Ok(()),
        };
        let is_shared = matches!(self.spec.address, Address::Shared(_));
        let started = shared.and_then(|()| {
            let shared = self.shared.as_ref().filter(|_| is_shared);
            Process::start(&self.spec, (number, index), shared, system::random_u64(), now)
        });
        match started {
            Ok(process) => {
                self.processes.push(process);
                place.started(number, now, &self.spec.timeouts);
            }
            Err(problem) => {
                say(&format_args!("app {}.{index}: {problem}", self.spec.name));
                place.not_started(&problem, now);
            }
        }
    }

    /// Of fewer instances than before, once the last process has left.
    fn forget_places(&mut self) {
        while self.places.len() > self.spec.instances as usize
            && self.places.last().is_some_and(Place::is_empty)
        {
            self.places.pop();
        }
    }

    /// Brings up to date what workers shall know.
    fn take_stock(&mut self, version: &mut u64) {
        let process = |process: &Process| {
            let place = &self.places[process.index as usize];
            let is_draining = match place.stage_of(process.number)? {
                Stage::Ready => false,
                Stage::Draining { .. } => true,
                Stage::Starting { .. } | Stage::Stopping { .. } | Stage::Killed => return None,
            };
            let Process { number, index, address, .. } = process;
            let (number, index) = (*number, *index);
            Some(AppProcess { number, index, is_draining, address: address.clone() })
        };
        let place = |place: &Place| {
            let process = self.processes.iter().find(|one| Some(one.number) == place.face());
            let problem = place.problem().replace(char::is_control, " ");
            let end = problem.floor_char_boundary(PROBLEM_BYTES_MAX);
            AppPlace {
                condition: place.condition(),
                process_id: process.map_or(0, |process| process.id),
                restarts: place.restarts(),
                exits: place.exits(),
                problem: problem[..end].to_owned(),
            }
        };
        let mut processes: Vec<_> = self.processes.iter().filter_map(process).collect();
        if let (Address::Shared(_), Some(shared)) = (&self.spec.address, &self.shared) {
            // One for all, whoever they are right now.
            let is_up = processes.iter().any(|process| !process.is_draining);
            let address = Endpoint::Unix(shared.path().to_owned());
            let all = AppProcess { number: 0, index: 0, is_draining: false, address };
            processes = is_up.then_some(all).into_iter().collect();
        }
        let state = AppState {
            name: self.spec.name.clone(),
            processes,
            places: self.places.iter().map(place).collect(),
        };
        if state != self.state {
            self.state = state;
            *version += 1;
            self.version = *version;
        }
    }
}
