//! Requests that come slowly, not at all, or all at once (rows A24, A26, A28 to A30).

use std::time::{Duration, Instant};

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Endpoint, Proxy, Setup, until};

/// The most that the memory may rise by.
const RISE: u64 = 4 << 20;

fn closes_within(client: &mut Client, seconds: std::ops::Range<u64>, begun: Instant) {
    assert_ne!(client.end(), End::Open);
    let took = begun.elapsed();
    let range = Duration::from_secs(seconds.start)..Duration::from_secs(seconds.end);
    assert!(range.contains(&took), "closed after {took:?}");
}

fn reason_of_last(proxy: &Proxy, lines: usize) -> String {
    proxy.until_log(lines)[lines - 1].get("reason").to_owned()
}

/// The deadline is for the whole head: a byte now and then does not move it.
#[test]
fn a_head_has_ten_seconds_in_all() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let begun = Instant::now();
    let mut silent = Client::new(&proxy);
    silent.send("GET / HTTP/1.1\r\nHo");
    let mut dripping = Client::new(&proxy);
    dripping.send("GET / HTTP/1.1\r\nX: ");
    let mut behind_empty_line = Client::new(&proxy);
    behind_empty_line.send("\r\nG");
    let mut second = Client::new(&proxy);
    second.get("/first");
    second.send("GET /second HTTP/1.1\r\n");
    until("the drip to be refused", || {
        std::thread::sleep(Duration::from_millis(100));
        dripping.try_send(b"x").is_err() || proxy.log().len() >= 5
    });
    for client in [&mut silent, &mut dripping, &mut behind_empty_line, &mut second] {
        assert_eq!(client.response().unwrap().status(), 408);
        closes_within(client, 9..14, begun);
    }
    let log = proxy.until_log(5);
    assert_eq!(log.iter().filter(|line| line.get("reason") == "request_head_timeout").count(), 4);
    assert_eq!(endpoint.requests().len(), 1);
    proxy.assert_sound();
}

#[test]
fn a_client_that_closes_within_a_head_gets_no_answer() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    for bytes in ["", "GET", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n", "\r\n"] {
        let mut client = Client::new(&proxy);
        client.send(bytes);
        client.half_close();
        assert_eq!(client.end(), End::Closed, "{bytes:?}");
    }
    proxy.until_metric("fairwater_connections_active", &[], 0);
    assert_eq!(endpoint.accepted(), 0);
    proxy.assert_sound();
}

/// An answer that does not wait for the body: the rest is never taken for a request.
#[test]
fn an_early_refusal_never_reads_the_body_as_a_request() {
    let endpoint = Endpoint::echo("e");
    let routes = "[[routes]]\nlistener = \"web\"\npath = \"/known\"\nupstream = \"app\"\n";
    let mut proxy = Setup::http(&[&endpoint]).without_route().more(routes).start();
    let evil = "GET /known HTTP/1.1\r\nHost: a\r\n\r\n";
    let head =
        |length: usize| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");

    let mut whole = Client::new(&proxy);
    whole.send(head(evil.len()) + evil);
    assert_eq!(whole.response().unwrap().status(), 404);
    assert_eq!(whole.get("/known").status(), 200, "the next request is intact");

    let begun = Instant::now();
    let mut partial = Client::new(&proxy);
    partial.send(head(100) + &evil[..10]);
    let answer = partial.response().unwrap();
    assert_eq!((answer.status(), answer.closes()), (404, true));
    closes_within(&mut partial, 0..4, begun);

    let mut large = Client::new(&proxy);
    large.send(head(1 << 30) + &evil.repeat(1000));
    let answer = large.response().unwrap();
    assert_eq!((answer.status(), answer.closes()), (404, true));
    assert_ne!(large.end(), End::Open);

    let mut chunked = Client::new(&proxy);
    chunked.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx: y\r\n\r\n");
    assert_eq!(chunked.response().unwrap().status(), 404);
    assert_eq!(chunked.get("/known").status(), 200);
    assert_eq!(endpoint.requests().len(), 2);
    proxy.assert_sound();
}

