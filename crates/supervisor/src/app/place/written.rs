//! A place, written down: lines that begin with `place` or `run`.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::{Place, Run, Stage};
use crate::app::spec::{escaped, unescaped};
use crate::app::words::{Words, ahead};
use crate::backoff::Backoff;

impl Place {
    pub(crate) fn write(&self, now: Instant, out: &mut String) {
        let Self { backoff, due, is_outdated, is_closed, starts, exits, failures, .. } = self;
        let (outdated, closed) = (u8::from(*is_outdated), u8::from(*is_closed));
        let (due, pauses) = (ahead(*due, now), backoff.failures());
        // Writing to a String cannot fail.
        write!(out, "place {outdated} {closed} {starts} {failures} {pauses} {due}").ok();
        exits.iter().for_each(|count| out.push_str(&format!(" {count}")));
        writeln!(out, "\nplace-problem {}", escaped(&self.problem)).ok();
        writeln!(out, "place-end {}", escaped(&self.last_end)).ok();
        let standings = [("current", &self.current), ("next", &self.next)];
        for (word, run) in standings {
            run.iter().for_each(|run| run.write(word, now, out));
        }
        self.leaving.iter().for_each(|run| run.write("leaving", now, out));
    }

    /// Begins with a line that `write` has made.
    pub(crate) fn read(line: &str, now: Instant) -> Option<Self> {
        let mut words = Words::of(line);
        let mut place = Self {
            is_outdated: words.flag()?,
            is_closed: words.flag()?,
            starts: words.number()?,
            failures: words.number()?,
            backoff: Backoff::after(words.number()?),
            due: words.time(now)?,
            ..Self::default()
        };
        place.exits = words.rest()?.try_into().ok()?;
        Some(place)
    }

    /// Goes on with another line.
    pub(crate) fn read_more(&mut self, word: &str, rest: &str, now: Instant) -> Option<()> {
        match word {
            "place-problem" => self.problem = unescaped(rest),
            "place-end" => self.last_end = unescaped(rest),
            "run" => {
                let (standing, rest) = rest.split_once(' ')?;
                let run = Run::read(rest, now)?;
                match standing {
                    "current" => self.current = Some(run),
                    "next" => self.next = Some(run),
                    "leaving" => self.leaving.push(run),
                    _ => return None,
                }
            }
            _ => return None,
        }
        Some(())
    }
}

impl Run {
    fn write(&self, standing: &str, now: Instant, out: &mut String) {
        let Self { number, stage, began, is_late, busy, unaware } = self;
        let age_ms = now.saturating_duration_since(*began).as_millis();
        let (late, until) = (u8::from(*is_late), ahead(stage.until(), now));
        let stage = stage.word();
        write!(out, "run {standing} {number} {stage} {until} {age_ms} {late}").ok();
        for worker in busy {
            let word = if unaware.contains(worker) { "unaware" } else { "busy" };
            out.push_str(&format!(" {word}:{worker}"));
        }
        out.push('\n');
    }

    fn read(text: &str, now: Instant) -> Option<Self> {
        let mut words = Words::of(text);
        let number = words.number()?;
        let (stage, until) = (words.next()?, words.time(now)?);
        let stage = match stage {
            "starting" => Stage::Starting { until: until? },
            "ready" => Stage::Ready,
            "draining" => Stage::Draining { until: until? },
            "stopping" => Stage::Stopping { until: until? },
            "killed" => Stage::Killed,
            _ => return None,
        };
        let age = Duration::from_millis(words.number()?);
        // A machine that has just started knows no time before.
        let began = now.checked_sub(age).unwrap_or(now);
        let is_late = words.flag()?;
        let (mut busy, mut unaware) = (Vec::new(), Vec::new());
        for word in words.rest::<String>()? {
            let (word, worker) = word.split_once(':')?;
            let worker = worker.parse().ok()?;
            busy.push(worker);
            if word == "unaware" {
                unaware.push(worker);
            }
        }
        Some(Self { number, stage, began, is_late, busy, unaware })
    }
}

impl Stage {
    fn word(self) -> &'static str {
        match self {
            Self::Starting { .. } => "starting",
            Self::Ready => "ready",
            Self::Draining { .. } => "draining",
            Self::Stopping { .. } => "stopping",
            Self::Killed => "killed",
        }
    }
}
