//! One request of the soak: what it looks like, where its bytes come from, what must come back.
//!
//! Its number is in the target, so that endpoint, reply and access log all say whose they are;
//! bodies are cut from one pattern at a place that the number gives.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::thread::sleep;
use std::time::Duration;

use super::random::Random;
use crate::message::SERVICES_MAX;

pub(super) const HOST: &str = "soak.example";

/// Most bytes of one chunk that the client makes.
const CHUNK_BYTES_MAX: usize = 48 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Get,
    Head,
    Post,
    /// POST in chunks.
    Chunked,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Head => "head",
            Self::Post => "post",
            Self::Chunked => "chunked",
        }
    }

    pub(super) fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Chunked)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) kind: Kind,
    /// Of the reply for GET and HEAD, of the request for POST.
    pub(super) body_bytes: usize,
    /// The endpoint answers in chunks.
    pub(super) wants_chunks: bool,
    pub(super) is_http10: bool,
    /// The client asks for the end of the connection, or (HTTP/1.0) not for its going on.
    pub(super) closes: bool,
}

impl Request {
    pub(super) fn random(id: u64, random: &mut Random) -> Self {
        let kind = match random.below(100) {
            0..55 => Kind::Get,
            55..65 => Kind::Head,
            65..82 => Kind::Post,
            _ => Kind::Chunked,
        };
        Self {
            id,
            kind,
            body_bytes: random.body_bytes(),
            wants_chunks: random.percent(30),
            is_http10: false,
            closes: false,
        }
    }

    pub(super) fn head(&self) -> Vec<u8> {
        let (method, framing) = match self.kind {
            Kind::Get => ("GET", String::new()),
            Kind::Head => ("HEAD", String::new()),
            Kind::Post => ("POST", format!("Content-Length: {}\r\n", self.body_bytes)),
            Kind::Chunked => ("POST", "Transfer-Encoding: chunked\r\n".to_owned()),
        };
        let version = if self.is_http10 { "HTTP/1.0" } else { "HTTP/1.1" };
        let connection = match (self.closes, self.is_http10) {
            (true, false) => "Connection: close\r\n",
            (false, true) => "Connection: keep-alive\r\n",
            _ => "",
        };
        let coding = if self.wants_chunks { "chunked" } else { "length" };
        let mut text = String::new();
        let target = format!("/soak/{}/{}/{coding}", self.id, self.body_bytes);
        write!(text, "{method} {target} {version}\r\nHost: {HOST}\r\n{framing}{connection}\r\n")
            .unwrap_or_default();
        text.into_bytes()
    }

    pub(super) fn body<'p>(&self, pattern: &'p [u8]) -> &'p [u8] {
        body_of(self.id, self.body_bytes, pattern)
    }

    /// The body that must come back.
    pub(super) fn expected(&self, pattern: &[u8]) -> Vec<u8> {
        match self.kind {
            Kind::Head => Vec::new(),
            Kind::Get => self.body(pattern).to_vec(),
            Kind::Post | Kind::Chunked => receipt(self.body_bytes, hash(self.body(pattern))),
        }
    }

    /// Writes the request in pieces of random size, now and then with a pause between them; only
    /// the first `share` of a hundred bytes of the body if the client is to give up.
    pub(super) fn write(
        &self,
        out: &mut impl Write,
        pattern: &[u8],
        random: &mut Random,
        share: Option<usize>,
    ) -> io::Result<()> {
        let mut bytes = self.head();
        if self.kind == Kind::Post {
            bytes.extend_from_slice(self.body(pattern));
        } else if self.kind == Kind::Chunked {
            self.append_chunks(&mut bytes, pattern, random);
        }
        if let Some(share) = share {
            let head_bytes = self.head().len();
            let body_bytes = bytes.len() - head_bytes;
            bytes.truncate(head_bytes + body_bytes * share / 100);
        }
        let is_slow = self.kind.has_body() && random.percent(5);
        let mut rest = &bytes[..];
        while is_slow && rest.len() > 1 {
            let (piece, after) = rest.split_at(random.within(1, rest.len().div_ceil(4)));
            out.write_all(piece)?;
            sleep(Duration::from_millis(random.below(30) as u64));
            rest = after;
        }
        out.write_all(rest)
    }

    fn append_chunks(&self, bytes: &mut Vec<u8>, pattern: &[u8], random: &mut Random) {
        let mut rest = self.body(pattern);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.within(1, rest.len().min(CHUNK_BYTES_MAX)));
            bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
            rest = after;
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
    }
}

/// The part of the pattern that belongs to a request.
pub(super) fn body_of(id: u64, bytes: usize, pattern: &[u8]) -> &[u8] {
    let start = (id % SERVICES_MAX as u64) as usize;
    &pattern[start..start + bytes]
}

/// What the endpoint answers to a body: how long it was, and its hash.
pub(super) fn receipt(bytes: usize, hash: u64) -> Vec<u8> {
    format!("{bytes} {hash:016x}\n").into_bytes()
}

/// FNV-1a, which can be fed in pieces.
pub(super) const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

pub(super) fn hash(bytes: &[u8]) -> u64 {
    hash_more(HASH_START, bytes)
}

pub(super) fn hash_more(hash: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(hash, step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::pattern;

    #[test]
    fn a_hash_of_pieces_is_that_of_the_whole() {
        assert_eq!(hash_more(hash(b"hel"), b"lo"), hash(b"hello"));
        assert_ne!(hash(b"hello"), hash(b"hellp"));
    }

    #[test]
    fn an_abort_sends_the_whole_head_and_a_part_of_the_body() {
        let pattern = pattern();
        let mut random = Random::new(1, 1);
        let request =
            Request { kind: Kind::Post, body_bytes: 1000, ..Request::random(7, &mut random) };
        let mut out = Vec::new();
        request.write(&mut out, &pattern, &mut random, Some(50)).unwrap();
        assert_eq!(out.len(), request.head().len() + 500);
    }
}
