//! The place of one instance: the process that serves there, the one that shall follow it, and
//! those that leave. Nothing here starts or stops anything: what happens comes in with the time,
//! and what is to be done goes out.

use std::time::{Duration, Instant};

use fairwater_message::app::{Condition, Exit};

use crate::app::spec::Timeouts;
use crate::backoff::Backoff;

/// However well an instance has run before: one that ends again and again must not keep a
/// processor busy.
const PAUSE_MIN: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not ready; given up at this time.
    Starting {
        until: Instant,
    },
    Ready,
    /// It gets nothing new. Told to stop when nothing is in flight any more, or at this time.
    Draining {
        until: Instant,
    },
    /// Was told to stop; killed at this time.
    Stopping {
        until: Instant,
    },
    Killed,
}

/// A process, as far as it is decided about.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) number: u32,
    pub(crate) stage: Stage,
    began: Instant,
    /// It was not ready in time.
    is_late: bool,
    /// Workers that may have something in flight there.
    busy: Vec<u32>,
    /// Those of them that may not know yet that it gets nothing new.
    unaware: Vec<u32>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Start a process, and tell `started` or `ended` about it.
    Start,
    /// Send the process of this number its signal to stop.
    Stop(u32),
    /// Kill it with all that belongs to it.
    Kill(u32),
}

#[derive(Debug, Default)]
pub(crate) struct Place {
    current: Option<Run>,
    /// Takes over when it is ready.
    next: Option<Run>,
    leaving: Vec<Run>,
    backoff: Backoff,
    /// Nothing is started before.
    due: Option<Instant>,
    /// The current process shall have a successor.
    is_outdated: bool,
    is_closed: bool,
    starts: u64,
    exits: [u64; Exit::ALL.len()],
    /// Starts that came to nothing.
    failures: u64,
    /// What went wrong last.
    problem: String,
    /// How a process ended last.
    last_end: String,
    acts: Vec<Act>,
}

impl Place {
    /// What is due, all at once. A process that serves is replaced only if it `may_replace` it.
    pub(crate) fn turn(&mut self, now: Instant, may_replace: bool, times: &Timeouts) -> Vec<Act> {
        if let Some(mut next) = self.next.take_if(|next| next.stage.is_over(now)) {
            next.is_late = true;
            self.failed(&format!("it was not ready within {:?}", times.start), now);
            self.stop(next, now, times);
        }
        for run in &mut self.leaving {
            let is_idle = matches!(run.stage, Stage::Draining { .. }) && run.busy.is_empty();
            match run.stage {
                Stage::Draining { .. } if is_idle || run.stage.is_over(now) => {
                    run.stage = Stage::Stopping { until: now + times.stop };
                    self.acts.push(Act::Stop(run.number));
                }
                Stage::Stopping { until } if until <= now => {
                    run.stage = Stage::Killed;
                    self.acts.push(Act::Kill(run.number));
                }
                _ => {}
            }
        }
        if self.wants_process(may_replace) && self.due.is_none_or(|due| due <= now) {
            self.due = None;
            self.acts.push(Act::Start);
        }
        std::mem::take(&mut self.acts)
    }

    fn wants_process(&self, may_replace: bool) -> bool {
        let is_missing = match &self.current {
            None => true,
            Some(_) => self.is_outdated && may_replace,
        };
        is_missing && self.next.is_none() && !self.is_closed
    }

    /// When `turn` has something to do without any news.
    pub(crate) fn next_turn(&self, now: Instant, may_replace: bool) -> Option<Instant> {
        if !self.acts.is_empty() {
            return Some(now);
        }
        let runs = self.next.iter().chain(&self.leaving);
        let ends = runs.filter_map(|run| run.stage.until());
        let due = self.wants_process(may_replace).then(|| self.due.unwrap_or(now));
        ends.chain(due).min()
    }

    /// A process was started.
    pub(crate) fn started(&mut self, number: u32, now: Instant, times: &Timeouts) {
        let stage = Stage::Starting { until: now + times.start };
        self.starts += 1;
        self.next = Some(Run {
            number,
            stage,
            began: now,
            is_late: false,
            busy: Vec::new(),
            unaware: Vec::new(),
        });
    }

