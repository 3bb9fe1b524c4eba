//! Checks a reply as its bytes come in: status, length, and every byte of the body.

use memchr::memmem;

/// No proxy under test adds more to the backend's head than this.
const HEAD_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    Done,
    Wrong(&'static str),
}

/// How far the reply in flight has come.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The part of the head that came so far, nearly always nothing.
    Head(Vec<u8>),
    /// Body bytes seen so far.
    Body(usize),
}

impl Reply {
    /// `expected` is the body that must come, whole, in this and the following calls.
    pub(crate) fn feed(&mut self, bytes: &[u8], expected: &[u8]) -> Progress {
        match self {
            Self::Body(seen) => match check_body(bytes, *seen, expected) {
                Ok(now) => {
                    *seen = now;
                    if now == expected.len() { Progress::Done } else { Progress::More }
                }
                Err(fault) => Progress::Wrong(fault),
            },
            Self::Head(partial) if partial.is_empty() => self.feed_head(bytes, expected),
            Self::Head(partial) => {
                let mut joined = std::mem::take(partial);
                joined.extend_from_slice(bytes);
                self.feed_head(&joined, expected)
            }
        }
    }

    fn feed_head(&mut self, bytes: &[u8], expected: &[u8]) -> Progress {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
            if bytes.len() > HEAD_BYTES_MAX {
                return Progress::Wrong("endless head");
            }
            *self = Self::Head(bytes.to_vec());
            return Progress::More;
        };
        if let Err(fault) = check_head(&bytes[..end], expected.len()) {
            return Progress::Wrong(fault);
        }
        *self = Self::Body(0);
        self.feed(&bytes[end + 4..], expected)
    }
}

fn check_head(head: &[u8], body_bytes: usize) -> Result<(), &'static str> {
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err("status");
    }
    let mut length = None;
    let mut rest = head;
    while let Some(at) = memchr::memchr(b'\n', rest) {
        rest = &rest[at + 1..];
        if rest.len() > 15 && rest[..15].eq_ignore_ascii_case(b"content-length:") {
            length = Some(decimal(rest[15..].trim_ascii_start()));
        }
    }
    match length {
        Some(length) if length == body_bytes => Ok(()),
        Some(_) => Err("content-length differs"),
        None => Err("content-length missing"),
    }
}

/// Gives how much of `expected` has come with `bytes`, of which `seen` had come before.
pub(crate) fn check_body(
    bytes: &[u8],
    seen: usize,
    expected: &[u8],
) -> Result<usize, &'static str> {
    let now = seen + bytes.len();
    match expected.get(seen..now) {
        Some(part) if part == bytes => Ok(now),
        Some(_) => Err("body differs"),
        None => Err("body too long"),
    }
}

/// The number that `text` begins with.
pub(crate) fn decimal(text: &[u8]) -> usize {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).take(18);
    digits.fold(0, |value, digit| value * 10 + usize::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&str], expected: &str, last: Progress) {
        let mut reply = Reply::Head(Vec::new());
        let (end, start) = pieces.split_last().unwrap();
        for piece in start {
            assert_eq!(reply.feed(piece.as_bytes(), expected.as_bytes()), Progress::More);
        }
        assert_eq!(reply.feed(end.as_bytes(), expected.as_bytes()), last);
    }

    #[test]
    fn a_right_reply_is_done_however_it_is_cut() {
        let text = "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 5\r\n\r\nhello";
        check(&[text], "hello", Progress::Done);
        for at in 1..text.len() {
            check(&[&text[..at], &text[at..]], "hello", Progress::Done);
        }
    }

    #[test]
    fn wrong_replies_are_named() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        check(&["HTTP/1.1 502 Bad\r\n\r\n"], "hello", Progress::Wrong("status"));
        check(&["HTTP/1.1 200 OK\r\n\r\n"], "hello", Progress::Wrong("content-length missing"));
        check(&[head], "hell", Progress::Wrong("content-length differs"));
        check(&[head, "hullo"], "hello", Progress::Wrong("body differs"));
        check(&[head, "hello!"], "hello", Progress::Wrong("body too long"));
    }
}
