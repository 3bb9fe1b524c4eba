//! Pages in place of bare errors.

use std::fs;

use fairwater_e2e::{Client, Endpoint, Message, Proxy, Setup};

const PAGES: &str = "error_pages = { \
     404 = [\"errors/404.html\", \"errors/404.json\"], 4xx = \"errors/4xx.txt\", \
     5xx = \"errors/5xx.html\" }";

const HTML: &str = "<style>p { color: red }</style><p>{status} {status_text} {request_id}</p>";

fn setup(endpoints: &[&Endpoint]) -> Setup {
    let setup = Setup::http(endpoints).listener(PAGES);
    let errors = setup.directory().join("errors");
    fs::create_dir(&errors).unwrap();
    fs::write(errors.join("404.html"), HTML).unwrap();
    fs::write(errors.join("404.json"), "{\"error\":\"{status_text}\",\"id\":\"{request_id}\"}")
        .unwrap();
    fs::write(errors.join("4xx.txt"), "sorry: {status}").unwrap();
    fs::write(errors.join("5xx.html"), "<h1>{status}</h1>").unwrap();
    fs::write(errors.join("of-route.html"), "of the route").unwrap();
    setup
}

fn ask(proxy: &Proxy, request: &str, fields: &str) -> Message {
    let mut client = Client::new(proxy);
    client.send(format!("{request} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    client.response_to(request.split(' ').next().unwrap()).unwrap()
}

#[test]
fn our_own_errors_have_their_pages() {
    let endpoint = Endpoint::new(|caller| drop(caller.request()));
    let mut proxy = setup(&[&endpoint])
        .without_route()
        .upstream("retries = 0")
        .listener("response_headers = { set = { strict = \"yes\" } }")
        .more(
            "[[routes]]\nlistener = \"web\"\npath = \"/broken\"\nupstream = \"app\"\n\
             [[routes]]\nlistener = \"web\"\npath = \"/gone\"\nrespond = 410\n\
             [[routes]]\nlistener = \"web\"\npath = \"/said\"\n\
             respond = { status = 503, body = \"closed\" }\n\
             [[routes]]\nlistener = \"web\"\npath = \"/empty\"\nrespond = 200\n\
             [[routes]]\nlistener = \"web\"\npath = \"/bare/*\"\nrespond = 404\n\
             error_pages = false\n\
             [[routes]]\nlistener = \"web\"\npath = \"/own/*\"\nupstream = \"app\"\n\
             error_pages = { 403 = \"errors/of-route.html\" }\ndeny = \"127.0.0.1\"\n\
             [[routes]]\nlistener = \"web\"\npath = \"/private\"\nupstream = \"app\"\n\
             basic_auth = { users = { ada = \"$2y$05$jIglWt7Ae47UMZMtibv4ieYLDBRIZkxBuK71yURyLhA5nm68p3csS\" } }\n",
        )
        .start();
    let html = "text/html; charset=utf-8";
    let text = "text/plain; charset=utf-8";
    for (target, status, content_type, body) in [
        ("/broken", 502, html, "<h1>502</h1>"),
        ("/gone", 410, text, "sorry: 410"),
        ("/said", 503, text, "closed"),
        ("/own/x", 403, html, "of the route"),
        ("/private", 401, text, "sorry: 401"),
    ] {
        let reply = ask(&proxy, &format!("GET {target}"), "");
        assert_eq!((reply.status(), reply.text().as_str()), (status, body), "{target}");
        assert_eq!(reply.field("content-type"), Some(content_type), "{target}");
        assert_eq!(reply.field("strict"), Some("yes"));
        assert_eq!(reply.field("www-authenticate").is_some(), status == 401);
        assert_eq!(reply.field("retry-after").is_some(), status == 503);
        let head = ask(&proxy, &format!("HEAD {target}"), "");
        assert_eq!(head.field("content-length"), reply.field("content-length"), "{target}");
    }
    assert_eq!(ask(&proxy, "GET /empty", "").text(), "");
    assert_eq!(ask(&proxy, "GET /bare/x", "").text(), "");
    let reply = ask(&proxy, "GET /none", "");
    let log = proxy.until_log(13);
    let expected = HTML
        .replace("{status} {status_text}", "404 Not Found")
        .replace("{request_id}", log[12].get("id"));
    assert_eq!((reply.status(), reply.text()), (404, expected));
    proxy.assert_sound();
}

#[test]
fn who_prefers_json_gets_that() {
    let endpoint = Endpoint::echo("e");
    let proxy = setup(&[&endpoint])
        .without_route()
        .listener("request_id = \"x-request-id\"")
        .listener("trusted_proxies = \"127.0.0.1\"")
        .more("[[routes]]\nlistener = \"web\"\npath = \"/gone\"\nrespond = 503\n")
        .start();
    let json = "Accept: application/json\r\n";
    let reply = ask(&proxy, "GET /none", &format!("{json}X-Request-Id: a=b/c\r\n"));
    assert_eq!(reply.field("content-type"), Some("application/json"));
    assert_eq!(reply.text(), "{\"error\":\"Not Found\",\"id\":\"a=b/c\"}");
    let reply = ask(&proxy, "GET /none", &format!("{json}X-Request-Id: \"<b>\r\n"));
    assert!(!reply.text().contains("<b>"), "{}", reply.text());
    let reply = ask(&proxy, "GET /none", "Accept: text/html, application/json\r\n");
    assert_eq!(reply.field("content-type"), Some("text/html; charset=utf-8"));
    // There is no page in JSON for this one.
    let reply = ask(&proxy, "GET /../x/%2f", json);
    assert_eq!((reply.status(), reply.text().contains("\"status\":400")), (400, true));
}

#[test]
fn requests_that_cannot_be_read_have_pages_too() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = setup(&[&endpoint]).listener("max_body = \"1KB\"").start();
    let long = format!("X: {}\r\n", "x".repeat(40_000));
    for (request, fields, status) in [
        ("GET /", "Content-Length: x\r\n", 400),
        ("GET /", "Host: b\r\n", 400),
        ("GET /", &*long, 431),
        ("POST /", "Content-Length: 2000\r\n", 413),
    ] {
        let reply = ask(&proxy, request, fields);
        assert_eq!((reply.status(), reply.text()), (status, format!("sorry: {status}")));
        assert!(reply.closes());
    }
    proxy.assert_sound();
}

/// Answers with what the target names.
fn erring() -> Endpoint {
    Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            let has_body = request.method() != "HEAD";
            let head = "HTTP/1.1 404 Nope\r\nSet-Cookie: a=b\r\nWWW-Authenticate: Basic\r\n\
                        Content-Type: application/problem+json\r\nContent-Encoding: gzip\r\n\
                        ETag: \"1\"\r\nLast-Modified: x\r\nCache-Control: no-store\r\n";
            let (more, body) = match request.target() {
                "/good" => {
                    caller.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
                    continue;
                }
                "/418" => {
                    caller.send(b"HTTP/1.1 399 Odd\r\nContent-Length: 3\r\n\r\nodd");
                    continue;
                }
                "/empty" => ("Content-Length: 0\r\n\r\n".to_owned(), Vec::new()),
                "/short" => ("Content-Length: 5\r\n\r\n".to_owned(), b"short".to_vec()),
                "/long" => ("Content-Length: 1000000\r\n\r\n".to_owned(), vec![b'x'; 1_000_000]),
                "/chunked" => (
                    "Transfer-Encoding: chunked\r\nTrailer: x\r\n\r\n".to_owned(),
                    b"5\r\nshort\r\n0\r\nX: y\r\n\r\n".to_vec(),
                ),
                "/endless" => {
                    ("Transfer-Encoding: chunked\r\n\r\n".to_owned(), b"5\r\nshort\r\n".to_vec())
                }
                "/excess" => ("Content-Length: 2\r\n\r\n".to_owned(), b"short".to_vec()),
                "/interim" => {
                    caller.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
                    ("Content-Length: 5\r\n\r\n".to_owned(), b"short".to_vec())
                }
                _ => {
                    caller.send(format!("{head}Connection: close\r\n\r\nshort"));
                    return;
                }
            };
            let mut reply = format!("{head}{more}").into_bytes();
            if has_body {
                reply.extend_from_slice(&body);
            }
            caller.send(reply);
        }
    })
}