    /// There is none, for this reason.
    pub(crate) fn not_started(&mut self, problem: &str, now: Instant) {
        self.starts += 1;
        self.exits[Exit::NotReady as usize] += 1;
        self.failed(problem, now);
    }

    fn failed(&mut self, problem: &str, now: Instant) {
        problem.clone_into(&mut self.problem);
        self.failures += 1;
        self.pause(None, now);
    }

    fn pause(&mut self, ran: Option<Duration>, now: Instant) {
        self.due = Some(now + self.backoff.next(ran).max(PAUSE_MIN));
    }

    /// A process is ready: it takes over from the one before, which drains, while these workers may
    /// have something in flight there.
    pub(crate) fn ready(&mut self, number: u32, workers: &[u32], now: Instant, times: &Timeouts) {
        let Some(mut next) = self.next.take_if(|next| next.number == number) else { return };
        next.stage = Stage::Ready;
        self.is_outdated = false;
        self.problem.clear();
        if let Some(old) = self.current.replace(next) {
            self.drain(old, workers, now, times);
        }
    }

    fn drain(&mut self, mut run: Run, workers: &[u32], now: Instant, times: &Timeouts) {
        run.stage = Stage::Draining { until: now + times.drain };
        run.busy = workers.to_vec();
        run.unaware = workers.to_vec();
        self.leaving.push(run);
    }

    fn stop(&mut self, mut run: Run, now: Instant, times: &Timeouts) {
        run.stage = Stage::Stopping { until: now + times.stop };
        self.acts.push(Act::Stop(run.number));
        self.leaving.push(run);
    }

    /// A worker sends nothing new to a process that drains.
    pub(crate) fn left(&mut self, number: u32, worker: u32) {
        for run in self.leaving.iter_mut().filter(|run| run.number == number) {
            run.unaware.retain(|unaware| *unaware != worker);
        }
    }

    /// A worker has nothing in flight any more at a process that drains.
    pub(crate) fn drained(&mut self, number: u32, worker: u32) {
        for run in self.leaving.iter_mut().filter(|run| run.number == number) {
            run.busy.retain(|busy| *busy != worker);
        }
    }

    /// A worker has ended, and with it all that it had in flight.
    pub(crate) fn worker_ended(&mut self, worker: u32) {
        for run in &mut self.leaving {
            run.busy.retain(|busy| *busy != worker);
            run.unaware.retain(|unaware| *unaware != worker);
        }
    }

    /// A process has ended. Tells how, and the pause before the next one if that is news.
    pub(crate) fn ended(&mut self, number: u32, how: &str, now: Instant) -> Option<Ended> {
        how.clone_into(&mut self.last_end);
        if self.next.take_if(|next| next.number == number).is_some() {
            self.exits[Exit::NotReady as usize] += 1;
            self.failed(&format!("it {how} before it was ready"), now);
            return Some(Ended { exit: Exit::NotReady, pause: self.due.map(|due| due - now) });
        }
        if let Some(run) = self.current.take_if(|run| run.number == number) {
            self.exits[Exit::Unexpected as usize] += 1;
            self.problem = format!("it {how}");
            // Whoever shall follow it is already on the way, or was due already.
            if self.next.is_none() {
                self.pause(Some(now - run.began), now);
            }
            return Some(Ended { exit: Exit::Unexpected, pause: self.due.map(|due| due - now) });
        }
        let at = self.leaving.iter().position(|run| run.number == number)?;
        let run = self.leaving.remove(at);
        let exit = match run.stage {
            _ if run.is_late => Exit::NotReady,
            Stage::Killed => Exit::Killed,
            _ => Exit::Stopped,
        };
        self.exits[exit as usize] += 1;
        Some(Ended { exit, pause: None })
    }

    /// The process that serves has done or taken enough: another one follows. Calls `say` if that
    /// is new.
    pub(crate) fn wear_out(&mut self, say: impl FnOnce()) {
        if self.current.is_some() && !std::mem::replace(&mut self.is_outdated, true) {
            say();
        }
    }

