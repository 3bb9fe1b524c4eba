//! What a configuration says about upstreams and is seen on the wire.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use fairwater_e2e::{Client, Directory, Endpoint, Setup, until};

#[test]
fn the_host_is_kept_or_set() {
    let directory = Directory::new();
    let tcp = Endpoint::echo("e");
    let unix = Endpoint::on_unix(&directory.join("e.sock"), fairwater_e2e::endpoint::echo("e"));
    for (endpoint, setting, host) in [
        (&tcp, "", "client.example"),
        (&tcp, "host = \"keep\"", "client.example"),
        (&tcp, "host = \"endpoint\"", tcp.address.as_str()),
        (&unix, "host = \"endpoint\"", "localhost"),
        (&tcp, "host = \"inner.example:8443\"", "inner.example:8443"),
    ] {
        let proxy = Setup::http(&[endpoint]).upstream(setting).start();
        let mut client = Client::new(&proxy);
        client.send("GET / HTTP/1.1\r\nHost: client.example\r\n\r\n");
        assert_eq!(client.response().unwrap().status(), 200);
        let request = endpoint.requests().pop().unwrap();
        assert_eq!(request.field("host"), Some(host), "{setting}");
        assert_eq!(request.field("x-forwarded-host"), Some("client.example"), "{setting}");
    }
}

#[test]
fn without_keep_alive_each_request_has_its_own_connection() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).upstream("keep_alive = false").start();
    let mut client = Client::new(&proxy);
    for _ in 0..20 {
        client.get("/");
    }
    assert_eq!(endpoint.accepted(), 20);
    assert!(endpoint.requests().iter().all(|request| request.field("connection") == Some("close")));
    proxy.until_metric("fairwater_endpoint_connections", &[], 0);
    proxy.assert_sound();
}

#[test]
fn a_connection_serves_at_most_max_requests() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).upstream("max_requests = 3").start();
    let mut client = Client::new(&proxy);
    for _ in 0..9 {
        client.get("/");
    }
    assert_eq!(endpoint.accepted(), 3);
    let said: Vec<_> =
        endpoint.requests().iter().map(|r| r.field("connection") == Some("close")).collect();
    assert_eq!(said, [false, false, true].repeat(3));
    proxy.assert_sound();
}

/// Counts how many requests it has at the same time: each needs a connection.
fn counting(peak: Arc<AtomicUsize>) -> Endpoint {
    let open = AtomicUsize::new(0);
    Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            peak.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(1));
            open.fetch_sub(1, Ordering::SeqCst);
            caller.reply(request.method(), request.target());
        }
    })
}

/// More clients than connections, over one thread and over several: everyone is served.
#[test]
fn who_waits_for_a_full_upstream_is_served() {
    for (threads, setting) in [
        (1, "max_connections = 4"),
        (3, "max_connections = 4"),
        (3, "max_connections = 1"),
        (2, "max_connections = 2\nmax_requests = 3"),
        (2, "max_connections = 2\nkeep_alive = false"),
    ] {
        let peak = Arc::new(AtomicUsize::new(0));
        let endpoint = counting(Arc::clone(&peak));
        let mut proxy = Setup::http(&[&endpoint]).threads(threads).upstream(setting).start();
        let mut clients: Vec<_> = (0..60).map(|_| Client::new(&proxy)).collect();
        for round in 0..3 {
            for client in &mut clients {
                client.send(format!("POST /{round} HTTP/1.1\r\nHost: a\r\n\r\n"));
            }
            for client in &mut clients {
                let answer = client.response_to("POST").unwrap();
                assert_eq!(
                    (answer.status(), answer.text()),
                    (200, format!("/{round}")),
                    "{setting}"
                );
            }
        }
        let max: usize = setting.split(['=', '\n']).nth(1).unwrap().trim().parse().unwrap();
        assert!(peak.load(Ordering::SeqCst) <= max, "{setting}: {peak:?} open at once");
        assert_eq!(endpoint.requests().len(), 180);
        proxy.assert_sound();
    }
}

