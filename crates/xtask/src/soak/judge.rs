//! Compares the accounts of client, proxy and schedule request by request.
//!
//! The number in the target ties a journal line to its log lines. A request whose whole head the
//! client sent has one line exactly, but for three classes: `silent` and the two aborts behind the
//! head may have none, when the connection broke before the proxy read from it. Those that were
//! cut within the head, or stood behind the last reply of a connection, have none. TCP sessions
//! are matched by the client's port.

use std::collections::{BTreeMap, HashMap};

use super::records::{Line, Log, Request};
use super::timeline::Timeline;

/// Examples that are shown of each kind of violation.
const EXAMPLES: usize = 5;

/// What must not be, with examples.
#[derive(Debug, Default)]
pub(crate) struct Violations(BTreeMap<String, (u64, Vec<String>)>);

impl Violations {
    pub(crate) fn add(&mut self, what: &str, example: impl ToString) {
        let (count, examples) = self.0.entry(what.to_owned()).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(example.to_string());
        }
    }

    pub(crate) fn require(&mut self, holds: bool, what: &str, example: impl ToString) {
        if !holds {
            self.add(what, example);
        }
    }

    pub(crate) fn count(&self, what: &str) -> u64 {
        self.0.get(what).map_or(0, |(count, _)| *count)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(what, (count, examples))| {
            format!("{count} x {what}\n    {}", examples.join("\n    "))
        })
    }
}

pub(crate) const WRONG: &str = "a wrong reply";
pub(crate) const HUNG: &str = "no end within the client's patience";
pub(crate) const UNJUST: &str = "a GET or HEAD failed without a byte while an endpoint ran";
pub(crate) const UNJUST_503: &str = "503 while an endpoint ran";
pub(crate) const EARLY: &str = "504, and no endpoint was ever silent for so long";
pub(crate) const CAUSELESS: &str = "a reply was cut short and no endpoint died";
pub(crate) const LINES: &str = "a request and its log lines do not match";

/// What the table tells of requests.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// By kind, then class (with its status).
    pub(crate) classes: BTreeMap<(String, String), u64>,
    /// Requests that the proxy saw, by what the client knows and (where it can't) by the log.
    pub(crate) seen: u64,
    /// Aborted or reset ones without a line.
    pub(crate) unseen: u64,
    /// GET and HEAD that failed without a byte while no endpoint ran throughout.
    pub(crate) just_failures: u64,
    /// GET and HEAD whose endpoint died within the head of its reply.
    pub(crate) cut_heads: u64,
    /// POSTs that failed while no endpoint died: the endpoint closed by itself, and nobody can
    /// know whether it had seen them.
    pub(crate) lost_posts: u64,
    pub(crate) body_bytes: u64,
}

pub(crate) fn judge(
    requests: &[Request],
    log: &Log,
    timeline: &Timeline,
    violations: &mut Violations,
) -> Counts {
    let mut counts = Counts::default();
    let mut sessions: HashMap<u16, u64> = HashMap::new();
    let mut matched = 0;
    for request in requests {
        let class = match request.class.as_str() {
            "refused" => request.status.to_string(),
            class => class.to_owned(),
        };
        let kind = if request.is_tcp() { "tcp" } else { "http" };
        *counts.classes.entry((kind.to_owned(), class)).or_default() += 1;
        if matches!(request.class.as_str(), "ok" | "truncated") {
            counts.body_bytes += request.bytes;
        }
        if request.is_tcp() {
            counts.seen += 1;
            *sessions.entry(request.port).or_default() += 1;
            judge_session(request, timeline, violations);
        } else {
            let lines = log.requests.get(&request.id).map_or(&[][..], Vec::as_slice);
            matched += lines.len();
            judge_lines(request, lines, &mut counts, violations);
            judge_cause(request, lines, timeline, &mut counts, violations);
        }
    }
    let all_lines: usize = log.requests.values().map(Vec::len).sum();
    let strangers = all_lines - matched;
    violations.require(strangers == 0, "log lines of requests that nobody sent", strangers);
    for port in sessions.keys().chain(log.connections.keys()) {
        let (sent, logged) = (sessions.get(port), log.connections.get(port));
        let what = "TCP sessions and their log lines do not match";
        violations.require(sent == logged, what, format!("port {port}: {sent:?}, {logged:?}"));
    }
    for line in &log.strange {
        violations.add("log lines that are none", line);
    }
    counts
}

