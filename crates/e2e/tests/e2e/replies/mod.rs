//! What endpoints may answer (reliability table R): what the client gets of it, what the log says,
//! and whether the connection to the endpoint is used again.

mod case;

use std::time::{Duration, Instant};

use fairwater_e2e::client::End;
use fairwater_e2e::{Broken, Client, Endpoint, Setup, until};

use case::{bad, check, check_with, cut, good, spent};

const LENGTH_5: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const HEAD_5: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n";
const HEAD_CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n";

/// Every case asks three times: before, itself, behind; `same_again` asks once more.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn replies_in_good_order_are_passed_on() {
    let chunked =
        |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let long = "y".repeat(100_000);
    let cases = vec![
        good("a length", LENGTH_5, HEAD_5, b"hello"),
        good(
            "length 0",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n",
            b"",
        ),
        good(
            "leading zeros",
            "HTTP/1.1 200 OK\r\nContent-Length: 0005\r\n\r\nhello",
            HEAD_5,
            b"hello",
        ),
        good(
            "no reason",
            "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 \r\ncontent-length: 5\r\n",
            b"hello",
        ),
        good(
            "no space behind the status",
            "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 \r\ncontent-length: 5\r\n",
            b"hello",
        ),
        good(
            "R15 status 999",
            "HTTP/1.1 999 Odd\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 999 Odd\r\ncontent-length: 5\r\n",
            b"hello",
        ),
        good("chunks", chunked("5\r\nhello\r\n0\r\n\r\n"), HEAD_CHUNKED, b"hello"),
        good(
            "chunks with extensions",
            chunked("5;a=\"b\"\r\nhello\r\n0;c\r\n\r\n"),
            HEAD_CHUNKED,
            b"hello",
        ),
        good(
            "many chunks",
            chunked(&format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(3000))),
            HEAD_CHUNKED,
            "x".repeat(3000).as_bytes(),
        ),
        good(
            "trailers",
            chunked("5\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n"),
            HEAD_CHUNKED,
            b"hello",
        ),
        good(
            "a large body",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{long}"),
            "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n",
            long.as_bytes(),
        ),
        good(
            "a large chunk",
            chunked(&format!("186a0\r\n{long}\r\n0\r\n\r\n")),
            HEAD_CHUNKED,
            long.as_bytes(),
        ),
        spent("until close", "HTTP/1.1 200 OK\r\n\r\nhello", HEAD_CHUNKED, b"hello").closing(),
        spent("until close, empty", "HTTP/1.1 200 OK\r\n\r\n", HEAD_CHUNKED, b"").closing(),
        spent("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhello", HEAD_CHUNKED, b"hello").closing(),
        spent(
            "HTTP/1.0 with a length",
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            HEAD_5,
            b"hello",
        ),
        good(
            "HTTP/1.0 with keep-alive",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
            HEAD_5,
            b"hello",
        ),
        spent(
            "close",
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
            HEAD_5,
            b"hello",
        ),
        good(
            "R19 hop-by-hop fields",
            "HTTP/1.1 200 OK\r\nConnection: X-Secret, keep-alive\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nTE: x\r\nX-Other: 2\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nX-Other: 2\r\ncontent-length: 5\r\n",
            b"hello",
        ),
        good(
            "R19 what Connection may not take away",
            "HTTP/1.1 200 OK\r\nConnection: Set-Cookie, Content-Length\r\nSet-Cookie: a=%0d%0aX: 1\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=%0d%0aX: 1\r\ncontent-length: 5\r\n",
            b"hello",
        ),
        good(
            "R19 a long Location",
            format!(
                "HTTP/1.1 302 Found\r\nLocation: /{}\r\nContent-Length: 0\r\n\r\n",
                "x".repeat(20_000)
            ),
            &format!(
                "HTTP/1.1 302 Found\r\nLocation: /{}\r\ncontent-length: 0\r\n",
                "x".repeat(20_000)
            ),
            b"",
        ),
    ];
    check(cases);
}

