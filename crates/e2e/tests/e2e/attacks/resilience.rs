//! Retries, the queue for room, bodies that are held, and what protects from overload: what a peer
//! can make of each, and of two of them together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fairwater_e2e::{Client, Endpoint, Setup, until};

use super::{ASK, Gate};

/// Once several requests have failed together at an endpoint that takes one at a time, others must
/// get through as soon as it is free.
#[test]
fn who_finds_nobody_left_to_try_passes_his_turn_on() {
    let is_well = Arc::new(AtomicBool::new(false));
    let gate = Gate::default();
    let script = (Arc::clone(&is_well), gate.clone());
    let endpoint = Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            if !script.0.load(Ordering::SeqCst) {
                script.1.pass();
                return; // without an answer
            }
            caller.reply(request.method(), request.target());
        }
    });
    let list = format!("{{ address = {:?}, max_concurrency = 1 }}", endpoint.address);
    let mut proxy = Setup::http(&[])
        .endpoints(&list)
        .upstream("queue_timeout = \"20s\"\noutlier = false")
        .start();
    let waiting = || proxy.metric("fairwater_upstream_waiting", &["app"]);
    let mut clients = Vec::new();
    for count in 0..4 {
        let mut client = Client::new(&proxy);
        client.send(ASK);
        until("it is at its place", || endpoint.requests().len() == 1 && waiting() == count);
        clients.push(client);
    }
    (0..4).for_each(|_| gate.open());
    endpoint.until_closed(4);
    is_well.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    for client in &mut clients {
        let status = client.response().unwrap().status();
        assert!(begun.elapsed() < Duration::from_secs(5), "{status} after {:?}", begun.elapsed());
    }
    proxy.until_metric("fairwater_upstream_waiting", &["app"], 0);
    proxy.assert_sound();
}

/// Where more is allowed, all who wait and may go do so at once.
#[test]
fn a_higher_limit_lets_in_all_that_it_allows() {
    let inside = Arc::new(AtomicUsize::new(0));
    let gate = Gate::default();
    let script = (Arc::clone(&inside), gate.clone());
    let endpoint = Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            script.0.fetch_add(1, Ordering::SeqCst);
            script.1.pass();
            caller.reply(request.method(), request.target());
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).upstream("max_concurrency = 1").reloadable().start();
    let mut clients: Vec<_> = (0..5).map(|_| Client::new(&proxy)).collect();
    clients.iter_mut().for_each(|client| client.send(ASK));
    proxy.until_metric("fairwater_upstream_waiting", &["app"], 4);
    proxy.edit("max_concurrency = 1", "max_concurrency = 4");
    proxy.reload_well();
    let begun = Instant::now();
    until("four are inside", || inside.load(Ordering::SeqCst) == 4);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    (0..5).for_each(|_| gate.open());
    assert!(clients.iter_mut().all(|client| client.response().unwrap().status() == 200));
    proxy.assert_sound();
}

