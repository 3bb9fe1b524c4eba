//! Ways around what filters say.

use std::time::{Duration, Instant};

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Endpoint, Setup};

fn target_of(endpoint: &Endpoint) -> String {
    endpoint.requests().pop().unwrap().target().to_owned()
}

/// The endpoint must never get a path that leads out of what was added, or to a route that is
/// denied.
#[test]
fn no_path_leads_out_of_where_it_is_put() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint])
        .without_route()
        .more(
            "[[routes]]\nlistener = \"web\"\nupstream = \"app\"\nhost = \"strip\"\n\
             strip_prefix = \"/app\"\nadd_prefix = \"/public\"\n\
             [[routes]]\nlistener = \"web\"\nupstream = \"app\"\nhost = \"only\"\npath = \"/api/*\"\n\
             strip_prefix = \"/api\"\n\
             [[routes]]\nlistener = \"web\"\nupstream = \"app\"\nhost = \"cafe\"\npath = \"/café/*\"\n\
             strip_prefix = \"/caf%C3%A9\"\n\
             [[routes]]\nlistener = \"web\"\nupstream = \"app\"\nhost = \"rewrite\"\n\
             rewrite = \"/public/{header.x-tenant}{path}\"\n",
        )
        .start();
    let ask = |host: &str, target: &str, tenant: &str| {
        let mut client = Client::new(&proxy);
        let tenant = format!("X-Tenant: {tenant}\r\n");
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{tenant}\r\n"));
        client.response().unwrap().status()
    };
    for (host, target, expected) in [
        ("strip", "/app/../secret", "/public/secret"),
        ("strip", "/app/%2e%2e/secret", "/public/secret"),
        ("strip", "/app/../app/secret", "/public/secret"),
        ("strip", "/../../etc", ""),
        ("strip", "/other/../x", "/public/x"),
        ("strip", "/app/a%20b?q", "/public/a%20b?q"),
        ("only", "/api//evil.example/x", "/evil.example/x"),
        ("only", "/api/../api/x", "/x"),
        ("cafe", "/caf%c3%a9/x", "/x"),
        ("cafe", "/%63af%C3%A9/x", "/x"),
        ("rewrite", "/a/../../x", ""),
        ("rewrite", "/a/../x", "/public/t/x"),
    ] {
        let status = ask(host, target, "t");
        assert_eq!(status, if expected.is_empty() { 400 } else { 200 }, "{host} {target}");
        if !expected.is_empty() {
            assert_eq!(target_of(&endpoint), expected, "{host} {target}");
        }
    }
    for (tenant, expected) in [
        ("..", ""),
        (".", ""),
        ("..;a=b", ""),
        ("../../admin", "/public/..%2F..%2Fadmin/x"),
        ("a/b c", "/public/a%2Fb%20c/x"),
        ("%2e%2e", "/public/%252e%252e/x"),
    ] {
        let status = ask("rewrite", "/x", tenant);
        assert_eq!(status, if expected.is_empty() { 400 } else { 200 }, "{tenant}");
        if !expected.is_empty() {
            assert_eq!(target_of(&endpoint), expected);
        }
    }
}

/// An empty line behind a body is nothing: the connection stays as long as an idle one does.
#[test]
fn empty_lines_between_requests_are_nothing() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint])
        .listener("request_head_timeout = \"300ms\"\nidle_timeout = \"3s\"")
        .start();
    let mut client = Client::new(&proxy);
    for (n, tail) in ["\r\n", "\r\n\r\n", "", "\r"].into_iter().enumerate() {
        client.send(format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx{tail}"));
        assert_eq!(client.response_to("POST").unwrap().status(), 200);
        std::thread::sleep(Duration::from_millis(if tail == "\r" { 50 } else { 500 }));
    }
    client.send("\nGET /last HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().unwrap().status(), 200);
    // Half a line is the start of something, and has the time of a head.
    client.send("\r");
    let begun = Instant::now();
    client.read_to_end();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    // Many are an offence.
    let mut client = Client::new(&proxy);
    client.send("\r\n".repeat(20));
    assert_eq!(client.response().unwrap().status(), 400);
    proxy.assert_sound();
}

#[test]
fn edits_hold_in_trailers_and_interim_replies() {
    let endpoint = Endpoint::new(|caller| {
        while caller.request().is_some() {
            caller.send(
                "HTTP/1.1 103 Early Hints\r\nServer: e\r\nX-Secret: 1\r\nLink: l\r\n\r\n\
                 HTTP/1.1 200 OK\r\nServer: e\r\nTransfer-Encoding: chunked\r\n\r\n\
                 1\r\nx\r\n0\r\nX-Secret: 2\r\nX_Secret: 3\r\nX-Sum: 4\r\n\r\n",
            );
        }
    });
    let proxy = Setup::http(&[&endpoint])
        .listener("request_id = \"x-id\"")
        .listener("request_headers = { set = { x-user = \"me\" }, remove = [\"x-admin\"] }")
        .listener(
            "response_headers = { set = { x-a = \"b\" }, remove = [\"server\", \"x-secret\"] }",
        )
        .start();
    let mut client = Client::new(&proxy);
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-user\r\n\r\n1\r\nx\r\n0\r\n\
         X-User: root\r\nx_user: root\r\nX-Admin: 1\r\nX-Id: forged\r\nX-Sum: 1\r\n\r\n",
    );
    let early = client.response_to("POST").unwrap();
    assert_eq!((early.status(), early.field("link")), (103, Some("l")));
    assert_eq!((early.field("server"), early.field("x-secret")), (None, None));
    let reply = client.response_to("POST").unwrap();
    assert_eq!((reply.field("server"), reply.field("x-a")), (None, Some("b")));
    assert_eq!(reply.trailers, [("X-Sum".to_owned(), "4".to_owned())]);
    let request = endpoint.requests().pop().unwrap();
    assert_eq!(request.trailers, [("X-Sum".to_owned(), "1".to_owned())]);
    assert_eq!(request.field("x-user"), Some("me"));
}

