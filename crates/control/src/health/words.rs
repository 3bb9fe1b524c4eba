//! What is said when endpoints come and go.

use fairwater_plan::health::{Mode, Reason, Standing};

use super::Known;
use crate::roster::Member;

/// Lines for one change; where a rack loses its power, nobody reads a thousand.
const CHANGE_LINES_MAX: usize = 20;

#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Vec<String>,
    more: usize,
}

impl Lines {
    fn add(&mut self, line: String) {
        match self.lines.len() < CHANGE_LINES_MAX {
            true => self.lines.push(line),
            false => self.more += 1,
        }
    }

    /// An endpoint may stand in another way than before.
    pub(super) fn moved(
        &mut self,
        upstream: &str,
        member: &Member,
        known: &Known,
        standing: Standing,
    ) {
        let before = known.last.and_then(|last| last.reason);
        let who = format!("{upstream}: {}", member.identity);
        if before == standing.reason {
            return;
        }
        let line = match (before, standing.reason) {
            (_, Some(Reason::Failing)) => {
                let problem = known.problem.as_deref().unwrap_or("it failed before");
                format!("warning: {who} gets no traffic, its check fails: {problem}")
            }
            (_, Some(Reason::Ejected)) => {
                let cause = &known.cause;
                format!("warning: {who} gets no traffic for a while: {cause}")
            }
            (_, Some(Reason::AdvisedDrain)) => format!("{who} asks to be drained"),
            (_, Some(Reason::AdvisedMaintenance)) => format!("{who} asks for maintenance"),
            (_, Some(Reason::AdvisedDown)) => format!("warning: {who} says that it is down"),
            (Some(Reason::Failing), None | Some(Reason::Standby)) => match &known.problem {
                // Nobody else is left.
                Some(_) => return,
                None => format!("{who} is well again"),
            },
            (Some(Reason::Ejected), None | Some(Reason::Standby)) => {
                format!("{who} is tried again")
            }
            (
                Some(Reason::AdvisedDrain | Reason::AdvisedMaintenance | Reason::AdvisedDown),
                None | Some(Reason::Standby),
            ) => format!("{who} takes traffic again"),
            _ => return,
        };
        self.add(line);
    }

    /// Those that get traffic may be chosen by another rule than before.
    pub(super) fn mode(&mut self, upstream: &str, before: Mode, now: Mode, is_judged: bool) {
        if before == now || !is_judged {
            return;
        }
        let line = match now {
            Mode::Good if before != Mode::Untested => {
                format!("{upstream} has good endpoints again")
            }
            Mode::Good | Mode::Untested => return,
            Mode::Spared => {
                format!("warning: {upstream} has no endpoint left but those that have failed")
            }
            Mode::Panic => {
                format!("warning: {upstream} has too few good endpoints: all get traffic")
            }
            Mode::Nobody => {
                format!("warning: {upstream} has no endpoint that takes traffic: requests fail")
            }
        };
        self.add(line);
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.lines.push(format!("and {} more changes of endpoints", self.more));
        }
        self.lines
    }
}
