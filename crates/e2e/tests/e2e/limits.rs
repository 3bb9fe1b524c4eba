//! Timeouts and limits as settings: each holds when it is set, and not long before.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fairwater_e2e::client::End;
use fairwater_e2e::proxy::{halt, signal_to};
use fairwater_e2e::{Client, Endpoint, Proxy, Setup, until};
use rustix::process::Signal;

/// An endpoint that answers in pieces with a pause between head, first half and second half.
fn pausing(pause: Duration) -> Endpoint {
    Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            if request.target() == "/late" {
                std::thread::sleep(pause);
            }
            caller.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na");
            if request.target() == "/half" {
                std::thread::sleep(pause);
            }
            caller.send(b"b");
        }
    })
}

fn reason_of_last(proxy: &Proxy, lines: usize) -> String {
    proxy.until_log(lines).pop().unwrap().get("reason").to_owned()
}

/// The wheel is up to a tick late, and so may be a busy machine; its clock is up to one of the
/// kernel's behind, 10 ms where that has long ones.
fn assert_took(begun: Instant, least_ms: u64) {
    let took = begun.elapsed();
    let range = least_ms.saturating_sub(10)..least_ms + 1500;
    let range = Duration::from_millis(range.start)..Duration::from_millis(range.end);
    assert!(range.contains(&took), "{took:?} and not {range:?}");
}

#[test]
fn timeouts_of_a_listener_are_kept() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint])
        .listener(
            "request_head_timeout = \"300ms\"\nidle_timeout = \"600ms\"\nbody_timeout = \"200ms\"",
        )
        .start();
    // A connection is idle between requests.
    let mut client = Client::new(&proxy);
    assert_eq!(client.get("/").status(), 200);
    let begun = Instant::now();
    assert_eq!(client.end(), End::Closed);
    assert_took(begun, 600);
    // A head that never ends.
    let mut client = Client::new(&proxy);
    let begun = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost");
    assert_eq!(client.response().unwrap().status(), 408);
    assert_took(begun, 300);
    assert_eq!(reason_of_last(&proxy, 2), "request_head_timeout");
    // A body that never ends.
    let mut client = Client::new(&proxy);
    let begun = Instant::now();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    assert_eq!(client.response_to("POST").unwrap().status(), 408);
    assert_took(begun, 200);
    assert_eq!(reason_of_last(&proxy, 3), "request_body_timeout");
    proxy.assert_sound();
}

#[test]
fn timeouts_of_a_route_come_before_those_of_listener_and_upstream() {
    let endpoint = pausing(Duration::from_millis(700));
    let mut proxy = Setup::http(&[&endpoint])
        .upstream("response_timeout = \"300ms\"\nretries = 0")
        .listener("body_timeout = \"300ms\"")
        .more(
            "[[routes]]\nlistener = \"web\"\nhost = \"slow\"\nupstream = \"app\"\n\
             response_timeout = \"10s\"\nbody_timeout = \"10s\"\n",
        )
        .start();
    let ask = |host: &str, target: &str| {
        let mut client = Client::new(&proxy);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.response().map(|reply| reply.status()).ok()
    };
    assert_eq!(ask("slow", "/late"), Some(200));
    assert_eq!(ask("slow", "/half"), Some(200));
    assert_eq!(ask("other", "/late"), Some(504));
    assert_eq!(ask("other", "/half"), None);
    assert_eq!(reason_of_last(&proxy, 4), "upstream_body_timeout");
    proxy.assert_sound();
}

#[test]
fn tunnels_and_raw_connections_end_when_they_are_silent() {
    let endpoint = Endpoint::new(|caller| {
        if caller.request().is_some() {
            caller.send(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            );
            caller.read_to_end();
        }
    });
    let route = "[[routes]]\nlistener = \"web\"\npath = \"/long\"\nupstream = \"app\"\n\
                 tunnel_timeout = \"900ms\"\n";
    let proxy =
        Setup::http(&[&endpoint]).listener("tunnel_timeout = \"300ms\"").more(route).start();
    for (target, ms) in [("/", 300), ("/long", 900)] {
        let mut client = Client::new(&proxy);
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
        ));
        assert_eq!(client.response().unwrap().status(), 101);
        let begun = Instant::now();
        client.read_to_end();
        assert_took(begun, ms);
    }
    assert_eq!(reason_of_last(&proxy, 2), "idle_timeout");
    let echo = Endpoint::new(|caller| {
        caller.read_exactly(1);
        caller.send(b"x");
        std::thread::sleep(Duration::from_secs(2));
    });
    let settings = "idle_timeout = \"800ms\"\nhalf_close_timeout = \"300ms\"";
    let proxy = Setup::tcp(&[&echo]).listener(settings).start();
    for (is_half_closed, ms) in [(false, 800), (true, 300)] {
        let mut client = Client::new(&proxy);
        client.send("x");
        client.read_exactly(1);
        let begun = Instant::now();
        if is_half_closed {
            client.half_close();
        }
        client.read_to_end();
        assert_took(begun, ms);
    }
}

