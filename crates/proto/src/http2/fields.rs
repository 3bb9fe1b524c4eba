//! Heads from fields (RFC 9113, section 8): checked one by one, and written as the lines that a
//! peer of HTTP/1.1 would send, so that the strict reader of those has the last word.

use fairwater_message::HeaderId;

use crate::words;

/// What a block of fields belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Reply,
    Trailers,
}

/// How large a head may get, as lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadBounds {
    pub bytes: usize,
    pub fields: usize,
}

/// What is wrong with a head that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    TooLarge,
    /// `:authority` and `host` name two, or nobody does.
    HostsDiffer,
    NoHost,
    /// A value begins or ends with white space.
    SpaceAround,
}

const METHOD: usize = 0;
const SCHEME: usize = 1;
const PATH: usize = 2;
const AUTHORITY: usize = 3;
const PROTOCOL: usize = 4;
const STATUS: usize = 5;
const PSEUDO: usize = 6;

/// What heads are put together in; one for all connections of a thread.
#[derive(Debug, Default)]
pub struct Scratch {
    pseudo: [Vec<u8>; PSEUDO],
    has: [bool; PSEUDO],
    host: Vec<u8>,
    has_host: bool,
    cookie: Vec<u8>,
    lines: Vec<u8>,
    fields: usize,
    /// What the fields stand for, whether or not they are kept.
    pub(super) decoded_bytes: usize,
    pub(super) length: Option<u64>,
    pub(super) is_malformed: bool,
    pub(super) problem: Option<Problem>,
}

/// Which bytes a name may have: those of a token in lower case (section 8.2.1).
const fn name_bytes() -> [bool; 256] {
    let mut table = [false; 256];
    let token = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    let mut at = 0;
    while at < token.len() {
        table[token[at] as usize] = true;
        at += 1;
    }
    table
}
static NAME_BYTES: [bool; 256] = name_bytes();

/// No value may have these (section 8.2.1); other control bytes are for the reader to refuse.
fn ends_lines(byte: u8) -> bool {
    matches!(byte, 0 | b'\r' | b'\n')
}

impl Scratch {
    pub(super) fn clear(&mut self) {
        self.pseudo.iter_mut().chain([&mut self.host, &mut self.cookie]).for_each(Vec::clear);
        self.lines.clear();
        self.has = [false; PSEUDO];
        (self.has_host, self.fields, self.length) = (false, 0, None);
        self.decoded_bytes = 0;
        (self.is_malformed, self.problem) = (false, None);
    }

    /// Takes the next field.
    pub(super) fn take(&mut self, kind: Kind, bounds: HeadBounds, name: &[u8], value: &[u8]) {
        self.decoded_bytes += name.len() + value.len();
        // Crumbs of a cookie are one field.
        self.fields += usize::from(name != b"cookie");
        let size = self.lines.len() + self.cookie.len() + name.len() + value.len();
        if size > bounds.bytes || self.fields > bounds.fields {
            self.problem = Some(Problem::TooLarge);
        }
        if self.problem == Some(Problem::TooLarge) || self.is_malformed {
            return; // the rest is read for the table alone
        }
        let is_good = match name.first() {
            Some(b':') => self.take_pseudo(kind, name, value),
            Some(_) => self.take_field(kind, name, value),
            None => false,
        };
        self.is_malformed |= !is_good;
    }

    fn take_pseudo(&mut self, kind: Kind, name: &[u8], value: &[u8]) -> bool {
        let at = match name {
            b":method" => METHOD,
            b":scheme" => SCHEME,
            b":path" => PATH,
            b":authority" => AUTHORITY,
            b":protocol" => PROTOCOL,
            b":status" => STATUS,
            _ => return false,
        };
        let is_of_kind = match kind {
            Kind::Request => at != STATUS,
            Kind::Reply => at == STATUS,
            Kind::Trailers => false,
        };
        // Before all others, and once (section 8.3).
        let is_first = self.lines.is_empty() && self.cookie.is_empty() && !self.has_host;
        let is_plain = value.iter().fold(true, |good, &b| good & (b > b' ') & (b != 0x7f));
        if !is_of_kind || !is_first || self.has[at] || !is_plain {
            return false;
        }
        self.has[at] = true;
        self.pseudo[at].extend_from_slice(value);
        true
    }

