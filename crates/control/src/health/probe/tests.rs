//! Probes of peers that answer in every way.

use std::net::SocketAddr;
use std::time::Duration;

use fairwater_config::{Agent, Check, CheckKind, Health, HttpCheck};
use fairwater_message::Trailers;
use fairwater_plan::Dial;
use fairwater_proto::h1::reason_phrase;
use fairwater_proto::http2::{Bounds, Connection, Role, Scratch};
use fairwater_tls::{Client, ClientSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::health::target::{Http2, Tls};

fn http_check() -> HttpCheck {
    let CheckKind::Http(http) = Health::http("/healthz?x=1").check.kind else { unreachable!() };
    http
}

fn check_of(kind: CheckKind) -> Check {
    let mut check = Health::http("/").check;
    (check.kind, check.timeout) = (kind, Duration::from_millis(200));
    (check.deadline, check.body_bytes_max) = (Duration::from_millis(500), 64);
    check
}

fn target(address: SocketAddr, ask: Ask) -> Target {
    Target {
        dial: Dial::Ip(vec![address]),
        ask,
        host: "app.example".to_owned(),
        tls: None,
        http2: Http2::No,
        header: Vec::new(),
        is_relaxed: false,
    }
}

/// Makes a probe of a peer that does this with its first connection.
fn run<F: Future<Output = ()> + 'static>(
    ask: Ask,
    edit: impl FnOnce(&mut Target),
    peer: impl FnOnce(TcpStream) -> F + 'static,
) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut target = target(listener.local_addr().unwrap(), ask);
        edit(&mut target);
        let peer = tokio::task::spawn_local(async move {
            let (stream, _) = listener.accept().await.unwrap();
            peer(stream).await;
        });
        let outcome = probe(&target).await;
        peer.abort();
        outcome
    })
}

/// Makes a probe of a peer that hears something and says this, and then closes.
fn said(kind: CheckKind, answer: &'static [u8]) -> Outcome {
    run(
        Ask::Check(check_of(kind)),
        |_| {},
        move |mut stream| async move {
            let mut heard = Vec::with_capacity(4096);
            stream.read_buf(&mut heard).await.unwrap();
            stream.write_all(answer).await.unwrap();
        },
    )
}

fn check(kind: CheckKind, answer: &'static [u8], problem: Option<&str>) {
    let found = said(kind, answer).problem;
    assert_eq!(found.as_deref(), problem, "{}", String::from_utf8_lossy(answer));
}

