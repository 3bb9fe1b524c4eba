//! The state of the process as JSON, for `GET /status`.

use fairwater_net::clock;
use fairwater_plan::{Listener, Protocol, Upstream};

use crate::Sources;
use crate::metrics::sum;

/// Renders the status.
pub(crate) fn render(sources: &Sources) -> String {
    let uptime_ms = clock::coarse_ms().saturating_sub(sources.started_ms);
    let plan = sources.plan.get();
    let listeners: Vec<_> =
        plan.listeners.iter().enumerate().map(|(i, one)| listener(sources, i, one)).collect();
    let upstreams: Vec<_> = plan.upstreams.iter().map(|one| upstream(sources, one)).collect();
    let threads: Vec<_> = sources
        .counters
        .iter()
        .map(|thread| {
            let active: u64 = thread.listeners.iter().map(|l| l.active.get()).sum();
            format!("{{\"connections\":{active}}}")
        })
        .collect();
    format!(
        "{{\"version\":{},\"process_id\":{},\"uptime_seconds\":{},\"threads\":[{}],\
         \"listeners\":[{}],\"upstreams\":[{}]}}\n",
        text(env!("CARGO_PKG_VERSION")),
        std::process::id(),
        uptime_ms / 1000,
        threads.join(","),
        listeners.join(","),
        upstreams.join(","),
    )
}

fn listener(sources: &Sources, index: usize, listener: &Listener) -> String {
    let protocol = match listener.protocol {
        Protocol::Http(_) => "http",
        Protocol::Tcp { .. } => "tcp",
    };
    let addresses: Vec<_> = sources
        .bound
        .iter()
        .filter(|(name, _)| *name == listener.name)
        .map(|(_, address)| text(address))
        .collect();
    let requests = sum(sources, |thread| {
        thread.listeners[index].requests.iter().map(|count| count.get()).sum()
    });
    format!(
        "{{\"name\":{},\"protocol\":\"{protocol}\",\"addresses\":[{}],\"connections\":{},\
         \"connections_total\":{},\"requests_total\":{requests}}}",
        text(&listener.name),
        addresses.join(","),
        sum(sources, |thread| thread.listeners[index].active.get()),
        sum(sources, |thread| thread.listeners[index].connections.get()),
    )
}

fn upstream(sources: &Sources, upstream: &Upstream) -> String {
    let endpoints: Vec<_> = upstream
        .endpoints
        .iter()
        .map(|endpoint| {
            let slot = endpoint.slot;
            format!(
                "{{\"address\":{},\"weight\":{},\"in_flight\":{},\"attempts_total\":{},\
                 \"connect_failures_total\":{},\"connections\":{},\"connections_idle\":{}}}",
                text(&endpoint.identity),
                endpoint.weight,
                endpoint.state.in_flight(),
                sum(sources, |thread| thread.endpoints[slot].attempts.get()),
                sum(sources, |thread| thread.endpoints[slot].connect_failures.get()),
                sum(sources, |thread| thread.endpoints[slot].open.get()),
                sum(sources, |thread| thread.endpoints[slot].idle.get()),
            )
        })
        .collect();
    format!(
        "{{\"name\":{},\"connections\":{},\"endpoints\":[{}]}}",
        text(&upstream.settings.name),
        upstream.admission().open(),
        endpoints.join(","),
    )
}

/// A JSON string.
fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..='\x1f' | '\x7f' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn strings_are_escaped() {
        assert_eq!(super::text("a\"b\\c\n"), r#""a\"b\\c\u000a""#);
    }
}
