//! Both accounts of what happened: the client's journal and the proxy's access log.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use crate::Failure;

/// A request as the client saw it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) kind: String,
    pub(crate) class: String,
    pub(crate) status: u16,
    pub(crate) began_us: u64,
    pub(crate) ended_us: u64,
    pub(crate) port: u16,
    pub(crate) bytes: u64,
    pub(crate) detail: String,
}

/// A request as the proxy logged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) status: u16,
    pub(crate) bytes_out: u64,
    pub(crate) reason: String,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    /// By the number in the target.
    pub(crate) requests: HashMap<u64, Vec<Line>>,
    /// Lines of TCP connections, by the client's port.
    pub(crate) connections: HashMap<u16, u64>,
    pub(crate) lines: u64,
    /// By class of status, `none` first.
    pub(crate) by_status: [u64; 6],
    /// Lines of clients that left within a request head, which the journal does not have.
    pub(crate) broken_heads: u64,
    pub(crate) strange: Vec<String>,
}

pub(crate) fn read_journal(path: &Path) -> Result<Vec<Request>, Failure> {
    let mut requests = Vec::new();
    for line in BufReader::new(File::open(path)?).lines() {
        let line = line?;
        requests.push(Request::parse(&line).ok_or(format!("journal: {line}"))?);
    }
    Ok(requests)
}

impl Request {
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(9, ' ');
        let mut next = || parts.next();
        Some(Self {
            id: next()?.parse().ok()?,
            kind: next()?.to_owned(),
            class: next()?.to_owned(),
            status: next()?.parse().ok()?,
            began_us: next()?.parse().ok()?,
            ended_us: next()?.parse().ok()?,
            port: next()?.parse().ok()?,
            bytes: next()?.parse().ok()?,
            detail: next()?.to_owned(),
        })
    }

    pub(crate) fn is_tcp(&self) -> bool {
        self.kind == "tcp"
    }

    /// Whether sending it twice does no harm, so that the proxy must.
    pub(crate) fn is_idempotent(&self) -> bool {
        matches!(self.kind.as_str(), "get" | "head")
    }
}

impl Log {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let mut log = Self::default();
        for line in BufReader::new(File::open(path)?).lines() {
            log.add(&line?);
        }
        Ok(log)
    }

    fn add(&mut self, text: &str) {
        self.lines += 1;
        let number = |name| field(text, name).and_then(|value| value.parse::<u64>().ok());
        let status = number("status").unwrap_or(0) as u16;
        self.by_status[usize::from(status / 100).min(5)] += 1;
        let is_whole = text.starts_with("{\"time\":") && text.ends_with('}');
        let id = field(text, "target").and_then(|target| target.split('/').nth(2)?.parse().ok());
        match (field(text, "protocol"), number("client_port"), id) {
            (Some("TCP"), Some(port), _) if is_whole => {
                *self.connections.entry(port as u16).or_default() += 1;
            }
            (Some(_), _, Some(id)) if is_whole => {
                let reason = field(text, "reason").unwrap_or_default().to_owned();
                let line = Line { status, bytes_out: number("bytes_out").unwrap_or(0), reason };
                self.requests.entry(id).or_default().push(line);
            }
            (None, ..) if is_whole && field(text, "reason") == Some("client_aborted") => {
                self.broken_heads += 1;
            }
            _ => self.strange.push(text.to_owned()),
        }
    }
}

/// The value of a field of a flat JSON object whose strings have no escapes that matter here.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("\"{name}\":"))?;
    match rest.strip_prefix('"') {
        Some(rest) => rest.split('"').next(),
        None => rest.split([',', '}']).next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_line_may_end_in_words_or_in_none() {
        let request = Request::parse("7 get wrong 200 1 2 3 4 so it is").unwrap();
        assert_eq!((request.id, &*request.detail), (7, "so it is"));
        assert!(Request::parse("7 get ok 200 1 2 3 4 ").is_some());
        assert!(Request::parse("7 get ok").is_none());
    }

    #[test]
    fn log_lines_are_sorted_by_request_and_by_port() {
        let mut log = Log::default();
        log.add(r#"{"time":"x","client_port":9,"protocol":"HTTP/1.1","target":"/soak/7/1/a","status":502,"bytes_out":3,"reason":"r"}"#);
        log.add(r#"{"time":"x","client_port":9,"protocol":"TCP","bytes_out":3}"#);
        log.add(r#"{"time":"x","client_po"#);
        let line = Line { status: 502, bytes_out: 3, reason: "r".into() };
        assert_eq!(log.requests[&7], [line]);
        assert_eq!(log.connections[&9], 1);
        assert_eq!((log.lines, log.strange.len()), (3, 1));
        assert_eq!(log.by_status, [2, 0, 0, 0, 0, 1]);
    }
}
