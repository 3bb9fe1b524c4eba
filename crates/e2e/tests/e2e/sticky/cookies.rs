//! What the cookie looks like, who sees it, and what becomes of one that is none of ours.

use std::process::Command;

use super::*;
use crate::tls::{LOCAL, Pki};

const BASE64URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The value of the cookie that a reply sets, and its attributes.
#[track_caller]
fn value(reply: &Message) -> (String, String) {
    let lines = set(reply);
    let line = lines.iter().find(|line| line.starts_with("seat=")).unwrap();
    let (pair, attributes) = line.split_once("; ").unwrap();
    (pair.strip_prefix("seat=").unwrap().to_owned(), attributes.to_owned())
}

#[test]
fn a_cookie_tells_nothing_and_has_the_attributes_of_a_session() {
    let seats = trio();
    let proxy = setup(&seats).start();
    let reply = Client::new(&proxy).get("/");
    let (first, attributes) = value(&reply);
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
    assert_eq!(reply.field("cache-control"), Some("private"));
    assert!(first.len() == 48 && first.chars().all(|c| BASE64URL.contains(c)), "{first}");
    let mut others: Vec<_> = (0..6).map(|_| value(&Client::new(&proxy).get("/")).0).collect();
    others.push(first);
    others.sort();
    others.dedup();
    assert_eq!(others.len(), 7, "equal endpoints must not look equal");
}

#[test]
fn attributes_are_those_that_are_set() {
    let seats = trio();
    let all = "sticky = { cookie = \"seat\", same_site = \"strict\", http_only = false, \
               path = \"/shop\", domain = \".example.com\", max_age = \"8h\", secure = true }";
    let endpoints: Vec<_> = seats.iter().map(|seat| &seat.endpoint).collect();
    let proxy = Setup::http(&endpoints).upstream(all).start();
    let expected = "Path=/shop; Domain=example.com; Max-Age=28800; SameSite=Strict; Secure";
    assert_eq!(value(&Client::new(&proxy).get("/")).1, expected);
    let proxy = Setup::http(&endpoints).upstream("sticky = \"cookie\"").start();
    let line = set(&Client::new(&proxy).get("/")).pop().unwrap();
    assert!(line.starts_with("fairwater_"), "{line}");
}

#[test]
fn a_cookie_that_was_given_over_tls_goes_over_tls_alone() {
    let (pki, seats) = (Pki::new(), trio());
    let tls = format!("tls = {}", pki.pair("site", LOCAL).table("site"));
    for (http2, version) in [(true, "--http2"), (false, "--http1.1")] {
        let proxy = setup(&seats).listener(&format!("{tls}\nhttp2 = {http2}")).start();
        let output = Command::new("curl")
            .args(["-sSi", version, "--cacert", &pki.file("ca.pem")])
            .arg(format!("https://{}/", proxy.address))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("; HttpOnly; SameSite=Lax; Secure\r\n"), "{said}");
    }
    // And over TLS with a proxy before us, if that is to be believed.
    for (trusted, is_secure) in [("127.0.0.1", true), ("192.0.2.1", false)] {
        let line = format!("trusted_proxies = [\"{trusted}\"]");
        let proxy = setup(&seats).listener(&line).start();
        let mut client = Client::new(&proxy);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n");
        let (_, attributes) = value(&client.response().unwrap());
        assert_eq!(attributes.ends_with("; Secure"), is_secure, "{attributes}");
    }
}

#[test]
fn endpoints_neither_see_nor_set_it() {
    let [only, ..] = trio();
    let endpoints = [&only.endpoint];
    let proxy = Setup::http(&endpoints).upstream(SEAT).start();
    let mut client = Client::new(&proxy);
    let (own, _) = value(&client.get("/"));
    for (sent, expected) in [
        (format!("Cookie: seat={own}\r\n"), vec![]),
        (format!("Cookie: a=\"b\";c=d;  seat={own}; e\r\n"), vec!["a=\"b\";c=d; e"]),
        (format!("Cookie: seat=x\r\nCookie: a=1; seat={own}\r\n"), vec!["a=1"]),
        ("Cookie: a=1\r\nCookie: b=2\r\n".to_owned(), vec!["a=1", "b=2"]),
        (format!("Cookie: SEAT=1; seat2=2; seat={own}\r\n"), vec!["SEAT=1; seat2=2"]),
    ] {
        client.send(format!("GET /sets HTTP/1.1\r\nHost: a\r\n{sent}\r\n"));
        let reply = client.response().unwrap();
        assert_eq!(only.last().all("cookie").collect::<Vec<_>>(), expected, "{sent}");
        let is_told = !sent.contains(&own);
        let lines = set(&reply);
        assert_eq!(lines[0], "own=1");
        assert_eq!(lines.len(), 1 + usize::from(is_told), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("stolen")), "{lines:?}");
    }
}

