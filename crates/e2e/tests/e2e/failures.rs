//! Endpoints that cannot be reached, or die: each failure has its status, its reason and its line,
//! and goes elsewhere where that does no harm.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use fairwater_e2e::client::End;
use fairwater_e2e::{Broken, Client, Directory, Endpoint, Line, Message, Setup, until};
use socket2::{Domain, Socket, Type};

/// An address that refuses connections: it was bound a moment ago.
fn refusing() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A listener whose queue is full: the kernel drops further SYNs.
struct BlackHole {
    address: String,
    _listener: Socket,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let queued = std::iter::from_fn(connect).take(16).collect();
        Self { address: address.to_string(), _listener: listener, _queued: queued }
    }
}

fn request(method: &str) -> String {
    match method {
        "GET" | "DELETE" => format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"),
        _ => format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
    }
}

/// Asks once and gives the answer and the line.
fn ask(setup: Setup, method: &str) -> (Result<Message, Broken>, Line) {
    let mut proxy = setup.start();
    let mut client = Client::new(&proxy);
    client.send(request(method));
    let answer = client.response_to(method);
    let line = proxy.until_log(1).remove(0);
    proxy.assert_sound();
    (answer, line)
}

#[track_caller]
fn check(name: &str, setup: Setup, method: &str, status: u16, reason: &str, attempts: u64) {
    let (answer, line) = ask(setup, method);
    let answer = answer.unwrap_or_else(|broken| panic!("{name} {method}: {broken:?}"));
    assert_eq!(answer.status(), status, "{name} {method}: {line:?}");
    assert_eq!(line.get("reason"), reason, "{name} {method}: {line:?}");
    assert_eq!(line.number("status"), u64::from(status), "{name} {method}: {line:?}");
    assert_eq!(line.number("attempts"), attempts, "{name} {method}: {line:?}");
    if status >= 500 {
        assert_eq!(line.get("party"), "upstream", "{name} {method}");
        assert!(!answer.text().contains("127.0.0.1"), "{name}: {}", answer.text());
    }
}

#[test]
fn endpoints_that_refuse_are_answered_503() {
    let directory = Directory::new();
    let gone = format!("unix:{}", directory.join("gone.sock").display());
    let dead = directory.join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let dead = format!("unix:{}", dead.display());
    for (name, addresses) in [
        ("a port", vec![refusing()]),
        ("no socket file", vec![gone.clone()]),
        ("a dead socket file", vec![dead.clone()]),
        ("all of three", vec![refusing(), gone, dead]),
    ] {
        for method in ["GET", "POST"] {
            let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
            let attempts = addresses.len() as u64;
            let setup = Setup::of("http", &addresses);
            check(name, setup, method, 503, "upstream_connect_refused", attempts);
        }
    }
}

#[test]
fn an_endpoint_that_cannot_be_connected_in_two_seconds_is_given_up() {
    let hole = BlackHole::new();
    let begun = Instant::now();
    check(
        "a hole",
        Setup::of("http", &[&hole.address]),
        "POST",
        503,
        "upstream_connect_timeout",
        1,
    );
    assert!((1900..4000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    let good = Endpoint::echo("e");
    for method in ["GET", "POST"] {
        let setup = Setup::of("http", &[&hole.address, &good.address]);
        check("a hole, then a good one", setup, method, 200, "", 2);
    }
}

#[test]
fn an_upstream_without_weight_has_no_endpoint() {
    let [first, second] = [Endpoint::echo("1"), Endpoint::echo("2")];
    let list = format!(
        "{{ address = {:?}, weight = 0 }}, {{ address = {:?}, weight = 1 }}",
        first.address, second.address
    );
    let mut proxy = Setup::http(&[&first]).endpoints(&list).start();
    let mut client = Client::new(&proxy);
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "2: GET / 0\n");
    }
    drop(second);
    client.send(request("GET"));
    assert_eq!(client.response().unwrap().status(), 503);
    assert_eq!(first.accepted(), 0, "what has weight 0 takes no traffic, also not for a retry");
    proxy.assert_sound();
}

/// They take no traffic until they have one, and cost no request an attempt.
#[test]
fn names_without_an_address_are_endpoints_that_are_down() {
    let good = Endpoint::echo("e");
    let nobody_knows = "[resolver]\nservers = [\"127.0.0.1:1\"]\ntimeout = \"100ms\"\n";
    let setup = |addresses: &[&str]| Setup::of("http", addresses).more(nobody_knows);
    let (answer, line) = ask(setup(&["app.example:80"]), "GET");
    assert_eq!((answer.unwrap().status(), line.get("reason")), (503, "no_endpoint"));
    check("one of two", setup(&["app.example:80", &good.address]), "POST", 200, "", 1);
}

