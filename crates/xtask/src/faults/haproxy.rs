//! The configurations of HAProxy.

use std::fmt::Write as _;

use super::contestant::Setup;
use super::fault::Fault;

/// The defaults of Debian's file.
const SHIPPED: &str = "\
defaults
mode http
option dontlognull
timeout connect 5000
timeout client 50000
timeout server 50000
";

const TUNED: &str = "\
global
maxconn 9000

defaults
mode http
option dontlognull
option redispatch 1
retries 3
retry-on all-retryable-errors
timeout connect 1s
timeout client 50s
timeout server 1s
timeout http-request 10s
timeout http-keep-alive 60s
timeout check 1s
http-reuse always
option httpchk GET /healthz
default-server check inter 2s fastinter 500ms downinter 500ms fall 3 rise 2
default-server observe layer7 error-limit 5 on-error mark-down
";

pub(crate) fn configuration(setup: &Setup<'_>, is_tuned: bool) -> String {
    let mut text = if is_tuned { TUNED.to_owned() } else { SHIPPED.to_owned() };
    if is_tuned && setup.name.is_some() {
        text.push_str(
            "\nresolvers system\nnameserver one 127.0.0.1:53\nhold valid 1s\nhold nx 1h\n\
             hold timeout 1h\nhold refused 1h\nhold other 1h\nhold obsolete 1h\n",
        );
    }
    let is_limited = is_tuned && setup.fault == Fault::Overload;
    let port = setup.port;
    _ = write!(text, "\nlisten web\nbind 127.0.0.1:{port}\n");
    if is_limited {
        text.push_str("balance leastconn\ntimeout queue 20ms\n");
    }
    let limit = if is_limited { " maxconn 10" } else { "" };
    match &setup.name {
        Some(name) if is_tuned => {
            _ = writeln!(
                text,
                "server-template app 3 {name} resolvers system init-addr last,libc,none"
            );
        }
        _ => {
            for (index, target) in setup.targets().iter().enumerate() {
                _ = writeln!(text, "server app{index} {target}{limit}");
            }
        }
    }
    text
}
