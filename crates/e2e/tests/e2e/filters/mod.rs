//! What routes do to requests and replies beside sending them on.

mod basic_auth;
mod cors;
mod error_pages;

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Endpoint, Message, Proxy, Setup};

/// One request of whatever form, and its reply.
fn ask(proxy: &Proxy, method: &str, target: &str, fields: &str) -> Message {
    let mut client = Client::new(proxy);
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: A.example:80\r\n{fields}\r\n"));
    client.response_to(method).unwrap()
}

fn routes(endpoint: &Endpoint, routes: &str) -> Proxy {
    Setup::http(&[endpoint]).more(routes).start()
}

#[test]
fn headers_are_set_added_and_removed_on_both_ways() {
    let endpoint = Endpoint::new(|caller| {
        while caller.request().is_some() {
            caller.send(
                b"HTTP/1.1 200 OK\r\nServer: e\r\nX-Powered-By: e\r\nX-A: e\r\nContent-Length: 0\r\n\r\n",
            );
        }
    });
    let mut proxy = Setup::http(&[&endpoint])
        .listener("response_headers = { set = { strict = \"yes\" }, remove = [\"x-powered-by\"] }")
        .more(
            "[[routes]]\nlistener = \"web\"\npath = \"/users/{id}/*\"\nupstream = \"app\"\n\
             [routes.request_headers]\n\
             set = { x-user = \"{id}\", x-a = \"{header.x-b}\", x-real-ip = \"{client}\" }\n\
             add = { x-b = \"{{{rest}}} {method} {scheme} {host}\" }\n\
             remove = [\"Cookie\", \"x-absent\"]\n\
             [routes.response_headers]\nset = { server = \"f\" }\nadd = { x-a = \"{query}\" }\n",
        )
        .start();
    let fields = "Cookie: secret\r\ncookie: more\r\nX-A: forged\r\nX-B: b\r\nX-User: forged\r\n\
                  x_user: forged\r\nX_Real-IP: forged\r\n";
    let reply = ask(&proxy, "GET", "/users/a%20b/c/d?q=1", fields);
    let request = endpoint.requests().pop().unwrap();
    let all = |name| request.all(name).collect::<Vec<_>>();
    assert_eq!(all("cookie"), [""; 0]);
    assert_eq!(all("x-user"), ["a b"]);
    assert_eq!(all("x_user"), [""; 0], "CGI reads it as x-user");
    assert_eq!(all("x_real-ip"), [""; 0]);
    assert_eq!(all("x-a"), ["b"]);
    assert_eq!(all("x-real-ip"), ["127.0.0.1"]);
    assert_eq!(all("x-b"), ["b", "{c/d} GET http A.example"]);
    assert_eq!(request.target(), "/users/a%20b/c/d?q=1");
    let all = |name| reply.all(name).collect::<Vec<_>>();
    assert_eq!(all("server"), ["f"]);
    assert_eq!(all("x-powered-by"), [""; 0]);
    assert_eq!(all("x-a"), ["e", "q=1"]);
    assert_eq!(all("strict"), ["yes"]);
    // Another route of the listener has its edits alone.
    let reply = ask(&proxy, "GET", "/", "");
    assert_eq!((reply.field("server"), reply.field("strict")), (Some("e"), Some("yes")));
    proxy.assert_sound();
}

#[test]
fn replies_of_our_own_have_the_headers_of_their_route() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint])
        .without_route()
        .listener("response_headers = { set = { strict = \"yes\", date = \"now\" } }")
        .listener("respond = { status = 503, body = \"closed\", content_type = \"text/html\" }")
        .more("[[routes]]\nlistener = \"web\"\npath = \"/no\"\nupstream = \"app\"\ndeny = \"0.0.0.0/0\"\n")
        .start();
    let reply = ask(&proxy, "GET", "/", "");
    assert_eq!((reply.status(), reply.text().as_str()), (503, "closed"));
    assert_eq!(reply.field("strict"), Some("yes"));
    assert_eq!(reply.field("date"), Some("now"));
    assert_eq!(reply.field("content-type"), Some("text/html"));
    assert_eq!(ask(&proxy, "HEAD", "/", "").field("content-length"), Some("6"));
    let reply = ask(&proxy, "GET", "/no", "");
    assert_eq!((reply.status(), reply.field("strict")), (403, Some("yes")));
}

#[test]
fn paths_are_stripped_prefixed_and_rewritten() {
    let endpoint = Endpoint::echo("e");
    let proxy = routes(
        &endpoint,
        "[[routes]]\nlistener = \"web\"\npath = \"/api/*\"\nupstream = \"app\"\n\
         strip_prefix = \"/api\"\nadd_prefix = \"/v2\"\n\
         [[routes]]\nlistener = \"web\"\npath = \"/plain/*\"\nupstream = \"app\"\n\
         strip_prefix = \"/plain\"\n\
         [[routes]]\nlistener = \"web\"\npath = \"/u/{id}/*\"\nupstream = \"app\"\n\
         rewrite = \"/users/{rest}\"\n\
         [[routes]]\nlistener = \"web\"\npath = \"/q/{id}\"\nupstream = \"app\"\n\
         rewrite = \"/index.php?id={id}&{query}\"\n",
    );
    for (target, expected) in [
        ("/api/x?y", "/v2/x?y"),
        ("/api", "/v2"),
        ("/plain", "/"),
        ("/plain?y", "/?y"),
        ("/plain/", "/"),
        ("/%70lain/a%20b", "/a%20b"),
        ("/u/7/x/y?z", "/users/x/y?z"),
        ("/u/7", "/users/"),
        ("/q/a%26b?c=d", "/index.php?id=a%26b&c=d"),
        ("/other", "/other"),
        ("http://A.example:80/api/x", "/v2/x"),
    ] {
        ask(&proxy, "GET", target, "");
        assert_eq!(endpoint.requests().pop().unwrap().target(), expected, "{target}");
        let log = proxy.log();
        if let Some(line) = log.last() {
            assert_ne!(line.get("target"), "", "the log has what the client asked for");
        }
    }
}

