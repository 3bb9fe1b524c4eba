//! Whether rate limits fit where they are named.

use std::collections::HashSet;

use crate::code;
use crate::model::{Config, Listener, RateCounts, RateKey, RateLimit};
use crate::report::Report;
use crate::span::Spanned;

/// Once each name is known.
pub(crate) fn check(config: &Config, report: &mut Report) {
    let find = |name: &Spanned<String>| {
        config.rate_limits.iter().find(|limit| limit.name.value == name.value)
    };
    let mut used = HashSet::new();
    for listener in &config.listeners {
        for (name, limit) in
            listener.rate_limits.iter().filter_map(|name| Some((name, find(name)?)))
        {
            used.insert(limit.name.value.as_str());
            check_on_listener(listener, name, limit, report);
        }
    }
    for route in &config.routes {
        for (name, limit) in route.rate_limits.iter().filter_map(|name| Some((name, find(name)?))) {
            used.insert(limit.name.value.as_str());
            if limit.counts == RateCounts::Connections {
                let message = format!("`{}` counts connections, which have no route", name.value);
                let listener = &route.listener.value;
                let help = format!("name it in [listeners.{listener}]");
                report.add(&code::RATE_LIMIT_UNFIT, name.span, message, "", help);
            }
        }
    }
    for limit in &config.rate_limits {
        let name = &limit.name.value;
        if !used.contains(name.as_str()) {
            let message = format!("rate limit `{name}` is never used");
            let help = "name it in `rate_limits` of a listener or a route, or remove it";
            report.add(&code::RATE_LIMIT_UNUSED, limit.name.span, message, "", help);
        }
    }
}

fn check_on_listener(
    listener: &Listener,
    name: &Spanned<String>,
    limit: &RateLimit,
    report: &mut Report,
) {
    if !listener.protocol.is_raw() {
        return;
    }
    let protocol = listener.protocol.transport();
    let what = match (limit.counts, &limit.key) {
        (RateCounts::Requests, _) => "counts requests",
        (RateCounts::Bytes, _) if protocol == "UDP" => "counts bytes",
        (_, RateKey::Header(_)) => "tells clients apart by a header",
        (_, RateKey::Cookie(_)) => "tells clients apart by a cookie",
        _ => return,
    };
    let listener = &listener.name.value;
    let message = format!("`{}` {what}, and listener `{listener}` is for {protocol}", name.value);
    let help = match protocol {
        "UDP" => "name one with `counts = \"connections\"`, by client",
        _ => "name one with `counts = \"connections\"` or `\"bytes\"`, by client",
    };
    report.add(&code::RATE_LIMIT_UNFIT, name.span, message, "", help);
}
