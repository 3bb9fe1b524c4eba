//! The same requests over every pair of versions, with TLS and without it, on either side: what a
//! client sees does not depend on how its endpoint is spoken to.

mod changes;
mod examples;
mod filters;
mod nghttpd;

use std::collections::BTreeMap;

use fairwater_e2e::peer::node;
use fairwater_e2e::{Peer, Proxy, Setup, until, until_some};

use crate::tls::{LOCAL, Pki};

/// The versions of `client.js`, and of `endpoint.js`; with an s over TLS.
const CLIENTS: [&str; 4] = ["h1", "h1s", "h2", "h2s"];

const MORE: &str = r#"
[[routes]]
listener = "LISTENER"
path = "/old/*"
redirect = { to = "/new/{rest}", status = 308 }

[[routes]]
listener = "LISTENER"
path = "/nowhere/*"
respond = { status = 404 }

[[routes]]
listener = "LISTENER"
path = "/small/*"
upstream = "app"
max_body = "1KiB"
strip_prefix = "/small"
"#;

/// Two listeners, in clear and over TLS, for both versions each.
fn proxy(pki: &Pki, endpoint: &str, kind: &str) -> (Proxy, String) {
    let own = format!(
        "[listeners.secure]\nbind = \"127.0.0.1:0\"\nhttp2 = true\nupstream = \"app\"\ntls = {}\n",
        pki.table("site")
    );
    let mut setup = Setup::of("http", &[endpoint]).listener("http2 = true").more(&own);
    for listener in ["web", "secure"] {
        setup = setup.more(&MORE.replace("LISTENER", listener));
    }
    if kind.ends_with('s') {
        setup = setup.upstream(&format!("tls = {{ ca = {:?} }}", pki.file("ca.pem")));
    } else if kind == "h2" {
        setup = setup.upstream("http2 = true");
    }
    let proxy = setup.start();
    let secure = until_some("the other listener", || {
        let said = proxy.said();
        said.lines()
            .find_map(|line| line.strip_prefix("fairwater: secure listens on ").map(str::to_owned))
    });
    (proxy, secure)
}

/// What every client says of its requests, whatever it and its endpoint speak; but for the first,
/// which tells what they do.
const EXPECTED: [(&str, &str); 25] = [
    ("head", "200 whole 2097152"),
    ("post", "POST 9 9 undefined"),
    ("post of unknown length", "POST 9 undefined"),
    ("post of nothing", "POST 0 0"),
    ("large up", "true true"),
    ("large down", "true true"),
    ("large both ways", "true"),
    ("many at once", "true"),
    ("no content", "204 whole undefined 1"),
    ("not modified", "304 whole \"a\""),
    ("empty reply", "200 whole"),
    ("redirect", "308 whole /new/page"),
    ("no route", "404 whole 0"),
    ("early hints", "103 </a.css>; rel=preload 200 whole hi"),
    ("trailers down", "200 whole some text 9 yes"),
    ("trailers up", "4 4"),
    ("asks to go on", "100 200 4"),
    ("cookies", "a=1; b=2; c=3"),
    ("fields", "a=1,b=2 \"\" no-store"),
    ("early reply", "200 whole early"),
    ("too large", "413 whole 413 Content Too Large, 413 whole 413 Content Too Large"),
    ("cut short", "true,true 502 true"),
    ("leaves before the reply", "yes yes"),
    ("leaves within the reply", "yes"),
    ("leaves within the request", "yes yes"),
];

fn expected(client: &str, kind: &str) -> String {
    let of_endpoint = if is_http2(kind) { "2.0" } else { "1.1" };
    let via = if is_http2(client) { "2" } else { "1.1" };
    let first = format!(
        "{client} get: {of_endpoint} GET /head?a=b via={via} fairwater priority=u=1, i x-own=a\n"
    );
    let rest = EXPECTED.iter().map(|(name, what)| format!("{client} {name}: {what}\n"));
    [first].into_iter().chain(rest).collect()
}

fn is_http2(kind: &str) -> bool {
    kind.starts_with("h2")
}

/// What the log says of them: only what was cut or given up has failed.
#[track_caller]
fn check_log(proxy: &Proxy) {
    let reasons = |protocol: &str| {
        let mut counts = BTreeMap::new();
        for line in proxy.log().iter().filter(|line| line.get("protocol") == protocol) {
            // A connection that is closed before the reply may be reset as well.
            let reason = line.get("reason").replace("upstream_empty_reply", "upstream_reset");
            *counts.entry(reason).or_insert(0) += 1;
        }
        counts.remove("");
        counts
    };
    let expected = [
        ("upstream_reset", 2),
        ("request_body_too_large", 4),
        ("client_aborted", 6),
        ("upstream_body_truncated", 4),
    ];
    let expected = expected.map(|(reason, count)| (reason.to_owned(), count)).into();
    for protocol in ["HTTP/1.1", "HTTP/2"] {
        until("all lines", || reasons(protocol).values().sum::<u32>() >= 16);
        assert_eq!(reasons(protocol), expected, "{protocol}");
    }
}

#[track_caller]
fn check(kind: &str) {
    let Some(mut command) = node(include_str!("endpoint.js")) else { return };
    let pki = Pki::new();
    pki.pair("site", LOCAL);
    command.arg(kind);
    if kind.ends_with('s') {
        command.args([pki.file("site.pem"), pki.file("site.key")]);
    }
    let endpoint = Peer::start(&mut command);
    let (mut proxy, secure) = proxy(&pki, &endpoint.word("listens on "), kind);
    let mut command = node(include_str!("client.js")).unwrap();
    command.arg(pki.file("ca.pem"));
    for client in CLIENTS {
        command.args([client, if client.ends_with('s') { &secure } else { &proxy.address }]);
    }
    let said = Peer::run(&mut command);
    let expected: String = CLIENTS.iter().map(|client| expected(client, kind)).collect();
    let differs = |(said, expected): &(&str, &str)| said != expected;
    let wrong: Vec<_> = said.lines().zip(expected.lines()).filter(differs).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(said.lines().count(), expected.lines().count(), "{said}");
    check_log(&proxy);
    until("nothing to be in flight", || proxy.metric("fairwater_endpoint_in_flight", &[]) == 0);
    proxy.assert_sound();
}

#[test]
fn endpoints_of_http1_answer_all_clients() {
    check("h1");
}

#[test]
fn endpoints_of_http1_over_tls_answer_all_clients() {
    check("h1s");
}

#[test]
fn endpoints_of_http2_answer_all_clients() {
    check("h2");
}

#[test]
fn endpoints_of_http2_over_tls_answer_all_clients() {
    check("h2s");
}
