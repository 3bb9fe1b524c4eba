//! Hop-by-hop fields, who the client is, upgrades, and what is merely large (rows A55 to A59, A70 to
//! A73).

use fairwater_e2e::{Client, Endpoint, Setup};

use super::case::{check, dropped, forwarded, refused};

fn with(lines: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n")
}

fn seen_with(lines: &str) -> String {
    let end = if lines.is_empty() { "" } else { "\r\n" };
    format!("GET /x HTTP/1.1\r\nhost: a\r\n{lines}{end}<ours>\r\n\r\n")
}

#[test]
fn hop_by_hop_fields_stay_here() {
    let mut cases = Vec::new();
    for line in [
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "TE: gzip",
        "TE: trailers",
        "Upgrade: websocket",
        "Connection: keep-alive",
        "Connection: x, keep-alive",
        "Connection:",
        "Connection: ,,",
        "Proxy-Authorization: Basic x",
        "Connection: Upgrade",
        "Connection: x-forwarded-for, via, forwarded, x-forwarded-host",
        "Upgrade:",
        "Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        "Connection: upgrade\r\nUpgrade: websocket, h2c",
        "Connection: upgrade\r\nUpgrade: H2C",
        "Connection: upgrade\r\nUpgrade: h2",
        "X-Forwarded-Client-Cert: x",
        "x-forwarded-client-cert: Subject=\"CN=admin\"",
        "X-Forwarded-For: 1.2.3.4",
        "X-Real-IP: 1.2.3.4",
        "Forwarded: for=1.2.3.4;proto=https",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil",
        "X-Forwarded-Port: 443",
        "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: unknown",
        "X-Forwarded-For:",
        "Forwarded: ;;;",
        "X-Forwarded-For: %0d%0aevil",
        "X-Forwarded-For: \"fe80::1%eth0\"",
    ] {
        cases.push(forwarded(&format!("A55 A56 A57 A72 {line}"), with(line), &[seen_with("")]));
    }
    for (lines, left) in [
        ("Connection: X-Secret\r\nX-Secret: 1\r\nX-Other: 2", "X-Other: 2"),
        ("X-Secret: 1\r\nX-Other: 2\r\nConnection: x-SECRET , keep-alive", "X-Other: 2"),
        ("Connection: x-a\r\nConnection: x-b\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3", "X-C: 3"),
        (
            "Connection: Cookie, Authorization\r\nCookie: a=b\r\nAuthorization: x",
            "Cookie: a=b\r\nAuthorization: x",
        ),
        ("Connection: keep-alive, Host", ""),
        ("Connection: X-Real-IP\r\nX-Real-IP: 1.2.3.4", ""),
    ] {
        cases.push(forwarded(&format!("A55 {lines}"), with(lines), &[seen_with(left)]));
    }
    let post = |names: &str| {
        format!("POST /x HTTP/1.1\r\nHost: a\r\nConnection: {names}\r\nContent-Length: 2\r\n\r\nhi")
    };
    let seen = "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n<ours>\r\n\r\nhi";
    cases.push(forwarded(
        "A55 framing fields cannot be named away",
        post("Host, Content-Length, keep-alive"),
        &[seen],
    ));
    cases
        .push(forwarded("A55 close ends it", post("content-length, close"), &[seen]).then_closed());
    let names = vec!["x"; 33].join(",");
    cases.push(refused("A55 33 names", with(&format!("Connection: {names}")), 400));
    check(cases);
}

#[test]
fn what_is_large_and_harmless_passes() {
    let ranges = (0..1000).map(|n| format!("{n}-{}", n + 5)).collect::<Vec<_>>().join(",");
    let cookie = format!("Cookie: a={}", "b".repeat(24 << 10));
    let list = (0..3000).map(|n| format!("1.2.3.{}", n % 250)).collect::<Vec<_>>().join(",");
    let list = &list[..20_000];
    let range = format!("Range: bytes={ranges}");
    check(vec![
        forwarded("A73 a thousand ranges", with(&range), &[seen_with(&range)]),
        forwarded("A73 24 KiB of cookie", with(&cookie), &[seen_with(&cookie)]),
        refused("A73 64 KiB of cookie", with(&format!("Cookie: a={}", "b".repeat(64 << 10))), 431),
        refused(
            "A73 64 KiB of authorization",
            with(&format!("Authorization: {}", "b".repeat(64 << 10))),
            431,
        ),
        forwarded(
            "A58 20 KB of X-Forwarded-For",
            with(&format!("X-Forwarded-For: {list}")),
            &[seen_with("")],
        ),
        refused(
            "A58 10 000 members",
            with(&format!("X-Forwarded-For: {}", "1.2.3.4,".repeat(10_000))),
            431,
        ),
    ]);
}