/// Who waits for an endpoint of an earlier configuration does not hold up others whose endpoint is
/// free.
#[test]
fn an_endpoint_that_joins_serves_those_that_come_after() {
    let gate = Gate::default();
    let busy = super::held(&gate);
    let mut proxy = Setup::http(&[])
        .endpoints(&format!("{{ address = {:?}, max_concurrency = 1 }}", busy.address))
        .upstream("queue_timeout = \"20s\"")
        .reloadable()
        .start();
    let mut clients: Vec<_> = (0..2).map(|_| Client::new(&proxy)).collect();
    clients.iter_mut().for_each(|client| client.send(ASK));
    proxy.until_metric("fairwater_upstream_waiting", &["app"], 1);
    let free = Endpoint::echo("free");
    let list = |address: &str| format!("{{ address = {address:?}, max_concurrency = 1 }}");
    let before = list(&busy.address);
    proxy.edit(&before, &format!("{before}, {}", list(&free.address)));
    proxy.reload_well();
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(Client::new(&proxy).get("/").status(), 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    (0..2).for_each(|_| gate.open());
    assert!(clients.iter_mut().all(|client| client.response().unwrap().status() == 200));
    proxy.assert_sound();
}

/// What came behind the held part of a body, and went to an endpoint that failed, belongs to the
/// second try as well.
#[test]
fn a_body_that_is_held_in_part_is_sent_again_whole() {
    for chunked in [false, true] {
        let silent = Endpoint::new(|caller| {
            caller.read_until(b"#middle#");
        });
        let good = Endpoint::echo("good");
        let list =
            format!("{:?}, {{ address = {:?}, backup = true }}", silent.address, good.address);
        let mut proxy =
            Setup::http(&[]).endpoints(&list).upstream("buffer_requests = \"4KiB\"").start();
        let (first, middle, last) = ("x".repeat(5000), "#middle#", "y".repeat(100));
        let len = first.len() + middle.len() + last.len();
        let framing = match chunked {
            true => "transfer-encoding: chunked".to_owned(),
            false => format!("content-length: {len}"),
        };
        let framed = |text: &str| match chunked {
            true => format!("{:x}\r\n{text}\r\n", text.len()),
            false => text.to_owned(),
        };
        let mut client = Client::new(&proxy);
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{}", framed(&first)));
        until("it is at the first", || silent.accepted() == 1);
        client.send(framed(middle));
        until("it is at the second", || good.accepted() == 1);
        client.send(framed(&last) + if chunked { "0\r\n\r\n" } else { "" });
        assert_eq!(client.response_to("PUT").unwrap().status(), 200, "{chunked}");
        let requests = good.requests();
        assert_eq!(requests[0].text(), first + middle + &last, "{chunked}");
        proxy.assert_sound();
    }
}

/// Only where another endpoint can be tried the time for a try counts.
#[test]
fn a_body_that_cannot_be_sent_again_waits_as_long_as_it_may() {
    let slow = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            std::thread::sleep(Duration::from_millis(800));
            caller.reply(request.method(), &request.text());
        }
    });
    let other = Endpoint::echo("other");
    let list = format!("{:?}, {{ address = {:?}, backup = true }}", slow.address, other.address);
    let mut proxy = Setup::http(&[]).endpoints(&list).upstream("try_timeout = \"200ms\"").start();
    let mut client = Client::new(&proxy);
    client.send(
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    );
    let reply = client.response_to("PUT").unwrap();
    assert_eq!((reply.status(), reply.text()), (200, "abcdef".to_owned()));
    proxy.assert_sound();
}

/// A limit that comes with a reload counts those that run already, and is told when they end.
#[test]
fn a_new_limit_knows_of_those_who_came_before_it() {
    let gate = Gate::default();
    let endpoint = super::held(&gate);
    let mut proxy = Setup::http(&[])
        .endpoints(&format!("{{ address = {:?} }}", endpoint.address))
        .upstream("queue_timeout = \"20s\"")
        .reloadable()
        .start();
    let mut first = Client::new(&proxy);
    first.send(ASK);
    endpoint.until_requests(1);
    let before = format!("{{ address = {:?} }}", endpoint.address);
    let after = format!("{{ address = {:?}, max_concurrency = 1 }}", endpoint.address);
    proxy.edit(&before, &after);
    proxy.reload_well();
    let mut second = Client::new(&proxy);
    second.send(ASK);
    proxy.until_metric("fairwater_upstream_waiting", &["app"], 1);
    (0..2).for_each(|_| gate.open());
    let begun = Instant::now();
    assert_eq!(first.response().unwrap().status(), 200);
    assert_eq!(second.response().unwrap().status(), 200);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    proxy.assert_sound();
}