/// Nothing was sent: any request may go elsewhere.
#[test]
fn another_endpoint_is_tried_when_one_refuses() {
    let good = Endpoint::echo("e");
    for method in ["GET", "POST", "DELETE", "PATCH"] {
        let setup = Setup::of("http", &[&refusing(), &refusing(), &good.address]);
        let (reply, line) = ask(setup, method);
        assert_eq!((reply.unwrap().status(), line.get("reason")), (200, ""), "{method}");
        // Which of the others is tried first is chance.
        assert!((2..=3).contains(&line.number("attempts")), "{line:?}");
    }
    assert_eq!(good.requests().len(), 4);
    assert!(good.requests().iter().filter(|r| r.method() == "POST").all(|r| r.body == b"hello"));
}

/// An endpoint that reads a request and then ends without a word.
fn speechless(is_reset: bool) -> Endpoint {
    Endpoint::new(move |caller| {
        caller.request();
        if is_reset {
            caller.reset();
        }
    })
}

#[test]
fn an_empty_reply_is_tried_elsewhere_where_that_does_no_harm() {
    for (is_reset, reason) in [(false, "upstream_empty_reply"), (true, "upstream_reset")] {
        for method in ["GET", "DELETE", "PUT", "OPTIONS", "POST", "PATCH"] {
            let silent = speechless(is_reset);
            check("R04 alone", Setup::http(&[&silent]), method, 502, reason, 1);
            assert_eq!(silent.accepted(), 1);

            let (silent, good) = (speechless(is_reset), Endpoint::echo("e"));
            let is_idempotent = !matches!(method, "POST" | "PATCH");
            let setup = Setup::http(&[&silent, &good]);
            if is_idempotent {
                check("R04 elsewhere", setup, method, 200, "", 2);
                assert_eq!(silent.requests()[0].body, good.requests()[0].body);
            } else {
                check("R04 not elsewhere", setup, method, 502, reason, 1);
                assert_eq!(good.accepted(), 0);
            }
        }
    }
}

/// A bad reply is an answer: nobody else is asked.
#[test]
fn a_malformed_reply_is_not_tried_elsewhere() {
    for reply in ["garbage\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Le"] {
        let (bad, good) = (Endpoint::replying([reply.into()]), Endpoint::echo("e"));
        check("bad", Setup::http(&[&bad, &good]), "GET", 502, "upstream_bad_reply", 1);
        assert_eq!(good.accepted(), 0);
    }
}

/// A body that is too large to be held cannot be sent twice.
#[test]
fn a_body_that_is_gone_is_not_sent_again() {
    let deaf = Endpoint::new(|caller| drop(caller.request()));
    let good = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&deaf, &good]).start();
    let mut client = Client::new(&proxy);
    let body = "x".repeat(1_000_000);
    client
        .send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(client.response_to("PUT").unwrap().status(), 502);
    assert_eq!(good.accepted(), 0);
    // One that fits is.
    let deaf = Endpoint::new(|caller| drop(caller.request()));
    let second = Setup::http(&[&deaf, &good]).start();
    let mut client = Client::new(&second);
    let body = "x".repeat(8000);
    let chunks = format!("1f40\r\n{body}\r\n0\r\n\r\n");
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
    assert_eq!(client.response_to("PUT").unwrap().text(), "e: PUT / 8000\n");
    assert_eq!(deaf.requests()[0].body, good.requests()[0].body);
    proxy.assert_sound();
}

#[test]
fn a_reply_that_dies_in_its_body_is_cut_and_logged() {
    let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhello";
    let dying = Endpoint::replying([reply.to_vec()]);
    let good = Endpoint::echo("e");
    let (answer, line) = ask(Setup::http(&[&dying, &good]), "GET");
    let Err(Broken::ClosedWithin(part)) = answer else { panic!("{answer:?}") };
    assert!(part.raw.ends_with(b"hello"));
    assert_eq!(
        (line.get("reason"), line.get("party"), line.get("phase")),
        ("upstream_body_truncated", "upstream", "body")
    );
    assert_eq!((line.number("status"), line.number("bytes_out")), (200, 5));
    assert_eq!(good.accepted(), 0);
}

/// A body without a length for a client that knows no chunks ends with the connection, so that a
/// broken one must end with a reset.
#[test]
fn a_broken_body_that_ends_with_the_connection_is_a_reset() {
    let dying = Endpoint::new(|caller| {
        caller.request();
        caller.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    });
    let proxy = Setup::http(&[&dying]).start();
    let mut client = Client::new(&proxy);
    client.send("GET / HTTP/1.0\r\n\r\n");
    let (_, end) = client.read_to_end();
    assert_eq!(end, End::Reset);
    let resetting = Endpoint::new(|caller| {
        caller.request();
        caller.send("HTTP/1.1 200 OK\r\n\r\nhello");
        caller.reset();
    });
    let proxy = Setup::http(&[&resetting]).start();
    let mut client = Client::new(&proxy);
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.read_to_end().1, End::Reset);
}

