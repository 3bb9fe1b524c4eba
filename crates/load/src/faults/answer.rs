//! The reply to one call, as its bytes come in.

use memchr::memmem;

use super::BODY_BYTE;

/// More than any proxy adds to a reply.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What is known of a reply so far.
#[derive(Debug, Default)]
pub(super) struct Answer {
    head: Vec<u8>,
    status: u16,
    /// Bytes of the body that have not come; `None` for one that ends with the connection.
    missing: Option<usize>,
    closes: bool,
    is_wrong: bool,
}

/// What to do after some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    More,
    /// It is complete; whether the connection stays open.
    Done {
        stays: bool,
    },
    /// These bytes are no reply.
    Nonsense,
}

impl Answer {
    /// The status that was complete, or 0 before there was one.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Whether a body had bytes that the service does not send.
    pub(super) fn is_wrong(&self) -> bool {
        self.is_wrong
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) -> Step {
        if self.status != 0 {
            return self.body(bytes);
        }
        self.head.extend_from_slice(bytes);
        let Some(len) = memmem::find(&self.head, b"\r\n\r\n") else {
            let is_long = self.head.len() > HEAD_BYTES_MAX;
            return if is_long { Step::Nonsense } else { Step::More };
        };
        let rest = self.head.split_off(len + 4);
        let head = String::from_utf8_lossy(&self.head).to_ascii_lowercase();
        let Some(status) = status(&head) else { return Step::Nonsense };
        let field = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim())
        };
        self.status = status;
        self.missing = field("content-length").and_then(|length| length.parse().ok());
        self.closes = self.missing.is_none()
            || field("connection").is_some_and(|value| value.contains("close"))
            || head.starts_with("http/1.0");
        self.body(&rest)
    }

    fn body(&mut self, bytes: &[u8]) -> Step {
        // Error pages are of the proxy's making.
        self.is_wrong |= self.status == 200 && bytes.iter().any(|byte| *byte != BODY_BYTE);
        let Some(missing) = self.missing.as_mut() else { return Step::More };
        self.is_wrong |= bytes.len() > *missing;
        *missing = missing.saturating_sub(bytes.len());
        if *missing > 0 { Step::More } else { Step::Done { stays: !self.closes } }
    }

    /// The connection ended in order: whether that completes the reply.
    pub(super) fn ends_with_connection(&self) -> bool {
        self.status != 0 && self.missing.is_none()
    }
}

fn status(head: &str) -> Option<u16> {
    let rest = head.strip_prefix("http/1.1 ").or_else(|| head.strip_prefix("http/1.0 "))?;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_end_where_they_say() {
        let mut answer = Answer::default();
        assert_eq!(answer.feed(b"HTTP/1.1 200 OK\r\nContent-Le"), Step::More);
        assert_eq!(answer.feed(b"ngth: 3\r\n\r\nx"), Step::More);
        assert_eq!(answer.feed(b"xx"), Step::Done { stays: true });
        assert_eq!((answer.status(), answer.is_wrong()), (200, false));
        let mut answer = Answer::default();
        let bytes = b"HTTP/1.1 503 X\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
        assert_eq!(answer.feed(bytes), Step::Done { stays: false });
        assert_eq!((answer.status(), answer.is_wrong()), (503, false));
    }

    #[test]
    fn a_reply_without_a_length_ends_with_its_connection() {
        let mut answer = Answer::default();
        assert!(!answer.ends_with_connection());
        assert_eq!(answer.feed(b"HTTP/1.0 502 X\r\n\r\nno"), Step::More);
        assert!(answer.ends_with_connection());
        assert_eq!(Answer::default().feed(b"garbage\r\n\r\n"), Step::Nonsense);
    }

    #[test]
    fn other_bytes_are_wrong() {
        let mut answer = Answer::default();
        answer.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nxyx");
        assert!(answer.is_wrong());
    }
}
