//! One reply of an endpoint as data, and the one way in which all are checked.

use fairwater_e2e::{Broken, Client, Endpoint, Line, Message, Proxy, Setup};

/// One reply as data.
pub(super) struct Case {
    name: String,
    method: &'static str,
    reply: Vec<u8>,
    /// How the endpoint goes on behind the bytes.
    then: Then,
    client: Gets,
    reason: &'static str,
    is_reused: bool,
    /// Sent in one write only: what comes later could be the answer to the next request, and no
    /// proxy can tell.
    is_at_once: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    Wait,
    Close,
    Reset,
}

/// What the client gets.
pub(super) enum Gets {
    /// Exactly this head (without its empty line) and body, and the connection goes on.
    Whole(String, Vec<u8>),
    /// A response of the proxy's own.
    Status(u16),
    /// A response that is cut off behind these bytes of the body, and the connection with it.
    Cut(u16, Vec<u8>),
}

fn case(name: &str, reply: impl AsRef<[u8]>, client: Gets, reason: &'static str) -> Case {
    let reply = reply.as_ref().to_vec();
    Case {
        name: name.to_owned(),
        method: "GET",
        reply,
        then: Then::Wait,
        client,
        reason,
        is_reused: false,
        is_at_once: false,
    }
}

/// Passed on, with this head in the client's eyes; the endpoint's connection is kept.
pub(super) fn good(name: &str, reply: impl AsRef<[u8]>, head: &str, body: &[u8]) -> Case {
    let gets = Gets::Whole(head.to_owned(), body.to_vec());
    Case { is_reused: true, ..case(name, reply, gets, "") }
}

/// As [`good`], but the endpoint's connection is not used again.
pub(super) fn spent(name: &str, reply: impl AsRef<[u8]>, head: &str, body: &[u8]) -> Case {
    Case { is_reused: false, ..good(name, reply, head, body) }
}

pub(super) fn bad(name: &str, reply: impl AsRef<[u8]>) -> Case {
    case(name, reply, Gets::Status(502), "upstream_bad_reply")
}

pub(super) fn cut(name: &str, reply: impl AsRef<[u8]>, body: &[u8], reason: &'static str) -> Case {
    case(name, reply, Gets::Cut(200, body.to_vec()), reason)
}

impl Case {
    pub(super) fn to(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    pub(super) fn at_once(self) -> Self {
        Self { is_at_once: true, ..self }
    }

    pub(super) fn closing(self) -> Self {
        Self { then: Then::Close, ..self }
    }

    pub(super) fn resetting(self) -> Self {
        Self { then: Then::Reset, ..self }
    }

    pub(super) fn because(self, reason: &'static str) -> Self {
        Self { reason, ..self }
    }
}

/// Runs each case on a proxy of its own kind: the endpoint answers `/case` as the case says, in one
/// write and in pieces, and everything else well.
pub(super) fn check(cases: Vec<Case>) {
    check_with(cases, "");
}

pub(super) fn check_with(cases: Vec<Case>, setting: &str) {
    let mut failures = Vec::new();
    let cases = std::sync::Arc::new(cases);
    let of_endpoint = std::sync::Arc::clone(&cases);
    let endpoint = Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            let Some(number) = request.target().strip_prefix("/case/") else {
                caller.reply(request.method(), request.target());
                continue;
            };
            let mut words = number.split('/').map(|text| text.parse::<usize>().unwrap());
            let case = &of_endpoint[words.next().unwrap()];
            match words.next() {
                Some(0) => drop(caller.send(&case.reply)),
                _ => caller.send_segments(&pieces(&case.reply)),
            }
            match case.then {
                Then::Wait => {}
                Then::Close => return,
                Then::Reset => return caller.reset(),
            }
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).upstream(setting).start();
    let resident = proxy.resident();
    let mut canary = Client::new(&proxy);
    let mut lines = 0;
    let mut asked = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        for in_pieces in 0..if case.is_at_once { 1 } else { 2 } {
            assert_eq!(canary.get("/canary").text(), "/canary", "before {}", case.name);
            let accepted = endpoint.accepted();
            let target = format!("/case/{number}/{in_pieces}");
            if let Err(problem) = run(case, &proxy, &target) {
                failures.push(format!("{} ({in_pieces}): {problem}", case.name));
            }
            assert_eq!(canary.get("/canary").text(), "/canary", "after {}", case.name);
            if case.is_reused != (endpoint.accepted() == accepted) {
                failures.push(format!("{} ({in_pieces}): reuse of the connection", case.name));
            }
            lines += if matches!(case.client, Gets::Cut(..)) { 3 } else { 4 };
            asked.push((case, target));
        }
    }
    assert!(failures.is_empty(), "{} problems:\n{}", failures.len(), failures.join("\n"));
    check_log(&proxy.until_log(lines), &asked);
    let risen = proxy.resident().saturating_sub(resident);
    assert!(risen < 4 << 20, "the memory of the proxy rose by {risen} bytes");
    assert_eq!(endpoint.errors(), Vec::<String>::new());
    proxy.assert_sound();
}

