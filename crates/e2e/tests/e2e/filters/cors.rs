//! Pages of other origins.

use fairwater_e2e::{Client, Endpoint, Message, Proxy, Setup};

const RULES: &str = "cors = { origins = [\"https://app.example\", \"https://*.example.com\"], \
     methods = [\"GET\", \"PUT\"], headers = [\"x-a\", \"content-type\"], expose = \"x-total\", \
     credentials = true, max_age = \"1h\" }";

const USERS: &str = "basic_auth = { users = { \
     ada = \"$2y$05$jIglWt7Ae47UMZMtibv4ieYLDBRIZkxBuK71yURyLhA5nm68p3csS\" } }";

fn ask(proxy: &Proxy, request: &str, origin: &str, more: &str) -> Message {
    let mut client = Client::new(proxy);
    client.send(format!("{request} HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n{more}\r\n"));
    client.response_to(request.split(' ').next().unwrap()).unwrap()
}

/// What a browser asks before it sends a PUT.
fn preflight(proxy: &Proxy, target: &str, origin: &str, method: &str) -> Message {
    let more = format!(
        "Access-Control-Request-Method: {method}\r\nAccess-Control-Request-Headers: x-a\r\n"
    );
    ask(proxy, &format!("OPTIONS {target}"), origin, &more)
}

fn allowed(reply: &Message) -> Option<&str> {
    reply.field("access-control-allow-origin")
}

#[test]
fn preflights_are_answered_before_anybody_is_asked_for_a_password() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).listener(RULES).listener(USERS).start();
    for origin in ["https://app.example", "https://a.b.example.com"] {
        let reply = preflight(&proxy, "/", origin, "PUT");
        assert_eq!((reply.status(), allowed(&reply)), (204, Some(origin)));
        for (name, value) in [
            ("vary", "Origin"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "GET, PUT"),
            ("access-control-allow-headers", "x-a, content-type"),
            ("access-control-max-age", "3600"),
        ] {
            assert_eq!(reply.field(name), Some(value));
        }
        assert_eq!(reply.field("content-length"), None);
    }
    let reply = preflight(&proxy, "/", "https://evil.example", "PUT");
    assert_eq!((reply.status(), allowed(&reply)), (403, None));
    assert_eq!(reply.field("vary"), Some("Origin"));
    assert_eq!(reply.field("access-control-allow-methods"), None);
    let log = proxy.until_log(3);
    assert_eq!(log[2].get("reason"), "origin_refused");
    assert!(endpoint.requests().is_empty());
    proxy.assert_sound();
}

#[test]
fn replies_name_the_origin_whoever_makes_them() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            if request.target() == "/broken" {
                return;
            }
            caller.send(
                b"HTTP/1.1 200 OK\r\nVary: Accept-Encoding\r\nContent-Length: 0\r\n\
                  Access-Control-Allow-Origin: *\r\nACCESS-CONTROL-ALLOW-CREDENTIALS: true\r\n\
                  Access-Control-Expose-Headers: x-b\r\n\r\n",
            );
        }
    });
    let proxy = Setup::http(&[&endpoint])
        .without_route()
        .listener(RULES)
        .upstream("retries = 0")
        .listener("response_headers = { set = { access-control-allow-origin = \"*\" } }")
        .more(&format!(
            "[[routes]]\nlistener = \"web\"\npath = \"/api/*\"\nupstream = \"app\"\n\
             [[routes]]\nlistener = \"web\"\npath = \"/broken\"\nupstream = \"app\"\n\
             [[routes]]\nlistener = \"web\"\npath = \"/private\"\nupstream = \"app\"\n{USERS}\n\
             [[routes]]\nlistener = \"web\"\npath = \"/closed\"\nrespond = 503\n\
             [[routes]]\nlistener = \"web\"\npath = \"/own\"\nupstream = \"app\"\ncors = false\n"
        ))
        .start();
    let origin = "https://app.example";
    for (target, status) in
        [("/api/x", 200), ("/broken", 502), ("/private", 401), ("/closed", 503), ("/none", 404)]
    {
        let reply = ask(&proxy, &format!("GET {target}"), origin, "");
        assert_eq!((reply.status(), allowed(&reply)), (status, Some(origin)), "{target}");
        assert_eq!(reply.field("access-control-expose-headers"), Some("x-total"));
        assert_eq!(reply.field("access-control-allow-credentials"), Some("true"));
        let reply = ask(&proxy, &format!("GET {target}"), "https://evil.example", "");
        assert_eq!((reply.status(), allowed(&reply)), (status, None), "{target}");
        assert_eq!(reply.field("access-control-allow-credentials"), None);
    }
    let reply = ask(&proxy, "GET /api/x", origin, "");
    assert_eq!(reply.all("vary").collect::<Vec<_>>(), ["Accept-Encoding", "Origin"]);
    // An OPTIONS that is no preflight is a request like any other.
    let reply = ask(&proxy, "OPTIONS /api/x", origin, "");
    assert_eq!((reply.status(), allowed(&reply)), (200, Some(origin)));
    // What a listener says may be left to the endpoint of a route.
    let reply = ask(&proxy, "GET /own", origin, "");
    assert_eq!(reply.all("vary").collect::<Vec<_>>(), ["Accept-Encoding"]);
    assert_eq!(reply.field("access-control-expose-headers"), Some("x-b"));
}

