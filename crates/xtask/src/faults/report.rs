//! What clients saw of each fault, as tables, and which bars were met.

use std::fmt::Write as _;
use std::time::Duration;

use super::contestant::Contestant;
use super::fault::{Bar, Fault, RECOVERY_MAX};
use super::scenario::Outcome;
use crate::bench::Contender;

pub(crate) struct Row {
    pub(crate) fault: Fault,
    pub(crate) contestant: Contestant,
    pub(crate) outcome: Outcome,
}

impl Row {
    /// Whether a bar was met; nothing where there is none.
    fn verdict(&self) -> Option<bool> {
        let mut bars = self.fault.bars().iter().filter(|bar| **bar != Bar::None).peekable();
        bars.peek()?;
        Some(bars.all(|bar| is_met(*bar, &self.outcome)))
    }

    /// The bars that were missed, in words.
    pub(crate) fn misses(&self) -> Vec<String> {
        let missed = self.fault.bars().iter().filter(|bar| !is_met(**bar, &self.outcome));
        missed.map(|bar| words(*bar)).collect()
    }
}

fn is_met(bar: Bar, outcome: &Outcome) -> bool {
    let tally = &outcome.tally;
    let times = |factor: f64| {
        let quiet = outcome.quiet.as_ref().map_or(Duration::ZERO, |quiet| quiet.p99);
        quiet.mul_f64(factor)
    };
    match bar {
        Bar::None => true,
        Bar::NoError => tally.failed.is_empty(),
        Bar::Recovery => outcome.recovered <= RECOVERY_MAX,
        Bar::Storm(most) => outcome.attempts <= most,
        Bar::Overload { goodput: part, waits } => {
            let goodput = outcome.goodput.is_some_and(|(last, peak)| last >= peak * part);
            goodput && tally.p99 <= times(waits)
        }
        Bar::Others { waits, good } => {
            tally.failed.is_empty() && (tally.p99 <= times(waits) || tally.p99 < good)
        }
    }
}

fn words(bar: Bar) -> String {
    match bar {
        Bar::None => "none".to_owned(),
        Bar::NoError => "no error".to_owned(),
        Bar::Recovery => format!("right again within {}", ms(RECOVERY_MAX)),
        Bar::Storm(most) => format!("at most {most} attempts a request"),
        Bar::Overload { goodput, waits } => format!(
            "{:.0} % of the peak, and p99 at most {waits}x of that at 70 %",
            goodput * 100.0
        ),
        Bar::Others { waits, good } => {
            format!("no error, and p99 of others at most {waits}x or below {}", ms(good))
        }
    }
}

fn ms(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.1} s"),
        seconds => format!("{:.1} ms", seconds * 1e3),
    }
}

pub(crate) fn markdown(command: &str, versions: &[String], rows: &[Row]) -> String {
    let mut text = format!("`{command}`: {}\n\n", versions.join(", "));
    text.push_str(&short(rows));
    text.push_str("\nEach run in full:\n\n");
    text.push_str(
        "| fault | proxy | requests | failed | p50 | p99 | longest | attempts | went wrong for | \
         bar |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let Outcome { tally, attempts, recovered, quiet, goodput } = &row.outcome;
        let p99 = match quiet {
            Some(quiet) => format!("{} ({} before)", ms(tally.p99), ms(quiet.p99)),
            None => ms(tally.p99),
        };
        let failed = tally.failed.iter().map(|(word, count)| format!("{count} {word}"));
        let failed: Vec<_> = failed.collect();
        let bar = row.verdict().map_or("", |met| if met { "met" } else { "**missed**" });
        let attempts = match goodput {
            Some((last, peak)) => format!("{last:.0} of {peak:.0} good a second"),
            None if *attempts == 0.0 => String::new(),
            None => format!("{attempts:.2}"),
        };
        let line = [
            row.fault.name().to_owned(),
            row.contestant.name(),
            tally.requests.to_string(),
            if failed.is_empty() { "0".to_owned() } else { failed.join(", ") },
            ms(tally.p50),
            p99,
            ms(tally.longest),
            attempts,
            if quiet.is_some() { String::new() } else { ms(*recovered) },
            bar.to_owned(),
        ];
        _ = writeln!(text, "| {} |", line.join(" | "));
    }
    text
}