#[test]
fn clients_are_sent_elsewhere() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint])
        .without_route()
        .listener("redirect = \"https://{host}{target}\"")
        .more(
            "[[routes]]\nlistener = \"web\"\npath = \"/old/{id}\"\n\
             redirect = { to = \"/new/{id}\", status = 308 }\n\
             [[routes]]\nlistener = \"web\"\npath = \"/same/*\"\nredirect = \"{path}\"\n",
        )
        .start();
    for (target, status, location) in [
        ("/x?y=1", 302, "https://A.example/x?y=1"),
        ("/old/a%20b", 308, "/new/a%20b"),
        ("//same/x", 302, "/same/x"),
        ("http://A.example:80?y", 302, "https://A.example/?y"),
    ] {
        let reply = ask(&proxy, "GET", target, "");
        assert_eq!(reply.status(), status, "{target}");
        assert_eq!(reply.field("location"), Some(location), "{target}");
        assert_eq!(reply.field("content-length"), Some("0"));
    }
    // A body that nobody reads does not become the next request.
    let mut client = Client::new(&proxy);
    let body = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ";
    client.send(format!("{head}{}\r\n\r\n{body}", body.len()));
    assert_eq!(client.response_to("POST").unwrap().status(), 302);
    assert_eq!(client.get("/old/1").status(), 308);
    assert!(endpoint.requests().is_empty());
    proxy.assert_sound();
}

#[test]
fn networks_are_let_in_or_not() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint])
        .listener("trusted_proxies = \"127.0.0.1\"")
        .listener("allow = [\"127.0.0.1\", \"10.0.0.0/8\"]")
        .more(
            "[[routes]]\nlistener = \"web\"\npath = \"/some\"\nupstream = \"app\"\n\
             deny = \"10.1.0.0/16\"\n\
             [[routes]]\nlistener = \"web\"\npath = \"/all\"\nupstream = \"app\"\n\
             allow = [\"0.0.0.0/0\", \"::/0\"]\n",
        )
        .start();
    for (target, client, status) in [
        ("/", "", 200),
        ("/", "X-Forwarded-For: 10.1.2.3\r\n", 200),
        ("/", "X-Forwarded-For: 11.1.2.3\r\n", 403),
        ("/some", "X-Forwarded-For: 10.1.2.3\r\n", 403),
        ("/some", "X-Forwarded-For: 10.2.2.3\r\n", 200),
        ("/some", "X-Forwarded-For: 11.2.2.3\r\n", 403),
        ("/all", "X-Forwarded-For: 11.2.2.3\r\n", 200),
    ] {
        assert_eq!(ask(&proxy, "GET", target, client).status(), status, "{target} {client}");
    }
    let refused =
        proxy.until_log(7).into_iter().filter(|line| line.get("reason") == "access_denied");
    assert_eq!(refused.count(), 3);
}

#[test]
fn bodies_are_limited() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint])
        .listener("max_body = \"1KB\"")
        .more(
            "[[routes]]\nlistener = \"web\"\npath = \"/more\"\nupstream = \"app\"\n\
             max_body = \"1MiB\"\n",
        )
        .start();
    for (target, len, status) in
        [("/", 1000, 200), ("/", 1001, 413), ("/more", 1 << 20, 200), ("/more", (1 << 20) + 1, 413)]
    {
        for is_chunked in [false, true] {
            let mut client = Client::new(&proxy);
            let body = "x".repeat(len);
            if is_chunked {
                let head =
                    format!("POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked");
                client.send(format!("{head}\r\n\r\n{len:x}\r\n{body}\r\n0\r\n\r\n"));
            } else {
                let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {len}");
                client.send(format!("{head}\r\n\r\n{body}"));
            }
            let reply = client.response_to("POST").unwrap();
            assert_eq!(reply.status(), status, "{target} {len} {is_chunked}");
            if status == 413 {
                assert!(reply.closes());
                assert_eq!(client.end(), End::Closed);
            }
        }
    }
    let log = proxy.until_log(8);
    let reasons = log.iter().filter(|line| line.get("reason") == "request_body_too_large");
    assert_eq!(reasons.count(), 4);
    proxy.assert_sound();
}

#[test]
fn requests_are_told_their_ids() {
    let endpoint = Endpoint::echo("e");
    let setup =
        |more| Setup::http(&[&endpoint]).listener("request_id = \"X-Request-Id\"").listener(more);
    let proxy = setup("").start();
    let reply = ask(&proxy, "GET", "/", "X-Request-Id: forged\r\n");
    let request = endpoint.requests().pop().unwrap();
    let line = proxy.until_log(1).remove(0);
    assert_eq!(reply.field("x-request-id"), Some(line.get("id")));
    assert_eq!(request.field("x-request-id"), Some(line.get("id")));
    let proxy = setup("trusted_proxies = \"127.0.0.1\"").start();
    for (told, is_taken) in [("abc-1", true), ("with blank", false), ("", false)] {
        let reply = ask(&proxy, "GET", "/", &format!("X-Request-Id: {told}\r\n"));
        let request = endpoint.requests().pop().unwrap();
        assert_eq!(reply.field("x-request-id") == Some(told), is_taken, "{told}");
        assert_eq!(request.field("x-request-id"), reply.field("x-request-id"));
    }
}
