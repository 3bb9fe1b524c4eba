//! One attack as data, and the one way in which all are checked.

use std::collections::HashMap;

use fairwater_e2e::client::End;
use fairwater_e2e::{Broken, Client, Endpoint, Line, Proxy, Setup, until};

/// Bytes of a client, and what must come of them.
pub(super) struct Case {
    /// Row of the table, and what is special.
    name: String,
    segments: Vec<Vec<u8>>,
    outcome: Outcome,
    /// Reasons of the access-log lines, one for each request, empty for a good one.
    reasons: Vec<&'static str>,
    /// Exactly what the endpoint gets of it, [`OURS`] standing for what the proxy adds.
    forwarded: Vec<String>,
    /// The client ends its direction behind the bytes.
    half_closes: bool,
}

enum Outcome {
    /// So many answers with 200, then this status and close; 0: close without another answer.
    Refused(usize, u16),
    /// All answered with 200, and the connection stays open (or is closed by our word).
    Answered { closes: bool },
}

/// Stands for the identity and Via fields in an expected head.
const OURS: &str = "<ours>\r\n";
/// The same for a client that speaks HTTP/1.0.
const OURS_1_0: &str = "<ours 1.0>\r\n";

/// The fields that the proxy adds for a client on loopback that asked for this host.
fn ours(host: &str, version: &str) -> String {
    let quote = if host.contains([':', '[']) { "\"" } else { "" };
    let (host_line, host_part) = match host {
        "" => (String::new(), String::new()),
        _ => (format!("x-forwarded-host: {host}\r\n"), format!(";host={quote}{host}{quote}")),
    };
    format!(
        "x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n{host_line}\
         forwarded: for=127.0.0.1{host_part};proto=http\r\nvia: {version} fairwater\r\n"
    )
}

fn case(name: &str, bytes: impl AsRef<[u8]>, outcome: Outcome) -> Case {
    Case {
        name: name.to_owned(),
        segments: vec![bytes.as_ref().to_vec()],
        outcome,
        reasons: Vec::new(),
        forwarded: Vec::new(),
        half_closes: false,
    }
}

/// Answered with this status and closed; nothing reaches the endpoint.
pub(super) fn refused(name: &str, bytes: impl AsRef<[u8]>, status: u16) -> Case {
    let reason = match status {
        400 => "bad_request",
        404 => "no_route",
        405 => "method_refused",
        414 => "target_too_long",
        417 => "expectation_unknown",
        431 => "head_too_large",
        501 => "transfer_coding_unknown",
        505 => "version_unsupported",
        _ => panic!("{name}: what is the reason for {status}?"),
    };
    case(name, bytes, Outcome::Refused(0, status)).reasons(&[reason])
}

/// The body breaks the rules: 400 and close. The endpoint may have got a part of the request, whose
/// target must then be `/cut`.
pub(super) fn bad_body(name: &str, bytes: impl AsRef<[u8]>) -> Case {
    case(name, bytes, Outcome::Refused(0, 400)).reasons(&["request_body_malformed"])
}

/// Closed without a word.
pub(super) fn dropped(name: &str, bytes: impl AsRef<[u8]>) -> Case {
    case(name, bytes, Outcome::Refused(0, 0)).reasons(&["not_http"])
}

/// Forwarded like this and answered, and the connection goes on.
pub(super) fn forwarded<T: AsRef<str>>(name: &str, bytes: impl AsRef<[u8]>, seen: &[T]) -> Case {
    let case = case(name, bytes, Outcome::Answered { closes: false });
    let reasons = vec![""; seen.len()];
    let forwarded = seen.iter().map(|text| text.as_ref().to_owned()).collect();
    Case { forwarded, ..case }.reasons(&reasons)
}

impl Case {
    pub(super) fn reasons(self, reasons: &[&'static str]) -> Self {
        Self { reasons: reasons.to_vec(), ..self }
    }

    /// Sent in pieces of one byte.
    pub(super) fn byte_by_byte(self) -> Self {
        let bytes = self.segments.concat();
        Self { segments: bytes.chunks(1).map(<[u8]>::to_vec).collect(), ..self }
    }

    /// Sent in two pieces, cut behind `at` bytes.
    pub(super) fn cut_at(self, at: usize) -> Self {
        let bytes = self.segments.concat();
        let (first, second) = bytes.split_at(at.min(bytes.len()));
        Self { segments: vec![first.to_vec(), second.to_vec()], ..self }
    }

    pub(super) fn then_closed(self) -> Self {
        Self { outcome: Outcome::Answered { closes: true }, ..self }
    }

    pub(super) fn half_closing(self) -> Self {
        Self { half_closes: true, ..self }
    }

    /// Requests before the refused one, which are forwarded like this and answered.
    pub(super) fn answering(mut self, seen: &[&str]) -> Self {
        if let Outcome::Refused(answered, _) = &mut self.outcome {
            *answered = seen.len();
        }
        self.forwarded = seen.iter().map(|&text| text.to_owned()).collect();
        let mut reasons = vec![""; seen.len()];
        reasons.append(&mut self.reasons);
        Self { reasons, ..self }
    }

    fn method_of_first(&self) -> String {
        let bytes = self.segments.concat();
        let end = bytes.iter().position(|&byte| byte == b' ').unwrap_or(0);
        String::from_utf8_lossy(&bytes[..end.min(16)]).into_owned()
    }
}

/// Runs cases one after the other against one proxy, with the oracles after each and at the end.
pub(super) fn check(cases: Vec<Case>) {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).start();
    check_on(&endpoint, proxy, cases);
}