/// An endpoint that answers one request, and closes when the next one comes.
fn forgetful(answers: usize) -> impl Fn(&mut fairwater_e2e::Caller) + Send + Sync + 'static {
    move |caller| {
        let is_first = caller.number == 0;
        let mut answered = 0;
        while let Some(request) = caller.request() {
            if is_first && answered == answers {
                return;
            }
            caller.reply(request.method(), request.target());
            answered += 1;
        }
    }
}

#[test]
fn a_stale_connection_costs_no_idempotent_request() {
    let directory = Directory::new();
    for endpoint in
        [Endpoint::new(forgetful(1)), Endpoint::on_unix(&directory.join("e.sock"), forgetful(1))]
    {
        let mut proxy = Setup::http(&[&endpoint]).start();
        let mut client = Client::new(&proxy);
        assert_eq!(client.get("/1").text(), "/1");
        // Read by the endpoint, which then closes without an answer.
        assert_eq!(client.get("/2").text(), "/2");
        assert_eq!(endpoint.accepted(), 2);
        let log = proxy.until_log(2);
        assert_eq!((log[1].get("reason"), log[1].number("attempts")), ("", 2));
        assert_eq!(proxy.metric("fairwater_endpoint_stale_total", &[]), 1);
        proxy.assert_sound();
    }
}

/// The endpoint took the POST and may have acted on it.
#[test]
fn a_post_that_was_delivered_is_not_sent_again() {
    let directory = Directory::new();
    for endpoint in
        [Endpoint::new(forgetful(1)), Endpoint::on_unix(&directory.join("e.sock"), forgetful(1))]
    {
        let mut proxy = Setup::http(&[&endpoint]).start();
        let mut client = Client::new(&proxy);
        assert_eq!(client.get("/1").text(), "/1");
        client.send(request("POST"));
        assert_eq!(client.response_to("POST").unwrap().status(), 502);
        assert_eq!(endpoint.requests().iter().filter(|r| r.method() == "POST").count(), 1);
        let log = proxy.until_log(2);
        assert_eq!(log[1].get("reason"), "upstream_empty_reply");
        proxy.assert_sound();
    }
}

/// Answers one request of each connection and closes, without having said so.
fn closing(caller: &mut fairwater_e2e::Caller) {
    if let Some(request) = caller.request() {
        caller.reply(request.method(), request.target());
    }
}

#[test]
fn a_connection_that_was_closed_when_idle_costs_nothing() {
    let directory = Directory::new();
    for endpoint in [Endpoint::new(closing), Endpoint::on_unix(&directory.join("e.sock"), closing)]
    {
        let mut proxy = Setup::http(&[&endpoint]).start();
        let mut client = Client::new(&proxy);
        for n in 0..50 {
            client.send(format!("POST /{n} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let answer = client.response_to("POST").unwrap();
            assert_eq!((answer.status(), answer.text()), (200, format!("/{n}")));
            endpoint.until_closed(n + 1);
        }
        assert_eq!(endpoint.requests().len(), 50);
        proxy.assert_sound();
    }
}

/// The next request comes in the moment of the close: a GET is never lost; a POST may be, where
/// nobody can know whether the endpoint has got it, but is never done twice.
#[test]
fn connections_that_close_under_a_request_lose_no_idempotent_one() {
    let directory = Directory::new();
    for endpoint in [Endpoint::new(closing), Endpoint::on_unix(&directory.join("e.sock"), closing)]
    {
        let mut proxy = Setup::http(&[&endpoint]).start();
        let mut client = Client::new(&proxy);
        let mut lost = 0;
        for n in 0..300 {
            let method = if n % 2 == 0 { "GET" } else { "POST" };
            client.send(format!("{method} /{n} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let answer = client.response_to(method).unwrap();
            if method == "POST" && answer.status() == 502 {
                lost += 1;
            } else {
                assert_eq!((answer.status(), answer.text()), (200, format!("/{n}")));
            }
        }
        assert_eq!(endpoint.requests().len(), 300 - lost);
        proxy.assert_sound();
    }
}

/// All of the pool is stale at once.
#[test]
fn a_restart_of_an_endpoint_is_not_noticed() {
    let endpoint = Endpoint::echo("old");
    let address = endpoint.address.clone();
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut clients: Vec<_> = (0..20).map(|_| Client::new(&proxy)).collect();
    for client in &mut clients {
        client.send(request("GET"));
    }
    for client in &mut clients {
        assert_eq!(client.response().unwrap().status(), 200);
    }
    drop(endpoint);
    let mut started = None;
    until("the port to be free", || {
        let free = std::panic::catch_unwind(|| {
            Endpoint::at(&address, fairwater_e2e::endpoint::echo("new"))
        });
        started = free.ok();
        started.is_some()
    });
    for client in &mut clients {
        client.send(request("POST"));
        assert_eq!(client.response_to("POST").unwrap().text(), "new: POST / 5\n");
    }
    proxy.assert_sound();
}