/// Small bodies in pieces of a few bytes, large ones in a few pieces.
fn pieces(reply: &[u8]) -> Vec<Vec<u8>> {
    reply.chunks((reply.len() / 12).max(5)).map(<[u8]>::to_vec).collect()
}

fn run(case: &Case, proxy: &Proxy, target: &str) -> Result<(), String> {
    let mut client = Client::new(proxy);
    client.send(format!("{} {target} HTTP/1.1\r\nHost: a\r\n\r\n", case.method));
    let got = client.response_to(case.method);
    match (&case.client, got) {
        (Gets::Whole(head, body), Ok(message)) => {
            let got = message.raw.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 2;
            if message.raw[..got] != *head.as_bytes() || message.body != *body {
                return Err(format!("got {:.600}", message.raw.escape_ascii().to_string()));
            }
            same_again(&mut client)
        }
        (Gets::Status(status), Ok(message)) if message.status() == *status => {
            let is_own = message.text().starts_with(&status.to_string()) || case.method == "HEAD";
            if !is_own {
                return Err(format!("got {:.600}", message.raw.escape_ascii().to_string()));
            }
            same_again(&mut client)
        }
        (Gets::Cut(status, body), Err(Broken::ClosedWithin(part) | Broken::ResetWithin(part))) => {
            check_cut(&part, *status, body)
        }
        (_, got) => Err(format!("got {got:?}").chars().take(600).collect()),
    }
}

fn same_again(client: &mut Client) -> Result<(), String> {
    match client.get("/again").text() {
        text if text == "/again" => Ok(()),
        text => Err(format!("the next answer is {text}")),
    }
}

fn check_cut(part: &Message, status: u16, body: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(&part.raw);
    let is_status = text.starts_with(&format!("HTTP/1.1 {status} "));
    let is_chunked = text.contains("transfer-encoding: chunked");
    let got =
        part.raw.windows(4).position(|four| four == b"\r\n\r\n").map(|at| &part.raw[at + 4..]);
    let is_body = if is_chunked { part.body == body } else { got == Some(body) };
    if is_status && is_body && !text.ends_with("\r\n0\r\n\r\n") {
        return Ok(());
    }
    Err(format!("got {:.600}", part.raw.escape_ascii().to_string()))
}

fn check_log(log: &[Line], asked: &[(&Case, String)]) {
    for (case, target) in asked {
        let lines: Vec<_> = log.iter().filter(|line| line.get("target") == target).collect();
        assert_eq!(lines.len(), 1, "{}: {lines:?}", case.name);
        assert_eq!(lines[0].get("reason"), case.reason, "{}: {lines:?}", case.name);
        let status = match case.client {
            Gets::Status(status) | Gets::Cut(status, _) => u64::from(status),
            Gets::Whole(ref head, _) => head[9..12].parse().unwrap(),
        };
        assert_eq!(lines[0].number("status"), status, "{}", case.name);
    }
}
