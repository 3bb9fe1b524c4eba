//! What a request is for: host, target, path and route (rows A45 to A50, A60 to A66).

use fairwater_e2e::{Client, Endpoint, Setup};

use super::case::{check, check_on, forwarded, refused};

fn get(target: &str, host: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

fn seen(target: &str, host: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n<ours>\r\n\r\n")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_request_names_one_host() {
    let mut cases = vec![
        refused("A45 none", "GET / HTTP/1.1\r\n\r\n", 400),
        refused("A45 two", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        refused("A45 two, equal", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400),
        refused("A45 two on HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        refused("A45 none, but absolute", "GET http://a/ HTTP/1.1\r\n\r\n", 400),
    ];
    let long = "a".repeat(300);
    for host in [
        "",
        "a, b",
        "a b",
        "a,b",
        "good@evil",
        "user:pass@a",
        "a/b",
        "a:80x",
        "a:99999",
        "a:65536",
        "a:0",
        "a:",
        "a:-1",
        "a:+80",
        "a:80:80",
        "[::1",
        "::1",
        "[::1]x",
        "[::1]:x",
        "[::g]",
        "[fe80::1%eth0]",
        "[]",
        "[1.2.3.4]",
        "a%00",
        "a%2e",
        "a\\b",
        "a?b",
        "a#b",
        "a..b",
        ".a",
        ".",
        "..",
        "\u{e9}",
        "<a>",
        "a|b",
        "a;b",
        "a'b",
        "a\"b",
        "{a}",
        "http://a",
        "a\tb",
        "*",
        "a*",
        "$host",
        "a=b",
        "a&b",
        "a(b)",
        &long,
    ] {
        cases.push(refused(&format!("A46 {host:?}"), get("/", host), 400));
    }
    for host in [
        "a",
        "A.Example",
        "A.",
        "a:8080",
        "[::1]",
        "[::1]:80",
        "1.2.3.4:1",
        "xn--zz",
        "a_b",
        "a-b",
        "0x7f.1",
    ] {
        cases.push(forwarded(&format!("A46 {host}"), get("/", host), &[seen("/", host)]));
    }
    check(cases);
}

#[test]
fn http_1_0_may_lack_a_host() {
    let seen = |host: &str| format!("GET /x HTTP/1.1\r\nhost: {host}\r\n<ours 1.0>\r\n\r\n");
    check(vec![
        forwarded("none", "GET /x HTTP/1.0\r\n\r\n", &[seen("")]).then_closed(),
        forwarded("one", "GET /x HTTP/1.0\r\nHost: a\r\n\r\n", &[seen("a")]).then_closed(),
        forwarded("keep-alive", "GET /x HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &[seen("")]),
        forwarded(
            "a body",
            "POST /x HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi",
            &["POST /x HTTP/1.1\r\nhost: \r\ncontent-length: 2\r\n<ours 1.0>\r\n\r\nhi"],
        )
        .then_closed(),
        forwarded(
            "an expectation is ignored",
            "GET /x HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
            &[seen("")],
        )
        .then_closed(),
    ]);
}

#[test]
fn targets_have_a_known_form() {
    let mut cases = Vec::new();
    for target in [
        "ftp://a/",
        "a",
        "*",
        "/a#b",
        "#",
        "?",
        "a:80",
        "//a@b:c d/",
        "http:/a/",
        "http:a",
        "http://",
        "http:///x",
        "http://a@b/",
        "http://a:0/",
        "http://a b/",
        "ws://a/",
        "javascript:x",
        "../x",
        "\\x",
        "http://[::1/",
        "http://%61/",
        "HTTP//a",
    ] {
        cases.push(refused(&format!("A48 {target}"), get(target, "a"), 400));
    }
    for (target, host) in [
        ("http://a/", "b"),
        ("http://a:80/", "a"),
        ("http://a/", "a:80"),
        ("http://evil/x", "a"),
        ("http://a./", "a"),
        ("https://b/", "a"),
    ] {
        cases.push(refused(&format!("A47 {target} for {host}"), get(target, host), 400));
    }
    for (target, path) in [
        ("http://a/x?y", "/x?y"),
        ("HTTP://A/x", "/x"),
        ("http://a", "/"),
        ("http://a?q", "/?q"),
        ("https://a/", "/"),
        ("http://a//b", "//b"),
    ] {
        let seen = seen(path, "a");
        cases.push(forwarded(&format!("A47 {target}"), get(target, "a"), &[seen]));
    }
    for target in [
        "/",
        "//",
        "//a",
        "/?",
        "/?a=b&c",
        "/a?b?c",
        "/:80",
        "/a@b",
        "/http://b/",
        "/%41",
        "/a;b=c",
        "/*",
        "/a=b|c",
        "/\"<>^`{}",
        "/?%00%0d%0a%2f",
        "/?\\..\\..",
    ] {
        cases.push(forwarded(&format!("A48 {target}"), get(target, "a"), &[seen(target, "a")]));
    }
    check(cases);
}

#[test]
fn methods_that_would_open_tunnels_are_refused() {
    let mut cases = Vec::new();
    for line in [
        "CONNECT a:443 HTTP/1.1",
        "CONNECT / HTTP/1.1",
        "CONNECT http://a/ HTTP/1.1",
        "CONNECT a:443 HTTP/1.0",
        "TRACE / HTTP/1.1",
        "TRACE * HTTP/1.1",
    ] {
        cases.push(refused(&format!("A49 A50 {line}"), format!("{line}\r\nHost: a\r\n\r\n"), 405));
    }
    check(cases);
}

#[test]
fn options_of_the_server_are_answered_by_the_proxy() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response_to("OPTIONS").unwrap().status(), 204);
    client.send("OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response_to("OPTIONS").unwrap().text(), "e: OPTIONS /x 0\n");
    assert_eq!(endpoint.requests().len(), 1);
    assert_eq!(proxy.until_log(2)[0].number("status"), 204);
    proxy.assert_sound();
}

#[test]
fn paths_that_can_be_read_in_two_ways_are_refused() {
    let mut cases = Vec::new();
    for path in [
        "/..",
        "/../",
        "/../etc/passwd",
        "/x//../admin",
        "/a/../../b",
        "/%2e%2e/",
        "/%2E%2e/x",
        "/.%2e/",
        "/..%2f",
        "/x/..;/admin",
        "/x/%2e%2e;y/admin",
        "/..%2Fb",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a%5Cb",
        "/\\..\\",
        "/a\\b",
        "/%00",
        "/a%00.html",
        "/%0d%0aSet-Cookie:x",
        "/%0a",
        "/%7f",
        "/%1b",
        "/%",
        "/%4",
        "/%zz",
        "/a%2",
        "/%c0%ae%c0%ae/",
        "/%c0%af",
        "/%e0%80%af",
        "/%f0%80%80%af",
        "/%c1%9c",
    ] {
        cases.push(refused(&format!("A60 A61 {path}"), get(path, "a"), 400));
        let absolute = get(&format!("http://a{path}"), "a");
        cases.push(refused(&format!("A60 A61 {path}, absolute"), absolute, 400));
    }
    for path in [
        "/a/../b",
        "/./a",
        "//a//b",
        "/a;x/../b",
        "/%252e%252e/",
        "/a%252fb",
        "/a%20b",
        "/%c3%a9",
        "/.hidden",
        "/...",
        "/a/%2e%2e/b",
        "/a/.",
        "/a/..",
    ] {
        cases.push(forwarded(
            &format!("A60 {path} goes as it came"),
            get(path, "a"),
            &[seen(path, "a")],
        ));
    }
    check(cases);
}

/// Two upstreams behind one listener: everything, and what a host or a path is kept for.
#[test]
fn no_alias_of_a_path_or_host_reaches_another_route() {
    let public = Endpoint::echo("e");
    let private = Endpoint::echo("private");
    let proxy = Setup::http(&[&public])
        .more(&format!(
            "[upstreams.private]\nendpoints = [\"{0}\"]\n\
             [[routes]]\nlistener = \"web\"\npath = \"/admin/*\"\nupstream = \"private\"\n\
             [[routes]]\nlistener = \"web\"\npath = \"/exact\"\nupstream = \"private\"\n\
             [[routes]]\nlistener = \"web\"\nhost = \"private.example\"\nupstream = \"private\"\n",
            private.address
        ))
        .start();
    let mut client = Client::new(&proxy);
    let mut ask = |target: &str, host: &str| {
        client.send(get(target, host));
        client.response().unwrap().text()
    };
    for path in [
        "/admin",
        "/admin/",
        "/admin/x",
        "/admin?x",
        "//admin",
        "/./admin",
        "/x/../admin/",
        "/%61dmin/x",
        "/admi%6e",
        "/admin//x",
        "/exact",
        "/%65xact",
        "//exact",
        "/./exact?y",
        "/x/../exact",
        "/admin/%2e",
    ] {
        assert!(ask(path, "a").starts_with("private: "), "A60 {path}");
        assert!(
            ask(&format!("http://a{path}"), "a").starts_with("private: "),
            "A60 http://a{path}"
        );
    }
    for path in [
        "/",
        "/admin/..",
        "/administrator",
        "/ADMIN",
        "/exact/",
        "/exact/x",
        "/admin;x",
        "/%2561dmin",
        "/x?/admin",
    ] {
        assert!(ask(path, "a").starts_with("e: "), "A60 {path}");
    }
    for host in [
        "private.example",
        "PRIVATE.example",
        "private.example.",
        "private.example:80",
        "Private.Example.:8080",
    ] {
        assert!(ask("/", host).starts_with("private: "), "A66 {host}");
    }
    for host in ["private.example.org", "xprivate.example", "private-example", "example"] {
        assert!(ask("/", host).starts_with("e: "), "A66 {host}");
    }
    assert_eq!(public.errors(), Vec::<String>::new());
    assert_eq!(private.errors(), Vec::<String>::new());
}

#[test]
fn a_request_without_a_route_is_answered_404() {
    let endpoint = Endpoint::echo("e");
    let routes = "[[routes]]\nlistener = \"web\"\nhost = \"canary\"\nupstream = \"app\"\n";
    let proxy = Setup::http(&[&endpoint]).without_route().more(routes).start();
    let post = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    check_on(
        &endpoint,
        proxy,
        vec![
            refused("no route", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404),
            refused("no route, a body", post, 404),
            refused("no host", "GET / HTTP/1.0\r\n\r\n", 404),
        ],
    );
}