/// One line for each fault: how many failed, and the longest wait or what else counts.
fn short(rows: &[Row]) -> String {
    let mut contestants: Vec<Contestant> = Vec::new();
    let mut faults: Vec<Fault> = Vec::new();
    for row in rows {
        if !contestants.contains(&row.contestant) {
            contestants.push(row.contestant);
        }
        if !faults.contains(&row.fault) {
            faults.push(row.fault);
        }
    }
    let names: Vec<_> = contestants.iter().map(|one| one.name()).collect();
    let mut text = format!("| fault | {} | bar |\n", names.join(" | "));
    _ = writeln!(text, "|---|{}---|", "---|".repeat(names.len()));
    for fault in faults {
        let bars: Vec<_> = fault.bars().iter().map(|bar| words(*bar)).collect();
        let cells: Vec<_> = contestants
            .iter()
            .map(|one| rows.iter().find(|row| row.fault == fault && row.contestant == *one))
            .map(|row| row.map_or_else(|| "n/a".to_owned(), cell))
            .collect();
        let bars = bars.join("; ").replace("none", "");
        _ = writeln!(text, "| {} | {} | {bars} |", fault.title(), cells.join(" | "));
    }
    text
}

fn cell(row: &Row) -> String {
    let Outcome { tally, attempts, quiet, goodput, .. } = &row.outcome;
    let failed: usize = tally.failed.values().sum();
    let what = match (goodput, quiet, row.fault) {
        (Some((last, peak)), Some(quiet), _) => format!(
            "{:.0} % of the peak, p99 {} ({})",
            last / peak.max(1.0) * 100.0,
            ms(tally.p99),
            ms(quiet.p99)
        ),
        (_, Some(quiet), _) => {
            format!("{failed} failed, p99 {} ({})", ms(tally.p99), ms(quiet.p99))
        }
        (_, _, Fault::Storm) => format!("{failed} failed, {attempts:.2} attempts"),
        _ => format!("{failed} failed, p99 {}, longest {}", ms(tally.p99), ms(tally.longest)),
    };
    match row.verdict() {
        Some(false) => format!("{what} ✗"),
        _ => what,
    }
}

/// What ours has missed, for who runs it.
pub(crate) fn misses(rows: &[Row]) -> Vec<String> {
    let ours = rows.iter().filter(|row| row.contestant.kind == Contender::Ours);
    let line = |row: &Row| {
        let misses = row.misses();
        let name = format!("{}, {}", row.fault.name(), row.contestant.name());
        (!misses.is_empty()).then(|| format!("{name}: {}", misses.join("; ")))
    };
    ours.filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::clients::Tally;
    use super::*;

    fn row(fault: Fault, outcome: Outcome) -> Row {
        Row { fault, contestant: Contestant { kind: Contender::Ours, is_tuned: true }, outcome }
    }

    fn waits(ms: u64) -> Tally {
        Tally { p99: Duration::from_millis(ms), ..Tally::default() }
    }

    #[test]
    fn bars_are_met_or_missed() {
        let good = Outcome::default();
        assert_eq!(row(Fault::Kill, good.clone()).verdict(), Some(true));
        assert_eq!(row(Fault::Slow, good.clone()).verdict(), None);
        let mut failed = good.clone();
        failed.tally.failed.insert("503".to_owned(), 1);
        assert_eq!(row(Fault::Kill, failed).verdict(), Some(false));
        let late = Outcome { recovered: Duration::from_secs(4), ..good.clone() };
        assert_eq!(row(Fault::Silent, late.clone()).verdict(), Some(false));
        assert_eq!(misses(&[row(Fault::Silent, late)]).len(), 1);
        let storm = Outcome { attempts: 1.3, ..good };
        assert_eq!(row(Fault::Storm, storm).verdict(), Some(false));
    }

    #[test]
    fn waits_are_compared_with_those_without_the_fault() {
        let outcome = |quiet, now, goodput| Outcome {
            tally: waits(now),
            quiet: Some(waits(quiet)),
            goodput,
            ..Outcome::default()
        };
        assert_eq!(row(Fault::SlowHeads, outcome(10, 15, None)).verdict(), Some(true));
        assert_eq!(row(Fault::SlowHeads, outcome(10, 16, None)).verdict(), Some(false));
        assert_eq!(row(Fault::SlowHeads, outcome(1, 4, None)).verdict(), Some(true));
        let limited = |now, last| outcome(20, now, Some((last, 1000.0)));
        assert_eq!(row(Fault::Overload, limited(40, 950.0)).verdict(), Some(true));
        assert_eq!(row(Fault::Overload, limited(41, 950.0)).verdict(), Some(false));
        assert_eq!(row(Fault::Overload, limited(40, 949.0)).verdict(), Some(false));
    }

    #[test]
    fn the_table_has_a_line_for_each_fault() {
        let rows = [row(Fault::Kill, Outcome::default()), row(Fault::Slow, Outcome::default())];
        let text = short(&rows);
        assert_eq!(text.lines().count(), 4);
        assert!(
            text.contains("| one of three is killed | 0 failed, p99 0.0 ms, longest 0.0 ms |"),
            "{text}"
        );
    }
}
