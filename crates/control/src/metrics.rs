//! The counters in Prometheus' text format (version 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use fairwater_message::FaultKind;
use fairwater_message::app::{AppPlace, AppState, Condition, Exit};
use fairwater_message::tally::Tally;
use fairwater_net::clock;
use fairwater_plan::{BreakerState, Limit, Listener, Plan, Protocol, Upstream, Usage};
use fairwater_telemetry::{
    Count, Counters, DatagramCounters, Dropped, EndpointCounters, ListenerCounters,
    SESSION_OUTCOMES, STATUS_CLASSES,
};

use crate::Sources;
use crate::health::{Health, Known};
use crate::overload::Seen;

/// Renders all metrics.
pub(crate) fn render<'a>(
    (sources, health, overloaded): (&Sources, &Health, &Seen),
    apps: impl Iterator<Item = &'a AppState>,
) -> String {
    let mut text = Text(String::new());
    let uptime_ms = clock::coarse_ms().saturating_sub(sources.started_ms);
    text.family("fairwater_uptime_seconds", "Time since the start.");
    text.line("fairwater_uptime_seconds", &[], &format!("{:.3}", uptime_ms as f64 / 1000.0));
    text.single(
        "fairwater_allocations_total",
        "Heap allocations of the process.",
        (sources.allocations)(),
    );
    let total = |read: fn(&Counters) -> &Count| -> u64 {
        sources.counters.iter().map(|thread| read(thread).get()).sum()
    };
    text.single(
        "fairwater_panics_total",
        "Connections that ended with a panic.",
        total(|thread| &thread.panics),
    );
    text.single(
        "fairwater_accept_failures_total",
        "Accepts that failed for want of descriptors or memory.",
        total(|thread| &thread.accept_failures),
    );
    overload(&mut text, overloaded, [total(|t| &t.shed_clients), total(|t| &t.shed_endpoints)]);
    let dropped = total(|thread| &thread.log_dropped) + sources.log_lost.load(Ordering::Relaxed);
    text.single(
        "fairwater_log_lines_total",
        "Access-log lines made.",
        total(|thread| &thread.log_lines),
    );
    text.single("fairwater_log_dropped_total", "Access-log lines that were lost.", dropped);
    master(&mut text, *sources.tally.lock().unwrap_or_else(PoisonError::into_inner));
    let plan = sources.plan.get();
    listeners(&mut text, sources, &plan);
    datagrams(&mut text, sources, &plan);
    certificates(&mut text, &plan);
    upstreams(&mut text, &plan);
    limits(&mut text, &plan);
    endpoints(&mut text, sources, &plan);
    self::health(&mut text, health, &plan);
    self::apps(&mut text, &apps.collect::<Vec<_>>());
    text.0
}

fn overload(text: &mut Text, seen: &Seen, [clients, endpoints]: [u64; 2]) {
    let name = "fairwater_overload_level";
    let help = "0 while all is served, up to 4 when new requests are refused.";
    text.family(name, help);
    text.line(name, &[], &(seen.level() as u8).to_string());
    for (name, help, read) in [
        ("fairwater_overload_used", "What is in use.", (|u| u.used) as fn(&Usage) -> u64),
        ("fairwater_overload_watermark", "Where load is shed from.", |u| u.watermark),
    ] {
        text.family(name, help);
        for (resource, usage) in seen.usages() {
            text.line(name, &[("resource", resource.word())], &read(usage).to_string());
        }
    }
    let name = "fairwater_overload_shed_total";
    text.family(name, "Idle connections that were closed to make room.");
    for (side, count) in [("client", clients), ("endpoint", endpoints)] {
        text.line(name, &[("side", side)], &count.to_string());
    }
}

fn master(text: &mut Text, tally: Tally) {
    let name = "fairwater_reloads_total";
    text.family(name, "Configurations after the first one, by what came of them.");
    let good = [("good", tally.reloads), ("bad", tally.reload_failures)];
    for (result, count) in good {
        text.line(name, &[("result", result)], &count.to_string());
    }
    let name = "fairwater_last_reload_good";
    text.family(name, "0 while the files are others than what is in force.");
    text.line(name, &[], if tally.is_last_bad { "0" } else { "1" });
    let help = "Workers that ended without being told to.";
    text.single("fairwater_workers_lost_total", help, tally.workers_lost);
}

