//! The state of the process for `GET /status`: gathered here, and written as JSON here or as text
//! for people in `overview`.

use std::collections::HashMap;
use std::sync::Arc;

use fairwater_config as config;
use fairwater_message::app::{AppPlace, AppState, Exit};
use fairwater_net::clock;
use fairwater_plan::health::{Advice, Reason, State};
use fairwater_plan::{EndpointState, Plan, Protocol, Upstream, Usage};
use fairwater_telemetry::{EndpointCounters, ListenerCounters};

use crate::dns::{Answer, Question};
use crate::health::words::{self, Subject, why};
use crate::json::{list, object, text};
use crate::metrics::sum;
use crate::names::Known;
use crate::overload::{Resource, Seen};
use crate::roster::Member;
use crate::sticky::keeps_sessions;
use crate::{Sources, Steward};

/// Everything that there is to be seen.
pub(crate) struct Status<'a> {
    pub uptime_s: u64,
    pub overload: &'a Seen,
    /// Open connections of each thread.
    pub threads: Vec<u64>,
    pub listeners: Vec<ListenerStatus<'a>>,
    pub upstreams: Vec<UpstreamStatus<'a>>,
    pub names: Vec<NameStatus<'a>>,
    pub apps: Vec<&'a AppState>,
}

pub(crate) struct ListenerStatus<'a> {
    pub name: String,
    pub protocol: &'static str,
    pub addresses: Vec<&'a str>,
    pub connections: u64,
    pub connections_total: u64,
    pub requests_total: u64,
}

pub(crate) struct UpstreamStatus<'a> {
    pub name: &'a str,
    pub connections: u32,
    /// Exchanges that wait for room.
    pub waiting: usize,
    /// How its breaker stands, if it has one.
    pub circuit: Option<&'static str>,
    pub endpoints: Vec<EndpointStatus<'a>>,
}

pub(crate) struct EndpointStatus<'a> {
    pub member: &'a Member,
    pub health: HealthStatus,
    /// How long what was set at run time holds.
    pub change: Option<&'static str>,
    pub in_flight: u32,
    pub attempts_total: u64,
    pub failures_total: u64,
    pub connect_failures_total: u64,
    pub connections: u64,
    pub connections_idle: u64,
}

/// How an endpoint is.
pub(crate) struct HealthStatus {
    /// What its checks say: nothing, if there are none.
    pub check: Option<&'static str>,
    /// Why the last one failed.
    pub problem: Option<String>,
    pub checked_s: Option<u64>,
    /// What it asks for itself, in its words.
    pub advice: Option<String>,
    /// Words of it that are not understood.
    pub unknown_words: Option<String>,
    pub failures: u32,
    pub ejections_total: u64,
    /// Why it gets requests, or none.
    pub why: String,
}

pub(crate) struct NameStatus<'a> {
    pub question: &'a Question,
    pub state: &'static str,
    pub found: Vec<String>,
    pub age_s: Option<u64>,
    pub next_s: u64,
    pub problem: Option<String>,
}

impl<'a> Status<'a> {
    pub(crate) fn of(steward: &'a Steward, sources: &'a Sources) -> Self {
        let now_ms = clock::coarse_ms();
        let plan = sources.plan.get();
        let active = |thread: &fairwater_telemetry::Counters| {
            thread.listeners.iter().map(|listener| listener.active.get()).sum()
        };
        let upstreams = steward.config.upstreams.iter().zip(&plan.upstreams);
        let upstreams =
            upstreams.zip(&steward.roster.0).map(|((configured, one), members)| UpstreamStatus {
                name: &configured.name.value,
                connections: one.admission().open(),
                waiting: one.waiting(),
                circuit: one.breaker().map(|(breaker, _)| words::circuit_word(breaker.state())),
                endpoints: endpoints(steward, (configured, one), members.iter()),
            });
        Self {
            uptime_s: now_ms.saturating_sub(sources.started_ms) / 1000,
            overload: &steward.overload,
            threads: sources.counters.iter().map(|thread| active(thread)).collect(),
            listeners: listeners(sources, &plan),
            upstreams: upstreams.collect(),
            names: steward.names.iter().map(|(q, known)| name(q, known, now_ms)).collect(),
            apps: steward.apps.of(&steward.config).collect(),
        }
    }

    pub(crate) fn json(&self) -> String {
        let threads = self.threads.iter();
        let status = object(&[
            ("version", text(env!("CARGO_PKG_VERSION"))),
            ("process_id", std::process::id().to_string()),
            ("uptime_seconds", self.uptime_s.to_string()),
            ("overload", overload_json(self.overload)),
            ("threads", list(threads.map(|count| object(&[("connections", count.to_string())])))),
            ("listeners", list(self.listeners.iter().map(ListenerStatus::json))),
            ("upstreams", list(self.upstreams.iter().map(UpstreamStatus::json))),
            ("names", list(self.names.iter().map(NameStatus::json))),
            ("apps", list(self.apps.iter().map(|state| app_json(state)))),
        ]);
        format!("{status}\n")
    }
}

