//! Heads of frames in a stream of bytes, however that is cut.

const HEAD_BYTES: usize = 9;
/// Of the payload, what is looked for and a length of padding before it.
const WORD_BYTES: usize = 4;
const KEPT_BYTES: usize = HEAD_BYTES + 1 + WORD_BYTES;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const HAS_PRIORITY: u8 = 32;

/// What stands before the payload of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub len: u32,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    /// Why a stream is reset, or the stream that one depends on by its head.
    pub word: u32,
}

impl Head {
    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag > 0
    }

    /// Whether a frame of its kind can be as long (RFC 9113, section 6). What may be too long of
    /// any kind is known elsewhere.
    pub(super) fn is_sound(self) -> bool {
        let padding = u32::from(self.has(PADDED));
        match self.kind {
            DATA => self.len >= padding,
            HEADERS if self.has(HAS_PRIORITY) => self.len >= padding + 5,
            HEADERS => self.len >= padding,
            PRIORITY => self.len == 5,
            RST_STREAM | WINDOW_UPDATE => self.len == 4,
            SETTINGS if self.has(ACK) => self.len == 0,
            SETTINGS => self.len.is_multiple_of(6),
            PUSH_PROMISE => self.len >= padding + 4,
            PING => self.len == 8,
            GOAWAY => self.len >= 8,
            _ => true,
        }
    }

    /// Whether a stream depends on itself by its head.
    pub(super) fn is_own_parent(self) -> bool {
        self.kind == HEADERS && self.has(HAS_PRIORITY) && self.word & 0x7fff_ffff == self.stream
    }

    /// Bytes of the payload up to the end of the word that is looked for.
    fn word_end(self) -> usize {
        match self.kind {
            RST_STREAM if self.is_sound() => WORD_BYTES,
            HEADERS if self.has(HAS_PRIORITY) && self.is_sound() => {
                usize::from(self.has(PADDED)) + WORD_BYTES
            }
            _ => 0,
        }
    }
}

/// Finds heads.
#[derive(Debug)]
pub(super) struct Heads {
    /// Of the next one.
    kept: [u8; KEPT_BYTES],
    filled: usize,
    /// Bytes that are still to come before it.
    left: u32,
}

impl Heads {
    /// Behind so many bytes that are no frames.
    pub(super) fn behind(left: u32) -> Self {
        Self { kept: [0; _], filled: 0, left }
    }

    /// Whether the payload of the last frame has not come yet.
    pub(super) fn is_within(&self) -> bool {
        self.left > 0
    }

    /// Whether the head of a frame is there, and not all that is looked for behind it.
    pub(super) fn awaits_word(&self) -> bool {
        self.filled >= HEAD_BYTES
    }

    /// Takes off what belongs to the last frame.
    pub(super) fn skip(&mut self, rest: &mut &[u8]) {
        let skipped = rest.len().min(self.left as usize);
        self.left -= skipped as u32;
        *rest = &rest[skipped..];
    }

    /// Takes off the next head, if it is there.
    pub(super) fn next(&mut self, rest: &mut &[u8]) -> Option<Head> {
        if !self.fill(HEAD_BYTES, rest) {
            return None;
        }
        let [a, b, c, kind, flags, s, t, u, v, ..] = self.kept;
        let (len, stream) = (u32::from_be_bytes([0, a, b, c]), u32::from_be_bytes([s, t, u, v]));
        let mut head = Head { len, kind, flags, stream: stream & 0x7fff_ffff, word: 0 };
        let end = head.word_end();
        if end > 0 {
            if !self.fill(HEAD_BYTES + end, rest) {
                return None;
            }
            let word = self.kept[HEAD_BYTES + end - WORD_BYTES..][..WORD_BYTES].iter();
            head.word = word.fold(0, |word, &byte| word << 8 | u32::from(byte));
        }
        self.filled = 0;
        self.left = len - end as u32;
        Some(head)
    }

    /// Whether so much of the head is there, now.
    fn fill(&mut self, want: usize, rest: &mut &[u8]) -> bool {
        let len = rest.len().min(want.saturating_sub(self.filled));
        self.kept[self.filled..self.filled + len].copy_from_slice(&rest[..len]);
        self.filled += len;
        *rest = &rest[len..];
        self.filled >= want
    }
}