fn listeners(text: &mut Text, sources: &Sources, plan: &Plan) {
    type Read = fn(&ListenerCounters) -> &Count;
    let families: [(&str, &str, Read); 5] = [
        ("fairwater_connections_total", "Connections accepted.", |l| &l.connections),
        (
            "fairwater_connections_refused_total",
            "Connections turned away at max_connections or max_connections_per_client.",
            |l| &l.refused,
        ),
        ("fairwater_connections_active", "Connections open.", |l| &l.active),
        ("fairwater_received_bytes_total", "Body bytes from clients.", |l| &l.bytes_in),
        ("fairwater_sent_bytes_total", "Body bytes to clients.", |l| &l.bytes_out),
    ];
    for (name, help, read) in families {
        text.family(name, help);
        for (index, listener) in listeners_there(plan) {
            let value = sum(sources, |thread| read(&thread.listeners[index]).get());
            text.line(name, &[("listener", &listener.name)], &value.to_string());
        }
    }
    let name = "fairwater_requests_total";
    text.family(name, "Requests by class of status; none: no status was sent.");
    for (index, listener) in listeners_there(plan) {
        for (class, label) in STATUS_CLASSES.iter().enumerate() {
            let value = sum(sources, |thread| thread.listeners[index].requests[class].get());
            text.line(name, &[("listener", &listener.name), ("status", label)], &value.to_string());
        }
    }
    let name = "fairwater_faults_total";
    text.family(name, "Exchanges that failed, by reason.");
    for (index, listener) in listeners_there(plan) {
        for &kind in FaultKind::ALL {
            let at = kind as usize;
            let value = sum(sources, |thread| thread.listeners[index].faults[at].get());
            if value > 0 {
                let labels = [("listener", listener.name.as_str()), ("reason", kind.reason())];
                text.line(name, &labels, &value.to_string());
            }
        }
    }
}

fn datagrams(text: &mut Text, sources: &Sources, plan: &Plan) {
    type Read = fn(&DatagramCounters) -> &Count;
    let of_udp =
        || listeners_there(plan).filter(|(_, one)| matches!(one.protocol, Protocol::Udp(_)));
    let families: [(&str, &str, Read); 2] = [
        ("fairwater_datagrams_received_total", "Datagrams from clients.", |d| &d.received),
        ("fairwater_datagrams_sent_total", "Datagrams to clients.", |d| &d.sent),
    ];
    for (name, help, read) in families {
        text.family(name, help);
        for (index, listener) in of_udp() {
            let value = sum(sources, |thread| read(&thread.listeners[index].datagrams).get());
            text.line(name, &[("listener", &listener.name)], &value.to_string());
        }
    }
    let name = "fairwater_datagrams_dropped_total";
    text.family(name, "Datagrams that went no further, by reason.");
    for (index, listener) in of_udp() {
        for reason in Dropped::ALL {
            let count = |thread: &Counters| {
                thread.listeners[index].datagrams.dropped[reason as usize].get()
            };
            let labels = [("listener", listener.name.as_str()), ("reason", reason.reason())];
            text.line(name, &labels, &sum(sources, count).to_string());
        }
    }
}

fn listeners_there(plan: &Plan) -> impl Iterator<Item = (usize, &Arc<Listener>)> {
    plan.listeners.iter().enumerate().filter(|(_, listener)| !listener.is_gone())
}

fn certificates(text: &mut Text, plan: &Plan) {
    let name = "fairwater_certificate_not_after_seconds";
    text.family(name, "When a certificate ends, in seconds since the epoch.");
    for (_, listener) in listeners_there(plan) {
        let ends = listener.tls.iter().flat_map(|server| server.ends());
        // Of those with one subject the first to end.
        let mut first = BTreeMap::new();
        for (subject, end) in ends {
            let known = first.entry(subject.as_str()).or_insert(*end);
            *known = (*known).min(*end);
        }
        for (subject, end) in first {
            let labels = [("listener", listener.name.as_str()), ("subject", subject)];
            text.line(name, &labels, &end.to_string());
        }
    }
}

