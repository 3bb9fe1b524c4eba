//! The table at the end of a soak, and the checks of its totals.

use std::fmt::Write as _;

use super::Found;
use super::judge::{CAUSELESS, Counts, EARLY, HUNG, LINES, UNJUST, UNJUST_503, Violations, WRONG};
use super::memory::JUDGED_SECONDS_MIN;
use super::options::Options;
use super::proxy::THREADS;
use super::records::Log;
use super::timeline::Timeline;

/// Pipes that a thread of the proxy keeps, with two descriptors each.
const PIPES_KEPT: usize = 32;
const SLOPE_MIB_MAX: f64 = 1.0;
const GROWTH_MAX: f64 = 1.2;

pub(super) struct Report<'a> {
    pub(super) options: &'a Options,
    pub(super) counts: Counts,
    pub(super) log: &'a Log,
    pub(super) found: Found,
    pub(super) timeline: &'a Timeline,
}

impl Report<'_> {
    /// What must hold of the run as a whole.
    pub(super) fn check(&self, violations: &mut Violations) {
        let Self { found, log, counts, .. } = self;
        let logged = log.lines + found.dropped;
        let seen = counts.seen + log.broken_heads;
        let numbers = format!("{seen} seen, {logged} logged, {} counted", found.requests);
        let is_equal = seen == logged && logged == found.requests;
        violations.require(is_equal, "requests, log lines and counters differ", numbers);
        if found.dropped == 0 {
            let both = format!("{:?} in the log, {:?} counted", log.by_status, found.by_status);
            let what = "statuses of log and counters differ";
            violations.require(log.by_status == found.by_status, what, both);
        }
        violations.require(found.panics == 0, "panics", found.panics);
        for (name, value) in &found.gauges {
            violations.require(*value == 0, "gauges that stay", format!("{name} {value}"));
        }
        let is_same = found.after.sockets <= found.before.sockets
            && found.after.others <= found.before.others
            && found.after.pipes <= found.before.pipes + 2 * PIPES_KEPT * THREADS;
        let both = format!("{:?}, {:?}", found.before, found.after);
        violations.require(is_same, "descriptors that stay", both);
        if let Some(memory) = found.memory {
            let is_flat = memory.end_mib <= GROWTH_MAX * memory.warm_mib
                && (self.options.seconds < JUDGED_SECONDS_MIN
                    || memory.mib_per_ten_minutes < SLOPE_MIB_MAX);
            violations.require(is_flat, "memory grows", format!("{memory:?}"));
        }
    }

    pub(super) fn markdown(&self, violations: &Violations) -> String {
        let Self { options, counts, found, timeline, .. } = self;
        let mut table = Table::default();
        let rate = found.requests / options.seconds.max(1);
        table.row("requests and TCP sessions", format!("{} ({rate}/s)", found.requests), "");
        table.row("body MiB back, each byte compared", counts.body_bytes >> 20, "");
        for ((kind, class), count) in &counts.classes {
            table.row(&format!("- {kind} {class}"), count, "");
        }
        let faults = format!("{} / {}", timeline.deaths(), timeline.stops);
        table.row("endpoints killed / stopped", faults, "");
        for what in [WRONG, HUNG, UNJUST, UNJUST_503, EARLY, CAUSELESS, LINES] {
            table.row(what, violations.count(what), "0");
        }
        table.row("GET, HEAD failed, no endpoint ran throughout", counts.just_failures, "");
        table.row("GET, HEAD whose endpoint died within its head", counts.cut_heads, "");
        table.row("POST lost to an endpoint that closed", counts.lost_posts, "");
        let seen = counts.seen + self.log.broken_heads;
        let accounts = format!("{seen} / {} / {}", self.log.lines, found.requests);
        table.row("requests: client / log / counters", accounts, "equal");
        table.row("log lines dropped", found.dropped, "");
        table.row("aborted or reset before the proxy saw them", counts.unseen, "");
        table.row("aborted within a head", self.log.broken_heads, "");
        self.resources(&mut table);
        let verdict = if violations.is_empty() { "holds" } else { "VIOLATED" };
        let Options { seed, seconds, clients, .. } = options;
        format!("Soak of {seconds} s, seed {seed}, {clients} clients: {verdict}\n\n{}", table.0)
    }

    fn resources(&self, table: &mut Table) {
        let found = &self.found;
        if let Some(memory) = found.memory {
            let levels =
                format!("{:.1} / {:.1} / {:.1}", memory.warm_mib, memory.peak_mib, memory.end_mib);
            table.row("own memory in MiB, warm / peak / end", levels, "end <= 1.2 x warm");
            let demand = match self.options.seconds < JUDGED_SECONDS_MIN {
                true => "not judged, too short",
                false => "< 1",
            };
            let slope = format!("{:+.2}", memory.mib_per_ten_minutes);
            table.row("its slope, MiB per 10 min", slope, demand);
        }
        let (before, after) = (found.before, found.after);
        let sockets = format!("{} / {}", before.sockets, after.sockets);
        table.row("sockets at start / end", sockets, "equal");
        let demand = format!("<= {}", before.pipes + 2 * PIPES_KEPT * THREADS);
        table.row("pipe ends at the end", after.pipes, &demand);
        for (name, value) in &found.gauges {
            table.row(name, value, "0");
        }
        table.row("fairwater_panics_total", found.panics, "0");
    }
}

struct Table(String);

impl Default for Table {
    fn default() -> Self {
        Self("| what | value | demanded |\n|---|---:|---|\n".to_owned())
    }
}

impl Table {
    fn row(&mut self, what: &str, value: impl ToString, demand: &str) {
        // Writing to a String cannot fail.
        writeln!(self.0, "| {what} | {} | {demand} |", value.to_string()).ok();
    }
}