/// Two endpoints share the limit; an idle connection to one makes room for the other.
#[test]
fn an_idle_connection_makes_room_for_another_endpoint() {
    let [first, second] = [Endpoint::echo("1"), Endpoint::echo("2")];
    let mut proxy = Setup::http(&[&first, &second]).upstream("max_connections = 1").start();
    let mut client = Client::new(&proxy);
    let begun = Instant::now();
    for n in 0..10 {
        assert_eq!(client.get("/").text(), format!("{}: GET / 0\n", n % 2 + 1));
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    proxy.assert_sound();
}

/// Nothing becomes free: 503 after the deadline, not before; who goes away is forgotten.
#[test]
#[ignore = "slow: 5 s"]
fn who_waits_too_long_for_a_full_upstream_gets_503() {
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let endpoint = Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            gate.lock().unwrap().recv().ok();
            caller.reply(request.method(), "late");
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).upstream("max_connections = 1").start();
    let mut holder = Client::new(&proxy);
    holder.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    endpoint.until_requests(1);
    let begun = Instant::now();
    let mut waiting = Client::new(&proxy);
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = waiting.response().unwrap();
    assert_eq!((answer.status(), answer.field("retry-after")), (503, Some("1")));
    assert!((4900..7000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    go.send(()).unwrap();
    assert_eq!(holder.response().unwrap().text(), "late");
    assert_eq!(proxy.until_log(2)[0].get("reason"), "upstream_full");
    proxy.assert_sound();
}

/// A client that waits for a full upstream and goes away leaves its place to others.
#[test]
fn who_goes_away_while_waiting_holds_nobody_up() {
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let endpoint = Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            if request.target() == "/held" {
                gate.lock().unwrap().recv().ok();
            }
            caller.reply(request.method(), request.target());
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).upstream("max_connections = 1").start();
    let mut holder = Client::new(&proxy);
    holder.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    endpoint.until_requests(1);
    for _ in 0..10 {
        let mut gone = Client::new(&proxy);
        gone.send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
        gone.reset();
    }
    until("all to be in", || proxy.metric("fairwater_connections_total", &[]) == 11);
    let mut waiting = Client::new(&proxy);
    waiting.send("GET /waiting HTTP/1.1\r\nHost: a\r\n\r\n");
    go.send(()).unwrap();
    assert_eq!(holder.response().unwrap().text(), "/held");
    assert_eq!(waiting.response().unwrap().text(), "/waiting");
    proxy.assert_sound();
}

#[test]
fn a_loop_ends_at_the_hop_limit() {
    let socket = Directory::new();
    let path = socket.join("loop.sock");
    let address = format!("unix:{}", path.display());
    let mut proxy = Setup::of("http", &[&address]).bind(&address).start();
    let mut client = Client::connect(&address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().unwrap().status(), 508);
    let log = proxy.until_log(11);
    assert_eq!(log.iter().filter(|line| line.get("reason") == "loop_detected").count(), 1);
    proxy.assert_sound();
}

#[test]
fn errors_are_json_where_that_is_preferred() {
    let proxy = Setup::of("http", &["127.0.0.1:1"]).start();
    let mut client = Client::new(&proxy);
    for (accept, is_json) in [
        ("", false),
        ("Accept: application/json\r\n", true),
        ("Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n", false),
        ("Accept: text/plain\r\n", false),
        ("Accept: */*\r\n", false),
    ] {
        client.send(format!("GET /<script> HTTP/1.1\r\nHost: a\r\n{accept}\r\n"));
        let answer = client.response().unwrap();
        assert_eq!(answer.status(), 503);
        let (kind, body) = match is_json {
            true => ("application/json", "{\"status\":503,\"error\":\"Service Unavailable\"}\n"),
            false => ("text/plain; charset=utf-8", "503 Service Unavailable\n"),
        };
        assert_eq!(answer.field("content-type"), Some(kind), "{accept}");
        assert_eq!(answer.text(), body, "{accept}");
    }
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response_to("HEAD").unwrap().status(), 503);
    assert_eq!(proxy.until_log(6)[5].number("bytes_out"), 0);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().unwrap().status(), 503, "nothing followed the answer to HEAD");
}

/// What clients and endpoints send reaches the log as one line of clean JSON.
#[test]
fn the_log_cannot_be_forged() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send(
        b"GET /\"\\\xf0 HTTP/1.1\r\nHost: a\r\n\r\n".map(|b| if b == 0xf0 { b'}' } else { b }),
    );
    assert_eq!(client.response().unwrap().status(), 400, "a raw backslash");
    let mut client = Client::new(&proxy);
    client.send(
        b"GET /\"},{ HTTP/1.1\r\nHost: a\r\nUser-Agent: \"\x1b[31m\xff\\u0000,\"x\":1\r\n\r\n"
            .map(|b| if b == 0x1b { 0x9b } else { b }),
    );
    assert_eq!(client.response().unwrap().status(), 200);
    let log = proxy.until_log(2);
    assert_eq!(log[1].get("target"), "/\"},{");
    assert_eq!(log[1].get("user_agent"), "\"\u{9b}[31m\u{ff}\\u0000,\"x\":1");
}