fn limits(text: &mut Text, plan: &Plan) {
    type Read = fn(&Limit) -> u64;
    let families: [(&str, &str, Read); 4] = [
        (
            "fairwater_rate_limit_allowed_total",
            "Requests and connections that a rate limit has let in.",
            |limit| limit.tally().let_in,
        ),
        (
            "fairwater_rate_limit_denied_total",
            "Requests and connections that a rate limit has denied.",
            |limit| limit.tally().denied,
        ),
        (
            "fairwater_rate_limit_crowded_total",
            "New keys that began with what another had used: raise `keys` of the limit.",
            |limit| limit.tally().crowded,
        ),
        (
            "fairwater_rate_limit_table_bytes",
            "Memory of the table of keys, once it is used.",
            |limit| limit.memory() as u64,
        ),
    ];
    for (name, help, read) in families {
        text.family(name, help);
        for limit in &plan.limits {
            text.line(name, &[("limit", &limit.name)], &read(limit).to_string());
        }
    }
}

type OfEndpoint = fn(&EndpointCounters) -> &Count;

const OF_ENDPOINTS: [(&str, &str, OfEndpoint); 10] = [
    ("fairwater_endpoint_attempts_total", "Exchanges tried.", |e| &e.attempts),
    ("fairwater_endpoint_connects_total", "Connections opened.", |e| &e.connects),
    ("fairwater_endpoint_connect_failures_total", "Connections that did not come up.", |e| {
        &e.connect_failures
    }),
    ("fairwater_endpoint_reuses_total", "Exchanges over a pooled connection.", |e| &e.reuses),
    (
        "fairwater_endpoint_stale_total",
        "Pooled connections that were dead when they were used.",
        |e| &e.stale,
    ),
    (
        "fairwater_endpoint_unsolicited_total",
        "Connections for messages closed because of bytes that nobody had asked for.",
        |e| &e.unsolicited,
    ),
    ("fairwater_endpoint_late_replies_total", "Replies to messages that came too late.", |e| {
        &e.late_replies
    }),
    ("fairwater_endpoint_failures_total", "Exchanges that tell against the endpoint.", |e| {
        &e.failures
    }),
    ("fairwater_endpoint_connections", "Connections open.", |e| &e.open),
    ("fairwater_endpoint_connections_idle", "Connections in the pool.", |e| &e.idle),
];

fn endpoints(text: &mut Text, sources: &Sources, plan: &Plan) {
    for (name, help, read) in OF_ENDPOINTS {
        text.family(name, help);
        each_endpoint(plan, |slot, labels| {
            let value = sum(sources, |thread| read(&thread.endpoints[slot]).get());
            text.line(name, labels, &value.to_string());
        });
    }
    let name = "fairwater_endpoint_in_flight";
    text.family(name, "Exchanges in flight.");
    for upstream in &plan.upstreams {
        for endpoint in upstream.known() {
            let labels = [
                ("upstream", upstream.settings.name.as_str()),
                ("endpoint", endpoint.identity.as_str()),
            ];
            text.line(name, &labels, &endpoint.state.in_flight().to_string());
        }
    }
    let name = "fairwater_endpoint_responses_total";
    text.family(name, "Responses by class of status.");
    each_endpoint(plan, |slot, labels| {
        for (class, label) in STATUS_CLASSES.iter().enumerate().skip(1) {
            let value = sum(sources, |thread| thread.endpoints[slot].responses[class].get());
            let labels = [labels[0], labels[1], ("status", label)];
            text.line(name, &labels, &value.to_string());
        }
    });
    sessions(text, sources, plan);
}

fn sessions(text: &mut Text, sources: &Sources, plan: &Plan) {
    let name = "fairwater_sticky_requests_total";
    text.family(name, "Requests of sticky upstreams, by what became of the session.");
    for upstream in plan.upstreams.iter().filter(|upstream| upstream.settings.sticky.is_some()) {
        for endpoint in upstream.known() {
            for (outcome, label) in SESSION_OUTCOMES.iter().enumerate() {
                let count =
                    |thread: &Counters| thread.endpoints[endpoint.slot].sessions[outcome].get();
                let labels = [
                    ("upstream", upstream.settings.name.as_str()),
                    ("endpoint", endpoint.identity.as_str()),
                    ("session", label),
                ];
                text.line(name, &labels, &sum(sources, count).to_string());
            }
        }
    }
}