/// What began before a breaker opened says nothing about how the endpoint is now.
#[test]
fn late_failures_of_earlier_requests_do_not_open_a_breaker_again() {
    let is_well = Arc::new(AtomicBool::new(false));
    let gate = Gate::default();
    let script = (Arc::clone(&is_well), gate.clone());
    let endpoint = Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            let status = match request.target() {
                "/late" => {
                    script.1.pass();
                    500
                }
                _ if script.0.load(Ordering::SeqCst) => 200,
                _ => 500,
            };
            caller.send(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n"));
        }
    });
    let breaker = "outlier = false\ncircuit_breaker = { open = \"500ms\" }";
    let mut proxy = Setup::http(&[&endpoint]).upstream(breaker).start();
    let mut late = Client::new(&proxy);
    late.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
    endpoint.until_requests(1);
    let mut client = Client::new(&proxy);
    while client.get("/").status() != 503 {}
    is_well.store(true, Ordering::SeqCst);
    until("one is let through", || client.get("/").status() == 200);
    gate.open();
    assert_eq!(late.response().unwrap().status(), 500);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(client.get("/").status(), 200);
    proxy.assert_sound();
}

/// A client that does not send what it has announced is no failure of an endpoint that gives up.
#[test]
fn a_client_that_stalls_ejects_nobody() {
    let endpoint = Endpoint::new(|caller| {
        let bytes = caller.read_until(b"\r\n\r\n");
        if !bytes.starts_with(b"POST") {
            caller.reply("GET", "well");
        }
        std::thread::sleep(Duration::from_millis(50));
    });
    let mut proxy =
        Setup::http(&[&endpoint]).upstream("circuit_breaker = { min_requests = 10 }").start();
    for _ in 0..12 {
        let mut client = Client::new(&proxy);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx");
        let status = client.response_to("POST").unwrap().status();
        assert_eq!(status, 502);
    }
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    proxy.assert_sound();
}

/// What a try prepares for the client is gone with it.
#[test]
fn heads_of_limits_and_cookies_are_there_once() {
    let failing = Endpoint::new(|caller| {
        while caller.request().is_some() {
            caller
                .send("HTTP/1.1 503 X\r\nset-cookie: evil=1\r\ncontent-length: 9\r\n\r\nHTTP/1.1 ");
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let good = Endpoint::echo("good");
    let list = format!("{:?}, {{ address = {:?}, backup = true }}", failing.address, good.address);
    let mut proxy = Setup::http(&[])
        .endpoints(&list)
        .listener("rate_limits = \"all\"")
        .upstream("retry_status = [\"500-504\"]\nsticky = \"cookie\"\noutlier = false")
        .more("[rate_limits.all]\nrate = \"1000/s\"\nheaders = \"always\"\n")
        .start();
    let mut client = Client::new(&proxy);
    for _ in 0..20 {
        let reply = client.get("/");
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.all("set-cookie").count(), 1);
        assert_eq!(reply.all("ratelimit").count(), 1);
        assert_eq!(reply.all("cache-control").count(), 1);
    }
    proxy.assert_sound();
}

/// What may be tried again may be over HTTP/2 too, with a body that is in memory.
#[test]
fn a_request_with_a_body_is_tried_again_over_http2() {
    for (buffered, len) in [("", 3), ("", 10_000), ("buffer_requests = \"64KiB\"\n", 30_000)] {
        let setup = Setup::http(&[]);
        let [bad, good] = ["bad", "good"].map(|name| {
            let path = setup.directory().join(name);
            format!("unix:{}", path.display())
        });
        let list = format!("{bad:?}, {{ address = {good:?}, backup = true }}");
        let listener = |name: &str, bind: &str, status: u16| {
            format!(
                "[listeners.{name}]\nbind = {bind:?}\n[[routes]]\nlistener = {name:?}\nrespond = \
                 {status}\n"
            )
        };
        let mut proxy = setup
            .endpoints(&list)
            .upstream(&format!("http2 = true\nretry_status = [500]\n{buffered}"))
            .more(&(listener("bad", &bad, 500) + &listener("good", &good, 200)))
            .start();
        let mut client = Client::new(&proxy);
        let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
        client.send([head.into_bytes(), vec![b'x'; len]].concat());
        assert_eq!(client.response_to("PUT").unwrap().status(), 200, "{len}");
        proxy.assert_sound();
    }
}
