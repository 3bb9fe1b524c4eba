//! Whether upstreams fit the listeners of messages that send to them.

use crate::check::senders;
use crate::code;
use crate::model::{App, Balance, Config, FrameMode, FramedListener, Listener, Protocol, Upstream};
use crate::report::Report;

/// Once each name is known.
pub(crate) fn check(config: &Config, report: &mut Report) {
    let senders = senders(config);
    for upstream in &config.upstreams {
        let senders = senders.get(&*upstream.name.value).map_or(&[][..], Vec::as_slice);
        let shares = senders.iter().any(|listener| shared(listener).is_some());
        check_keys(upstream, senders, report);
        check_settings(upstream, !senders.is_empty() && !shares, report);
        if shares {
            check_announcing(upstream, report);
            check_depth(upstream, senders, report);
            check_pool(upstream, &config.apps, report);
            // A form that could not be read is not the one that was meant.
            if !report.has_errors() {
                check_greeting(upstream, senders, report);
            }
        }
    }
}

/// What a listener says of messages that share connections.
pub(crate) fn shared(listener: &Listener) -> Option<&FramedListener> {
    match &listener.protocol {
        Protocol::Framed(framed) if framed.mode != FrameMode::Connection => Some(framed),
        Protocol::Framed(_) | Protocol::Tcp(_) | Protocol::Udp(_) | Protocol::Http(_) => None,
    }
}

fn check_keys(upstream: &Upstream, senders: &[&Listener], report: &mut Report) {
    if upstream.balance != Balance::KeyHash {
        return;
    }
    let upstream = &upstream.name.value;
    for listener in senders {
        let (name, span) = (&listener.name.value, listener.name.span);
        let (what, help) = match shared(listener) {
            Some(framed) if framed.key.is_some() => continue,
            Some(_) => ("has no `key`", "add one, as in `key = { offset = 4, length = 8 }`"),
            None => (
                "is not for messages that share connections",
                "give it another upstream, or balance by `source_hash`",
            ),
        };
        let message = format!("upstream `{upstream}` goes by keys, and listener `{name}` {what}");
        report.add(&code::NO_KEY, span, message, "", help);
    }
}

fn check_settings(upstream: &Upstream, are_unused: bool, report: &mut Report) {
    for setting in upstream.pool.written.iter().filter(|_| are_unused) {
        let (name, setting, span) = (&upstream.name.value, setting.value, setting.span);
        let message = format!("`{setting}` is for messages, and upstream `{name}` gets none");
        let help = "remove the line, or send to it from a listener with `protocol = \"framed\"`";
        report.add(&code::NOT_FOR_MESSAGES, span, message, "", help);
    }
}

/// What a connection begins with would be believed of the messages of all others.
fn check_announcing(upstream: &Upstream, report: &mut Report) {
    if upstream.proxy_protocol.is_some() {
        let name = &upstream.name.value;
        let message = format!("clients share the connections to upstream `{name}`");
        let label = "`proxy_protocol` would say that all messages are of one";
        let help = "remove it, and set `identity` or `mode = \"connection\"` in the listener";
        report.add(&code::SHARED_AND_ANNOUNCED, upstream.name.span, message, label, help);
    }
}

/// A connection takes a second message only when there may be no further connection.
fn check_depth(upstream: &Upstream, senders: &[&Listener], report: &mut Report) {
    if upstream.max_connections.is_some() || upstream.pool.max.is_some() {
        return;
    }
    for listener in senders {
        let mode = shared(listener).map(|framed| framed.mode);
        if matches!(mode, Some(FrameMode::Exchange { depth: 2.. })) {
            let upstream = &upstream.name.value;
            let message = format!("nothing limits the connections to upstream `{upstream}`");
            let label = "without that `pipeline` has no effect";
            let help = format!("set `max_connections = 32` in [upstreams.{upstream}]");
            report.add(&code::NOTHING_TO_SHARE, listener.name.span, message, label, help);
        }
    }
}

/// A connection begins with what endpoints read as they read messages.
fn check_greeting(upstream: &Upstream, senders: &[&Listener], report: &mut Report) {
    let written = upstream.pool.written.iter().find(|setting| setting.value == "on_connect");
    let (Some(greeting), Some(written)) = (&upstream.pool.greeting, written) else { return };
    for listener in senders {
        let Some(framed) = shared(listener) else { continue };
        let has_replies = matches!(framed.mode, FrameMode::Exchange { .. });
        let is_expected = has_replies && !greeting.expect.is_empty();
        let (name, what) = match () {
            () if !framed.request.are_messages(&greeting.send) => {
                ("send", "endpoints would wait for the rest, or lose their place")
            }
            () if is_expected && !framed.reply.are_messages(&greeting.expect) => {
                ("expect", "what comes beside it would be taken for a reply")
            }
            () => continue,
        };
        let listener = &listener.name.value;
        let message = format!("`{name}` is no whole message as listener `{listener}` has them");
        let help = "write all bytes as they are sent, with length or delimiter, as in `hex:0d0a`";
        report.add(&code::NO_WHOLE_MESSAGE, written.span, message, what, help);
    }
}

fn check_pool(upstream: &Upstream, apps: &[App], report: &mut Report) {
    let app = upstream
        .apps
        .as_ref()
        .and_then(|name| apps.iter().find(|app| app.name.value == name.value));
    let instances = app.map_or(0, |app| u64::from(app.instances));
    let endpoints = upstream.endpoints.len() as u64 + instances;
    let max = upstream.max_connections.as_ref();
    if let (Some(kept), Some(each)) = (&upstream.pool.kept, &upstream.pool.max)
        && kept.value > each.value.get()
    {
        let message = "`min_connections` is more than `max_connections_per_endpoint`";
        report.add(&code::BAD_POOL, kept.span, message, "", "write at most as much");
    }
    if let (Some(kept), Some(max)) = (&upstream.pool.kept, max)
        && u64::from(kept.value) * endpoints > u64::from(max.value.get())
    {
        let message = "`min_connections` of all endpoints are more than `max_connections`";
        let label = format!("there are {endpoints} endpoints");
        let help = "lower the one, or raise the other";
        report.add(&code::BAD_POOL, kept.span, message, label, help);
    } else if let Some(max) = max.filter(|max| u64::from(max.value.get()) < endpoints) {
        let message = format!("{} connections are too few for {endpoints} endpoints", max.value);
        let label = "a message waits while endpoints are idle";
        let help = format!("write at least {endpoints}");
        report.add(&code::SMALL_POOL, max.span, message, label, help);
    }
}