/// Each kind of rule once, over the wire; ranks are tested where they are decided.
#[test]
fn routes_decide_by_host_path_and_conditions() {
    let main = Endpoint::echo("main");
    let other = Endpoint::echo("other");
    let route =
        |rule: &str| format!("[[routes]]\nlistener = \"web\"\nupstream = \"other\"\n{rule}\n");
    for (rule, taken, left) in [
        (
            "host = \"*.a.example\"",
            "GET / HTTP/1.1\r\nHost: x.y.a.example:80",
            "GET / HTTP/1.1\r\nHost: a.example",
        ),
        (
            "path = \"/u/{id}/p\"",
            "GET /u/7/p?q HTTP/1.1\r\nHost: a",
            "GET /u/7/p/ HTTP/1.1\r\nHost: a",
        ),
        (
            "method = \"PUT\"",
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0",
            "GET / HTTP/1.1\r\nHost: a",
        ),
        (
            "headers = { x-beta = \"1\" }",
            "GET / HTTP/1.1\r\nHost: a\r\nX-Beta: 1",
            "GET / HTTP/1.1\r\nHost: a\r\nX-Beta: 2",
        ),
        (
            "query = { v = \"a b\" }",
            "GET /?v=a%20b HTTP/1.1\r\nHost: a",
            "GET /?v=a HTTP/1.1\r\nHost: a",
        ),
        (
            "client = \"10.1.0.0/16\"",
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.2.3",
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.2.2.3",
        ),
    ] {
        let upstream = format!("[upstreams.other]\nendpoints = [\"{}\"]\n", other.address);
        let mut proxy = Setup::http(&[&main])
            .listener("trusted_proxies = \"127.0.0.0/8\"")
            .more(&(upstream + &route(rule)))
            .start();
        let mut client = Client::new(&proxy);
        for (request, expected) in [(taken, "other"), (left, "main")] {
            client.send(format!("{request}\r\n\r\n"));
            let response = client.response().unwrap();
            let text = response.text();
            assert!(text.starts_with(&format!("{expected}: ")), "{rule}: {request}: {text}");
        }
        proxy.assert_sound();
    }
}

/// An endpoint that takes a connection and never answers.
fn mute() -> Endpoint {
    Endpoint::new(|caller| {
        caller.request();
        caller.until_closed();
    })
}

#[test]
fn a_reply_has_the_time_that_is_set() {
    let endpoint = mute();
    let mut proxy = Setup::http(&[&endpoint]).upstream("response_timeout = \"300ms\"").start();
    let mut client = Client::new(&proxy);
    let begun = Instant::now();
    assert_eq!(client.get("/").status(), 504);
    assert!((250..2_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_eq!(proxy.until_log(1)[0].get("reason"), "upstream_response_timeout");
    proxy.assert_sound();
}

#[test]
fn a_pooled_connection_is_kept_as_long_as_is_set() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).upstream("idle_timeout = \"300ms\"").start();
    let mut client = Client::new(&proxy);
    client.get("/");
    client.get("/");
    assert_eq!(endpoint.accepted(), 1);
    std::thread::sleep(Duration::from_millis(500));
    client.get("/");
    assert_eq!(endpoint.accepted(), 2);
    proxy.assert_sound();
}

#[test]
fn a_full_upstream_is_waited_for_as_long_as_is_set() {
    let endpoint = mute();
    let settings = "max_connections = 1\nqueue_timeout = \"200ms\"\nretries = 0";
    let proxy = Setup::http(&[&endpoint]).upstream(settings).start();
    let mut first = Client::new(&proxy);
    first.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    until("the first request", || endpoint.requests().len() == 1);
    let begun = Instant::now();
    assert_eq!(Client::new(&proxy).get("/second").status(), 503);
    assert!((150..2_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[test]
fn so_many_endpoints_are_tried_as_is_set() {
    let dead = ["127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1", "127.0.0.4:1", "127.0.0.5:1"];
    for (retries, attempts) in [("0", 1), ("1", 2), ("4", 5), ("7", 5)] {
        let proxy = Setup::of("http", &dead).upstream(&format!("retries = {retries}")).start();
        assert_eq!(Client::new(&proxy).get("/").status(), 503);
        assert_eq!(proxy.until_log(1)[0].number("attempts"), attempts, "retries = {retries}");
    }
}
