//! Endpoints that speak HTTP/2, as they should and as they should not.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use fairwater_e2e::{Client, Proxy, Setup};

use super::{PYTHON, has_codec, judged};
use crate::tls::{LOCAL, Pki};

/// `endpoint.py` as it runs; ended with the test.
struct Scripted {
    child: Child,
    output: BufReader<ChildStdout>,
    address: String,
}

impl Scripted {
    /// `what` is said in its settings. Nothing, if it cannot run.
    fn start(what: &str) -> Option<Self> {
        if !has_codec() {
            return None;
        }
        let mut one = Self::of(include_str!("endpoint.py"), &[what]);
        one.address.insert_str(0, "127.0.0.1:");
        Some(one)
    }

    /// One that says with its first line where it is.
    fn of(script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(PYTHON);
        command.args(["-c", script]).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut address = String::new();
        output.read_line(&mut address).unwrap();
        address.truncate(address.trim_end().len());
        Self { child, output, address }
    }

    fn setup(&self) -> Setup {
        Setup::of("http", &[&self.address]).upstream("http2 = true").listener("http2 = true")
    }

    /// The next request that came to its end.
    fn request(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Asks for something with a secret, and says what is told to be one where it arrives.
const SECRETS: &str = r#"
from hpack import NeverIndexedHeaderTuple
judge = Judge(sys.argv[1])
for stream, name in [(1, b"x-token"), (3, b"x-other")]:
    kind = NeverIndexedHeaderTuple if stream == 1 else lambda name, value: (name, value)
    fields = latin(GET)
    fields[2] = (b":path", b"/secret")
    judge.h2.send_headers(stream, fields + [kind(name, b"a")], end_stream=True)
    judge.flush()
    body, secrets = b"", []
    while not body:
        for event in judge.h2.receive_data(judge.socket.recv(65536)):
            if isinstance(event, ResponseReceived):
                secrets = [n for n in event.headers if not n.indexable and n[0].startswith(b"x-")]
            if isinstance(event, DataReceived):
                body += event.data
    print(b"x-token" in body.split(), b"x-other" in body.split(), [b"x-reply", b"b"] in [list(n) for n in secrets])
for stream, kind in [(5, NeverIndexedHeaderTuple), (7, lambda name, value: (name, value))]:
    fields = latin(GET)
    fields[0], fields[2] = (b":method", b"POST"), (b":path", b"/secret-trailers")
    judge.h2.send_headers(stream, fields)
    judge.h2.send_data(stream, b"hello")
    judge.h2.send_headers(stream, [kind(b"x-token", b"a")], end_stream=True)
    judge.flush()
    body, trailers = b"", None
    while trailers is None:
        for event in judge.h2.receive_data(judge.socket.recv(65536)):
            if isinstance(event, DataReceived):
                body += event.data
            if isinstance(event, TrailersReceived):
                trailers = event.headers
    print(b"x-token" in body.split(), [name for name in trailers if not name.indexable] == [(b"x-reply", b"b")])
"#;

/// RFC 7541, section 6.2.3: what must come into no table, comes into none later either.
#[test]
fn secrets_stay_secrets() {
    let Some(endpoint) = Scripted::start("") else { return };
    let mut proxy = endpoint.setup().start();
    let said = judged(SECRETS, &proxy, &[]).unwrap();
    assert_eq!(said, "True False True\nFalse False True\nTrue True\nFalse True\n");
    proxy.assert_sound();
}

fn post(client: &mut Client, target: &str) -> (u16, String) {
    client.send(format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"));
    let response = client.response().unwrap();
    (response.status(), response.text())
}

/// What each behaviour comes to for a client of HTTP/1.1 that gets: the status, and the reason and
/// detail of the log.
const REPLIES: [(&str, u16, &str, &str); 22] = [
    ("/", 200, "", ""),
    ("/empty", 200, "", ""),
    ("/no-content", 204, "", ""),
    ("/large", 200, "", ""),
    ("/fields", 502, "upstream_head_too_large", "too_many_fields"),
    ("/closed", 502, "upstream_empty_reply", ""),
    ("/reset", 502, "upstream_reset", "http2_internal_error"),
    ("/reset-late", 0, "upstream_body_truncated", "http2_internal_error"),
    ("/cut", 0, "upstream_body_truncated", ""),
    ("/short", 0, "upstream_body_malformed", "http2_protocol_error"),
    ("/long", 0, "upstream_body_malformed", "http2_protocol_error"),
    ("/no-status", 502, "upstream_bad_reply", "http2_protocol_error"),
    ("/odd-status", 502, "upstream_bad_reply", "http2_protocol_error"),
    ("/low-status", 502, "upstream_bad_reply", "http2_protocol_error"),
    ("/switch", 502, "upstream_bad_reply", "unasked_switch_of_protocols"),
    ("/upper", 502, "upstream_bad_reply", "http2_protocol_error"),
    ("/crlf", 502, "upstream_bad_reply", "http2_protocol_error"),
    ("/nul", 502, "upstream_bad_reply", "http2_protocol_error"),
    ("/connection", 502, "upstream_bad_reply", "http2_protocol_error"),
    ("/coding", 502, "upstream_bad_reply", "http2_protocol_error"),
    ("/two-lengths", 502, "upstream_bad_reply", "http2_protocol_error"),
    ("/interim", 502, "upstream_bad_reply", "too_many_interim_responses"),
];

#[test]
fn no_reply_can_be_two_or_another_one() {
    let Some(endpoint) = Scripted::start("") else { return };
    let mut proxy = endpoint.setup().upstream("retries = 0").start();
    let mut canary = Client::new(&proxy);
    let mut wrong = Vec::new();
    for (number, (target, status, reason, detail)) in REPLIES.into_iter().enumerate() {
        let mut client = Client::new(&proxy);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let mut statuses = std::iter::from_fn(|| client.response().ok().map(|one| one.status()));
        let seen = statuses.find(|status| *status != 103).unwrap_or(0);
        let log = proxy.until_log(2 * number + 1);
        let line = log.last().unwrap();
        let said = (seen, line.get("reason").to_owned(), line.get("detail").to_owned());
        if said != (status, reason.to_owned(), detail.to_owned()) {
            wrong.push(format!("{target}: {said:?}, and not {:?}", (status, reason, detail)));
        }
        assert!(canary.get("/canary").text().starts_with("ok "), "{target}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    proxy.assert_sound();
}

#[test]
fn what_an_endpoint_has_not_seen_is_sent_again() {
    for target in ["/refused", "/unseen"] {
        let Some(mut endpoint) = Scripted::start("") else { return };
        let proxy = endpoint.setup().start();
        let (status, body) = post(&mut Client::new(&proxy), target);
        assert_eq!(status, 200, "{target}: {body}");
        assert_eq!(proxy.until_log(1)[0].get("attempts"), "2", "{target}");
        let first = endpoint.request();
        assert!(first.starts_with("0 POST") && first.ends_with(" 5"), "{first}");
        let again = endpoint.request();
        assert!(again.ends_with(&format!("POST {target} 5")), "{again}");
    }
}

#[test]
fn what_an_endpoint_may_have_seen_is_sent_again_only_if_that_does_no_harm() {
    let Some(mut endpoint) = Scripted::start("") else { return };
    let proxy = endpoint.setup().start();
    assert_eq!(post(&mut Client::new(&proxy), "/reset").0, 502);
    assert_eq!(endpoint.request(), "0 POST /reset 5");
    assert_eq!(proxy.until_log(1)[0].get("attempts"), "1");
}

#[test]
fn a_connection_that_goes_away_is_left_without_a_lost_request() {
    let Some(endpoint) = Scripted::start("") else { return };
    let proxy = endpoint.setup().start();
    let mut client = Client::new(&proxy);
    for _ in 0..20 {
        assert_eq!(post(&mut client, "/last").0, 200);
    }
    let lines = proxy.until_log(20);
    assert!(lines.iter().all(|line| line.get("status") == "200"));
}

#[test]
fn a_connection_that_is_dead_is_found_out_when_it_is_used() {
    let Some(endpoint) = Scripted::start("") else { return };
    let setup = endpoint.setup().upstream("idle_timeout = \"1m\"\nconnect_timeout = \"500ms\"");
    let proxy = setup.start();
    let mut client = Client::new(&proxy);
    assert_eq!(client.get("/deaf").text(), "ok 0");
    // It counts as silent when it has said nothing for a second.
    let silent = Instant::now();
    fairwater_e2e::until("a second to pass", || silent.elapsed() > Duration::from_millis(1300));
    assert_eq!(client.get("/").text(), "ok 1");
    assert_eq!(proxy.until_log(2)[1].get("attempts"), "2");
}

#[test]
fn connections_grow_with_need_and_end_when_there_is_none() {
    let Some(endpoint) = Scripted::start("one stream") else { return };
    let setup = endpoint.setup().upstream("idle_timeout = \"200ms\"\nresponse_timeout = \"2s\"");
    let proxy = setup.start();
    // The settings are known after the first reply.
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    let mut clients: Vec<_> = (0..4).map(|_| Client::new(&proxy)).collect();
    for client in &mut clients {
        client.send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let open = |proxy: &Proxy| proxy.metric("fairwater_endpoint_connections", &[]);
    fairwater_e2e::until("one for each request", || open(&proxy) == 4);
    let statuses = clients.iter_mut().map(|client| client.response().unwrap().status());
    assert_eq!(statuses.collect::<Vec<_>>(), [504; 4]);
    fairwater_e2e::until("no connection to be needed", || open(&proxy) == 0);
}

/// One waits for room, and another one for what becomes of him.
#[test]
fn waiting_for_room_is_told_apart_in_the_log() {
    let Some(endpoint) = Scripted::start("one stream") else { return };
    let setup = endpoint.setup().upstream("max_connections = 1\nresponse_timeout = \"1s\"");
    let mut proxy = setup.start();
    // The settings are known after the first reply.
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    let mut clients = [(); 3].map(|()| Client::new(&proxy));
    let waiting = || proxy.metric("fairwater_upstream_waiting", &["app"]);
    clients[0].send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
    fairwater_e2e::until("it is there", || {
        proxy.metric("fairwater_endpoint_in_flight", &[]) == 1 && waiting() == 0
    });
    for client in &mut clients[1..] {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        fairwater_e2e::until("the first of them waits", || waiting() == 1);
    }
    assert_eq!(clients.each_mut().map(|one| one.response().unwrap().status()), [504, 200, 200]);
    let lines = proxy.until_log(4);
    for line in lines.iter().filter(|line| line.get("target") == "/").skip(1) {
        line.assert_waited(Duration::from_millis(100));
    }
    proxy.assert_sound();
}

#[test]
fn an_endpoint_that_takes_nothing_is_given_up() {
    let Some(endpoint) = Scripted::start("no window") else { return };
    let proxy = endpoint.setup().listener("body_timeout = \"100ms\"").start();
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    assert_eq!(post(&mut Client::new(&proxy), "/").0, 504);
    assert_eq!(proxy.until_log(2)[1].get("reason"), "upstream_upload_stalled");
}

#[test]
fn who_answers_early_is_heard() {
    let Some(endpoint) = Scripted::start("") else { return };
    let proxy = endpoint.setup().start();
    let mut client = Client::new(&proxy);
    client.send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n");
    let response = client.response().unwrap();
    assert_eq!((response.status(), response.text().as_str()), (200, "early"));
    assert_eq!(proxy.until_log(1)[0].get("reason"), "");
}

#[test]
fn floods_of_an_endpoint_end_its_connection() {
    for target in ["/pings", "/settings", "/push"] {
        let Some(endpoint) = Scripted::start("") else { return };
        let mut proxy = endpoint.setup().upstream("retries = 0").start();
        assert_eq!(Client::new(&proxy).get(target).status(), 502, "{target}");
        assert_eq!(Client::new(&proxy).get("/").status(), 200, "{target}");
        proxy.assert_sound();
    }
}

/// Some servers send a frame of data that has neither a byte nor an end with each reply.
#[test]
fn an_empty_frame_in_each_reply_is_no_flood() {
    let Some(endpoint) = Scripted::start("") else { return };
    let mut proxy = endpoint.setup().upstream("retries = 0").start();
    let mut client = Client::new(&proxy);
    for _ in 0..160 {
        assert_eq!(client.get("/hollow").text(), "ok 0");
    }
    proxy.assert_sound();
}

#[test]
fn connections_have_an_age_and_a_number_of_requests() {
    let Some(endpoint) = Scripted::start("") else { return };
    let proxy = endpoint.setup().upstream("max_requests = 2").start();
    let mut client = Client::new(&proxy);
    let said: Vec<_> = (0..4).map(|_| client.get("/").text()).collect();
    assert_eq!(said, ["ok 0", "ok 0", "ok 1", "ok 1"]);
    let proxy = endpoint.setup().upstream("max_connection_age = \"1s\"").start();
    let mut client = Client::new(&proxy);
    let first = client.get("/").text();
    fairwater_e2e::until("another connection", || client.get("/").text() != first);
}

/// A reply that was refused is not the one of the endpoint that is asked next, and no reply goes to
/// whoever comes later over its connection.
#[test]
fn a_refused_reply_is_none_of_the_next_endpoint() {
    if !has_codec() {
        return;
    }
    let pki = Pki::new();
    pki.pair("site", LOCAL);
    let pair = [pki.file("site.pem"), pki.file("site.key")];
    let mut both = Scripted::of(include_str!("mixed.py"), &[&pair[0], &pair[1]]);
    let addresses: Vec<_> = both.address.split_whitespace().collect();
    let upstream = "tls = { insecure_skip_verify = true }\nretry_grpc = [\"unavailable\"]";
    let mut proxy =
        Setup::of("http", &addresses).upstream(upstream).listener("http2 = true").start();
    writeln!(both.child.stdin.take().unwrap(), "{}", proxy.address).unwrap();
    for number in 0..12 {
        let line = both.request();
        let (asked, answered) = line.split_once(' ').unwrap();
        assert_eq!(asked, answered, "{number}");
    }
    proxy.assert_sound();
}

/// Trailers that have come with their request, behind no data: each line is what the request says
/// of its length, and whether its trailers have come.
const TRAILERS_ALONE: &str = r#"
from hpack import NeverIndexedHeaderTuple
judge = Judge(sys.argv[1])
for stream, length in [(1, []), (3, [(b"content-length", b"0")])]:
    fields = latin(GET)
    fields[0], fields[2] = (b":method", b"POST"), (b":path", b"/secret-trailers")
    judge.h2.send_headers(stream, fields + length)
    judge.h2.send_headers(stream, [NeverIndexedHeaderTuple(b"x-token", b"a")], end_stream=True)
    judge.flush()
    body, is_over = b"", False
    while not is_over:
        for event in judge.h2.receive_data(judge.socket.recv(65536)):
            if isinstance(event, DataReceived):
                body += event.data
            is_over |= isinstance(event, StreamEnded)
    print(len(length), b"x-token" in body.split())
"#;

#[test]
fn trailers_need_no_data_before_them() {
    for upstream in ["", "buffer_requests = \"4KiB\""] {
        let Some(endpoint) = Scripted::start("") else { return };
        let mut proxy = endpoint.setup().upstream(upstream).start();
        let said = judged(TRAILERS_ALONE, &proxy, &[]).unwrap();
        assert_eq!(said, "0 True\n1 True\n", "{upstream}");
        proxy.assert_sound();
    }
}