#[test]
fn nothing_comes_back_that_no_browser_would_send() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).listener(RULES).start();
    let long = format!("https://{}.example.com", "a".repeat(20_000));
    for origin in [
        "",
        "null",
        "*",
        "https://app.example:443",
        "https://app.example/",
        "https://app.example, https://app.example",
        "https://app.example\r\nOrigin: https://app.example",
        "https://app.example\r\nOrigin: https://evil.example",
        "https://evil.example?.example.com",
        "https://evil.example/a.example.com",
        "https://evil.example%0d%0ax: y.example.com",
        "https://evil.example\t.example.com",
        "https://.example.com",
        "https://x@a.example.com",
        "https://\u{e9}.example.com",
    ] {
        let reply = ask(&proxy, "GET /", origin, "");
        assert_eq!((reply.status(), allowed(&reply)), (200, None), "{origin:?}");
        assert!(!reply.raw.windows(4).any(|four| four == b"evil"), "{reply:?}");
        // What names two origins is no preflight, and a request like any other.
        let status = if origin.contains('\n') { 200 } else { 403 };
        let reply = preflight(&proxy, "/", origin, "PUT");
        assert_eq!((reply.status(), allowed(&reply)), (status, None), "{origin:?}");
    }
    assert_eq!(allowed(&ask(&proxy, "GET /", &long, "")), Some(&*long));
    proxy.assert_sound();
}

#[test]
fn a_preflight_finds_the_route_of_the_request_that_it_asks_about() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint])
        .without_route()
        .more(
            "[[routes]]\nlistener = \"web\"\npath = \"/x\"\nmethod = [\"GET\"]\n\
             upstream = \"app\"\ncors = { origins = \"*\", max_age = \"1m\" }\n\
             [[routes]]\nlistener = \"web\"\npath = \"/x\"\nmethod = [\"PUT\"]\n\
             upstream = \"app\"\n\
             cors = { origins = \"https://app.example\", methods = \"PUT\", max_age = \"2m\" }\n",
        )
        .start();
    let origin = "https://app.example";
    for (method, expected) in [("GET", "60"), ("HEAD", "60"), ("PUT", "120")] {
        let reply = preflight(&proxy, "/x", origin, method);
        assert_eq!(reply.field("access-control-max-age"), Some(expected), "{method}");
    }
    assert_eq!(preflight(&proxy, "/x", origin, "DELETE").status(), 404);
    assert_eq!(ask(&proxy, "OPTIONS /x", origin, "").status(), 404);
    let reply = ask(&proxy, "GET /x", "https://whoever.example", "");
    assert_eq!((allowed(&reply), reply.field("vary")), (Some("*"), None));
}
