//! Frames of HTTP/2 as they pass (RFC 9113, section 4), counted: a client that makes much work with
//! few bytes is told apart from one that has much to ask. What the frames mean is not read here.

/// Budgets are for so long.
const SPAN_MS: u64 = 10_000;

/// Of each kind that carries nothing, in one span.
const IDLE_FRAMES_MAX: u32 = 1000;
const SETTINGS_MAX: u32 = 100;
/// Streams that a client gives up, unless they are less than half of those that it began.
const RESETS_MAX: u32 = 200;
/// Pieces of one head. Each may have 16 KiB, as much as half of the largest head by default.
const CONTINUATIONS_MAX: u32 = 8;
/// For each of these that it was sent a client may say once that it takes more.
const BYTES_PER_UPDATE: u64 = 512;

const HEAD_BYTES: usize = 9;
/// What a client says before its first frame.
const PREFACE_BYTES: u32 = 24;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What a client does too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    EmptyData,
    Resets,
    Settings,
    Pings,
    WindowUpdates,
    Continuations,
    /// Priorities, and frames that nobody knows.
    Others,
}

impl Flood {
    pub const fn name(self) -> &'static str {
        match self {
            Self::EmptyData => "empty_data",
            Self::Resets => "resets",
            Self::Settings => "settings",
            Self::Pings => "pings",
            Self::WindowUpdates => "window_updates",
            Self::Continuations => "continuations",
            Self::Others => "other_frames",
        }
    }
}

/// The frames of one peer.
#[derive(Debug)]
pub struct Frames {
    /// Of the head of the next frame.
    head: [u8; HEAD_BYTES],
    filled: usize,
    /// Bytes of the frame before that are still to come.
    left: u32,
    span_end_ms: u64,
    sent_bytes: u64,
    streams: u32,
    counts: [u32; Flood::Others as usize + 1],
    /// A head has begun whose end has not come.
    is_within_head: bool,
    /// An endpoint may refuse as much as it likes: none of it was its own idea.
    may_reset: bool,
}

impl Frames {
    /// Those of a client, which begins with the preface.
    pub fn of_client() -> Self {
        Self::new(PREFACE_BYTES, false)
    }

    /// Those of an endpoint.
    pub fn of_endpoint() -> Self {
        Self::new(0, true)
    }

    fn new(left: u32, may_reset: bool) -> Self {
        Self {
            head: [0; HEAD_BYTES],
            filled: 0,
            left,
            span_end_ms: 0,
            sent_bytes: 0,
            streams: 0,
            counts: [0; Flood::Others as usize + 1],
            is_within_head: false,
            may_reset,
        }
    }

    /// Whether the end of a head is waited for.
    pub fn is_within_head(&self) -> bool {
        self.is_within_head
    }

    /// So many bytes went to the peer.
    pub fn sent(&mut self, len: usize) {
        self.sent_bytes += len as u64;
    }

    /// Takes bytes of the peer, in their order.
    ///
    /// # Errors
    /// When it floods us; nothing of it shall be read any more.
    pub fn take(&mut self, bytes: &[u8], now_ms: u64) -> Result<(), Flood> {
        if now_ms >= self.span_end_ms {
            (self.span_end_ms, self.sent_bytes, self.streams) = (now_ms + SPAN_MS, 0, 0);
            // A head goes on over the end of a span.
            let pieces = self.counts[Flood::Continuations as usize];
            self.counts = [0; Flood::Others as usize + 1];
            self.counts[Flood::Continuations as usize] = pieces;
        }
        let mut rest = bytes;
        loop {
            let skipped = rest.len().min(self.left as usize);
            self.left -= skipped as u32;
            rest = &rest[skipped..];
            let len = rest.len().min(HEAD_BYTES - self.filled);
            self.head[self.filled..self.filled + len].copy_from_slice(&rest[..len]);
            self.filled += len;
            rest = &rest[len..];
            if self.filled < HEAD_BYTES {
                return Ok(());
            }
            self.filled = 0;
            let [a, b, c, kind, flags, ..] = self.head;
            self.left = u32::from_be_bytes([0, a, b, c]);
            self.count(kind, flags)?;
        }
    }

    fn count(&mut self, kind: u8, flags: u8) -> Result<(), Flood> {
        let (flood, max) = match kind {
            0 if self.left > 0 || flags & END_STREAM > 0 => return Ok(()),
            0 => (Flood::EmptyData, IDLE_FRAMES_MAX),
            1 => {
                self.streams += 1;
                self.is_within_head = flags & END_HEADERS == 0;
                self.counts[Flood::Continuations as usize] = 0;
                return Ok(());
            }
            3 if self.may_reset => return Ok(()),
            3 => (Flood::Resets, RESETS_MAX.max(self.streams / 2)),
            4 => (Flood::Settings, SETTINGS_MAX),
            6 => (Flood::Pings, IDLE_FRAMES_MAX),
            8 => {
                let more = u32::try_from(self.sent_bytes / BYTES_PER_UPDATE).unwrap_or(u32::MAX);
                (Flood::WindowUpdates, more.saturating_add(IDLE_FRAMES_MAX))
            }
            9 => {
                self.is_within_head &= flags & END_HEADERS == 0;
                (Flood::Continuations, CONTINUATIONS_MAX)
            }
            _ => (Flood::Others, IDLE_FRAMES_MAX.max(self.streams * 2)),
        };
        let count = &mut self.counts[flood as usize];
        *count += 1;
        if *count > max { Err(flood) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
