//! How exchanges go when nobody misbehaves: connections kept on both sides, bodies and trailers
//! both ways, expectations, clients that go away.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use fairwater_e2e::client::End;
use fairwater_e2e::{Caller, Client, Directory, Endpoint, Setup, until};

/// A script that waits for the test's word between steps.
fn gated(
    script: impl Fn(&mut Caller, &Receiver<()>) + Send + Sync + 'static,
) -> (Endpoint, std::sync::mpsc::Sender<()>) {
    let (go, gate) = channel();
    let gate = Mutex::new(gate);
    let endpoint = Endpoint::new(move |caller| script(caller, &gate.lock().unwrap()));
    (endpoint, go)
}

#[test]
fn connections_are_kept_on_both_sides() {
    let directory = Directory::new();
    let of_unix = fairwater_e2e::endpoint::echo("e");
    for endpoint in [Endpoint::echo("e"), Endpoint::on_unix(&directory.join("e.sock"), of_unix)] {
        let mut proxy = Setup::http(&[&endpoint]).start();
        let mut client = Client::new(&proxy);
        for n in 0..100 {
            assert_eq!(client.get(&format!("/{n}")).text(), format!("e: GET /{n} 0\n"));
        }
        let mut second = Client::new(&proxy);
        for n in 0..10 {
            second.get(&format!("/{n}"));
        }
        assert_eq!(endpoint.accepted(), 1);
        assert_eq!(proxy.metric("fairwater_endpoint_reuses_total", &[]), 109);
        assert_eq!(proxy.metric("fairwater_connections_active", &[]), 2);
        let log = proxy.until_log(110);
        assert_eq!(log.iter().filter(|line| line.get("reused") == "true").count(), 109);
        proxy.assert_sound();
    }
}

/// As many connections as there are requests at a time, and no more.
#[test]
fn pooled_connections_serve_whoever_comes() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            std::thread::sleep(Duration::from_millis(5));
            caller.reply(request.method(), request.target());
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut clients: Vec<_> = (0..40).map(|_| Client::new(&proxy)).collect();
    for round in 0..10 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("GET /{round}/{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.response().unwrap().text(), format!("/{round}/{number}"));
        }
    }
    assert!(endpoint.accepted() <= 40, "{}", endpoint.accepted());
    proxy.assert_sound();
}

#[test]
fn http_1_0_clients_may_keep_their_connection() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            if request.target() == "/chunked" {
                caller.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n");
            } else {
                caller.reply(request.method(), "hello");
            }
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    for _ in 0..5 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.response().unwrap();
        assert_eq!(
            (answer.field("connection"), answer.text().as_str()),
            (Some("keep-alive"), "hello")
        );
    }
    client.send("GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.read_to_end().0, b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhi");
    let mut client = Client::new(&proxy);
    client.send("GET / HTTP/1.0\r\n\r\n");
    let answer = client.response().unwrap();
    assert!(answer.closes());
    assert_eq!(client.end(), End::Closed);
    let mut client = Client::new(&proxy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(client.response().unwrap().closes());
    assert_eq!(client.end(), End::Closed);
    assert_eq!(endpoint.accepted(), 1);
    proxy.assert_sound();
}

/// Chunks of odd sizes, cut at odd places, both ways at once.
#[test]
fn chunked_bodies_go_both_ways() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            let mut reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            for piece in request.body.chunks(777) {
                reply.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
                reply.extend_from_slice(piece);
                reply.extend_from_slice(b"\r\n");
            }
            caller.send(reply);
            caller.send("0\r\nX-Sum: 1\r\n\r\n");
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    for size in [0, 1, 1023, 16_383, 16_384, 16_385, 65_536, 1_000_003] {
        let body: Vec<u8> = (0..size).map(|n: usize| ((n * 31) >> 3) as u8).collect();
        let mut bytes =
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for piece in body.chunks(1234) {
            bytes.extend_from_slice(format!("{:x};x=y\r\n", piece.len()).as_bytes());
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\nX-Trailer: yes\r\n\r\n");
        let pieces: Vec<_> = bytes.chunks(50_001).collect();
        client.send_segments(&pieces);
        let answer = client.response_to("POST").unwrap();
        assert!(answer.body == body, "{size}");
        assert_eq!(answer.trailers, [("X-Sum".to_owned(), "1".to_owned())]);
        let request = endpoint.requests().pop().unwrap();
        assert!(request.body == body, "{size}");
        assert_eq!(request.trailers, [("X-Trailer".to_owned(), "yes".to_owned())]);
    }
    assert_eq!(endpoint.accepted(), 1);
    proxy.assert_sound();
}

