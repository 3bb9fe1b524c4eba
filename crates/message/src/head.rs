//! Heads as an index over the bytes that they were read into: nothing is copied, and an index is
//! reused from one request to the next.

use crate::{HeaderId, Method};

/// The most bytes of a head that can be allowed, start line and final empty line included.
pub const HEAD_BYTES_MAX: usize = u16::MAX as usize;
/// The most header fields of a head that can be allowed.
pub const HEAD_FIELDS_MAX: usize = 1024;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    pub bytes: u16,
    pub fields: u16,
}

impl HeadLimits {
    /// What no sensible client exceeds.
    pub const DEFAULT: Self = Self { bytes: 32 * 1024, fields: 128 };
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The most bytes of a request target; above it the answer is 414.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// A range of bytes of the buffer that a head was read into. Heads are below 64 KiB, so 16 bits do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u16,
    pub end: u16,
}

impl Span {
    /// Both ends must lie within [`HEAD_BYTES_MAX`], which every parser checks first.
    #[inline]
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= usize::from(u16::MAX));
        Self { start: start as u16, end: end as u16 }
    }

    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[usize::from(self.start)..usize::from(self.end)]
    }

    #[inline]
    pub const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    #[inline]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// One header field: where its name and its trimmed value stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: Span,
    pub value: Span,
    pub id: HeaderId,
}

/// The value of the first field with a name that has no id.
pub fn field_named<'a>(fields: &[Field], bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut others = fields.iter().filter(|field| field.id == HeaderId::Other);
    let found = others.find(|field| field.name.of(bytes).eq_ignore_ascii_case(name.as_bytes()));
    found.map(|field| field.value.of(bytes))
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLength {
    #[default]
    None,
    Known(u64),
    Chunked,
    /// Until the connection closes (responses only).
    UntilClose,
}

/// What the `Connection` header of a message said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    /// `Connection` names further fields, which are then hop-by-hop.
    pub names_others: bool,
}

/// The index of a request head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    pub method: Method,
    pub method_span: Span,
    pub version: Version,
    /// The target as it was written.
    pub target: Span,
    /// Path and query, empty for an absolute-form target without a path (`/` is meant).
    pub path: Span,
    /// Host and port that the request is for: from an absolute-form target or from `Host`. Empty
    /// only for HTTP/1.0 without `Host`.
    pub authority: Span,
    pub fields: Vec<Field>,
    pub body: BodyLength,
    pub connection: Connection,
    /// `Expect: 100-continue` on HTTP/1.1.
    pub expects_continue: bool,
    /// The number of `Via` members that came with it: hops so far.
    pub hops: u16,
    /// By HTTP/2, with fields that no hop may keep in its table (RFC 7541, section 6.2.3).
    pub has_secrets: bool,
    /// Bytes of the whole head.
    pub len: usize,
}

impl Default for RequestHead {
    fn default() -> Self {
        Self {
            method: Method::Get,
            method_span: Span::default(),
            version: Version::Http11,
            target: Span::default(),
            path: Span::default(),
            authority: Span::default(),
            fields: Vec::new(),
            body: BodyLength::None,
            connection: Connection::default(),
            expects_continue: false,
            hops: 0,
            has_secrets: false,
            len: 0,
        }
    }
}

impl RequestHead {
    /// Whether the client wants to send another request on this connection.
    pub fn wants_keep_alive(&self) -> bool {
        match self.version {
            Version::Http10 => self.connection.keep_alive && !self.connection.close,
            Version::Http11 | Version::Http2 => !self.connection.close,
        }
    }

    /// The first field with this id.
    pub fn find(&self, id: HeaderId) -> Option<Field> {
        self.fields.iter().find(|field| field.id == id).copied()
    }

    /// Empties the index for the next head; its memory stays.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }
}

/// The index of a response head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    pub status: u16,
    pub version: Version,
    pub reason: Span,
    pub fields: Vec<Field>,
    /// As the head says it; `worker` adds what the request method means for it.
    pub body: BodyLength,
    pub connection: Connection,
    /// A value spans several lines (relaxed parsing): its line ends are written as spaces.
    pub is_folded: bool,
    /// `Keep-Alive: timeout=N`, in seconds.
    pub keep_alive_timeout_s: Option<u32>,
    /// As in a request.
    pub has_secrets: bool,
    pub len: usize,
}

impl ResponseHead {
    pub fn find(&self, id: HeaderId) -> Option<Field> {
        self.fields.iter().find(|field| field.id == id).copied()
    }

    /// Whether the endpoint lets its connection be used again.
    pub fn allows_reuse(&self) -> bool {
        match self.version {
            Version::Http10 => self.connection.keep_alive && !self.connection.close,
            Version::Http11 | Version::Http2 => !self.connection.close,
        }
    }

    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }
}

/// The fields behind a body, each as a line with its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trailers {
    pub lines: Vec<u8>,
    /// As in a head.
    pub has_secrets: bool,
}

impl Trailers {
    pub const NONE: &'static Self = &Self { lines: Vec::new(), has_secrets: false };

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}
