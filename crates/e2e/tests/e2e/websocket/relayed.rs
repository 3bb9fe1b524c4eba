//! What passes through a tunnel, whatever it is made of.

use fairwater_e2e::{Peer, until};

use super::{client, server, setup};
use crate::tls::{LOCAL, Pki};

/// What each client says of each server.
const EXPECTED: &str = "\
text: grüße
bytes: True
nothing: ''
parts: one two three
large: True
many: True
both ways: True all came
pings: True
is pinged: pong came
closes: 4001 because
is closed: 4002 enough
is dropped: 1006
fields: origin=http://page.example x-own=a cookie=a=1; b=2
protocol: b
refused: 403 not you
";

#[track_caller]
fn check(of_server: &str, clients: &[&str]) {
    let pki = Pki::new();
    pki.pair("site", LOCAL);
    let Some((server, address)) = server(of_server, "with", &pki) else { return };
    for (round, of_client) in clients.iter().enumerate() {
        let mut proxy = setup((of_client, of_server), &address, &pki).start();
        let Some(mut command) = client(of_client, &proxy, &pki) else { return };
        let said = Peer::run(&mut command);
        assert_eq!(said, EXPECTED, "{of_client} to {of_server}");
        server.until_said("closed /echo/closes 4001 because", round + 1);
        until("the end of all tunnels", || proxy.metric("fairwater_endpoint_in_flight", &[]) == 0);
        let lines = proxy.until_log(15);
        let (status, protocol) =
            if of_client.starts_with("h2") { (200, "HTTP/2") } else { (101, "HTTP/1.1") };
        for line in &lines {
            let status = if line.get("target") == "/refuse" { 403 } else { status };
            assert_eq!((line.number("status"), line.get("protocol")), (status, protocol));
        }
        for line in &lines {
            let is_good = match (line.get("target"), line.get("reason")) {
                (_, "") | ("/drop", "upstream_body_truncated") => true,
                // Python ends TLS without a word.
                (_, "client_aborted") => *of_client == "pythons",
                (_, "upstream_body_truncated") => of_server == "pythons",
                _ => false,
            };
            assert!(is_good, "{of_client} to {of_server}: {line:#?}");
        }
        proxy.assert_sound();
    }
}

#[test]
fn servers_of_http1_take_all_clients() {
    check("h1", &["python", "h1", "h2", "h2s"]);
}

#[test]
fn servers_of_http1_over_tls_take_all_clients() {
    check("h1s", &["h1", "h1s", "h2s"]);
}

#[test]
fn servers_of_http2_take_all_clients() {
    check("h2", &["python", "h1", "h1s", "h2", "h2s"]);
}

#[test]
fn servers_of_http2_over_tls_take_all_clients() {
    check("h2s", &["pythons", "h1", "h2", "h2s"]);
}

#[test]
fn servers_of_python_take_all_clients() {
    check("python", &["python", "h1", "h2"]);
}

#[test]
fn servers_of_python_over_tls_take_all_clients() {
    check("pythons", &["pythons", "h2s"]);
}
