//! All apps, written down for a master that goes on in this one's place: the processes stay its
//! children, and their pipes stay open.

use std::fmt::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use super::place::Place;
use super::process::Process;
use super::record::Record;
use super::restart::Restart;
use super::shared::Shared;
use super::spec::Spec;
use super::words::Words;
use super::{App, Apps, Say};

/// The last line: half of it is nothing.
const END: &str = "apps-end\n";

impl Apps {
    /// Lines from which [`Self::of`] makes the same apps.
    pub(crate) fn written(&self, now: Instant) -> String {
        let mut specs: Vec<&Rc<Spec>> = Vec::new();
        let of_apps = self.apps.iter().map(|app| &app.spec);
        let of_processes = self.apps.iter().flat_map(|app| &app.processes).map(|one| &one.spec);
        for spec in of_apps.chain(of_processes) {
            if !specs.iter().any(|known| Rc::ptr_eq(known, spec)) {
                specs.push(spec);
            }
        }
        let number_of = |spec: &Rc<Spec>| specs.iter().position(|known| Rc::ptr_eq(known, spec));
        let mut out = String::new();
        // Writing to a String cannot fail.
        specs.iter().for_each(|spec| out.push_str(&spec.to_string()));
        writeln!(out, "apps {} {} {}", self.number, self.version, self.lines_lost).ok();
        for worker in &self.workers {
            writeln!(out, "apps-worker {worker}").ok();
        }
        for app in &self.apps {
            let number = number_of(&app.spec).unwrap_or_default();
            writeln!(out, "apps-one {number} {}", u8::from(app.is_removed)).ok();
            if let Some(shared) = &app.shared {
                let (number, path) = (shared.as_fd().as_raw_fd(), shared.path().display());
                writeln!(out, "apps-shared {number} {path}").ok();
            }
            app.restarts.iter().for_each(|restart| restart.write(&mut out));
            app.places.iter().for_each(|place| place.write(now, &mut out));
            for process in &app.processes {
                process.write(number_of(&process.spec).unwrap_or_default(), &mut out);
            }
        }
        out + END
    }

    /// What must stay open.
    pub(crate) fn open(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let shared = self.apps.iter().filter_map(|app| app.shared.as_ref().map(AsFd::as_fd));
        let askers = self.apps.iter().flat_map(|app| &app.restarts).map(Restart::asker);
        let pipes = self.apps.iter().flat_map(|app| &app.processes).flat_map(Process::pipes);
        pipes.chain(shared).chain(askers)
    }

    /// Apps that were written down; `take` gives what is open under a number. Nothing, if the lines
    /// make no sense.
    pub(crate) fn of(
        text: &str,
        run_dir: Option<&Path>,
        say: Say,
        take: &mut dyn FnMut(RawFd) -> Option<OwnedFd>,
        now: Instant,
    ) -> Option<Self> {
        let mut all = Self::new(say);
        all.record = run_dir.map(Record::in_directory);
        let (mut written, mut specs) = (Vec::new(), Vec::new());
        // The program before knew no apps.
        let text = if text.is_empty() { END } else { text };
        for line in text.strip_suffix(END)?.lines() {
            let (word, rest) = line.split_once(' ')?;
            if word == "app" || word.starts_with("app-") {
                Spec::read(&mut written, word, rest)?;
                continue;
            }
            if specs.len() < written.len() {
                specs = written.iter().cloned().map(Rc::new).collect();
            }
            let mut words = Words::of(rest);
            match word {
                "apps" => {
                    all.number = words.number()?;
                    all.version = words.number()?;
                    all.lines_lost = words.number()?;
                }
                "apps-worker" => all.workers.push(words.number()?),
                "apps-one" => {
                    let spec = specs.get(words.number::<usize>()?)?;
                    all.apps.push(App::bare(Rc::clone(spec), words.flag()?));
                }
                _ => all.apps.last_mut()?.read(word, rest, &specs, take, now)?,
            }
        }
        Some(all)
    }
}

