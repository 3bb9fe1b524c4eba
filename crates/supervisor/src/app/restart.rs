//! Restarts of an app that somebody waits for: its processes are replaced one by one, each once its
//! successor is ready.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Instant;

use fairwater_message::app::Condition;

use super::place::Place;
use super::words::Words;
use super::{App, Apps};
use crate::command::Asker;

/// People, and the programs that they run.
const RESTARTS_MAX: usize = 16;

/// Until it is over, one way or the other.
#[derive(Debug)]
pub(super) struct Restart {
    asker: Asker,
    /// How often each instance was not ready when it began.
    failures: Vec<u64>,
}

impl Restart {
    /// Who waits.
    pub(super) fn asker(&self) -> BorrowedFd<'_> {
        self.asker.as_fd()
    }

    pub(super) fn write(&self, out: &mut String) {
        out.push_str(&format!("apps-restart {}", self.asker().as_raw_fd()));
        self.failures.iter().for_each(|count| out.push_str(&format!(" {count}")));
        out.push('\n');
    }

    /// What `write` has made; nothing in it if nobody waits any more.
    pub(super) fn read(
        line: &str,
        take: &mut dyn FnMut(RawFd) -> Option<OwnedFd>,
    ) -> Option<Option<Self>> {
        let mut words = Words::of(line);
        let asker = take(words.number()?).map(Asker::of);
        let failures = words.rest()?;
        Some(asker.map(|asker| Self { asker, failures }))
    }
}

impl Apps {
    /// Replaces the processes of an app, and tells the one who asks how that went.
    pub(crate) fn restart(&mut self, name: &str, asker: Asker, now: Instant) {
        let app = match self.find(name) {
            Ok(app) if app.restarts.len() < RESTARTS_MAX => app,
            Ok(_) => return asker.answer(1, "fairwater: too many wait for that already\n"),
            Err(problem) => return asker.answer(1, &problem),
        };
        let times = app.spec.timeouts;
        app.places.iter_mut().for_each(|place| place.replace(now, &times));
        let failures = app.places.iter().map(Place::failures).collect();
        app.restarts.push(Restart { asker, failures });
    }

    /// Has the processes of an app renew themselves.
    pub(crate) fn renew(&mut self, name: &str, asker: Asker) {
        let app = match self.find(name) {
            Ok(app) => app,
            Err(problem) => return asker.answer(1, &problem),
        };
        if app.spec.reload_signal.is_none() {
            let text = format!(
                "fairwater: app {name} has no `reload_signal`: `fairwater restart {name}` replaces \
                 its processes\n"
            );
            return asker.answer(1, &text);
        }
        let count = app.processes.iter().filter(|process| process.reload()).count();
        asker.answer(0, &format!("fairwater: told {} of {name}\n", processes(count)));
    }

    fn find(&mut self, name: &str) -> Result<&mut App, String> {
        let names: Vec<_> = self.apps.iter().map(|app| app.spec.name.clone()).collect();
        let app = self.apps.iter_mut().find(|app| app.spec.name == name && !app.is_removed);
        app.ok_or_else(|| match &names[..] {
            [] => "fairwater: there are no apps\n".to_owned(),
            names => format!("fairwater: there is no app `{name}`, only {}\n", names.join(", ")),
        })
    }
}

impl App {
    /// Answers those who wait for what is over by now.
    pub(super) fn answer(&mut self) {
        if self.restarts.is_empty() {
            return;
        }
        if self.is_removed {
            return self.give_up_restarts();
        }
        let (name, places) = (&self.spec.name, &self.places);
        let failed = |restart: &Restart| {
            let before = restart.failures.iter().chain(std::iter::repeat(&0));
            let mut both = places.iter().zip(before);
            both.position(|(place, before)| place.failures() > *before)
        };
        let count = places.iter().filter(|place| !place.is_closed()).count();
        let are_new = places.iter().all(Place::is_new);
        for restart in std::mem::take(&mut self.restarts) {
            if let Some(index) = failed(&restart) {
                let problem = places[index].problem();
                let on = match places[index].condition() {
                    Condition::Ready | Condition::Replacing => "what served before serves on, and ",
                    _ => "",
                };
                let text = format!(
                    "fairwater: app {name}.{index}: {problem}; {on}the start is tried again\n"
                );
                restart.asker.answer(1, &text);
            } else if are_new {
                let are = if count == 1 { "is" } else { "are" };
                let text = format!("fairwater: {} of {name} {are} new\n", processes(count));
                restart.asker.answer(0, &text);
            } else {
                self.restarts.push(restart);
            }
        }
    }

    pub(super) fn give_up_restarts(&mut self) {
        for restart in std::mem::take(&mut self.restarts) {
            restart.asker.answer(1, &format!("fairwater: app {} ends\n", self.spec.name));
        }
    }
}

fn processes(count: usize) -> String {
    match count {
        1 => "1 process".to_owned(),
        count => format!("{count} processes"),
    }
}
