//! Settings that are written and have no effect: what was meant by them does not come about.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use fairwater_message::address::Endpoint;

use crate::check::senders;
use crate::check_messages::shared;
use crate::code;
use crate::model::{Balance, Config, Destination, Filters, Listener, Repeatable, Upstream};
use crate::report::Report;
use crate::span::Spanned;

/// What says when and how requests are sent once more.
const OF_RETRIES: [&str; 5] =
    ["retry_status", "retry_unsafe", "retry_grpc", "try_timeout", "retry_backoff"];

/// Of a configuration without errors.
pub(crate) fn check(config: &Config, report: &mut Report) {
    let senders = senders(config);
    let patience = longest_patience(config);
    // Over the admin socket an endpoint may get company.
    let is_complete = config.admin.socket.is_none();
    for upstream in &config.upstreams {
        let name = &*upstream.name.value;
        let traffic = Traffic::of(senders.get(name).map_or(&[][..], Vec::as_slice));
        if !traffic.has_messages {
            check_queue(upstream, report);
        }
        match traffic.raw {
            Some(transport) => check_raw(upstream, transport, traffic.has_messages, report),
            None => check_try_timeout(upstream, patience.get(name).copied(), report),
        }
        if is_complete && has_one_endpoint(upstream) {
            check_one_endpoint(upstream, &traffic, report);
        }
    }
    check_priorities(config, report);
    check_keys(config, &senders, report);
}

/// What goes to an upstream.
struct Traffic {
    /// What carries it, where no requests of HTTP are in it.
    raw: Option<&'static str>,
    /// Messages that share connections: each of them may wait, and be sent again.
    has_messages: bool,
}

impl Traffic {
    fn of(senders: &[&Listener]) -> Self {
        let is_raw = senders.iter().all(|listener| listener.protocol.is_raw());
        let transport = senders.first().map(|listener| listener.protocol.transport());
        Self {
            raw: transport.filter(|_| is_raw),
            has_messages: senders.iter().any(|listener| shared(listener).is_some()),
        }
    }
}

/// Those of these settings that are written.
fn written(
    upstream: &Upstream,
    is_asked: impl Fn(&str) -> bool,
) -> impl Iterator<Item = &Spanned<&'static str>> {
    upstream.doubtful.iter().filter(move |setting| is_asked(setting.value))
}

/// Nobody waits where there is no limit; over HTTP/2 each endpoint has one of its own. A message
/// waits in any case, if only for a connection that is being opened.
fn check_queue(upstream: &Upstream, report: &mut Report) {
    if upstream.limits_concurrency() || upstream.max_connections.is_some() {
        return;
    }
    let is_idle = |setting: &str| {
        setting == "max_queue" || (setting == "queue_timeout" && !upstream.may_speak_http2())
    };
    for setting in written(upstream, is_idle) {
        let name = &upstream.name.value;
        let message = format!("`{}` has no effect: upstream `{name}` has no limit", setting.value);
        let help = "set `max_concurrency` or `max_connections` as well, or remove it";
        report.add(&code::NO_LIMIT, setting.span, message, "", help);
    }
}

/// Connections and flows are not read, and messages have neither statuses nor fields.
fn check_raw(upstream: &Upstream, transport: &str, has_messages: bool, report: &mut Report) {
    let is_marked = matches!(upstream.retry.unsafe_ones, Repeatable::Marked(_));
    let is_of_http = |setting: &str| match setting {
        "buffer_requests" => true,
        // Without retries that has been told already.
        _ if upstream.retry.count == 0 => false,
        "retry_unsafe" => !has_messages || is_marked,
        setting => OF_RETRIES.contains(&setting),
    };
    for setting in written(upstream, is_of_http) {
        let (setting, span) = (setting.value, setting.span);
        let (message, help) = match setting {
            "retry_unsafe" if has_messages => (
                "`retry_unsafe` has no effect: messages have no header fields".to_owned(),
                "write `retry_unsafe = true`, or remove it",
            ),
            _ => (
                format!("`{setting}` has no effect: only {transport} goes to this upstream"),
                "remove it, or send to it from a listener for HTTP",
            ),
        };
        report.add(&code::NOT_ON_TCP, span, message, "", help);
    }
}

/// The longest `response_timeout` of the routes to an upstream.
fn longest_patience(config: &Config) -> HashMap<&str, Duration> {
    let mut longest: HashMap<&str, Duration> = HashMap::new();
    for route in &config.routes {
        if let Some(upstream) = route.destination.upstream()
            && let Some(own) = route.timeouts.response
        {
            let longest = longest.entry(&*upstream.value).or_default();
            *longest = own.max(*longest);
        }
    }
    longest
}

