//! What is known of endpoints as text, for a process in place of this one. A line each; times are
//! those of the monotonic clock, which all processes of a machine share.

use std::fmt::Write;

use fairwater_config::WEIGHT_MAX;
use fairwater_plan::health::{Advice, Ejection, Reason, Standing, State, Verdict};

use super::{Health, Known};

/// Of the lines.
pub(crate) const VERSION: &str = "1";

const STATES: [(&str, State); 3] =
    [("unknown", State::Unknown), ("up", State::Up), ("down", State::Down)];

impl Health {
    pub(crate) fn record(&self) -> String {
        let mut out = String::new();
        for (upstream, of) in &self.upstreams {
            for (key, known) in &of.known {
                // Writing to a String cannot fail.
                writeln!(out, "{upstream}\t{}\t{}", line(known), plain(key)).unwrap_or(());
            }
        }
        out
    }

    /// Takes in what another process knew. Lines that are not understood count for nothing.
    pub(crate) fn restore(&mut self, text: &str, now_ms: u64) {
        for (upstream, key, known) in text.lines().filter_map(|line| read(line, now_ms)) {
            let of = self.upstreams.entry(upstream.to_owned()).or_default();
            of.known.insert(key.to_owned(), known);
        }
    }
}

fn line(known: &Known) -> String {
    let state = known.verdict.state();
    let (state, _) = STATES.iter().find(|(_, one)| *one == state).unwrap_or(&STATES[0]);
    let Ejection { until_ms, times } = known.ejection;
    let joined_ms = known.joined_ms.unwrap_or(0);
    let asked = known.asked.unwrap_or(0);
    [
        (*state).to_owned(),
        asked.to_string(),
        until_ms.to_string(),
        times.to_string(),
        joined_ms.to_string(),
        known.slow_start_ms.to_string(),
        known.check_failures.to_string(),
        known.ejections.to_string(),
        known.replied.to_string(),
        known.agent.to_string(),
        plain(&known.cause),
        plain(known.problem.as_deref().unwrap_or_default()),
    ]
    .join("\t")
}

/// Without what ends a field or a line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn read(line: &str, now_ms: u64) -> Option<(&str, &str, Known)> {
    let mut fields = line.split('\t');
    let upstream = fields.next()?;
    let state = fields.next()?;
    let (_, state) = STATES.iter().find(|(word, _)| *word == state)?;
    let mut number = || fields.next()?.parse::<u64>().ok();
    let (asked, until_ms, times) = (number()?, number()?, u32::try_from(number()?).ok()?);
    let (joined_ms, slow_start_ms) = (number()?, number()?);
    let (check_failures, ejections) = (number()?, number()?);
    let mut advice = || Advice::default().updated(fields.next()?.as_bytes(), WEIGHT_MAX.into());
    let (replied, agent) = (advice()?, advice()?);
    let (cause, problem, key) = (fields.next()?, fields.next()?, fields.next()?);
    let ejection = Ejection { until_ms, times };
    let reason = match state {
        State::Down => Some(Reason::Failing),
        _ if ejection.is_on(now_ms) => Some(Reason::Ejected),
        State::Unknown | State::Up => None,
    };
    let known = Known {
        verdict: Verdict::known(*state),
        asked: Some(asked).filter(|asked| *asked > 0),
        problem: Some(problem).filter(|text| !text.is_empty()).map(str::to_owned),
        check_failures,
        replied,
        agent,
        ejection,
        ejections,
        cause: cause.to_owned(),
        is_first: true,
        joined_ms: Some(joined_ms).filter(|joined_ms| *joined_ms > 0),
        slow_start_ms,
        last: Some(Standing { weight: 0, reason }),
        ..Known::default()
    };
    Some((upstream, key, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_known_again() {
        let mut health = Health::default();
        let known = Known {
            verdict: Verdict::known(State::Down),
            asked: Some(7),
            problem: Some("it answers with\nstatus 503".to_owned()),
            check_failures: 9,
            agent: Advice::default().updated(b"drain 50%", 1000).unwrap(),
            replied: Advice::default().updated(b"weight=3", 1000).unwrap(),
            ejection: Ejection { until_ms: 5000, times: 2 },
            ejections: 3,
            cause: "5 in a row".to_owned(),
            joined_ms: Some(10),
            slow_start_ms: 1000,
            ..Known::default()
        };
        let of = health.upstreams.entry("app".to_owned()).or_default();
        of.known.insert("a b:80 [10.0.0.1:80]".to_owned(), known);
        of.known.insert("unix:/x".to_owned(), Known::default());
        let text = health.record();
        let mut again = Health::default();
        again.restore(&text, 1000);
        assert_eq!(again.record(), text.replace("with\nstatus", "with status"));
        let known = again.known("app", "a b:80 [10.0.0.1:80]").unwrap();
        assert_eq!(known.last.unwrap().reason, Some(Reason::Failing));
    }

    #[test]
    fn broken_lines_count_for_nothing() {
        let mut health = Health::default();
        let line = format!("app\t{}\tkey", line(&Known::default()));
        for end in 0..line.len() - 4 {
            health.restore(&line[..end], 0);
        }
        assert!(health.upstreams.is_empty());
        health.restore(&line, 0);
        assert!(health.known("app", "key").is_some());
    }
}
