//! Checks of real servers, over TLS and HTTP/2.

use fairwater_e2e::{Proxy, Setup, until};

use super::field_of;
use crate::grpc::server;
use crate::tls::{LOCAL, Pki};

/// What the first check of an endpoint finds: nothing, or why it is bad.
fn found(proxy: &Proxy, address: &str) -> String {
    until("the first result", || field_of(proxy, address, "check") != "unknown");
    match &*field_of(proxy, address, "check") {
        "up" => String::new(),
        _ => field_of(proxy, address, "check_problem"),
    }
}

#[track_caller]
fn check(address: &str, lines: &str, expected: &str) {
    let proxy = Setup::of("http", &[address]).upstream(lines).start();
    assert_eq!(found(&proxy, address), expected, "{lines}");
}

#[test]
fn servers_of_grpc_are_asked_for_their_health() {
    let pki = Pki::new();
    pki.pair("site", LOCAL);
    let Some((_plain, address)) = server("e", None) else { return };
    for (more, expected) in [
        ("", ""),
        (", service = \"shop\"", ""),
        (", service = \"sick\"", "it says NOT_SERVING"),
        (", service = \"none\"", "it does not know the service"),
    ] {
        check(&address, &format!("health = {{ type = \"grpc\"{more} }}"), expected);
    }
    let Some((_secure, address)) = server("e", Some(&pki)) else { return };
    let tls = format!("tls = {{ ca = {:?} }}", pki.file("ca.pem"));
    check(&address, &format!("health = {{ type = \"grpc\" }}\n{tls}"), "");
}

#[test]
fn checks_speak_tls_and_http2_as_requests_do() {
    let (pki, other) = (Pki::new(), Pki::new());
    let tls = format!("tls = {}", pki.pair("site", LOCAL).table("site"));
    let route = "[[routes]]\nlistener = \"web\"\npath = \"/healthz\"\nrespond = \"live\"";
    let endpoint =
        |lines: &str| Setup::of("http", &["127.0.0.1:1"]).listener(lines).more(route).start();
    let (plain, secure) = (endpoint("http2 = true"), endpoint(&tls));
    let health = "health = { path = \"/healthz\", body = \"ok\" }";
    check(&plain.address, health, "");
    check(&plain.address, &format!("{health}\nhttp2 = true"), "");
    let trust = |pki: &Pki| format!("tls = {{ ca = {:?} }}", pki.file("ca.pem"));
    for more in ["", "\nhttp2 = true"] {
        check(&secure.address, &format!("{health}\n{}{more}", trust(&pki)), "");
    }
    let unknown = "the handshake of TLS failed: certificate not trusted";
    check(&secure.address, &format!("{health}\n{}", trust(&other)), unknown);
    check(&secure.address, "health = { type = \"tls\" }", "");
    check(&secure.address, health, "its answer is malformed: bad status line");
    check(&plain.address, "health = \"/other\"", "it answers with status 503");
    // A balancer that is told of clients is told that this is none.
    let from = "proxy_protocol = { from = [\"127.0.0.1\"] }";
    for version in ["v1", "v2"] {
        let told = endpoint(from);
        let lines = format!("{health}\nproxy_protocol = \"{version}\"");
        check(&told.address, &lines, "");
    }
}
