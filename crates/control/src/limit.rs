//! Rate limits of a configuration as the plan has them, and where they hold.

use std::collections::HashMap;
use std::sync::Arc;

use fairwater_config as config;
use fairwater_message::HeaderName;
use fairwater_plan::{Counts, KeyRule, Limit, LimitRule, Limits, Quota, Telling};

/// By name.
pub(crate) type Known<'a> = HashMap<&'a str, &'a Arc<Limit>>;

pub(crate) fn rule(limit: &config::RateLimit) -> LimitRule {
    const SECOND_NS: u64 = 1_000_000_000;
    let config::RateLimit { name, counts, key, count, seconds, burst, telling, keys } = limit;
    LimitRule {
        name: name.value.clone(),
        counts: match counts {
            config::RateCounts::Requests => Counts::Requests,
            config::RateCounts::Connections => Counts::Connections,
            config::RateCounts::Bytes => Counts::Bytes,
        },
        key: match key {
            config::RateKey::Client { v4_bits, v6_bits } => {
                KeyRule::Client { v4_bits: *v4_bits, v6_bits: *v6_bits }
            }
            config::RateKey::Header(name) => KeyRule::Header(HeaderName::new(name)),
            config::RateKey::Cookie(name) => KeyRule::Cookie(name.clone()),
            config::RateKey::Route => KeyRule::Route,
        },
        quota: Quota { count: *count, period_ns: seconds * SECOND_NS, burst: *burst },
        telling: match telling {
            config::RateTelling::Never => Telling::Never,
            config::RateTelling::Denied => Telling::Denied,
            config::RateTelling::Always => Telling::Always,
        },
        keys: *keys as usize,
    }
}

/// Those of a listener that hold for connections as they come.
pub(crate) fn of_connections(listener: &config::Listener, known: &Known<'_>) -> Limits {
    let is_raw = !matches!(listener.protocol, config::Protocol::Http(_));
    // Of HTTP bytes are counted with its requests.
    let holds = |limit: &Limit| is_raw || limit.counts == Counts::Connections;
    let mut limits = Limits::default();
    add(&mut limits, &listener.rate_limits, &of_listener(listener), known, holds);
    limits
}

/// Those that hold for requests: of a listener, and of a route of it.
pub(crate) fn of_requests(
    listener: &config::Listener,
    route: Option<&config::Route>,
    known: &Known<'_>,
) -> Limits {
    let holds = |limit: &Limit| limit.counts != Counts::Connections;
    let mut limits = Limits::default();
    add(&mut limits, &listener.rate_limits, &of_listener(listener), known, holds);
    if let Some(route) = route.filter(|route| !route.rate_limits.is_empty()) {
        // By what it takes, so that it is found again wherever it stands in the file.
        let host = route.host.as_ref().map(|host| &host.value);
        let (listener, path) = (&route.listener.value, &route.path);
        let place = format!("{listener} {host:?} {path:?} {:?}", route.conditions);
        add(&mut limits, &route.rate_limits, &place.into(), known, holds);
    }
    limits
}

fn of_listener(listener: &config::Listener) -> Arc<str> {
    listener.name.value.as_str().into()
}

fn add(
    limits: &mut Limits,
    names: &[config::Spanned<String>],
    place: &Arc<str>,
    known: &Known<'_>,
    holds: impl Fn(&Limit) -> bool,
) {
    let found = names.iter().filter_map(|name| known.get(name.value.as_str()));
    for limit in found.filter(|limit| holds(limit)) {
        limits.add(Arc::clone(limit), place);
    }
}