    /// A new process shall serve here, whatever is there or coming.
    pub(crate) fn replace(&mut self, now: Instant, times: &Timeouts) {
        self.wear_out(|| {});
        self.due = None;
        self.backoff = Backoff::default();
        if let Some(next) = self.next.take() {
            self.stop(next, now, times);
        }
    }

    /// Nobody shall serve here any more. What runs drains first, if workers are named.
    pub(crate) fn close(&mut self, workers: Option<&[u32]>, now: Instant, times: &Timeouts) {
        self.is_closed = true;
        if let Some(next) = self.next.take() {
            self.stop(next, now, times);
        }
        match (self.current.take(), workers) {
            (Some(current), Some(workers)) => self.drain(current, workers, now, times),
            (Some(current), None) => self.stop(current, now, times),
            (None, _) => {}
        }
        if workers.is_none() {
            for run in &mut self.leaving {
                if let Stage::Draining { .. } = run.stage {
                    run.stage = Stage::Stopping { until: now + times.stop };
                    self.acts.push(Act::Stop(run.number));
                }
            }
        }
    }

    /// Kills all that is still there at this time at the latest.
    pub(crate) fn hurry(&mut self, at: Instant) {
        for run in &mut self.leaving {
            if let Stage::Stopping { until } = &mut run.stage {
                *until = (*until).min(at);
            }
        }
    }

    /// Opens it again after `close`.
    pub(crate) fn open(&mut self) {
        self.is_closed = false;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.current.is_none() && self.next.is_none() && self.leaving.is_empty()
    }

    /// Whether one serves while its successor is starting.
    pub(crate) fn is_replacing(&self) -> bool {
        self.current.is_some() && self.next.is_some()
    }

    /// Whether a start was tried, and went well or wrong.
    pub(crate) fn is_settled(&self) -> bool {
        self.current.is_some() || self.failures > 0 || self.is_closed
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.current.iter().chain(&self.next).chain(&self.leaving)
    }

    pub(crate) fn stage_of(&self, number: u32) -> Option<Stage> {
        self.runs().find(|run| run.number == number).map(|run| run.stage)
    }

    pub(crate) fn condition(&self) -> Condition {
        match (&self.current, &self.next) {
            (Some(_), Some(_)) => Condition::Replacing,
            (Some(_), None) => Condition::Ready,
            (None, Some(_)) => Condition::Starting,
            (None, None) if self.is_closed => Condition::Stopping,
            (None, None) if self.due.is_some() => Condition::Waiting,
            (None, None) => Condition::Starting,
        }
    }

    /// The process that serves, or else the one that is about to.
    pub(crate) fn face(&self) -> Option<u32> {
        self.current.as_ref().or(self.next.as_ref()).map(|run| run.number)
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.starts.saturating_sub(1)
    }

    /// Starts that came to nothing.
    pub(crate) fn failures(&self) -> u64 {
        self.failures
    }

    pub(crate) fn exits(&self) -> [u64; Exit::ALL.len()] {
        self.exits
    }

    pub(crate) fn problem(&self) -> &str {
        &self.problem
    }

    /// How a process ended last, in words; empty if none has.
    pub(crate) fn last_end(&self) -> &str {
        &self.last_end
    }

    /// When the next start is due, after a pause.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| self.next.is_none() && !self.is_closed)
    }

    /// Whether one serves that needs no successor, or none shall, and all workers know.
    pub(crate) fn is_new(&self) -> bool {
        let mut draining =
            self.leaving.iter().filter(|run| matches!(run.stage, Stage::Draining { .. }));
        let is_known = draining.all(|run| run.unaware.is_empty());
        is_known && (self.is_closed || self.current.is_some() && !self.is_outdated)
    }
}

/// The end of a process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    /// Before the next start.
    pub(crate) pause: Option<Duration>,
}

impl Stage {
    fn until(self) -> Option<Instant> {
        match self {
            Self::Starting { until } | Self::Draining { until } | Self::Stopping { until } => {
                Some(until)
            }
            Self::Ready | Self::Killed => None,
        }
    }

    fn is_over(self, now: Instant) -> bool {
        self.until().is_some_and(|until| until <= now)
    }
}

#[cfg(test)]
mod tests;
mod written;