fn listeners<'a>(sources: &'a Sources, plan: &Plan) -> Vec<ListenerStatus<'a>> {
    let listener = |(index, listener): (usize, &Arc<fairwater_plan::Listener>)| {
        let total = |read: fn(&ListenerCounters) -> u64| {
            sum(sources, |thread| read(&thread.listeners[index]))
        };
        let addresses = sources.bound.iter().filter(|(name, _)| *name == listener.name);
        ListenerStatus {
            name: listener.name.clone(),
            protocol: match listener.protocol {
                Protocol::Http(_) => "http",
                Protocol::Tcp { .. } => "tcp",
                Protocol::Framed(_) => "framed",
                Protocol::Udp(_) => "udp",
                Protocol::Gone => "gone",
            },
            addresses: addresses.map(|(_, address)| address.as_str()).collect(),
            connections: total(|listener| listener.active.get()),
            connections_total: total(|listener| listener.connections.get()),
            requests_total: total(|l| l.requests.iter().map(|count| count.get()).sum()),
        }
    };
    // One that is gone is told of while it has connections.
    let all = plan.listeners.iter().enumerate().map(listener);
    all.filter(|listener| listener.protocol != "gone" || listener.connections > 0).collect()
}

/// Some endpoints of an upstream.
pub(crate) fn endpoints<'a>(
    steward: &Steward,
    (configured, upstream): (&config::Upstream, &Upstream),
    members: impl Iterator<Item = &'a Member>,
) -> Vec<EndpointStatus<'a>> {
    let Some(sources) = steward.sources() else { return Vec::new() };
    let states: HashMap<&str, _> =
        upstream.known().map(|endpoint| (endpoint.identity.as_str(), &endpoint.state)).collect();
    let endpoint = |member: &'a Member| {
        let state = states.get(member.identity.as_str());
        let count = |read: fn(&EndpointCounters) -> u64| {
            let slot = state.map(|state| state.slot());
            slot.map_or(0, |slot| sum(sources, |thread| read(&thread.endpoints[slot])))
        };
        EndpointStatus {
            member,
            health: health(steward, configured, member, state.map(|state| &***state)),
            change: steward.change_of(&upstream.settings.name, member),
            in_flight: state.map_or(0, |state| state.in_flight()),
            attempts_total: count(|endpoint| endpoint.attempts.get()),
            failures_total: count(|endpoint| endpoint.failures.get()),
            connect_failures_total: count(|endpoint| endpoint.connect_failures.get()),
            connections: count(|endpoint| endpoint.open.get()),
            connections_idle: count(|endpoint| endpoint.idle.get()),
        }
    };
    members.map(endpoint).collect()
}

fn health(
    steward: &Steward,
    upstream: &config::Upstream,
    member: &Member,
    state: Option<&EndpointState>,
) -> HealthStatus {
    let now_ms = clock::coarse_ms();
    let name = &upstream.name.value;
    let known = steward.health.known(name, &member.key());
    let check =
        known.filter(|_| upstream.health.is_some()).map(|known| match known.verdict.state() {
            State::Unknown => "unknown",
            State::Up => "up",
            State::Down => "down",
        });
    let checked_ms = known.and_then(|known| known.checked_ms);
    let advice = known.map(|known| known.advice(upstream)).unwrap_or_default();
    let has_sessions = keeps_sessions(upstream, member);
    let subject = Subject { upstream, member, has_sessions };
    HealthStatus {
        check,
        problem: known.and_then(|known| known.problem.clone()),
        checked_s: checked_ms.map(|at_ms| now_ms.saturating_sub(at_ms) / 1000),
        // That it is up goes without saying.
        advice: (advice != Advice::default())
            .then(|| advice.to_string().trim_start_matches("up ").to_owned()),
        unknown_words: known.and_then(|known| known.unknown_words.clone()),
        failures: state.map_or(0, EndpointState::failures),
        ejections_total: known.map_or(0, |known| known.ejections),
        why: why(&subject, known, steward.health.mode(name), now_ms),
    }
}