#[test]
fn heads_may_be_smaller_or_larger() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            let len: usize = request.target()[1..].parse().unwrap();
            let fill = "x".repeat(len);
            caller.send(format!("HTTP/1.1 200 OK\r\nA: {fill}\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let of = |listener: &str, upstream: &str| {
        Setup::http(&[&endpoint]).listener(listener).upstream(upstream).start()
    };
    let ask = |proxy: &Proxy, len: usize, fields: usize, reply_len: usize| {
        let mut client = Client::new(proxy);
        let lines = "b: c\r\n".repeat(fields);
        let fill = "x".repeat(len);
        client.send(format!("GET /{reply_len} HTTP/1.1\r\nHost: a\r\nA: {fill}\r\n{lines}\r\n"));
        client.response().unwrap().status()
    };
    let small = of("max_head = \"2KiB\"\nmax_headers = 20", "max_head = \"2KiB\"");
    assert_eq!(ask(&small, 1000, 0, 1000), 200);
    assert_eq!(ask(&small, 3000, 0, 0), 431);
    assert_eq!(ask(&small, 0, 18, 0), 200);
    assert_eq!(ask(&small, 0, 19, 0), 431);
    assert_eq!(ask(&small, 0, 0, 3000), 502);
    let usual = of("", "");
    assert_eq!(ask(&usual, 32_000, 0, 32_000), 200);
    assert_eq!(ask(&usual, 33_000, 0, 0), 431);
    assert_eq!(ask(&usual, 0, 0, 33_000), 502);
    let large = of("max_head = \"63KiB\"\nmax_headers = 1024", "max_head = \"63KiB\"");
    assert_eq!(ask(&large, 60_000, 0, 60_000), 200);
    assert_eq!(ask(&large, 0, 1000, 0), 200);
    assert_eq!(ask(&large, 66_000, 0, 0), 431);
}

#[test]
fn hops_are_limited() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).listener("max_hops = 2").start();
    for (via, status) in [("1.1 a", 200), ("1.1 a, 1.1 b", 508)] {
        let mut client = Client::new(&proxy);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nVia: {via}\r\n\r\n"));
        assert_eq!(client.response().unwrap().status(), status, "{via}");
    }
}

/// Connections up to the limit are served; the next one is when one of them ends.
#[test]
fn who_is_one_too_many_waits() {
    let endpoint = Endpoint::echo("e");
    for (threads, of_all, of_one) in
        [(1, "", "max_connections = 2"), (3, "max_connections = 2", "")]
    {
        let mut setup = Setup::http(&[&endpoint]).threads(threads).listener(of_one);
        if !of_all.is_empty() {
            setup = setup.top(of_all);
        }
        let mut proxy = setup.start();
        let mut open: Vec<_> = (0..2).map(|_| Client::new(&proxy)).collect();
        for client in &mut open {
            assert_eq!(client.get("/").status(), 200);
        }
        let mut waiting: Vec<_> = (0..4).map(|_| Client::new(&proxy)).collect();
        for client in &mut waiting {
            client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        }
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(proxy.metric("fairwater_connections_active", &[]), 2);
        assert_eq!(proxy.metric("fairwater_connections_total", &[]), 2);
        drop(open);
        for client in &mut waiting {
            assert_eq!(client.response().unwrap().status(), 200, "{threads}");
        }
        proxy.until_metric("fairwater_connections_active", &[], 0);
        assert_eq!(proxy.metric("fairwater_connections_refused_total", &[]), 0);
        proxy.assert_sound();
    }
}

/// Who waits for room does not keep the process from ending.
#[test]
fn the_end_comes_with_clients_in_the_backlog() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).threads(2).listener("max_connections = 1").start();
    let mut open = Client::new(&proxy);
    assert_eq!(open.get("/").status(), 200);
    let mut waiting: Vec<_> = (0..4).map(|_| Client::new(&proxy)).collect();
    waiting.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    let begun = Instant::now();
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
    assert_took(begun, 0);
    assert_eq!(open.end(), End::Closed);
}