pub(super) fn check_on(endpoint: &Endpoint, mut proxy: Proxy, cases: Vec<Case>) {
    let mut canary = Canary::new(&proxy);
    canary.sing();
    let before = proxy.resident();
    let mut expected = Vec::new();
    let mut failures = Vec::new();
    for case in &cases {
        let seen = endpoint.requests().len();
        let mut client = Client::new(&proxy);
        let port = client.port();
        let result = run(case, &mut client, endpoint, seen);
        drop(client);
        canary.sing();
        if let Err(problem) = result {
            failures.push(format!("{}: {problem}", case.name));
        }
        expected.push((case, port));
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
    let lines = cases.iter().map(|case| case.reasons.len()).sum::<usize>() + canary.sung;
    let log = proxy.until_log(lines);
    let mut reasons = reasons_by_port(&log);
    for (case, port) in expected {
        // The kernel may give a port twice; lines of one port are in order.
        let mut of_port = reasons.remove(&port).unwrap_or_default();
        let later = of_port.split_off(case.reasons.len().min(of_port.len()));
        assert_eq!(of_port, case.reasons, "reasons of {}", case.name);
        reasons.insert(port, later);
    }
    check_oracles(endpoint, &mut proxy, &log, before);
}

fn run(case: &Case, client: &mut Client, endpoint: &Endpoint, before: usize) -> Result<(), String> {
    client.send_segments(&case.segments);
    if case.half_closes {
        client.half_close();
    }
    let (answers, refusal, closes) = match case.outcome {
        Outcome::Refused(answers, status) => (answers, status, true),
        Outcome::Answered { closes } => (case.forwarded.len(), 0, closes),
    };
    for _ in 0..answers {
        let method = case.method_of_first();
        let answer = client.response_to(&method).map_err(|broken| format!("{broken:?}"))?;
        if answer.status() != 200 {
            return Err(format!("answered {}", answer.raw.escape_ascii()));
        }
    }
    if refusal != 0 {
        let answer = client.response().map_err(|broken| format!("no {refusal}: {broken:?}"))?;
        if answer.status() != refusal || !answer.closes() {
            return Err(format!("wanted {refusal}, got {}", answer.raw.escape_ascii()));
        }
    }
    if closes {
        match client.read_to_end() {
            (rest, End::Closed | End::Reset) if rest.is_empty() => {}
            (rest, end) => return Err(format!("{end:?} with {}", rest.escape_ascii())),
        }
    }
    compare(case, endpoint, before)
}

fn compare(case: &Case, endpoint: &Endpoint, before: usize) -> Result<(), String> {
    let requests = endpoint.requests();
    let seen: Vec<_> = requests[before..].iter().map(|request| text(&request.raw)).collect();
    let expected: Vec<_> =
        case.forwarded.iter().map(|wanted| with_ours(wanted, endpoint)).collect();
    if seen != expected {
        return Err(format!("the endpoint got\n{seen:#?}\nand not\n{expected:#?}"));
    }
    Ok(())
}

/// Writes the fields of the proxy where an expected head leaves their place. A client that names no
/// host (HTTP/1.0) is taken to mean the endpoint.
fn with_ours(wanted: &str, endpoint: &Endpoint) -> String {
    let host = wanted.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    wanted
        .replace(OURS, &ours(host, "1.1"))
        .replace(OURS_1_0, &ours(host, "1.0"))
        .replace("\r\nhost: \r\n", &format!("\r\nhost: {}\r\n", endpoint.address))
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn reasons_by_port(log: &[Line]) -> HashMap<u16, Vec<&str>> {
    let mut reasons: HashMap<u16, Vec<&str>> = HashMap::new();
    for line in log {
        let port = line.number("client_port") as u16;
        reasons.entry(port).or_default().push(line.get("reason"));
    }
    reasons
}

/// Nothing was mixed up, nothing leaks, everything is accounted for.
fn check_oracles(endpoint: &Endpoint, proxy: &mut Proxy, log: &[Line], resident_before: u64) {
    assert_eq!(endpoint.errors(), Vec::<String>::new());
    for cut in endpoint.partial_requests() {
        let is_expected = cut.raw.is_empty() || cut.raw.starts_with(b"POST /cut");
        assert!(is_expected, "the endpoint got a part: {}", text(&cut.raw));
    }
    let good = log.iter().filter(|line| line.get("reason").is_empty()).count();
    assert_eq!(
        endpoint.requests().len(),
        good,
        "requests at the endpoint, and good ones in the log"
    );
    until("all connections of clients to end", || {
        proxy.metric("fairwater_connections_active", &[]) == 1 // the canary's
    });
    let requests = proxy.metric("fairwater_requests_total", &[]);
    assert_eq!(requests, log.len() as u64, "counted requests, and lines");
    let faults = proxy.metric("fairwater_faults_total", &[]);
    assert_eq!(faults, (log.len() - good) as u64, "counted faults, and lines with a reason");
    assert_eq!(proxy.metric("fairwater_endpoint_in_flight", &[]), 0);
    let risen = proxy.resident().saturating_sub(resident_before);
    assert!(risen < 8 << 20, "the memory of the proxy rose by {risen} bytes");
    proxy.assert_sound();
}

/// A good client on a connection of its own, which shares the pool of the attacker.
struct Canary {
    client: Client,
    sung: usize,
}

impl Canary {
    fn new(proxy: &Proxy) -> Self {
        Self { client: Client::new(proxy), sung: 0 }
    }

    fn sing(&mut self) {
        self.sung += 1;
        let target = format!("/canary/{}", self.sung);
        self.client.send(format!("GET {target} HTTP/1.1\r\nHost: canary\r\n\r\n"));
        match self.client.response() {
            Ok(answer) => assert_eq!(answer.text(), format!("e: GET {target} 0\n")),
            Err(Broken::Grammar(problem)) => panic!("the canary got {problem}"),
            Err(other) => panic!("the canary got {other:?}"),
        }
    }
}