/// What a listener says holds for what no route takes as well.
#[test]
fn a_listener_judges_what_has_no_route() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint])
        .without_route()
        .listener("trusted_proxies = \"127.0.0.1\"\ndeny = \"10.0.0.0/8\"")
        .listener("response_headers = { set = { strict = \"yes\", who = \"{client}\" } }")
        .more(
            "[[routes]]\nlistener = \"web\"\npath = \"/x\"\nupstream = \"app\"\n\
             headers = { x-debug = true }\nrespond = 204\n"
                .replace("upstream = \"app\"\n", "")
                .as_str(),
        )
        .start();
    let ask = |start: &str, client: &str, fields: &str| {
        let method = start.split(' ').next().unwrap();
        let mut connection = Client::new(&proxy);
        let client = format!("X-Forwarded-For: {client}\r\n");
        connection.send(format!("{start} HTTP/1.1\r\nHost: a\r\n{client}{fields}\r\n"));
        let reply = connection.response_to(method).unwrap();
        (reply.status(), reply.field("strict").is_some())
    };
    let via = "Via: 1.1 a, 1.1 b, 1.1 c, 1.1 d, 1.1 e, 1.1 f, 1.1 g, 1.1 h, 1.1 i, 1.1 j\r\n";
    for (start, fields, status) in [
        ("GET /none", "", 404),
        ("GET /%2f", "", 400),
        ("OPTIONS *", "", 204),
        ("OPTIONS /x", "Max-Forwards: 0\r\n", 204),
        ("GET /x", via, 508),
        ("GET /x", "X-Debug: 1\r\n", 204),
        ("GET /x", "X_Debug: 1\r\n", 204),
    ] {
        assert_eq!(ask(start, "192.0.2.1", fields), (status, true), "{start}");
        assert_eq!(ask(start, "10.0.0.1", fields), (403, true), "{start}");
    }
    // Of a head that cannot be read nothing can be filled in.
    let mut client = Client::new(&proxy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let reply = client.response().unwrap();
    assert_eq!(
        (reply.status(), reply.field("strict"), reply.field("who")),
        (400, Some("yes"), None)
    );
}

#[test]
fn a_name_with_an_underscore_is_the_name_that_it_is_read_as() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint])
        .listener("request_headers = { remove = [\"x_request_id\", \"user_agent\"] }")
        .start();
    let mut client = Client::new(&proxy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: 1\r\nUser-Agent: u\r\nX: y\r\n\r\n");
    assert_eq!(client.response().unwrap().status(), 200);
    let request = endpoint.requests().pop().unwrap();
    assert_eq!((request.field("x-request-id"), request.field("user-agent")), (None, None));
    assert_eq!(request.field("x"), Some("y"));
}

#[test]
fn a_redirect_needs_the_host_that_it_names() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint])
        .without_route()
        .listener("redirect = \"https://{host}{path}\"")
        .start();
    let mut client = Client::new(&proxy);
    client.send("GET /evil.example/x HTTP/1.0\r\n\r\n");
    let reply = client.response().unwrap();
    assert_eq!((reply.status(), reply.field("location")), (400, None));
}

/// As many clients as there is room for are never turned away.
#[test]
fn there_is_room_for_as_many_as_there_is_room() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint])
        .threads(8)
        .listener("max_connections = 2\nwhen_full = \"reject\"")
        .start();
    for _ in 0..400 {
        let mut client = Client::new(&proxy);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response().unwrap().status(), 200);
        assert_eq!(client.end(), End::Closed);
    }
    assert_eq!(proxy.metric("fairwater_connections_refused_total", &[]), 0);
    proxy.assert_sound();
}

#[test]
fn a_short_body_timeout_is_kept_for_what_is_sent() {
    let endpoint = Endpoint::new(|caller| {
        if caller.request().is_some() {
            caller.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
            while caller.send(vec![0; 1 << 20]) {}
        }
    });
    let proxy = Setup::http(&[&endpoint]).listener("body_timeout = \"200ms\"").start();
    let mut client = Client::from_afar(&proxy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let begun = Instant::now();
    let line = proxy.until_log(1).remove(0);
    assert_eq!(line.get("reason"), "client_stalled");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