impl App {
    /// Without places and processes yet.
    fn bare(spec: Rc<Spec>, is_removed: bool) -> Self {
        let mut app = Self::new(&spec);
        app.places.clear();
        Self { spec, is_removed, ..app }
    }

    fn read(
        &mut self,
        word: &str,
        rest: &str,
        specs: &[Rc<Spec>],
        take: &mut dyn FnMut(RawFd) -> Option<OwnedFd>,
        now: Instant,
    ) -> Option<()> {
        match word {
            "apps-shared" => {
                let (number, path) = rest.split_once(' ')?;
                let socket = take(number.parse().ok()?);
                self.shared = socket.map(|socket| Shared::of(path.into(), socket));
            }
            "apps-restart" => self.restarts.extend(Restart::read(rest, take)?),
            "place" => self.places.push(Place::read(rest, now)?),
            "process" => {
                let process = Process::read(rest, specs, take, now)?;
                // Each has its place.
                self.places.get(process.index as usize)?;
                self.processes.push(process);
            }
            "process-requests" => self.processes.last_mut()?.read_requests(rest)?,
            _ => self.places.last_mut()?.read_more(word, rest, now)?,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::app::place::Stage;
    use crate::app::spec::Ready;
    use crate::app::spec::tests::sample;

    /// Goes on with the apps of `before` as another master would, under the same descriptors.
    fn taken_over(before: &Apps, now: Instant) -> Apps {
        let text = before.written(now);
        let mut open: Vec<_> =
            before.open().map(|fd| (fd.as_raw_fd(), fd.try_clone_to_owned().unwrap())).collect();
        let mut take = |number: RawFd| {
            let at = open.iter().position(|(one, _)| *one == number)?;
            Some(open.remove(at).1)
        };
        let after = Apps::of(&text, None, |_| (), &mut take, now).unwrap();
        // Numbers of descriptors are others in this one process.
        let plain = |apps: &Apps| {
            let text = apps.written(now);
            let words = |line: &str| line.split(' ').take(9).collect::<Vec<_>>().join(" ");
            text.lines().map(words).collect::<Vec<_>>()
        };
        assert_eq!(plain(&after), plain(before));
        for end in (7..text.len()).step_by(7) {
            assert!(Apps::of(&text[..end], None, |_| (), &mut |_| None, now).is_none());
        }
        after
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "processes take their time")]
    fn what_is_written_down_goes_on() {
        let words = |text: &str| ["sh", "-c", text].map(str::to_owned).to_vec();
        let ready = Ready::Line("up".to_owned());
        let good =
            Spec { command: words("echo up; read x <&-; exec sleep 60"), ready, ..sample("a") };
        let bad = Spec { command: words("exit 3"), ..sample("b") };
        let mut apps = Apps::new(|_| ());
        apps.begin(&[good, bad], None);
        apps.worker_started(7);
        let turn = |apps: &mut Apps, until: &dyn Fn(&Apps) -> bool| {
            let began = Instant::now();
            while !until(apps) {
                assert!(began.elapsed() < Duration::from_secs(20), "{apps:?}");
                apps.turn(Instant::now());
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        turn(&mut apps, &Apps::are_settled);
        let mut after = taken_over(&apps, Instant::now());
        // The one that serves is replaced, drains for the worker, and ends.
        let first = after.apps[0].processes[0].number;
        let times = after.apps[0].spec.timeouts;
        after.apps[0].places[0].replace(Instant::now(), &times);
        turn(&mut after, &|apps| apps.apps[0].processes.len() == 2);
        let is_draining = |apps: &Apps| {
            matches!(apps.apps[0].places[0].stage_of(first), Some(Stage::Draining { .. }))
        };
        turn(&mut after, &is_draining);
        let mut last = taken_over(&after, Instant::now());
        assert!(!last.apps[0].places[0].is_new(), "the worker may not know of it yet");
        last.left(7, first);
        assert!(last.apps[0].places[0].is_new());
        last.drained(7, first);
        turn(&mut last, &|apps| apps.apps[0].processes.len() == 1);
        last.close(Instant::now());
        turn(&mut last, &Apps::are_gone);
    }
}
