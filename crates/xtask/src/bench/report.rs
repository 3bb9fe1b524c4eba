//! The result as Markdown, for the terminal and for docs/benchmarks.md alike.

use std::fs;
use std::process::Command;

use super::cases::{Case, GoalKind};
use super::contender::Contender;
use super::measure::Sample;
use super::series::{Lane, Series, Verdict};
use super::statistics::Spread;
use super::{haproxy, nginx};

/// What a result is worth nothing without.
pub(crate) struct Surroundings {
    pub(crate) command: String,
    pub(crate) rounds: usize,
    pub(crate) ours_present: bool,
}

/// Machine time is per request too; the shares are of the proxy's CPU time (waited) and of the
/// machine's time (foreign, stolen).
const DETAIL_HEADING: &str = "
| row | per ... | contender | whole machine, µs | waited | foreign | stolen | wrong |
|---|---|---|---|---|---|---|---|
";

pub(crate) fn markdown(surroundings: &Surroundings, all: &[Series]) -> String {
    let mut text = surroundings.markdown();
    text.push_str(
        "\n| row | per ... | unit | ours | nginx | HAProxy | ours / better | A/A | bar | |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    all.iter().for_each(|series| text.push_str(&main_line(series)));
    text.push_str(
        "\nMedians, with the lowest and highest round in brackets. A/A is a contender measured \
         against itself.\n",
    );
    let lanes = all.iter().flat_map(|series| series.lanes.iter().map(|lane| (&series.case, lane)));
    let details: String = lanes.clone().map(|(case, lane)| detail_line(case, lane)).collect();
    if !details.is_empty() {
        text.push_str(DETAIL_HEADING);
        text.push_str(&details);
    }
    for (case, lane) in lanes {
        if let Some(note) = lane.samples.iter().find_map(|sample| sample.note.as_ref()) {
            let label = format!("{}, {}, {}", case.row.name(), case.title, lane.name());
            text.push_str(&format!("\n- {label}: {note}"));
        }
    }
    text.trim_end().to_owned() + "\n"
}

impl Surroundings {
    fn markdown(&self) -> String {
        let ours = match self.ours_present {
            true => first_line("git", &["describe", "--always", "--dirty"]),
            false => "absent".to_owned(),
        };
        let nginx = first_line(nginx::PROGRAM, &["-v"]);
        let haproxy = first_line(haproxy::PROGRAM, &["-v"]);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
        format!(
            "`{}`, {} rounds\n\n- ours: {ours}\n- nginx: {}\n- HAProxy: {}\n- Linux {}, {count} x {}\n",
            self.command,
            self.rounds,
            nginx.trim_start_matches("nginx version: "),
            haproxy.trim_start_matches("HAProxy version "),
            kernel.trim_end(),
            model.map_or("unknown", |(_, name)| name),
        )
    }
}

/// The first line that a program prints, on either of its outputs.
fn first_line(program: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else {
        return "absent".to_owned();
    };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
}

fn main_line(series: &Series) -> String {
    let case = &series.case;
    let cell = |contender| {
        let spread = series.lane(contender).and_then(Lane::spread);
        spread_cell(spread, case.meter.decimals())
    };
    let ratio = match (series.ratio(), series.rival()) {
        (Some(ratio), Some(rival)) => {
            format!("{}, {}", spread_cell(Some(ratio), 2), rival.contender.name())
        }
        _ => "n/a".to_owned(),
    };
    format!(
        "| {} | {} | {} | {} | {} | {} | {ratio} | {} | {} | {} |\n",
        case.row.name(),
        case.title,
        case.meter.unit(),
        cell(Contender::Ours),
        cell(Contender::Nginx),
        cell(Contender::Haproxy),
        spread_cell(series.control_ratio(), 3),
        bar_cell(case),
        verdict_cell(series.verdict()),
    )
}

/// What surrounded the CPU times; of mere counts there is only to say which are void.
fn detail_line(case: &Case, lane: &Lane) -> String {
    let median = |of: fn(&Sample) -> f64| {
        let values: Vec<f64> = lane.samples.iter().map(of).collect();
        Spread::of(&values).map_or(0.0, |spread| spread.median)
    };
    let wrong: u64 = lane.samples.iter().map(|sample| sample.wrong).sum();
    let fault = lane.samples.iter().find_map(|sample| sample.fault.as_deref());
    let wrong = fault.map_or(wrong.to_string(), |fault| format!("{wrong}: {fault}"));
    let label = format!("{} | {} | {}", case.row.name(), case.title, lane.name());
    if !case.meter.is_noisy() {
        let is_void = fault.is_some();
        return if is_void { format!("| {label} | | | | | {wrong} |\n") } else { String::new() };
    }
    let disturbed = match lane.disturbed() {
        0 => String::new(),
        count => format!(" ({count} rounds disturbed)"),
    };
    format!(
        "| {label} | {:.1} | {:.1} % | {:.1} %{disturbed} | {:.2} % | {wrong} |\n",
        median(|sample| sample.passed.machine_ns / 1e3 / sample.requests),
        median(|sample| 100.0 * sample.passed.waited()),
        median(|sample| 100.0 * sample.passed.foreign()),
        median(|sample| 100.0 * sample.passed.stolen()),
    )
}

fn spread_cell(spread: Option<Spread>, decimals: usize) -> String {
    spread.map_or("n/a".to_owned(), |Spread { median, low, high }| {
        format!("{median:.decimals$} ({low:.decimals$}-{high:.decimals$})")
    })
}

fn bar_cell(case: &Case) -> String {
    let Some(goal) = case.goal else { return String::new() };
    let (sign, times) = match goal.kind {
        GoalKind::RatioAtMost => ("<=", "x"),
        GoalKind::RatioToHaproxyAtMost => ("<=", "x HAProxy"),
        GoalKind::RatioAtLeast => (">=", "x"),
        GoalKind::ValueAtMost => ("<=", ""),
    };
    let beyond = goal.beyond.map_or(String::new(), |beyond| format!(", beyond {beyond}{times}"));
    format!("{sign} {}{times}{beyond}", goal.bar)
}

fn verdict_cell(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Beyond => "beyond",
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::Failed => "WRONG REPLIES",
        Verdict::Unknown => "",
    }
}
