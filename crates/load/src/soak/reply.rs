//! Reads one reply and says which of the classes it belongs to.

use std::io::{BufRead, ErrorKind};

use super::message::{Broken, Framing, Head, malformed, read_body};
use super::request::{Kind, Request};

/// How an exchange ended. Each request is in exactly one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Status, length and every byte as they must be.
    Ok,
    /// A complete reply of the proxy itself: 502, 503 or 504.
    Refused(u16),
    /// The reply began, and its end was seen to be missing.
    Truncated(u16),
    /// The connection ended without a byte of a reply.
    Silent,
    /// Nothing came for a long time.
    Hung,
    /// The reply does not belong to the request, or is not what it claims to be.
    Wrong(String),
}

#[derive(Debug)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    /// Another request may follow on the connection.
    pub(super) is_open: bool,
    /// Why, where the outcome does not say it all.
    pub(super) detail: String,
}

impl Ended {
    fn closed(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self { outcome, is_open: false, detail: detail.into() }
    }
}

/// `pace` is called for each piece of the body: a slow reader sleeps there.
pub(super) fn read(
    input: &mut impl BufRead,
    request: &Request,
    pattern: &[u8],
    pace: &mut dyn FnMut(usize),
) -> Ended {
    match input.fill_buf() {
        Ok([]) => return Ended::closed(Outcome::Silent, "end"),
        Ok(_) => {}
        Err(error) if is_timeout(&error) => return Ended::closed(Outcome::Hung, "no reply"),
        Err(error) => return Ended::closed(Outcome::Silent, format!("{:?}", error.kind())),
    }
    let mut status = 0;
    match read_begun(input, request, pattern, pace, &mut status) {
        Ok(is_open) => {
            let outcome = if status == 200 { Outcome::Ok } else { Outcome::Refused(status) };
            Ended { outcome, is_open, detail: String::new() }
        }
        Err(Broken::Io(error)) if is_timeout(&error) => {
            Ended::closed(Outcome::Hung, "within a reply")
        }
        Err(Broken::Io(error)) => {
            Ended::closed(Outcome::Truncated(status), format!("{:?}", error.kind()))
        }
        Err(Broken::Malformed(what)) => Ended::closed(Outcome::Wrong(what), ""),
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Whether the connection goes on; an error where the reply is not complete and right.
fn read_begun(
    input: &mut impl BufRead,
    request: &Request,
    pattern: &[u8],
    pace: &mut dyn FnMut(usize),
    status: &mut u16,
) -> Result<bool, Broken> {
    let Some(head) = Head::read(input)? else {
        return Err(Broken::Io(ErrorKind::UnexpectedEof.into()));
    };
    *status = status_of(&head)?;
    let framing = match head.framing()? {
        Some(framing) => framing,
        None if request.is_http10 && !says_keep_alive(&head) => Framing::UntilClose,
        None if request.kind == Kind::Head => Framing::Length(0),
        None => return malformed("a reply without framing"),
    };
    let is_open = framing != Framing::UntilClose
        && !head.connection_says("close")
        && (!request.is_http10 || says_keep_alive(&head));
    let expected = expected(request, pattern, &head, *status, framing)?;
    let mut seen = 0;
    let mut sink = |bytes: &[u8]| {
        let end = seen + bytes.len();
        if let Some(expected) = &expected
            && expected.get(seen..end) != Some(bytes)
        {
            return malformed(format!("wrong bytes at {seen}..{end} of {}", expected.len()));
        }
        seen = end;
        pace(bytes.len());
        Ok(())
    };
    if request.kind != Kind::Head {
        read_body(input, framing, &mut sink)?;
        if let Some(expected) = expected
            && expected.len() != seen
        {
            return malformed(format!("looks complete with {seen} bytes of {}", expected.len()));
        }
    }
    if !is_open {
        match input.fill_buf() {
            // A reset behind a complete reply takes nothing away from it.
            Ok([]) | Err(_) => {}
            Ok(_) => return malformed("bytes behind the last reply"),
        }
    }
    if request.closes && is_open {
        return malformed("the connection goes on, against the request");
    }
    Ok(is_open)
}

fn says_keep_alive(head: &Head) -> bool {
    head.connection_says("keep-alive")
}

fn status_of(head: &Head) -> Result<u16, Broken> {
    let status = head.first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    match status {
        Some(status @ (200 | 502 | 503 | 504)) => Ok(status),
        _ => malformed(format!("status line {:?}", head.first)),
    }
}

/// The body that must come; `None` for the proxy's own words. The head must agree.
fn expected(
    request: &Request,
    pattern: &[u8],
    head: &Head,
    status: u16,
    framing: Framing,
) -> Result<Option<Vec<u8>>, Broken> {
    if status != 200 {
        return Ok(None);
    }
    match head.get("x-soak-id").map(str::parse::<u64>) {
        Some(Ok(id)) if id == request.id => {}
        other => return malformed(format!("the answer to request {other:?}")),
    }
    let expected = request.expected(pattern);
    let announced = if request.kind == Kind::Head { request.body_bytes } else { expected.len() };
    match framing {
        Framing::Length(length) if request.wants_chunks && request.kind == Kind::Head => {
            (length == 0).then_some(()).ok_or("a length that nobody told")
        }
        Framing::Length(length) if length != announced as u64 => Err("another content-length"),
        _ => Ok(()),
    }
    .map_err(|what| Broken::Malformed(what.to_owned()))?;
    Ok(Some(expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::random::Random;

    fn check(text: &str, is_http10: bool, expected: &Outcome) {
        let pattern = b"abcdefghijklmnop".repeat(100);
        let request = Request {
            kind: Kind::Get,
            body_bytes: 4,
            is_http10,
            closes: false,
            ..Request::random(3, &mut Random::new(0, 0))
        };
        let ended = read(&mut text.as_bytes(), &request, &pattern, &mut |_| {});
        let outcome = match ended.outcome {
            Outcome::Wrong(_) => Outcome::Wrong(String::new()),
            outcome => outcome,
        };
        assert_eq!(outcome, *expected, "{text:?}");
    }

    #[test]
    fn every_reply_is_in_one_class() {
        let head = "HTTP/1.1 200 OK\r\nx-soak-id: 3\r\ncontent-length: 4\r\n\r\n";
        let wrong = Outcome::Wrong(String::new());
        check(&format!("{head}defg"), false, &Outcome::Ok);
        check(&format!("{head}de"), false, &Outcome::Truncated(200));
        check(&format!("{head}dexx"), false, &wrong);
        check(&format!("{}defg", head.replace('3', "4")), false, &wrong);
        check(&head[..20], false, &Outcome::Truncated(0));
        check("", false, &Outcome::Silent);
        let refusal = "HTTP/1.1 503 X\r\ncontent-length: 1\r\n\r\n";
        check(&format!("{refusal}x"), false, &Outcome::Refused(503));
        check(refusal, false, &Outcome::Truncated(503));
        check("HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n", false, &wrong);
    }

    #[test]
    fn a_short_body_that_looks_complete_is_wrong() {
        let head = "HTTP/1.1 200 OK\r\nx-soak-id: 3\r\n\r\n";
        check(&format!("{head}defg"), true, &Outcome::Ok);
        check(&format!("{head}def"), true, &Outcome::Wrong(String::new()));
        check(&format!("{head}defg"), false, &Outcome::Wrong(String::new()));
    }
}
