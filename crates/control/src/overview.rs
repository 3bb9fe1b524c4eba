//! The state of the process as tables for people, for `fairwater status`.

use crate::overload::Resource;
use fairwater_plan::BreakerState;

use crate::status::{EndpointStatus, Status};

/// Addresses of one name that fit into a line.
const FOUND_SHOWN: usize = 3;

pub(crate) fn render(status: &Status<'_>) -> String {
    let mut out = format!(
        "fairwater {}, process {}, up {}\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        shown_s(status.uptime_s)
    );
    if !status.overload.usages().is_empty() {
        resources(status).write(&mut out);
    }
    listeners(status).write(&mut out);
    endpoints(status).write(&mut out);
    if !status.names.is_empty() {
        names(status).write(&mut out);
    }
    if !status.apps.is_empty() {
        apps(status).write(&mut out);
    }
    let mut threads = Table::new(&["THREAD", ">CONNECTIONS"]);
    for (index, connections) in status.threads.iter().enumerate() {
        threads.add([index.to_string(), connections.to_string()]);
    }
    threads.write(&mut out);
    out
}

fn resources(status: &Status<'_>) -> Table {
    let mut table = Table::new(&["RESOURCE", ">IN USE", ">WATERMARK", "LEVEL"]);
    let seen = status.overload;
    for (index, (resource, usage)) in seen.usages().iter().enumerate() {
        let shown = |count: u64| match resource {
            Resource::Memory => format!("{} MiB", count >> 20),
            _ => count.to_string(),
        };
        table.add([
            resource.word().to_owned(),
            shown(usage.used),
            shown(usage.watermark),
            if index == 0 { seen.level().meaning().to_owned() } else { String::new() },
        ]);
    }
    table
}

fn listeners(status: &Status<'_>) -> Table {
    let columns = ["LISTENER", "PROTOCOL", "ADDRESS", ">CONNECTIONS", ">TOTAL", ">REQUESTS"];
    let mut table = Table::new(&columns);
    for listener in &status.listeners {
        let mut addresses = listener.addresses.iter();
        table.add([
            listener.name.clone(),
            listener.protocol.to_owned(),
            addresses.next().map_or(String::new(), ToString::to_string),
            listener.connections.to_string(),
            listener.connections_total.to_string(),
            listener.requests_total.to_string(),
        ]);
        for address in addresses {
            table.add([String::new(), String::new(), (*address).to_owned()]);
        }
    }
    table
}

fn endpoints(status: &Status<'_>) -> Table {
    let mut table = Table::new(&[
        "UPSTREAM",
        "ENDPOINT",
        "STATE",
        ">WEIGHT",
        ">IN FLIGHT",
        ">CONNECTIONS",
        ">IDLE",
        ">ATTEMPTS",
        ">FAILURES",
        "",
    ]);
    for upstream in &status.upstreams {
        if upstream.endpoints.is_empty() {
            table.add([upstream.name.to_owned(), "none".to_owned()]);
        }
        for (index, endpoint) in upstream.endpoints.iter().enumerate() {
            let name = if index == 0 { upstream.name } else { "" };
            table.add([
                name.to_owned(),
                endpoint.member.identity.clone(),
                endpoint.word().to_owned(),
                endpoint.member.weight.to_string(),
                endpoint.in_flight.to_string(),
                endpoint.connections.to_string(),
                endpoint.connections_idle.to_string(),
                endpoint.attempts_total.to_string(),
                endpoint.failures_total.to_string(),
                note(endpoint),
            ]);
        }
    }
    table
}