#[test]
fn filters_of_a_route_change_heads_beside_it() {
    let [only, ..] = trio();
    let filters = "request_headers = { set = { x-own = \"1\" }, remove = [\"cookie\"] }\n\
                   response_headers = { add = { set-cookie = \"b=2\" } }";
    let proxy = Setup::http(&[&only.endpoint]).upstream(SEAT).listener(filters).start();
    let mut session = Session::default();
    for round in 0..2 {
        let reply = session.ask(&proxy.address, "/");
        assert_eq!(set(&reply).len(), 2 - round, "{reply:?}");
        let request = only.last();
        assert_eq!((request.field("cookie"), request.field("x-own")), (None, Some("1")));
    }
    check_counts(&proxy, [1, 1, 0, 0]);
}

#[test]
fn cookies_that_are_none_of_ours_begin_another_session() {
    let seats = trio();
    let mut proxy = setup(&seats).start();
    let (session, _) = Session::begun(&proxy);
    let good = session.cookie.unwrap();
    let last = if good.ends_with('A') { 'B' } else { 'A' };
    let long = format!("seat={}", "A".repeat(20_000));
    let forged = [
        "seat=".to_owned(),
        "seat=1".to_owned(),
        format!("seat={}", "A".repeat(48)),
        format!("{}{last}", &good[..good.len() - 1]),
        good[..good.len() - 1].to_owned(),
        format!("{good}A"),
        format!("seat={:?}", seats[0].address()),
        long,
        "seat=\u{fc}\u{1f600}".to_owned(),
        vec!["seat=A"; 300].join("; "),
    ];
    for (round, cookie) in forged.iter().enumerate() {
        let mut session = Session { cookie: Some(cookie.clone()) };
        session.get(&proxy);
        assert_ne!(session.cookie.as_ref(), Some(cookie));
        check_counts(&proxy, [1, 0, 0, round as u64 + 1]);
    }
    proxy.assert_sound();
}

#[test]
fn a_cookie_of_one_upstream_means_nothing_to_another() {
    let seats = trio();
    let addresses = seats.iter().map(|seat| format!("{:?}", seat.address())).collect::<Vec<_>>();
    let other = format!(
        "[[routes]]\nlistener = \"web\"\npath = \"/other\"\nupstream = \"other\"\n\
         [upstreams.other]\n{SEAT}\nendpoints = [{}]\n",
        addresses.join(", ")
    );
    let proxy = setup(&seats).more(&other).start();
    let (session, _) = Session::begun(&proxy);
    let mut copy = Session { cookie: session.cookie.clone() };
    assert_eq!(copy.ask(&proxy.address, "/other").status(), 200);
    assert_ne!(copy.cookie, session.cookie);
    let of_other = |what: &str| {
        let label = format!("session=\"{what}\"");
        proxy.metric("fairwater_sticky_requests_total", &["upstream=\"other\"", &label])
    };
    assert_eq!([of_other("refused"), of_other("new"), of_other("kept")], [1, 0, 0]);
    copy.ask(&proxy.address, "/other");
    assert_eq!(of_other("kept"), 1);
    copy.ask(&proxy.address, "/");
    check_counts(&proxy, [1, 0, 0, 1]);
}

#[test]
fn who_has_the_secret_knows_the_sessions() {
    let seats = trio();
    let endpoints: Vec<_> = seats.iter().map(|seat| &seat.endpoint).collect();
    let node = |secret: &str| {
        let line = format!("sticky = {{ cookie = \"seat\", secret = {secret} }}");
        // Not in the same order: places mean nothing.
        let endpoints: Vec<_> = endpoints.iter().rev().copied().collect();
        Setup::http(&endpoints).upstream(&line).start()
    };
    let (old, new) =
        ("\"0123456789abcdef0123456789abcdef\"", "\"fedcba9876543210fedcba9876543210\"");
    let (first, second) = (node(old), node(old));
    let rotated = node(&format!("[{new}, {old}]"));
    let other = node(new);
    for name in ["1", "2", "3"] {
        let mut session = Session::at(&first, name);
        assert_eq!(session.get(&second), name);
        assert_eq!(session.get(&rotated), name);
        session.get(&other);
    }
    check_counts(&second, [0, 3, 0, 0]);
    check_counts(&rotated, [0, 3, 0, 0]);
    check_counts(&other, [0, 0, 0, 3]);
    let config = first.ask("/config").text();
    assert!(
        config.contains("\"secret\":\"***\"") && !config.contains("0123456789abcdef"),
        "{config}"
    );
    let config = rotated.ask("/config").text();
    assert!(
        config.contains("\"secret\":[\"***\",\"***\"]") && !config.contains("fedcba"),
        "{config}"
    );
}
