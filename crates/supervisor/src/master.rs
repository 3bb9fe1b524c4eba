//! The master's one loop: signals, news of the worker, and its end.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use fairwater_sys::poll;
use fairwater_sys::signal::{self, Signal, Signals};

use crate::backoff::Backoff;
use crate::bind::{Listening, bind, bind_private};
use crate::link::News;
use crate::part::Part;
use crate::worker::{Equipment, Worker};

/// What the master is started with.
#[derive(Debug)]
pub struct Charge {
    /// Our own program, for workers.
    pub program: PathBuf,
    /// The name of the configuration, as workers shall show it.
    pub name: String,
    /// Its files, sealed.
    pub files: OwnedFd,
    pub part: Part,
    /// Prints a line for people.
    pub say: fn(&dyn fmt::Display),
}

struct Master {
    charge: Charge,
    listening: Vec<Listening>,
    admin: Option<Listening>,
    worker: Option<Worker>,
    backoff: Backoff,
    /// When the next worker is due, while there is none.
    due: Option<Instant>,
    has_served: bool,
    is_stopping: bool,
    result: Option<Result<(), String>>,
}

/// Nothing is waited for longer than this without a look at the clock.
const LOOK: Duration = Duration::from_secs(1);

/// Serves until signals end it.
///
/// # Errors
/// Why it could not begin, or did not end well.
pub fn run(charge: Charge) -> Result<(), String> {
    signal::block().map_err(|error| format!("cannot set up signals: {error}"))?;
    let signals = Signals::new().map_err(|error| format!("cannot wait for signals: {error}"))?;
    let mut master = Master {
        listening: Vec::new(),
        admin: None,
        worker: None,
        backoff: Backoff::default(),
        due: None,
        has_served: false,
        is_stopping: false,
        result: None,
        charge,
    };
    let result = master.bind().and_then(|()| master.serve(&signals));
    master.listening.iter().chain(&master.admin).for_each(Listening::clean_up);
    result
}

impl Master {
    fn bind(&mut self) -> Result<(), String> {
        let Part { threads, binds, admin } = &self.charge.part;
        for one in binds {
            let bound = bind(&one.address, *threads, one.backlog);
            let listening = bound.map_err(|error| error.to_string())?;
            if one.waits_for_data {
                listening.defer_until_data();
            }
            self.listening.push(listening);
        }
        if let Some(path) = admin {
            self.admin = Some(bind_private(path).map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    fn serve(&mut self, signals: &Signals) -> Result<(), String> {
        self.start();
        while self.result.is_none() {
            let patience = self.due.map_or(LOOK, |due| due.saturating_duration_since(now()));
            let mut fds = vec![signals.as_fd()];
            fds.extend(self.worker.as_ref().and_then(Worker::link));
            let ready = poll::readable(&fds, patience.min(LOOK));
            let ready = ready.map_err(|error| format!("cannot wait for signals: {error}"))?;
            if ready.get(1) == Some(&true) {
                self.hear();
            }
            while let Some(signal) = signals.next() {
                self.obey(signal);
            }
            self.reap();
            if self.due.is_some_and(|due| due <= now()) {
                self.start();
            }
        }
        self.result.take().unwrap_or(Ok(()))
    }

    /// Starts a worker.
    fn start(&mut self) {
        self.due = None;
        let equipment = Equipment {
            name: &self.charge.name,
            files: self.charge.files.as_fd(),
            listening: &self.listening,
            admin: self.admin.as_ref(),
        };
        match Worker::start(&self.charge.program, &equipment, now()) {
            Ok(worker) => self.worker = Some(worker),
            Err(error) => self.failed(&format!("cannot start a worker: {error}")),
        }
    }

    /// Takes in what the worker says.
    fn hear(&mut self) {
        let Some(worker) = &mut self.worker else { return };
        match worker.news() {
            Some(News::Serving) => {
                worker.is_serving = true;
                if !std::mem::replace(&mut self.has_served, true) {
                    for (one, listening) in self.charge.part.binds.iter().zip(&self.listening) {
                        let address = &listening.address;
                        (self.charge.say)(&format_args!("{} listens on {address}", one.listener));
                    }
                }
            }
            // An address that nobody will serve any more must not take connections.
            Some(News::Draining) if self.is_stopping => {
                self.listening.iter_mut().for_each(Listening::release);
            }
            Some(News::Failed(reason)) => (self.charge.say)(&reason),
            Some(News::Draining) | None => {}
        }
    }

    fn obey(&mut self, signal: Signal) {
        match signal {
            Signal::Terminate if !self.is_stopping => {
                self.is_stopping = true;
                self.worker.as_ref().map_or_else(|| self.result = Some(Ok(())), Worker::drain);
            }
            Signal::Terminate | Signal::Interrupt => {
                self.is_stopping = true;
                self.worker.as_ref().map_or_else(|| self.result = Some(Ok(())), Worker::stop);
            }
            Signal::Hangup | Signal::User1 | Signal::User2 | Signal::Child => {}
        }
    }

    /// Sees whether the worker has ended, and goes on without it, or with another.
    fn reap(&mut self) {
        let Some(status) = self.worker.as_mut().and_then(Worker::ended) else { return };
        // Its last words may still be in the link.
        while self.worker.as_ref().is_some_and(|worker| worker.link().is_some()) {
            self.hear();
        }
        let Some(worker) = self.worker.take() else { return };
        if self.is_stopping {
            self.result = Some(match status.success() {
                true => Ok(()),
                false => Err(format!("the worker {}", ended(status))),
            });
            return;
        }
        if !self.has_served {
            // Nobody relies on it yet, and it would only fail again.
            self.result = Some(Err(format!("the worker {}", ended(status))));
            return;
        }
        let served = worker.is_serving.then(|| now().saturating_duration_since(worker.began));
        (self.charge.say)(&format_args!("worker {} {}", worker.id(), ended(status)));
        self.again(served);
    }

    fn failed(&mut self, problem: &str) {
        match self.has_served {
            true => {
                (self.charge.say)(&problem);
                self.again(None);
            }
            false => self.result = Some(Err(problem.to_owned())),
        }
    }

    /// Plans the next worker, after one that served for so long, or not at all.
    fn again(&mut self, served: Option<Duration>) {
        let pause = self.backoff.next(served);
        if !pause.is_zero() {
            (self.charge.say)(&format_args!("the next worker starts in {pause:?}"));
        }
        self.due = Some(now() + pause);
    }
}

fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => "has ended".to_owned(),
        (Some(code), _) => format!("has ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "has ended".to_owned(),
    }
}

#[allow(clippy::disallowed_methods, reason = "the master's loop is where its clock is read")]
fn now() -> Instant {
    Instant::now()
}