/// An endpoint a line, with the reason why it gets requests or none.
/// Before them what holds for all of them.
pub(crate) fn candidates(
    endpoints: &[EndpointStatus<'_>],
    circuit: BreakerState,
    waiting: usize,
) -> String {
    let circuit = match circuit {
        BreakerState::Closed => "",
        BreakerState::Open { .. } => {
            "(all) the circuit breaker is open: requests get 503 at once\n"
        }
        BreakerState::Trying { .. } => {
            "(all) the circuit breaker lets a request through now and then, others get 503\n"
        }
    };
    let queue = match waiting {
        0 => String::new(),
        _ => format!("(all) {waiting} requests wait for room\n"),
    };
    let line = |one: &EndpointStatus<'_>| format!("{} {}\n", one.member.identity, one.health.why);
    [circuit.to_owned(), queue].into_iter().chain(endpoints.iter().map(line)).collect()
}

/// What people should know of it.
fn note(endpoint: &EndpointStatus<'_>) -> String {
    let health = match (endpoint.health.check, &endpoint.health.problem) {
        (Some(check), Some(problem)) => format!("check {check}: {problem}"),
        _ => String::new(),
    };
    let advice = match &endpoint.health.advice {
        Some(advice) => format!("asks for {advice}"),
        None => String::new(),
    };
    let words = match &endpoint.health.unknown_words {
        Some(words) => format!("says `{words}`, which is not understood"),
        None => String::new(),
    };
    let parts = [changed(endpoint).to_owned(), health, advice, words];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("; ")
}

fn changed(endpoint: &EndpointStatus<'_>) -> &'static str {
    match (endpoint.member.is_added, endpoint.change) {
        (_, None) => "",
        (true, Some("kept")) => "added, to stay",
        (true, Some(_)) => "added until the next reload",
        (false, Some("kept")) => "changed, to stay",
        (false, Some(_)) => "changed until the next reload",
    }
}

fn names(status: &Status<'_>) -> Table {
    let mut table = Table::new(&["NAME", "STATE", "FOUND", ">AGE", ">NEXT", "PROBLEM"]);
    for name in &status.names {
        let mut found = name.found.iter().take(FOUND_SHOWN).cloned().collect::<Vec<_>>().join(" ");
        if name.found.len() > FOUND_SHOWN {
            found.push_str(&format!(" and {} more", name.found.len() - FOUND_SHOWN));
        }
        table.add([
            name.question.to_string(),
            name.state.to_owned(),
            found,
            name.age_s.map_or_else(|| "never".to_owned(), shown_s),
            shown_s(name.next_s),
            name.problem.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn apps(status: &Status<'_>) -> Table {
    let columns = ["APP", ">INSTANCE", "STATE", ">PROCESS", ">RESTARTS", "PROBLEM"];
    let mut table = Table::new(&columns);
    for app in &status.apps {
        for (index, place) in app.places.iter().enumerate() {
            let process = match place.process_id {
                0 => "none".to_owned(),
                id => id.to_string(),
            };
            table.add([
                if index == 0 { app.name.clone() } else { String::new() },
                index.to_string(),
                place.condition.word().to_owned(),
                process,
                place.restarts.to_string(),
                place.problem.clone(),
            ]);
        }
    }
    table
}

/// A time in its two largest units.
fn shown_s(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// Columns side by side.
struct Table {
    /// Whether it is one of numbers, which end at one line.
    is_right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A `>` before the name of a column means numbers.
    fn new(columns: &[&str]) -> Self {
        let is_right = columns.iter().map(|name| name.starts_with('>')).collect();
        let heads = columns.iter().map(|name| name.trim_start_matches('>').to_owned()).collect();
        Self { is_right, rows: vec![heads] }
    }

    fn add<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    fn write(&self, out: &mut String) {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.is_right.len()).map(width).collect();
        out.push('\n');
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = widths[column];
                match self.is_right[column] {
                    true => line.push_str(&format!("{cell:>width$}  ")),
                    false => line.push_str(&format!("{cell:<width$}  ")),
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_in_line() {
        let mut table = Table::new(&["NAME", ">COUNT", ""]);
        table.add(["a".to_owned(), "1000000".to_owned(), String::new()]);
        table.add(["längere".to_owned(), "1".to_owned(), "note".to_owned()]);
        table.add(["b".to_owned()]);
        let mut out = String::new();
        table.write(&mut out);
        let expected = "\nNAME       COUNT\na        1000000\nlängere        1  note\nb\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn times_have_two_units() {
        let shown = [59, 60, 3599, 3600, 86_399, 90_000].map(shown_s);
        let expected = ["59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "23 h 59 min", "1 d 1 h"];
        assert_eq!(shown, expected);
    }
}