#[test]
fn who_is_one_too_many_is_turned_away() {
    let endpoint = Endpoint::echo("e");
    let settings = "max_connections = 2\nwhen_full = \"reject\"";
    let mut proxy = Setup::http(&[&endpoint]).listener(settings).start();
    let mut open: Vec<_> = (0..2).map(|_| Client::new(&proxy)).collect();
    for client in &mut open {
        assert_eq!(client.get("/").status(), 200);
    }
    for _ in 0..10 {
        let mut refused = Client::new(&proxy);
        refused.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
        let reply = refused.response().unwrap();
        assert_eq!((reply.status(), reply.field("retry-after")), (503, Some("1")));
        assert!(reply.closes());
        assert_eq!(refused.end(), End::Closed);
    }
    assert_eq!(proxy.metric("fairwater_connections_refused_total", &[]), 10);
    open.pop();
    proxy.until_metric("fairwater_connections_active", &[], 1);
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    proxy.assert_sound();
    // For raw TCP there is nothing to say.
    let echo = Endpoint::new(|caller| drop(caller.read_to_end()));
    let mut proxy = Setup::tcp(&[&echo]).listener(settings).start();
    let open: Vec<_> = (0..2).map(|_| Client::new(&proxy)).collect();
    proxy.until_metric("fairwater_connections_active", &[], 2);
    // The reset may come before the client knows that it is connected.
    let mut read = Vec::new();
    let refused = TcpStream::connect(&proxy.address);
    let ended = refused.and_then(|mut socket| socket.read_to_end(&mut read));
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(read.is_empty());
    drop(open);
    proxy.assert_sound();
}

#[test]
fn one_client_may_not_take_all() {
    let endpoint = Endpoint::echo("e");
    let mut proxy =
        Setup::http(&[&endpoint]).threads(2).listener("max_connections_per_client = 3").start();
    let mut open: Vec<_> = (0..3).map(|_| Client::new(&proxy)).collect();
    for client in &mut open {
        assert_eq!(client.get("/").status(), 200);
    }
    let mut refused = Client::new(&proxy);
    assert_eq!(refused.response().unwrap().status(), 503);
    let mut other = Client::from_address("127.0.0.2", &proxy);
    assert_eq!(other.get("/").status(), 200);
    open.pop();
    until("a place to be free", || {
        let mut next = Client::new(&proxy);
        next.get("/").status() == 200
    });
    proxy.assert_sound();
}

#[test]
fn the_kernel_holds_what_backlog_says() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::tcp(&[&endpoint]).listener("backlog = 3").start();
    let address = proxy.address.parse().unwrap();
    halt(proxy.worker_id());
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        held.push(stream);
        assert!(held.len() < 20, "nobody is turned away");
    }
    signal_to(proxy.worker_id(), Signal::CONT);
    // The kernel counts from zero.
    assert_eq!(held.len(), 4);
}

#[test]
fn too_many_connections_for_the_descriptors_are_an_error() {
    let endpoint = Endpoint::echo("e");
    let said = Setup::http(&[&endpoint]).top("max_connections = 4000000000").try_start();
    let said = said.err().unwrap();
    assert!(said.contains("max_connections = 4000000000 needs 4000000"), "{said}");
    assert!(said.contains("or write at most"), "{said}");
    let proxy = Setup::http(&[&endpoint]).top("max_connections = 100").start();
    until("it to be said", || proxy.said().contains("room for 100 connections ("));
}

/// First it is not ready, then it accepts nothing, then what runs ends or is cut off.
#[test]
fn the_end_is_announced() {
    let endpoint = pausing(Duration::from_secs(30));
    let mut proxy = Setup::http(&[&endpoint])
        .top("drain_delay = \"600ms\"\ndrain_timeout = \"500ms\"")
        .more(
            "[[routes]]\nlistener = \"web\"\npath = \"/ready\"\nrespond = \"ready\"\n\
             [[routes]]\nlistener = \"web\"\npath = \"/live\"\nrespond = \"live\"\n",
        )
        .start();
    let status = |target: &str| Client::new(&proxy).get(target).status();
    assert_eq!((status("/live"), status("/ready")), (200, 200));
    assert_eq!((proxy.ask("/live").status(), proxy.ask("/ready").status()), (200, 200));
    let mut running = Client::new(&proxy);
    running.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
    endpoint.until_requests(1);
    let begun = Instant::now();
    proxy.signal(Signal::TERM);
    until("not ready", || status("/ready") == 503);
    assert_eq!((proxy.ask("/ready").status(), status("/live"), status("/")), (503, 200, 200));
    let ended = proxy.until_ended();
    assert!(ended.success(), "{ended}");
    assert_took(begun, 1100);
    assert_eq!(running.read_to_end().1, End::Closed);
    let cut_off = proxy.log().into_iter().filter(|line| line.get("reason") == "stopped");
    assert_eq!(cut_off.count(), 1);
}