/// A client that drips the body of an answered request cannot hold the connection by it.
#[test]
fn a_dripped_body_of_an_answered_request_ends_soon() {
    let endpoint = Endpoint::echo("e");
    let routes = "[[routes]]\nlistener = \"web\"\npath = \"/known\"\nupstream = \"app\"\n";
    let proxy = Setup::http(&[&endpoint]).without_route().more(routes).start();
    let mut client = Client::new(&proxy);
    let begun = Instant::now();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    until("the connection to end", || {
        std::thread::sleep(Duration::from_millis(100));
        client.try_send(b"x").is_err() || begun.elapsed() > Duration::from_secs(6)
    });
    assert!(begun.elapsed() < Duration::from_secs(4), "held for {:?}", begun.elapsed());
    proxy.until_metric("fairwater_connections_active", &[], 0);
}

/// Nobody reads: the answers of a thousand requests wait in buffers of bounded size.
#[test]
fn a_thousand_pipelined_requests_are_answered_in_order() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    let resident = proxy.resident();
    let requests: String =
        (0..1000).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(&requests);
    for n in 0..1000 {
        assert_eq!(client.response().unwrap().text(), format!("e: GET /{n} 0\n"));
    }
    assert_eq!(endpoint.accepted(), 1);
    assert!(proxy.resident() < resident + RISE);
    let log = proxy.until_log(1000);
    assert!(log.iter().enumerate().all(|(n, line)| line.get("target") == format!("/{n}")));
    proxy.assert_sound();
}

#[test]
fn pipelined_requests_wait_for_a_client_that_does_not_read() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            caller.reply(request.method(), &"x".repeat(64 << 10));
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500));
    let resident = proxy.resident();
    until("the proxy to stop taking answers", || {
        let before = endpoint.requests().len();
        std::thread::sleep(Duration::from_millis(100));
        endpoint.requests().len() == before
    });
    assert!(endpoint.requests().len() < 250, "{}", endpoint.requests().len());
    let risen = proxy.resident().saturating_sub(resident);
    assert!(risen < RISE, "{risen}");
    for _ in 0..500 {
        assert_eq!(client.response().unwrap().body.len(), 64 << 10);
    }
    proxy.assert_sound();
}

/// The client waits for a word that the endpoint does not give.
#[test]
#[ignore = "slow: 30 s"]
fn a_body_that_never_comes_is_given_up() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let begun = Instant::now();
    let head = "POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n";
    let mut expecting = Client::new(&proxy);
    expecting.send(format!("{head}Expect: 100-continue\r\n\r\n"));
    let mut silent = Client::new(&proxy);
    silent.send(format!("{head}\r\n"));
    for client in [&mut expecting, &mut silent] {
        client.socket.patience(Duration::from_secs(40)).unwrap();
        assert_eq!(client.response().unwrap().status(), 408);
        closes_within(client, 29..35, begun);
    }
    endpoint.until_closed(2);
    assert_eq!(reason_of_last(&proxy, 2), "request_body_timeout");
    proxy.assert_sound();
}

#[test]
#[ignore = "slow: 75 s"]
fn an_idle_client_is_closed() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.get("/");
    let begun = Instant::now();
    client.socket.patience(Duration::from_secs(90)).unwrap();
    closes_within(&mut client, 74..80, begun);
    proxy.assert_sound();
}

/// The client of a first request is looked after only when the endpoint takes its time. That look
/// must not become the endpoint's deadline, however many pieces its head comes in.
#[test]
fn an_endpoint_may_pause_within_its_head_or_behind_an_interim_reply() {
    const PAUSE: Duration = Duration::from_millis(300);
    for first in
        ["HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nX: "]
    {
        let endpoint = Endpoint::new(move |caller| {
            caller.request();
            std::thread::sleep(PAUSE / 10);
            caller.send(first);
            std::thread::sleep(PAUSE);
            caller.send("y\r\nContent-Length: 0\r\n\r\n");
        });
        let mut proxy = Setup::http(&[&endpoint]).start();
        let mut client = Client::new(&proxy);
        client.send("GET / HTTP/1.0\r\n\r\n");
        assert_eq!(client.response().unwrap().status(), 200, "{first:?}");
        proxy.assert_sound();
    }
}
