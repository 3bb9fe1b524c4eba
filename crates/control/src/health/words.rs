//! What is said when endpoints come and go.

use fairwater_config::Upstream;
use fairwater_plan::health::{Advice, AdvisedWeight, Mode, Reason, Standing, Standings};
use fairwater_plan::{BreakerChange, BreakerState};

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

    /// Those that get traffic may be chosen by another rule than before. `was_told` is whether the
    /// last line about it was a warning; who has no process or no address yet is told of elsewhere.
    pub(super) fn mode(
        &mut self,
        upstream: &str,
        (before, was_told): (Mode, &mut bool),
        found: &Standings,
    ) {
        let has = |wanted: fn(Reason) -> bool| {
            found.each.iter().any(|one| one.reason.is_some_and(wanted))
        };
        let is_of_health =
            has(|reason| matches!(reason, Reason::Failing | Reason::Ejected | Reason::AdvisedDown));
        // Where checks are mandatory nobody takes traffic at the start. That is worth a word once
        // all of them have been asked.
        let is_late =
            found.mode == Mode::Nobody && !*was_told && !has(|reason| reason == Reason::Unknown);
        if before == found.mode && !is_late {
            return;
        }
        let line = match found.mode {
            Mode::Good | Mode::Untested if *was_told => {
                format!("{upstream} has good endpoints again")
            }
            Mode::Spared => {
                format!("warning: {upstream} has no endpoint left but those that have failed")
            }
            Mode::Panic => {
                format!("warning: {upstream} has too few good endpoints: all get traffic")
            }
            Mode::Nobody if is_of_health => {
                format!("warning: {upstream} has no endpoint that takes traffic: requests fail")
            }
            Mode::Good | Mode::Untested | Mode::Nobody => return,
        };
        *was_told = !matches!(found.mode, Mode::Good | Mode::Untested);
        self.add(line);
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.lines.push(format!("and {} more changes of endpoints", self.more));
        }
        self.lines
    }
}

/// What became of the breaker of an upstream.
pub(super) fn circuit(upstream: &str, change: BreakerChange) -> String {
    match change {
        BreakerChange::Opened { failed, requests } => format!(
            "warning: {upstream}: its circuit breaker is open: {failed} of {requests} requests have failed"
        ),
        BreakerChange::OpenedAgain => {
            format!("warning: {upstream}: its circuit breaker is open for longer: it fails still")
        }
        BreakerChange::Closed => format!("{upstream}: its circuit breaker is closed again"),
    }
}

pub(crate) fn circuit_word(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open { .. } => "open",
        BreakerState::Trying { .. } => "trying",
    }
}

/// An endpoint of an upstream, for [`why`]; it may have sessions that stay with it.
pub(crate) struct Subject<'a> {
    pub upstream: &'a Upstream,
    pub member: &'a Member,
    pub has_sessions: bool,
}

/// Why an endpoint gets traffic or none, for people.
pub(crate) fn why(subject: &Subject<'_>, known: Option<&Known>, mode: Mode, now_ms: u64) -> String {
    let Subject { upstream, member, has_sessions } = *subject;
    let new = Known::default();
    let known = known.unwrap_or(&new);
    let problem = || known.problem.as_deref().unwrap_or("it has failed before");
    let Some(reason) = member.given.reason else {
        let share = match known.share(now_ms) {
            Some(percent) => format!(", {percent}% of its share (slow start)"),
            None => String::new(),
        };
        let weight = weight(member.weight, known.advice(upstream));
        let rule = rule(upstream, known, mode);
        return format!("gets requests: {weight}{share}{rule}");
    };
    let words = match reason {
        Reason::Drain => "it was set to drain".to_owned(),
        Reason::Maintenance => "it was set to maintenance".to_owned(),
        Reason::Unresolved => "its name has no address".to_owned(),
        Reason::NoProcess => "it has no process that is ready".to_owned(),
        Reason::NoWeight if member.weight > 0 => "it asks for a weight of 0".to_owned(),
        Reason::NoWeight => "its weight is 0".to_owned(),
        Reason::AdvisedDrain => "it asks to be drained".to_owned(),
        Reason::AdvisedMaintenance => "it asks for maintenance".to_owned(),
        Reason::AdvisedDown => "it says that it is down".to_owned(),
        Reason::Failing => match (&known.problem, &upstream.health, known.verdict.contrary()) {
            (None, Some(health), good @ 1..) => {
                format!("its check has failed, and was good {good} of {} times since", health.rise)
            }
            _ => format!("its check fails: {}", problem()),
        },
        Reason::Unknown => "no check has ended yet, and it waits for one".to_owned(),
        Reason::Ejected => {
            let left_ms = known.ejection.until_ms.saturating_sub(now_ms);
            format!("it is left alone for {} s more: {}", left_ms.div_ceil(1000), known.cause)
        }
        Reason::Standby if member.tier.is_backup => {
            "it is a backup, and others are good".to_owned()
        }
        Reason::Standby => {
            format!("its priority is {}, and others go first", member.tier.priority)
        }
    };
    let what = if has_sessions { "requests of its sessions alone" } else { "none" };
    format!("gets {what}: {words}")
}

/// What it has, and what of it an endpoint asks for itself.
fn weight(written: u32, advice: Advice) -> String {
    match advice.weight {
        None => format!("weight {written}"),
        Some(AdvisedWeight::Percent(percent)) => {
            format!("weight {written}, of which it asks for {percent}%")
        }
        Some(AdvisedWeight::Exactly(exactly)) => {
            format!("weight {exactly}, which it asks for instead of {written}")
        }
    }
}

/// By which rule an endpoint gets traffic, if that is to be said.
fn rule(upstream: &Upstream, known: &Known, mode: Mode) -> String {
    let cause = &known.cause;
    match mode {
        Mode::Good if known.is_ejected => {
            format!(", though {cause}: no more may be left alone at a time")
        }
        Mode::Good if known.checked_ms.is_some() => check(upstream, known),
        Mode::Good | Mode::Nobody => String::new(),
        Mode::Untested => ", no check has ended yet and no other is known to be good".to_owned(),
        Mode::Spared => format!(", though {cause}: no other is left"),
        Mode::Panic => ", whatever its check says: too few are good".to_owned(),
    }
}

/// What the check of one that is good says: the last results may not.
fn check(upstream: &Upstream, known: &Known) -> String {
    let bad = known.verdict.contrary();
    match (&known.problem, &upstream.health) {
        (Some(problem), Some(health)) if bad > 0 => {
            let fall = health.fall;
            format!(", its check fails ({bad} of the {fall} times that take it out): {problem}")
        }
        _ => ", its check is good".to_owned(),
    }
}

/// The beginning of what an endpoint says, for people.
pub(super) fn printable(bytes: &[u8]) -> String {
    const SHOWN: usize = 64;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned();
    shown.chars().map(|c| if c.is_control() { '.' } else { c }).collect()
}