fn name<'a>(question: &'a Question, known: &Known, now_ms: u64) -> NameStatus<'a> {
    NameStatus {
        question,
        state: match (known.answer(), known.problem()) {
            (Some(_), None) => "good",
            // The last good answer is in use.
            (Some(_), Some(_)) => "stale",
            (None, _) => "unresolved",
        },
        found: match known.answer() {
            Some(Answer::Host(addresses)) => addresses.iter().map(|ip| ip.to_string()).collect(),
            Some(Answer::Service(targets)) => {
                targets.iter().map(|target| format!("{}:{}", target.host, target.port)).collect()
            }
            None => Vec::new(),
        },
        age_s: known.answered_ms().map(|at_ms| now_ms.saturating_sub(at_ms) / 1000),
        next_s: known.due_ms().saturating_sub(now_ms) / 1000,
        problem: known.problem().map(ToString::to_string),
    }
}

impl ListenerStatus<'_> {
    fn json(&self) -> String {
        object(&[
            ("name", text(&self.name)),
            ("protocol", text(self.protocol)),
            ("addresses", list(self.addresses.iter().map(text))),
            ("connections", self.connections.to_string()),
            ("connections_total", self.connections_total.to_string()),
            ("requests_total", self.requests_total.to_string()),
        ])
    }
}

impl UpstreamStatus<'_> {
    fn json(&self) -> String {
        object(&[
            ("name", text(self.name)),
            ("connections", self.connections.to_string()),
            ("waiting", self.waiting.to_string()),
            ("circuit", or_null(self.circuit.map(text))),
            ("endpoints", list(self.endpoints.iter().map(EndpointStatus::json))),
        ])
    }
}

impl EndpointStatus<'_> {
    /// How it stands, in a word.
    pub(crate) fn word(&self) -> &'static str {
        self.member.given.reason.map_or("active", Reason::word)
    }

    pub(crate) fn json(&self) -> String {
        object(&[
            ("address", text(&self.member.identity)),
            ("state", text(self.word())),
            ("why", text(&self.health.why)),
            ("weight", self.member.weight.to_string()),
            ("backup", self.member.tier.is_backup.to_string()),
            ("priority", self.member.tier.priority.to_string()),
            ("check", or_null(self.health.check.map(text))),
            ("check_problem", or_null(self.health.problem.as_ref().map(text))),
            ("checked_seconds_ago", or_null(self.health.checked_s.map(|s| s.to_string()))),
            ("advice", or_null(self.health.advice.as_ref().map(text))),
            ("unknown_words", or_null(self.health.unknown_words.as_ref().map(text))),
            ("failures_in_a_row", self.health.failures.to_string()),
            ("ejections_total", self.health.ejections_total.to_string()),
            ("is_added", self.member.is_added.to_string()),
            ("change", or_null(self.change.map(text))),
            ("in_flight", self.in_flight.to_string()),
            ("attempts_total", self.attempts_total.to_string()),
            ("failures_total", self.failures_total.to_string()),
            ("connect_failures_total", self.connect_failures_total.to_string()),
            ("connections", self.connections.to_string()),
            ("connections_idle", self.connections_idle.to_string()),
        ])
    }
}

impl NameStatus<'_> {
    fn json(&self) -> String {
        object(&[
            ("name", text(self.question)),
            ("state", text(self.state)),
            ("found", list(self.found.iter().map(text))),
            ("answered_seconds_ago", or_null(self.age_s.map(|age_s| age_s.to_string()))),
            ("next_in_seconds", self.next_s.to_string()),
            ("problem", or_null(self.problem.as_ref().map(text))),
        ])
    }
}

fn app_json(state: &AppState) -> String {
    let instance = |place: &AppPlace| {
        let AppPlace { condition, process_id, restarts, exits, problem } = place;
        let exits = Exit::ALL.into_iter().zip(exits);
        let exits: Vec<_> = exits.map(|(exit, count)| (exit.word(), count.to_string())).collect();
        object(&[
            ("state", text(condition.word())),
            ("process_id", or_null((*process_id > 0).then(|| process_id.to_string()))),
            ("restarts_total", restarts.to_string()),
            ("exits_total", object(&exits)),
            ("problem", or_null((!problem.is_empty()).then(|| text(problem)))),
        ])
    };
    object(&[("name", text(&state.name)), ("instances", list(state.places.iter().map(instance)))])
}

fn overload_json(seen: &Seen) -> String {
    let usage = |(resource, usage): &(Resource, Usage)| {
        object(&[
            ("resource", text(resource.word())),
            ("used", usage.used.to_string()),
            ("watermark", usage.watermark.to_string()),
            ("end", usage.end.to_string()),
        ])
    };
    object(&[
        ("level", text(seen.level().word())),
        ("resources", list(seen.usages().iter().map(usage))),
    ])
}

fn or_null(value: Option<String>) -> String {
    value.unwrap_or_else(|| "null".to_owned())
}
