//! HTTP/2 with clients, over endpoints that speak HTTP/1.1.

mod attacks;
mod bodies;
mod conversions;
mod endpoints;
mod floods;
mod judges;
mod long_way;
mod pressure;
mod violations;
mod windows;

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Endpoint, Proxy, Setup, until};
use rustix::process::Signal;

use crate::tls::{LOCAL, Pki};

/// Debian's own, for which the codec of heads is installed.
const PYTHON: &str = "/usr/bin/python3";

fn has_codec() -> bool {
    let has_codec = Path::new("/usr/lib/python3/dist-packages/hpack").exists();
    if !has_codec {
        let must = std::env::var_os("FAIRWATER_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!must, "python3-h2 is not installed");
        eprintln!("skipped: python3-h2 is not installed");
    }
    has_codec
}

/// `frames.py`, if it can run.
fn script(proxy: &Proxy, what: &str) -> Option<Command> {
    if !has_codec() {
        return None;
    }
    let mut command = Command::new(PYTHON);
    command.args(["-c", include_str!("frames.py"), &proxy.address, what]);
    Some(command)
}

/// What a script says of the proxy, which `judge.py` stands before.
fn judged(script: &str, proxy: &Proxy, words: &[&str]) -> Option<String> {
    let output = judge(script, &proxy.address, words)?.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{errors}", String::from_utf8_lossy(&output.stdout));
    Some(String::from_utf8(output.stdout).unwrap())
}

fn judge(script: &str, address: &str, words: &[&str]) -> Option<Command> {
    if !has_codec() {
        return None;
    }
    let mut command = Command::new(PYTHON);
    let text = [include_str!("judge.py"), script].concat();
    command.args(["-c", &text, address]).args(words);
    Some(command)
}

/// What it says.
fn frames(proxy: &Proxy, what: &str) -> Option<String> {
    let output = script(proxy, what)?.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

fn setup(endpoint: &Endpoint) -> Setup {
    Setup::http(&[endpoint]).listener("http2 = true")
}

fn curl(proxy: &Proxy, words: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20", "--http2-prior-knowledge"]).args(words);
    let output = command.arg(format!("http://{}/", proxy.address)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn clients_speak_it_in_clear_and_over_tls() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let mut proxy = setup(&endpoint).start();
    let version = ["-w", " %{http_version}"];
    assert!(curl(&proxy, &version).ends_with(" 2"));
    assert!(curl(&proxy, &["-d", "some data"]).contains("POST / 9"));
    let request = endpoint.requests().pop().unwrap();
    assert_eq!(request.field("via"), Some("2 fairwater"));
    assert_eq!(request.field("content-length"), Some("9"));
    let line = &proxy.until_log(2)[1];
    assert_eq!(
        (line.get("protocol"), line.get("method"), line.get("status")),
        ("HTTP/2", "POST", "200")
    );
    // HTTP/1.1 is spoken beside it, over TLS as agreed.
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    let tls = format!("tls = {}", pki.pair("site", LOCAL).table("site"));
    for (http2, expected) in [("true", "2"), ("false", "1.1")] {
        let over = Setup::http(&[&endpoint]).listener(&format!("{tls}\nhttp2 = {http2}")).start();
        let output = Command::new("curl")
            .args(["-sS", "--http2", "--cacert", &pki.file("ca.pem"), "-o", "/dev/null"])
            .args(["-w", "%{http_version}", &format!("https://{}/", over.address)])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
    proxy.assert_sound();
}

#[test]
fn where_it_is_off_its_preface_is_no_request() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).listener("http2 = false").start();
    let mut client = Client::new(&proxy);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(client.end(), End::Closed);
    assert_eq!(proxy.until_log(1)[0].get("reason"), "not_http");
}

/// What `frames.py` sends, and the status and the end that it gets; of those with 200 the endpoint
/// hears, of the others it does not.
const REQUESTS: [(&str, &str); 49] = [
    ("plain", "200 complete"),
    ("body", "200 complete"),
    ("body of known length", "200 complete"),
    ("trailers", "200 complete"),
    ("cookies", "200 complete"),
    ("te trailers", "200 complete"),
    ("host as well", "200 complete"),
    ("host alone", "200 complete"),
    ("options", "204 complete"),
    ("crlf in a value", "None reset 1"),
    ("lf in a value", "None reset 1"),
    ("nul in a value", "None reset 1"),
    ("crlf in the path", "None reset 1"),
    ("space in the path", "None reset 1"),
    ("crlf in the authority", "None reset 1"),
    ("crlf in the method", "None reset 1"),
    ("upper case", "None reset 1"),
    ("space in a name", "None reset 1"),
    ("colon in a name", "None reset 1"),
    ("empty name", "None reset 1"),
    ("transfer-encoding", "None reset 1"),
    ("connection", "None reset 1"),
    ("keep-alive", "None reset 1"),
    ("upgrade", "None reset 1"),
    ("te gzip", "None reset 1"),
    ("length too short", "None reset 1"),
    ("length too long", "None reset 1"),
    ("two lengths", "None reset 1"),
    ("signed length", "None reset 1"),
    ("length without a body", "None reset 1"),
    ("another host", "400 complete"),
    ("no host", "400 complete"),
    ("two in the authority", "400 complete"),
    ("user in the authority", "400 complete"),
    ("slash in the authority", "400 complete"),
    ("empty path", "None reset 1"),
    ("path without slash", "None reset 1"),
    ("absolute path", "None reset 1"),
    ("fragment", "400 complete"),
    ("get of all", "400 complete"),
    ("no path", "None reset 1"),
    ("no method", "None reset 1"),
    ("two paths", "None reset 1"),
    ("pseudo header behind", "None reset 1"),
    ("unknown pseudo header", "None reset 1"),
    ("pseudo header in trailers", "None reset 1"),
    ("connect", "405 complete"),
    ("ambiguous path", "400 complete"),
    ("large head", "431 complete"),
];

#[test]
fn no_request_can_be_two_or_another_one() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = setup(&endpoint).start();
    let Some(said) = frames(&proxy, "requests") else { return };
    let outcomes: HashMap<&str, &str> =
        said.lines().filter_map(|line| line.split_once(": ")).collect();
    assert_eq!(outcomes.len(), REQUESTS.len(), "{said}");
    let wrong: Vec<_> = REQUESTS
        .iter()
        .filter(|(name, expected)| !outcomes[name].starts_with(&format!("{expected} ")))
        .map(|(name, expected)| format!("{name}: {}, and not {expected}", outcomes[name]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let requests = endpoint.requests();
    let is_good = |request: &&(&str, &str)| request.1.starts_with("200");
    assert_eq!(requests.len(), REQUESTS.iter().filter(is_good).count());
    for request in &requests {
        // A fragment is no part of what is asked for, and is dropped.
        assert!(["/", "/a"].contains(&request.target()), "{}", request.target());
        assert_eq!(request.field("host"), Some("a"));
    }
    let cookies: Vec<_> = requests.iter().filter_map(|request| request.field("cookie")).collect();
    assert_eq!(cookies, ["a=1; b=2"]);
    proxy.assert_sound();
}

#[test]
fn a_reply_that_is_cut_short_is_never_complete() {
    let endpoint = Endpoint::new(|caller| {
        let Some(request) = caller.request() else { return };
        let framing = match request.target() {
            "/length" => "Content-Length: 10\r\n\r\nhalf",
            _ => "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        };
        caller.send(format!("HTTP/1.1 200 OK\r\n{framing}"));
    });
    let proxy = setup(&endpoint).start();
    for target in ["length", "chunked"] {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "20", "--http2-prior-knowledge"])
            .arg(format!("http://{}/{target}", proxy.address))
            .output()
            .unwrap();
        assert!(b"half".starts_with(&output.stdout));
        // 92: the stream was not closed cleanly; 18: a part is missing.
        assert!([Some(92), Some(18)].contains(&output.status.code()), "{:?}", output.status);
    }
    let lines = proxy.until_log(2);
    assert!(lines.iter().all(|line| line.get("reason") == "upstream_body_truncated"));
}

#[test]
fn many_streams_share_a_connection() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = setup(&endpoint).threads(2).start();
    if !Path::new("/usr/bin/h2load").exists() {
        return eprintln!("skipped: nghttp2-client is not installed");
    }
    let output = Command::new("h2load")
        .args(["-n", "4000", "-c", "4", "-m", "64", &format!("http://{}/", proxy.address)])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("4000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
    assert_eq!(proxy.metric("fairwater_requests_total", &["\"2xx\""]), 4000);
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
}

/// Nobody works for a client that is gone, whatever it has sent before.
#[test]
fn a_client_that_gives_up_is_noticed() {
    let endpoint = Endpoint::new(|caller| {
        caller.read_until(b"hello");
        caller.until_closed();
    });
    let mut proxy = setup(&endpoint).start();
    let Some(mut command) = script(&proxy, "give up") else { return };
    let mut client = command.stdin(Stdio::piped()).spawn().unwrap();
    until("the request to come", || endpoint.accepted() == 1);
    let mut input = client.stdin.take().unwrap();
    input.write_all(b"\n").unwrap();
    endpoint.until_closed(1);
    assert_eq!(proxy.until_log(1)[0].get("reason"), "client_aborted");
    drop(input);
    assert!(client.wait().unwrap().success());
    proxy.assert_sound();
}

#[test]
fn trailers_are_sent_again_with_their_request() {
    let is_first = Arc::new(AtomicBool::new(true));
    let [one, other] = [(); 2].map(|()| {
        let is_first = Arc::clone(&is_first);
        Endpoint::new(move |caller| {
            caller.read_until(b"\r\nx-sum: 5\r\n\r\n");
            if !is_first.swap(false, Ordering::Relaxed) {
                caller.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        })
    });
    let proxy = Setup::http(&[&one, &other]).listener("http2 = true").start();
    let Some(said) = frames(&proxy, "put") else { return };
    assert!(said.starts_with("200 complete"), "{said}");
    assert_eq!(proxy.until_log(1)[0].get("attempts"), "2");
}
