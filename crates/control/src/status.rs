//! The state of the process as JSON, for `GET /status`.

use std::collections::HashMap;

use fairwater_net::clock;
use fairwater_plan::{Listener, Plan, Protocol, Upstream};

use crate::dns::{Answer, Question};
use crate::json::{list, object, text};
use crate::metrics::sum;
use crate::names::Known;
use crate::roster::Member;
use crate::{Sources, Steward};

/// Renders the status.
pub(crate) fn render(steward: &Steward, sources: &Sources) -> String {
    let now_ms = clock::coarse_ms();
    let plan = sources.plan.get();
    let threads = sources.counters.iter().map(|thread| {
        let active: u64 = thread.listeners.iter().map(|l| l.active.get()).sum();
        object(&[("connections", active.to_string())])
    });
    let listeners = plan.listeners.iter().enumerate();
    let status = object(&[
        ("version", text(env!("CARGO_PKG_VERSION"))),
        ("process_id", std::process::id().to_string()),
        ("uptime_seconds", (now_ms.saturating_sub(sources.started_ms) / 1000).to_string()),
        ("threads", list(threads)),
        ("listeners", list(listeners.map(|(index, one)| listener(sources, index, one)))),
        ("upstreams", list(upstreams(steward, sources, &plan))),
        (
            "names",
            list(steward.names.iter().map(|(question, known)| name(question, known, now_ms))),
        ),
    ]);
    format!("{status}\n")
}

fn listener(sources: &Sources, index: usize, listener: &Listener) -> String {
    let protocol = match listener.protocol {
        Protocol::Http(_) => "http",
        Protocol::Tcp { .. } => "tcp",
    };
    let addresses = sources.bound.iter().filter(|(name, _)| *name == listener.name);
    let of_listener = |read: fn(&fairwater_telemetry::ListenerCounters) -> u64| {
        sum(sources, |thread| read(&thread.listeners[index])).to_string()
    };
    object(&[
        ("name", text(&listener.name)),
        ("protocol", text(protocol)),
        ("addresses", list(addresses.map(|(_, address)| text(address)))),
        ("connections", of_listener(|listener| listener.active.get())),
        ("connections_total", of_listener(|listener| listener.connections.get())),
        ("requests_total", of_listener(|l| l.requests.iter().map(|count| count.get()).sum())),
    ])
}

fn upstreams(steward: &Steward, sources: &Sources, plan: &Plan) -> Vec<String> {
    let both = plan.upstreams.iter().zip(&steward.roster.0);
    both.map(|(one, members)| {
        object(&[
            ("name", text(&one.settings.name)),
            ("connections", one.admission().open().to_string()),
            ("endpoints", endpoints(sources, one, members.iter())),
        ])
    })
    .collect()
}

/// Endpoints of an upstream, as a list.
pub(crate) fn endpoints<'a>(
    sources: &Sources,
    upstream: &Upstream,
    members: impl Iterator<Item = &'a Member>,
) -> String {
    let states: HashMap<&str, _> =
        upstream.known().map(|endpoint| (endpoint.identity.as_str(), &endpoint.state)).collect();
    let endpoint = |member: &Member| {
        let state = states.get(member.identity.as_str());
        let count = |read: fn(&fairwater_telemetry::EndpointCounters) -> u64| {
            let slot = state.map(|state| state.slot());
            let total = slot.map(|slot| sum(sources, |thread| read(&thread.endpoints[slot])));
            total.unwrap_or(0).to_string()
        };
        object(&[
            ("address", text(&member.identity)),
            ("state", text(member.standing.word())),
            ("weight", member.weight.to_string()),
            ("is_added", member.is_added.to_string()),
            ("in_flight", state.map_or(0, |state| state.in_flight()).to_string()),
            ("attempts_total", count(|endpoint| endpoint.attempts.get())),
            ("connect_failures_total", count(|endpoint| endpoint.connect_failures.get())),
            ("connections", count(|endpoint| endpoint.open.get())),
            ("connections_idle", count(|endpoint| endpoint.idle.get())),
        ])
    };
    list(members.map(endpoint))
}

fn name(question: &Question, known: &Known, now_ms: u64) -> String {
    let or_null = |value: Option<String>| value.unwrap_or_else(|| "null".to_owned());
    let state = match (known.answer(), known.problem()) {
        (Some(_), None) => "good",
        // The last good answer is in use.
        (Some(_), Some(_)) => "stale",
        (None, _) => "unresolved",
    };
    let found = match known.answer() {
        Some(Answer::Host(addresses)) => addresses.iter().map(text).collect(),
        Some(Answer::Service(targets)) => targets
            .iter()
            .map(|target| text(format_args!("{}:{}", target.host, target.port)))
            .collect(),
        None => Vec::new(),
    };
    let age_s = known.answered_ms().map(|at_ms| now_ms.saturating_sub(at_ms) / 1000);
    object(&[
        ("name", text(question)),
        ("state", text(state)),
        ("found", list(found)),
        ("answered_seconds_ago", or_null(age_s.map(|age_s| age_s.to_string()))),
        ("next_in_seconds", (known.due_ms().saturating_sub(now_ms) / 1000).to_string()),
        ("problem", or_null(known.problem().map(text))),
    ])
}
