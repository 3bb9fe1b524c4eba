//! Bodies of requests that are read before there is an endpoint.

use std::time::{Duration, Instant};

use fairwater_e2e::{Client, Endpoint, Setup, until};

fn buffering(endpoint: &Endpoint, size: &str) -> Setup {
    Setup::http(&[endpoint]).upstream(&format!("buffer_requests = {size:?}"))
}

fn head(len: usize) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n")
}

/// A hundred clients that do not come to their end, and an endpoint with two slots: others get
/// theirs at once.
#[test]
fn slow_uploads_hold_no_endpoint() {
    const LEN: usize = 20_000;
    let endpoint = Endpoint::echo("e");
    let upstream = "max_connections = 2\nqueue_timeout = \"10s\"";
    let mut proxy = buffering(&endpoint, "64KiB").upstream(upstream).start();
    let mut slow: Vec<_> = (0..100).map(|_| Client::new(&proxy)).collect();
    for (index, client) in slow.iter_mut().enumerate() {
        client.send(head(LEN));
        // More than fits behind the head, and less.
        client.send(vec![b'x'; if index % 2 == 0 { LEN - 1 } else { 10 }]);
    }
    until("all to be there", || proxy.metric("fairwater_connections_active", &[]) == 100);
    let begun = Instant::now();
    let mut other = Client::new(&proxy);
    for _ in 0..20 {
        assert_eq!(other.get("/").status(), 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!((endpoint.requests().len(), endpoint.partial_requests().len()), (20, 0));
    for (index, client) in slow.iter_mut().enumerate() {
        client.send(vec![b'y'; if index % 2 == 0 { 1 } else { LEN - 10 }]);
    }
    for client in &mut slow {
        let reply = client.response_to("POST").unwrap();
        assert_eq!((reply.status(), reply.text()), (200, format!("e: POST / {LEN}\n")));
    }
    let requests = endpoint.requests();
    assert_eq!(requests.len(), 120);
    for request in requests.iter().filter(|request| request.method() == "POST") {
        let is_whole = request.body.iter().all(|byte| matches!(byte, b'x' | b'y'));
        assert!(is_whole && request.body.len() == LEN && request.body.ends_with(b"y"));
    }
    assert_eq!(
        proxy.until_log(120).iter().map(|line| line.number("bytes_in")).max(),
        Some(LEN as u64)
    );
    proxy.assert_sound();
}

/// The time of a slow client is not the endpoint's, also where its connection lies in the pool.
#[test]
fn waiting_for_a_body_is_told_apart_in_the_log() {
    const LONG: Duration = Duration::from_millis(50);
    let endpoint = Endpoint::echo("e");
    let mut proxy = buffering(&endpoint, "64KiB").start();
    let mut client = Client::new(&proxy);
    assert_eq!(client.get("/").status(), 200);
    client.send(head(4) + "ab");
    let since = Instant::now();
    until("a while to pass", || since.elapsed() >= LONG);
    client.send("cd");
    assert_eq!(client.response_to("POST").unwrap().status(), 200);
    let line = proxy.until_log(2).pop().unwrap();
    let [connect, response, total] =
        ["connect_us", "response_us", "total_us"].map(|name| line.number(name));
    assert_eq!((line.get("reused"), line.get("attempts")), ("true", "1"));
    // The head may have been read a little later than it was sent.
    assert!(u128::from(connect) >= LONG.as_micros() / 2, "{line:?}");
    assert!(connect + response <= total, "{line:?}");
    proxy.assert_sound();
}

/// The endpoint sees a request when it is whole, and not before, however it is framed; what comes
/// behind it is the next one.
#[test]
fn an_endpoint_sees_whole_requests() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = buffering(&endpoint, "64KiB").start();
    let chunked = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for (begin, end, len, body) in [
        (chunked, "6\r\n world\r\n0\r\n\r\n", 11, "hello world"),
        (chunked, "0\r\nx-sum: 7\r\n\r\n", 5, "hello"),
        ("POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na", "bc", 3, "abc"),
    ] {
        let before = endpoint.accepted() + endpoint.requests().len();
        let mut client = Client::new(&proxy);
        client.send(begin);
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(endpoint.accepted() + endpoint.requests().len(), before);
        // With the next two.
        client.send(format!(
            "{end}GET /next HTTP/1.1\r\nHost: a\r\n\r\nGET /last HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        let reply = client.response_to("POST").unwrap();
        assert!(reply.text().ends_with(&format!(" {len}\n")), "{}", reply.text());
        assert!(client.response().unwrap().text().contains("/next"));
        assert!(client.response().unwrap().text().contains("/last"));
        let requests = endpoint.requests();
        let request = &requests[requests.len() - 3];
        assert_eq!(request.body, body.as_bytes());
    }
    // Without a body nothing changes.
    let mut client = Client::new(&proxy);
    client.send("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.response_to("POST").unwrap().status(), 200);
    assert!(endpoint.errors().is_empty(), "{:?}", endpoint.errors());
    proxy.assert_sound();
}

/// More than is held goes on as it comes, whatever its framing.
#[test]
fn a_longer_body_is_sent_on() {
    const PIECE: usize = 8192;
    const LEN: usize = 50 * PIECE;
    let endpoint = Endpoint::echo("e");
    let mut proxy = buffering(&endpoint, "64KiB").upstream("keep_alive = false").start();
    for (before, is_chunked) in [false, true].into_iter().enumerate() {
        let mut client = Client::new(&proxy);
        let framed = |bytes: &[u8]| match is_chunked {
            true => [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat(),
            false => bytes.to_vec(),
        };
        let head = match is_chunked {
            true => "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            false => head(LEN),
        };
        client.send(head);
        let piece = framed(&[b'x'; PIECE]);
        for _ in 0..8 {
            client.send(&piece);
        }
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(endpoint.accepted(), before);
        for _ in 8..49 {
            client.send(&piece);
        }
        until("the endpoint to see it", || endpoint.accepted() > before);
        assert_eq!(endpoint.requests().len(), before);
        client.send(&piece);
        client.send(if is_chunked { "0\r\n\r\n" } else { "" });
        let reply = client.response_to("POST").unwrap();
        assert_eq!((reply.status(), reply.text()), (200, format!("e: POST / {LEN}\n")));
    }
    let lines = proxy.until_log(2);
    assert!(lines.iter().all(|line| line.number("bytes_in") == LEN as u64), "{lines:?}");
    proxy.assert_sound();
}

/// Every byte of bodies of all lengths around the limits arrives, also where pieces come anyhow.
#[test]
fn bodies_of_all_lengths_arrive() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = buffering(&endpoint, "16KiB").start();
    let mut client = Client::new(&proxy);
    let mut count = 0;
    for len in [1, 100, 1023, 16_000, 16_383, 16_384, 16_385, 20_000, 32_768, 40_000, 200_000] {
        for step in [1000, 5000, len] {
            let body: Vec<u8> = (0..len).map(|at| b'a' + (at % 23) as u8).collect();
            client.send(head(len));
            for piece in body.chunks(step) {
                client.send(piece);
            }
            assert_eq!(client.response_to("POST").unwrap().status(), 200);
            client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            for piece in body.chunks(step) {
                client.send([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
            }
            client.send("0\r\n\r\n");
            assert_eq!(client.response_to("POST").unwrap().status(), 200);
            count += 2;
            let requests = endpoint.requests();
            assert_eq!(requests.len(), count);
            assert!(
                requests[count - 2..].iter().all(|request| request.body == body),
                "{len}, {step}"
            );
        }
    }
    proxy.assert_sound();
}

#[test]
fn a_body_that_does_not_come_is_answered_in_time() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = buffering(&endpoint, "64KiB").listener("body_timeout = \"300ms\"").start();
    let mut client = Client::new(&proxy);
    client.send(head(100));
    client.send("abc");
    assert_eq!(client.response_to("POST").unwrap().status(), 408);
    let line = proxy.until_log(1).remove(0);
    assert_eq!((line.get("reason"), line.get("endpoint")), ("request_body_timeout", ""));
    // Nor one that is broken, or breaks off.
    let mut client = Client::new(&proxy);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n");
    assert_eq!(client.response_to("POST").unwrap().status(), 400);
    let mut client = Client::new(&proxy);
    client.send(head(100));
    drop(client);
    assert_eq!(proxy.until_log(3)[2].get("reason"), "client_aborted");
    assert_eq!(endpoint.accepted(), 0);
    proxy.assert_sound();
}

/// Who waits for the word to send its body gets it from us, once.
#[test]
fn who_waits_is_told_to_go_on() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            caller.send("HTTP/1.1 100 Continue\r\n\r\n");
            caller.reply(request.method(), &request.body.len().to_string());
        }
    });
    let mut proxy = buffering(&endpoint, "64KiB").start();
    let mut client = Client::new(&proxy);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(client.read_exactly(go_on.len()), go_on);
    assert_eq!(endpoint.accepted(), 0);
    client.send("abc");
    let reply = client.read_exactly(12);
    assert_eq!(reply, b"HTTP/1.1 200", "{}", String::from_utf8_lossy(&reply));
    proxy.assert_sound();
}

/// A body that is held is sent again in full, to the endpoint that is there.
#[test]
fn what_is_held_can_be_sent_again() {
    let gone = Endpoint::new(|caller| {
        // It has heard all of it, and says nothing.
        caller.request();
    });
    let good = Endpoint::echo("good");
    let proxy = Setup::http(&[&gone, &good])
        .upstream("buffer_requests = \"128KiB\"\noutlier = false")
        .start();
    let body = vec![b'x'; 100_000];
    for is_chunked in [false, true, false, true] {
        let mut client = Client::new(&proxy);
        match is_chunked {
            true => {
                client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
                for piece in body.chunks(30_000) {
                    client.send(
                        [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat(),
                    );
                }
                client.send("0\r\n\r\n");
            }
            false => {
                client.send(head(body.len()).replace("POST", "PUT"));
                client.send(&body);
            }
        }
        let reply = client.response_to("PUT").unwrap();
        assert_eq!((reply.status(), reply.text()), (200, "good: PUT / 100000\n".to_owned()));
    }
    assert!(proxy.until_log(4).iter().any(|line| line.number("attempts") > 1));
    assert!(good.requests().iter().all(|request| request.body == body));
}

/// The same after an answer that is one to try elsewhere.
#[test]
fn what_is_held_is_sent_again_after_a_status() {
    let busy = Endpoint::new(|caller| {
        while caller.request().is_some() {
            caller.send("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let good = Endpoint::echo("good");
    let upstream = "buffer_requests = \"128KiB\"\nretry_status = [503]\noutlier = false";
    let proxy = Setup::http(&[&busy, &good]).upstream(upstream).start();
    for _ in 0..4 {
        let mut client = Client::new(&proxy);
        client.send(head(100_000).replace("POST", "PUT"));
        client.send(vec![b'x'; 100_000]);
        let reply = client.response_to("PUT").unwrap();
        assert_eq!((reply.status(), reply.text()), (200, "good: PUT / 100000\n".to_owned()));
    }
    assert!(!busy.requests().is_empty());
}

/// What all threads hold has an end: further bodies go on as they come.
#[test]
#[ignore = "slow: 10 s"]
fn what_is_held_is_bounded() {
    const LEN: usize = 4 << 20;
    let endpoint = Endpoint::echo("e");
    let mut proxy = buffering(&endpoint, "8MiB").more("[overload]\nmemory = \"off\"\n").start();
    let before = proxy.resident();
    let mut clients: Vec<_> = (0..40).map(|_| Client::new(&proxy)).collect();
    for client in &mut clients {
        client.send(head(LEN));
        client.send(vec![b'x'; LEN - 1]);
    }
    // Some are with the endpoint already.
    until("some to be sent on", || endpoint.accepted() > 0);
    let taken = proxy.resident() - before;
    assert!(taken < 100 << 20, "{taken}");
    for client in &mut clients {
        client.send("x");
        let reply = client.response_to("POST").unwrap();
        assert_eq!(reply.text(), format!("e: POST / {LEN}\n"));
    }
    drop(clients);
    until("memory to be given back", || proxy.resident() < before + (32 << 20));
    proxy.assert_sound();
}

/// Of HTTP/2 the same, but for calls of gRPC: they are conversations, and whoever waits for their
/// end may wait for ever.
#[test]
fn streams_are_held_and_calls_are_not() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = buffering(&endpoint, "64KiB").upstream("keep_alive = false").start();
    let mut client = Client::new(&proxy);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    for (stream, kind, is_held) in [(1, "text/plain", true), (3, "application/grpc", false)] {
        let before = endpoint.accepted();
        // POST, http, / and the host `a`, and a content type, without entries for the table.
        let mut block = vec![0x83, 0x86, 0x84, 1, 1, b'a', 0x0f, 0x10, kind.len() as u8];
        block.extend_from_slice(kind.as_bytes());
        let frame = |kind, flags, payload: &[u8]| {
            [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream][..], payload].concat()
        };
        client.send(frame(1, 4, &block));
        client.send(frame(0, 0, b"some"));
        if is_held {
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!(endpoint.accepted(), before);
        } else {
            until("the endpoint to see it", || endpoint.accepted() > before);
            assert_eq!(endpoint.requests().len(), before);
        }
        client.send(frame(0, 1, b"thing"));
        endpoint.until_requests(before + 1);
        assert_eq!(endpoint.requests()[before].body, b"something");
    }
    until("both to be answered", || proxy.log().len() == 2);
    assert!(proxy.log().iter().all(|line| line.get("status") == "200"));
    proxy.assert_sound();
}