    fn take_field(&mut self, kind: Kind, name: &[u8], value: &[u8]) -> bool {
        let id = HeaderId::of_small(name);
        let is_name = id != HeaderId::Other
            || name.iter().fold(true, |good, &byte| good & NAME_BYTES[usize::from(byte)]);
        if !is_name || (words::has_low(value) && value.iter().any(|&byte| ends_lines(byte))) {
            return false;
        }
        let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if is_space(value.first()) || is_space(value.last()) {
            self.problem.get_or_insert(Problem::SpaceAround);
        }
        match id {
            HeaderId::Connection
            | HeaderId::KeepAlive
            | HeaderId::ProxyConnection
            | HeaderId::TransferEncoding
            | HeaderId::Upgrade => return false,
            HeaderId::Te if !value.eq_ignore_ascii_case(b"trailers") => return false,
            HeaderId::Host if kind == Kind::Request => {
                if self.has_host {
                    self.problem.get_or_insert(Problem::HostsDiffer);
                }
                self.has_host = true;
                self.host.clear();
                self.host.extend_from_slice(value);
                return true;
            }
            HeaderId::Cookie if kind == Kind::Request => {
                // Crumbs make one cookie again (section 8.2.3).
                if !self.cookie.is_empty() {
                    self.cookie.extend_from_slice(b"; ");
                }
                self.cookie.extend_from_slice(value);
                return true;
            }
            HeaderId::ContentLength if kind != Kind::Trailers => {
                let length = number(value);
                if length.is_none() || self.length.is_some() {
                    return false;
                }
                self.length = length;
            }
            _ => {}
        }
        self.write_line(name, value);
        true
    }

    fn write_line(&mut self, name: &[u8], value: &[u8]) {
        let lines = &mut self.lines;
        lines.reserve(name.len() + value.len() + 4);
        lines.extend_from_slice(name);
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value);
        lines.extend_from_slice(b"\r\n");
    }

    /// The lines alone, of trailers.
    pub(super) fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Whether the stream shall become a tunnel (RFC 8441, section 4), and of what protocol.
    pub(super) fn tunnel(&self) -> Option<&[u8]> {
        self.has[PROTOCOL].then_some(&*self.pseudo[PROTOCOL])
    }

    pub(super) fn status(&self) -> Option<u16> {
        let status = &*self.pseudo[STATUS];
        let is_good = status.len() == 3 && matches!(status[0], b'1'..=b'9');
        number(status).filter(|_| is_good).map(|status| status as u16)
    }

    /// Whether all pseudo fields of a request are there, and none too many (section 8.3.1).
    pub(super) fn is_whole_request(&self) -> bool {
        let [method, scheme, path, authority, protocol, _] = self.has;
        let is_connect = self.pseudo[METHOD] == b"CONNECT";
        let is_empty = |at: usize| self.has[at] && self.pseudo[at].is_empty();
        if is_empty(METHOD) || is_empty(SCHEME) {
            return false;
        }
        match (is_connect, protocol) {
            (false, true) => false,
            (true, false) => authority && !scheme && !path,
            (true, true) => authority && scheme && self.pseudo[PATH].starts_with(b"/"),
            (false, false) => {
                let path = &*self.pseudo[PATH];
                method && scheme && (path.starts_with(b"/") || path == b"*")
            }
        }
    }

    /// The head of a request. That of a tunnel lacks the lines that ask for it, and the end.
    pub(super) fn write_request(&mut self, has_body: bool) -> Vec<u8> {
        let is_tunnel = self.has[PROTOCOL];
        let host = match (self.has[AUTHORITY], self.has_host) {
            (true, true) if !self.pseudo[AUTHORITY].eq_ignore_ascii_case(&self.host) => {
                self.problem.get_or_insert(Problem::HostsDiffer);
                &*self.host
            }
            (true, _) => &*self.pseudo[AUTHORITY],
            (false, true) => &*self.host,
            (false, false) => {
                self.problem.get_or_insert(Problem::NoHost);
                &[]
            }
        };
        let is_connect = self.pseudo[METHOD] == b"CONNECT" && !is_tunnel;
        let method = if is_tunnel { b"GET" } else { &*self.pseudo[METHOD] };
        let target = if is_connect { host } else { &*self.pseudo[PATH] };
        let start = [method, b" ", target, b" HTTP/1.1\r\nhost: ", host, b"\r\n", &self.lines];
        let cookie: &[&[u8]] = match &*self.cookie {
            [] => &[],
            cookie => &[b"cookie: ", cookie, b"\r\n"],
        };
        let end: &[&[u8]] = match has_body && self.length.is_none() {
            _ if is_tunnel => &[],
            true => &[CHUNKED, b"\r\n"],
            false => &[b"\r\n"],
        };
        concat([&start, cookie, end])
    }

    /// The head of a reply.
    pub(super) fn write_reply(&self, phrase: &str, has_body: bool) -> Vec<u8> {
        let start =
            [b"HTTP/1.1 ", &*self.pseudo[STATUS], b" ", phrase.as_bytes(), b"\r\n", &self.lines];
        let end: &[&[u8]] = match has_body && self.length.is_none() {
            true => &[CHUNKED, b"\r\n"],
            false => &[b"\r\n"],
        };
        concat([&start, end, &[]])
    }
}

const CHUNKED: &[u8] = b"transfer-encoding: chunked\r\n";

/// Puts the parts of a text into a block of its length.
#[inline(always)]
fn concat(parts: [&[&[u8]]; 3]) -> Vec<u8> {
    let mut len = 0;
    for parts in parts {
        len += parts.iter().map(|part| part.len()).sum::<usize>();
    }
    let mut out = Vec::with_capacity(len);
    for parts in parts {
        parts.iter().for_each(|part| out.extend_from_slice(part));
    }
    out
}

/// Digits alone, of what fits.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}
