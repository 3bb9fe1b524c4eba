//! What becomes of calls that come to nothing: by us, or by a server that takes none.

use fairwater_e2e::{Client, Endpoint};

use super::{calling, check, is_installed, server, setup};

/// The password of ada is `open sesame`.
const FILTERS: &str = r#"
[[routes]]
listener = "web"
path = "/test/*"
upstream = "app"

[[routes]]
listener = "web"
path = "/denied/*"
upstream = "app"
deny = ["127.0.0.0/8"]

[[routes]]
listener = "web"
path = "/locked/*"
upstream = "app"
basic_auth.users = { ada = "$2y$05$jIglWt7Ae47UMZMtibv4ieYLDBRIZkxBuK71yURyLhA5nm68p3csS" }

[[routes]]
listener = "web"
path = "/small/*"
upstream = "app"
max_body = "1KiB"

[[routes]]
listener = "web"
path = "/gone/*"
upstream = "gone"

[[routes]]
listener = "web"
path = "/none/*"
upstream = "none"

[[routes]]
listener = "web"
path = "/limited/*"
upstream = "none"
rate_limits = "one"

[rate_limits.one]
rate = "1/h"

[upstreams.gone]
http2 = true
endpoints = ["127.0.0.1:1"]

[upstreams.none]
http2 = true
endpoints = ["127.0.0.1:2"]
"#;

#[test]
fn failures_of_ours_are_statuses_of_grpc() {
    if !is_installed() {
        return;
    }
    let endpoint = Endpoint::echo("e");
    let setup = setup(&[&endpoint.address]).without_route().more(FILTERS).threads(2);
    let mut proxy = setup.start();
    let down = proxy.order("POST", "/endpoints/none/127.0.0.1:2", "state=drain");
    assert_eq!(down.status(), 200);
    check(
        &proxy,
        None,
        &[
            ("no route", "0 UNIMPLEMENTED Not Found"),
            ("denied", "0 PERMISSION_DENIED Forbidden"),
            ("no password", "0 UNAUTHENTICATED Unauthorized"),
            ("wrong password", "0 UNAUTHENTICATED Unauthorized"),
            ("too large", "0 RESOURCE_EXHAUSTED Content Too Large"),
            ("nobody there", "0 UNAVAILABLE Service Unavailable"),
            ("nobody at all", "0 UNAVAILABLE Service Unavailable"),
            ("limited", "0 UNAVAILABLE Service Unavailable"),
            ("limited", "0 RESOURCE_EXHAUSTED Too Many Requests"),
        ],
    );
    let lines = proxy.until_log(9);
    let reasons: Vec<_> = lines.iter().map(|line| line.get("reason")).collect();
    let expected = [
        "no_route",
        "access_denied",
        "unauthorized",
        "unauthorized",
        "request_body_too_large",
        "upstream_connect_refused",
        "no_endpoint",
        "no_endpoint",
        "rate_limited",
    ];
    assert_eq!(reasons, expected);
    assert!(lines.iter().all(|line| line.get("status") == "200"), "{lines:#?}");
    // Others hear of it as ever.
    assert_eq!(Client::new(&proxy).get("/denied/Echo").status(), 403);
    proxy.assert_sound();
}

#[test]
fn a_call_that_a_server_does_not_take_goes_to_another() {
    let (Some((one, a)), Some((other, b))) = (server("a", None), server("b", None)) else {
        return;
    };
    let setup = setup(&[&a, &b]).upstream("retry_grpc = [\"unavailable\"]");
    let mut proxy = setup.start();
    let refused = "refused by one";
    // Whoever is asked first: two calls come to both.
    check(&proxy, None, &[(refused, "1 OK"), (refused, "1 OK")]);
    other.until_said("b was asked", 2);
    let attempts = |lines: usize| -> u64 {
        proxy.until_log(lines).iter().map(|line| line.number("attempts")).sum()
    };
    let before = attempts(2);
    assert!((3..=4).contains(&before), "{before}");
    let said = calling(&proxy.address, None, &["refused by all"]).finish();
    assert_eq!(attempts(3), before + 2);
    // The answer is that of the last one.
    let last = if proxy.until_log(3)[2].get("endpoint") == a { "a" } else { "b" };
    assert_eq!(said, format!("refused by all: 0 UNAVAILABLE not {last}\n"));
    one.until_said("a was asked", before as usize - 1);
    other.until_said("b was asked", 3);
    proxy.assert_sound();
    // Only if that is wanted.
    let proxy = super::setup(&[&a, &b]).start();
    let said = calling(&proxy.address, None, &[refused, refused]).finish();
    assert_eq!(said.matches("UNAVAILABLE not a").count(), 1, "{said}");
}