#[test]
fn statuses_decide() {
    let http = |statuses: &[(u16, u16)]| {
        CheckKind::Http(HttpCheck { statuses: statuses.to_vec(), ..http_check() })
    };
    let usual = || http(&[(200, 399)]);
    check(usual(), b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", None);
    check(usual(), b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 302 Found\r\n\r\n", None);
    check(usual(), b"HTTP/1.1 503 No\r\n\r\n", Some("it answers with status 503"));
    check(http(&[(503, 503)]), b"HTTP/1.1 503 No\r\n\r\n", None);
    check(http(&[(200, 200), (204, 204)]), b"HTTP/1.1 204 None\r\n\r\n", None);
    check(usual(), b"", Some("it closes without an answer"));
    check(usual(), b"HTTP/1.1 200 OK\r\n", Some("it closes within its answer"));
    assert!(said(usual(), b"SSH-2.0\r\n").problem.unwrap().starts_with("its answer is malformed"));
    let interim = b"HTTP/1.1 103 Early\r\n\r\n".repeat(20).leak();
    check(usual(), interim, Some("it never comes to its answer"));
}

#[test]
fn bodies_are_looked_through() {
    let http = || CheckKind::Http(HttpCheck { body: Some("ok".to_owned()), ..http_check() });
    let missing = Some("its body is not the expected one");
    check(http(), b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nis ok", None);
    check(http(), b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nko", missing);
    check(http(), b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nok", missing);
    check(http(), b"HTTP/1.1 200 OK\r\n\r\nall ok", None);
    check(http(), b"HTTP/1.1 204 OK\r\n\r\n", missing);
    let chunked =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n";
    check(http(), chunked, None);
    let long = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b'x'; 100], b"ok"].concat().leak();
    check(http(), long, Some("the first 64 bytes of its body are not as expected"));
}

#[test]
fn bytes_are_found_in_pieces() {
    let bytes = || CheckKind::Bytes { send: b"STAT\n".to_vec(), expect: b"PONG".to_vec() };
    check(bytes(), b"x PONG x", None);
    check(bytes(), b"PING", Some("the answer is not the expected one"));
    check(bytes(), &[b'x'; 64], Some("the first 64 bytes are not the expected ones"));
    let outcome = run(
        Ask::Check(check_of(bytes())),
        |_| {},
        |mut stream| async move {
            stream.set_nodelay(true).unwrap();
            for byte in b"PO" {
                stream.write_all(&[*byte]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stream.write_all(b"NG").await.unwrap();
        },
    );
    assert_eq!(outcome.problem, None);
}

#[test]
fn redis_answers_its_ping() {
    check(CheckKind::Redis, b"+PONG\r\n", None);
    check(CheckKind::Redis, b"-NOAUTH Authentication required.\r\n", None);
    check(CheckKind::Redis, b"-LOADING data\r\n", Some("it answers `-LOADING data`"));
}

#[test]
fn an_endpoint_that_drips_or_hangs_is_not_well() {
    let http = || Ask::Check(check_of(CheckKind::Http(http_check())));
    let hangs = run(
        http(),
        |_| {},
        |stream| async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(stream);
        },
    );
    assert_eq!(hangs.problem.as_deref(), Some("no answer within 200 ms"));
    let drips = run(
        http(),
        |_| {},
        |mut stream| async move {
            loop {
                drop(stream.write_all(b"H").await);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        },
    );
    assert!(drips.problem.unwrap().contains("malformed"));
    let slow = run(
        http(),
        |_| {},
        |mut stream| async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
            loop {
                drop(stream.write_all(b"x: y\r\n").await);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        },
    );
    assert_eq!(slow.problem.as_deref(), Some("it takes longer than 500 ms in all"));
}

#[test]
fn nobody_there_is_said_in_words() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ask = || Ask::Check(check_of(CheckKind::Tcp));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = runtime.block_on(probe(&target(free, ask())));
    assert_eq!(refused.problem.as_deref(), Some("the connection is refused"));
    let mut gone = target(free, ask());
    gone.dial = Dial::Unix("/nonexistent/fairwater.sock".into());
    let gone = runtime.block_on(probe(&gone));
    assert_eq!(gone.problem.as_deref(), Some("there is no such socket"));
}

#[test]
fn advice_is_passed_on() {
    let kind = |name: &str| {
        CheckKind::Http(HttpCheck { advice_header: Some(name.to_owned()), ..http_check() })
    };
    let answer = b"HTTP/1.1 200 OK\r\nX-Advice:  drain \r\n\r\n";
    assert_eq!(said(kind("x-advice"), answer).advice.as_deref(), Some(&b"drain"[..]));
    assert_eq!(said(kind("x-other"), answer).advice.as_deref(), Some(&b""[..]));
    assert_eq!(said(CheckKind::Http(http_check()), answer).advice, None);
    let mut agent = Agent { port: 1, send: b"app\n".to_vec(), ..agent() };
    agent.timeout = Duration::from_millis(200);
    let outcome = run(
        Ask::Agent(agent),
        |_| {},
        |mut stream| async move {
            let mut heard = [0; 4];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"app\n");
            stream.write_all(b"75% ready\nmore").await.unwrap();
        },
    );
    assert_eq!(outcome.advice.as_deref(), Some(&b"75% ready"[..]));
}

fn agent() -> Agent {
    let second = Duration::from_secs(1);
    Agent { port: 1, send: Vec::new(), interval: second, timeout: second }
}

#[test]
fn requests_say_what_was_set() {
    let http = HttpCheck {
        method: "POST".to_owned(),
        headers: vec![("x-probe".to_owned(), "1".to_owned())],
        ..http_check()
    };
    let ask = Ask::Check(check_of(CheckKind::Http(http)));
    let edit = |target: &mut Target| target.header = b"PROXY UNKNOWN\r\n".to_vec();
    let outcome = run(ask, edit, |mut stream| async move {
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut heard).await.unwrap();
        }
        let expected = "PROXY UNKNOWN\r\nPOST /healthz?x=1 HTTP/1.1\r\nhost: app.example\r\n\
                        user-agent: fairwater-check\r\nx-probe: 1\r\ncontent-length: 0\r\n\
                        connection: close\r\n\r\n";
        assert_eq!(String::from_utf8(heard).unwrap(), expected);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    });
    assert_eq!(outcome.problem, None);
}

/// A server of HTTP/2 that answers its first request.
async fn serve_http2(
    mut stream: TcpStream,
    head: &'static str,
    body: &'static [u8],
    trailers: Option<&'static [u8]>,
) {
    let bounds = Bounds {
        head_bytes: 8192,
        head_fields: 64,
        streams: 10,
        stream_window: 65_535,
        connection_window: 65_535,
        unsent_bytes: 65_536,
        phrase: reason_phrase,
    };
    let mut engine = Connection::<()>::new(Role::Server, bounds);
    let mut scratch = Scratch::default();
    loop {
        while let Some(opened) = engine.next_opened() {
            let id = opened.unwrap().stream;
            let is_all = body.is_empty() && trailers.is_none();
            engine.send_reply(id, head.as_bytes(), is_all).unwrap();
            if !body.is_empty() {
                engine.send_data(id, body, trailers.is_none()).unwrap();
            }
            if let Some(trailers) = trailers {
                let trailers = Trailers { lines: trailers.to_vec(), has_secrets: false };
                engine.send_trailers(id, &trailers).unwrap();
            }
        }
        stream.write_all(engine.out()).await.unwrap();
        engine.sent(engine.out().len());
        let mut bytes = Vec::new();
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        engine.receive(&bytes, 1, &mut scratch);
    }
}

#[test]
fn calls_of_grpc_have_to_say_serving() {
    let ask = || Ask::Check(check_of(CheckKind::Grpc { service: "shop".to_owned() }));
    let http2 = |target: &mut Target| target.http2 = Http2::Always;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n\r\n";
    type Case = (&'static str, &'static [u8], Option<&'static [u8]>, Option<&'static str>);
    let cases: [Case; 6] = [
        (head, b"\0\0\0\0\x02\x08\x01", Some(b"grpc-status: 0\r\n"), None),
        (head, b"\0\0\0\0\x02\x08\x02", Some(b"grpc-status: 0\r\n"), Some("it says NOT_SERVING")),
        (head, b"\0\0\0\0\0", Some(b"grpc-status: 0\r\n"), Some("it does not say SERVING")),
        ("HTTP/1.1 200 OK\r\ngrpc-status: 12\r\n\r\n", b"", None, Some("it has no health service")),
        (
            "HTTP/1.1 200 OK\r\ngrpc-status: 5\r\n\r\n",
            b"",
            None,
            Some("it does not know the service"),
        ),
        ("HTTP/1.1 404 No\r\n\r\n", b"", None, Some("it answers with status 404")),
    ];
    for (head, body, trailers, problem) in cases {
        let outcome = run(ask(), http2, move |stream| serve_http2(stream, head, body, trailers));
        assert_eq!(outcome.problem.as_deref(), problem, "{head}");
    }
}

#[test]
fn requests_go_over_http2_as_well() {
    let http = HttpCheck { body: Some("ok".to_owned()), ..http_check() };
    let ask = || Ask::Check(check_of(CheckKind::Http(http.clone())));
    let http2 = |target: &mut Target| target.http2 = Http2::Always;
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    let good = run(ask(), http2, move |stream| serve_http2(stream, head, b"is ok", None));
    assert_eq!(good.problem, None);
    let bad = run(ask(), http2, move |stream| serve_http2(stream, head, b"is not", None));
    assert_eq!(bad.problem.as_deref(), Some("its body is not the expected one"));
    let none = run(ask(), http2, |mut stream| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
    });
    assert!(none.problem.as_ref().unwrap().starts_with("it breaks the rules"), "{none:?}");
}