#[test]
fn errors_of_endpoints_are_left_alone_unless_they_are_intercepted() {
    let endpoint = erring();
    let proxy = setup(&[&endpoint]).start();
    let reply = ask(&proxy, "GET /short", "");
    assert_eq!((reply.status(), reply.text().as_str()), (404, "short"));
}

#[test]
fn errors_of_endpoints_are_replaced() {
    let endpoint = erring();
    let mut proxy = setup(&[&endpoint])
        .listener("intercept_errors = true")
        .listener("request_id = \"x-id\"")
        .more(
            "[[routes]]\nlistener = \"web\"\npath = \"/own/*\"\nupstream = \"app\"\n\
             intercept_errors = false\n",
        )
        .start();
    let mut client = Client::new(&proxy);
    for target in [
        "/short", "/empty", "/good", "/short", "/chunked", "/good", "/endless", "/good", "/long",
        "/good", "/excess", "/good", "/close", "/good",
    ] {
        let reply = client.get(target);
        if target == "/good" {
            assert_eq!((reply.status(), reply.text().as_str()), (200, "good"));
            continue;
        }
        let id = reply.field("x-id").unwrap();
        let expected =
            HTML.replace("{status} {status_text}", "404 Not Found").replace("{request_id}", id);
        assert_eq!((reply.start_line.as_str(), reply.text()), ("HTTP/1.1 404 Nope", expected));
        for (name, value) in [
            ("content-type", Some("text/html; charset=utf-8")),
            ("set-cookie", Some("a=b")),
            ("www-authenticate", Some("Basic")),
            ("cache-control", Some("no-store")),
            ("content-encoding", None),
            ("etag", None),
            ("last-modified", None),
            ("trailer", None),
            ("transfer-encoding", None),
        ] {
            assert_eq!(reply.field(name), value, "{target} {name}");
        }
        assert!(!reply.closes(), "{target}");
    }
    client.send("GET /interim HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().unwrap().status(), 103);
    assert!(client.response().unwrap().text().contains("404 Not Found"));
    for _ in 0..2 {
        client.send("HEAD /short HTTP/1.1\r\nHost: a\r\n\r\n");
        let reply = client.response_to("HEAD").unwrap();
        assert_eq!((reply.status(), reply.field("etag")), (404, None));
        assert!(reply.field("content-length").unwrap().parse::<usize>().unwrap() > 60);
    }
    let reply = ask(&proxy, "GET /418", "");
    assert_eq!((reply.status(), reply.text().as_str()), (399, "odd"));
    let reply = ask(&proxy, "GET /own/x", "");
    assert_eq!((reply.status(), reply.text().as_str()), (404, "short"));
    proxy.assert_sound();
}

#[test]
fn a_connection_whose_body_was_dropped_is_used_again_only_if_that_was_whole() {
    let endpoint = erring();
    let proxy = setup(&[&endpoint]).listener("intercept_errors = true").start();
    let mut client = Client::new(&proxy);
    for (target, accepted) in
        [("/short", 1), ("/empty", 1), ("/good", 1), ("/endless", 1), ("/good", 2), ("/long", 2)]
    {
        client.get(target);
        assert_eq!(endpoint.accepted(), accepted, "{target}");
    }
    assert_eq!(client.get("/good").text(), "good");
    assert_eq!(endpoint.accepted(), 3);
}

#[test]
fn an_upload_that_is_answered_early_gets_its_page() {
    let endpoint = Endpoint::new(|caller| {
        caller.read_until(b"\r\n\r\n");
        caller.send(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
        caller.until_closed();
    });
    let mut proxy = setup(&[&endpoint]).listener("intercept_errors = true").start();
    let mut client = Client::new(&proxy);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\nbegun");
    let reply = client.response_to("POST").unwrap();
    assert_eq!((reply.status(), reply.text().as_str()), (413, "sorry: 413"));
    proxy.assert_sound();
}
