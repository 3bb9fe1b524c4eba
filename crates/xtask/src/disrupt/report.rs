//! What clients noticed, as a table.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::clients::Tally;
use super::events::{Event, Happened};
use crate::bench::Contender;
use crate::bench::statistics::of_hundred;

/// What is looked at behind an event.
const WINDOW: Duration = Duration::from_millis(250);

pub(crate) struct Row {
    peer: Contender,
    event: Event,
    count: u32,
    requests: u64,
    failed: u64,
    cut: u64,
    refused: u64,
    downs: u32,
    workers_max: usize,
    /// Of all requests of the probe outside of windows.
    steady_p99: Duration,
    /// The median over the windows.
    window_p99: Duration,
    /// The longest time without an answer, and the median of the longest behind each event.
    gap_max: Duration,
    gap: Duration,
    first_fault: Option<String>,
}

impl Row {
    pub(crate) fn new(
        peer: Contender,
        event: Event,
        count: u32,
        tally: &Tally,
        happened: &Happened,
    ) -> Self {
        let probes = &tally.probes;
        let within =
            |at: Instant| happened.events.iter().any(|event| at >= *event && at < *event + WINDOW);
        let steady = probes.iter().filter(|(at, _)| !within(*at));
        let mut windows: Vec<Duration> = Vec::new();
        let mut gaps: Vec<Duration> = Vec::new();
        for event in &happened.events {
            let window = probes.iter().filter(|(at, _)| at >= event && *at < *event + WINDOW);
            windows.push(of_hundred(99, window.clone().filter_map(|(_, took)| *took)));
            gaps.push(longest_gap(window, *event));
        }
        gaps.sort();
        windows.sort();
        Self {
            peer,
            event,
            count,
            requests: tally.requests,
            failed: tally.failed,
            cut: tally.cut,
            refused: tally.refused,
            downs: happened.downs,
            workers_max: happened.workers_max,
            steady_p99: of_hundred(99, steady.filter_map(|(_, took)| *took)),
            window_p99: windows.get(windows.len() / 2).copied().unwrap_or_default(),
            gap_max: gaps.last().copied().unwrap_or_default(),
            gap: gaps.get(gaps.len() / 2).copied().unwrap_or_default(),
            first_fault: tally.first_fault.clone(),
        }
    }
}

/// The longest time in which no probe was answered.
fn longest_gap<'a>(
    probes: impl Iterator<Item = &'a (Instant, Option<Duration>)>,
    event: Instant,
) -> Duration {
    let answered = probes.filter_map(|(at, took)| took.map(|took| *at + took));
    let mut last = event;
    let mut longest = Duration::ZERO;
    for at in answered {
        longest = longest.max(at.saturating_duration_since(last));
        last = last.max(at);
    }
    longest.max((event + WINDOW).saturating_duration_since(last))
}

pub(crate) fn markdown(arguments: &[String], rows: &[Row]) -> String {
    let command = format!("cargo xtask disrupt {}", arguments.join(" "));
    let mut text = format!(
        "`{}`\n\n| event | proxy | requests | failed | tunnels cut | refused | all down | \
         processes | p99 steady | p99 behind | gap | longest gap |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
        command.trim_end()
    );
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    for row in rows {
        let line = [
            format!("{} {}", row.count, row.event.name()),
            row.peer.name().to_owned(),
            row.requests.to_string(),
            row.failed.to_string(),
            row.cut.to_string(),
            row.refused.to_string(),
            row.downs.to_string(),
            row.workers_max.to_string(),
            ms(row.steady_p99),
            ms(row.window_p99),
            ms(row.gap),
            ms(row.gap_max),
        ];
        _ = writeln!(text, "| {} |", line.join(" | "));
    }
    for row in rows {
        if let Some(fault) = &row.first_fault {
            let fault = fault.lines().next().unwrap_or_default();
            _ = writeln!(text, "\n{}, {}: first fault: {fault}", row.peer.name(), row.event.name());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test has no other clock")]
    fn gaps_are_found_where_nobody_answers() {
        let event = Instant::now();
        let ms = Duration::from_millis;
        let probes = [
            (event + ms(5), Some(ms(1))),
            (event + ms(10), None),
            (event + ms(15), Some(ms(85))),
            (event + ms(110), Some(ms(140))),
        ];
        assert_eq!(longest_gap(probes.iter(), event), ms(150));
        assert_eq!(longest_gap(probes[..1].iter(), event), WINDOW - ms(6));
    }
}