#[test]
fn expectations_are_known_or_refused() {
    let with = |value: &str| {
        format!("POST /x HTTP/1.1\r\nHost: a\r\nExpect: {value}\r\nContent-Length: 2\r\n\r\nhi")
    };
    let seen = "POST /x HTTP/1.1\r\nhost: a\r\nExpect: 100-continue\r\ncontent-length: 2\r\n<ours>\r\n\r\nhi";
    let mut cases = vec![
        forwarded("A27 the known one", with("100-continue"), &[seen]),
        refused("A27 folded", with("\r\n 100-continue"), 417),
        refused("A27 twice", with("100-continue\r\nExpect: 100-continue"), 417),
    ];
    for value in [
        "banana",
        "y 100-continue",
        "100-continue, x",
        "100 continue",
        "\"100-continue\"",
        "",
        "200-ok",
    ] {
        cases.push(refused(&format!("A27 {value}"), with(value), 417));
    }
    check(cases);
}

#[test]
fn peers_that_are_trusted_are_believed() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).listener("trusted_proxies = [\"127.0.0.0/8\"]").start();
    let mut client = Client::new(&proxy);
    for (name, lines, expected) in [
        (
            "nothing said",
            "",
            [
                ("x-forwarded-for", "127.0.0.1"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "a"),
            ],
        ),
        (
            "everything said",
            "X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: www\r\n",
            [
                ("x-forwarded-for", "1.2.3.4, 5.6.7.8, 127.0.0.1"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "www"),
            ],
        ),
        (
            "two lines",
            "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: unknown, [::1]:80\r\nForwarded: for=1.2.3.4\r\n",
            [
                ("x-forwarded-for", "1.2.3.4, unknown, [::1]:80, 127.0.0.1"),
                ("x-forwarded-proto", "http"),
                ("forwarded", "for=1.2.3.4, for=127.0.0.1;host=a;proto=http"),
            ],
        ),
        (
            "ports and the rest pass, client certificates do not",
            "X-Real-IP: 9.9.9.9\r\nX-Forwarded-Port: 444\r\nX-Forwarded-Client-Cert: x\r\n",
            [
                ("x-real-ip", "9.9.9.9"),
                ("x-forwarded-port", "444"),
                ("x-forwarded-for", "127.0.0.1"),
            ],
        ),
    ] {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
        assert_eq!(client.response().unwrap().status(), 200, "{name}");
        let request = endpoint.requests().pop().unwrap();
        for (field, value) in expected {
            assert_eq!(request.field(field), Some(value), "A57 A58 {name}: {field}");
        }
        assert_eq!(request.field("x-forwarded-client-cert"), None, "{name}");
    }
    assert_eq!(endpoint.errors(), Vec::<String>::new());
}

/// Bytes behind an upgrade are held until the endpoint agrees; else they are the next request.
#[test]
fn bytes_behind_an_upgrade_are_a_request_unless_it_switches() {
    let upgrade = "Connection: upgrade\r\nUpgrade: foo";
    let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    let seen =
        "GET /x HTTP/1.1\r\nhost: a\r\n<ours>\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n";
    let seen_next = "GET /next HTTP/1.1\r\nhost: a\r\n<ours>\r\n\r\n";
    let post = format!("POST /x HTTP/1.1\r\nHost: a\r\n{upgrade}\r\nContent-Length: 2\r\n\r\nhi");
    check(vec![
        forwarded("A70 then a request", with(upgrade) + next, &[seen, seen_next]),
        forwarded("A70 then a request, later", with(upgrade) + next, &[seen, seen_next]).cut_at(70),
        forwarded(
            "A70 with a body there is no upgrade",
            post + next,
            &["POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n<ours>\r\n\r\nhi", seen_next],
        ),
        forwarded(
            "A70 not over HTTP/1.0",
            "GET /x HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n",
            &["GET /x HTTP/1.1\r\nhost: \r\n<ours 1.0>\r\n\r\n"],
        )
        .then_closed(),
        dropped("A70 garbage behind", with(upgrade) + "\x16\x03garbage").answering(&[seen]),
    ]);
}

#[test]
fn forwarded_requests_are_counted_by_hops() {
    let via = |n: usize| vec!["1.1 x"; n].join(", ");
    let own = "x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: a\r\n\
        forwarded: for=127.0.0.1;host=a;proto=http\r\n";
    let seen = format!("GET /x HTTP/1.1\r\nhost: a\r\n{own}via: {}, 1.1 fairwater\r\n\r\n", via(9));
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send(with(&format!("Via: {}", via(9))));
    assert_eq!(client.response().unwrap().status(), 200);
    assert_eq!(endpoint.requests()[0].raw, seen.as_bytes());
    client.send(with(&format!("Via: {}\r\nVia: {}", via(9), via(1))));
    assert_eq!(client.response().unwrap().status(), 508);
    assert_eq!(endpoint.requests().len(), 1);
    assert_eq!(proxy.until_log(2)[1].get("reason"), "loop_detected");
}