#[test]
fn replies_without_a_body_have_none() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    check(vec![
        good("204", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n", b""),
        good(
            "204 with a length",
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n",
            b"",
        ),
        spent(
            "R17 204 with a body",
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 204 No Content\r\n",
            b"",
        )
        .because("upstream_excess_bytes"),
        spent(
            "R17 204 with chunks",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n",
            b"",
        )
        .because("upstream_excess_bytes"),
        good(
            "304",
            "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nETag: x\r\n",
            b"",
        ),
        good(
            "304 with a length",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n",
            b"",
        ),
        spent(
            "R17 304 with a body",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n",
            b"",
        )
        .at_once()
        .because("upstream_excess_bytes"),
        good("HEAD", head, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", b"").to("HEAD"),
        good("HEAD without a length", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n", b"")
            .to("HEAD"),
        spent("R17 HEAD with a body", LENGTH_5, HEAD_5, b"")
            .to("HEAD")
            .at_once()
            .because("upstream_excess_bytes"),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn malformed_heads_become_502() {
    let with = |line: &str| format!("HTTP/1.1 200 OK\r\n{line}\r\nContent-Length: 5\r\n\r\nhello");
    let mut cases = vec![
        bad("R05 half a status line", "HTTP/1.1 20").closing(),
        bad("R05 half a head", "HTTP/1.1 200 OK\r\nContent-Le").closing(),
        bad("R05 a head without its end", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n").closing(),
        bad("R05 reset within the head", "HTTP/1.1 200 OK\r\nContent-Le").resetting(),
        bad("R06 garbage", "\u{1}\u{2}garbage of no kind\r\n\r\n"),
        bad("R06 a body without a head", "<html>hello</html>"),
        bad("R06 SSH", "SSH-2.0-OpenSSH_9.2\r\n"),
        bad("R06 HTTP/2", "\0\0\u{12}\u{4}\0\0\0\0\0"),
        bad("R06 a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        bad("R09 CL and TE", with("Transfer-Encoding: chunked")),
        bad("R09 TE of HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        bad("R10 two CL", with("Content-Length: 6")),
        bad("R10 two CL, equal", with("Content-Length: 5")),
        bad("R12 NUL in a value", with("X: a\0b")),
        bad("R12 NUL in a name", with("X\0: a")),
        bad("R12 control character", with("X: a\u{1}b")),
        bad("R12 DEL", with("X: a\u{7f}")),
        bad("R12 in the status line", "HTTP/1.1 200 O\u{1}K\r\nContent-Length: 5\r\n\r\nhello"),
        bad("R13 no colon", with("foo")),
        bad("R13 folded", with("X: a\r\n b")),
        bad("R13 space before the colon", with("X : a")),
        bad("R13 empty name", with(": a")),
        bad("R13 LF only", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
        bad("R13 LF behind a field", "HTTP/1.1 200 OK\r\nX: y\nContent-Length: 5\r\n\r\nhello"),
        bad("R13 CR in a value", with("X: a\rb")),
        bad("R14 100 KiB in one field", with(&format!("X: {}", "y".repeat(100 << 10))))
            .because("upstream_head_too_large"),
        bad("R14 3000 fields", with(&"X: y\r\n".repeat(3000))).because("upstream_head_too_large"),
        bad(
            "R16 101 that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\nevil",
        ),
        bad("TE unknown", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"),
        bad(
            "TE twice",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        bad("TE list", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ];
    for value in [
        "-5",
        "+5",
        "5, 5",
        "5,6",
        "",
        "0x5",
        "5 ",
        "99999999999999999999",
        "9223372036854775808",
        "5;",
        "five",
    ] {
        if value.trim() == "5" {
            continue;
        }
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {value}\r\n\r\nhello");
        cases.push(bad(&format!("R10 {value:?}"), reply));
    }
    for line in [
        "HTTP/1.1 42 OK",
        "HTTP/1.1 abc OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 -20 OK",
        "HTTP/1.1 020 OK",
        "HTTP/1.1 2 00",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200OK",
        "HTTP/2.0 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/1.10 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "HTTP/0.9 200 OK",
        " HTTP/1.1 200 OK",
        "HTTP/1.1 000 OK",
        "HTTP/1.1",
        "200 OK",
        "HTTP/1.1 20\u{663} OK",
    ] {
        let reply = format!("{line}\r\nContent-Length: 5\r\n\r\nhello");
        cases.push(bad(&format!("R15 {line:?}"), reply));
    }
    check(cases);
}

#[test]
fn replies_that_break_off_are_never_shown_as_complete() {
    let chunked =
        |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let half = "y".repeat(500);
    let large = "y".repeat(200_000);
    let of = |length: usize, body: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let truncated = "upstream_body_truncated";
    check(vec![
        cut("R01 half of a length", of(1000, &half), half.as_bytes(), truncated).closing(),
        cut("R01 one byte less", of(501, &half), half.as_bytes(), truncated).closing(),
        cut("R01 nothing of the body", of(1000, ""), b"", truncated).closing(),
        cut("R01 a large one", of(300_000, &large), large.as_bytes(), truncated).closing(),
        cut("R02 no final chunk", chunked("5\r\nhello\r\n"), b"hello", truncated).closing(),
        cut("R02 half a chunk", chunked("a\r\nhello"), b"hello", truncated).closing(),
        cut(
            "R02 no end behind the last chunk",
            chunked("5\r\nhello\r\n0\r\n"),
            b"hello",
            truncated,
        )
        .closing(),
        cut("R02 half a trailer", chunked("5\r\nhello\r\n0\r\nX: y\r\n"), b"hello", truncated)
            .closing(),
        cut("R03 reset within a length", of(1000, &half), half.as_bytes(), truncated).resetting(),
        cut("R03 reset within chunks", chunked("5\r\nhello\r\n"), b"hello", truncated).resetting(),
        cut("R03 reset, no length", "HTTP/1.1 200 OK\r\n\r\nhello", b"hello", truncated)
            .resetting(),
    ]);
}

/// A bad chunk that comes with the head is told by a 502; one that comes later cuts the reply off.
#[test]
fn malformed_chunks_end_the_reply() {
    let reason = "upstream_body_malformed";
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "x\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff0\r\nhello\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "0\r\nfoo\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
    ] {
        let at_once = Endpoint::replying([format!("{head}{body}").into_bytes()]);
        let proxy = Setup::http(&[&at_once]).start();
        let mut client = Client::new(&proxy);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().unwrap().status(), 502, "R08 {body:?}");
        assert_eq!(proxy.until_log(1)[0].get("reason"), "upstream_bad_reply", "{body:?}");
        assert_eq!(at_once.accepted(), 1);

        let (go, gate) = std::sync::mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let later = Endpoint::new(move |caller| {
            caller.request();
            caller.send(format!("{head}5\r\nfirst\r\n"));
            gate.lock().unwrap().recv().unwrap();
            caller.send(body);
            caller.until_closed();
        });
        let mut proxy = Setup::http(&[&later]).start();
        let mut client = Client::new(&proxy);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let first = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
        assert_eq!(client.read_exactly(first.len()), first.as_bytes());
        go.send(()).unwrap();
        let (rest, end) = client.read_to_end();
        assert_ne!(end, End::Open);
        assert!(!rest.ends_with(b"0\r\n\r\n"), "R08 {body:?}: {}", rest.escape_ascii());
        later.until_closed(1);
        let log = proxy.until_log(1);
        assert_eq!((log[0].get("reason"), log[0].number("status")), (reason, 200), "R08 {body:?}");
        proxy.assert_sound();
    }
}

/// Bytes behind a reply would be the answer to somebody else's request.
#[test]
fn bytes_behind_a_reply_reach_nobody() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let empty = "HTTP/1.1 204 No Content\r\n\r\n";
    let excess = |name, reply: String, head, body: &'static [u8]| {
        spent(name, reply, head, body).at_once().because("upstream_excess_bytes")
    };
    check(vec![
        excess("R11 a second reply", format!("{LENGTH_5}{evil}"), HEAD_5, b"hello"),
        excess("R11 behind chunks", format!("{chunked}{evil}"), HEAD_CHUNKED, b"hello"),
        excess("R11 behind a 204", format!("{empty}{evil}"), "HTTP/1.1 204 No Content\r\n", b""),
        excess("R11 one byte", format!("{LENGTH_5}!"), HEAD_5, b"hello"),
        excess("R11 much", format!("{LENGTH_5}{}", "x".repeat(100_000)), HEAD_5, b"hello"),
        excess("R11 an empty line", format!("{LENGTH_5}\r\n"), HEAD_5, b"hello"),
    ]);
}

/// The bytes come later, while the connection waits in the pool.
#[test]
fn bytes_of_an_idle_connection_reach_nobody() {
    let endpoint = Endpoint::new(|caller| {
        let first = caller.number == 0;
        while let Some(request) = caller.request() {
            caller.reply(request.method(), request.target());
            if first {
                std::thread::sleep(Duration::from_millis(50));
                caller.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
            }
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    assert_eq!(client.get("/first").text(), "/first");
    until("the connection to be thrown away", || {
        proxy.metric("fairwater_endpoint_connections", &[]) == 0
    });
    assert_eq!(client.get("/second").text(), "/second");
    assert_eq!(endpoint.accepted(), 2);
    proxy.assert_sound();
}

#[test]
fn interim_replies_are_passed_on_up_to_a_limit() {
    let hints = |n: usize| "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(n) + LENGTH_5;
    for (count, final_status) in [(0, 200), (1, 200), (16, 200), (17, 502), (2000, 502)] {
        let endpoint = Endpoint::replying([hints(count).into_bytes()]);
        let mut proxy = Setup::http(&[&endpoint]).start();
        let mut client = Client::new(&proxy);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        for n in 0..count.min(16) {
            let hint = client.response().unwrap();
            assert_eq!(
                (hint.status(), hint.field("link")),
                (103, Some("</x>")),
                "R18 {n} of {count}"
            );
        }
        assert_eq!(client.response().unwrap().status(), final_status, "R18 {count}");
        proxy.assert_sound();
    }
    // Clients of HTTP/1.0 know none, and a 100 is for those who asked.
    let replies =
        ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n".to_owned() + LENGTH_5];
    let endpoint = Endpoint::replying(replies.map(String::into_bytes));
    let proxy = Setup::http(&[&endpoint]).start();
    let mut old = Client::new(&proxy);
    old.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.response().unwrap().status(), 200);
    let mut new = Client::new(&proxy);
    new.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(new.response().unwrap().status(), 102);
    assert_eq!(new.response().unwrap().status(), 200);
}

#[test]
fn replies_in_relaxed_spelling_are_taken_where_it_is_allowed() {
    let folded = "HTTP/1.1 200 OK\r\nX: a\r\n  b\r\nContent-Length: 5\r\n\r\nhello";
    let cases = vec![
        good("R13 LF only", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", HEAD_5, b"hello"),
        good(
            "R13 folded",
            folded,
            "HTTP/1.1 200 OK\r\nX: a    b\r\ncontent-length: 5\r\n",
            b"hello",
        ),
        bad("R13 no colon", "HTTP/1.1 200 OK\r\nfoo\r\nContent-Length: 5\r\n\r\nhello"),
        bad("R12 NUL", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 5\r\n\r\nhello"),
        bad("folded framing", "HTTP/1.1 200 OK\r\nContent-Length:\r\n 5\r\n\r\nhello"),
    ];
    check_with(cases, "relaxed_responses = true");
}

/// The client is answered before its body is read; the upload stops, and nothing is mixed up.
#[test]
fn an_early_reply_ends_the_upload() {
    for (then, keeps_reading) in [("413 Content Too Large", false), ("200 OK", true)] {
        let endpoint = Endpoint::new(move |caller| {
            caller.read_until(b"\r\n\r\n");
            caller.send(format!("HTTP/1.1 {then}\r\ncontent-length: 2\r\n\r\nhi"));
            if keeps_reading {
                caller.until_closed();
            }
        });
        let mut proxy = Setup::http(&[&endpoint]).start();
        for (framing, piece) in [
            ("Content-Length: 1000000000", vec![b'x'; 100_000]),
            (
                "Transfer-Encoding: chunked",
                [&b"186a0\r\n"[..], &vec![b'x'; 100_000], b"\r\n"].concat(),
            ),
            ("Content-Length: 1000000000\r\nExpect: 100-continue", Vec::new()),
        ] {
            let mut client = Client::new(&proxy);
            client.send(format!("POST /cut HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
            client.send(&piece);
            let answer = client.response_to("POST").unwrap();
            assert_eq!(answer.start_line, format!("HTTP/1.1 {then}"), "R20 A28 {framing}");
            assert_eq!(answer.text(), "hi");
            assert_ne!(client.end(), End::Open, "R20 A28 {framing}");
        }
        endpoint.until_closed(3);
        let log = proxy.until_log(3);
        assert!(log.iter().all(|line| line.get("reason").is_empty()), "{log:#?}");
        proxy.assert_sound();
    }
}

#[test]
#[ignore = "slow: 60 s"]
fn an_endpoint_has_sixty_seconds_for_a_head_in_all() {
    let silent = Endpoint::new(|caller| {
        caller.request();
        caller.until_closed();
    });
    let dripping = Endpoint::new(|caller| {
        caller.request();
        caller.send("HTTP/1.1 200 OK\r\nX: ");
        while caller.send("y") {
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    let begun = Instant::now();
    let proxies = [&silent, &dripping].map(|endpoint| Setup::http(&[endpoint]).start());
    let mut clients = proxies.each_ref().map(Client::new);
    for client in &mut clients {
        client.socket.patience(Duration::from_secs(80)).unwrap();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (client, proxy) in clients.iter_mut().zip(&proxies) {
        assert_eq!(client.response().unwrap().status(), 504, "R07");
        assert!((59..66).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        assert_eq!(proxy.until_log(1)[0].get("reason"), "upstream_response_timeout");
    }
}

#[test]
#[ignore = "slow: 35 s"]
fn a_body_may_be_slow_but_not_stand_still() {
    let slow = Endpoint::new(|caller| {
        caller.request();
        caller.send("HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n");
        for _ in 0..35 {
            std::thread::sleep(Duration::from_secs(1));
            caller.send("x");
        }
    });
    let stalled = Endpoint::new(|caller| {
        caller.request();
        caller.send("HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\nx");
        caller.until_closed();
    });
    let [of_slow, of_stalled] = [&slow, &stalled].map(|endpoint| Setup::http(&[endpoint]).start());
    let (mut first, mut second) = (Client::new(&of_slow), Client::new(&of_stalled));
    for client in [&mut first, &mut second] {
        client.socket.patience(Duration::from_secs(50)).unwrap();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let begun = Instant::now();
    assert!(
        matches!(second.response(), Err(Broken::ClosedWithin(_) | Broken::ResetWithin(_))),
        "R21"
    );
    assert!((29..34).contains(&begun.elapsed().as_secs()), "R21 {:?}", begun.elapsed());
    assert_eq!(of_stalled.until_log(1)[0].get("reason"), "upstream_body_timeout");
    assert_eq!(first.response().unwrap().body.len(), 35, "R21");
}

#[test]
fn trailers_without_end_are_cut() {
    let endpoint = Endpoint::new(|caller| {
        caller.request();
        caller.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n");
        while caller.send("X-Y: zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\r\n") {}
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    match client.response() {
        Err(Broken::ClosedWithin(part) | Broken::ResetWithin(part)) => {
            assert_eq!(part.body, b"hello")
        }
        // All of it came before the head went out.
        Ok(answer) => assert_eq!(answer.status(), 502),
        other => panic!("R21 {other:?}"),
    }
    endpoint.until_closed(1);
    proxy.assert_sound();
}

/// HTTP/1.0 has chunks and trailers neither of its own nor for its clients to read.
#[test]
fn trailers_do_not_get_into_the_body_of_an_old_client() {
    let reply =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n";
    let endpoint = Endpoint::replying([reply.as_bytes().to_vec()]);
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send("GET / HTTP/1.0\r\n\r\n");
    let (bytes, end) = client.read_to_end();
    assert_eq!(end, End::Closed);
    assert!(bytes.ends_with(b"\r\n\r\nhello"), "{}", bytes.escape_ascii());
    proxy.assert_sound();
}
