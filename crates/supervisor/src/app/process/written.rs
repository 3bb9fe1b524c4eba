//! A process, written down: lines that begin with `process`. Its pipes are there by their numbers.

use std::fmt::Write;
use std::io::PipeReader;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Instant;

use fairwater_message::address::Endpoint;

use super::{End, Process};
use crate::app::lines::Lines;
use crate::app::probe::Probe;
use crate::app::record::Entry;
use crate::app::spec::{Ready, Spec};
use crate::app::words::{Words, maybe};

impl Process {
    /// What must stay open for whoever goes on with it.
    pub(crate) fn pipes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.output.iter().filter_map(|(pipe, _)| pipe.as_ref().map(AsFd::as_fd))
    }

    /// With the number of its app among those that are written down.
    pub(crate) fn write(&self, spec: usize, out: &mut String) {
        let Self { number, index, id, requests_max, has_said_it, address, .. } = self;
        let (most, said) = (maybe(*requests_max), u8::from(*has_said_it));
        let is_waiting = u8::from(self.probe.is_some());
        let end = self.end.word();
        let pipes =
            self.output.each_ref().map(|(pipe, _)| maybe(pipe.as_ref().map(AsRawFd::as_raw_fd)));
        let [output, errors] = pipes;
        // Writing to a String cannot fail.
        writeln!(
            out,
            "process {spec} {number} {index} {id} {most} {said} {is_waiting} {end} {output} {errors} \
             {address}"
        )
        .ok();
        for (worker, count) in &self.requests {
            writeln!(out, "process-requests {worker} {count}").ok();
        }
    }

    /// Begins with a line that `write` has made; `take` gives what is open under a number. A line
    /// that the process has only begun is lost.
    pub(crate) fn read(
        line: &str,
        specs: &[Rc<Spec>],
        take: &mut dyn FnMut(RawFd) -> Option<OwnedFd>,
        now: Instant,
    ) -> Option<Self> {
        let mut words = Words::of(line);
        let spec = Rc::clone(specs.get(words.number::<usize>()?)?);
        let (number, index, id) = (words.number()?, words.number()?, words.number()?);
        let (requests_max, has_said_it) = (words.maybe()?, words.flag()?);
        let is_waiting = words.flag()? && !matches!(spec.ready, Ready::Line(_));
        let end = End::read(words.next()?)?;
        let mut pipe = || {
            let number = words.maybe::<RawFd>()?;
            Some((number.and_then(&mut *take).map(PipeReader::from), Lines::default()))
        };
        let output = [pipe()?, pipe()?];
        // Paths may have blanks.
        let address = words.rest::<String>()?.join(" ");
        Some(Self {
            number,
            index,
            id,
            entry: Entry::of(id, spec.stop_signal),
            spec,
            address: Endpoint::parse(&address).ok()?,
            output,
            probe: is_waiting.then(|| Probe::new(now)),
            has_said_it,
            requests: Vec::new(),
            requests_max,
            end,
        })
    }

    /// Goes on with a line `process-requests`.
    pub(crate) fn read_requests(&mut self, rest: &str) -> Option<()> {
        let mut words = Words::of(rest);
        self.requests.push((words.number()?, words.number()?));
        Some(())
    }
}

impl End {
    fn word(&self) -> String {
        match self {
            Self::Running { is_stopping: false } => "runs".to_owned(),
            Self::Running { is_stopping: true } => "stops".to_owned(),
            Self::Left(status) => format!("left:{}", status.into_raw()),
            Self::Killed(None) => "killed".to_owned(),
            Self::Killed(Some(status)) => format!("killed:{}", status.into_raw()),
        }
    }

    fn read(word: &str) -> Option<Self> {
        let (word, status) = match word.split_once(':') {
            Some((word, status)) => (word, Some(ExitStatus::from_raw(status.parse().ok()?))),
            None => (word, None),
        };
        match (word, status) {
            ("runs", None) => Some(Self::Running { is_stopping: false }),
            ("stops", None) => Some(Self::Running { is_stopping: true }),
            ("left", Some(status)) => Some(Self::Left(status)),
            ("killed", status) => Some(Self::Killed(status)),
            _ => None,
        }
    }
}