/// Calls of gRPC, which go over HTTP/2, may say themselves how long they wait.
fn check_try_timeout(upstream: &Upstream, of_routes: Option<Duration>, report: &mut Report) {
    let patience = of_routes.unwrap_or_default().max(upstream.timeouts.response);
    let is_early = upstream.retry.patience.is_none_or(|own| own < patience);
    if is_early || upstream.retry.count == 0 || upstream.may_speak_http2() {
        return;
    }
    for setting in written(upstream, |setting| setting == "try_timeout") {
        let message = "`try_timeout` has no effect: `response_timeout` is not longer";
        let help = "write less than that, or remove it";
        report.add(&code::LATE_TRY, setting.span, message, "", help);
    }
}

/// Whether there is one endpoint and no name or app that may stand for several.
fn has_one_endpoint(upstream: &Upstream) -> bool {
    match &*upstream.endpoints {
        [one] => {
            upstream.apps.is_none()
                && matches!(one.address.value, Endpoint::Ip(_) | Endpoint::Unix(_))
        }
        _ => false,
    }
}

/// Retries go to other endpoints. Only what a connection that was idle has lost is sent again to
/// the same one, and what `retry_unsafe` allows is among that.
fn check_one_endpoint(upstream: &Upstream, traffic: &Traffic, report: &mut Report) {
    if upstream.retry.count == 0 {
        return;
    }
    let is_idle = |setting: &str| match setting {
        // A message that was not delivered goes over another connection.
        "retries" => !traffic.has_messages,
        "retry_unsafe" => false,
        setting => traffic.raw.is_none() && OF_RETRIES.contains(&setting),
    };
    for setting in written(upstream, is_idle) {
        let message = format!("`{}` has no effect: there is no other endpoint", setting.value);
        let help = "add an endpoint to try, or remove it";
        report.add(&code::ONE_ENDPOINT, setting.span, message, "", help);
    }
}

/// Where no upstream goes by them.
fn check_keys(config: &Config, senders: &HashMap<&str, Vec<&Listener>>, report: &mut Report) {
    for listener in &config.listeners {
        let Some(key) = shared(listener).and_then(|framed| framed.key.as_ref()) else { continue };
        let is_sent_to = |upstream: &&Upstream| {
            let senders = senders.get(&*upstream.name.value);
            senders.is_some_and(|all| all.iter().any(|one| one.name.value == listener.name.value))
        };
        let upstreams: Vec<_> = config.upstreams.iter().filter(is_sent_to).collect();
        if upstreams.iter().any(|upstream| upstream.balance == Balance::KeyHash) {
            continue;
        }
        let remedy = match &*upstreams {
            [one] => format!("set `balance = \"key_hash\"` in [upstreams.{}]", one.name.value),
            _ => "set `balance = \"key_hash\"` in an upstream that it leads to".to_owned(),
        };
        let message = "`key` has no effect: no upstream of this listener goes by keys";
        report.add(&code::KEY_UNUSED, key.span, message, "", format!("{remedy}, or remove it"));
    }
}

/// Where nobody waits for `max_concurrency`, nobody goes first.
fn check_priorities(config: &Config, report: &mut Report) {
    let upstreams = config.upstreams.iter().filter(|upstream| upstream.limits_concurrency());
    let limited: HashSet<&str> = upstreams.map(|upstream| &*upstream.name.value).collect();
    let leads_to_limit = |destination: &Destination| {
        destination.upstream().is_some_and(|name| limited.contains(&*name.value))
    };
    let mut useful = HashSet::new();
    for route in &config.routes {
        if leads_to_limit(&route.destination) {
            useful.insert(&*route.listener.value);
            continue;
        }
        let remedy = match route.destination.upstream() {
            Some(name) => format!("set `max_concurrency` in [upstreams.{}]", name.value),
            None => "send to an upstream with `max_concurrency`".to_owned(),
        };
        check_priority(&route.filters, &remedy, report);
    }
    for listener in &config.listeners {
        let is_useful = listener.destination.as_ref().is_some_and(leads_to_limit)
            || useful.contains(&*listener.name.value);
        if !is_useful {
            let remedy = "set `max_concurrency` in an upstream that it leads to";
            check_priority(&listener.filters, remedy, report);
        }
    }
}

fn check_priority(filters: &Filters, remedy: &str, report: &mut Report) {
    if let Some(priority) = &filters.priority {
        let message = "`priority` has no effect: nobody waits for `max_concurrency`";
        let help = format!("{remedy}, or remove it");
        report.add(&code::NO_LIMIT, priority.span, message, "", help);
    }
}