/// Heads of every length around the sizes of the buffers, with a body behind them.
#[test]
fn a_body_arrives_behind_a_head_of_any_length() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let fixed = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: \r\n\r\n".len();
    for length in [16 << 10, 32 << 10].into_iter().flat_map(|size| size - 7..=size + 6) {
        if length > 32 << 10 {
            continue;
        }
        for is_together in [true, false] {
            let filler = "y".repeat(length - fixed);
            let head =
                format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: {filler}\r\n\r\n");
            assert_eq!(head.len(), length);
            let mut client = Client::new(&proxy);
            if is_together {
                client.send(head + "hello");
            } else {
                client.send(head);
                until("the head to arrive", || {
                    proxy.metric("fairwater_endpoint_in_flight", &[]) == 1
                });
                client.send("hello");
            }
            let answer = client.response_to("POST").unwrap_or_else(|b| panic!("{length}: {b:?}"));
            assert_eq!(answer.text(), "e: POST / 5\n", "{length}");
            assert_eq!(client.get("/next").status(), 200);
        }
    }
    proxy.assert_sound();
}

#[test]
fn expectations_are_passed_to_the_endpoint() {
    let endpoint = Endpoint::new(|caller| {
        let head = caller.read_until(b"\r\n\r\n");
        if head.starts_with(b"POST /no") {
            caller.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
            return caller.until_closed();
        }
        assert!(head.ends_with(b"\r\n\r\n"), "the body came before the word");
        caller.send("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(caller.read_exactly(5), b"hello");
        caller.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let head = |target: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
    };
    let mut client = Client::new(&proxy);
    client.send(head("/yes"));
    assert_eq!(client.response().unwrap().raw, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    assert_eq!(client.response_to("POST").unwrap().text(), "ok");

    let mut refused = Client::new(&proxy);
    refused.send(head("/no"));
    let answer = refused.response_to("POST").unwrap();
    assert_eq!((answer.status(), answer.closes()), (403, true));
    assert_ne!(refused.end(), End::Open);

    // One that is refused by ourselves.
    let routes = "[[routes]]\nlistener = \"web\"\npath = \"/x\"\nupstream = \"app\"\n";
    let second = Setup::http(&[&endpoint]).without_route().more(routes).start();
    let mut client = Client::new(&second);
    client.send(head("/unknown"));
    assert_eq!(client.response_to("POST").unwrap().status(), 404);
    assert_ne!(client.end(), End::Open);
    proxy.assert_sound();
}

/// A client that resets is noticed in every phase, and the endpoint with it.
#[test]
fn a_client_that_resets_frees_the_endpoint() {
    let waiting = |caller: &mut Caller| {
        caller.read_until(b"\r\n\r\n");
        caller.until_closed();
    };
    let sending = |length: &'static str, body: usize| {
        move |caller: &mut Caller| {
            caller.read_until(b"\r\n\r\n");
            caller.send(format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n"));
            caller.send(vec![b'x'; body]);
            caller.until_closed();
        }
    };
    let endless = |caller: &mut Caller| {
        caller.read_until(b"\r\n\r\n");
        caller.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
        while caller.send([b'x'; 65_536]) {}
    };
    let get = "GET /cut HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n";
    for (name, endpoint, request, wait_for, reason) in [
        ("before the head", Endpoint::new(waiting), get, 0, "client_aborted"),
        ("with a body to come", Endpoint::new(waiting), post, 0, "client_aborted"),
        (
            "within a short body",
            Endpoint::new(sending("Content-Length: 100", 10)),
            get,
            10,
            "client_aborted",
        ),
        (
            "within a spliced body",
            Endpoint::new(sending("Content-Length: 10000000", 300_000)),
            get,
            300_000,
            "client_aborted",
        ),
        (
            "within a body without length",
            Endpoint::new(sending("X: y", 10)),
            get,
            10,
            "client_aborted",
        ),
        ("while it is being written to", Endpoint::new(endless), get, 100_000, "client_aborted"),
    ] {
        let mut proxy = Setup::http(&[&endpoint]).start();
        let mut client = Client::new(&proxy);
        client.send(request);
        until("the endpoint to be asked", || {
            proxy.metric("fairwater_endpoint_in_flight", &[]) == 1
        });
        if wait_for > 0 {
            client.read_exactly(wait_for);
        }
        let begun = Instant::now();
        client.reset();
        until(&format!("the end of the endpoint's connection, {name}"), || endpoint.closed() == 1);
        assert!(begun.elapsed() < Duration::from_secs(1), "{name}: {:?}", begun.elapsed());
        assert_eq!(proxy.until_log(1)[0].get("reason"), reason, "{name}");
        assert_eq!(proxy.metric("fairwater_endpoint_in_flight", &[]), 0, "{name}");
        proxy.assert_sound();
    }
}

/// The endpoint takes nothing, so that the client's bytes are not read either.
#[test]
fn a_client_that_resets_a_stuck_upload_is_noticed() {
    let (deaf, go) = gated(|_, gate| gate.recv().unwrap_or(()));
    for framing in ["Content-Length: 1000000000", "Transfer-Encoding: chunked"] {
        let mut proxy = Setup::http(&[&deaf]).start();
        let mut client = Client::new(&proxy);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n3b9aca00\r\n"));
        client.socket.patience(Duration::from_millis(300)).unwrap();
        while client.try_send(&[b'x'; 65_536]).is_ok() {}
        let begun = Instant::now();
        client.reset();
        assert_eq!(proxy.until_log(1)[0].get("reason"), "client_aborted", "{framing}");
        assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
        go.send(()).unwrap();
        proxy.assert_sound();
    }
}

/// A client that closes only its own direction still wants its answer.
#[test]
fn a_client_that_half_closes_gets_its_answer() {
    let (endpoint, go) = gated(|caller, gate| {
        while let Some(request) = caller.request() {
            gate.recv().unwrap();
            caller.reply(request.method(), &"x".repeat(100_000));
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        let mut client = Client::new(&proxy);
        client.send(request);
        client.half_close();
        go.send(()).unwrap();
        assert_eq!(client.response().unwrap().body.len(), 100_000);
        assert_eq!(client.end(), End::Closed);
    }
    proxy.assert_sound();
}

/// The body breaks off: the endpoint must not take what came for all of it.
#[test]
fn an_upload_that_breaks_off_reaches_the_endpoint_as_broken() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    for (number, request) in [
        "POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello",
        "POST /cut HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "POST /cut HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhello",
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = Client::new(&proxy);
        client.send(request);
        client.half_close();
        assert_ne!(client.end(), End::Open);
        endpoint.until_closed(number + 1);
        let log = proxy.until_log(number + 1);
        assert_eq!(log[number].get("reason"), "client_aborted", "{request}");
    }
    assert!(endpoint.requests().is_empty());
    assert_eq!(endpoint.partial_requests().len(), 4);
    proxy.assert_sound();
}

#[test]
fn an_endpoint_may_say_how_long_it_keeps_a_connection() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            assert_eq!(request.target(), "/");
            caller.send("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.get("/");
    let begun = Instant::now();
    endpoint.until_closed(1);
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
    assert_eq!(client.get("/").status(), 200);
    proxy.assert_sound();
}

/// Node closes after five seconds; we are first.
#[test]
#[ignore = "slow: 5 s"]
fn an_idle_connection_to_an_endpoint_is_closed_after_four_seconds() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.get("/");
    let begun = Instant::now();
    endpoint.until_closed(1);
    let took = begun.elapsed();
    assert!((3500..5500).contains(&took.as_millis()), "{took:?}");
    assert_eq!(proxy.metric("fairwater_endpoint_connections", &[]), 0);
    assert_eq!(client.get("/").status(), 200);
}