#[test]
fn tls_has_to_shake_hands() {
    let ask = Ask::Check(check_of(CheckKind::Tls));
    let tls = |target: &mut Target| {
        let client = Client::new(ClientSettings::default()).unwrap();
        target.tls = Some(Tls { client, name: "app.example".to_owned() });
    };
    let outcome = run(ask, tls, |mut stream| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
    });
    assert_eq!(outcome.problem.as_deref(), Some("the handshake of TLS failed: not tls"));
}

#[test]
fn bytes_are_looked_for_in_pieces_up_to_a_limit() {
    let check = |wanted: &str, max: usize, pieces: &[&str], expected: Option<bool>| {
        let mut search = Search::new(wanted.as_bytes(), max);
        let found = pieces.iter().find_map(|piece| search.take(piece.as_bytes()));
        assert_eq!(found, expected, "{wanted} {pieces:?}");
        assert!(found == Some(true) || search.tail.len() < wanted.len());
    };
    check("abc", 9, &["xxab", "cx"], Some(true));
    check("abc", 9, &["a", "b", "", "c"], Some(true));
    check("abc", 9, &["ab", "ab", "abc"], Some(true));
    check("abc", 6, &["xxxabc"], Some(true));
    check("abc", 5, &["xxxabc"], Some(false));
    check("abc", 9, &["xxx", "xxx"], None);
    check("a", 2, &["x", "a"], Some(true));
}
