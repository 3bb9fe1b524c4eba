//! Calls of all four kinds, and what goes along with them.

use fairwater_e2e::until;

use super::{calling, check, is_installed, server, setup};
use crate::tls::{LOCAL, Pki};

/// All bytes there are, as metadata whose name ends so may have them.
fn all_bytes() -> String {
    (0..=255).map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn calls_of_all_kinds_pass_in_clear_and_over_tls() {
    let pki = Pki::new();
    pki.pair("site", LOCAL);
    let bytes = all_bytes();
    let metadata = format!(
        "hello OK its-name=s seen-my-bytes-bin={bytes} seen-my-text=some text seen-my-twice=1 \
         seen-my-twice=2 its-end-bin={bytes} its-end=z"
    );
    let expected = [
        ("one message", &*metadata),
        ("no message", "b''"),
        ("large message", "True"),
        ("many come", "200 1800000"),
        ("many large come", "9000000"),
        ("many go", "True"),
        ("both ways", "100"),
        ("both ways at once", "True"),
        ("every status", "32"),
        ("words beyond ascii", "0 FAILED_PRECONDITION 100 % sicher, weil's grün ist"),
        ("unknown method", "0 UNIMPLEMENTED Method not found!"),
        ("time left", "True"),
        ("no time limit", "True"),
        ("compressed", "True"),
    ];
    for of_endpoint in [None, Some(&pki)] {
        let Some((_server, address)) = server("s", of_endpoint) else { return };
        for of_client in [None, Some(&pki)] {
            let mut setup = setup(&[&address]);
            if let Some(pki) = of_endpoint {
                setup = setup.upstream(&format!("tls = {{ ca = {:?} }}", pki.file("ca.pem")));
            }
            if let Some(pki) = of_client {
                setup = setup.listener(&format!("tls = {}", pki.table("site")));
            }
            let mut proxy = setup.start();
            check(&proxy, of_client, &expected);
            assert_eq!(proxy.metric("fairwater_endpoint_in_flight", &[]), 0);
            let faults = proxy.log().iter().filter(|line| !line.get("reason").is_empty()).count();
            assert_eq!(faults, 0, "{:#?}", proxy.log());
            proxy.assert_sound();
        }
    }
}

#[test]
fn a_client_that_gives_up_is_heard_of_at_the_server() {
    let Some((server, address)) = server("s", None) else { return };
    let mut proxy = setup(&[&address]).start();
    check(
        &proxy,
        None,
        &[("gives up", "CANCELLED"), ("waits no longer", "DEADLINE_EXCEEDED DEADLINE_EXCEEDED")],
    );
    server.until_said("s is left alone", 3);
    until("nothing to be in flight", || proxy.metric("fairwater_endpoint_in_flight", &[]) == 0);
    let lines = proxy.until_log(3);
    assert_eq!(lines[0].get("reason"), "client_aborted");
    // Who notices first that a time is over is not said: client, server or we.
    let expected = ["client_aborted", "", "grpc_deadline_exceeded"];
    assert!(lines.iter().all(|line| expected.contains(&line.get("reason"))), "{lines:#?}");
    proxy.assert_sound();
}

/// As a client does whose process dies.
#[test]
fn a_client_that_dies_is_heard_of_at_the_server() {
    let Some((server, address)) = server("s", None) else { return };
    let mut proxy = setup(&[&address]).start();
    let client = calling(&proxy.address, None, &["goes on"]);
    server.word("s waits");
    drop(client);
    server.word("s is left alone");
    assert_eq!(proxy.until_log(1)[0].get("reason"), "client_aborted");
    proxy.assert_sound();
}

#[test]
fn each_call_has_its_turn_on_one_connection() {
    let (Some((_one, a)), Some((_other, b))) = (server("a", None), server("b", None)) else {
        return;
    };
    let proxy = setup(&[&a, &b]).start();
    let said = calling(&proxy.address, None, &["spread"]).finish();
    assert!(["spread: abababab\n", "spread: babababa\n"].contains(&&*said), "{said}");
    assert_eq!(proxy.metric("fairwater_connections_total", &["listener=\"web\""]), 1);
}

/// A stream may be silent like a tunnel, whatever is said of bodies.
#[test]
fn streams_may_be_silent() {
    if !is_installed() {
        return;
    }
    let Some((_server, address)) = server("s", None) else { return };
    let proxy = setup(&[&address]).listener("body_timeout = \"300ms\"").start();
    check(&proxy, None, &[("silent server", "1 2"), ("silent client", "1 2")]);
    // But not for ever.
    proxy.until_log(2);
    let limits = "body_timeout = \"9s\"\ntunnel_timeout = \"300ms\"";
    let mut proxy = setup(&[&address]).listener(limits).start();
    let said = calling(&proxy.address, None, &["goes on"]).finish();
    assert!(said.starts_with("goes on: 1 "), "{said}");
    assert_eq!(proxy.until_log(1)[0].get("reason"), "upstream_body_timeout");
    proxy.assert_sound();
}