fn judge_lines(
    request: &Request,
    lines: &[Line],
    counts: &mut Counts,
    violations: &mut Violations,
) {
    let may_be_unseen = matches!(&*request.class, "silent" | "abort_body" | "abort_reply" | "hung");
    let is_right = match (request.class.as_str(), lines) {
        ("abort_head" | "unserved", lines) => {
            return violations.require(
                lines.is_empty(),
                LINES,
                format!("{request:?} has {lines:?}"),
            );
        }
        (_, []) if may_be_unseen => {
            counts.unseen += 1;
            return;
        }
        ("ok", [line]) => {
            line.status == 200 && line.reason.is_empty() && line.bytes_out == request.bytes
        }
        ("refused", [line]) => line.status == request.status && !line.reason.is_empty(),
        ("truncated" | "silent" | "abort_body", [line]) => !line.reason.is_empty(),
        ("abort_reply" | "hung" | "wrong", [_]) => true,
        _ => false,
    };
    counts.seen += 1;
    violations.require(is_right, LINES, format!("{request:?} has {lines:?}"));
}

fn judge_cause(
    request: &Request,
    lines: &[Line],
    timeline: &Timeline,
    counts: &mut Counts,
    violations: &mut Violations,
) {
    let Request { began_us, ended_us, .. } = *request;
    let served = timeline.one_served(began_us, ended_us);
    let died = timeline.one_died(began_us, ended_us);
    let example = || format!("{request:?} has {lines:?}");
    match request.class.as_str() {
        "wrong" => violations.add(WRONG, example()),
        "hung" => violations.add(HUNG, example()),
        "truncated" if !died => violations.add(CAUSELESS, example()),
        "refused" if request.status == 504 => violations.add(EARLY, example()),
        "refused" if request.status == 503 && served => violations.add(UNJUST_503, example()),
        "refused" | "silent" if request.is_idempotent() => {
            let is_cut_head = lines.iter().all(|line| line.reason == "upstream_bad_reply");
            if request.class == "refused" && is_cut_head && died {
                counts.cut_heads += 1;
            } else if served {
                violations.add(UNJUST, example());
            } else {
                counts.just_failures += 1;
            }
        }
        // All were dead for a moment: nothing was sent, nothing is lost.
        "refused" if request.status == 503 => {}
        "refused" | "silent" if !died => counts.lost_posts += 1,
        _ => {}
    }
}

fn judge_session(request: &Request, timeline: &Timeline, violations: &mut Violations) {
    let died = timeline.one_died(request.began_us, request.ended_us);
    let example = || format!("{request:?}");
    match request.class.as_str() {
        "wrong" => violations.add(WRONG, example()),
        "hung" => violations.add(HUNG, example()),
        // All endpoints may have been dead since before.
        "silent" if !timeline.one_served(request.began_us, request.ended_us) => {}
        "silent" | "truncated" if !died => violations.add(CAUSELESS, example()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &str, class: &str, status: u16, line: Option<(u16, &str)>, expected: &[&str]) {
        let request = Request {
            id: 7,
            kind: kind.into(),
            class: class.into(),
            status,
            began_us: 10_000_000,
            ended_us: 11_000_000,
            port: 1,
            bytes: 5,
            detail: String::new(),
        };
        let mut log = Log::default();
        if let Some((status, reason)) = line {
            let line = Line { status, bytes_out: 5, reason: reason.into() };
            log.requests.insert(7, vec![line]);
        }
        let mut violations = Violations::default();
        judge(&[request], &log, &Timeline::new(1), &mut violations);
        let found: Vec<_> = violations.0.keys().map(String::as_str).collect();
        assert_eq!(found, expected, "{kind} {class}");
    }

    #[test]
    fn lines_must_agree_with_what_the_client_saw() {
        check("get", "ok", 200, Some((200, "")), &[]);
        check("get", "ok", 200, None, &[LINES]);
        check("get", "ok", 200, Some((200, "x")), &[LINES]);
        check("post", "refused", 502, Some((502, "x")), &[]);
        check("post", "refused", 502, Some((504, "x")), &[LINES]);
        check("post", "abort_body", 0, None, &[]);
        check("post", "abort_body", 0, Some((200, "")), &[LINES]);
        check("get", "abort_head", 0, Some((0, "x")), &[LINES]);
    }

    #[test]
    fn failures_need_a_cause() {
        check("get", "refused", 502, Some((502, "x")), &[UNJUST]);
        check("get", "silent", 0, None, &[UNJUST]);
        check("post", "refused", 503, Some((503, "x")), &[UNJUST_503]);
        check("post", "refused", 504, Some((504, "x")), &[EARLY]);
        check("get", "truncated", 200, Some((200, "x")), &[CAUSELESS]);
        check("get", "wrong", 0, Some((200, "")), &[WRONG]);
    }
}