fn upstreams(text: &mut Text, plan: &Plan) {
    type Read = fn(&Upstream) -> Option<u64>;
    let families: [(&str, &str, Read); 4] = [
        ("fairwater_upstream_connections", "Connections open or coming up.", |upstream| {
            Some(upstream.admission().open().into())
        }),
        ("fairwater_upstream_waiting", "Exchanges that wait for room.", |upstream| {
            Some(upstream.waiting() as u64)
        }),
        ("fairwater_upstream_retries_left", "Retries that the budget has.", |upstream| {
            Some(upstream.budget().left().into())
        }),
        ("fairwater_upstream_circuit_open", "1 while the breaker is open.", |upstream| {
            let (breaker, _) = upstream.breaker()?;
            Some(u64::from(breaker.state() != BreakerState::Closed))
        }),
    ];
    for (name, help, read) in families {
        text.family(name, help);
        for upstream in &plan.upstreams {
            if let Some(value) = read(upstream) {
                let labels = [("upstream", upstream.settings.name.as_str())];
                text.line(name, &labels, &value.to_string());
            }
        }
    }
}

fn health(text: &mut Text, health: &Health, plan: &Plan) {
    type Read = fn(&Known) -> u64;
    let families: [(&str, &str, Read); 3] = [
        (
            "fairwater_endpoint_up",
            "0 while its check fails, it is ejected or says that it is down, though it may be the last.",
            |known| u64::from(known.is_well()),
        ),
        ("fairwater_endpoint_check_failures_total", "Checks that have failed.", |known| {
            known.check_failures
        }),
        (
            "fairwater_endpoint_ejections_total",
            "Times that the endpoint was left alone after failures.",
            |known| known.ejections,
        ),
    ];
    for (name, help, read) in families {
        text.family(name, help);
        for (upstream, identity, known) in health.each(plan) {
            let labels = [("upstream", upstream), ("endpoint", identity)];
            text.line(name, &labels, &read(known).to_string());
        }
    }
}

fn each_endpoint(plan: &Plan, mut visit: impl FnMut(usize, &[(&str, &str); 2])) {
    for upstream in &plan.upstreams {
        for endpoint in upstream.known() {
            let labels = [
                ("upstream", upstream.settings.name.as_str()),
                ("endpoint", endpoint.identity.as_str()),
            ];
            visit(endpoint.slot, &labels);
        }
    }
}

fn apps(text: &mut Text, apps: &[&AppState]) {
    type Read = fn(&AppPlace) -> u64;
    let is_up: Read =
        |place| u64::from(matches!(place.condition, Condition::Ready | Condition::Replacing));
    let families: [(&str, &str, Read); 2] = [
        ("fairwater_app_up", "1 while the instance has a process that is ready.", is_up),
        ("fairwater_app_restarts_total", "Starts after the first.", |p| p.restarts),
    ];
    let places = || {
        apps.iter().flat_map(|app| {
            let places = app.places.iter().enumerate();
            places.map(|(index, place)| (app.name.as_str(), index.to_string(), place))
        })
    };
    for (name, help, read) in families {
        text.family(name, help);
        for (app, index, place) in places() {
            text.line(name, &[("app", app), ("index", &index)], &read(place).to_string());
        }
    }
    let name = "fairwater_app_exits_total";
    text.family(name, "Processes that have ended, by how.");
    for (app, index, place) in places() {
        for (exit, count) in Exit::ALL.into_iter().zip(place.exits) {
            let labels = [("app", app), ("index", &*index), ("how", exit.word())];
            text.line(name, &labels, &count.to_string());
        }
    }
}

/// Sums something over the threads. Gauges may be negative on one thread and not in sum, hence the
/// wrapping.
pub(crate) fn sum(sources: &Sources, read: impl Fn(&Counters) -> u64) -> u64 {
    sources.counters.iter().fold(0, |total, thread| total.wrapping_add(read(thread)))
}

struct Text(String);

impl Text {
    /// What only grows is a total.
    fn family(&mut self, name: &str, help: &str) {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn single(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, help);
        self.line(name, &[], &value.to_string());
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: &str) {
        self.0.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            self.push(format_args!("{label}=\"{}\"", escaped(value)));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.push(format_args!(" {value}\n"));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        self.0.write_fmt(text).ok();
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text(String::new());
        text.line("a", &[("b", "x\"\\\ny")], "1");
        assert_eq!(text.0, "a{b=\"x\\\"\\\\\\ny\"} 1\n");
    }
}
