//! What a listener of messages becomes.

use std::sync::Arc;

use fairwater_config as config;
use fairwater_message::frame::Framing;
use fairwater_plan::{
    FrameErrors, FrameRules, Framed, Hosts, OnError, Ping, Protocol, Replies, TcpIdle, UpstreamId,
};
use fairwater_proto::frame::wrap;

pub(crate) fn protocol(framed: &config::FramedListener, upstreams: Hosts<UpstreamId>) -> Protocol {
    let message = |payload: &Option<config::Payload>| {
        payload.as_ref().map(|payload| message(&framed.reply, payload))
    };
    let errors = &framed.on_error;
    let (connect, closed) = (message(&errors.connect), message(&errors.closed));
    let replies = match framed.mode {
        config::FrameMode::Exchange { depth } => Replies::One { depth },
        config::FrameMode::Oneway => Replies::None,
        // Nobody looks at the messages then.
        config::FrameMode::Connection => {
            let on_error = OnError { connect, empty: closed };
            return Protocol::Tcp { upstreams, on_error, idle: idle(framed.idle) };
        }
    };
    let ping = framed.ping.as_ref().map(|ping| Ping {
        request: self::message(&framed.request, &ping.request),
        reply: message(&ping.reply).unwrap_or_default(),
    });
    let (full, timeout) = (message(&errors.full), message(&errors.timeout));
    let rules = FrameRules {
        request: framed.request.clone(),
        reply: framed.reply.clone(),
        replies,
        in_flight_max: framed.in_flight_max,
        key: framed.key.as_ref().map(|key| key.value.clone()),
        ping,
        on_error: FrameErrors { connect, full, timeout, closed },
        aborts: framed.aborts,
        idle: idle(framed.idle),
        identity: framed.identity,
    };
    Protocol::Framed(Box::new(Framed { upstreams, rules: Arc::new(rules) }))
}

pub(crate) fn idle(rule: config::IdleRule) -> TcpIdle {
    match rule {
        config::IdleRule::Both => TcpIdle::Both,
        config::IdleRule::Client => TcpIdle::Client,
    }
}

/// The bytes that are sent.
fn message(framing: &Framing, payload: &config::Payload) -> Vec<u8> {
    let mut out = Vec::new();
    match payload {
        config::Payload::Body(body) => {
            let wrapped = wrap(framing, body, &mut out);
            debug_assert_eq!(wrapped, Ok(()), "a checked text has its place");
        }
        config::Payload::Whole(bytes) => out.extend_from_slice(bytes),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(settings: &str) -> Protocol {
        let file = format!(
            "listeners.a = {{ bind = ':1', protocol = 'framed', upstream = 'x', {settings} }}\n\
             upstreams.x.endpoints = ['127.0.0.1:1']"
        );
        let (config, diagnostics) = config::parse("f", file.as_bytes());
        let config = config.unwrap_or_else(|| panic!("{}", config::render(&diagnostics)));
        let config::Protocol::Framed(framed) = &config.listeners[0].protocol else {
            panic!("it is no listener of messages")
        };
        protocol(framed, Hosts::default())
    }

    fn rules(settings: &str) -> Arc<FrameRules> {
        match compiled(settings) {
            Protocol::Framed(framed) => framed.rules,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn texts_become_messages_of_their_form() {
        let rules = rules(
            "frame = 'swoole', reply_frame = 'line', ping = { request = 'hi', reply = 'ho' }, \
             on_error = { connect = 'down', full = { hex = 'ff00' }, closed = \"gone\\n\" }",
        );
        let ping = Ping { request: b"\0\0\0\x02hi".to_vec(), reply: b"ho\n".to_vec() };
        assert_eq!(rules.ping, Some(ping));
        let on_error = FrameErrors {
            connect: Some(b"down\n".to_vec()),
            full: Some(b"\xff\0".to_vec()),
            timeout: None,
            closed: Some(b"gone\n".to_vec()),
        };
        assert_eq!(rules.on_error, on_error);
    }

    #[test]
    fn one_text_is_for_all_causes() {
        let rules = rules("frame = { fixed = 4 }, on_error = 'no'");
        let text = Some(b"no\0\0".to_vec());
        let FrameErrors { connect, full, timeout, closed } = &rules.on_error;
        for error in [connect, full, timeout, closed] {
            assert_eq!(*error, text);
        }
    }

    #[test]
    fn modes_become_replies_or_a_relay() {
        let replies = |settings| rules(settings).replies;
        assert_eq!(replies("frame = 'line'"), Replies::One { depth: 1 });
        assert_eq!(replies("frame = 'line', pipeline = 16"), Replies::One { depth: 16 });
        assert_eq!(replies("frame = 'line', mode = 'oneway'"), Replies::None);
        let relay = compiled(
            "frame = 'line', mode = 'connection', on_error = { connect = 'a', closed = 'b' }",
        );
        let Protocol::Tcp { on_error, idle, .. } = relay else { panic!("{relay:?}") };
        assert_eq!(idle, TcpIdle::Client);
        assert_eq!(on_error.connect.as_deref(), Some(&b"a\n"[..]));
        assert_eq!(on_error.empty.as_deref(), Some(&b"b\n"[..]));
    }

    #[test]
    fn words_of_swoole_are_those_of_ours() {
        let ours = "frame = { length = 'u16be', offset = 2, body_offset = 8, max = '1MB' }";
        let theirs = "open_length_check = true, package_length_type = 'n', \
                      package_length_offset = 2, package_body_offset = 8, \
                      package_max_length = 1000000";
        assert_eq!(rules(ours), rules(theirs));
        let ours = "frame = 'swoole'";
        assert_eq!(rules(ours), rules("open_length_check = true"));
        let ours = "frame = { delimiter = \"\\r\\n\\r\\n\", max = '2MiB' }";
        assert_eq!(rules(ours), rules("open_eof_check = true"));
    }
}
